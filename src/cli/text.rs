//! How things read in a terminal: tables, clean text, short ids; and sizes, times, numbers of things.

use std::io::{self, Write};

pub(super) use everleaf::units::{count, size, time, time_of};

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
