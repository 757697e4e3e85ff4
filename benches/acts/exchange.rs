//! Joining a vault, and uploading images.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    process::{Command, Stdio},
    sync::Arc,
};

use everleaf::{
    clock::SystemClock,
    event::Event,
    id::{NoteId, Seq},
    loopback::Loopback,
    note::Note,
    vault::Vault,
};

use crate::{
    measure::{Bench, Figure, Pair, Target, median, millis, number, timed},
    process::{everleaf, run as finish},
    vault::{self, DEEP, Generated, runtime},
};

const JOIN: &str = "`join`, whole process";
const JOIN_BYTES: &str = "bytes that a `join` reads";
const JOIN_MEMORY: &str = "memory of a `join`, at its peak";
const FIRST_LIST: &str = "first `list` after a `join`";
const UPLOAD: &str = "upload of 1,000 images of 100 KB";
const UPLOAD_MEMORY: &str = "memory of an upload, at its peak";
const DEEP_ACTS: [&str; 4] = [
    "`join` of 10,000 notes with 100 edits each",
    "bytes of that",
    "memory of that, at its peak",
    "first `list` after that",
];
/// How many notes are loaded to know the size of all.
const SAMPLE: usize = 1_000;

pub fn run(bench: &mut Bench) {
    for notes in bench.sizes.clone() {
        if bench.wants(&[JOIN, JOIN_BYTES, JOIN_MEMORY, FIRST_LIST]) {
            let acts = [JOIN, JOIN_BYTES, JOIN_MEMORY, FIRST_LIST];
            join(bench, acts, Some(notes), &Generated::of(notes));
        }
    }
    if bench.wants(&DEEP_ACTS) && bench.is_large() {
        join(bench, DEEP_ACTS, None, &Generated::deep());
    }
    if bench.wants(&[UPLOAD, UPLOAD_MEMORY]) {
        upload(bench);
    }
}

fn join(bench: &mut Bench, acts: [&'static str; 4], size: Option<usize>, generated: &Generated) {
    let [act, bytes, memory, list] = acts;
    let notes = size.unwrap_or(DEEP);
    let folder = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let folder = folder.path();
    let opened = generated.open();
    let key = opened.key().to_bech32().to_string();
    let least = saved(&opened, notes);
    drop(opened);
    let key_file = folder.join("key");
    fs::write(&key_file, &key).unwrap();
    let url = format!("dir:{}", generated.remote.display());
    let (mut peak, mut first) = (Vec::new(), Vec::new());
    let source = folder.join("source");
    fs::write(&source, vault::image(notes, least)).unwrap();
    let floor = "copying as many bytes as save() of the notes gives, and fdatasync";
    let rounds = if notes > 10_000 { 1 } else { 3 };
    let pair = Pair { act, floor, size, target: Target::Ratio(2.0), rounds };
    let mut read = 0.0;
    bench.pair(
        pair,
        |round| {
            let vault = folder.join(format!("vault-{round}"));
            let mut command = everleaf(&vault);
            command.args(["--json", "join", &url, "--key", "-", "--name", "other"]);
            command.stdin(fs::File::open(&key_file).unwrap());
            let said = folder.join("said");
            command.stdout(fs::File::create(&said).unwrap());
            let used = finish(&mut command);
            let said: serde_json::Value = serde_json::from_slice(&fs::read(said).unwrap()).unwrap();
            read = said["sync"]["pulled"]["bytes"].as_f64().unwrap();
            peak.push(used.memory);
            first.push(millis(finish(everleaf(&vault).arg("list")).time));
            used.time
        },
        |round| {
            timed(|| {
                let mut copy = fs::File::create(folder.join(format!("copy-{round}"))).unwrap();
                io::copy(&mut fs::File::open(&source).unwrap(), &mut copy).unwrap();
                copy.sync_data().unwrap();
            })
        },
    );
    let floor = Some(("sum of save() of the notes", number(least)));
    let (unit, target) = ("B", Target::Ratio(1.3));
    bench.figure(Figure { act: bytes, size, unit, measured: read, floor, target });
    let figure =
        |act, unit, measured, target| Figure { act, size, unit, measured, floor: None, target };
    bench.figure(figure(memory, "MB", median(peak), Target::AtMost(128.0)));
    bench.figure(figure(list, "ms", median(first), Target::Shown));
}

/// The bytes of all notes as Automerge saves them; where there are many, by some of them.
fn saved(vault: &Vault, notes: usize) -> usize {
    let each = notes.div_ceil(SAMPLE);
    let sample: HashSet<NoteId> =
        vault.list().unwrap().iter().step_by(each).map(|row| row.note).collect();
    let mut changes: HashMap<NoteId, Vec<Vec<u8>>> = HashMap::new();
    for recorded in vault.events(Seq(1)) {
        if let Event::NoteChanged { note, change } = recorded.unwrap().event
            && sample.contains(&note)
        {
            changes.entry(note).or_default().push(change.0);
        }
    }
    let saved = changes.into_iter().map(|(note, changes)| {
        let slices: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
        Note::load(note, [0; 8], None, &slices).unwrap().save().len()
    });
    saved.sum::<usize>() * notes / sample.len()
}

fn upload(bench: &mut Bench) {
    let folder = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let folder = folder.path();
    let source = folder.join("source");
    vault::folder(&source, 100, 1_000, 1_000, 100 << 10);
    let runtime = runtime();
    let server = || runtime.block_on(Loopback::start(Arc::new(SystemClock))).unwrap();
    let mut peak = Vec::new();
    if Command::new("rclone").arg("version").stdout(Stdio::null()).status().is_err() {
        println!("left out, since there is no rclone: {UPLOAD}");
        return;
    }
    let floor = "rclone copy --transfers 32";
    let pair = Pair { act: UPLOAD, floor, size: None, target: Target::Ratio(0.7), rounds: 3 };
    bench.pair(
        pair,
        |round| {
            let (server, vault) = (server(), folder.join(format!("vault-{round}")));
            finish(everleaf(&vault).args(["init", "--name", "bench"]));
            finish(everleaf(&vault).arg("import").arg(&source));
            let (url, endpoint) = (format!("s3://{}", Loopback::bucket()), server.endpoint());
            finish(everleaf(&vault).args([
                "remote",
                "add",
                "origin",
                &url,
                "--endpoint",
                &endpoint,
            ]));
            let used = finish(everleaf(&vault).arg("sync"));
            peak.push(used.memory);
            used.time
        },
        |_| {
            let server = server();
            let to = format!(
                ":s3,provider=Other,access_key_id={},secret_access_key={},endpoint='{}':{}",
                Loopback::access_key(),
                Loopback::secret_key(),
                server.endpoint(),
                Loopback::bucket()
            );
            let mut command = Command::new("rclone");
            command.env_remove("AWS_CA_BUNDLE").args([
                "copy",
                "--transfers",
                "32",
                "--s3-no-check-bucket",
                "--no-check-dest",
                // It takes an ETag for an MD5, which the server does not say that it is.
                "--ignore-checksum",
                "--quiet",
            ]);
            command.arg(source.join("images")).arg(to);
            timed(|| assert!(command.status().unwrap().success()))
        },
    );
    let (measured, target) = (median(peak), Target::AtMost(128.0));
    bench.figure(Figure {
        act: UPLOAD_MEMORY,
        size: None,
        unit: "MB",
        measured,
        floor: None,
        target,
    });
}
