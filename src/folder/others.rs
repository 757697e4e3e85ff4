//! What other folders of this vault hold.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::{
    kept::{bytes, folders, is_export, parse},
    write::file_at,
};
use crate::{id::NoteId, vault::Vault};

/// The files of other folders, by the notes that they were when those were last imported or exported.
#[derive(Default)]
pub(super) struct Others {
    imported: HashMap<NoteId, Vec<PathBuf>>,
    /// Those of exports, which have whatever the vault has.
    exported: HashMap<NoteId, Vec<PathBuf>>,
}

impl Others {
    /// Those of all folders but one. What can't be read holds nothing.
    pub(super) fn load(vault: &Vault, but: &Path) -> Self {
        let mut others = Self::default();
        let Ok(own) = vault.id() else { return others };
        for (folder, kept) in folders(vault) {
            if folder == but {
                continue;
            }
            let Ok(Some(bookmarks)) = parse(&bytes(&kept), own) else { continue };
            let of_kind =
                if is_export(&folder, own) { &mut others.exported } else { &mut others.imported };
            for (place, seen) in bookmarks.notes {
                of_kind.entry(seen.note).or_default().push(folder.join(place));
            }
        }
        others
    }

    /// Whether one of them is this note and still there, and is not the file at `path` by another name. What an
    /// imported folder has, or had, is of that, and an export has it besides.
    pub(super) fn have(&self, note: NoteId, path: &Path) -> bool {
        let here = file_at(path);
        let is_there = |other: &PathBuf| file_at(other).is_some_and(|there| Some(there) != here);
        let others = self.imported.get(&note).or_else(|| self.exported.get(&note));
        others.is_some_and(|others| others.iter().any(is_there))
    }
}
