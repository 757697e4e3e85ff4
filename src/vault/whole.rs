//! Notes that came whole, in a checkpoint: only their last versions are known by name.

use std::collections::HashSet;

use super::{Vault, VaultError};
use crate::{
    event::{ChangeBytes, Event, Origin},
    id::{ChangeHash, NoteId, Seq},
    note::{Change, Note, Outline, inspect, outline},
    projection::documents::{self, Document},
};

impl Vault {
    /// The bytes of what a note came as; `None` where it came in changes.
    pub(super) fn received(&self, document: &Document) -> Result<Option<Vec<u8>>, VaultError> {
        let Some(received) = document.received else { return Ok(None) };
        match self.0.log.event(received.seq)?.map(|recorded| recorded.event) {
            Some(Event::NoteReceived { document, .. }) => Ok(Some(document.0)),
            _ => Ok(None),
        }
    }

    /// The changes that a whole note is made of.
    pub(super) fn unfolded(&self, note: NoteId, bytes: &[u8]) -> Result<Vec<Change>, VaultError> {
        let whole = Note::load(note, self.0.actor, Some(bytes), &[]);
        Ok(whole.map_err(|source| VaultError::Note { note, source })?.changes())
    }

    /// Looks up what a note is made of, where one of these changes builds on what is not known by name.
    pub(super) fn index_if_doubtful<'a>(
        &self,
        note: NoteId,
        changes: impl IntoIterator<Item = (ChangeHash, &'a [ChangeHash])>,
    ) -> Result<(), VaultError> {
        let Some(document) = documents::get(self.db(), note)? else { return Ok(()) };
        let mut coming = HashSet::new();
        for (change, deps) in changes {
            if self.is_doubtful(&document, deps, &coming)? {
                return self.index(note, &document);
            }
            coming.insert(change);
        }
        Ok(())
    }

    /// Whether it takes a load to tell if a change with these dependencies is in the note; `coming` are
    /// about to be appended.
    pub(super) fn is_doubtful(
        &self,
        document: &Document,
        deps: &[ChangeHash],
        coming: &HashSet<ChangeHash>,
    ) -> Result<bool, VaultError> {
        document.is_doubtful(deps, |dep| {
            Ok(coming.contains(&dep) || documents::seq_of(self.db(), dep)?.is_some())
        })
    }

    /// What a change from elsewhere is, and the event that brought it, if one did; `coming` are about to be
    /// appended. What is here was looked at when it came, and to unfold it again takes most of the time.
    pub(super) fn look_up(
        &self,
        note: NoteId,
        change: &ChangeBytes,
        coming: &HashSet<ChangeHash>,
    ) -> Result<(Outline, Option<Seq>), VaultError> {
        let inspect = || inspect(&change.0).map_err(|source| VaultError::Note { note, source });
        let outline = match outline(&change.0) {
            Ok(outline) => outline,
            // That says better what is wrong.
            Err(_) => inspect()?.into(),
        };
        let known = self.known_change(note, &outline, coming)?;
        if known.is_none() {
            inspect()?;
        }
        Ok((outline, known))
    }

    /// The event that brought a change, if one did.
    fn known_change(
        &self,
        note: NoteId,
        change: &Outline,
        coming: &HashSet<ChangeHash>,
    ) -> Result<Option<Seq>, VaultError> {
        let known = documents::seq_of(self.db(), change.hash)?;
        if known.is_none()
            && let Some(document) = documents::get(self.db(), note)?
            && self.is_doubtful(&document, &change.deps, coming)?
        {
            self.index(note, &document)?;
            return Ok(documents::seq_of(self.db(), change.hash)?);
        }
        Ok(known)
    }

    /// Whether an event brought the whole note.
    pub(super) fn is_received(&self, note: NoteId, seq: Seq) -> Result<bool, VaultError> {
        let received = documents::get(self.db(), note)?.and_then(|document| document.received);
        Ok(received.is_some_and(|received| received.seq == seq))
    }

    /// Has every change of a note known by its name.
    pub(super) fn index(&self, note: NoteId, document: &Document) -> Result<(), VaultError> {
        let Some(bytes) = self.received(document)? else { return Ok(()) };
        let changes = self.unfolded(note, &bytes)?;
        let built_on: HashSet<ChangeHash> =
            changes.iter().flat_map(|change| change.deps.iter().copied()).collect();
        let changes = changes.into_iter().map(|change| change.hash);
        let changes = changes.filter(|change| built_on.contains(change)).collect();
        self.append([(Origin::Here, Event::NoteIndexed { note, changes })], None).map(drop)
    }
}
