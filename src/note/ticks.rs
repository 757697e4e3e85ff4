//! The boxes of tasks: `[ ]` and `[x]`.
//!
//! A text merges letter by letter. Of two devices that tick one task at once, each would take out the same
//! space and put in an `x` of its own, and `[xx]` is no box any more. So what stands in a box is no text that is
//! typed, but a value that is set: of those that were set at once, a box has one.

use super::{
    edit::Splice,
    embed::{Body, Piece},
};

/// What a box may have in it, as GitHub's Markdown has it. All that is set says the same in other words, or
/// is a decision that somebody takes anew; another character may be what a person wrote.
const STATES: [char; 3] = [' ', 'x', 'X'];

/// How much of a line before a box is looked at, in bytes: nobody has an item in an item for ever.
const BEFORE: usize = 256;

/// Whether a box in which one of these stands says another thing than one with the other.
pub(super) fn differ(one: char, other: char) -> bool {
    STATES.contains(&one) && STATES.contains(&other) && (one == ' ') != (other == ' ')
}

/// A box that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tick {
    /// The place of what is in it, counted in code points and embeds.
    pub(super) at: usize,
    /// What shall be in it.
    pub(super) state: char,
}

/// Takes out of `plan`, which is for `body`, what sets boxes, and gives that in order; where something `is_one`
/// character in the document. Another client may have put in several as one.
pub(super) fn take_ticks(
    body: &Body,
    plan: &mut Vec<Splice>,
    is_one: impl Fn(usize) -> bool,
) -> Vec<Tick> {
    let mut ticks = ticks(body, plan);
    ticks.retain(|tick| is_one(tick.at));
    let mut taken = ticks.iter().peekable();
    plan.retain(|splice| taken.next_if(|tick| tick.at == splice.at).is_none());
    ticks
}

fn ticks(body: &Body, plan: &[Splice]) -> Vec<Tick> {
    let set = plan.iter().filter_map(|splice| Some(Tick { at: splice.at, state: state(splice)? }));
    let (mut set, mut ticks, mut passed) = (set.peekable(), Vec::new(), 0);
    for (index, piece) in body.pieces().iter().enumerate() {
        if set.peek().is_none() {
            break;
        }
        let end = passed + piece.units();
        let (mut byte, mut unit) = (0, passed);
        while let Some(tick) = set.next_if(|tick| tick.at < end) {
            let Piece::Text(text) = piece else { continue };
            let skipped = text.get(byte..).unwrap_or_default().char_indices().nth(tick.at - unit);
            (byte, unit) = (byte + skipped.map_or(0, |(bytes, _)| bytes), tick.at);
            if is_in_box(text, byte, index == 0) {
                ticks.push(tick);
            }
        }
        passed = end;
    }
    ticks
}

/// What takes the place of one character, if a box may have that in it.
fn state(splice: &Splice) -> Option<char> {
    let [Piece::Text(insert)] = splice.insert.pieces() else { return None };
    let mut states = STATES.into_iter();
    states.find(|state| splice.delete == 1 && insert.chars().eq([*state]))
}

/// Whether the character at a byte of a text is what a box has in it; `begins` says whether the body begins with the
/// text.
fn is_in_box(text: &str, at: usize, begins: bool) -> bool {
    let Some((before, behind)) = text.split_at_checked(at) else { return false };
    let mut behind = behind.chars();
    let is_state = behind.next().is_some_and(|state| STATES.contains(&state));
    let is_closed = behind.next() == Some(']') && behind.next().is_none_or(char::is_whitespace);
    if !is_state || !is_closed || !before.ends_with('[') {
        return false;
    }
    let near = before.get(before.ceil_char_boundary(at.saturating_sub(BEFORE))..);
    let near = near.unwrap_or_default();
    match near.rfind('\n') {
        Some(end) => near.get(end + 1..).is_some_and(opens_box),
        None => begins && near.len() == before.len() && opens_box(near),
    }
}

/// Whether a line up to here is the bullet or the number of an item, and the beginning of a box.
fn opens_box(line: &str) -> bool {
    let Some(mut rest) = line.strip_suffix('[') else { return false };
    let mut items = 0;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '>']);
        if rest.is_empty() {
            return items > 0;
        }
        let number = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let behind = if number.len() < rest.len() {
            number.strip_prefix(['.', ')'])
        } else {
            rest.strip_prefix(['-', '*', '+'])
        };
        let Some(behind) = behind.filter(|behind| behind.starts_with([' ', '\t'])) else {
            return false;
        };
        (rest, items) = (behind, items + 1);
    }
}
