//! What a note begins with, encoded by us, against what Automerge makes of the same.

use automerge::{ActorId, TextEncoding, transaction::CommitOptions};
use everleaf::note::{Note, Opening, in_changes, last_change, outline};

use super::*;

/// Genesis as Automerge makes it.
fn genesis(id: NoteId) -> Vec<u8> {
    let actor = ActorId::from(id.as_bytes().as_slice());
    let encoding = TextEncoding::UnicodeCodePoint;
    let mut document = Automerge::new_with_encoding(encoding).with_actor(actor);
    let mut transaction = document.transaction();
    transaction.put(ROOT, "format", 1_i64).unwrap();
    transaction.put_object(ROOT, "body", ObjType::Text).unwrap();
    transaction.put_object(ROOT, "images", ObjType::Map).unwrap();
    let (hash, _) = transaction.commit_with(CommitOptions::default().with_time(0));
    document.get_change_by_hash(&hash.unwrap()).unwrap().raw_bytes().to_vec()
}

#[track_caller]
fn is_as_automerge_makes_it(path: Option<&str>, body: &Body, at: Timestamp) {
    let (begun, shown) = Note::begin(id(), [3; 8], path, body, at).unwrap();
    let mut note = Note::new(id(), [3; 8]);
    let content = note.create(path, body, at).unwrap();
    let bytes = |changes: &[Change]| changes.iter().map(|c| c.bytes.clone()).collect::<Vec<_>>();
    let made: Vec<Change> = std::iter::once(Note::genesis(id())).chain(content).collect();
    assert_eq!(bytes(&begun), bytes(&made));
    assert_eq!(begun, made);
    assert_eq!(shown, *note.body());
    opens(&begun, &shown, path, at);
    for change in &begun {
        let info = inspect(&change.bytes).unwrap();
        assert_eq!((info.hash, &info.deps), (change.hash, &change.deps));
    }
}

/// What a note begins with is read back, and is the document that Automerge makes of it.
#[track_caller]
fn opens(begun: &[Change], shown: &Body, path: Option<&str>, at: Timestamp) {
    let [genesis, content] = begun else { return };
    assert_eq!(Opening::read(id(), &genesis.bytes), None);
    let applied = applied(begun);
    let Some(opening) = Opening::read(id(), &content.bytes) else {
        let is_foreign = shown.pieces().contains(&Piece::Foreign);
        assert!(is_foreign || shown.pieces().is_empty(), "{shown:?} was not read back");
        return;
    };
    assert_eq!((&opening.body, opening.path.as_deref()), (shown, path));
    assert_eq!(opening.heads(), vec![content.hash].into());
    let options = automerge::SaveOptions { deflate: false, ..Default::default() };
    assert_eq!(opening.document(), applied.save_with_options(options));
    let slices: Vec<&[u8]> = begun.iter().map(|change| change.bytes.as_slice()).collect();
    for changes in [&slices[..], &slices[1..]] {
        let loaded = Note::load(id(), [5; 8], None, changes).unwrap();
        assert_eq!(loaded.save(), applied.clone().save());
        assert_eq!((loaded.body(), loaded.path().as_deref()), (shown, path));
        assert_eq!(loaded.body_at(&opening.heads()).unwrap(), *shown);
    }
    assert!(Opening::read(NoteId::new(at.millis(), [9; 10]), &content.bytes).is_none());
}

