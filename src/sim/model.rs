//! What must be true in the end: a set of edits, and who knows of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Wrong, device::Device};
use crate::{
    id::{ImageId, NoteId},
    note::Heads,
};

/// An image as a note shows it: what it is called there, and what it is.
pub(super) type Shown = (String, ImageId);

/// What an edit does. Every character that one inserts is inserted by no other.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    pub(super) inserts: Vec<char>,
    pub(super) deletes: Vec<char>,
    /// Images that it shows once more.
    pub(super) embeds: Vec<Shown>,
    /// Images that it shows once less.
    pub(super) drops: Vec<Shown>,
    /// Whether it throws the note away, or takes it back.
    pub(super) trashed: Option<bool>,
}

/// An edit that was made.
#[derive(Debug, Clone)]
struct Edit {
    note: NoteId,
    /// The heads of the note after it.
    heads: Heads,
    draft: Draft,
    /// Edits that threw the note away or took it back, and that its author knew.
    over: BTreeSet<usize>,
    /// A device that knew of it has synced since the remote last lost anything.
    on_remote: bool,
    /// It was not acknowledged, or whoever knew of it is gone: it may have been lost, and need not.
    maybe: bool,
}

/// All edits of the history.
#[derive(Debug, Default)]
pub(super) struct Model {
    edits: Vec<Edit>,
    /// Images whose bytes were nowhere at some time; somebody may have taken them in again.
    pub(super) lost: BTreeSet<ImageId>,
    next_char: u32,
    next_name: u32,
}

/// The first of the characters that stand for text; the private planes hold 131,068 of them.
const FIRST: u32 = 0xF_0000;

impl Model {
    /// A character that nobody has inserted before.
    pub(super) fn fresh(&mut self) -> Check<char> {
        self.next_char += 1;
        let fresh = char::from_u32(FIRST + self.next_char);
        fresh.ok_or_else(|| Wrong { promises: Vec::new(), what: "too long a history".into() })
    }

    /// Characters that nobody has inserted before.
    pub(super) fn fresh_text(&mut self, characters: u64) -> Check<Vec<char>> {
        (0..characters).map(|_| self.fresh()).collect()
    }

    /// A number that no file has.
    pub(super) fn number(&mut self) -> u32 {
        self.next_name += 1;
        self.next_name
    }

    pub(super) fn is_text(c: char) -> bool {
        u32::from(c) > FIRST
    }

    /// How many edits there are.
    pub(super) fn len(&self) -> usize {
        self.edits.len()
    }

    /// Notes an edit that was acknowledged, with the heads that the note has on its device then.
    pub(super) fn acknowledge(
        &mut self,
        note: NoteId,
        heads: Heads,
        draft: Draft,
        author: &Device,
    ) {
        let mut over = BTreeSet::new();
        if draft.trashed.is_some() {
            let known = self.edits.iter().enumerate().filter(|(_, edit)| {
                let same = edit.note == note && edit.draft.trashed.is_some();
                same && author.knows(note, &edit.heads)
            });
            over.extend(known.map(|(number, _)| number));
        }
        self.edits.push(Edit { note, heads, draft, over, on_remote: false, maybe: false });
    }

    /// Edits from this number on were never acknowledged.
    pub(super) fn doubt(&mut self, from: usize) {
        self.edits.iter_mut().skip(from).for_each(|edit| edit.maybe = true);
    }

    /// A device has put on the remote, or read there, all that it knows.
    pub(super) fn is_on_remote(&mut self, device: &Device) {
        for edit in self.edits.iter_mut().filter(|edit| !edit.on_remote && !edit.maybe) {
            edit.on_remote = device.knows(edit.note, &edit.heads);
        }
    }

    /// The remote lost something.
    pub(super) fn remote_lost(&mut self) {
        self.edits.iter_mut().for_each(|edit| edit.on_remote = false);
    }

    /// After something was destroyed: what neither the remote nor any device has may be lost.
    pub(super) fn destroyed(&mut self, devices: &[Device], remote: &BTreeSet<ImageId>) {
        for (_, image) in self.edits.iter().flat_map(|edit| &edit.draft.embeds) {
            let held = devices.iter().any(|device| device.holds(*image));
            if !held && !remote.contains(image) {
                self.lost.insert(*image);
            }
        }
        for edit in self.edits.iter_mut().filter(|edit| !edit.on_remote && !edit.maybe) {
            edit.maybe = !devices.iter().any(|device| device.knows(edit.note, &edit.heads));
        }
    }

    fn of(&self, note: NoteId) -> impl Iterator<Item = &Edit> {
        self.edits.iter().filter(move |edit| edit.note == note)
    }

