//! Checkpoints by somebody who has the vault's key, and a fault or bad intentions; and by one who has
//! another key.

use std::collections::BTreeMap;

use everleaf::{
    clock::Timestamp,
    event::{ChangeBytes, Covered, Digest},
    id::{ChangeHash, DeviceId, ImageId, NoteId, SegmentHash},
    image::MediaType,
    note::{Body, Note, Piece, in_changes, inspect_whole},
    remote::Key,
    seal::{Context, Sealer},
    segment::{
        SegmentError,
        checkpoint::{self, Checkpoint, Entry, open_part, seal_part},
    },
};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{Scene, read, same, settled, verified};
use crate::{
    golden::{golden, hex, unhex},
    seal::key,
    world::{Device, origin},
};

const FORGER: DeviceId = DeviceId::from_bytes([0xf0; 16]);

fn whole(number: u8, text: &str) -> (NoteId, Note) {
    let id = NoteId::from_bytes([number; 16]);
    let mut note = Note::new(id, [number; 8]);
    let body = Body::new([Piece::Text(text.to_owned())]);
    note.create(Some("a.md"), &body, Timestamp(1_795_000_000_000)).unwrap();
    (id, note)
}

fn entry(number: u8, text: &str) -> Entry {
    let (note, loaded) = whole(number, text);
    let document = ChangeBytes(loaded.save());
    let heads = loaded.heads().as_slice().to_vec();
    let digest = Digest { title: text.to_owned(), ..Digest::default() };
    Entry::Note { note, document, heads, changes: 2, digest }
}

fn name_of(bytes: &[u8]) -> SegmentHash {
    SegmentHash::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// A chunk of Automerge with the checksum that its bytes should have.
fn with_checksum(mut chunk: Vec<u8>) -> Vec<u8> {
    let hash: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&chunk[8..]).into();
    chunk[4..8].copy_from_slice(&hash[..4]);
    chunk
}

/// Puts a checkpoint of these entries that seems to cover more than the genuine one does.
fn forge(scene: &Scene, sealer: &Sealer, genuine: &Sealer, entries: &[Entry]) -> Scene {
    let mut objects = scene.memory.snapshot();
    let mut covers = Vec::new();
    for (name, bytes) in &objects {
        if let Ok(Key::Checkpoint { device, seq, part: 0, hash }) = name.parse() {
            covers = Checkpoint::open(genuine, device, seq, hash, bytes).unwrap().covers;
        }
    }
    let parts = seal_part(entries, sealer, FORGER, 9).unwrap();
    covers.extend(covers.clone());
    let first = Checkpoint { covers, parts: vec![parts.hash] };
    let first = first.seal(sealer, FORGER, 9).unwrap();
    for (part, sealed) in [(0, first), (1, parts)] {
        let key = Key::Checkpoint { device: FORGER, seq: 9, part, hash: sealed.hash };
        objects.insert(key.to_string(), sealed.bytes.into());
    }
    Scene::of(objects)
}

/// Whoever joins takes the genuine one, or the segments, and says why.
async fn is_named(laptop: &Device, forged: &Scene, seed: u64) {
    let joined = forged.join(seed, laptop).await;
    let report = joined.try_sync(&forged.remote).await.unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    same(laptop, &joined);
    joined.check();
    assert_eq!(verified(&joined, &forged.remote).await.len(), 1);
}

#[tokio::test]
async fn one_of_another_vault_is_named() {
    let (scene, laptop, ..) = settled().await;
    let genuine = laptop.vault().key().sealer();
    let forged = forge(&scene, &key(7).sealer(), &genuine, &[entry(1, "foreign")]);
    is_named(&laptop, &forged, 30).await;
    // Nor does a genuine one open in another place.
    let device = laptop.vault().device().unwrap().to_string();
    let moved = scene.memory.snapshot().into_iter().map(|(name, bytes)| {
        let is_checkpoint = name.starts_with("checkpoints/");
        let moved = name.replace(&device, &FORGER.to_string());
        (if is_checkpoint { moved } else { name }, bytes)
    });
    let moved = Scene::of(moved.collect::<BTreeMap<_, _>>());
    is_named(&laptop, &moved, 31).await;
}

