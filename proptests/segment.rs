//! Segments, heads and `vault.json`: read back whole, or refused with the reason.

mod changes;

use std::error::Error as _;

use everleaf::{
    event::ChangeBytes,
    id::{DeviceId, ImageId, NoteId, SegmentHash},
    image::{Dimensions, MediaType},
    seal::{Context, OpenError},
    segment::{self, Head, Item, SealedSegment, Segment, SegmentError, VaultFile, VaultFileError},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::{
    golden::{golden, hex, unhex},
    seal::key,
};

pub(crate) fn device(byte: u8) -> DeviceId {
    DeviceId::from_bytes([byte; 16])
}

fn change(bytes: usize) -> Item {
    let note = NoteId::from_bytes([1; 16]);
    Item::Change { note, change: ChangeBytes(vec![7; bytes]), projector: false }
}

pub(crate) fn segment_of(items: Vec<Item>) -> Segment {
    Segment { device: device(1), seq: 1, previous: None, items }
}

pub(crate) fn open(segment: &Segment, sealed: &SealedSegment) -> Result<Segment, SegmentError> {
    let key = key(1).sealer();
    Segment::open(&key, segment.device, segment.seq, sealed.hash, &sealed.bytes)
}

pub(crate) fn name_of(bytes: &[u8]) -> SegmentHash {
    SegmentHash::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// What somebody who has the key could seal, whatever it is.
pub(crate) fn forged(plain: &[u8]) -> SealedSegment {
    let place = Context::Segment { device: device(1), seq: 1 };
    let bytes = key(1).sealer().seal(place, &zstd::bulk::compress(plain, 19).unwrap());
    SealedSegment { hash: name_of(&bytes), bytes }
}

fn sample() -> Segment {
    let image = ImageId::from_bytes([2; 32]);
    let media_type = MediaType::Webp;
    Segment {
        device: device(3),
        seq: 300,
        previous: Some(SegmentHash::from_bytes([4; 32])),
        items: vec![
            change(20),
            Item::Change {
                note: NoteId::from_bytes([5; 16]),
                change: ChangeBytes(vec![]),
                projector: true,
            },
            Item::Image {
                image,
                bytes: 70_000,
                media_type,
                dimensions: Some(Dimensions { width: 640, height: 480 }),
            },
            Item::Image { image, bytes: 1, media_type: MediaType::Png, dimensions: None },
        ],
    }
}

fn item() -> impl Strategy<Value = Item> {
    let change = (0..4u8, vec(any::<u8>(), 0..60), any::<bool>());
    let image = (any::<[u8; 32]>(), any::<u64>(), select(&MediaType::ALL[..]));
    prop_oneof![
        change.prop_map(|(note, change, projector)| Item::Change {
            note: NoteId::from_bytes([note; 16]),
            change: ChangeBytes(change),
            projector,
        }),
        (image, option::of(any::<(u32, u32)>())).prop_map(|((image, bytes, media_type), size)| {
            let dimensions = size.map(|(width, height)| Dimensions { width, height });
            Item::Image { image: ImageId::from_bytes(image), bytes, media_type, dimensions }
        }),
    ]
}

fn segment() -> impl Strategy<Value = Segment> {
    (any::<[u8; 16]>(), any::<u64>(), option::of(any::<[u8; 32]>()), vec(item(), 0..12)).prop_map(
        |(device, seq, previous, items)| Segment {
            device: DeviceId::from_bytes(device),
            seq,
            previous: previous.map(SegmentHash::from_bytes),
            items,
        },
    )
}

/// Version 1 had changes whole.
#[test]
fn a_golden_segment_of_version_1_opens() {
    let sample = sample();
    let golden = golden("segment-v1.hex", b"");
    let bytes = unhex(std::str::from_utf8(&golden).unwrap());
    let sealed = SealedSegment { hash: name_of(&bytes), bytes };
    assert_eq!(open(&sample, &sealed).unwrap(), sample);
}

/// That it opens is the promise; how zstd compresses may change with its release.
#[test]
fn a_golden_segment_of_version_2_opens() {
    let mut sample = sample();
    sample.items.extend(changes::typed());
    let present = hex(&sample.seal(&key(1).sealer()).unwrap().bytes);
    let golden = golden("segment-v2.hex", present.as_bytes());
    let bytes = unhex(std::str::from_utf8(&golden).unwrap());
    let sealed = SealedSegment { hash: name_of(&bytes), bytes };
    assert_eq!(open(&sample, &sealed).unwrap(), sample);
}

#[test]
fn a_golden_head_of_version_1_stays_as_it_is() {
    let sealer = key(1).sealer();
    let hash = Some(SegmentHash::from_bytes([4; 32]));
    let head = Head { seq: 300, hash, name: "Lärche 🌲".into() };
    let present = head.seal(&sealer, device(3)).unwrap();
    let golden = golden("head-v1.hex", hex(&present).as_bytes());
    let bytes = unhex(std::str::from_utf8(&golden).unwrap());
    assert_eq!(bytes, present);
    assert_eq!(Head::open(&sealer, device(3), &bytes).unwrap(), head);
}

#[test]
fn a_golden_vault_file_of_version_1_stays_as_it_is() {
    let file = VaultFile::new(key(1).vault_id());
    let golden = golden("vault-v1.json", &file.to_bytes());
    assert_eq!(golden, file.to_bytes());
    assert_eq!(VaultFile::from_bytes(&golden).unwrap(), file);
}

#[test]
fn a_vault_file_passes_over_what_it_does_not_know() {
    let vault = key(1).vault_id();
    let read = |text: &str| VaultFile::from_bytes(text.as_bytes());
    let known = read(&format!(r#"{{"made_by":[{{}}],"vault":"{vault}","format":1}}"#)).unwrap();
    assert_eq!(known, VaultFile::new(vault));
    // A newer format may look like anything, as long as it says so.
    let newer = read(r#"{"format":2,"vaults":[]}"#).unwrap_err();
    assert!(matches!(newer, VaultFileError::Newer { format: 2 }), "{newer}");
    for damaged in ["", "{}", "[]", r#"{"format":1}"#, r#"{"format":1,"vault":"12"}"#, "\u{0}"] {
        assert!(matches!(read(damaged), Err(VaultFileError::Damaged(_))), "{damaged}");
    }
    let large = " ".repeat(segment::VAULT_FILE_LIMIT + 1);
    assert!(matches!(read(&large), Err(VaultFileError::TooLarge)));
}

#[test]
fn a_decompression_bomb_is_refused() {
    let bomb = forged(&vec![0; 70 << 20]);
    assert!(bomb.bytes.len() < 100_000);
    let error = open(&segment_of(vec![]), &bomb).unwrap_err();
    assert!(matches!(error, SegmentError::TooLarge { .. }), "{error}");
    // Nor may several frames add up to one.
    let place = Context::Segment { device: device(1), seq: 1 };
    let frame = zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap();
    let bytes = key(1).sealer().seal(place, &frame.repeat(65));
    let bomb = SealedSegment { hash: name_of(&bytes), bytes };
    let error = open(&segment_of(vec![]), &bomb).unwrap_err();
    assert!(matches!(error, SegmentError::TooLarge { .. }), "{error}");
}

#[test]
fn too_large_is_said_before_anything_is_read() {
    let large = vec![0; segment::LIMIT + 1];
    let sealer = key(1).sealer();
    let error = Segment::open(&sealer, device(1), 5, name_of(b""), &large).unwrap_err();
    assert!(matches!(error, SegmentError::TooLarge { limit: segment::LIMIT, .. }));
    let error = Head::open(&sealer, device(1), &large).unwrap_err();
    assert!(matches!(error, SegmentError::TooLarge { limit: segment::HEAD_LIMIT, .. }));
    let error = segment_of(vec![change(65 << 20)]).seal(&sealer).unwrap_err();
    assert!(matches!(error, SegmentError::TooLarge { .. }));
    let head = Head { seq: 0, hash: None, name: "x".repeat(segment::HEAD_LIMIT) };
    assert!(matches!(head.seal(&sealer, device(1)), Err(SegmentError::TooLarge { .. })));
}

#[test]
fn what_is_sealed_but_is_no_segment_is_refused() {
    let empty = segment_of(vec![]);
    let reads = |plain: &[u8]| open(&empty, &forged(plain));
    assert_eq!(reads(&[1, 0, 0]).unwrap(), empty);
    assert!(matches!(reads(&[3, 0, 0]), Err(SegmentError::Version { format: 3, .. })));
    for plain in [
        &[][..],
        &[1],
        &[1, 0],
        &[1, 0, 0, 0],
        &[1, 9, 0],
        &[1, 0, 255, 255, 255, 255, 15],
        &[2],
        &[2, 0],
        &[2, 9],
        &[2, 0, 0],
        &[&[2, 0][..], &[0; 16], &[0]].concat(),
    ] {
        assert!(matches!(reads(plain), Err(SegmentError::Damaged { .. })), "{plain:?}");
    }
    let place = Context::Segment { device: device(1), seq: 1 };
    let bytes = key(1).sealer().seal(place, b"not zstd");
    let error = open(&empty, &SealedSegment { hash: name_of(&bytes), bytes }).unwrap_err();
    assert!(matches!(error, SegmentError::Damaged { .. }));
}

#[test]
fn an_error_names_device_and_number() {
    let sample = sample();
    let sealed = sample.seal(&key(1).sealer()).unwrap();
    let other = Segment { seq: 301, ..sample.clone() };
    let error = open(&other, &sealed).unwrap_err();
    assert_eq!(error.to_string(), format!("segment 301 of device {} does not open", device(3)));
    let reason = error.source().unwrap().downcast_ref::<OpenError>();
    assert_eq!(reason, Some(&OpenError::Refused));
    let mut flipped = sealed;
    flipped.bytes[40] ^= 1;
    let error = open(&sample, &flipped).unwrap_err();
    assert!(matches!(error, SegmentError::Hash { .. }));
    assert!(error.to_string().contains("segment 300 of device 0303"), "{error}");
}

#[test]
fn a_full_segment_is_far_below_the_limit() {
    let mut items = Vec::new();
    let mut size = 0;
    // Hashes, which do not compress.
    for number in 0u32.. {
        let hash = blake3::hash(&number.to_le_bytes());
        let change = ChangeBytes(hash.as_bytes().repeat(2));
        let item = Item::Change { note: NoteId::from_bytes([1; 16]), change, projector: false };
        size += item.size();
        if size > segment::TARGET {
            break;
        }
        items.push(item);
    }
    let full = segment_of(items);
    let sealed = full.seal(&key(1).sealer()).unwrap();
    assert!(sealed.bytes.len() < segment::TARGET);
    assert_eq!(open(&full, &sealed).unwrap(), full);
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    /// What is sealed is read back, equal segments have equal names, and the hash is that of the bytes.
    #[test]
    fn a_segment_is_read_back(segment in segment()) {
        let sealer = key(1).sealer();
        let sealed = segment.seal(&sealer).unwrap();
        prop_assert_eq!(sealed.hash, name_of(&sealed.bytes));
        prop_assert_eq!(&segment.seal(&sealer).unwrap(), &sealed);
        prop_assert_eq!(open(&segment, &sealed).unwrap(), segment);
    }

    /// An item says at least what it adds.
    #[test]
    fn an_item_is_no_larger_than_it_says(item in item()) {
        let written = postcard::to_stdvec(&item).unwrap().len();
        prop_assert!(written <= item.size());
    }

    /// A changed byte or a missing end is an error, whether the name still says the old hash or a
    /// remote gave it a new one.
    #[test]
    fn an_altered_segment_is_refused(
        segment in segment(),
        at in any::<prop::sample::Index>(),
        mask in 1u8..,
        cut: bool,
        renamed: bool,
    ) {
        let mut sealed = segment.seal(&key(1).sealer()).unwrap();
        let at = at.index(sealed.bytes.len());
        if cut { sealed.bytes.truncate(at) } else { sealed.bytes[at] ^= mask }
        if renamed {
            sealed.hash = name_of(&sealed.bytes);
        }
        let error = open(&segment, &sealed).unwrap_err();
        let expected = if renamed {
            matches!(error, SegmentError::Sealed { .. })
        } else {
            matches!(error, SegmentError::Hash { .. })
        };
        prop_assert!(expected, "{}", error);
    }

    /// A segment opens as itself alone: not as another device's, another number, or another vault's.
    #[test]
    fn a_segment_opens_in_its_place_alone(segment in segment(), by in 1u64.., flip in 0..16usize) {
        let sealed = segment.seal(&key(1).sealer()).unwrap();
        let mut device = *segment.device.as_bytes();
        device[flip] ^= 1;
        let device = DeviceId::from_bytes(device);
        let (own, other) = (key(1).sealer(), key(2).sealer());
        let seq = segment.seq;
        for (sealer, device, seq) in [
            (&own, device, seq),
            (&own, segment.device, seq.wrapping_add(by)),
            (&other, segment.device, seq),
        ] {
            let opened = Segment::open(sealer, device, seq, sealed.hash, &sealed.bytes);
            let source = OpenError::Refused;
            let refused = matches!(opened, Err(SegmentError::Sealed { source: s, .. }) if s == source);
            prop_assert!(refused);
        }
    }

    /// The same of heads; and a head is no segment.
    #[test]
    fn a_head_is_read_back_or_refused(
        seq: u64,
        hash in option::of(any::<[u8; 32]>()),
        name in "[ -~é🌲]{0,40}",
        at in any::<prop::sample::Index>(),
        mask in 1u8..,
        cut: bool,
    ) {
        let (own, other) = (key(1).sealer(), key(2).sealer());
        let head = Head { seq, hash: hash.map(SegmentHash::from_bytes), name };
        let sealed = head.seal(&own, device(1)).unwrap();
        prop_assert_eq!(&Head::open(&own, device(1), &sealed).unwrap(), &head);
        prop_assert!(Head::open(&own, device(2), &sealed).is_err());
        prop_assert!(Head::open(&other, device(1), &sealed).is_err());
        prop_assert!(Segment::open(&own, device(1), seq, name_of(&sealed), &sealed).is_err());
        let mut altered = sealed;
        let at = at.index(altered.len());
        if cut { altered.truncate(at) } else { altered[at] ^= mask }
        prop_assert!(Head::open(&own, device(1), &altered).is_err());
    }

    /// Whatever somebody with the key seals: an answer.
    #[test]
    fn no_contents_make_it_panic(mut plain in vec(any::<u8>(), 0..200), old: bool, raw: bool) {
        if let Some(format) = plain.first_mut() {
            *format = if old { 1 } else { 2 };
        }
        let place = Context::Segment { device: device(1), seq: 1 };
        let sealed = if raw {
            let bytes = key(1).sealer().seal(place, &[&[0x28, 0xb5, 0x2f, 0xfd][..], &plain].concat());
            SealedSegment { hash: name_of(&bytes), bytes }
        } else {
            forged(&plain)
        };
        let _ = open(&segment_of(vec![]), &sealed);
    }

    /// `vault.json`: any bytes have an answer.
    #[test]
    fn any_vault_file_has_an_answer(bytes in vec(any::<u8>(), 0..200), vault: [u8; 32]) {
        let _ = VaultFile::from_bytes(&bytes);
        let file = VaultFile::new(everleaf::id::VaultId::from_bytes(vault));
        prop_assert_eq!(VaultFile::from_bytes(&file.to_bytes()).unwrap(), file);
    }
}
