//! Checkpoints: whoever joins by one has what whoever read every segment has, and nobody is led astray.

mod equal;
mod forged;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    image::png,
    world::{Device, origin},
};
use bytes::Bytes;
use everleaf::{
    event::Event,
    id::{NoteId, Seq},
    remote::{Failure, Fault, Faulty, Key, Memory, Remote, Requests},
    vault::{SyncOptions, SyncReport},
};

/// A remote that can be looked at and altered.
struct Scene {
    memory: Memory,
    remote: Arc<dyn Remote>,
}

impl Scene {
    fn new() -> Self {
        Self::of(BTreeMap::new())
    }

    fn of(objects: BTreeMap<String, Bytes>) -> Self {
        let memory = Memory::new();
        memory.restore(objects);
        Self { remote: Arc::new(memory.clone()), memory }
    }

    /// The same remote with other checkpoints; `None` takes one away.
    fn altered(&self, alter: impl Fn(&str, Bytes) -> Option<Bytes>) -> Self {
        let objects = self.memory.snapshot().into_iter().filter_map(|(name, bytes)| {
            let is_checkpoint = name.starts_with("checkpoints/");
            let bytes = if is_checkpoint { alter(&name, bytes) } else { Some(bytes) };
            bytes.map(|bytes| (name, bytes))
        });
        Self::of(objects.collect())
    }

    fn without_checkpoints(&self) -> Self {
        self.altered(|_, _| None)
    }

    /// The names of checkpoints' parts.
    fn parts(&self) -> Vec<Key> {
        let names = self.memory.snapshot().into_keys();
        let keys = names.filter_map(|name| name.parse().ok());
        keys.filter(|key| matches!(key, Key::Checkpoint { .. })).collect()
    }

    async fn join(&self, seed: u64, other: &Device) -> Device {
        let device = Device::join("joined", seed, other);
        device.add(&self.remote).await;
        device
    }
}

/// Syncs a device that writes a checkpoint whenever there is anything to write one of.
async fn sync(device: &Device, remote: &Arc<dyn Remote>) -> SyncReport {
    let options = SyncOptions { checkpoint: 1, ..SyncOptions::default() };
    device.sync_with(remote, &options).await.unwrap()
}

/// How many checkpoints a device read to their end, notes came whole, and were looked up.
fn read(device: &Device) -> (usize, usize, usize) {
    let (mut checkpoints, mut notes, mut indexed) = (0, 0, 0);
    for recorded in device.vault().events(Seq(1)) {
        match recorded.unwrap().event {
            Event::CheckpointRead { .. } => checkpoints += 1,
            Event::NoteReceived { .. } => notes += 1,
            Event::NoteIndexed { .. } => indexed += 1,
            _ => {}
        }
    }
    (checkpoints, notes, indexed)
}

/// That two devices show the same.
#[track_caller]
fn same(one: &Device, other: &Device) {
    assert_eq!(one.sources(), other.sources());
    let rows = |device: &Device| -> Vec<_> {
        let rows = device.vault().list().unwrap().into_iter();
        rows.map(|row| (row.note, row.title, row.path, row.trashed, row.images)).collect()
    };
    assert_eq!(rows(one), rows(other));
    let versions = |device: &Device, note| device.vault().history(note).unwrap().len();
    for row in rows(one) {
        assert_eq!(versions(one, row.0), versions(other, row.0));
        assert_eq!(
            one.vault().image_urls(row.0).unwrap(),
            other.vault().image_urls(row.0).unwrap()
        );
    }
}

async fn verified(device: &Device, remote: &Arc<dyn Remote>) -> Vec<String> {
    let mut found = device.vault().verify().unwrap();
    device.vault().verify_remote(&origin(), &**remote, false, &mut found).await.unwrap();
    found.findings.into_iter().map(|f| format!("{}: {}", f.what, f.problem)).collect()
}