#[tokio::test]
async fn one_that_lies_of_its_notes_is_refused() {
    let (scene, laptop, _, notes) = settled().await;
    let sealer = laptop.vault().key().sealer();
    let Entry::Note { note, document, heads, changes, digest } = entry(1, "whole") else {
        unreachable!()
    };
    let like = |document: &[u8], heads: &[ChangeHash], note| Entry::Note {
        note,
        document: ChangeBytes(document.to_vec()),
        heads: heads.to_vec(),
        changes,
        digest: digest.clone(),
    };
    let document = document.0;
    let mut flipped = document.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let lies = [
        vec![like(&document, &[ChangeHash::from_bytes([3; 32])], note)],
        vec![like(&document, &[], note)],
        vec![like(&flipped, &heads, note)],
        vec![like(&document[..40], &heads, note)],
        vec![like(&[], &heads, note)],
        vec![like(&document.repeat(2), &heads, note)],
        vec![like(&document, &heads, note), like(&document, &heads, note)],
        vec![Entry::Waiting { note, changes: vec![ChangeBytes(vec![1, 2, 3])] }],
    ];
    for (seed, lie) in (40..).zip(lies) {
        let forged = forge(&scene, &sealer, &sealer, &lie);
        let joined = forged.join(seed, &laptop).await;
        let report = joined.try_sync(&forged.remote).await.unwrap();
        assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
        assert_eq!(read(&joined).0, 1, "the genuine one is taken");
        same(&laptop, &joined);
        joined.check();
    }
    // What no segment has is found by whoever read them.
    let forged = forge(&scene, &sealer, &sealer, &[like(&document, &heads, note)]);
    let found = verified(&laptop, &forged.remote).await;
    assert!(found.len() == 1 && found[0].contains("which no segment has"), "{found:?}");
    // Another note's document is listed, since nothing is loaded; read, it is an error.
    let other = like(&document, &heads, notes[0]);
    let forged = forge(&scene, &sealer, &sealer, &[other]);
    let joined = forged.join(60, &laptop).await;
    joined.try_sync(&forged.remote).await.unwrap();
    assert_eq!(joined.vault().list().unwrap().len(), 1);
    assert!(joined.vault().read(notes[0], None).is_err());
    assert!(!joined.vault().verify().unwrap().findings.is_empty());
}

/// Nothing is loaded before somebody reads it: a note that nobody could load is listed all the same.
#[tokio::test]
async fn the_list_is_there_before_any_note_is_loaded() {
    let (scene, laptop, ..) = settled().await;
    let sealer = laptop.vault().key().sealer();
    let (note, loaded) = whole(1, "unreadable");
    let mut document = loaded.save();
    // Another author than the heads were computed with.
    let at = document.windows(8).position(|window| window == [1; 8]).unwrap();
    document[at] = 0;
    let document = with_checksum(document);
    let heads = inspect_whole(&document).unwrap().as_slice().to_vec();
    let digest = Digest { title: "unreadable".into(), ..Digest::default() };
    let document = ChangeBytes(document);
    let entries = [Entry::Note { note, document, heads, changes: 2, digest }, entry(2, "good")];
    let forged = forge(&scene, &sealer, &sealer, &entries);
    let joined = forged.join(70, &laptop).await;
    joined.try_sync(&forged.remote).await.unwrap();
    let rows = joined.vault().list().unwrap().into_iter();
    assert_eq!(rows.map(|row| row.title).collect::<Vec<_>>(), ["unreadable", "good"]);
    assert!(joined.vault().read(note, None).is_err());
    let good = joined.vault().read(NoteId::from_bytes([2; 16]), None).unwrap();
    assert_eq!(good.body.source(), "good");
}

