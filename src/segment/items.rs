//! The items of a segment, as bytes.
//!
//! ```text
//! check, 16 bytes · the length of all items, LEB128 · items · the text that was typed, of all changes
//!
//! item:    tag · note, where the tag says so · what the tag says
//! tag:     bits 0 and 1: 0 an image · 1 a change, whole · 2 a change without what can be recomputed
//!          bit 2: the upload projector made the change
//!          bits 3 and 4: of which note; 0 the note of the change before · 1 a new one, 16 bytes ·
//!                        2 one that was here before, by its place among them
//! ```
//!
//! An image is written with postcard, a whole change behind its length, and one that is not whole as
//! [`note::Known`](crate::note::Known) writes it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{CONTENTS, Item};
use crate::{event::ChangeBytes, id::NoteId, note::Known};

/// How much of the hash of all changes is kept.
const CHECK: usize = 16;
/// What an item takes in memory besides the bytes of its change, and never less.
const OVERHEAD: usize = 96;

const KIND: u8 = 0b11;
const IMAGE: u8 = 0;
const WHOLE: u8 = 1;
const STRIPPED: u8 = 2;
const PROJECTOR: u8 = 1 << 2;
const PLACE: u32 = 3;
const SAME: u8 = 0;
const NEW: u8 = 1;
const KNOWN: u8 = 2;

/// The notes that changes were of, in the order in which they came.
#[derive(Default)]
struct Notes {
    all: Vec<NoteId>,
    places: HashMap<NoteId, usize>,
    last: Option<NoteId>,
}

/// How much may yet be read or written, and a hash of what was.
struct Budget {
    left: usize,
    hasher: blake3::Hasher,
}

/// Writes items down; `None` where they are more than anybody would read.
pub(super) fn encode(items: &[Item], plain: &mut Vec<u8>) -> Option<()> {
    let (mut notes, mut known, mut budget) = (Notes::default(), Known::default(), Budget::new());
    let (mut written, mut typed) = (Vec::new(), Vec::new());
    for item in items {
        budget.charge(item)?;
        match item {
            Item::Change { note, change, projector } => {
                let stripped = known.strip(*note, &change.0);
                let kind = if stripped.is_some() { STRIPPED } else { WHOLE };
                notes.put(&mut written, kind | (u8::from(*projector) * PROJECTOR), *note);
                match stripped {
                    Some(stripped) => {
                        written.extend_from_slice(&stripped.fields);
                        typed.extend_from_slice(&stripped.typed);
                    }
                    None => put(&mut written, &change),
                }
            }
            Item::Image { image, bytes, media_type, dimensions } => {
                written.push(IMAGE);
                put(&mut written, &(image, bytes, media_type, dimensions));
            }
        }
    }
    plain.extend_from_slice(&budget.check());
    put(plain, &written.len());
    plain.extend_from_slice(&written);
    plain.extend_from_slice(&typed);
    Some(())
}

/// Reads items; `None` where they are anything else than [`encode`] wrote.
pub(super) fn decode(plain: &[u8]) -> Option<Vec<Item>> {
    let (check, mut rest) = plain.split_first_chunk::<CHECK>()?;
    let length: usize = take(&mut rest)?;
    let (mut written, mut typed) = rest.split_at_checked(length)?;
    let (mut notes, mut known, mut budget) = (Notes::default(), Known::default(), Budget::new());
    let mut items = Vec::new();
    while let Some((tag, rest)) = written.split_first() {
        written = rest;
        let item = if tag & KIND == IMAGE {
            let (image, bytes, media_type, dimensions) = take(&mut written)?;
            Item::Image { image, bytes, media_type, dimensions }
        } else {
            let note = notes.take(tag >> PLACE, &mut written)?;
            let change = match tag & KIND {
                WHOLE => take(&mut written)?,
                STRIPPED => {
                    ChangeBytes(known.restore(note, &mut written, &mut typed, budget.left)?)
                }
                _ => return None,
            };
            Item::Change { note, change, projector: tag & PROJECTOR != 0 }
        };
        budget.charge(&item)?;
        items.push(item);
    }
    (typed.is_empty() && budget.check() == *check).then_some(items)
}

/// Reads the items of format 1: how many, and each with postcard.
pub(super) fn decode_whole(mut plain: &[u8]) -> Option<Vec<Item>> {
    let (mut items, mut budget) = (Vec::new(), Budget::new());
    for _ in 0..take::<usize>(&mut plain)? {
        let item = take(&mut plain)?;
        budget.charge(&item)?;
        items.push(item);
    }
    plain.is_empty().then_some(items)
}

impl Notes {
    fn put(&mut self, out: &mut Vec<u8>, tag: u8, note: NoteId) {
        if self.last == Some(note) {
            out.push(tag | SAME << PLACE);
        } else if let Some(place) = self.places.get(&note) {
            out.push(tag | KNOWN << PLACE);
            put(out, place);
        } else {
            out.push(tag | NEW << PLACE);
            out.extend_from_slice(note.as_bytes());
            self.meet(note);
        }
        self.last = Some(note);
    }

    fn take(&mut self, how: u8, from: &mut &[u8]) -> Option<NoteId> {
        let note = match how {
            SAME => self.last?,
            NEW => {
                let (id, rest) = from.split_at_checked(NoteId::LEN)?;
                *from = rest;
                let note = NoteId::from_slice(id)?;
                self.meet(note);
                note
            }
            KNOWN => *self.all.get(take::<usize>(from)?)?,
            _ => return None,
        };
        self.last = Some(note);
        Some(note)
    }

    fn meet(&mut self, note: NoteId) {
        self.places.insert(note, self.all.len());
        self.all.push(note);
    }
}

impl Budget {
    fn new() -> Self {
        Self { left: CONTENTS, hasher: blake3::Hasher::new() }
    }

    fn charge(&mut self, item: &Item) -> Option<()> {
        let mut size = OVERHEAD;
        if let Item::Change { change, .. } = item {
            size = size.saturating_add(change.0.len());
            self.hasher.update(&(change.0.len() as u64).to_le_bytes()).update(&change.0);
        }
        self.left = self.left.checked_sub(size)?;
        Some(())
    }

    fn check(&self) -> [u8; CHECK] {
        let mut check = [0; CHECK];
        self.hasher.finalize_xof().fill(&mut check);
        check
    }
}

#[expect(clippy::expect_used, reason = "the codec refuses none of these")]
fn put(out: &mut Vec<u8>, value: &impl Serialize) {
    *out = postcard::to_extend(value, std::mem::take(out)).expect("numbers and bytes");
}

fn take<T: for<'a> Deserialize<'a>>(from: &mut &[u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(from).ok()?;
    *from = rest;
    Some(value)
}