/// A laptop and a phone with three notes, a picture, and a checkpoint of all.
async fn settled() -> (Scene, Device, Device, Vec<NoteId>) {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    laptop.file("a.png", &png(3, 3, b"a"));
    let notes: Vec<NoteId> = ["# One\n", "# Two\n\n![a](a.png)\n", "# Three\n"]
        .iter()
        .map(|source| laptop.note(source))
        .collect();
    laptop.vault().set_path(notes[0], Some("One.md")).unwrap();
    laptop.sync(&scene.remote).await;
    let phone = scene.join(2, &laptop).await;
    phone.sync(&scene.remote).await;
    laptop.edit(notes[2], |text| text + "more\n");
    sync(&laptop, &scene.remote).await;
    phone.sync(&scene.remote).await;
    (scene, laptop, phone, notes)
}

#[tokio::test]
async fn whoever_joins_reads_a_checkpoint_and_what_comes_after_it() {
    let (scene, laptop, phone, notes) = settled().await;
    assert_eq!(scene.parts().len(), 2);
    phone.edit(notes[0], |text| text + "after it\n");
    phone.sync(&scene.remote).await;
    let joined = scene.join(3, &laptop).await;
    let report = joined.sync(&scene.remote).await;
    assert_eq!((report.pulled.segments, read(&joined)), (1, (1, 3, 0)));
    laptop.sync(&scene.remote).await;
    same(&laptop, &joined);
    same(&phone, &joined);
    assert_eq!(joined.vault().status().unwrap().unsynced_notes, 0);
    assert_eq!(verified(&joined, &scene.remote).await, [""; 0]);
    assert_eq!(verified(&laptop, &scene.remote).await, [""; 0]);
    // It owes nobody anything, and has nothing more to ask.
    let idle = Requests { head: 1, ..Requests::default() };
    assert_eq!(joined.sync(&scene.remote).await.requests, idle);
    // What it writes the others read, and the other way round.
    joined.edit(notes[1], |text| text + "joined\n");
    laptop.edit(notes[1], |text| format!("laptop\n{text}"));
    for device in [&joined, &laptop, &joined, &phone] {
        sync(device, &scene.remote).await;
    }
    same(&laptop, &joined);
    same(&phone, &joined);
    assert_eq!(read(&joined).2, 0, "nothing had to be looked up");
    assert_eq!(verified(&joined, &scene.remote).await, [""; 0]);
}

#[tokio::test]
async fn an_edit_of_a_version_before_it_is_merged() {
    let (scene, laptop, phone, notes) = settled().await;
    let then = phone.vault().read(notes[0], None).unwrap();
    laptop.edit(notes[0], |text| text + "of the laptop\n");
    // So much that another checkpoint is due.
    let heavy: Vec<_> = (0..100_u8).map(|n| blake3::hash(&[n]).to_string()).collect();
    laptop.note(&heavy.join("\n"));
    sync(&laptop, &scene.remote).await;
    assert_eq!(scene.parts().len(), 4);
    // Of what it saw then, put after the checkpoint.
    let source = format!("of the phone\n{}", then.body.source());
    phone.vault().edit(notes[0], &then.heads, &source, None).unwrap();
    phone.sync(&scene.remote).await;
    let mut joined = scene.join(3, &laptop).await;
    joined.sync(&scene.remote).await;
    assert_eq!(read(&joined), (1, 4, 1), "one note had to be looked up");
    assert_eq!(joined.source(notes[0]), "of the phone\n# One\nof the laptop\n");
    same(&phone, &joined);
    // Somebody here goes on from an old version as well.
    let old = joined.vault().history(notes[2]).unwrap()[1].heads.clone();
    assert_eq!(joined.vault().read(notes[2], Some(&old)).unwrap().body.source(), "# Three\n");
    joined.vault().edit(notes[2], &old, "# Three!\n", None).unwrap();
    assert_eq!(read(&joined), (1, 4, 2));
    assert_eq!(joined.source(notes[2]), "# Three!\nmore\n");
    sync(&joined, &scene.remote).await;
    joined.reopen();
    joined.vault().rebuild().unwrap();
    for device in [&laptop, &phone] {
        device.sync(&scene.remote).await;
        same(device, &joined);
    }
    assert_eq!(verified(&joined, &scene.remote).await, [""; 0]);
}

