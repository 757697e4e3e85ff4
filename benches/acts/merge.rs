//! Two histories of one note, and the log from its beginning.

use std::{sync::Arc, time::Duration};

use automerge::{Automerge, Change};
use everleaf::{
    clock::Timestamp,
    db::Db,
    id::NoteId,
    note::{Body, Note, Piece},
    projection,
};

use crate::{
    measure::{Bench, Figure, Pair, Target, number, timed},
    vault::{Dice, Generated, edited, text},
};

const MERGE: &str = "merge of two histories of one note, 10,000 edits each";
const REPLAY: &str = "replay without loading documents";
const DEEP_REPLAY: &str = "replay of 1,000,000 events";
const EDITS: usize = 10_000;

pub fn run(bench: &mut Bench) {
    if bench.wants(&[MERGE]) {
        merge(bench);
    }
    for notes in bench.sizes.clone() {
        if bench.wants(&[REPLAY]) {
            replay(bench, REPLAY, Some(notes), &Generated::of(notes));
        }
    }
    if bench.wants(&[DEEP_REPLAY]) && bench.is_large() {
        replay(bench, DEEP_REPLAY, None, &Generated::deep());
    }
}

/// The changes of somebody who goes on from `note`.
fn history(note: &Note, actor: u8) -> Vec<Vec<u8>> {
    let mut note = Note::load(note.id(), [actor; 8], Some(&note.save()), &[]).unwrap();
    let (mut source, mut dice) = (note.body().source(), Dice::new(actor.into()));
    let edits = (0..EDITS).map(|_| {
        source = edited(&source, &mut dice);
        let body = Body::new([Piece::Text(source.clone())]);
        let heads = note.heads();
        note.edit_body(&heads, &body, Timestamp(0)).unwrap().unwrap().bytes
    });
    edits.collect()
}

fn merge(bench: &mut Bench) {
    let mut dice = Dice::new(1);
    let mut base = Note::new(NoteId::new(0, [1; 10]), [1; 8]);
    let body = Body::new([Piece::Text(text(&mut dice, 1, 2 << 10))]);
    base.create(None, &body, Timestamp(0)).unwrap();
    let (ours, theirs) = (history(&base, 2), history(&base, 3));
    let slices =
        |changes: &'static [Vec<u8>]| changes.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let (ours, theirs) = (slices(ours.leak()), slices(theirs.leak()));
    let mut mine = base.clone();
    mine.apply(&ours).unwrap();
    let saved = mine.save();
    let floor = "apply_changes in one call";
    let pair = Pair { act: MERGE, floor, size: None, target: Target::Ratio(1.2), rounds: 5 };
    bench.pair(
        pair,
        |_| {
            let mut note = Note::load(base.id(), [4; 8], Some(&saved), &[]).unwrap();
            timed(|| note.apply(&theirs).unwrap())
        },
        |_| {
            let mut document = Automerge::load(&saved).unwrap();
            timed(|| {
                let changes =
                    theirs.iter().map(|bytes| Change::from_bytes(bytes.to_vec()).unwrap());
                document.apply_changes(changes).unwrap();
            })
        },
    );
}

fn replay(bench: &mut Bench, act: &'static str, size: Option<usize>, generated: &Generated) {
    let from = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let to = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let copy = generated.copied(from.path());
    let log = Arc::new(Db::open(&copy.vault, Duration::ZERO).unwrap());
    let target = Db::open(to.path(), Duration::ZERO).unwrap();
    let events = number(log.events(1).count());
    let rate = |time: Duration| events / time.as_secs_f64();
    let floor = rate(timed(|| log.events(1).map(|row| row.unwrap().1.len()).sum::<usize>()));
    let measured = rate(timed(|| projection::catch_up(&log, &target).unwrap()));
    let (unit, target) = ("events/s", Target::AtLeast(200_000.0));
    let floor = Some(("reading the log's bytes", floor));
    bench.figure(Figure { act, size, unit, measured, floor, target });
}
