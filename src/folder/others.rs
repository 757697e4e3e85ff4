//! What other folders of this vault hold.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use super::{
    kept::{FOLDER, all, bytes, parse},
    write::file_at,
};
use crate::{id::NoteId, vault::Vault};

/// The files of other folders, by the notes that they were when those were last imported or exported.
#[derive(Default)]
pub(super) struct Others(HashMap<NoteId, Vec<PathBuf>>);

impl Others {
    /// Those of all folders but one. What can't be read holds nothing.
    pub(super) fn load(vault: &Vault, but: &Path) -> Self {
        let mut others = Self::default();
        let Ok(own) = vault.id() else { return others };
        let Ok(entries) = fs::read_dir(all(vault)) else { return others };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_none_or(|extension| extension != FOLDER) {
                continue;
            }
            let Ok(folder) = fs::read(&path) else { continue };
            let folder = PathBuf::from(OsString::from_vec(folder));
            let bookmarks = parse(&bytes(&path.with_extension("json")), own);
            let (false, Ok(Some(bookmarks))) = (folder == but, bookmarks) else { continue };
            for (place, seen) in bookmarks.notes {
                others.0.entry(seen.note).or_default().push(folder.join(place));
            }
        }
        others
    }

    /// Whether one of them is this note and still there, and is not the file at `path` by another name.
    pub(super) fn have(&self, note: NoteId, path: &Path) -> bool {
        let here = file_at(path);
        let is_there = |other: &PathBuf| file_at(other).is_some_and(|there| Some(there) != here);
        self.0.get(&note).is_some_and(|others| others.iter().any(is_there))
    }
}
