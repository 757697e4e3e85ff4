//! Whole notes, as bytes that anybody may have written.
//!
//! What [`Note::save`](super::Note::save) gives is one chunk, which says its own version:
//!
//! ```text
//! magic · checksum · type 0 · length · actors · heads · columns of changes · columns of operations · data
//! ```
//!
//! So the version that somebody claims for a note, and how much it unfolds to, are told without loading it.
//!
//! To make such a chunk takes a load. Few changes that nobody ever put together are a whole note too, one
//! behind the other: the version is what none of them builds on. See [`in_changes`].

use std::{borrow::Cow, collections::HashSet};

use sha2::{Digest as _, Sha256};

use super::{
    bounds::{self, DEFLATED, INTEGERS, START, are_distinct, longest_column, unfolded},
    chunk::{ACTIONS, LENGTHS, MOST_COLUMNS, MOST_OTHERS},
    deflate::{deflate, inflate},
    document::{Note, NoteError},
    history::{CHANGE, COMPRESSED, Heads, LONGEST, MAGIC, MOST_OPERATIONS, seconds},
    numbers::{at_most, put_unsigned, signed, take, text, unsigned},
    outline::outline,
};
use crate::{
    clock::Timestamp,
    id::{ChangeHash, NoteId},
};

/// The type of a chunk that is a document.
pub(super) const DOCUMENT: u8 = 0;
/// The types of the columns of the times of changes, in seconds, and of the numbers of their last operations: both
/// of differences.
const TIMES: u64 = 0x23;
const LAST: u64 = 0x13;
/// The most changes that a document may have: those of a month in which somebody types without a pause.
const MOST_CHANGES: u64 = 1 << 22;
/// The most changes that a whole note is made of one by one.
const FEW: usize = 16;
/// The size of a change in bytes from which it is compressed, as Automerge has it.
const WORTH_IT: usize = 256;

/// Reads which version of a note a document is, and checks that its bytes are whole.
///
/// # Errors
///
/// [`NoteError::Damaged`] where they are not, or are no document.
pub fn inspect_whole(bytes: &[u8]) -> Result<Heads, NoteError> {
    if is_of_changes(bytes) {
        return inspect_changes(bytes);
    }
    let damaged = |reason: &str| NoteError::Damaged { reason: reason.to_owned() };
    let checksum = bytes.get(4..8).filter(|_| bytes.starts_with(&MAGIC) && bytes.len() <= LONGEST);
    let (Some(checksum), Some(chunk)) = (checksum, bytes.get(8..)) else {
        return Err(damaged("it is no note, or too long a one"));
    };
    let hash: [u8; 32] = Sha256::digest(chunk).into();
    if !hash.starts_with(checksum) {
        return Err(damaged("the checksum of a note is wrong"));
    }
    let (heads, longest) = parse(chunk).ok_or_else(|| damaged("it is no whole note"))?;
    if longest > MOST_OPERATIONS {
        return Err(damaged("it has far too many operations"));
    }
    Ok(heads)
}

/// When a whole note last changed, by the clocks of its authors, in whole seconds; `None` where its bytes do
/// not say.
#[must_use]
pub fn last_change(bytes: &[u8]) -> Option<Timestamp> {
    if let Some(changes) = changes(bytes) {
        let at = |change: &Vec<u8>| outline(change).ok().map(|outline| outline.at);
        return changes.ok()?.iter().filter_map(at).max();
    }
    let times = times(bytes.get(8..)?)?;
    bounds_of(&times)?.map(|(_, last)| seconds(last))
}

/// The least and the most that a column of differences comes to; `None` in it where it is empty, and `None` where it
/// makes no sense.
#[expect(clippy::option_option, reason = "a column that is empty makes sense")]
fn bounds_of(mut column: &[u8]) -> Option<Option<(i64, i64)>> {
    let (mut bounds, mut value) = (None, 0_i64);
    while !column.is_empty() {
        // Runs of differences: of none, of one again and again, or of one after the other.
        let run = signed(&mut column)?;
        let (differs, often) = match run {
            0 => {
                unsigned(&mut column)?;
                continue;
            }
            repeated @ 1.. => (1, repeated),
            literals => (literals.unsigned_abs(), 1),
        };
        for _ in 0..differs {
            let difference = signed(&mut column)?;
            let first = value.saturating_add(difference);
            value = value.saturating_add(difference.saturating_mul(often));
            let (least, most) = bounds.unwrap_or((first, first));
            bounds = Some((least.min(first).min(value), most.max(first).max(value)));
        }
    }
    Some(bounds)
}

