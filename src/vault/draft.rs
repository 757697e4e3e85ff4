//! Saving what is being written in an editor that stays open.

use std::collections::BTreeMap;

use super::{Edited, Vault, VaultError, notes::check_length};
use crate::{
    id::NoteId,
    images::Stored,
    note::{Body, Heads},
};

impl Vault {
    /// [`edit`](Self::edit) for an editor that stays open: what it gives is the base of what is written
    /// next, and what others did meanwhile is merged in the note's present version. It should save once a
    /// second at most, since each save is a change for ever.
    ///
    /// `pictures` are images that [`images`](Self::images) took in, by the names that the source calls them,
    /// percent-encoded or not. A name that stands where it stood means the image that stood there; to put
    /// another in its place, call that otherwise. A draft that was saved before, say by a request whose
    /// answer got lost, is not saved twice.
    ///
    /// # Errors
    ///
    /// As [`edit`](Self::edit) has them.
    pub fn save_draft(
        &self,
        note: NoteId,
        base: &Heads,
        source: &str,
        pictures: &BTreeMap<String, Stored>,
    ) -> Result<Edited, VaultError> {
        check_length(source)?;
        let before = self.read(note, Some(base))?;
        if before.body.written() == source {
            return Ok(Edited { heads: before.heads, changed: false });
        }
        let (mut found, mut batch) = (Vec::new(), self.images().batch());
        let body = self.parse_with(source, Some(&before), pictures, &mut found, |destination| {
            self.take_in(destination, None, &mut batch)
        })?;
        batch.finish()?;
        self.edit_at(note, base, &body, &found)
    }

    /// Gives a note the body that it had at `heads`, as one more edit; whether it had another.
    ///
    /// # Errors
    ///
    /// Where nothing was changed.
    pub fn go_back(&self, note: NoteId, heads: &Heads) -> Result<bool, VaultError> {
        let then: Body = self.read(note, Some(heads))?.body;
        let now = self.read(note, None)?;
        Ok(self.edit_body(note, &now.heads, &then, &[])?.changed)
    }
}
