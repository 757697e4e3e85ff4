//! Which notes there are, and which one a person means; none is loaded for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Vault, VaultError};
use crate::{
    clock::{self, Timestamp},
    id::{ImageId, NoteId},
    projection::{
        catalog::{self, Entry, Name},
        documents,
    },
    resolve::nfc,
    upload::State,
};

/// A line of `list`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Listed {
    /// The note.
    pub note: NoteId,
    /// Its title; its path where it has none.
    pub title: String,
    /// Where export puts it.
    pub path: Option<String>,
    /// When somebody last changed it, by the clock of who did, but not later than that got here by this
    /// device's; RFC 3339. An upload changes no note.
    #[serde(with = "clock::as_text")]
    pub updated: Timestamp,
    /// The length of its source in code points.
    pub characters: u64,
    /// How many distinct images it shows.
    pub images: usize,
    /// How many of them no remote is known to hold.
    pub pending_images: usize,
    /// Whether it is in the trash.
    pub trashed: bool,
}

impl Vault {
    /// The note that a person calls `query`: a unique start of its id, its path, or its exact title.
    ///
    /// # Errors
    ///
    /// [`VaultError::UnknownNote`] or [`VaultError::AmbiguousNote`].
    pub fn find(&self, query: &str) -> Result<NoteId, VaultError> {
        if let Ok(note) = query.parse::<NoteId>()
            && documents::get(self.db(), note)?.is_some()
        {
            return Ok(note);
        }
        let is_hex = query.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase());
        let mut found = catalog::find(self.db(), Name::Path(query))?;
        if found.is_empty() {
            // A Mac's folder may spell it with its accents apart.
            found = catalog::find(self.db(), Name::Path(&nfc(query)))?;
        }
        if found.is_empty() {
            found = catalog::find(self.db(), Name::Title(query))?;
        }
        // A note in the trash gives way to one that is not.
        if found.iter().any(|(_, entry)| !entry.digest.trashed) {
            found.retain(|(_, entry)| !entry.digest.trashed);
        }
        if found.is_empty() && is_hex && !query.is_empty() {
            found = catalog::find_by_id(self.db(), query)?;
        }
        let found: Vec<(NoteId, String)> =
            found.into_iter().map(|(note, entry)| (note, entry.digest.title)).collect();
        match found.as_slice() {
            [] => Err(VaultError::UnknownNote(query.to_owned())),
            [(note, _)] => Ok(*note),
            _ => Err(VaultError::AmbiguousNote { query: query.to_owned(), candidates: found }),
        }
    }

    /// Every note, by the time of its creation, without loading any.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn list(&self) -> Result<Vec<Listed>, VaultError> {
        let states = self.image_states()?;
        let rows = catalog::list(self.db())?.into_iter();
        rows.map(|(note, entry)| self.line(note, entry, &states)).collect()
    }

    /// The row of a note in [`Vault::list`]; `None` where there is no such note.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn listed(&self, note: NoteId) -> Result<Option<Listed>, VaultError> {
        let Some(entry) = catalog::get(self.db(), note)? else { return Ok(None) };
        let states =
            self.states_of(entry.digest.images.iter().map(|(image, _)| *image).collect())?;
        self.line(note, entry, &states).map(Some)
    }

    /// The first rows of [`Vault::list`] behind that of a note, at most `most`; of all, where `after` is
    /// `None`. It costs what they are, however many others there are.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn list_some(&self, after: Option<NoteId>, most: usize) -> Result<Vec<Listed>, VaultError> {
        let rows = catalog::list_behind(self.db(), after, most)?;
        let shown = rows.iter().flat_map(|(_, entry)| &entry.digest.images);
        let states = self.states_of(shown.map(|(image, _)| *image).collect())?;
        rows.into_iter().map(|(note, entry)| self.line(note, entry, &states)).collect()
    }

    /// The line of `list` that a note has, given how its images stand.
    fn line(
        &self,
        note: NoteId,
        entry: Entry,
        states: &BTreeMap<ImageId, State>,
    ) -> Result<Listed, VaultError> {
        let Entry { digest, updated } = entry;
        Ok(Listed {
            note,
            pending_images: self.pending(states, &digest.images)?,
            images: digest.images.len(),
            title: if digest.title.is_empty() {
                digest.path.clone().unwrap_or_default()
            } else {
                digest.title
            },
            path: digest.path,
            updated,
            characters: digest.characters,
            trashed: digest.trashed,
        })
    }

    /// How many of a note's images are pending. One that is here is until every remote confirmed it; one that
    /// is not, is somebody else's to upload: that it was is said by a URL in the note, or by a receipt from when
    /// it was here.
    pub(super) fn pending(
        &self,
        states: &BTreeMap<ImageId, State>,
        images: &[(ImageId, Option<String>)],
    ) -> Result<usize, VaultError> {
        let mut pending = 0;
        for (image, url) in images {
            let is_done = match states.get(image) {
                Some(state) => *state == State::Uploaded,
                None => url.is_some() || self.is_uploaded(*image)?,
            };
            pending += usize::from(!is_done);
        }
        Ok(pending)
    }
}
