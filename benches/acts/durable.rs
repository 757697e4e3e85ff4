//! Appending an event, and editing a note: what an acknowledgement costs.

use std::{
    fs::File,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use everleaf::{
    clock::Timestamp,
    db::{Db, Draft},
    event::{Event, Origin, Recorded},
    id::DeviceId,
    log::{Fold, FoldError, Log, New},
    projection::Projections,
    vault::{NewNote, Options, Vault},
};

use crate::{
    measure::{Bench, Figure, Pair, Target, number, timed},
    vault::{Dice, edited, text, together},
};

const APPEND: &str = "durable append of one event";
const PRODUCERS: &str = "64 producers, events per fsync";
const RATE: &str = "64 producers, events per second";
const EDIT: &str = "durable edit of an open 20 KB note";
const ROUNDS: usize = 200;
const EACH: usize = 100;

pub fn run(bench: &mut Bench) {
    if bench.wants(&[APPEND]) {
        append(bench);
    }
    if bench.wants(&[PRODUCERS, RATE]) {
        producers(bench);
    }
    if bench.wants(&[EDIT]) {
        edit(bench);
    }
}

fn event(number: usize) -> New {
    let device = DeviceId::from_bytes(u128::try_from(number).unwrap().to_be_bytes());
    let event = Event::DeviceSeen { device, name: "a device of somebody".to_owned() };
    New { at: Timestamp(0), origin: Origin::Here, event }
}

fn append(bench: &mut Bench) {
    let folder = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let db = Arc::new(Db::open(folder.path(), Duration::ZERO).unwrap());
    let log = Log::open(folder.path(), Arc::clone(&db), Box::new(Projections)).unwrap().log;
    log.append(vec![event(0)], None).unwrap();
    let same = db.last_event().unwrap().unwrap().1;
    let mut plain = File::create(folder.path().join("plain")).unwrap();
    let floor = "append and fdatasync of the same bytes";
    let pair = Pair { act: APPEND, floor, size: None, target: Target::Ratio(1.2), rounds: ROUNDS };
    bench.pair(
        pair,
        |round| timed(|| log.append(vec![event(round)], None).unwrap()),
        |_| timed(|| synced(&mut plain, &same)),
    );
}

fn synced(file: &mut File, bytes: &[u8]) {
    file.write_all(bytes).unwrap();
    file.sync_data().unwrap();
}

/// Counts commits: within one, the last event of the database stays the same.
struct Counting(Arc<Db>, Arc<AtomicU64>, AtomicU64);

impl Fold for Counting {
    fn fold(&self, event: &Recorded, draft: &mut Draft<'_>) -> Result<(), FoldError> {
        let last = self
            .0
            .last_event()?
            .map_or(1, |(seq, _)| seq.iter().fold(1, |seq, byte| seq << 8 | u64::from(*byte)));
        if self.2.swap(last, Ordering::Relaxed) != last {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        Projections.fold(event, draft)
    }
}

fn producers(bench: &mut Bench) {
    let folder = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let db = Arc::new(Db::open(folder.path(), Duration::ZERO).unwrap());
    let commits = Arc::new(AtomicU64::new(0));
    let fold = Counting(Arc::clone(&db), Arc::clone(&commits), AtomicU64::new(0));
    let log = Log::open(folder.path(), db, Box::new(fold)).unwrap().log;
    let started = Instant::now();
    together(64 * EACH, 64, |number| drop(log.append(vec![event(number)], None).unwrap()));
    let (time, events) = (started.elapsed().as_secs_f64(), number(64 * EACH));
    let commits = number(usize::try_from(commits.load(Ordering::Relaxed)).unwrap());
    let figure = |act, unit, measured, target| Figure {
        act,
        size: None,
        unit,
        measured,
        floor: None,
        target,
    };
    bench.figure(figure(PRODUCERS, "events", events / commits, Target::AtLeast(30.0)));
    bench.figure(figure(RATE, "events/s", events / time, Target::Shown));
}

fn edit(bench: &mut Bench) {
    let folder = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let vault = folder.path().join("vault");
    let vault = Vault::create(&vault, "bench", None, Options::default()).unwrap();
    let mut dice = Dice::new(1);
    let mut source = text(&mut dice, 1, 20 << 10);
    let note = vault.new_note(&NewNote { source: source.clone(), ..NewNote::default() }).unwrap();
    let mut plain = File::create(folder.path().join("plain")).unwrap();
    let floor = "append and fdatasync of 200 bytes";
    let target = Target::RatioAnd(1.5, 0.1);
    let pair = Pair { act: EDIT, floor, size: None, target, rounds: ROUNDS };
    bench.pair(
        pair,
        |_| {
            // An editor that is open has what it wrote last, and the version that shows it.
            let heads = vault.read(note, None).unwrap().heads;
            source = edited(&source, &mut dice);
            timed(|| assert!(vault.edit(note, &heads, &source, None).unwrap().changed))
        },
        |_| timed(|| synced(&mut plain, &[7; 200])),
    );
}
