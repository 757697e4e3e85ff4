//! Changes without what can be recomputed from those before them.
//!
//! Most of a change that somebody typed in a second are hashes, which do not compress: its checksum, and
//! the name of the change before it. Whoever has the change before can compute both. So changes that
//! travel together are written as these fields, one change after the other:
//!
//! ```text
//! dependencies   how many; each as its distance in the note's changes, 1 for the one before, or 0 and its hash
//! actor          0 for the note's genesis, 1 and the actor where it is new, else its place among those known
//! seq            what it is more than the next of that actor
//! first          what it is more than the next operation after all dependencies that are known
//! time           what it is more than that of the change before, of whatever note
//! message        its length, and it
//! other actors   how many; each as the actor is
//! columns        how many; the types of all, the lengths of all, the data of all
//! rest           its length, and it
//! ```
//!
//! The text that was typed stands apart, behind all fields of all changes: it compresses better among its
//! own kind. The place where it was typed, given as the number of the operation before it, is written as
//! what it is less than the change's own, since most typing goes on where it was.
//!
//! A change that would not come back byte for byte is not written so, nor is one that it would make longer.

use std::{borrow::Cow, collections::HashMap};

use super::{
    chunk::{Chunk, MOST_COLUMNS, MOST_OTHERS},
    numbers::{at_most, put_signed, put_text, put_unsigned, signed, take, text, unsigned},
};
use crate::id::{ChangeHash, NoteId};

/// The column of the text that was typed.
const TYPED: u64 = 0x57;
/// The column of the operations behind which it was typed.
const PLACES: u64 = 0x13;

/// How an actor is written.
const GENESIS: u64 = 0;
const NEW: u64 = 1;
const KNOWN: u64 = 2;

/// The longest actor that is remembered, and how many are.
const LONGEST_ACTOR: usize = 64;
const MOST_ACTORS: usize = 1 << 16;

/// What the changes so far tell of the next. Whoever strips and whoever restores know the same.
#[derive(Debug, Default)]
pub struct Known {
    actors: Vec<Vec<u8>>,
    places: HashMap<Vec<u8>, u64>,
    chains: HashMap<NoteId, Chain>,
    time: i64,
}

/// The changes of one note so far.
#[derive(Debug, Default)]
struct Chain {
    /// Each with the number of the next operation.
    changes: Vec<(ChangeHash, u64)>,
    places: HashMap<ChangeHash, usize>,
    /// How far the actors have counted.
    seqs: HashMap<Vec<u8>, u64>,
}

/// A change without what can be recomputed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stripped {
    /// Its fields.
    pub fields: Vec<u8>,
    /// The text that was typed.
    pub typed: Vec<u8>,
}

impl Known {
    /// Writes a change without what is known of it; `None` where [`restore`](Self::restore) could not give
    /// its bytes back, or where they are as short.
    pub fn strip(&mut self, note: NoteId, change: &[u8]) -> Option<Stripped> {
        let (chunk, hash) = Chunk::read(change)?;
        let (mut fields, mut typed) = (Vec::with_capacity(64), Vec::new());
        let out = &mut fields;
        let chain = self.chains.entry(note).or_default();
        put_unsigned(out, chunk.deps.len() as u64);
        for dep in &chunk.deps {
            let distance = chain.places.get(dep).map(|place| chain.changes.len() - place);
            put_unsigned(out, distance.unwrap_or_default() as u64);
            if distance.is_none() {
                out.extend_from_slice(dep.as_bytes());
            }
        }
        let (seq, first) = (chain.next_seq(&chunk.actor), chain.next_operation(&chunk.deps));
        let mut new: Vec<&[u8]> = Vec::new();
        self.put_actor(out, note, &chunk.actor, &mut new)?;
        put_difference(out, chunk.seq, seq);
        put_difference(out, chunk.first, first);
        put_signed(out, chunk.time.wrapping_sub(self.time));
        put_text(out, chunk.message);
        put_unsigned(out, chunk.others.len() as u64);
        for other in &chunk.others {
            self.put_actor(out, note, other, &mut new)?;
        }
        put_columns(out, &mut typed, &chunk)?;
        put_text(out, chunk.rest);
        if fields.len() + typed.len() >= change.len() {
            return None;
        }
        let new: Vec<Vec<u8>> = new.into_iter().map(<[u8]>::to_vec).collect();
        for actor in new {
            self.meet(actor);
        }
        self.note(note, &chunk, hash);
        Some(Stripped { fields, typed })
    }

