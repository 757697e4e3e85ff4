//! What a change is called, what it builds on and when it was made, read off its beginning.

use sha2::{Digest as _, Sha256};

use super::{
    bounds::START,
    document::NoteError,
    history::{CHANGE, COMPRESSED, ChangeInfo, MAGIC, inspect, seconds},
    numbers::{signed, skip, take, text, unsigned},
};
use crate::{clock::Timestamp, id::ChangeHash};

/// The name of a change, the changes that it builds on, and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Its name.
    pub hash: ChangeHash,
    /// The changes that it builds on.
    pub deps: Vec<ChangeHash>,
    /// When it was made, by its author's clock, in whole seconds.
    pub at: Timestamp,
}

impl From<ChangeInfo> for Outline {
    fn from(ChangeInfo { hash, deps, at, .. }: ChangeInfo) -> Self {
        Self { hash, deps, at }
    }
}

/// Reads the outline of a change, and checks that its bytes are whole. That they make sense was found
/// out by [`inspect`] when they came, or was known of those that were made here; to unfold them again
/// takes as long as to load them.
///
/// # Errors
///
/// [`NoteError::Damaged`] where the bytes are not whole, or are no change.
pub fn outline(bytes: &[u8]) -> Result<Outline, NoteError> {
    if bytes.get(START - 1) == Some(&COMPRESSED) {
        return inspect(bytes).map(Into::into);
    }
    read(bytes).ok_or_else(|| NoteError::Damaged {
        reason: "it is no change, or the checksum of a change is wrong".to_owned(),
    })
}

fn read(bytes: &[u8]) -> Option<Outline> {
    let (magic_and_checksum, chunk) = bytes.split_at_checked(8)?;
    let hash: [u8; 32] = Sha256::digest(chunk).into();
    if *magic_and_checksum != [MAGIC.as_slice(), hash.get(..4)?].concat() {
        return None;
    }
    let (kind, mut rest) = chunk.split_first()?;
    let length = unsigned(&mut rest)?;
    if *kind != CHANGE || rest.len() as u64 != length {
        return None;
    }
    let count = unsigned(&mut rest)?;
    let deps = take(&mut rest, count.checked_mul(ChangeHash::LEN as u64)?)?;
    let deps = deps.chunks_exact(ChangeHash::LEN).map(ChangeHash::from_slice);
    text(&mut rest)?; // The actor.
    for _ in ["seq", "first operation"] {
        skip(&mut rest)?;
    }
    let at = seconds(signed(&mut rest)?);
    Some(Outline { hash: ChangeHash::from_bytes(hash), deps: deps.collect::<Option<_>>()?, at })
}