/// A change as another author's.
fn by(actor: &[u8], change: &[u8]) -> Vec<u8> {
    let length = |data: &[u8]| {
        let mut bytes = Vec::new();
        let mut left = data.len();
        while left >= 0x80 {
            bytes.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
            left >>= 7;
        }
        bytes.push(u8::try_from(left).unwrap());
        bytes
    };
    let data = 9 + change[9..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    // The number of what it builds on, and its hash; then the author.
    let author = data + 1 + 32;
    let behind = author + 1 + usize::from(change[author]);
    let data = [&change[data..author], &length(actor), actor, &change[behind..]].concat();
    let chunk = [&[1][..], &length(&data), &data].concat();
    let hash = <sha2::Sha256 as sha2::Digest>::digest(&chunk);
    [&change[..4], &hash[..4], &chunk].concat()
}

#[test]
fn an_opening_by_the_author_of_the_genesis_is_none() {
    let (begun, _) = Note::begin(id(), [3; 8], None, &body("abc"), AT).unwrap();
    let [genesis, content] = &begun[..] else { panic!("{begun:?}") };
    assert_eq!(by(&[3; 8], &content.bytes), content.bytes);
    let other = by(&[7; 16], &content.bytes);
    assert!(Opening::read(id(), &other).is_some());
    assert_eq!(*Note::load(id(), [5; 8], None, &[&other]).unwrap().body(), body("abc"));
    let same = by(id().as_bytes(), &content.bytes);
    inspect(&same).unwrap();
    assert_eq!(Opening::read(id(), &same), None);
    let loaded = Note::load(id(), [5; 8], None, &[&genesis.bytes, &same]);
    assert!(matches!(loaded, Err(NoteError::Damaged { .. })), "{loaded:?}");
}

/// What Automerge makes of changes one by one.
fn applied(changes: &[Change]) -> Automerge {
    let mut document = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
    for change in changes {
        let change = automerge::Change::from_bytes(change.bytes.clone()).unwrap();
        document.apply_changes([change]).unwrap();
    }
    document
}

#[test]
fn a_genesis_is_as_automerge_makes_it() {
    for random in [[0; 10], [7; 10], [255; 10]] {
        let id = NoteId::new(1_700_000_000_000, random);
        assert_eq!(Note::genesis(id).bytes, genesis(id));
    }
}

#[test]
fn a_note_begins_as_automerge_makes_it() {
    for path in [None, Some(""), Some("Folder/Ünïcode 🌿.md")] {
        for source in [
            "",
            "x",
            "aab",
            "# Bread\n\n![a](a.png) and ![b](b.png)\n",
            "![a](a.png)",
            "\u{feff}\r\n\u{fffc}👨‍👩‍👧 \0 end",
        ] {
            is_as_automerge_makes_it(path, &body(source), AT);
        }
        let long = "word über ".repeat(30_000);
        is_as_automerge_makes_it(path, &body(&long), Timestamp(-1));
    }
    // Side by side, so that the second gets markup of its own.
    let pair = Body::new([text("![x]("), embed("a.png"), embed("b.png"), text(")")]);
    is_as_automerge_makes_it(None, &pair, Timestamp(0));
    is_as_automerge_makes_it(None, &Body::new([Piece::Foreign, text("x")]), Timestamp(0));
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    #[test]
    fn any_note_begins_as_automerge_makes_it(
        source in markdown(),
        other in merged(),
        path in proptest::option::of(".{0,20}"),
        at in any::<i32>(),
    ) {
        let at = Timestamp(i64::from(at) * 100_000);
        is_as_automerge_makes_it(path.as_deref(), &body(&source), at);
        is_as_automerge_makes_it(path.as_deref(), &other, at);
    }

    #[test]
    fn an_outline_says_what_an_inspection_does_or_nothing(
        source in markdown(),
        flip in proptest::option::of((any::<Index>(), 1..=255_u8)),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let (_, change) = note(&source, 1);
        let mut bytes = change.bytes.clone();
        if let Some((at, with)) = flip {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(outline) = outline(&bytes) {
            prop_assert_eq!(&bytes, &change.bytes);
            let info = inspect(&bytes).unwrap();
            prop_assert_eq!((outline.hash, outline.deps, outline.at), (info.hash, info.deps, info.at));
        } else {
            prop_assert_ne!(&bytes, &change.bytes);
        }
    }

    /// Read off its bytes, however it was put together.
    #[test]
    fn a_whole_note_says_when_it_last_changed(
        times in prop::collection::vec((0..5_000_000_000_i64, 1..5_u8), 1..40),
        flip in (any::<Index>(), 1..=255_u8),
    ) {
        let (mut note, change) = note("x", 1);
        let mut changes = vec![Note::genesis(id()), change];
        for (at, often) in times {
            // Some in a row, a second apart.
            for step in 0..i64::from(often) {
                let (heads, longer) = (note.heads(), note.body().source() + "y");
                let at = Timestamp((at + step) * 1000);
                changes.extend(note.edit_body(&heads, &body(&longer), at).unwrap());
            }
        }
        let last = note.history().iter().map(|change| change.at).max();
        let whole = note.save();
        prop_assert_eq!(last_change(&whole), last);
        let changes: Vec<&[u8]> = changes.iter().map(|change| change.bytes.as_slice()).collect();
        if let Some(whole) = in_changes(id(), &changes) {
            prop_assert_eq!(last_change(&whole), last);
        }
        let mut damaged = whole;
        let at = flip.0.index(damaged.len());
        damaged[at] ^= flip.1;
        let _ = last_change(&damaged);
        let _ = last_change(damaged.get(..at).unwrap_or_default());
    }
}

/// What packs takes 300 KB, of which each that is made anew may leave a hole in the memory.
#[test]
fn many_notes_are_put_together_with_one_packer() {
    let (_, change) = note(&"a text of some length ".repeat(40), 1);
    let changes = [Note::genesis(id()).bytes, change.bytes];
    let changes: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
    let whole = in_changes(id(), &changes).unwrap();
    let memory = allocation_counter::measure(|| {
        for _ in 0..50 {
            assert_eq!(in_changes(id(), &changes).unwrap(), whole);
        }
    });
    assert!(memory.bytes_total < 50 * 16 * 1024, "{memory:?}");
}
