//! Single changes of a note, as bytes that anybody may have written.

use std::{fmt, panic::AssertUnwindSafe, str::FromStr};

use automerge::{
    ActorId, ScalarValue,
    legacy::{Key, ObjectId, OpType},
};
use serde::{Deserialize, Serialize};

use super::{
    bounds::longest_column,
    document::{IMAGES, NoteError, actor_of},
};
use crate::{
    clock::Timestamp,
    id::{ChangeHash, NoteId, ParseIdError},
};

/// The longest change that is read, in bytes.
pub(super) const LONGEST: usize = 64 << 20;
/// The longest compressed change that is read, in bytes: it may unfold to a thousand times as much.
const LONGEST_COMPRESSED: usize = 64 << 10;
pub(super) const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
pub(super) const CHANGE: u8 = 1;
pub(super) const COMPRESSED: u8 = 2;
/// The most operations that a change may have: enough to replace all of the largest note.
pub(super) const MOST_OPERATIONS: u64 = 1 << 25;

/// One Automerge change, as it is logged and exchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub hash: ChangeHash,
    /// The changes that it builds on.
    pub deps: Vec<ChangeHash>,
    /// As Automerge encodes it, not compressed.
    pub bytes: Vec<u8>,
}

/// What is known of a change without its note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeInfo {
    /// Its name.
    pub hash: ChangeHash,
    /// The changes that it builds on.
    pub deps: Vec<ChangeHash>,
    /// When it was made, by its author's clock, to the second.
    pub at: Timestamp,
    /// What its author says of it; everleaf says nothing.
    pub message: Option<String>,
    /// Whom Automerge takes for its author: each opening of a vault, each edit of an old version, and
    /// each file that was imported is another.
    pub actor: Vec<u8>,
    /// Its number among the changes of that author, from 1.
    pub seq: u64,
}

/// A version of a note: the changes that no other change of it builds on.
///
/// Shown as their hex, joined by commas.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Vec<ChangeHash>")]
pub struct Heads(Vec<ChangeHash>);

impl Heads {
    /// The hashes, sorted.
    #[must_use]
    pub fn as_slice(&self) -> &[ChangeHash] {
        &self.0
    }

    pub(super) fn native(&self) -> Vec<automerge::ChangeHash> {
        self.0.iter().map(|hash| automerge::ChangeHash(*hash.as_bytes())).collect()
    }
}

impl From<Vec<ChangeHash>> for Heads {
    fn from(mut hashes: Vec<ChangeHash>) -> Self {
        hashes.sort_unstable();
        hashes.dedup();
        Self(hashes)
    }
}

impl fmt::Display for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, hash) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{hash}")?;
        }
        Ok(())
    }
}

impl FromStr for Heads {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let hashes = text.split(',').filter(|hash| !hash.is_empty());
        hashes.map(str::parse).collect::<Result<Vec<ChangeHash>, _>>().map(Self::from)
    }
}

impl Change {
    pub(super) fn new(change: &automerge::Change) -> Self {
        Self {
            hash: hash(change.hash()),
            deps: change.deps().iter().copied().map(hash).collect(),
            bytes: change.raw_bytes().to_vec(),
        }
    }
}

/// Reads what a change says of itself, and checks that its bytes are whole.
///
/// # Errors
///
/// [`NoteError::Damaged`] where they are not, or are no change.
pub fn inspect(bytes: &[u8]) -> Result<ChangeInfo, NoteError> {
    read(bytes).map(|change| ChangeInfo {
        hash: hash(change.hash()),
        deps: change.deps().iter().copied().map(hash).collect(),
        at: seconds(change.timestamp()),
        message: change.message().map(str::to_owned),
        actor: change.actor_id().to_bytes().to_vec(),
        seq: change.seq(),
    })
}

/// Whether all that a change of this note does is to put texts into `images`: it edits nothing.
///
/// # Errors
///
/// [`NoteError::Damaged`] where the bytes are not whole, or are no change.
pub fn touches_only_images(note: NoteId, bytes: &[u8]) -> Result<bool, NoteError> {
    let change = read(bytes)?;
    let expanded = guarded(|| Ok(change.decode()))?;
    let actor: ActorId = actor_of(note);
    Ok(expanded.operations.iter().all(|op| {
        let in_images = matches!(&op.obj, ObjectId::Id(id) if id.0 == IMAGES && id.1 == actor);
        let put = matches!(&op.action, OpType::Put(ScalarValue::Str(_)));
        in_images && put && !op.insert && matches!(&op.key, Key::Map(_))
    }))
}

/// Reads one change; Automerge itself does not compare the checksum.
pub(super) fn read(bytes: &[u8]) -> Result<automerge::Change, NoteError> {
    let kind = bytes.get(8).copied();
    let longest = if kind == Some(COMPRESSED) { LONGEST_COMPRESSED } else { LONGEST };
    if bytes.get(..4) != Some(&MAGIC) || bytes.len() > longest {
        return Err(NoteError::Damaged { reason: "it is no change, or too long a one".to_owned() });
    }
    if longest_column(bytes).is_none_or(|length| length > MOST_OPERATIONS) {
        let reason = "it is no change, or has far too many operations".to_owned();
        return Err(NoteError::Damaged { reason });
    }
    let change =
        guarded(|| automerge::Change::from_bytes(bytes.to_vec()).map_err(NoteError::damaged))?;
    if change.hash().0.get(..4) != bytes.get(4..8) {
        return Err(NoteError::Damaged { reason: "the checksum of a change is wrong".to_owned() });
    }
    Ok(change)
}

/// Runs what may panic on bytes that are damaged. What it was changing must then be dropped.
pub(super) fn guarded<T>(run: impl FnOnce() -> Result<T, NoteError>) -> Result<T, NoteError> {
    std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(NoteError::Damaged { reason: "Automerge could not make sense of it".to_owned() })
    })
}

pub(super) fn hash(hash: automerge::ChangeHash) -> ChangeHash {
    ChangeHash::from_bytes(hash.0)
}

pub(super) fn seconds(time: i64) -> Timestamp {
    Timestamp(time.saturating_mul(1000))
}
