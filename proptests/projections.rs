//! Projections hold what the log says, however it came: at once, in parts, twice, or from zero.

use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};

use everleaf::{
    clock::Timestamp,
    db::{Db, Draft, Durability, Read as _, Row, Table},
    event::{
        ChangeBytes, Covered, Digest, Event, Origin, RemoteName, RemoteOptions, RenewReason,
        ResetReason,
    },
    id::{DeviceId, ImageId, NoteId, SegmentHash, Seq, VaultId},
    image::MediaType,
    log::{self, Fold as _, Log, New},
    note::{Body, Note, Target, inspect},
    projection::{FOLD, Projections, catch_up, cursor, rebuild, recent},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::{
    golden::{golden, hex},
    world::Device,
};

const NOTES: u8 = 2;

/// The changes of a note that shows an image, has it replaced, and is thrown away: each of them may
/// come at any time, or not at all.
fn changes(number: u8) -> Vec<(NoteId, ChangeBytes)> {
    let (id, at) = (NoteId::from_bytes([number; 16]), Timestamp(0));
    let body = |source: &str| {
        Body::parse(source, |found| {
            let image = ImageId::from_bytes([found.target.as_bytes()[0] - b'a'; 32]);
            Some(Target { image, path: None, name: None })
        })
    };
    let mut note = Note::new(id, [number; 8]);
    let mut made = vec![Note::genesis(id)];
    made.extend(note.create(None, &body("![](a.png)"), at).unwrap());
    let heads = note.heads();
    made.extend(note.edit_body(&heads, &body("![](a.png) ![](b.png)"), at).unwrap());
    let heads = note.heads();
    made.extend(note.edit_body(&heads, &body("![](c.png)"), at).unwrap());
    made.extend(note.set_trashed(true, at).unwrap());
    made.into_iter().map(|change| (id, ChangeBytes(change.bytes))).collect()
}

fn remote() -> impl Strategy<Value = RemoteName> {
    select(vec!["origin", "other"]).prop_map(|name| name.parse().unwrap())
}

fn image() -> impl Strategy<Value = ImageId> {
    (0..3_u8).prop_map(|number| ImageId::from_bytes([number; 32]))
}

fn device() -> impl Strategy<Value = DeviceId> {
    (0..3_u8).prop_map(|number| DeviceId::from_bytes([number; 16]))
}

fn hash() -> impl Strategy<Value = SegmentHash> {
    (0..3_u8).prop_map(|number| SegmentHash::from_bytes([number; 32]))
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        Just(Origin::Here),
        Just(Origin::Projector),
        (remote(), device(), 1..4_u64, any::<bool>()).prop_map(
            |(remote, device, seq, projector)| Origin::Device { remote, device, seq, projector }
        ),
    ]
}

fn options() -> impl Strategy<Value = RemoteOptions> {
    let base = option::of(select(vec!["https://a.example", "https://b.example/x/"]));
    base.prop_map(|public_url| RemoteOptions {
        url: "dir:/nowhere".into(),
        public_url: public_url.map(Into::into),
        ..RemoteOptions::default()
    })
}

/// A note that came whole, at some version of it; its later changes may come, and earlier ones again.
fn received() -> impl Strategy<Value = Event> {
    let versions = (0..NOTES).flat_map(|number| {
        let all = changes(number);
        (2..=all.len()).map(move |count| {
            let id = NoteId::from_bytes([number; 16]);
            let slices: Vec<&[u8]> = all.iter().take(count).map(|c| c.1.0.as_slice()).collect();
            let note = Note::load(id, [9; 8], None, &slices).unwrap();
            let images = note.body().images().into_iter().map(|image| (image, None)).collect();
            let digest = Digest { title: "t".into(), images, ..Digest::default() };
            let document = ChangeBytes(note.save());
            let (heads, changes) = (note.heads().as_slice().to_vec(), count as u64);
            Event::NoteReceived { note: id, document, heads, changes, digest }
        })
    });
    select(versions.collect::<Vec<_>>())
}

/// Earlier changes of a note that came whole are looked up.
fn indexed() -> impl Strategy<Value = Event> {
    (0..NOTES, 1..4_usize).prop_map(|(number, count)| {
        let hash = |change: &ChangeBytes| inspect(&change.0).unwrap().hash;
        let changes = changes(number).iter().take(count).map(|change| hash(&change.1)).collect();
        Event::NoteIndexed { note: NoteId::from_bytes([number; 16]), changes }
    })
}