/// A note that is here already is merged with what a checkpoint has of it.
#[tokio::test]
async fn what_is_here_already_is_merged_with_it() {
    let (scene, laptop, ..) = settled().await;
    let survivor = scene.join(80, &laptop).await;
    survivor.sync(&scene.remote).await;
    // Another remote has more of the same notes.
    let other = Scene::of(scene.memory.snapshot());
    let more = other.join(81, &laptop).await;
    more.sync(&other.remote).await;
    let note = more.vault().list().unwrap()[0].note;
    more.edit(note, |text| text + "elsewhere\n");
    let new = more.note("# Only elsewhere\n");
    super::sync(&more, &other.remote).await;
    survivor.edit(note, |text| format!("here\n{text}"));
    survivor.vault().remove_remote(&origin()).unwrap();
    survivor.add(&other.remote).await;
    survivor.sync(&other.remote).await;
    assert_eq!(read(&survivor).0, 2);
    assert!(survivor.source(note).starts_with("here\n"));
    assert!(survivor.source(note).ends_with("elsewhere\n"));
    assert_eq!(survivor.source(new), "# Only elsewhere\n");
    more.sync(&other.remote).await;
    assert_eq!(more.sources(), survivor.sources());
    assert_eq!(verified(&survivor, &other.remote).await, [""; 0]);
}

fn sample() -> (Checkpoint, Vec<Entry>) {
    let device = DeviceId::from_bytes([3; 16]);
    let hashes = vec![SegmentHash::from_bytes([4; 32]), SegmentHash::from_bytes([5; 32])];
    let covers = vec![Covered { device, seq: 300, hashes: hashes.clone() }];
    let image = ImageId::from_bytes([2; 32]);
    let images = vec![(image, Some("https://img.example.org/b.webp".into()))];
    let Entry::Note { note, document, heads, changes, digest } = entry(1, "# Brot 🍞\n") else {
        unreachable!()
    };
    let digest = Digest { path: Some("a.md".into()), trashed: true, images, ..digest };
    let (media_type, holders) = (MediaType::Webp, vec![device]);
    let entries = vec![
        Entry::Note { note, document, heads, changes, digest },
        Entry::Waiting { note, changes: vec![ChangeBytes(vec![1, 2]), ChangeBytes(vec![])] },
        Entry::Image { image, bytes: 70_000, media_type, dimensions: None, holders },
    ];
    (Checkpoint { covers, parts: hashes }, entries)
}

#[test]
fn golden_checkpoints_of_version_1_open() {
    let (checkpoint, entries) = sample();
    let sealer = key(1).sealer();
    let first = checkpoint.seal(&sealer, FORGER, 7).unwrap();
    let part = seal_part(&entries, &sealer, FORGER, 7).unwrap();
    let first = golden("checkpoint-v1.hex", hex(&first.bytes).as_bytes());
    let first = unhex(std::str::from_utf8(&first).unwrap());
    assert_eq!(Checkpoint::open(&sealer, FORGER, 7, name_of(&first), &first).unwrap(), checkpoint);
    let part = golden("checkpoint-part-v1.hex", hex(&part.bytes).as_bytes());
    let part = unhex(std::str::from_utf8(&part).unwrap());
    assert_eq!(open_part(&sealer, FORGER, 7, name_of(&part), &part).unwrap(), entries);
    // In its place alone.
    assert!(open_part(&sealer, FORGER, 8, name_of(&part), &part).is_err());
    assert!(Checkpoint::open(&sealer, FORGER, 8, name_of(&first), &first).is_err());
    assert!(Checkpoint::open(&sealer, FORGER, 7, name_of(&part), &part).is_err());
    assert!(open_part(&key(2).sealer(), FORGER, 7, name_of(&part), &part).is_err());
}

