//! Automerge bytes from a stranger: snapshots and changes.

use everleaf::{
    clock::Timestamp,
    id::NoteId,
    note::{Body, Note, inspect, touches_only_images},
};
use sha2::{Digest as _, Sha256};

use super::measured::within;

const ACTOR: [u8; 8] = [9; 8];

fn id() -> NoteId {
    NoteId::new(1_700_000_000_000, [7; 10])
}

/// With the checksum that its bytes should have: where it is wrong, nothing further is looked at.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() > 9 {
        let hash = Sha256::digest(&bytes[8..]);
        bytes[..4].copy_from_slice(&[0x85, 0x6f, 0x4a, 0x83]);
        bytes[4..8].copy_from_slice(&hash[..4]);
    }
    bytes
}

/// As a snapshot, as a change, and as a change of a note that has others: as they are, and with the
/// checksum mended.
pub(crate) fn attack(bytes: &[u8]) {
    let limit = (256 << 20) + 4096 * bytes.len();
    for bytes in [bytes.to_vec(), mended(bytes)] {
        if let Ok(note) = within(limit, || Note::load(id(), ACTOR, Some(&bytes), &[])) {
            sound(note);
        }
        let _ = within(limit, || inspect(&bytes));
        let _ = within(limit, || touches_only_images(id(), &bytes));
        if let Ok(note) = within(limit, || Note::load(id(), ACTOR, None, &[&bytes])) {
            sound(note);
        }
    }
}

/// What loads can be read, edited, saved, and loaded again as the same.
fn sound(mut note: Note) {
    let saved = note.save();
    let (body, source) = (note.body().clone(), note.body().source());
    // A change that is written in another way than Automerge would loads, and its snapshot need not:
    // a vault then loads the changes again. A snapshot that does load is the note.
    if let Ok(again) = Note::load(id(), ACTOR, Some(&saved), &[]) {
        assert_eq!((again.heads(), again.missing()), (note.heads(), note.missing()));
        assert_eq!((again.body(), again.path()), (&body, note.path()));
        assert_eq!((again.trashed(), again.urls()), (note.trashed(), note.urls()));
        assert_eq!(note.history().len(), again.history().len());
    }
    let _ = (body.title(), body.images(), body.characters(), body.render(|_, _| None));
    let same = Body::parse_edit(&body, &source, |_, _| None, |_, _| None);
    assert_eq!(same, body, "what was not edited is the same");

    let heads = note.heads();
    let edited = Body::parse_edit(&body, &format!("x{source}"), |_, _| None, |_, _| None);
    let shown = edited.source();
    if note.edit_body(&heads, &edited, Timestamp(0)).is_ok() {
        assert_eq!(note.body().source(), shown);
    }
}
