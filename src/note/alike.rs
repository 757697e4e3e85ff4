//! Notes and edits that are the same wherever they are made.
//!
//! A folder that something carries, Syncthing or a disk, is on several devices, and each that imports it finds
//! the same new files and the same edits. What each makes of one is one change then, byte by byte: its author
//! is no device, but the hash of what it does, and its time is that of the file.

use std::{collections::HashSet, sync::OnceLock};

use automerge::{ActorId, Cursor, ReadDoc as _};

use super::{
    block::{Seen, set},
    document::{Note, NoteError},
    edit::splices,
    embed::{Body, Piece},
    history::{Change, ChangeInfo, Heads},
    ticks::{Tick, differ},
};
use crate::{
    clock::Timestamp,
    id::{ChangeHash, NoteId, VaultId},
};

/// What the ids of notes of files are derived from besides the files. Another number for whatever makes other
/// changes of the same file: two notes are better than one that has all of its text twice.
const OF_FILE: &str = "everleaf 2026-11-29 a note of a file, version 1";
/// The largest body to which edits are made alike, in code points and embeds: it takes two copies of the note.
const LARGEST: usize = 1 << 20;
/// How much of the hash of an edit names its author. Two edits of one author are a damaged note, and whoever
/// wrote the file may look for some.
const AUTHOR: usize = 16;