/// The column of the times of the changes of a document.
fn times(chunk: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (_, [changes, _], data) = head(chunk)?;
    column(&changes, data, TIMES)
}

/// The column of this type, as it is without compression; one that is not there is empty. `None` where it makes no
/// sense.
fn column<'a>(columns: &Columns, mut data: &'a [u8], kind: u64) -> Option<Cow<'a, [u8]>> {
    for (found, length) in columns {
        let column = take(&mut data, *length)?;
        if found & !DEFLATED == kind {
            return uncompressed(*found, column);
        }
    }
    Some(Cow::default())
}

fn uncompressed(kind: u64, column: &[u8]) -> Option<Cow<'_, [u8]>> {
    if kind & DEFLATED == 0 {
        Some(column.into())
    } else {
        inflate(column, LONGEST).map(Cow::Owned)
    }
}

/// The whole note that changes are, put together without loading it; `None` where they are not all that
/// there is of it, or where one that is loaded and saved would be much smaller.
#[must_use]
pub fn in_changes(note: NoteId, changes: &[&[u8]]) -> Option<Vec<u8>> {
    let sizes = || changes.iter().map(|change| change.len());
    // Automerge saves what a change says many times better than the change itself, but for its text.
    let is_compact = sizes().sum::<usize>() <= sizes().max()? / 4 * 5 + 2 * WORTH_IT;
    let genesis = Note::genesis(note).bytes;
    if !is_compact || changes.len() > FEW || !changes.contains(&genesis.as_slice()) {
        return None;
    }
    let mut whole = Vec::new();
    for change in changes {
        put_compressed(change, &mut whole)?;
    }
    Some(whole)
}

/// Writes a change as Automerge compresses it. Its checksum is that of what it unfolds to.
fn put_compressed(change: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if change.len() < WORTH_IT {
        out.extend_from_slice(change);
        return Some(());
    }
    let (head, data) = change.split_at_checked(START)?;
    let (CHANGE, mut data) = (*head.last()?, data) else { return None };
    unsigned(&mut data)?;
    let deflated = deflate(data)?;
    out.extend_from_slice(head.get(..START - 1)?);
    out.push(COMPRESSED);
    put_unsigned(out, deflated.len() as u64);
    out.extend_from_slice(&deflated);
    Some(())
}

/// The changes that a whole note is made of, one behind the other, each without compression; `None` where
/// it is not made of changes.
pub(super) fn changes(bytes: &[u8]) -> Option<Result<Vec<Vec<u8>>, NoteError>> {
    is_of_changes(bytes).then(|| unfold(bytes))
}

fn is_of_changes(bytes: &[u8]) -> bool {
    matches!(bytes.get(START - 1), Some(&(CHANGE | COMPRESSED)))
}

fn unfold(bytes: &[u8]) -> Result<Vec<Vec<u8>>, NoteError> {
    let damaged = |reason: &str| NoteError::Damaged { reason: reason.to_owned() };
    if bytes.len() > LONGEST {
        return Err(damaged("it is too long a note"));
    }
    let (mut changes, mut rest, mut room) = (Vec::new(), bytes, LONGEST);
    while !rest.is_empty() {
        if changes.len() == FEW {
            return Err(damaged("it is made of too many changes"));
        }
        let change = inflated(&mut rest, room).ok_or_else(|| damaged("it is no whole note"))?;
        room = room.saturating_sub(change.len());
        changes.push(change);
    }
    Ok(changes)
}

/// The version that changes make, one behind the other; each of them whole, and none without what it
/// builds on.
fn inspect_changes(bytes: &[u8]) -> Result<Heads, NoteError> {
    let damaged = |reason: &str| NoteError::Damaged { reason: reason.to_owned() };
    let (mut changes, mut built_on) = (HashSet::new(), HashSet::new());
    for change in unfold(bytes)? {
        if longest_column(&change).is_none_or(|length| length > MOST_OPERATIONS) {
            return Err(damaged("it has far too many operations"));
        }
        let outline = outline(&change)?;
        changes.insert(outline.hash);
        built_on.extend(outline.deps);
    }
    if !built_on.is_subset(&changes) {
        return Err(damaged("changes that it builds on are not in it"));
    }
    Ok(changes.difference(&built_on).copied().collect::<Vec<_>>().into())
}

