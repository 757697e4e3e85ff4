//! Notes and edits that are the same wherever they are made.
//!
//! A folder that something carries, Syncthing or a disk, is on several devices, and each that imports it finds
//! the same new files and the same edits. What each makes of one is one change then, byte by byte: its author
//! is no device, but the hash of what it does, and its time is that of the file.

use automerge::ActorId;

use super::{
    document::{Note, NoteError},
    embed::{Body, Piece},
    history::{Change, Heads},
};
use crate::{
    clock::Timestamp,
    id::{NoteId, VaultId},
};

/// What the ids of notes of files are derived from besides the files. Another number for whatever makes other
/// changes of the same file: two notes are better than one that has all of its text twice.
const OF_FILE: &str = "everleaf 2026-11-29 a note of a file, version 1";
/// The largest body of which edits are made alike, in code points and embeds: it takes a copy of the note.
const LARGEST: usize = 1 << 20;
/// Who makes an edit, for as long as its author has no name.
const NOBODY: [u8; 8] = [0; 8];

impl Note {
    /// The id of the note that a file of a vault's folder becomes, and the author of its first change.
    #[must_use]
    pub fn of_file(vault: VaultId, path: &str, body: &Body, at: Timestamp) -> (NoteId, [u8; 8]) {
        let mut hasher = blake3::Hasher::new_derive_key(OF_FILE);
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(vault.as_bytes());
        part(&at.0.to_le_bytes());
        part(path.as_bytes());
        for piece in body.pieces() {
            match piece {
                Piece::Text(text) => part(text.as_bytes()),
                Piece::Embed(embed) => {
                    part(embed.image.as_bytes());
                    part(embed.name.as_bytes());
                    part(embed.path.as_deref().unwrap_or_default().as_bytes());
                }
                Piece::Foreign => part(&[]),
            }
        }
        let (mut random, mut actor) = ([0; 10], [0; 8]);
        let mut bytes = hasher.finalize_xof();
        bytes.fill(&mut random);
        bytes.fill(&mut actor);
        (NoteId::new(at.millis(), random), actor)
    }

    /// The same as [`edit_body`](Self::edit_body), and the same change on every device that makes the same of
    /// the same version at the same time, whatever else it knows of the note.
    ///
    /// # Errors
    ///
    /// [`NoteError::UnknownHeads`] where `base` is not here.
    pub fn edit_alike(
        &mut self,
        base: &Heads,
        new: &Body,
        at: Timestamp,
    ) -> Result<Option<Change>, NoteError> {
        if new.units().max(self.body().units()) > LARGEST {
            return self.edit_body(base, new, at);
        }
        // Operations are numbered by all that the document has.
        let mut alone = self.alone_at(base)?;
        let mut nobodys = alone.clone();
        nobodys.document.set_actor(ActorId::from(NOBODY.as_slice()));
        let Some(change) = nobodys.edit_body(base, new, at)? else { return Ok(None) };
        let author = blake3::hash(&change.bytes);
        let author = author.as_bytes().first_chunk::<8>().copied().unwrap_or(NOBODY);
        alone.document.set_actor(ActorId::from(author.as_slice()));
        let Some(change) = alone.edit_body(base, new, at)? else { return Ok(None) };
        if self.holds(&change) {
            // It was undone since, and whoever makes it again means it.
            return self.edit_body(base, new, at);
        }
        self.apply(&[&change.bytes])?;
        Ok(Some(change))
    }

    /// The note as if nothing had come after a version.
    fn alone_at(&self, heads: &Heads) -> Result<Self, NoteError> {
        if *heads == self.heads() {
            return Ok(self.clone());
        }
        let document = self.document.fork_at(&self.known(heads)?)?;
        let (body, images) = (self.body.clone(), self.images.clone());
        Ok(Self { id: self.id, document, body, images, shown: std::sync::OnceLock::new() })
    }
}
