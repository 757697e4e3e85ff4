//! Obsidian's `![[name|size]]`.

use std::ops::Range;

/// The places that decide whether a `![[` is one, in the order of the source.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Text and the openings of links and images: not code, not HTML, not a destination.
    text: Vec<Range<usize>>,
    images: Vec<Range<usize>>,
    tables: Vec<Range<usize>>,
}

/// One `![[name|size]]`.
#[derive(Debug)]
pub(super) struct Embed {
    /// The whole of it.
    pub(super) shown: Range<usize>,
    /// The name, without the white space around it.
    pub(super) name: Range<usize>,
    pub(super) target: String,
}

impl Places {
    pub(super) fn text(&mut self, range: Range<usize>) {
        self.text.push(range);
    }

    pub(super) fn image(&mut self, range: Range<usize>) {
        self.images.push(range);
    }

    pub(super) fn table(&mut self, range: Range<usize>) {
        self.tables.push(range);
    }

    /// The embeds of `text`, in its order; none overlaps another.
    pub(super) fn embeds(&self, text: &str) -> Vec<Embed> {
        let mut embeds = Vec::new();
        let mut end = 0;
        for (start, _) in text.match_indices("![[") {
            if start < end || !self.opens(text, start) {
                continue;
            }
            if let Some(embed) = read(text, start, around(&self.tables, start).is_some()) {
                end = embed.shown.end;
                embeds.push(embed);
            }
        }
        embeds
    }

    /// Whether the `![[` at `start` can open an embed: it is text, not escaped, not in an alt text.
    fn opens(&self, text: &str, start: usize) -> bool {
        let before = text.as_bytes().get(..start).unwrap_or_default();
        let escapes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
        escapes.is_multiple_of(2)
            && (start..start + 3).all(|byte| around(&self.text, byte).is_some())
            && around(&self.images, start).is_none_or(|image| image.start == start)
    }
}

/// The range that holds `place`, of ranges in the order of their starts.
fn around(ranges: &[Range<usize>], place: usize) -> Option<&Range<usize>> {
    let after = ranges.partition_point(|range| range.start <= place);
    after.checked_sub(1).and_then(|last| ranges.get(last)).filter(|range| place < range.end)
}

/// Reads the embed whose `![[` is at `start`.
fn read(text: &str, start: usize, in_table: bool) -> Option<Embed> {
    let open = start + 3;
    let line = text.get(open..)?;
    let name_end = line.find(['|', ']', '[', '\n', '\r'])?;
    let rest = line.get(name_end..)?;
    let close = if rest.starts_with("]]") {
        name_end
    } else if rest.starts_with('|') {
        name_end + size_end(rest)?
    } else {
        return None;
    };
    let whole = line.get(..close)?;
    if in_table && splits_cell(whole) {
        return None;
    }
    let written = line.get(..name_end)?;
    // In a table the bar is escaped, and Obsidian takes it so anywhere.
    let written =
        if rest.starts_with('|') { written.strip_suffix('\\').unwrap_or(written) } else { written };
    let name = written.trim();
    if name.is_empty() {
        return None;
    }
    let name_start = open + (written.len() - written.trim_start().len());
    Some(Embed {
        shown: start..open + close + 2,
        name: name_start..name_start + name.len(),
        target: name.to_owned(),
    })
}

/// Where the `]]` stands that ends a size or an alias. Another `[[` or the line's end comes too early:
/// so no byte is read more than twice.
fn size_end(rest: &str) -> Option<usize> {
    let stop = |pair: &[u8]| matches!(pair, b"]]" | b"[[" | [_, b'\n' | b'\r']);
    let at = rest.as_bytes().windows(2).position(stop)?;
    rest.get(at..)?.starts_with("]]").then_some(at)
}

/// Whether a bar in `text` ends the table's cell.
fn splits_cell(text: &str) -> bool {
    let mut escaped = false;
    text.bytes().any(|byte| {
        let splits = byte == b'|' && !escaped;
        escaped = byte == b'\\' && !escaped;
        splits
    })
}
