//! What must be true in the end: a set of edits, and who knows of them.

use std::collections::{BTreeMap, BTreeSet};

use everleaf::{
    id::{ImageId, NoteId},
    note::Heads,
};

use super::device::Device;

/// An edit that was acknowledged. Every character that it inserts is inserted by no other.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub note: NoteId,
    /// The heads of the note after it.
    pub heads: Heads,
    pub inserts: Vec<char>,
    pub deletes: Vec<char>,
    /// Images that it puts in, by names that no other edit uses.
    pub embeds: Vec<(String, ImageId)>,
    pub drops: Vec<String>,
    /// A device that knew of it has synced since the remote last lost anything.
    pub on_remote: bool,
    /// Whoever knew of it is gone: it may have been lost, and need not.
    pub maybe: bool,
}

/// All edits of the history.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub edits: Vec<Edit>,
    /// Images whose bytes were nowhere at some time; somebody may have taken them in again.
    pub lost: BTreeSet<ImageId>,
    next_char: u32,
    next_name: u32,
}

/// The first of the characters that stand for text; the private planes are larger than any history.
const FIRST: u32 = 0xF_0000;

impl Model {
    /// A character that nobody has inserted before.
    pub(crate) fn fresh(&mut self) -> char {
        self.next_char += 1;
        char::from_u32(FIRST + self.next_char).unwrap()
    }

    /// A file name that nobody has used before.
    pub(crate) fn name(&mut self) -> String {
        self.next_name += 1;
        format!("i{}.png", self.next_name)
    }

    pub(crate) fn is_text(c: char) -> bool {
        u32::from(c) > FIRST
    }

    /// Notes that a device has put on the remote, or read there, all that it knows.
    pub(crate) fn is_on_remote(&mut self, device: &Device) {
        for edit in self.edits.iter_mut().filter(|edit| !edit.on_remote) {
            edit.on_remote = device.knows(edit.note, &edit.heads);
        }
    }

    /// The remote lost something.
    pub(crate) fn remote_lost(&mut self) {
        self.edits.iter_mut().for_each(|edit| edit.on_remote = false);
    }

    /// After something was destroyed: what neither the remote nor any device has may be lost.
    pub(crate) fn destroyed(&mut self, devices: &[Device], remote: &BTreeSet<ImageId>) {
        for (_, image) in self.edits.iter().flat_map(|edit| &edit.embeds) {
            let held = devices.iter().any(|device| device.holds(*image));
            if !held && !remote.contains(image) {
                self.lost.insert(*image);
            }
        }
        for edit in self.edits.iter_mut().filter(|edit| !edit.on_remote && !edit.maybe) {
            let known = |device: &Device| !device.is_gone() && device.knows(edit.note, &edit.heads);
            edit.maybe = !devices.iter().any(known);
        }
    }

    /// Holds a text against the edits of its note.
    pub(crate) fn check_text(&self, note: NoteId, source: &str) -> Result<(), String> {
        let here: BTreeSet<char> = source.chars().filter(|c| Self::is_text(*c)).collect();
        if source.chars().filter(|c| Self::is_text(*c)).count() != here.len() {
            return Err(format!("note {}: a character is there twice", note.short()));
        }
        let mut deleted: BTreeMap<char, bool> = BTreeMap::new();
        for edit in self.edits.iter().filter(|edit| edit.note == note) {
            for c in &edit.deletes {
                *deleted.entry(*c).or_default() |= !edit.maybe;
            }
        }
        for edit in self.edits.iter().filter(|edit| edit.note == note) {
            for c in &edit.inserts {
                match (deleted.get(c), here.contains(c)) {
                    (None, false) if !edit.maybe => {
                        return Err(format!("note {}: {c:?} is lost", note.short()));
                    }
                    (Some(true), true) => {
                        return Err(format!("note {}: {c:?} came back", note.short()));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Holds the images of a note against its edits.
    pub(crate) fn check_images(
        &self,
        note: NoteId,
        shown: &[(String, ImageId)],
    ) -> Result<(), String> {
        let mut dropped: BTreeMap<&str, bool> = BTreeMap::new();
        for edit in self.edits.iter().filter(|edit| edit.note == note) {
            for name in &edit.drops {
                *dropped.entry(name).or_default() |= !edit.maybe;
            }
        }
        for edit in self.edits.iter().filter(|edit| edit.note == note) {
            for (name, image) in &edit.embeds {
                let found = shown.iter().filter(|(shown, _)| shown == name).collect::<Vec<_>>();
                let is_it = found.len() == 1 && found[0].1 == *image;
                match (dropped.get(name.as_str()), found.is_empty()) {
                    (None, _) if !edit.maybe && !is_it => {
                        return Err(format!("note {}: {name} is lost: {found:?}", note.short()));
                    }
                    (Some(true), false) => {
                        return Err(format!("note {}: {name} came back", note.short()));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The images whose bytes somebody certainly has.
    pub(crate) fn images(&self) -> BTreeSet<ImageId> {
        let certain = self.edits.iter().filter(|edit| !edit.maybe);
        let images = certain.flat_map(|edit| edit.embeds.iter().map(|(_, image)| *image));
        images.filter(|image| !self.lost.contains(image)).collect()
    }
}
