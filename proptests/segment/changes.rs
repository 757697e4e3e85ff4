//! Changes in segments, which hold of each no more than it takes to make it again.

use everleaf::{
    clock::Timestamp,
    event::ChangeBytes,
    id::NoteId,
    note::{Body, Change, Known, Note, Piece},
    seal::Context,
    segment::{Item, Segment, SegmentError},
};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{device, forged, open, segment_of};
use crate::seal::key;

const AT: Timestamp = Timestamp(1_795_000_000_000);

fn text(text: &str) -> Body {
    Body::new([Piece::Text(text.to_owned())])
}

fn note(number: u8) -> NoteId {
    NoteId::from_bytes([number; 16])
}

fn item(note: NoteId, change: Change) -> Item {
    Item::Change { note, change: ChangeBytes(change.bytes), projector: false }
}

/// A sentence as it is typed in two notes in turn, a few characters a second.
pub(super) fn typed() -> Vec<Item> {
    let mut notes: Vec<Note> = [1, 2].map(|n| Note::new(note(n), [9; 8])).into();
    let mut items: Vec<Item> =
        notes.iter().map(|note| item(note.id(), Note::genesis(note.id()))).collect();
    let sentence = "What was typed in a second is little beside what it says of itself. 🌲";
    let characters: Vec<char> = sentence.chars().collect();
    for second in 1..=characters.len() / 4 {
        let shown: String = characters[..second * 4].iter().collect();
        let at = Timestamp(AT.0 + 1000 * i64::try_from(second).unwrap());
        let note = &mut notes[second / 5 % 2];
        let change = note.edit_body(&note.heads(), &text(&shown), at).unwrap().unwrap();
        items.push(item(note.id(), change));
    }
    items
}

/// What somebody does.
#[derive(Debug, Clone)]
enum Act {
    /// Writes into a note on one of three devices.
    Write { device: usize, note: usize, at: Index, delete: usize, insert: String, clock: i32 },
    /// A device hears of all that another did.
    Meet { device: usize, other: usize },
}

fn act() -> impl Strategy<Value = Act> {
    let write = (0..3usize, 0..2usize, any::<Index>(), 0..9usize, "[a-c é🌲\n]{0,9}", any::<i32>());
    prop_oneof![
        5 => write.prop_map(|(device, note, at, delete, insert, clock)| {
            Act::Write { device, note, at, delete, insert, clock }
        }),
        1 => (0..3usize, 0..3usize).prop_map(|(device, other)| Act::Meet { device, other }),
    ]
}

/// The changes that come of it, in the order in which they were made.
fn history(acts: Vec<Act>) -> Vec<Item> {
    let device = |number: u8| [1, 2].map(|n| Note::new(note(n), [number; 8]));
    let mut devices: Vec<_> = [1, 2, 3].map(device).into();
    let mut made: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut items = vec![item(note(1), Note::genesis(note(1)))];
    for act in acts {
        match act {
            Act::Write { device, note, at, delete, insert, clock } => {
                let open = &mut devices[device][note];
                let mut source: Vec<char> = open.body().source().chars().collect();
                let start = at.index(source.len() + 1);
                let end = source.len().min(start + delete);
                source.splice(start..end, insert.chars());
                let body = text(&source.into_iter().collect::<String>());
                let heads = open.heads();
                let at = Timestamp(i64::from(clock) * 1000);
                if let Some(change) = open.edit_body(&heads, &body, at).unwrap() {
                    made.push((note, change.bytes.clone()));
                    items.push(item(open.id(), change));
                }
            }
            Act::Meet { device, other } => {
                let theirs = devices[other].clone();
                for (note, theirs) in theirs.into_iter().enumerate() {
                    let has = |bytes: &Vec<u8>| {
                        let hash = everleaf::note::inspect(bytes).unwrap().hash;
                        theirs.history().iter().any(|change| change.hash == hash)
                    };
                    let theirs = made.iter().filter(|(of, bytes)| *of == note && has(bytes));
                    let theirs: Vec<&[u8]> = theirs.map(|(_, bytes)| bytes.as_slice()).collect();
                    devices[device][note].apply(&theirs).unwrap();
                }
            }
        }
    }
    items
}