impl Note {
    /// The id of the note that a file of a vault's folder becomes, and the author of its first change. `nth`
    /// counts the notes of such a file that are there already, as one that was thrown away.
    #[must_use]
    pub fn of_file(
        vault: VaultId,
        path: &str,
        body: &Body,
        at: Timestamp,
        nth: u32,
    ) -> (NoteId, [u8; 8]) {
        let mut hasher = blake3::Hasher::new_derive_key(OF_FILE);
        let mut part = |kind: u8, bytes: &[u8]| {
            hasher.update(&[kind]);
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(0, vault.as_bytes());
        part(1, &at.0.to_le_bytes());
        part(2, &nth.to_le_bytes());
        part(3, path.as_bytes());
        for piece in body.pieces() {
            match piece {
                Piece::Text(text) => part(4, text.as_bytes()),
                Piece::Embed(embed) => {
                    part(5, embed.image.as_bytes());
                    part(6, embed.name.as_bytes());
                    if let Some(path) = &embed.path {
                        part(7, path.as_bytes());
                    }
                }
                Piece::Foreign => part(8, &[]),
            }
        }
        let (mut random, mut actor) = ([0; 10], [0; 8]);
        let mut bytes = hasher.finalize_xof();
        bytes.fill(&mut random);
        bytes.fill(&mut actor);
        (NoteId::new(at.millis(), random), actor)
    }

    /// The same as [`edit_body`](Self::edit_body), and the same change on every device that makes the same of
    /// the same version at the same time, whatever else it knows of the note. Gives the version that the
    /// author is at, and the change, if it is news: what was made of `base` before, at that time, is what
    /// something carried here. Behind it may be one of this device, which ticks again what was unticked since.
    ///
    /// # Errors
    ///
    /// [`NoteError::UnknownHeads`] where `base` is not here.
    pub fn edit_alike(
        &mut self,
        base: &Heads,
        new: &Body,
        at: Timestamp,
    ) -> Result<(Heads, Vec<Change>), NoteError> {
        if let Some(made) = self.made_at(base, new, at)? {
            return Ok((made, Vec::new()));
        }
        if new.units() > LARGEST {
            return self.edit_from(base, new, at);
        }
        if *base == self.heads() {
            let Some(author) = self.clone().author(base, new, at)? else {
                return Ok((base.clone(), Vec::new()));
            };
            let own = self.document.get_actor().clone();
            self.document.set_actor(author);
            let made = self.edit_from(base, new, at);
            self.document.set_actor(own);
            return made;
        }
        // Operations are numbered by all that the document has.
        let mut alone = self.alone_at(base)?;
        let Some(author) = alone.clone().author(base, new, at)? else {
            return Ok((base.clone(), Vec::new()));
        };
        let boxes = alone.boxes(new)?;
        alone.document.set_actor(author);
        let (version, mut made) = alone.edit_from(base, new, at)?;
        made.retain(|change| !self.holds(change));
        if let [change] = made.as_slice() {
            self.apply(&[&change.bytes])?;
            made.extend(self.set_again(&boxes, at)?);
        }
        Ok((version, made))
    }

    /// The same as [`edit_body`](Self::edit_body), which gives the version that the author is at as well.
    pub(crate) fn edit_from(
        &mut self,
        base: &Heads,
        new: &Body,
        at: Timestamp,
    ) -> Result<(Heads, Vec<Change>), NoteError> {
        let change = self.edit_body(base, new, at)?;
        let version =
            change.as_ref().map_or_else(|| base.clone(), |change| vec![change.hash].into());
        Ok((version, change.into_iter().collect()))
    }

    /// The boxes that an edit to `new` sets, each where it is now, and what it will have in it.
    fn boxes(&self, new: &Body) -> Result<Vec<(Cursor, char)>, NoteError> {
        let shown = self.shown();
        let ticks = self.take_ticks(shown, None, &mut splices(&shown.body, new));
        let of = |Tick { at, state }| Ok((self.document.get_cursor(&self.body, at, None)?, state));
        ticks.into_iter().map(of).collect()
    }

    /// Sets boxes once more that an edit just set, so that all of them are there, and that show something else: its
    /// operations are numbered as if nothing had come since, so where a task was ticked and unticked meanwhile, that
    /// would stand, and whoever ticks it now would not see it done. That others do the same changes nothing.
    fn set_again(
        &mut self,
        boxes: &[(Cursor, char)],
        at: Timestamp,
    ) -> Result<Option<Change>, NoteError> {
        let seen = Seen { document: &self.document, heads: None };
        let character = |at: Option<usize>| seen.character(&self.body, at?);
        let mut ticks = Vec::new();
        for (cursor, state) in boxes {
            let place = self.document.get_cursor_position(&self.body, cursor, None)?;
            let is_box = character(place.checked_sub(1)) == Some('[')
                && character(Some(place + 1)) == Some(']');
            if is_box && character(Some(place)).is_some_and(|shown| differ(shown, *state)) {
                ticks.push(Tick { at: place, state: *state });
            }
        }
        let text = self.body.clone();
        self.shown = OnceLock::new();
        self.change(at, None, |transaction| set(transaction, &text, &ticks))
    }

    /// Who makes an edit: the hash of what it is when nobody makes it. `None` where nothing would change.
    fn author(
        mut self,
        base: &Heads,
        new: &Body,
        at: Timestamp,
    ) -> Result<Option<ActorId>, NoteError> {
        self.document.set_actor(ActorId::from([0; AUTHOR].as_slice()));
        let change = self.edit_body(base, new, at)?;
        let hash = change.map(|change| blake3::hash(&change.bytes));
        Ok(hash.map(|hash| ActorId::from(hash.as_bytes().get(..AUTHOR).unwrap_or_default())))
    }

    /// The version behind `base` that was made at `at`, and shows `new`.
    fn made_at(&self, base: &Heads, new: &Body, at: Timestamp) -> Result<Option<Heads>, NoteError> {
        let history = self.history();
        for change in history.iter().filter(|change| change.at == at) {
            let heads = Heads::from(vec![change.hash]);
            if is_behind(&history, base, change.hash) && self.body_at(&heads)? == *new {
                return Ok(Some(heads));
            }
        }
        Ok(None)
    }

    /// The note as if nothing had come after a version.
    fn alone_at(&self, heads: &Heads) -> Result<Self, NoteError> {
        let document = self.document.fork_at(&self.known(heads)?)?;
        let (body, images) = (self.body.clone(), self.images.clone());
        Ok(Self { id: self.id, document, body, images, shown: OnceLock::new() })
    }
}

/// Whether a change builds on all of `base`, if not directly.
fn is_behind(history: &[ChangeInfo], base: &Heads, change: ChangeHash) -> bool {
    base.as_slice().iter().all(|head| {
        let mut behind = HashSet::from([*head]);
        for one in history {
            if one.deps.iter().any(|dep| behind.contains(dep)) {
                behind.insert(one.hash);
            }
        }
        *head != change && behind.contains(&change)
    })
}
