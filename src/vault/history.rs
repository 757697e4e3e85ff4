//! The versions of a note, in the order in which they came to be known here.

use std::collections::BTreeSet;

use super::{Vault, VaultError};
use crate::{
    clock::Timestamp,
    event::{Event, Origin},
    id::{ChangeHash, NoteId, Seq},
    note::{Heads, inspect},
    projection::{devices, documents},
};

/// A version of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What [`Vault::read`] takes to show it.
    pub heads: Heads,
    /// The event that brought the last of its changes.
    pub seq: Seq,
    /// When that change was made, by its author's clock, to the second.
    pub at: Timestamp,
    /// Where it came from.
    pub origin: Origin,
    /// What people call the device that it was made on; of what came in a checkpoint, the device that
    /// wrote the checkpoint.
    pub device: String,
}

impl Vault {
    /// The versions of a note, one for each change that it got. The first makes it: on every device the same,
    /// it is of no time and shows nothing. A version whose own dependencies have not all arrived can't be read yet.
    ///
    /// # Errors
    ///
    /// [`VaultError::UnknownNote`], or what the log said.
    pub fn history(&self, note: NoteId) -> Result<Vec<Version>, VaultError> {
        if documents::get(self.db(), note)?.is_none() {
            return Err(VaultError::UnknownNote(note.to_string()));
        }
        let (mut heads, mut built_on) = (BTreeSet::new(), BTreeSet::<ChangeHash>::new());
        let mut versions = Vec::new();
        for seq in documents::tail(self.db(), note, Seq(0))? {
            let Some(recorded) = self.0.log.event(seq)? else { continue };
            let changes = match recorded.event {
                Event::NoteChanged { change, .. } => vec![change.0],
                Event::NoteReceived { document, .. } => {
                    let changes = self.unfolded(note, &document.0)?.into_iter();
                    changes.map(|change| change.bytes).collect()
                }
                _ => continue,
            };
            let device = self.author(&recorded.origin)?;
            for change in changes {
                let change =
                    inspect(&change).map_err(|source| VaultError::Note { note, source })?;
                for dep in &change.deps {
                    heads.remove(dep);
                }
                built_on.extend(change.deps);
                // One that came after what was built on it is no head.
                if !built_on.contains(&change.hash) {
                    heads.insert(change.hash);
                }
                versions.push(Version {
                    heads: heads.iter().copied().collect::<Vec<_>>().into(),
                    seq,
                    at: change.at,
                    device: device.clone(),
                    origin: recorded.origin.clone(),
                });
            }
        }
        Ok(versions)
    }

    /// What people call the device that a change came from.
    fn author(&self, origin: &Origin) -> Result<String, VaultError> {
        match origin {
            Origin::Here | Origin::Projector => self.device_name(),
            Origin::Device { device, .. } => self.device_called(*device),
        }
    }

    /// What people call a device of this vault; the start of its id where nobody said.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn device_called(&self, device: crate::id::DeviceId) -> Result<String, VaultError> {
        Ok(devices::name(self.db(), device)?)
    }
}
