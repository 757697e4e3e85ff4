//! What must cost the same however large the vault is.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use everleaf::{event::Event, vault::SearchOptions};
use fjall::Database;

use crate::{
    measure::{Bench, Figure, Pair, Target, median, millis, number, timed},
    process::{everleaf, first_lines, memory, run as finish},
    vault::{Dice, Generated, edited},
};

const SCREEN: &str = "open and first screen of `list`, whole process";
const SCREEN_CPU: &str = "processor time of that";
const LIST: &str = "`list`, all rows, in an open vault";
const SEARCH_FIRST: &str = "`search`, the first in an open vault";
const SEARCH: &str = "`search` for a word, in an open vault";
const EDITED: &str = "`sync` of 100 edited notes, `dir:`";
const EDITED_BYTES: &str = "bytes of that";
const IDLE: &str = "idle `sync`, whole process";
const IDLE_CPU: &str = "processor time of an idle `sync`";
const IDLE_REQUESTS: &str = "requests of an idle `sync`";
const RESIDENT: &str = "memory of an idle process";
/// The rows that a terminal shows.
const ROWS: usize = 40;
const ROUNDS: usize = 11;
/// What a process is asked to do that only opens an empty database.
pub const OPEN_EMPTY: &str = "--open-empty";

pub fn run(bench: &mut Bench) {
    for notes in bench.sizes.clone() {
        if bench.wants(&[SCREEN, SCREEN_CPU]) {
            screen(bench, notes);
        }
        if bench.wants(&[LIST]) {
            list(bench, notes);
        }
        if bench.wants(&[SEARCH_FIRST, SEARCH]) {
            search(bench, notes);
        }
        if bench.wants(&[IDLE, IDLE_CPU, IDLE_REQUESTS]) {
            idle(bench, notes);
        }
        if bench.wants(&[EDITED, EDITED_BYTES]) {
            edited_notes(bench, notes);
        }
        if bench.wants(&[RESIDENT]) {
            resident(bench, notes);
        }
    }
}

/// What [`OPEN_EMPTY`] does.
pub fn open_empty(folder: &Path) {
    drop(Database::builder(folder).open().unwrap());
}

fn screen(bench: &mut Bench, notes: usize) {
    let generated = Generated::of(notes);
    let empty = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let mut cpu = 0.0;
    let floor = "a process that opens an empty database";
    let (size, target) = (Some(notes), Target::Shown);
    let pair = Pair { act: SCREEN, floor, size, target, rounds: ROUNDS };
    bench.pair(
        pair,
        |_| {
            let used = first_lines(everleaf(&generated.vault).arg("list"), ROWS);
            cpu += used.cpu;
            used.time
        },
        |_| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            timed(|| assert!(command.arg(OPEN_EMPTY).arg(empty.path()).status().unwrap().success()))
        },
    );
    let (measured, target) = (cpu / number(ROUNDS), Target::AtMost(50.0));
    bench.figure(Figure { act: SCREEN_CPU, size, unit: "ms", measured, floor: None, target });
}

fn list(bench: &mut Bench, notes: usize) {
    let vault = Generated::of(notes).open();
    let times = (0..5).map(|_| millis(timed(|| assert_eq!(vault.list().unwrap().len(), notes))));
    let (measured, target) = (median(times.collect()), Target::AtMost(200.0));
    let size = Some(notes);
    bench.figure(Figure { act: LIST, size, unit: "ms", measured, floor: None, target });
}

/// No note says a word that is none, so that all are looked through.
fn search(bench: &mut Bench, notes: usize) {
    let folder = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let vault = Generated::of(notes).copied(folder.path()).open();
    let look = || {
        let found = vault.search("incomprehensibilities", &SearchOptions::default());
        assert_eq!(found.unwrap(), []);
    };
    let (first, size) = (millis(timed(look)), Some(notes));
    let again = median((0..5).map(|_| millis(timed(look))).collect());
    for (act, measured) in [(SEARCH_FIRST, first), (SEARCH, again)] {
        let target = Target::Shown;
        bench.figure(Figure { act, size, unit: "ms", measured, floor: None, target });
    }
}

