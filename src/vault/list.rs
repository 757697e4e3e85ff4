//! Which notes there are, and which one a person means; none is loaded for it.

use super::{Vault, VaultError, status::Listed};
use crate::{
    id::NoteId,
    projection::{
        catalog::{self, Name},
        documents,
    },
};

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
        Ok(rows.map(|(note, entry)| Listed::new(note, entry, &states)).collect())
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
        Ok(Some(Listed::new(note, entry, &states)))
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
        Ok(rows.into_iter().map(|(note, entry)| Listed::new(note, entry, &states)).collect())
    }
}
