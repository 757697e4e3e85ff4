//! YAML front matter.

use std::ops::Range;

const BOM: &str = "\u{feff}";

/// The bytes before the Markdown begins: a byte order mark, and YAML between two lines of `---`.
///
/// The range is that of the YAML with its fences, from after the mark; where there is none it is empty.
#[must_use]
pub fn front_matter(source: &str) -> Range<usize> {
    let start = if source.starts_with(BOM) { BOM.len() } else { 0 };
    let mut lines = source.get(start..).unwrap_or_default().split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| line.trim_end() == "---" && line.ends_with('\n'))
    else {
        return start..start;
    };
    let mut end = start + first.len();
    for line in lines {
        end += line.len();
        if matches!(line.trim_end(), "---" | "...") {
            return start..end;
        }
    }
    start..start
}