#[tokio::test]
async fn whoever_joined_by_one_fills_an_empty_remote() {
    let (scene, laptop, ..) = settled().await;
    let joined = scene.join(3, &laptop).await;
    joined.sync(&scene.remote).await;
    scene.memory.restore(BTreeMap::new());
    // That the heads are gone is said.
    joined.try_sync(&scene.remote).await.unwrap();
    assert_eq!(joined.vault().status().unwrap().unsynced_notes, 0);
    let heir = scene.join(4, &joined).await;
    heir.sync(&scene.remote).await;
    assert_eq!(read(&heir), (0, 0, 0));
    same(&laptop, &heir);
    // The laptop, too, finds it all there again.
    for device in [&laptop, &joined, &laptop, &heir] {
        sync(device, &scene.remote).await;
    }
    same(&laptop, &joined);
    assert_eq!(verified(&joined, &scene.remote).await, [""; 0]);
    // And another remote gets all of it.
    let other = Scene::new();
    joined.vault().remove_remote(&origin()).unwrap();
    joined.add(&other.remote).await;
    joined.sync(&other.remote).await;
    let heir = other.join(5, &joined).await;
    heir.sync(&other.remote).await;
    same(&laptop, &heir);
}

/// What becomes of a part, given whether it is the first.
type Alter = fn(bool, Bytes) -> Option<Bytes>;

/// A checkpoint that was damaged, cut short, or never finished is said to be so, and is not missed.
#[tokio::test]
async fn a_damaged_checkpoint_is_named_and_the_segments_are_read() {
    let (scene, laptop, ..) = settled().await;
    let flipped = |bytes: Bytes| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Some(bytes.into())
    };
    let ways: [(&str, Alter, bool); 6] = [
        ("flipped", |is_first, b| if is_first { Some(b) } else { None }, true),
        ("first gone", |is_first, b| (!is_first).then_some(b), false),
        ("first cut", |is_first, b| Some(if is_first { b.slice(..b.len() / 2) } else { b }), true),
        ("other cut", |is_first, b| Some(if is_first { b } else { b.slice(..9) }), true),
        ("first empty", |is_first, b| Some(if is_first { Bytes::new() } else { b }), true),
        ("all gone", |_, _| None, false),
    ];
    let damaged = ways.map(|(what, alter, is_named)| {
        (what, scene.altered(|name, bytes| alter(name.contains(".0000-"), bytes)), is_named)
    });
    let others = [
        (
            "a bit of the first",
            scene.altered(
                |name, bytes| {
                    if name.contains(".0000-") { flipped(bytes) } else { Some(bytes) }
                },
            ),
            true,
        ),
        (
            "a bit of the other",
            scene.altered(
                |name, bytes| {
                    if name.contains(".0001-") { flipped(bytes) } else { Some(bytes) }
                },
            ),
            true,
        ),
    ];
    for (seed, (what, scene, is_named)) in (10..).zip(damaged.into_iter().chain(others)) {
        let joined = scene.join(seed, &laptop).await;
        let report = joined.try_sync(&scene.remote).await.unwrap();
        assert_eq!(!report.problems.is_empty(), is_named, "{what}: {:?}", report.problems);
        assert_eq!(read(&joined).0, 0, "{what}");
        same(&laptop, &joined);
        joined.check();
        assert_eq!(!verified(&joined, &scene.remote).await.is_empty(), is_named, "{what}");
        let mut found = joined.vault().verify().unwrap();
        joined.vault().verify_remote(&origin(), &*scene.remote, true, &mut found).await.unwrap();
        assert_eq!(verified(&joined, &scene.remote).await, [""; 0], "{what} was mended");
    }
}

