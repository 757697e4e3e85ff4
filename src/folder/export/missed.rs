//! Files that somebody moved or deleted since: an import has yet to see which, so none of them is written again.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use crate::{
    folder::{bookmarks::Bookmarks, write::is_nothing},
    id::NoteId,
    vault::Listed,
};

/// Where they were, by their notes.
#[derive(Debug, Default)]
pub(super) struct Missed(HashMap<NoteId, String>);

impl Missed {
    /// Those of `notes`.
    pub(super) fn of_notes(bookmarks: &Bookmarks, folder: &Path, notes: &[Listed]) -> Self {
        let notes: HashSet<NoteId> = notes.iter().map(|listed| listed.note).collect();
        let mut missed: HashMap<NoteId, Option<String>> = HashMap::new();
        let seen = bookmarks.notes.iter().filter(|(_, seen)| !seen.gone);
        for (path, seen) in seen.filter(|(_, seen)| notes.contains(&seen.note)) {
            let is_missed = is_nothing(folder, path);
            // Of several files of one note, as where it was moved in the vault, one is enough.
            missed
                .entry(seen.note)
                .and_modify(|missed| *missed = missed.take().filter(|_| is_missed))
                .or_insert_with(|| is_missed.then(|| path.clone()));
        }
        Self(missed.into_iter().filter_map(|(note, path)| Some((note, path?))).collect())
    }

    /// Where the file of a note was, if it is missed.
    pub(super) fn of(&self, note: NoteId) -> Option<&String> {
        self.0.get(&note)
    }

    /// The same, or the file that was at `place`, where the note is to be written.
    pub(super) fn at(&self, bookmarks: &Bookmarks, note: NoteId, place: &str) -> Option<&String> {
        let before = bookmarks.notes.get(place).and_then(|seen| self.of(seen.note));
        self.of(note).or_else(|| before.filter(|path| *path == place))
    }
}
