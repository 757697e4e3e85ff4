//! Events: what is written down is read back, and what was altered is noticed.

use everleaf::{
    clock::Timestamp,
    event::{
        ChangeBytes, Covered, DecodeError, Digest, Event, Origin, RemoteName, RemoteOptions,
        RenewReason, ResetReason, decode, encode,
    },
    id::{ChangeHash, DeviceId, EventHash, ImageId, NoteId, SegmentHash, Seq, VaultId},
    image::{Dimensions, MediaType},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::golden::{golden, hex, unhex};

fn remote(name: &str) -> RemoteName {
    name.parse().unwrap()
}

/// The name of a variant, and its number in binary. A new one must come here, and so into the
/// golden file of its version.
fn variant(event: &Event) -> (usize, &'static str) {
    match event {
        Event::LogBegun { .. } => (0, "LogBegun"),
        Event::NoteChanged { .. } => (1, "NoteChanged"),
        Event::ImageStored { .. } => (2, "ImageStored"),
        Event::ImageAnnounced { .. } => (3, "ImageAnnounced"),
        Event::SegmentPushed { .. } => (4, "SegmentPushed"),
        Event::SegmentPulled { .. } => (5, "SegmentPulled"),
        Event::UploadStarted { .. } => (6, "UploadStarted"),
        Event::UploadFailed { .. } => (7, "UploadFailed"),
        Event::UploadBlocked { .. } => (8, "UploadBlocked"),
        Event::UploadRetried { .. } => (9, "UploadRetried"),
        Event::ImageUploaded { .. } => (10, "ImageUploaded"),
        Event::ImageFetched { .. } => (11, "ImageFetched"),
        Event::ImageEvicted { .. } => (12, "ImageEvicted"),
        Event::RemoteConfigured { .. } => (13, "RemoteConfigured"),
        Event::RemoteRemoved { .. } => (14, "RemoteRemoved"),
        Event::RemoteReset { .. } => (15, "RemoteReset"),
        Event::DeviceSeen { .. } => (16, "DeviceSeen"),
        Event::DeviceRenewed { .. } => (17, "DeviceRenewed"),
        Event::NoteReceived { .. } => (18, "NoteReceived"),
        Event::NoteIndexed { .. } => (19, "NoteIndexed"),
        Event::CheckpointRead { .. } => (20, "CheckpointRead"),
        other => panic!("{other:?} has no number here"),
    }
}

const VARIANTS: usize = 21;

/// Every variant, with every variant of what it holds.
fn samples() -> Vec<(Origin, Event)> {
    let (note, image) = (NoteId::from_bytes([1; 16]), ImageId::from_bytes([2; 32]));
    let (device, hash) = (DeviceId::from_bytes([3; 16]), SegmentHash::from_bytes([4; 32]));
    let (remote, vault) = (remote("r2"), VaultId::from_bytes([5; 32]));
    let dimensions = Some(Dimensions { width: 4032, height: 3024 });
    let change = ChangeBytes(vec![0x85, 0x6f, 0x4a, 0x83, 0, 255]);
    let elsewhere = |projector| {
        let remote = remote.clone();
        Origin::Device { remote, device, seq: 300, projector }
    };
    let options = RemoteOptions {
        url: "s3://notes".into(),
        endpoint: Some("https://account.r2.cloudflarestorage.com".into()),
        region: Some("auto".into()),
        public_url: Some("https://img.example.org".into()),
        profile: Some("r2".into()),
    };
    let bytes = 1_234_567;
    let renewed = |reason| Event::DeviceRenewed { from: device, to: device, reason };
    let uploaded = |url: Option<&str>, already_there| Event::ImageUploaded {
        image,
        remote: remote.clone(),
        url: url.map(str::to_owned),
        already_there,
    };
    let (head, title) = (ChangeHash::from_bytes([6; 32]), "Brot 🍞".into());
    let url = Some("https://img.example.org/images/02.webp".into());
    let images = vec![(image, url), (ImageId::from_bytes([8; 32]), None)];
    let path = Some("Recipes/Bread.md".into());
    let digest = Digest { title, path, trashed: true, characters: 300, images };
    let document = ChangeBytes(vec![0x85, 0x6f, 0x4a, 0x83, 0, 0]);
    let covered = |hashes| Covered { device, seq: 300, hashes };
    let covers = vec![covered(vec![hash]), covered(vec![hash, SegmentHash::from_bytes([9; 32])])];
    let of_checkpoints = vec![
        (
            elsewhere(false),
            Event::NoteReceived { note, document, heads: vec![head], changes: 9, digest },
        ),
        (Origin::Here, Event::NoteIndexed { note, changes: vec![head] }),
        (
            Origin::Here,
            Event::CheckpointRead { remote: remote.clone(), device, seq: 2, hash, covers },
        ),
    ];
    let of_others = vec![
        (elsewhere(false), Event::NoteChanged { note, change: change.clone() }),
        (elsewhere(true), Event::NoteChanged { note, change: change.clone() }),
        (Origin::Projector, Event::NoteChanged { note, change: change.clone() }),
    ];
    let known = vec![Seq(1), Seq(70_000)];
    let of_ours = vec![
        Event::LogBegun { vault, device, name: "Lärche 🌲".into() },
        Event::NoteChanged { note, change },
        Event::ImageStored { image, bytes, media_type: MediaType::Jpeg, dimensions },
        Event::ImageStored { image, bytes, media_type: MediaType::Ico, dimensions: None },
        Event::ImageAnnounced { image, bytes, media_type: MediaType::Svg, dimensions, device },
        Event::SegmentPushed { remote: remote.clone(), seq: 9, hash, through: Seq(1 << 40) },
        Event::SegmentPulled { remote: remote.clone(), device, seq: 9, hash, known },
        Event::UploadStarted { image, remote: remote.clone(), attempt: 1 },
        Event::UploadFailed {
            image,
            remote: remote.clone(),
            attempt: 0,
            reason: "connection refused".into(),
            retry_at: Timestamp(1_764_000_000_000),
        },
        Event::UploadBlocked { image, remote: remote.clone(), reason: "403".into() },
        Event::UploadRetried { image, remote: remote.clone() },
        uploaded(Some("https://img.example.org/images/02.webp"), true),
        uploaded(None, false),
        Event::ImageFetched {
            image,
            remote: remote.clone(),
            bytes,
            media_type: MediaType::Png,
            dimensions,
        },
        Event::ImageEvicted { image },
        Event::RemoteConfigured { remote: remote.clone(), options },
        Event::RemoteConfigured { remote: remote.clone(), options: RemoteOptions::default() },
        Event::RemoteRemoved { remote: remote.clone() },
        Event::RemoteReset { remote: remote.clone(), reason: ResetReason::Emptied },
        Event::RemoteReset { remote: remote.clone(), reason: ResetReason::SegmentGone },
        Event::DeviceSeen { device, name: String::new() },
        renewed(RenewReason::Twin),
        renewed(RenewReason::TailLost { lost: Seq(12) }),
        renewed(RenewReason::RemoteReset),
    ];
    let of_ours = of_ours.into_iter().map(|event| (Origin::Here, event));
    of_ours.chain(of_others).chain(of_checkpoints).collect()
}

/// The samples as one log: each event with its number, the hash before it, and its bytes.
fn log() -> Vec<(Seq, EventHash, Timestamp, Origin, Event, Vec<u8>)> {
    let mut previous = EventHash::from_bytes([0; 16]);
    let mut log = Vec::new();
    for (seq, (origin, event)) in (1..).map(Seq).zip(samples()) {
        let at = Timestamp(if seq.0 == 2 { -1 } else { 1_764_000_000_000 });
        let (bytes, hash) = encode(seq, previous, at, &origin, &event).unwrap();
        log.push((seq, previous, at, origin, event, bytes));
        previous = hash;
    }
    log
}

/// No compiler asks for it: to other crates, there may always be more.
#[test]
fn every_variant_has_a_number_here() {
    let error = serde_json::from_str::<Event>("\"Unheard\"").unwrap_err().to_string();
    let (_, known) = error.split_once("expected one of ").unwrap();
    assert_eq!(known.matches('`').count(), 2 * VARIANTS, "{known}");
}

#[test]
fn golden_events_of_version_1_stay_readable() {
    let lines: Vec<_> = log()
        .iter()
        .map(|(_, _, _, _, event, bytes)| format!("{} {}", variant(event).1, hex(bytes)))
        .collect();
    let present = lines.join("\n") + "\n";
    let golden = String::from_utf8(golden("event-v1.txt", present.as_bytes())).unwrap();
    assert_eq!(golden.lines().count(), log().len());
    let mut seen = [false; VARIANTS];
    let mut previous = EventHash::from_bytes([0; 16]);
    for (line, (seq, _, at, origin, event, bytes)) in golden.lines().zip(log()) {
        let (name, hex) = line.split_once(' ').unwrap();
        let recorded = decode(seq, Some(previous), &unhex(hex)).unwrap();
        let expected = (variant(&event).1, at, &origin, &event);
        assert_eq!((name, recorded.at, &recorded.origin, &recorded.event), expected);
        assert_eq!(bytes, unhex(hex), "{name} is written as it was");
        seen[variant(&event).0] = true;
        previous = recorded.hash;
    }
    assert_eq!(seen, [true; VARIANTS]);
}

#[test]
fn a_newer_version_has_its_own_error() {
    let (seq, _, _, _, _, mut bytes) = log().swap_remove(0);
    bytes[0] = 2;
    let error = decode(seq, None, &bytes).unwrap_err();
    assert!(matches!(error, DecodeError::Version { version: 2, .. }));
    assert!(matches!(decode(seq, None, b""), Err(DecodeError::Short(_))));
}

fn text() -> impl Strategy<Value = String> {
    "[ -~é🌲\n]{0,20}"
}

fn remote_name() -> impl Strategy<Value = RemoteName> {
    "[a-z0-9_-]{1,12}".prop_map(|name| name.parse().unwrap())
}

fn origin() -> impl Strategy<Value = Origin> {
    let elsewhere = (remote_name(), any::<[u8; 16]>(), any::<u64>(), any::<bool>());
    prop_oneof![
        Just(Origin::Here),
        Just(Origin::Projector),
        elsewhere.prop_map(|(remote, device, seq, projector)| {
            Origin::Device { remote, device: DeviceId::from_bytes(device), seq, projector }
        }),
    ]
}

/// Events with fields of every length; the rest of the variants differ in nothing that matters here.
fn event() -> impl Strategy<Value = Event> {
    let change = (any::<[u8; 16]>(), vec(any::<u8>(), 0..200));
    let stored = (any::<[u8; 32]>(), any::<u64>(), select(&MediaType::ALL[..]));
    let size = option::of(any::<(u32, u32)>());
    let pulled = (remote_name(), any::<[u8; 16]>(), any::<u64>(), vec(any::<u64>(), 0..9));
    let failed = (any::<[u8; 32]>(), remote_name(), any::<u32>(), text(), any::<i64>());
    prop_oneof![
        select(samples()).prop_map(|(_, event)| event),
        change.prop_map(|(note, change)| Event::NoteChanged {
            note: NoteId::from_bytes(note),
            change: ChangeBytes(change),
        }),
        (stored, size).prop_map(|((image, bytes, media_type), size)| Event::ImageStored {
            image: ImageId::from_bytes(image),
            bytes,
            media_type,
            dimensions: size.map(|(width, height)| Dimensions { width, height }),
        }),
        pulled.prop_map(|(remote, device, seq, known)| Event::SegmentPulled {
            remote,
            device: DeviceId::from_bytes(device),
            seq,
            hash: SegmentHash::from_bytes([7; 32]),
            known: known.into_iter().map(Seq).collect(),
        }),
        failed.prop_map(|(image, remote, attempt, reason, at)| Event::UploadFailed {
            image: ImageId::from_bytes(image),
            remote,
            attempt,
            reason,
            retry_at: Timestamp(at),
        }),
    ]
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    /// What is written down is read back, under the hash that writing gave.
    #[test]
    fn an_event_is_read_back(
        seq: u64,
        previous: [u8; 16],
        at: i64,
        origin in origin(),
        event in event(),
    ) {
        let (seq, previous) = (Seq(seq), EventHash::from_bytes(previous));
        let (bytes, hash) = encode(seq, previous, Timestamp(at), &origin, &event).unwrap();
        let recorded = decode(seq, Some(previous), &bytes).unwrap();
        prop_assert_eq!(recorded.hash, hash);
        prop_assert_eq!((recorded.seq, recorded.at), (seq, Timestamp(at)));
        prop_assert_eq!((recorded.origin, recorded.event), (origin, event));
    }

    /// Altered bytes are an error, or an event of another hash, which the next one does not follow.
    #[test]
    fn an_altered_event_is_noticed(
        origin in origin(),
        event in event(),
        at in any::<prop::sample::Index>(),
        mask in 1u8..,
        change in 0..3,
        tail in vec(any::<u8>(), 1..20),
    ) {
        let (seq, previous) = (Seq(7), EventHash::from_bytes([9; 16]));
        let (bytes, hash) = encode(seq, previous, Timestamp(1), &origin, &event).unwrap();
        let mut altered = bytes.clone();
        let at = at.index(bytes.len());
        match change {
            0 => altered[at] ^= mask,
            1 => altered.truncate(at),
            _ => altered.extend(tail),
        }
        for expected in [None, Some(previous)] {
            if let Ok(recorded) = decode(seq, expected, &altered) {
                prop_assert_ne!(recorded.hash, hash);
                prop_assert_eq!(change, 0, "neither more nor fewer bytes are an event");
            }
        }
        // Nor is it an event of another number.
        let moved = decode(Seq(8), Some(previous), &bytes).unwrap();
        prop_assert_ne!(moved.hash, hash);
    }

    /// An event follows the one that it names, and no other.
    #[test]
    fn an_event_names_the_one_before(event in event(), one: [u8; 16], other: [u8; 16]) {
        let (one, other) = (EventHash::from_bytes(one), EventHash::from_bytes(other));
        prop_assume!(one != other);
        let (bytes, _) = encode(Seq(2), one, Timestamp(0), &Origin::Here, &event).unwrap();
        let refused = matches!(decode(Seq(2), Some(other), &bytes), Err(DecodeError::Chain(Seq(2))));
        prop_assert!(refused);
        prop_assert!(decode(Seq(2), None, &bytes).is_ok());
    }

    /// Any bytes at all: an answer.
    #[test]
    fn no_bytes_make_it_panic(mut bytes in vec(any::<u8>(), 0..200)) {
        if let Some(version) = bytes.first_mut() {
            *version = 1;
        }
        let _ = decode(Seq(1), None, &bytes);
    }
}