/// What happens to notes, to images here, and to devices.
fn of_this_device() -> impl Strategy<Value = Event> {
    let known: Vec<_> = (0..NOTES).flat_map(changes).collect();
    let media_type = MediaType::Png;
    let vault = VaultId::from_bytes([5; 32]);
    let renewed = select(vec![
        RenewReason::Twin,
        RenewReason::TailLost { lost: Seq(3) },
        RenewReason::RemoteReset,
    ]);
    prop_oneof![
        6 => select(known).prop_map(|(note, change)| Event::NoteChanged { note, change }),
        1 => received(),
        1 => indexed(),
        2 => image().prop_map(move |image| {
            Event::ImageStored { image, bytes: 10, media_type, dimensions: None }
        }),
        1 => (image(), device()).prop_map(move |(image, device)| {
            Event::ImageAnnounced { image, bytes: 10, media_type, dimensions: None, device }
        }),
        1 => image().prop_map(|image| Event::ImageEvicted { image }),
        1 => device().prop_map(move |device| Event::LogBegun { vault, device, name: "here".into() }),
        1 => (device(), "[a-b]").prop_map(|(device, name)| Event::DeviceSeen { device, name }),
        1 => (device(), device(), renewed)
            .prop_map(|(from, to, reason)| Event::DeviceRenewed { from, to, reason }),
    ]
}

/// What happens at remotes.
fn of_remotes() -> impl Strategy<Value = Event> {
    let (at, media_type) = (Timestamp, MediaType::Png);
    let reset = select(vec![ResetReason::Emptied, ResetReason::SegmentGone]);
    prop_oneof![
        (remote(), options())
            .prop_map(|(remote, options)| Event::RemoteConfigured { remote, options }),
        remote().prop_map(|remote| Event::RemoteRemoved { remote }),
        (remote(), reset).prop_map(|(remote, reason)| Event::RemoteReset { remote, reason }),
        (remote(), 1..5_u64, hash(), 0..30_u64).prop_map(|(remote, seq, hash, through)| {
            Event::SegmentPushed { remote, seq, hash, through: Seq(through) }
        }),
        (remote(), device(), 1..5_u64, hash(), vec(1..30_u64, 0..3)).prop_map(
            |(remote, device, seq, hash, known)| {
                let known = known.into_iter().map(Seq).collect();
                Event::SegmentPulled { remote, device, seq, hash, known }
            }
        ),
        (remote(), device(), 1..5_u64, vec(hash(), 1..3)).prop_map(
            |(remote, device, seq, hashes)| {
                let hash = SegmentHash::from_bytes([0; 32]);
                let covers = vec![Covered { device, seq, hashes }];
                Event::CheckpointRead { remote, device, seq: 1, hash, covers }
            }
        ),
        (image(), remote(), 1..4_u32).prop_map(|(image, remote, attempt)| Event::UploadStarted {
            image,
            remote,
            attempt
        }),
        (image(), remote(), 0..4_u32, 0..99_i64).prop_map(move |(image, remote, attempt, time)| {
            Event::UploadFailed { image, remote, attempt, reason: "x".into(), retry_at: at(time) }
        }),
        (image(), remote()).prop_map(|(image, remote)| Event::UploadBlocked {
            image,
            remote,
            reason: "x".into()
        }),
        (image(), remote()).prop_map(|(image, remote)| Event::UploadRetried { image, remote }),
        (image(), remote(), option::of("https://[ab]"), any::<bool>()).prop_map(
            |(image, remote, url, already_there)| {
                Event::ImageUploaded { image, remote, url, already_there }
            }
        ),
        (image(), remote()).prop_map(move |(image, remote)| {
            Event::ImageFetched { image, remote, bytes: 10, media_type, dimensions: None }
        }),
    ]
}

fn open(folder: &Path) -> Db {
    Db::open(folder, Duration::ZERO).unwrap()
}

fn dump(db: &Db) -> Vec<(Table, Vec<Row>)> {
    Table::ALL.iter().map(|table| (*table, db.scan(*table, &[]).unwrap())).collect()
}

/// Folds the whole log, each event as often as `times` says.
fn folded(log: &Db, target: &Db, times: usize) {
    let mut draft: Draft<'_> = target.draft();
    for event in log::read(log, Seq(1)) {
        let event = event.unwrap();
        for _ in 0..times {
            Projections.fold(&event, &mut draft).unwrap();
            draft.savepoint();
        }
    }
    let mut batch = target.batch();
    batch.apply(draft.into_changes());
    batch.commit(Durability::Buffered).unwrap();
}

