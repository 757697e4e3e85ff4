//! What a change is called and what it builds on, read off its beginning.

use sha2::{Digest as _, Sha256};

use super::{
    bounds::START,
    document::NoteError,
    history::{CHANGE, COMPRESSED, MAGIC, inspect},
    numbers::{take, unsigned},
};
use crate::id::ChangeHash;

/// The name of a change, and the changes that it builds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Its name.
    pub hash: ChangeHash,
    /// The changes that it builds on.
    pub deps: Vec<ChangeHash>,
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
        let info = inspect(bytes)?;
        return Ok(Outline { hash: info.hash, deps: info.deps });
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
    Some(Outline { hash: ChangeHash::from_bytes(hash), deps: deps.collect::<Option<_>>()? })
}
