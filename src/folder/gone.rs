//! What an import finds no more where it was.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{bookmarks::Shown, import::Import, write::is_nothing};
use crate::id::NoteId;

impl Import<'_> {
    /// Remembers where the images are that a file shows as it did: somebody may have moved them.
    pub(super) fn replaced<'a>(&mut self, path: &str, images: &'a [Shown]) {
        let Some(seen) = self.bookmarks.notes.get_mut(path) else { return };
        let place = |shown: &'a Shown| {
            Some(((shown.written.as_str(), shown.wiki, shown.image), shown.place.as_ref()?))
        };
        let now: HashMap<_, &String> = images.iter().filter_map(place).collect();
        let mut found = BTreeMap::new();
        for shown in &mut seen.images {
            let place = now.get(&(shown.written.as_str(), shown.wiki, shown.image)).copied();
            if let Some(place) = place.filter(|place| shown.place.as_ref() != Some(place)) {
                shown.place = Some(place.clone());
                found.insert(place, shown.image);
            }
        }
        for (place, image) in found {
            if self.files.get(place).is_some_and(|(there, _)| *there == image) {
                self.bookmarks.found(place, image);
            }
        }
    }

    /// Remembers which images are gone, and tells of those that notes show: of each it is news once.
    pub(super) fn miss_images(&mut self) {
        let gone = self.bookmarks.images.keys().filter(|place| !self.tree.contains(place));
        let gone: Vec<String> = gone.cloned().collect();
        if gone.is_empty() {
            return;
        }
        let there = self.bookmarks.notes.values().filter(|seen| !seen.gone);
        let shown = there.flat_map(|seen| &seen.images).filter_map(|shown| shown.place.clone());
        let shown: HashSet<String> = shown.collect();
        for place in gone {
            self.bookmarks.forget_image(&place);
            if shown.contains(&place) && is_nothing(self.folder, &place) {
                let what = "the image is gone, and notes show it as before; an export writes the file again";
                self.remark(&place, what);
            }
        }
    }

    /// Remembers which files are gone, and tells of those of which that is news.
    pub(super) fn miss(&mut self) {
        let mut missed = Vec::new();
        for (path, seen) in &mut self.bookmarks.notes {
            let is_gone = !(self.tree.contains(path) || self.unmoved.contains(path));
            let is_news = is_gone && !seen.gone && self.trashed.get(&seen.note) == Some(&false);
            seen.gone = is_gone;
            // What an import leaves out may be there all the same.
            if is_news && is_nothing(self.folder, path) {
                missed.push((path.clone(), seen.note));
            }
        }
        let there = self.bookmarks.notes.values().filter(|seen| !missed.is_empty() && !seen.gone);
        let there: HashSet<NoteId> = there.map(|seen| seen.note).collect();
        for (path, _) in missed.iter().filter(|(_, note)| !there.contains(note)) {
            let what = "the file is gone, and its note stays until it is put into the trash; an export \
                        writes the file again";
            self.remark(path, what);
        }
    }
}