    /// Reads a change of at most `limit` bytes from what [`strip`](Self::strip) wrote; `None` where it is
    /// anything else. Says nothing of what Automerge makes of it.
    pub fn restore<'a>(
        &mut self,
        note: NoteId,
        fields: &mut &'a [u8],
        typed: &mut &'a [u8],
        limit: usize,
    ) -> Option<Vec<u8>> {
        let deps = self.take_deps(note, fields, limit)?;
        let actor = self.take_actor(fields, note)?;
        let chain = self.chains.entry(note).or_default();
        let seq = take_difference(fields, chain.next_seq(&actor))?;
        let first = take_difference(fields, chain.next_operation(&deps))?;
        let time = self.time.wrapping_add(signed(fields)?);
        let message = text(fields)?;
        let mut others = Vec::new();
        let mut room = limit;
        for _ in 0..at_most(MOST_OTHERS, fields)? {
            let other = self.take_actor(fields, note)?;
            room = room.checked_sub(other.len() + 1)?;
            others.push(other.into());
        }
        let columns = take_columns(fields, typed, first)?;
        let rest = text(fields)?;
        let actor = actor.into();
        let chunk = Chunk { deps, actor, seq, first, time, message, others, columns, rest };
        let (bytes, hash) = chunk.write();
        self.note(note, &chunk, hash);
        (bytes.len() <= limit).then_some(bytes)
    }

    fn take_deps(&self, note: NoteId, fields: &mut &[u8], limit: usize) -> Option<Vec<ChangeHash>> {
        let mut deps = Vec::new();
        for _ in 0..unsigned(fields)? {
            let dep = match usize::try_from(unsigned(fields)?).ok()? {
                0 => ChangeHash::from_slice(take(fields, ChangeHash::LEN as u64)?)?,
                distance => {
                    let changes = &self.chains.get(&note)?.changes;
                    changes.get(changes.len().checked_sub(distance)?)?.0
                }
            };
            deps.push(dep);
            if deps.len() > limit / ChangeHash::LEN {
                return None;
            }
        }
        Some(deps)
    }

    /// Writes an actor, which is among the `new` ones where it was not known; `None` where there is no
    /// place for it.
    fn put_actor<'a>(
        &self,
        out: &mut Vec<u8>,
        note: NoteId,
        actor: &'a [u8],
        new: &mut Vec<&'a [u8]>,
    ) -> Option<()> {
        let among_new = || new.iter().position(|known| *known == actor);
        let place = match self.places.get(actor) {
            Some(place) => Some(*place),
            None => among_new().map(|place| (self.actors.len() + place) as u64),
        };
        if actor == note.as_bytes() {
            put_unsigned(out, GENESIS);
        } else if let Some(place) = place {
            put_unsigned(out, KNOWN + place);
        } else {
            let is_full = self.actors.len() + new.len() >= MOST_ACTORS;
            if actor.len() > LONGEST_ACTOR || is_full {
                return None;
            }
            put_unsigned(out, NEW);
            put_text(out, actor);
            new.push(actor);
        }
        Some(())
    }

    fn take_actor(&mut self, fields: &mut &[u8], note: NoteId) -> Option<Vec<u8>> {
        match unsigned(fields)? {
            GENESIS => Some(note.as_bytes().to_vec()),
            NEW => {
                let actor = text(fields)?;
                let is_new = actor != note.as_bytes() && !self.places.contains_key(actor);
                if actor.len() > LONGEST_ACTOR || self.actors.len() >= MOST_ACTORS || !is_new {
                    return None;
                }
                self.meet(actor.to_vec());
                Some(actor.to_vec())
            }
            known => self.actors.get(usize::try_from(known - KNOWN).ok()?).cloned(),
        }
    }

    fn meet(&mut self, actor: Vec<u8>) {
        self.places.insert(actor.clone(), self.actors.len() as u64);
        self.actors.push(actor);
    }

    fn note(&mut self, note: NoteId, chunk: &Chunk<'_>, hash: ChangeHash) {
        self.time = chunk.time;
        let chain = self.chains.entry(note).or_default();
        chain.places.insert(hash, chain.changes.len());
        chain.changes.push((hash, chunk.next()));
        chain.seqs.insert(chunk.actor.to_vec(), chunk.seq);
    }
}