proptest! {
    // A case opens three databases.
    #![proptest_config(crate::regressions::kept_of(module_path!(), 24))]

    /// Live, from zero, in parts, with every event twice, and after a rebuild: the same rows in all
    /// tables.
    #[test]
    fn a_replay_from_zero_equals_the_live_projections(
        batches in vec(vec((origin(), prop_oneof![of_this_device(), of_remotes()]), 1..6), 1..10),
        stop in 0..10_usize,
    ) {
        let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let [live, replayed, twice] = folders.each_ref().map(|folder| Arc::new(open(folder.path())));
        let log = Log::open(folders[0].path(), Arc::clone(&live), Box::new(Projections)).unwrap().log;
        for (number, batch) in batches.into_iter().enumerate() {
            let new = |(origin, event)| New { at: Timestamp(7), origin, event };
            log.append(batch.into_iter().map(new).collect(), None).unwrap();
            if number == stop {
                catch_up(&live, &replayed).unwrap();
            }
        }
        prop_assert_eq!(cursor(&*live).unwrap(), log.last().unwrap());
        let expected = dump(&live);
        catch_up(&live, &replayed).unwrap();
        prop_assert_eq!(&dump(&replayed), &expected);
        catch_up(&live, &replayed).unwrap();
        prop_assert_eq!(&dump(&replayed), &expected);
        folded(&live, &twice, 2);
        prop_assert_eq!(&dump(&twice), &expected);
        rebuild(&live).unwrap();
        prop_assert_eq!(&dump(&live), &expected);
    }

    /// Of the last segments of a device it is known which it had, and of those before nothing is said.
    #[test]
    fn a_segment_that_comes_late_is_told_from_those_that_were_read(
        read in vec((any::<bool>(), 0..20_u64, 0..4_u8), 1..80),
        at in 1..90_u64,
        other in 0..4_u8,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let db = Arc::new(open(folder.path()));
        let log = Log::open(folder.path(), Arc::clone(&db), Box::new(Projections)).unwrap().log;
        let (remote, device): (RemoteName, _) = ("origin".parse().unwrap(), device_of(1));
        let hash = |number| SegmentHash::from_bytes([number; 32]);
        let (mut last, mut known) = (1_u64, vec![(1, 0)]);
        for (is_next, back, number) in read {
            // The next, one beside the last, or one that came late.
            let seq = if is_next { last + 1 } else { last.saturating_sub(back).max(1) };
            last = last.max(seq);
            known.push((seq, number));
        }
        let pulled = |&(seq, number): &(u64, u8)| New {
            at: Timestamp(7),
            origin: Origin::Here,
            event: Event::SegmentPulled {
                remote: remote.clone(),
                device,
                seq,
                hash: hash(number),
                known: Vec::new(),
            },
        };
        log.append(known.iter().map(pulled).collect(), None).unwrap();
        let is_in_reach = at <= last && at + recent::WINDOW > last;
        let is_late = recent::get(&*db, &remote, device).unwrap().is_late(at, hash(other));
        prop_assert_eq!(is_late, is_in_reach && !known.contains(&(at, other)));
        prop_assert_eq!(is_in_reach, at <= last && at >= recent::from(last));
    }
}