fn idle(bench: &mut Bench, notes: usize) {
    let generated = Generated::of(notes);
    finish(everleaf(&generated.vault).arg("sync"));
    let json = everleaf(&generated.vault).args(["--json", "sync"]).stdout(Stdio::piped()).output();
    let report: serde_json::Value = serde_json::from_slice(&json.unwrap().stdout).unwrap();
    let all = report["requests"].as_object().unwrap().values();
    let requests: f64 = all.filter_map(serde_json::Value::as_f64).sum();
    let runs: Vec<_> =
        (0..ROUNDS).map(|_| finish(everleaf(&generated.vault).arg("sync"))).collect();
    let cpu = runs.iter().map(|used| used.cpu).sum::<f64>() / number(ROUNDS);
    let time = median(runs.iter().map(|used| millis(used.time)).collect());
    let size = Some(notes);
    let figure =
        |act, unit, measured, target| Figure { act, size, unit, measured, floor: None, target };
    bench.figure(figure(IDLE, "ms", time, Target::Shown));
    bench.figure(figure(IDLE_CPU, "ms", cpu, Target::AtMost(30.0)));
    bench.figure(figure(IDLE_REQUESTS, "requests", requests, Target::AtMost(1.0)));
}

fn edited_notes(bench: &mut Bench, notes: usize) {
    let folder = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let copy = Generated::of(notes).copied(folder.path());
    let vault = copy.open();
    copy.sync(&vault);
    let rows = vault.list().unwrap();
    let (mut times, mut sent, mut least) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..3 {
        let first = vault.follow().borrow().next();
        let mut dice = Dice::new(round);
        for row in rows.iter().step_by(notes / 100).take(100) {
            let seen = vault.read(row.note, None).unwrap();
            let source = edited(&seen.body.source(), &mut dice);
            vault.edit(row.note, &seen.heads, &source, None).unwrap();
        }
        let mut changes = Vec::new();
        for recorded in vault.events(first) {
            if let Event::NoteChanged { change, .. } = recorded.unwrap().event {
                changes.extend_from_slice(change.0.get(8..).unwrap());
            }
        }
        least.push(number(zstd::bulk::compress(&changes, 6).unwrap().len()));
        let started = Instant::now();
        let report = copy.sync(&vault);
        times.push(millis(started.elapsed()));
        sent.push(number(usize::try_from(report.pushed.bytes).unwrap()));
    }
    let (size, time) = (Some(notes), median(times));
    let target = Target::Shown;
    bench.figure(Figure { act: EDITED, size, unit: "ms", measured: time, floor: None, target });
    let (measured, target) = (median(sent), Target::Ratio(1.3));
    let floor = Some(("the changes without magic and checksum, zstd 6", median(least)));
    bench.figure(Figure { act: EDITED_BYTES, size, unit: "B", measured, floor, target });
}

fn resident(bench: &mut Bench, notes: usize) {
    let generated = Generated::of(notes);
    let mut command = everleaf(&generated.vault);
    let mut child = command.args(["sync", "--watch"]).stderr(Stdio::null()).spawn().unwrap();
    // Until nothing more happens: the first sync is done, and the next is seconds away.
    let (mut before, mut quiet) = (0.0, 0);
    while quiet < 20 {
        std::thread::sleep(Duration::from_millis(100));
        let now = memory(child.id(), "VmRSS:").unwrap();
        quiet = if f64::abs(now - before) < 0.1 { quiet + 1 } else { 0 };
        before = now;
    }
    let measured = memory(child.id(), "VmRSS:").unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let (size, target) = (Some(notes), Target::AtMost(64.0));
    bench.figure(Figure { act: RESIDENT, size, unit: "MB", measured, floor: None, target });
}