impl Chain {
    fn next_seq(&self, actor: &[u8]) -> u64 {
        self.seqs.get(actor).map_or(1, |seq| seq.wrapping_add(1))
    }

    fn next_operation(&self, deps: &[ChangeHash]) -> u64 {
        let known = deps.iter().filter_map(|dep| self.places.get(dep));
        let next = known.filter_map(|place| self.changes.get(*place)).map(|(_, next)| *next);
        next.max().unwrap_or(1)
    }
}

fn put_columns(fields: &mut Vec<u8>, typed: &mut Vec<u8>, chunk: &Chunk<'_>) -> Option<()> {
    put_unsigned(fields, chunk.columns.len() as u64);
    chunk.columns.iter().for_each(|(kind, _)| put_unsigned(fields, *kind));
    let mut data = Vec::new();
    for (kind, column) in &chunk.columns {
        let start = data.len();
        match *kind {
            TYPED => {
                put_unsigned(fields, column.len() as u64);
                typed.extend_from_slice(column);
                continue;
            }
            PLACES => {
                let moved = shifted(column, chunk.first.wrapping_neg())?;
                if *column != shifted(&moved, chunk.first)? {
                    return None;
                }
                data.extend_from_slice(&moved);
            }
            _ => data.extend_from_slice(column),
        }
        put_unsigned(fields, (data.len() - start) as u64);
    }
    fields.extend_from_slice(&data);
    Some(())
}

fn take_columns<'a>(
    fields: &mut &'a [u8],
    typed: &mut &'a [u8],
    first: u64,
) -> Option<Vec<(u64, Cow<'a, [u8]>)>> {
    let mut kinds = Vec::new();
    for _ in 0..at_most(MOST_COLUMNS, fields)? {
        kinds.push(unsigned(fields)?);
    }
    let mut lengths = Vec::with_capacity(kinds.len());
    for _ in &kinds {
        lengths.push(unsigned(fields)?);
    }
    let mut columns = Vec::with_capacity(kinds.len());
    for (kind, length) in kinds.into_iter().zip(lengths) {
        let column = match kind {
            TYPED => take(typed, length)?.into(),
            PLACES => shifted(take(fields, length)?, first)?.into(),
            _ => take(fields, length)?.into(),
        };
        columns.push((kind, column));
    }
    Some(columns)
}

/// A column of differences whose first value is `by` more.
fn shifted(column: &[u8], by: u64) -> Option<Vec<u8>> {
    let mut rest = column;
    if column.is_empty() || signed(&mut rest)? == 0 {
        return Some(column.to_vec());
    }
    let mut moved = column.get(..column.len() - rest.len())?.to_vec();
    let value = signed(&mut rest)?;
    put_signed(&mut moved, value.wrapping_add(by.cast_signed()));
    moved.extend_from_slice(rest);
    Some(moved)
}

fn put_difference(out: &mut Vec<u8>, value: u64, expected: u64) {
    put_signed(out, value.wrapping_sub(expected).cast_signed());
}

fn take_difference(fields: &mut &[u8], expected: u64) -> Option<u64> {
    Some(expected.wrapping_add(signed(fields)?.cast_unsigned()))
}
