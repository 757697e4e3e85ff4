//! Segments and heads from a remote, and from another device of the same person that has a fault.

use everleaf::{
    clock::{SimulatedClock, Timestamp},
    event::ChangeBytes,
    id::{DeviceId, NoteId, SegmentHash},
    note::Known,
    seal::{Context, VaultKey},
    segment::{Head, Item, LIMIT, Segment, SegmentError},
};

use super::measured::within;

const DEVICE: DeviceId = DeviceId::from_bytes([1; 16]);
const SEQ: u64 = 5;
/// For which nothing is ever sealed here: a fuzzer learns what a target compares.
const STRANGER: DeviceId = DeviceId::from_bytes([2; 16]);

fn name_of(bytes: &[u8]) -> SegmentHash {
    SegmentHash::from_bytes(*blake3::hash(bytes).as_bytes())
}

fn key() -> VaultKey {
    VaultKey::generate(&SimulatedClock::new(Timestamp(0), 1))
}

fn open(bytes: &[u8]) -> Result<Segment, SegmentError> {
    open_of(DEVICE, bytes)
}

/// Opens, and says how; whatever comes of it, in bounded memory.
fn open_of(device: DeviceId, bytes: &[u8]) -> Result<Segment, SegmentError> {
    // All that a segment may unfold to, once more while it grows, and the items read from it.
    within(4 * LIMIT, || Segment::open(&key().sealer(), device, SEQ, name_of(bytes), bytes))
}

/// Of whose changes [`restored`] takes the bytes to be.
pub(crate) const NOTE: NoteId = NoteId::from_bytes([3; 16]);

/// What a segment has of changes of a note, without the check that stands before it, which no altered
/// bytes pass: the length of the fields, the fields of all, what was typed in all. What changes can be
/// made of that come back from a segment as they are, however they are written.
fn restored(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (mut fields, mut typed) = rest.split_at(length);
    let (mut known, mut left, mut items) = (Known::default(), LIMIT / 2, Vec::new());
    while !fields.is_empty() {
        let restore = || known.restore(NOTE, &mut fields, &mut typed, left);
        let Some(change) = within(4 * LIMIT, restore) else { break };
        left = left.saturating_sub(change.len() + 100);
        items.push(Item::Change { note: NOTE, change: ChangeBytes(change), projector: false });
    }
    let segment = Segment { device: DEVICE, seq: SEQ, previous: None, items };
    sound(Ok(segment));
}

/// What opens is sealed and opened again as itself.
fn sound(answer: Result<Segment, SegmentError>) {
    let Ok(segment) = answer else { return };
    let sealed = segment.seal(&key().sealer()).unwrap();
    assert_eq!(open(&sealed.bytes).unwrap(), segment);
}

/// The bytes as a remote would give them, as an alteration of a sealed segment, and as what somebody
/// with the key sealed: compressed, before compression, and for a head; and as changes of a segment.
pub(crate) fn attack(bytes: &[u8]) {
    let sealer = key().sealer();
    assert!(open_of(STRANGER, bytes).is_err(), "nobody without the key makes a segment");
    assert!(Head::open(&sealer, STRANGER, bytes).is_err(), "nor a head");

    let place = Context::Segment { device: DEVICE, seq: SEQ };
    let genuine = sealer.seal(place, &zstd::bulk::compress(&[1, 0, 0], 3).unwrap());
    let mut altered = genuine.clone();
    for change in bytes.chunks(2) {
        let at = usize::from(change[0]) % genuine.len();
        altered[at] ^= change.get(1).copied().unwrap_or(1);
    }
    assert_eq!(open(&altered).is_ok(), altered == genuine);

    sound(open(&sealer.seal(place, bytes)));
    sound(open(&sealer.seal(place, &zstd::bulk::compress(bytes, 1).unwrap())));
    restored(bytes);

    let head = sealer.seal(Context::Head { device: DEVICE }, bytes);
    if let Ok(read) = within(64 << 10, || Head::open(&sealer, DEVICE, &head)) {
        let again = read.seal(&sealer, DEVICE).unwrap();
        assert_eq!(Head::open(&sealer, DEVICE, &again).unwrap(), read);
    }
}
