//! How much a change unfolds to, told before anything unfolds it.
//!
//! The columns of a change are run-length encoded, so a hundred bytes can say that something happens
//! 2⁶³ times, and Automerge walks through all of that to check it. What decides how long it walks is
//! the column of actions; what it gathers meanwhile are the predecessors. Both are columns of integers,
//! whose runs are added up here without being unfolded.
//!
//! A text says how long it is, and Automerge makes room for that, up to a gigabyte, before it looks whether
//! there is so much. So the texts have to be there.
//!
//! The end of a mark names its beginning by the number before its own, and before the first operation there is
//! none: of such an end Automerge ends the whole process if it was built with debug assertions. Notes have no marks.
//!
//! What makes an object, or takes something away, has no value. Where it says that it has one, a document shows
//! something else once it was saved and loaded.

use super::{
    chunk::{ACTIONS, LENGTHS},
    deflate::inflate,
    first::Numbers,
    history::{CHANGE, COMPRESSED, LONGEST},
    numbers::{signed, skip, take, text, unsigned},
};

/// The magic number, the checksum and the type of a chunk.
pub(super) const START: usize = 4 + 4 + 1;
const HASH: u64 = 32;

/// The types of columns whose values are integers: how many there are in a group, actors, the integers themselves,
/// what each is more than the one before, and the lengths of values.
pub(super) const INTEGERS: [u64; 5] = [0, 1, 2, 3, 6];

/// The type of columns whose values are texts.
const TEXTS: u64 = 5;

/// In the type of a column: it is compressed.
pub(super) const DEFLATED: u64 = 8;

/// The actions that set a value, and that add a number to one.
const SET: u64 = 1;
const ADD: u64 = 5;
/// Those that make objects, and that which takes something away. Not those that begin and end marks.
const BARE: [u64; 5] = [0, 2, 3, 4, 6];
/// The types of values that are whole numbers.
const NUMBERS: [u64; 2] = [3, 4];

/// The most that a column of integers of a change unfolds to; `None` where it makes no sense, a text is longer
/// than its column, or there are operations that no note has.
pub(super) fn longest_column(chunk: &[u8]) -> Option<u64> {
    let (start, mut rest) = chunk.split_at_checked(START)?;
    let length = unsigned(&mut rest)?;
    let data = take(&mut rest, length)?;
    match *start.last()? {
        CHANGE => longest(data),
        COMPRESSED => longest(&inflate(data, LONGEST)?),
        // Of what else Automerge knows, as bundles of changes, nothing is in a note.
        _ => None,
    }
}

fn longest(mut data: &[u8]) -> Option<u64> {
    let data = &mut data;
    let dependencies = unsigned(data)?;
    take(data, dependencies.checked_mul(HASH)?)?;
    text(data)?; // The actor.
    skip(data)?; // Its number among those of the actor.
    let first = unsigned(data)?;
    skip(data)?; // The time.
    text(data)?; // The message.
    for _ in 0..unsigned(data)? {
        text(data)?; // Another actor.
    }
    let mut columns = Vec::new();
    for _ in 0..unsigned(data)? {
        columns.push((unsigned(data)?, unsigned(data)?));
    }
    if !are_distinct(&columns) {
        return None;
    }
    let (mut longest, mut actions, mut lengths) = (0, &[] as &[u8], &[] as &[u8]);
    for (kind, length) in columns {
        let column = take(data, length)?;
        if INTEGERS.contains(&(kind & 7)) {
            longest = longest.max(unfolded(column)?);
        }
        match kind {
            ACTIONS => actions = column,
            LENGTHS => lengths = column,
            _ => {}
        }
        if kind & 7 == TEXTS {
            runs(column, |column| text(column).map(drop))?;
        }
    }
    // Behind the last number that Automerge has, it goes on with the first.
    let ends = first.checked_add(longest)? <= u32::MAX.into();
    (ends && !is_odd(actions, lengths)).then_some(longest)
}

/// Whether columns, by their types and lengths, are in order and no two of one type: of two, Automerge takes the last.
pub(super) fn are_distinct(columns: &[(u64, u64)]) -> bool {
    columns.is_sorted_by(|(one, _), (next, _)| one & !DEFLATED < next & !DEFLATED)
}

/// Whether among operations are such as no note has, by what they do and by the lengths and types of their values.
pub(super) fn is_odd(actions: &[u8], lengths: &[u8]) -> bool {
    let (all, has_values) = (unfolded(actions), !lengths.is_empty());
    let (mut actions, mut lengths) = (Numbers::of(actions), Numbers::of(lengths));
    let mut looked_at = 0_u64;
    while let Some((action, mut left)) = actions.next_run(u64::MAX) {
        while left > 0 {
            let run = if has_values { lengths.next_run(left) } else { Some((0, left)) };
            let Some((length, run)) = run else { return true };
            let is_known = match action {
                SET => true,
                ADD => NUMBERS.contains(&(length & 0xf)),
                action => length == 0 && BARE.contains(&action),
            };
            if !is_known {
                return true;
            }
            left -= run;
            looked_at = looked_at.saturating_add(run);
        }
    }
    // What makes no sense ends early.
    Some(looked_at) != all
}

/// How many integers a column stands for.
pub(super) fn unfolded(column: &[u8]) -> Option<u64> {
    runs(column, skip)
}

/// How many values a column of runs stands for, of which `pass` passes over one.
fn runs(mut column: &[u8], pass: impl Fn(&mut &[u8]) -> Option<()>) -> Option<u64> {
    let column = &mut column;
    let mut total = 0_u64;
    while !column.is_empty() {
        let run = signed(column)?;
        let length = match run {
            0 => unsigned(column)?,
            repeated @ 1.. => {
                pass(column)?;
                repeated.unsigned_abs()
            }
            literals => {
                for _ in 0..literals.unsigned_abs() {
                    pass(column)?;
                }
                literals.unsigned_abs()
            }
        };
        total = total.saturating_add(length);
    }
    Some(total)
}