#[test]
fn a_part_that_unfolds_to_too_much_is_refused() {
    let sealer = key(1).sealer();
    let of = Context::Part { device: FORGER, seq: 7 };
    let open = |plain: &[u8]| {
        let bytes = sealer.seal(of, &zstd::bulk::compress(plain, 3).unwrap());
        let read = || open_part(&sealer, FORGER, 7, name_of(&bytes), &bytes);
        crate::crashers::within(4 * checkpoint::LIMIT, read)
    };
    let bomb = open(&vec![1; 70 << 20]).unwrap_err();
    assert!(matches!(bomb, SegmentError::TooLarge { .. }), "{bomb}");
    // Many small ones are as large as few large ones.
    let note = NoteId::from_bytes([1; 16]);
    let waiting = postcard::to_stdvec(&Entry::Waiting { note, changes: Vec::new() }).unwrap();
    let many = open(&[&[1][..], &waiting.repeat(400_000)].concat()).unwrap_err();
    assert!(matches!(many, SegmentError::TooLarge { .. }), "{many}");
    assert!(matches!(open(&[2]), Err(SegmentError::Version { format: 2, .. })));
    assert!(matches!(open(&[]), Err(SegmentError::Damaged { .. })));
    assert_eq!(open(&[1]).unwrap(), []);
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    /// Whatever the bytes of a whole note: an answer; and what is altered is not what it was.
    #[test]
    fn any_whole_note_has_an_answer(
        bytes in vec(any::<u8>(), 0..100),
        at in any::<Index>(),
        mask in 1_u8..,
        cut: bool,
    ) {
        let _ = inspect_whole(&bytes);
        let (_, note) = whole(1, &"all work and no play ".repeat(40));
        let saved = note.save();
        prop_assert_eq!(inspect_whole(&saved).unwrap(), note.heads());
        let mut altered = saved;
        let at = at.index(altered.len());
        if cut { altered.truncate(at) } else { altered[at] ^= mask }
        prop_assert!(inspect_whole(&altered).is_err());
        // With the checksum of what it is now it may be anything, and must not make this fall over.
        if altered.len() > 8 {
            let _ = inspect_whole(&with_checksum(altered));
        }
    }

    /// What is sealed but is no checkpoint is refused.
    #[test]
    fn no_contents_make_it_panic(plain in vec(any::<u8>(), 0..200)) {
        let sealer = key(1).sealer();
        let plain = [&[1][..], &plain].concat();
        let first = sealer.seal(Context::Checkpoint { device: FORGER, seq: 7 }, &plain);
        let _ = Checkpoint::open(&sealer, FORGER, 7, name_of(&first), &first);
        let plain = zstd::bulk::compress(&plain, 1).unwrap();
        let part = sealer.seal(Context::Part { device: FORGER, seq: 7 }, &plain);
        let _ = open_part(&sealer, FORGER, 7, name_of(&part), &part);
    }

    /// Changes that nobody put together are the note, in any order; and what is altered or incomplete is
    /// refused, or the same note.
    #[test]
    fn changes_that_nobody_put_together_are_the_note(
        text in "[a-zé🍞 \n]{0,2000}",
        edits in vec("[a-z]{1,4}", 0..3),
        at in any::<Index>(),
        mask in 1_u8..,
        cut: bool,
        backwards: bool,
    ) {
        let (id, mut note) = whole(1, &text);
        for word in edits {
            let body = Body::new([Piece::Text(word + &note.body().source())]);
            note.edit_body(&note.heads(), &body, Timestamp(0)).unwrap();
        }
        let mut changes: Vec<_> = note.changes().into_iter().map(|change| change.bytes).collect();
        if backwards {
            changes.reverse();
        }
        let slices: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
        let bytes = in_changes(id, &slices).unwrap();
        prop_assert_eq!(inspect_whole(&bytes).unwrap(), note.heads());
        let loaded = Note::load(id, [9; 8], Some(&bytes), &[]).unwrap();
        prop_assert_eq!((loaded.body(), loaded.heads()), (note.body(), note.heads()));
        prop_assert_eq!((loaded.path(), loaded.history()), (note.path(), note.history()));
        prop_assert_eq!(in_changes(NoteId::from_bytes([2; 16]), &slices), None);
        let without_first: Vec<u8> = slices[usize::from(!backwards)..].concat();
        prop_assert!(changes.len() < 3 || backwards || inspect_whole(&without_first).is_err());
        let mut altered = bytes;
        let at = at.index(altered.len());
        if cut { altered.truncate(at) } else { altered[at] ^= mask }
        // Between two changes it may be cut into an earlier version, which is not the one that is claimed.
        if let Ok(heads) = inspect_whole(&altered) {
            prop_assert!(cut && heads != note.heads() || !cut && heads == note.heads());
        }
        if altered.len() > 8 {
            let _ = inspect_whole(&with_checksum(altered));
        }
    }
}
