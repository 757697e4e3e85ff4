//! From bytes to a note.

use automerge::{Automerge, LoadOptions, TextEncoding};

use super::{
    bounds::{START, longest_column},
    document::{Note, NoteError},
    embed::Body,
    first::Opening,
    history::{Change, MOST_OPERATIONS, guarded},
    whole,
};
use crate::id::NoteId;

const ENCODING: TextEncoding = TextEncoding::UnicodeCodePoint;

impl Note {
    /// Loads a note from what [`Note::save`] gave and changes, or from changes alone, in any order.
    ///
    /// The genesis need not be among them. Changes whose dependencies are missing wait; see
    /// [`Note::missing`].
    ///
    /// # Errors
    ///
    /// [`NoteError::Damaged`] for bytes that are not whole, [`NoteError::NotThisNote`] for another
    /// document's.
    pub fn load(
        id: NoteId,
        actor: [u8; 8],
        snapshot: Option<&[u8]>,
        changes: &[&[u8]],
    ) -> Result<Self, NoteError> {
        let genesis = Self::genesis(id);
        let unfolded = snapshot.and_then(whole::changes).transpose()?;
        let mut all: Vec<&[u8]> = unfolded.iter().flatten().map(Vec::as_slice).collect();
        if let Some(snapshot) = snapshot
            && !all.contains(&genesis.bytes.as_slice())
        {
            let note = Self::of(id, actor, document(snapshot)?, None);
            let is_this = guarded(|| Ok(note.holds(&genesis)))?;
            return if is_this {
                note.with(changes)
            } else {
                Err(NoteError::NotThisNote { note: id })
            };
        }
        all.extend(changes);
        if let Some((document, body)) = begun(id, &genesis, &mut all) {
            return Self::of(id, actor, document, Some(body)).with(&all);
        }
        all.insert(0, &genesis.bytes);
        Self::of(id, actor, Automerge::new_with_encoding(ENCODING), None).with(&all)
    }

    fn with(mut self, changes: &[&[u8]]) -> Result<Self, NoteError> {
        if !changes.is_empty() {
            self.apply(changes)?;
        }
        Ok(self)
    }
}

fn document(bytes: &[u8]) -> Result<Automerge, NoteError> {
    let is_unbearable = |chunk: &[u8]| {
        // A change alone is one as well.
        if chunk.get(START - 1) == Some(&whole::DOCUMENT) {
            return whole::is_unbearable(chunk);
        }
        longest_column(chunk).is_none_or(|length| length > MOST_OPERATIONS)
    };
    let mut rest = bytes;
    // What waits for others stands behind a document. What is no whole chunk, Automerge refuses.
    let mut chunks = std::iter::from_fn(|| whole::next(&mut rest).map(|(chunk, _)| chunk));
    let first = chunks.next().unwrap_or(bytes);
    if is_unbearable(first) || chunks.any(is_unbearable) {
        let reason = "it is no document, or has far too much".to_owned();
        return Err(NoteError::Damaged { reason });
    }
    let options = LoadOptions::new().text_encoding(ENCODING);
    guarded(|| Automerge::load_with_options(bytes, options).map_err(NoteError::damaged))
}

/// The document that the first of these changes make, which are taken out, and its body; `None` where they
/// are not what a note begins with.
fn begun(id: NoteId, genesis: &Change, changes: &mut Vec<&[u8]>) -> Option<(Automerge, Body)> {
    let read = |change: &&[u8]| Opening::read_behind(id, genesis.hash, change);
    let (content, opening) =
        changes.iter().find_map(|change| read(change).map(|opening| (*change, opening)))?;
    // What is refused here for whatever reason, the changes themselves are not.
    let document = document(&opening.document()).ok()?;
    changes.retain(|change| *change != content && *change != genesis.bytes);
    Some((document, opening.body))
}
