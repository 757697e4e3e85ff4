//! Saving what is being written in an editor that stays open.

use std::collections::BTreeMap;

use super::{Vault, VaultError, notes::check_length};
use crate::{
    id::NoteId,
    images::Stored,
    note::{Body, Heads},
};

impl Vault {
    /// Changes the body of a note to `source`, which its author wrote having seen it at `base`, and
    /// gives the version that shows just that: the base of what is written next. What others did
    /// meanwhile is merged in the note's present version. For an editor that stays open; it should save
    /// once a second at most, since each save is a change for ever.
    ///
    /// `pictures` are images that [`images`](Self::images) took in, by the names that the source calls
    /// them. A draft that was saved before, say by a request whose answer got lost, is not saved twice.
    ///
    /// # Errors
    ///
    /// Where nothing was changed.
    pub fn save_draft(
        &self,
        note: NoteId,
        base: &Heads,
        source: &str,
        pictures: &BTreeMap<String, Stored>,
    ) -> Result<Heads, VaultError> {
        check_length(source)?;
        let before = self.read(note, Some(base))?;
        if before.body.written() == source {
            return Ok(before.heads);
        }
        let (mut found, mut batch) = (Vec::new(), self.images().batch());
        let body =
            self.parse_with(source, Some(&before), &mut found, |destination| {
                match pictures.get(&destination.target) {
                    Some(stored) => Ok(Some(*stored)),
                    None => self.take_in(destination, None, &mut batch),
                }
            })?;
        batch.finish()?;
        Ok(self.edit_at(note, base, &body, &found)?.heads)
    }

    /// Gives a note the body that it had at `heads`, as one more edit; whether it had another.
    ///
    /// # Errors
    ///
    /// Where nothing was changed.
    pub fn go_back(&self, note: NoteId, heads: &Heads) -> Result<bool, VaultError> {
        let then: Body = self.read(note, Some(heads))?.body;
        let now = self.read(note, None)?;
        self.edit_body(note, &now.heads, &then, &[])
    }
}
