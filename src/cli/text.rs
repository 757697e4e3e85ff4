//! How things read: tables, sizes, times, numbers of things.

use std::io::{self, Write};

use everleaf::clock::Timestamp;
use jiff::tz::TimeZone;

/// The widest column that is padded; longer cells push the rest of their line to the right.
const WIDEST: usize = 44;

/// Rows of cells that line up.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| clean(&cell)).into());
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).min(WIDEST)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            // A column that is empty throughout takes no room.
            for (cell, width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
                line.extend([format!("{cell:width$}"), "  ".to_owned()]);
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A text from a note, without characters that would steer a terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// `1 image`, `2 images`.
pub(super) fn count(number: impl TryInto<u64>, thing: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A size as people read it: `740 B`, `1.2 MB`.
#[expect(clippy::cast_precision_loss, reason = "shown to one digit")]
pub(super) fn size(bytes: u64) -> String {
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
pub(super) fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.to_string(), local)
}

/// Such a time from RFC 3339.
pub(super) fn time_of(rfc3339: &str) -> String {
    rfc3339.parse().map_or_else(|_| rfc3339.to_owned(), local)
}

fn local(time: jiff::Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// How many digits of these ids tell them apart, and at least eight.
pub(super) fn digits(ids: impl IntoIterator<Item = String>) -> usize {
    let mut ids: Vec<String> = ids.into_iter().collect();
    ids.sort_unstable();
    let pairs = ids.iter().zip(ids.iter().skip(1));
    let shared =
        pairs.map(|(a, b)| a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count() + 1);
    shared.max().unwrap_or(0).max(8)
}

/// The first digits of an id.
pub(super) fn short(id: &impl ToString, digits: usize) -> String {
    id.to_string().chars().take(digits).collect()
}