/// Takes the next change off `rest`, as it is without compression, in so many bytes at most.
fn inflated(rest: &mut &[u8], room: usize) -> Option<Vec<u8>> {
    let (whole, content) = next(rest)?;
    let head = whole.get(..START)?;
    if *head.last()? == CHANGE {
        return Some(whole.to_vec());
    }
    let inflated = inflate(content, room)?;
    let is_compressed = *head.last()? == COMPRESSED;
    let mut change = head.get(..START - 1).filter(|_| is_compressed)?.to_vec();
    change.push(CHANGE);
    put_unsigned(&mut change, inflated.len() as u64);
    change.extend_from_slice(&inflated);
    Some(change)
}

/// Columns by their types and lengths, in order.
type Columns = Vec<(u64, u64)>;

/// Its version, and the most that a column of integers unfolds to.
fn parse(chunk: &[u8]) -> Option<(Heads, u64)> {
    let (heads, columns, data) = head(chunk)?;
    let [of_changes, of_operations] = weighed(&columns, data)?;
    Some((heads, of_changes.max(of_operations)))
}

/// The most that a column of integers of changes, and one of operations, unfolds to; `None` where it makes no sense,
/// or is such as no note has.
fn weighed([changes, operations]: &[Columns; 2], mut data: &[u8]) -> Option<[u64; 2]> {
    let all = data;
    let of_changes = longest(changes, &mut data)?;
    let of_operations = longest(operations, &mut { data })?;
    let is_sound = is_numbered(changes, all)? && !is_odd(operations, data)?;
    is_sound.then_some([of_changes, of_operations])
}

/// The most that a column of integers stands for.
fn longest(columns: &Columns, data: &mut &[u8]) -> Option<u64> {
    let mut longest = 0;
    for (kind, length) in columns {
        let column = take(data, *length)?;
        if INTEGERS.contains(&(kind & 7)) {
            longest = longest.max(unfolded(&uncompressed(*kind, column)?)?);
        }
    }
    Some(longest)
}

/// Whether a document is nothing that Automerge may be given: it says that it has more changes or operations than any
/// note, or does not say how many, for each of which Automerge makes room before it looks at anything else; or it has
/// operations that no note has; or it can't be told.
pub(super) fn is_unbearable(bytes: &[u8]) -> bool {
    let content = next(&mut { bytes }).and_then(|(_, data)| content(data));
    let weighed = content.and_then(|(_, columns, data)| weighed(&columns, data));
    weighed.is_none_or(|[of_changes, of_operations]| {
        of_changes > MOST_CHANGES || of_operations > MOST_OPERATIONS
    })
}

/// Whether the operations of changes are numbered so that Automerge can count them, and more behind them.
fn is_numbered(changes: &Columns, data: &[u8]) -> Option<bool> {
    let bounds = bounds_of(&column(changes, data, LAST)?)?;
    Some(bounds.is_none_or(|(least, most)| least >= 0 && most.unsigned_abs() <= u32::MAX.into()))
}

/// Whether there are operations that no note has.
fn is_odd(operations: &Columns, data: &[u8]) -> Option<bool> {
    let column = |kind| column(operations, data, kind);
    Some(bounds::is_odd(&column(ACTIONS)?, &column(LENGTHS)?))
}

/// Takes the next chunk off `rest`, and gives what is in it as well; `None` where there is no whole one.
pub(super) fn next<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let all = *rest;
    let (_, mut data) = all.split_at_checked(START)?;
    let length = unsigned(&mut data)?;
    let content = take(&mut data, length)?;
    *rest = data;
    Some((all.get(..all.len() - data.len())?, content))
}

/// The version of a document, the columns of its changes and of its operations, and the data of all.
fn head(chunk: &[u8]) -> Option<(Heads, [Columns; 2], &[u8])> {
    let mut data = chunk.strip_prefix(&[DOCUMENT])?;
    let is_all = unsigned(&mut data)? == data.len() as u64;
    content(data).filter(|_| is_all)
}

fn content(mut data: &[u8]) -> Option<(Heads, [Columns; 2], &[u8])> {
    for _ in 0..at_most(MOST_OTHERS, &mut data)? {
        text(&mut data)?;
    }
    let mut heads = Vec::new();
    for _ in 0..unsigned(&mut data)? {
        heads.push(ChangeHash::from_slice(take(&mut data, ChangeHash::LEN as u64)?)?);
    }
    let mut columns = [Columns::new(), Columns::new()];
    for columns in &mut columns {
        for _ in 0..at_most(MOST_COLUMNS, &mut data)? {
            columns.push((unsigned(&mut data)?, unsigned(&mut data)?));
        }
        if !are_distinct(columns) {
            return None;
        }
    }
    Some((heads.into(), columns, data))
}
