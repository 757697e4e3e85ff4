//! Which changes make up each note. Knows the order of changes, but loads no document.

use serde::{Deserialize, Serialize};

use super::pair;
use crate::{
    clock::Timestamp,
    db::{DbError, Draft, Read, Table},
    event::{ChangeBytes, Event, Recorded},
    id::{ChangeHash, NoteId, Seq},
    log::FoldError,
    note,
};

/// What is known of a note without loading it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Document {
    /// The changes that no other known change builds on, sorted.
    pub heads: Vec<ChangeHash>,
    /// Changes that are built on and have not arrived, sorted.
    pub missing: Vec<ChangeHash>,
    /// How many changes there are.
    pub changes: u64,
    /// The event that brought the last of them.
    pub last: Seq,
    /// When somebody last changed it: by the clock of who did, but not later than that got here by this
    /// device's. Of a note that came whole it is its last change, whoever made it; what upload projectors
    /// do since is none.
    pub updated: Timestamp,
    /// Where it came whole: what it is made of at first.
    pub received: Option<Received>,
}

/// A note that came whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The event that brought it.
    pub seq: Seq,
    /// Whether all of its changes are known by name; otherwise only its heads are.
    pub indexed: bool,
}

impl Document {
    /// Whether it can't be told without loading the note if a change whose name is not known is news: it
    /// may be in what came whole. One that builds on what was last known is not.
    ///
    /// # Errors
    ///
    /// What `is_known` gives.
    pub fn is_doubtful<E>(
        &self,
        deps: &[ChangeHash],
        mut is_known: impl FnMut(ChangeHash) -> Result<bool, E>,
    ) -> Result<bool, E> {
        if self.received.is_none_or(|received| received.indexed) {
            return Ok(false);
        }
        for dep in deps {
            if !is_known(*dep)? {
                return Ok(true);
            }
        }
        Ok(deps.is_empty())
    }
}

pub(super) fn fold(event: &Recorded, draft: &mut Draft<'_>) -> Result<(), FoldError> {
    match &event.event {
        Event::NoteChanged { note, change } => changed(event, *note, change, draft),
        Event::NoteReceived { note, heads, changes, document, .. } => {
            received(event, *note, document, heads, *changes, draft)
        }
        Event::NoteIndexed { note, changes } => indexed(*note, changes, draft),
        _ => Ok(()),
    }
}

fn changed(
    event: &Recorded,
    note: NoteId,
    change: &ChangeBytes,
    draft: &mut Draft<'_>,
) -> Result<(), FoldError> {
    let info = note::outline(&change.0)
        .map_err(|error| FoldError::Change { seq: event.seq, reason: error.to_string() })?;
    if seq_of(draft, info.hash)?.is_some() {
        return Ok(());
    }
    let mut document = get(draft, note)?.unwrap_or_default();
    for dep in info.deps {
        // Mostly a change builds on what was last known, which need not be looked up.
        if let Ok(place) = document.heads.binary_search(&dep) {
            document.heads.remove(place);
        } else if seq_of(draft, dep)?.is_none() {
            insert(&mut document.missing, dep);
        }
    }
    match document.missing.binary_search(&info.hash) {
        Ok(found) => drop(document.missing.remove(found)),
        Err(_) => insert(&mut document.heads, info.hash),
    }
    // Of a note that came whole, somebody else said how many it has.
    document.changes = document.changes.saturating_add(1);
    document.last = event.seq;
    if document.changes == 1 {
        document.updated = begun(note, event.at);
    }
    if !event.origin.is_projector() {
        document.updated = document.updated.max(info.at.min(event.at));
    }
    draft.put_row(Table::Changes, info.hash.as_bytes(), &event.seq)?;
    draft.put(Table::Tails, &pair(note.as_bytes(), &event.seq.0.to_be_bytes()), Vec::new());
    draft.put_row(Table::Documents, note.as_bytes(), &document)?;
    Ok(())
}