/// Most kinds of events, the later of which mean something after the earlier.
fn history() -> Vec<(Origin, Event)> {
    let (remote, device, hash): (RemoteName, _, _) = (
        "origin".parse().unwrap(),
        DeviceId::from_bytes([1; 16]),
        SegmentHash::from_bytes([2; 32]),
    );
    let (own, vault) = (DeviceId::from_bytes([3; 16]), VaultId::from_bytes([5; 32]));
    let theirs = Origin::Device { remote: remote.clone(), device, seq: 1, projector: false };
    let url = "dir:/nowhere".into();
    let public_url = Some("https://a.example".into());
    let (media_type, dimensions, bytes) = (MediaType::Png, None, 10);
    let image = |number| ImageId::from_bytes([number; 32]);
    let changed = |(note, change)| Event::NoteChanged { note, change };
    let mut made = changes(0).into_iter().map(changed);
    let mut received = changes(1).into_iter().map(changed);
    let mut events = vec![
        (Origin::Here, Event::LogBegun { vault, device: own, name: "here".into() }),
        (Origin::Here, Event::ImageStored { image: image(0), bytes, media_type, dimensions }),
    ];
    events.extend(made.by_ref().take(3).map(|event| (Origin::Here, event)));
    let options = RemoteOptions { url, public_url, ..RemoteOptions::default() };
    let failed = |attempt| Event::UploadFailed {
        image: image(0),
        remote: remote.clone(),
        attempt,
        reason: "slow down".into(),
        retry_at: Timestamp(99),
    };
    let here = [
        Event::RemoteConfigured { remote: remote.clone(), options },
        Event::UploadStarted { image: image(0), remote: remote.clone(), attempt: 1 },
        failed(1),
        Event::SegmentPushed { remote: remote.clone(), seq: 1, hash, through: Seq(4) },
        Event::DeviceSeen { device, name: "there".into() },
        Event::ImageAnnounced { image: image(1), bytes, media_type, dimensions, device },
    ];
    events.extend(here.map(|event| (Origin::Here, event)));
    events.extend(received.by_ref().take(3).map(|event| (theirs.clone(), event)));
    let known = vec![Seq(3)];
    let pulled = Event::SegmentPulled { remote: remote.clone(), device, seq: 1, hash, known };
    events.push((theirs, pulled));
    let there = remote.clone();
    let uploaded = Event::ImageUploaded {
        image: image(0),
        remote,
        url: Some("https://a.example/x.png".into()),
        already_there: false,
    };
    events.push((Origin::Here, uploaded));
    events.extend(made.chain(received).map(|event| (Origin::Here, event)));
    let rest = [
        Event::ImageEvicted { image: image(0) },
        Event::ImageFetched {
            image: image(1),
            remote: there.clone(),
            bytes,
            media_type,
            dimensions,
        },
        Event::UploadBlocked { image: image(1), remote: there.clone(), reason: "denied".into() },
        Event::UploadRetried { image: image(1), remote: there.clone() },
        Event::CheckpointRead {
            remote: there.clone(),
            device: DeviceId::from_bytes([4; 16]),
            seq: 1,
            hash,
            covers: vec![Covered { device, seq: 2, hashes: vec![hash] }],
        },
        Event::DeviceRenewed { from: own, to: device_of(6), reason: RenewReason::Twin },
        Event::RemoteReset { remote: there.clone(), reason: ResetReason::SegmentGone },
        Event::DeviceRenewed {
            from: device_of(6),
            to: device_of(7),
            reason: RenewReason::Diverged,
        },
        Event::SegmentPulled { remote: there.clone(), device, seq: 2, hash, known: vec![] },
        Event::SegmentPushed { remote: there.clone(), seq: 1, hash, through: Seq(2) },
    ];
    events.extend(rest.map(|event| (Origin::Here, event)));
    events
}

fn device_of(number: u8) -> DeviceId {
    DeviceId::from_bytes([number; 16])
}

/// Whoever has folding make other rows has to raise its number, or vaults that are there keep the old ones.
#[test]
fn what_folding_makes_is_as_its_number_says() {
    let folder = tempfile::tempdir().unwrap();
    let db = Arc::new(open(folder.path()));
    let log = Log::open(folder.path(), Arc::clone(&db), Box::new(Projections)).unwrap().log;
    let new = |(number, (origin, event))| New { at: Timestamp(number), origin, event };
    log.append((1..).zip(history()).map(new).collect(), None).unwrap();
    let mut rows = String::new();
    for (table, found) in dump(&db) {
        for (key, value) in found {
            writeln!(rows, "{table:?} {} {}", hex(&key), hex(&value)).unwrap();
        }
    }
    let expected = golden(&format!("tables-v{FOLD}.txt"), rows.as_bytes());
    assert_eq!(rows, String::from_utf8(expected).unwrap(), "raise FOLD, and write its golden file");
}

/// A vault whose tables another everleaf made is as good as one of today's once it was opened.
#[test]
fn tables_that_another_everleaf_made_are_made_anew() {
    let mut device = Device::new("laptop", 1);
    let note = device.note("one\n");
    device.edit(note, |source| source + "two\n");
    device.vault = None;
    {
        let db = open(&device.path());
        let mut draft = db.draft();
        for (key, value) in db.scan(Table::Cursors, &[]).unwrap() {
            draft.delete(Table::Cursors, &key);
            draft.put(Table::Cursors, b"state", value);
        }
        for (key, _) in db.scan(Table::Catalog, &[]).unwrap() {
            draft.put(Table::Catalog, &key, b"as it was then".to_vec());
        }
        let mut batch = db.batch();
        batch.apply(draft.into_changes());
        batch.commit(Durability::Synced).unwrap();
    }
    device.reopen();
    device.check();
    assert_eq!(device.vault().list().unwrap()[0].title, "one");
    device.edit(note, |source| source + "three\n");
    assert_eq!(device.source(note), "one\ntwo\nthree\n");
}