    /// Holds the notes that there are against those that somebody made.
    pub(super) fn check_notes(&self, notes: &BTreeSet<NoteId>) -> Check {
        let made: BTreeSet<NoteId> = self.edits.iter().map(|edit| edit.note).collect();
        if let Some(note) = notes.difference(&made).next() {
            let what = format!("note {} was made by nobody", note.short());
            return Err(Wrong::promise(2, what));
        }
        let certain = self.edits.iter().filter(|edit| !edit.maybe);
        match certain.map(|edit| edit.note).find(|note| !notes.contains(note)) {
            Some(note) => Err(Wrong::promise(1, format!("note {} is lost", note.short()))),
            None => Ok(()),
        }
    }

    /// Holds a text against the edits of its note.
    pub(super) fn check_text(&self, note: NoteId, source: &str) -> Check {
        let wrong = |what| Err(Wrong::promise(1, format!("note {}: {what}", note.short())));
        let here: BTreeSet<char> = source.chars().filter(|c| Self::is_text(*c)).collect();
        if source.chars().filter(|c| Self::is_text(*c)).count() != here.len() {
            return wrong("a character is there twice".to_owned());
        }
        let mut deleted: BTreeMap<char, bool> = BTreeMap::new();
        for edit in self.of(note) {
            for c in &edit.draft.deletes {
                *deleted.entry(*c).or_default() |= !edit.maybe;
            }
        }
        for edit in self.of(note) {
            for c in &edit.draft.inserts {
                match (deleted.get(c), here.contains(c)) {
                    (None, false) if !edit.maybe => return wrong(format!("{c:?} is lost")),
                    (Some(true), true) => return wrong(format!("{c:?} came back")),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Holds the images of a note against its edits. What is shown several times under one name may
    /// have been dropped by two who meant the same one, and what two put in the place of one picture is
    /// shown once.
    pub(super) fn check_images(&self, note: NoteId, shown: &[Shown]) -> Check {
        let mut all: BTreeMap<&Shown, Count> = BTreeMap::new();
        for image in shown {
            all.entry(image).or_default().there += 1;
        }
        let mut replaced = BTreeSet::new();
        for edit in self.of(note) {
            for image in &edit.draft.embeds {
                let count = all.entry(image).or_default();
                count.added += 1;
                if !edit.maybe {
                    let places = edit.draft.drops.iter().map(|dropped| (image, dropped));
                    let are_new: Vec<bool> = places.map(|place| replaced.insert(place)).collect();
                    count.surely_added += usize::from(are_new.into_iter().all(|is_new| is_new));
                }
            }
            for image in &edit.draft.drops {
                let count = all.entry(image).or_default();
                count.dropped += 1;
                count.surely_dropped |= !edit.maybe;
            }
        }
        for ((name, image), count) in all {
            let least = count.surely_added.saturating_sub(count.dropped);
            let most = count.added.saturating_sub(usize::from(count.surely_dropped));
            if !(least..=most).contains(&count.there) {
                let what = format!(
                    "note {}: {name} ({}) is there {} times, not {least} to {most}: {shown:?}",
                    note.short(),
                    image.short(),
                    count.there
                );
                return Err(Wrong::promise(1, what));
            }
        }
        Ok(())
    }

    /// Holds whether a note is in the trash against the last that was said of it.
    pub(super) fn check_trash(&self, note: NoteId, trashed: bool) -> Check {
        let surely = self.edits.iter().filter(|edit| !edit.maybe);
        let over: BTreeSet<usize> = surely.flat_map(|edit| edit.over.iter().copied()).collect();
        let mut last = self.edits.iter().enumerate().filter(|(number, edit)| {
            edit.note == note && edit.draft.trashed.is_some() && !over.contains(number)
        });
        let all_doubtful = last.clone().all(|(_, edit)| edit.maybe);
        let said = last.any(|(_, edit)| edit.draft.trashed == Some(trashed));
        if said || (all_doubtful && !trashed) {
            return Ok(());
        }
        let what = format!("note {} is in the trash: {trashed}; nobody said so", note.short());
        Err(Wrong::promise(1, what))
    }

    /// The images whose bytes somebody certainly has.
    pub(super) fn images(&self) -> BTreeSet<ImageId> {
        let certain = self.edits.iter().filter(|edit| !edit.maybe);
        let images = certain.flat_map(|edit| edit.draft.embeds.iter().map(|(_, image)| *image));
        images.filter(|image| !self.lost.contains(image)).collect()
    }
}

/// How often a note shows an image under one name, and how often it may.
#[derive(Default)]
struct Count {
    there: usize,
    added: usize,
    surely_added: usize,
    dropped: usize,
    surely_dropped: bool,
}