fn received(
    event: &Recorded,
    note: NoteId,
    document: &ChangeBytes,
    heads: &[ChangeHash],
    changes: u64,
    draft: &mut Draft<'_>,
) -> Result<(), FoldError> {
    if get(draft, note)?.is_some() {
        return Ok(());
    }
    let last = note::last_change(&document.0).unwrap_or_default().min(event.at);
    for head in heads {
        draft.put_row(Table::Changes, head.as_bytes(), &event.seq)?;
    }
    let document = Document {
        heads: heads.to_vec(),
        missing: Vec::new(),
        changes,
        last: event.seq,
        updated: begun(note, event.at).max(last),
        received: Some(Received { seq: event.seq, indexed: false }),
    };
    draft.put(Table::Tails, &pair(note.as_bytes(), &event.seq.0.to_be_bytes()), Vec::new());
    draft.put_row(Table::Documents, note.as_bytes(), &document)?;
    Ok(())
}

/// When a note was made, as far as that can be.
fn begun(note: NoteId, now: Timestamp) -> Timestamp {
    let created = i64::try_from(note.created_millis()).unwrap_or(i64::MAX);
    Timestamp(created).min(now)
}

/// None of `changes` is a head: each has another that builds on it.
fn indexed(note: NoteId, changes: &[ChangeHash], draft: &mut Draft<'_>) -> Result<(), FoldError> {
    let Some(mut document) = get(draft, note)? else { return Ok(()) };
    let Some(received) = &mut document.received else { return Ok(()) };
    received.indexed = true;
    let seq = received.seq;
    for change in changes {
        if seq_of(draft, *change)?.is_none() {
            draft.put_row(Table::Changes, change.as_bytes(), &seq)?;
        }
    }
    document.missing.retain(|missing| !changes.contains(missing));
    document.heads.retain(|head| !changes.contains(head));
    draft.put_row(Table::Documents, note.as_bytes(), &document)?;
    Ok(())
}

fn insert(sorted: &mut Vec<ChangeHash>, hash: ChangeHash) {
    if let Err(place) = sorted.binary_search(&hash) {
        sorted.insert(place, hash);
    }
}

/// What is known of a note; `None` where nothing is.
///
/// # Errors
///
/// What the database said.
pub fn get(read: &impl Read, note: NoteId) -> Result<Option<Document>, DbError> {
    read.row(Table::Documents, note.as_bytes())
}

/// The event that brought a change; `None` where none did.
///
/// # Errors
///
/// What the database said.
pub fn seq_of(read: &impl Read, change: ChangeHash) -> Result<Option<Seq>, DbError> {
    read.row(Table::Changes, change.as_bytes())
}

/// The events after `after` that brought changes of a note, in the order of the log.
///
/// # Errors
///
/// What the database said.
pub fn tail(read: &impl Read, note: NoteId, after: Seq) -> Result<Vec<Seq>, DbError> {
    // From there on: an edit asks for this, and must not step over all that were ever made of its note.
    let first = after.next().0.to_be_bytes();
    let rows = read.scan_between(Table::Tails, note.as_bytes(), &first, None)?;
    Ok(rows.iter().filter_map(|(key, _)| tail_row(key)).map(|(_, seq)| seq).collect())
}

/// Every note, by its id.
///
/// # Errors
///
/// What the database said.
pub fn notes(read: &impl Read) -> Result<Vec<NoteId>, DbError> {
    let rows = read.scan(Table::Documents, &[])?;
    Ok(rows.iter().filter_map(|(key, _)| NoteId::from_slice(key)).collect())
}

/// Every event that brought a change of any note, with that note: note by note, so not in the order of
/// the log.
///
/// # Errors
///
/// What the database said.
pub(super) fn all(read: &impl Read) -> Result<Vec<(NoteId, Seq)>, DbError> {
    let rows = read.scan(Table::Tails, &[])?;
    Ok(rows.iter().filter_map(|(key, _)| tail_row(key)).collect())
}

/// The note and the event that a row is about.
fn tail_row(key: &[u8]) -> Option<(NoteId, Seq)> {
    let (note, seq) = key.split_at_checked(NoteId::LEN)?;
    let seq = u64::from_be_bytes(seq.try_into().ok()?);
    Some((NoteId::from_slice(note)?, Seq(seq)))
}