/// What else may happen to the bytes of a change before they are put into a segment.
fn odd() -> impl Strategy<Value = Vec<(Index, Index, u8, u8)>> {
    vec((any::<Index>(), any::<Index>(), 1u8.., 0..4u8), 0..4)
}

fn with_odd(mut items: Vec<Item>, odd: &[(Index, Index, u8, u8)]) -> Vec<Item> {
    for (which, at, mask, how) in odd {
        let which = which.index(items.len());
        let mut copy = items[which].clone();
        let Item::Change { change, .. } = &mut copy else { unreachable!() };
        let at = at.index(change.0.len().max(1));
        match how {
            0 => change.0.truncate(at),
            1 => change.0.push(*mask),
            2 => change.0.extend_from_within(..),
            _ if change.0.is_empty() => {}
            _ => change.0[at] ^= mask,
        }
        items.insert(which, copy);
    }
    items
}

fn changes_of(segment: &Segment) -> Vec<Vec<u8>> {
    let bytes = segment.items.iter().filter_map(|item| match item {
        Item::Change { change, .. } => Some(change.0.clone()),
        Item::Image { .. } => None,
    });
    bytes.collect()
}

fn plain_of(segment: &Segment) -> Vec<u8> {
    let key = key(1).sealer();
    let sealed = segment.seal(&key).unwrap();
    let place = Context::Segment { device: device(1), seq: 1 };
    zstd::bulk::decompress(&key.open(place, &sealed.bytes).unwrap(), 1 << 20).unwrap()
}

#[test]
fn what_is_typed_takes_few_bytes() {
    let items = typed();
    let count = items.len();
    let whole: usize = items.iter().map(Item::size).sum();
    let bytes = segment_of(items).seal(&key(1).sealer()).unwrap().bytes.len();
    assert!(bytes < 25 * count && bytes * 5 < whole, "{bytes} bytes for {count} changes");
}

#[test]
fn a_genesis_and_a_long_chain_are_nothing_but_what_was_typed() {
    let mut known = Known::default();
    for item in typed() {
        let Item::Change { note, change, .. } = item else { unreachable!() };
        let stripped = known.strip(note, &change.0).unwrap();
        assert!(stripped.fields.len() + stripped.typed.len() < 75, "{stripped:?}");
    }
}

/// One byte that says that a note has as many dependencies, actors or columns as there are numbers.
#[test]
fn numbers_that_nobody_has_room_for_are_refused() {
    let plain = plain_of(&segment_of(typed()));
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    for at in 0..plain.len() {
        let large = [&plain[..at], &most[..], &plain[at + 1..]].concat();
        let opened =
            crate::crashers::within(16 << 20, || open(&segment_of(vec![]), &forged(&large)));
        assert!(opened.is_err(), "byte {at} may be anything");
    }
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    /// Whatever was done, in whatever order it is told, and with changes among it that are none: all
    /// of it is read back.
    #[test]
    fn every_history_is_read_back(
        acts in vec(act(), 0..25),
        odd in odd(),
        order in vec(any::<(Index, Index)>(), 0..6),
    ) {
        let mut items = with_odd(history(acts), &odd);
        for (one, other) in order {
            let (one, other) = (one.index(items.len()), other.index(items.len()));
            items.swap(one, other);
        }
        let segment = segment_of(items);
        let sealed = segment.seal(&key(1).sealer()).unwrap();
        prop_assert_eq!(open(&segment, &sealed).unwrap(), segment);
    }

    /// Whoever has the key and a fault may write anything: it is refused, or has the very changes.
    #[test]
    fn altered_contents_are_refused_or_have_the_same_changes(
        acts in vec(act(), 0..15),
        at in vec((any::<Index>(), any::<u8>(), 0..3u8), 1..4),
    ) {
        let segment = segment_of(history(acts));
        let mut plain = plain_of(&segment);
        for (at, byte, how) in at {
            let at = at.index(plain.len());
            match how {
                0 => plain[at] = byte,
                1 => drop(plain.remove(at)),
                _ => plain.insert(at, byte),
            }
        }
        match open(&segment, &forged(&plain)) {
            Ok(opened) => {
                prop_assert!(changes_of(&opened) == changes_of(&segment) || plain[0] == 1);
            }
            Err(SegmentError::Damaged { .. } | SegmentError::Version { .. }) => {}
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
