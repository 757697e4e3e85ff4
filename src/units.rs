//! How numbers and times read: counts, sizes, times by the clock on the wall.

use jiff::tz::TimeZone;

use crate::clock::Timestamp;

/// `1 image`, `2 images`.
pub fn count(number: impl TryInto<u64>, thing: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A size as people read it: `740 B`, `1.2 MB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "shown to one digit")]
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    for unit in ["kB", "MB", "GB"] {
        value /= 1000.0;
        if value < 999.95 {
            return format!("{value:.1} {unit}");
        }
    }
    format!("{:.1} TB", value / 1000.0)
}

/// A time by the clock on the wall: `2026-11-23 04:06`.
#[must_use]
pub fn time(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => at.to_string(),
    }
}
