//! The part of an object that `Range` asks for.

/// A part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    All,
    /// From the first byte to the last, both included.
    Some(u64, u64),
    /// A part that is not there.
    None,
}

/// What a header asks for of an object of `size` bytes. Several ranges, other units and what makes no
/// sense stand for all of it, as HTTP lets a server do.
pub(super) fn part(header: Option<&str>, size: u64) -> Part {
    let Some(range) = header.and_then(|text| text.strip_prefix("bytes=")) else { return Part::All };
    let Some((from, to)) = range.split_once('-') else { return Part::All };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let (first, last) = match (number(from), number(to)) {
        (Some(first), Some(last)) if first <= last => (first, last.min(size.saturating_sub(1))),
        (Some(first), None) if to.is_empty() => (first, size.saturating_sub(1)),
        (None, Some(0)) if from.is_empty() => return Part::None,
        (None, Some(count)) if from.is_empty() => {
            (size.saturating_sub(count), size.saturating_sub(1))
        }
        _ => return Part::All,
    };
    if first < size { Part::Some(first, last) } else { Part::None }
}
