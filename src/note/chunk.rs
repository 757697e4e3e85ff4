//! What a change is made of, as bytes: Automerge's own format.
//!
//! ```text
//! ┌─────────┬──────────┬──────┬────────┬──────┬───────┬─────┬───────┬──────┬─────────┬────────┬─────────┬──────┐
//! │ magic   │ checksum │ type │ length │ deps │ actor │ seq │ first │ time │ message │ others │ columns │ rest │
//! │ 4 bytes │ 4 bytes  │ 1    │        │      │       │     │ op    │      │         │        │         │      │
//! └─────────┴──────────┴──────┴────────┴──────┴───────┴─────┴───────┴──────┴─────────┴────────┴─────────┴──────┘
//!                      └── the SHA-256 hash of all this names the change, and begins with the checksum ──┘
//! ```
//!
//! Numbers are LEB128; what has a length stands behind it, and the data of the columns behind the types
//! and lengths of all of them.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::{
    bounds::unfolded,
    history::{CHANGE, MAGIC},
    numbers::{at_most, put_signed, put_text, put_unsigned, signed, take, text, unsigned},
};
use crate::id::ChangeHash;

/// The column that says what each operation does: one number for each.
pub(super) const ACTIONS: u64 = 0x42;
/// The column that says how long the value of each operation is, and of which type.
pub(super) const LENGTHS: u64 = 0x56;

/// How many other actors, and how many columns, a change has at most that is taken apart.
pub(super) const MOST_OTHERS: u64 = 1 << 16;
pub(super) const MOST_COLUMNS: u64 = 256;

/// A change in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    pub(super) deps: Vec<ChangeHash>,
    pub(super) actor: Cow<'a, [u8]>,
    pub(super) seq: u64,
    /// The number of its first operation.
    pub(super) first: u64,
    /// In seconds.
    pub(super) time: i64,
    pub(super) message: &'a [u8],
    /// The other actors that its operations name.
    pub(super) others: Vec<Cow<'a, [u8]>>,
    /// Each with its type.
    pub(super) columns: Vec<(u64, Cow<'a, [u8]>)>,
    pub(super) rest: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Takes a change apart; `None` where that is not all there is to its bytes, so that
    /// [`write`](Self::write) would not give them back.
    pub(super) fn read(bytes: &'a [u8]) -> Option<(Self, ChangeHash)> {
        let mut data = bytes.strip_prefix(&MAGIC)?.get(4..)?.strip_prefix(&[CHANGE])?;
        let data = &mut data;
        let length = unsigned(data)?;
        if data.len() as u64 != length {
            return None;
        }
        let chunk = Self::parse(data)?;
        let (written, hash) = chunk.write();
        (written == bytes).then_some((chunk, hash))
    }

    fn parse(data: &mut &'a [u8]) -> Option<Self> {
        let mut deps = Vec::new();
        for _ in 0..unsigned(data)? {
            deps.push(ChangeHash::from_slice(take(data, ChangeHash::LEN as u64)?)?);
        }
        let actor = text(data)?.into();
        let (seq, first, time) = (unsigned(data)?, unsigned(data)?, signed(data)?);
        let message = text(data)?;
        let mut others = Vec::new();
        for _ in 0..at_most(MOST_OTHERS, data)? {
            others.push(text(data)?.into());
        }
        let mut lengths = Vec::new();
        for _ in 0..at_most(MOST_COLUMNS, data)? {
            lengths.push((unsigned(data)?, unsigned(data)?));
        }
        let mut columns = Vec::with_capacity(lengths.len());
        for (kind, length) in lengths {
            columns.push((kind, take(data, length)?.into()));
        }
        Some(Self { deps, actor, seq, first, time, message, others, columns, rest: data })
    }

    /// The bytes of the change, and its name.
    pub(super) fn write(&self) -> (Vec<u8>, ChangeHash) {
        let mut data = Vec::with_capacity(128);
        put_unsigned(&mut data, self.deps.len() as u64);
        self.deps.iter().for_each(|dep| data.extend_from_slice(dep.as_bytes()));
        put_text(&mut data, &self.actor);
        put_unsigned(&mut data, self.seq);
        put_unsigned(&mut data, self.first);
        put_signed(&mut data, self.time);
        put_text(&mut data, self.message);
        put_unsigned(&mut data, self.others.len() as u64);
        self.others.iter().for_each(|other| put_text(&mut data, other));
        put_columns_head(&mut data, &self.columns);
        self.columns.iter().for_each(|(_, column)| data.extend_from_slice(column));
        data.extend_from_slice(self.rest);

        framed(CHANGE, &data)
    }

    /// The number that an operation right after its last one has.
    pub(super) fn next(&self) -> u64 {
        let actions = self.columns.iter().find(|(kind, _)| *kind == ACTIONS);
        let operations = actions.and_then(|(_, column)| unfolded(column)).unwrap_or_default();
        self.first.saturating_add(operations)
    }
}

/// A chunk of a type, and the hash that its checksum is the beginning of.
pub(super) fn framed(kind: u8, data: &[u8]) -> (Vec<u8>, ChangeHash) {
    let mut head = Vec::with_capacity(6);
    head.push(kind);
    put_unsigned(&mut head, data.len() as u64);
    let hash: [u8; 32] = Sha256::new().chain_update(&head).chain_update(data).finalize().into();
    let [a, b, c, d, ..] = hash;
    let bytes = [&MAGIC[..], &[a, b, c, d], &head, data].concat();
    (bytes, ChangeHash::from_bytes(hash))
}

/// Writes how many columns there are, and the type and the length of each.
pub(super) fn put_columns_head(out: &mut Vec<u8>, columns: &[(u64, impl AsRef<[u8]>)]) {
    put_unsigned(out, columns.len() as u64);
    for (kind, column) in columns {
        put_unsigned(out, *kind);
        put_unsigned(out, column.as_ref().len() as u64);
    }
}