/// Whoever was cut off in the midst of writing one begins another.
#[tokio::test]
async fn one_that_was_cut_off_is_nothing() {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    laptop.note("# One\n");
    let faulty = Arc::new(Faulty::new(Arc::clone(&scene.remote)));
    let name = laptop.vault().device().unwrap();
    let prefix = format!("checkpoints/{name}/0000000000000001.0000");
    faulty.fail(Fault { prefix, ..Fault::always(Failure::Offline) });
    let remote: Arc<dyn Remote> = faulty;
    assert_eq!(sync(&laptop, &remote).await.problems, [""; 0]);
    let parts = scene.parts();
    assert!(matches!(parts[..], [Key::Checkpoint { seq: 1, part: 1, .. }]), "{parts:?}");
    let joined = scene.join(2, &laptop).await;
    joined.sync(&scene.remote).await;
    assert_eq!(read(&joined).0, 0);
    laptop.note("# Two\n");
    sync(&laptop, &scene.remote).await;
    let numbers: Vec<_> = scene.parts().iter().map(ToString::to_string).collect();
    assert!(numbers[1].contains("/0000000000000002.0000-"), "{numbers:?}");
    let joined = scene.join(3, &laptop).await;
    joined.sync(&scene.remote).await;
    assert_eq!(read(&joined), (1, 2, 0));
    assert_eq!(verified(&joined, &scene.remote).await, [""; 0]);
}

/// Whoever is killed while they join goes on.
#[tokio::test]
async fn a_join_that_was_cut_off_goes_on() {
    let (scene, laptop, _, notes) = settled().await;
    for calls in 1..14 {
        let mut joined = scene.join(100 + calls, &laptop).await;
        let faulty = Arc::new(Faulty::new(Arc::clone(&scene.remote)));
        faulty.fail(Fault { skip: calls, ..Fault::always(Failure::Offline) });
        let remote: Arc<dyn Remote> = faulty;
        let _ = joined.try_sync(&remote).await;
        joined.reopen();
        joined.sync(&scene.remote).await;
        same(&laptop, &joined);
        joined.check();
        assert_eq!(joined.source(notes[2]), "# Three\nmore\n");
        assert_eq!(joined.vault().status().unwrap().unsynced_notes, 0);
    }
}

#[tokio::test]
async fn twins_may_both_write_one() {
    let (scene, mut laptop, phone, notes) = settled().await;
    let copy = laptop.copy(50);
    for (device, word) in [(&laptop, "laptop\n"), (&copy, "copy\n")] {
        device.edit(notes[0], |text| text + word);
        sync(device, &scene.remote).await;
    }
    for device in [&laptop, &copy, &phone, &laptop] {
        sync(device, &scene.remote).await;
    }
    same(&laptop, &copy);
    let joined = scene.join(60, &laptop).await;
    joined.sync(&scene.remote).await;
    assert_eq!(read(&joined).0, 1);
    for device in [&laptop, &copy, &phone] {
        same(device, &joined);
    }
    assert_eq!(verified(&joined, &scene.remote).await, [""; 0]);
}

/// One may be here before the segments that it stands for, where files come in any order; and on a
/// remote that was put back they may never come.
#[tokio::test]
async fn one_that_leads_nowhere_is_passed_over() {
    let (scene, laptop, ..) = settled().await;
    let all = scene.memory.snapshot();
    let last = all.keys().filter(|name| name.starts_with("log/")).max().unwrap().clone();
    let lacking = Scene::of(all.into_iter().filter(|(name, _)| *name != last).collect());
    let joined = lacking.join(3, &laptop).await;
    joined.try_sync(&lacking.remote).await.unwrap();
    assert_eq!(read(&joined), (0, 0, 0));
    joined.check();
    joined.sync(&scene.remote).await;
    same(&laptop, &joined);
}

#[tokio::test]
async fn little_is_worth_none_and_each_outweighs_the_last() {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    let note = laptop.note("# One\n");
    laptop.sync(&scene.remote).await;
    assert_eq!(scene.parts(), [], "so little is not worth one");
    let mut written = Vec::new();
    for number in 0..60 {
        laptop.edit(note, |text| format!("{text}{number} and some more words\n"));
        sync(&laptop, &scene.remote).await;
        written.push(scene.parts().len() / 2);
    }
    let count = *written.last().unwrap();
    assert!(written[0] == 1 && (3..30).contains(&count), "{written:?}");
}
