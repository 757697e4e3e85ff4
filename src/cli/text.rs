//! How things read in a terminal: tables, clean text, short ids; and sizes, times, numbers of things.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

pub(super) use everleaf::units::{count, size, time};
use unicode_width::UnicodeWidthStr as _;

/// The widest column that is padded; longer cells push the rest of their line to the right.
const WIDEST: usize = 44;

/// Rows of cells that line up.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// Of the columns of what was written.
    widths: Vec<usize>,
}

impl Table {
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| clean(&cell)).into());
    }

    /// Writes its rows, which then are no longer in it. Those that come later line up with them where they
    /// fit.
    pub(super) fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.rows {
            self.widths.resize(row.len().max(self.widths.len()), 0);
            for (cell, width) in row.iter().zip(&mut self.widths) {
                *width = cell.width().min(WIDEST).max(*width);
            }
        }
        for row in self.rows.drain(..) {
            let mut line = String::new();
            // A column that is empty throughout takes no room.
            for (cell, width) in row.iter().zip(&self.widths).filter(|(_, width)| **width > 0) {
                // Some characters are as wide as two, and others as none.
                let padding = width.saturating_sub(cell.width()) + 2;
                line.extend([cell.as_str(), &" ".repeat(padding)]);
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A text from elsewhere as one line, without characters that would steer a terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The same of several lines.
pub(super) fn harmless(text: &str) -> String {
    let lines: Vec<String> =
        text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).map(tabbed).collect();
    lines.join("\n")
}

fn tabbed(line: &str) -> String {
    line.split('\t').map(clean).collect::<Vec<_>>().join("\t")
}

/// JSON that means the same, and steers no terminal: what JSON itself does not escape.
pub(super) fn harmless_json(json: &str) -> String {
    let mut harmless = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) {
            // All of them have four digits, and stand within strings.
            let _ = write!(harmless, "\\u{:04x}", u32::from(c));
        } else {
            harmless.push(c);
        }
    }
    harmless
}

/// Whether a character is an order rather than a part of a text: those that move the cursor, and those
/// that turn the direction of all that follows.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
