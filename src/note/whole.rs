//! Whole notes, as bytes that anybody may have written.
//!
//! What [`Note::save`](super::Note::save) gives is one chunk, which says its own version:
//!
//! ```text
//! magic · checksum · type 0 · length · actors · heads · columns of changes · columns of operations · data
//! ```
//!
//! So the version that somebody claims for a note, and how much it unfolds to, are told without loading it.

use std::io::Read as _;

use sha2::{Digest as _, Sha256};

use super::{
    bounds::{INTEGERS, unfolded},
    chunk::{MOST_COLUMNS, MOST_OTHERS},
    document::NoteError,
    history::{Heads, LONGEST, MAGIC, MOST_OPERATIONS},
    numbers::{at_most, take, text, unsigned},
};
use crate::id::ChangeHash;

/// The type of a chunk that is a document.
const DOCUMENT: u8 = 0;
/// In the type of a column: it is compressed.
const DEFLATED: u64 = 8;

/// Reads which version of a note a document is, and checks that its bytes are whole.
///
/// # Errors
///
/// [`NoteError::Damaged`] where they are not, or are no document.
pub fn inspect_whole(bytes: &[u8]) -> Result<Heads, NoteError> {
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

/// Its version, and the most that a column of integers unfolds to.
fn parse(chunk: &[u8]) -> Option<(Heads, u64)> {
    let mut data = chunk.strip_prefix(&[DOCUMENT])?;
    let data = &mut data;
    if unsigned(data)? != data.len() as u64 {
        return None;
    }
    for _ in 0..at_most(MOST_OTHERS, data)? {
        text(data)?;
    }
    let mut heads = Vec::new();
    for _ in 0..unsigned(data)? {
        heads.push(ChangeHash::from_slice(take(data, ChangeHash::LEN as u64)?)?);
    }
    let mut columns = Vec::new();
    for _ in ["changes", "operations"] {
        for _ in 0..at_most(MOST_COLUMNS, data)? {
            columns.push((unsigned(data)?, unsigned(data)?));
        }
    }
    let mut longest = 0;
    for (kind, length) in columns {
        let column = take(data, length)?;
        if INTEGERS.contains(&(kind & 7)) {
            let inflated = (kind & DEFLATED != 0).then(|| inflate(column));
            let column = match &inflated {
                None => column,
                Some(inflated) => inflated.as_deref()?,
            };
            longest = longest.max(unfolded(column)?);
        }
    }
    Some((heads.into(), longest))
}

fn inflate(column: &[u8]) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    let decoder = flate2::read::DeflateDecoder::new(column);
    decoder.take(LONGEST as u64 + 1).read_to_end(&mut inflated).ok()?;
    (inflated.len() <= LONGEST).then_some(inflated)
}
