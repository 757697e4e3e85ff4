//! Images that a note showed before, for a text that shows them again: what somebody cuts out and puts back is saved
//! in between, in an editor that stays open.

use std::collections::{HashMap, HashSet};

use super::{Vault, VaultError, notes::Reading};
use crate::note::{
    Body, Piece, Target,
    markdown::{Destination, destinations},
};

/// What the images of all versions of a note were called.
pub(super) struct Former<'a> {
    vault: &'a Vault,
    before: &'a Reading,
    /// The public addresses that remotes have and had.
    bases: &'a [String],
    /// What `before` names and shows no image for, and what the images were called, once somebody asked.
    unknown: Option<HashSet<String>>,
    names: Option<HashMap<String, Target>>,
}

impl<'a> Former<'a> {
    /// Those of the note of a reading.
    pub(super) fn of(vault: &'a Vault, before: &'a Reading, bases: &'a [String]) -> Self {
        Self { vault, before, bases, unknown: None, names: None }
    }

    /// The image that the note last showed under a name that `before` does not have; what stands there is meant as
    /// it is.
    pub(super) fn find(
        &mut self,
        destination: &Destination,
        written: &str,
    ) -> Result<Option<Target>, VaultError> {
        let target = destination.target.as_str();
        if self.unknown.get_or_insert_with(|| named(&self.before.body)).contains(target) {
            return Ok(None);
        }
        // Of what lies elsewhere no note ever had a picture, and an address is typed letter by letter.
        if target.contains("://") && !self.bases.iter().any(|base| target.starts_with(base)) {
            return Ok(None);
        }
        let names = match self.names.take() {
            Some(names) => names,
            None => self.all()?,
        };
        let names = self.names.insert(names);
        Ok(names.get(written).or_else(|| names.get(target)).cloned())
    }

    fn all(&self) -> Result<HashMap<String, Target>, VaultError> {
        let note = self.before.note;
        let embeds = self.vault.with_note(note, |loaded| loaded.embeds_ever())?;
        // No two of them are side by side, where one that says again what the other does is left out.
        let apart = |embed| [Piece::Embed(embed), Piece::Text("\n".to_owned())];
        let body = Body::new(embeds.into_iter().flat_map(apart));
        let reading = Reading { note, heads: self.before.heads.clone(), body };
        Ok(self.vault.names(&reading)?.into_iter().collect())
    }
}

/// All that a body names as images.
fn named(body: &Body) -> HashSet<String> {
    destinations(&body.written()).into_iter().map(|destination| destination.target).collect()
}
