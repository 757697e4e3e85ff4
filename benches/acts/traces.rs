//! What people really typed, keystroke by keystroke, beside Automerge alone.
//!
//! The traces lie beside the crate, or where `EVERLEAF_SHARED` says: `traces/sequential/NAME.json.gz`, from
//! josephg/editing-traces.

use std::{
    fs::{self, File},
    io::BufReader,
    path::Path,
    sync::Arc,
    time::Duration,
};

use automerge::{Automerge, ObjType, ROOT, transaction::Transactable as _};
use everleaf::{
    db::Db,
    event::RemoteOptions,
    remote::{self, Remote},
    vault::{NewNote, Options, SyncOptions, Vault},
};
use flate2::read::GzDecoder;
use serde::Deserialize;

use crate::{
    measure::{Bench, Figure, Target, number, timed},
    shared,
    vault::{origin, runtime},
};

const NAMES: [&str; 6] = [
    "automerge-paper",
    "clownschool_flat",
    "friendsforever_flat",
    "json-crdt-blog-post",
    "json-crdt-patch",
    "seph-blog1",
];
/// How many transactions are replayed, unless large runs are asked for.
const BEGINNING: usize = 5_000;

/// At a place, how many code points go, and what comes instead.
type Patch = (usize, usize, String);

#[derive(Deserialize)]
struct Trace {
    #[serde(rename = "startContent")]
    start: String,
    txns: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    patches: Vec<Patch>,
}

/// What one side made of a trace.
#[derive(Default)]
struct Made {
    time: Duration,
    changes: usize,
    saved: usize,
}

pub fn run(bench: &mut Bench) {
    for name in NAMES {
        let act = |what: &str| &*Box::leak(format!("trace {name}: {what}").into_boxed_str());
        let acts = ["durable edits", "log, per edit", "segments, per edit", "checkpoint, per edit"];
        let acts = acts.map(act);
        if !bench.wants(&acts) {
            continue;
        }
        let Some(mut trace) = read(name) else { continue };
        if !bench.is_large() {
            trace.txns.truncate(BEGINNING);
        }
        replay(bench, acts, &trace);
    }
}

fn read(name: &str) -> Option<Trace> {
    let file = File::open(shared::path(&format!("traces/sequential/{name}.json.gz"))?).unwrap();
    Some(serde_json::from_reader(BufReader::new(GzDecoder::new(file))).unwrap())
}

fn replay(bench: &mut Bench, acts: [&'static str; 4], trace: &Trace) {
    let folder = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let (at, store) = (folder.path().join("vault"), folder.path().join("remote"));
    fs::create_dir(&store).unwrap();
    let vault = Vault::create(&at, "bench", None, Options::default()).unwrap();
    let new = NewNote { source: trace.start.clone(), ..NewNote::default() };
    let note = vault.new_note(&new).unwrap();
    let mut text: Vec<char> = trace.start.chars().collect();
    let mut time = Duration::ZERO;
    for Transaction { patches } in &trace.txns {
        for (place, gone, come) in patches {
            text.splice(*place..place + gone, come.chars());
        }
        let (source, heads): (String, _) =
            (text.iter().collect(), vault.read(note, None).unwrap().heads);
        time += timed(|| vault.edit(note, &heads, &source, None).unwrap());
    }
    let ended: String = text.iter().collect();
    assert_eq!(vault.read(note, None).unwrap().body.source(), ended);
    sync(&vault, &store);
    drop(vault);
    let db = Db::open(&at, Duration::ZERO).unwrap();
    let log: usize = db.events(1).map(|row| row.unwrap().1.len()).sum();
    let bare = alone(trace);
    let edits = number(trace.txns.len());
    let rate = |time: Duration| edits / time.as_secs_f64();
    let [speed, in_log, in_segments, in_checkpoint] = acts;
    let shown = |act, unit, measured, floor| {
        let target = Target::Shown;
        Figure { act, size: None, unit, measured, floor: Some(floor), target }
    };
    let floor = ("Automerge alone, in memory", rate(bare.time));
    bench.figure(shown(speed, "edits/s", rate(time), floor));
    let changes = ("changes of Automerge", number(bare.changes) / edits);
    bench.figure(shown(in_log, "B", number(log) / edits, changes));
    let segments = number(size(&store.join("log"))) / edits;
    bench.figure(shown(in_segments, "B", segments, changes));
    let saved = ("save() of Automerge", number(bare.saved) / edits);
    let checkpoint = number(size(&store.join("checkpoints"))) / edits;
    bench.figure(shown(in_checkpoint, "B", checkpoint, saved));
}

/// Puts all of it on a remote, and a checkpoint of it.
fn sync(vault: &Vault, store: &Path) {
    let options = RemoteOptions { url: format!("dir:{}", store.display()), ..Default::default() };
    runtime().block_on(async {
        let remote: Arc<dyn Remote> = remote::open(&options, vault.key()).await.unwrap();
        vault.add_remote(origin(), options, Arc::clone(&remote)).await.unwrap();
        let options = SyncOptions { checkpoint: 1, ..SyncOptions::default() };
        vault.sync(&origin(), remote, &options, &|_| ()).await.unwrap();
    });
}

/// The same keystrokes, each a change of a document with nothing but a text.
fn alone(trace: &Trace) -> Made {
    let mut document = Automerge::new();
    let mut transaction = document.transaction();
    let text = transaction.put_object(ROOT, "text", ObjType::Text).unwrap();
    transaction.splice_text(&text, 0, 0, &trace.start).unwrap();
    transaction.commit();
    let mut made = Made::default();
    for Transaction { patches } in &trace.txns {
        made.time += timed(|| {
            let mut transaction = document.transaction();
            for (place, gone, come) in patches {
                let gone = isize::try_from(*gone).unwrap();
                transaction.splice_text(&text, *place, gone, come).unwrap();
            }
            transaction.commit();
        });
        let change = document.get_last_local_change().unwrap();
        made.changes += change.raw_bytes().len();
    }
    made.saved = document.save().len();
    made
}

/// The bytes of all files in a folder.
fn size(folder: &Path) -> usize {
    let files =
        walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().metadata().unwrap());
    files.filter(fs::Metadata::is_file).map(|file| usize::try_from(file.len()).unwrap()).sum()
}
