//! Where the images of a folder were when it was last seen: whoever moved one there wants it there.

use std::path::PathBuf;

use super::{Export, MISSED, images::Put};
use crate::{
    folder::{
        bookmarks::Shown,
        named::At,
        write::{file_in, is_nothing},
    },
    id::ImageId,
};

/// Where the image of an embed was.
pub(super) enum Before {
    /// It is there, or was, and nothing else is: its name may lead there as before.
    Stands(String),
    /// It was, and an import has yet to see where it went. The file says this for it.
    Missed { place: String, written: String },
    /// Nowhere, as far as is known.
    Nowhere,
}

impl Export<'_> {
    /// Where the image was that the file of a note showed for an embed.
    pub(super) fn before(&self, at: &At<'_>) -> Before {
        let Some(shown) = self.shown_before(at) else { return Before::Nowhere };
        let Some(place) = &shown.place else { return Before::Nowhere };
        let is_it = |path: PathBuf| {
            let there = self.stamps.image(place, &path).ok();
            there == Some(at.embed.image) || there == Some(shown.expected())
        };
        match file_in(self.folder, place).map(is_it) {
            Some(true) => Before::Stands(place.clone()),
            None if self.bookmarks.images.contains_key(place) && self.is_missed(place) => {
                Before::Missed { place: place.clone(), written: shown.written.clone() }
            }
            None if is_nothing(self.folder, place) => Before::Stands(place.clone()),
            _ => Before::Nowhere,
        }
    }

    /// What the file of a note showed for an embed when it was last seen: its image, or the one that had its name.
    fn shown_before(&self, at: &At<'_>) -> Option<&Shown> {
        let embed = at.embed;
        let here = self.bookmarks.notes.get(at.place).filter(|seen| seen.note == at.listed.note);
        // Only such a name leads there from another folder.
        let elsewhere = || {
            let before = self.before.get(&at.listed.note).filter(|_| at.is_wiki())?;
            self.bookmarks.notes.get(before)
        };
        let images = &here.or_else(elsewhere)?.images;
        let is_called = |shown: &&Shown| {
            let name = shown.name.as_ref().unwrap_or(&shown.written);
            (shown.wiki, name) == (at.is_wiki(), &embed.name)
        };
        let mut called = images.iter().filter(is_called);
        let first = called.clone().next()?;
        let is_replaced = called.clone().all(|shown| shown.image == first.image);
        called.find(|shown| shown.image == embed.image).or_else(|| is_replaced.then_some(first))
    }

    /// Where an image is already that the name in `![[…]]` finds there, if nothing is where it would go.
    pub(super) fn elsewhere(&self, at: &At<'_>, wanted: &str) -> Option<String> {
        let is_free = self.places.image_at(wanted).is_none()
            && !self.bookmarks.images.contains_key(wanted)
            && is_nothing(self.folder, wanted);
        if !at.is_wiki() || !is_free {
            return None;
        }
        let found = self.names.find(at.place, &at.embed.name)?;
        self.is_there(found, at.embed.image).then(|| found.clone())
    }

    /// Whether the file at `place` is this image.
    pub(super) fn is_there(&self, place: &str, image: ImageId) -> bool {
        let there = file_in(self.folder, place).map(|path| self.stamps.image(place, &path));
        there.is_some_and(|there| there.is_ok_and(|there| there == image))
    }

    /// Whether the file of the note says for an embed what the note does.
    pub(super) fn is_said(&self, at: &At<'_>) -> bool {
        self.shown_before(at).is_some_and(|shown| shown.written == at.embed.name)
    }

    /// Whether what was at a place is there no more, and an import has yet to see that.
    pub(super) fn is_missed(&self, place: &str) -> bool {
        !self.was_empty && is_nothing(self.folder, place)
    }

    /// Leaves a place to the image that was there.
    pub(super) fn miss(&mut self, place: &str, image: ImageId) {
        self.places.keep(place, image);
        if self.images.insert(place.to_owned(), Put::Missed) != Some(Put::Missed) {
            self.skip(place, MISSED);
        }
    }
}
