//! What an act costs beside the least that the machine asks for it, measured in the same run.
//!
//! `cargo bench` prints one line of JSON for each: medians in microseconds, and their ratio. The
//! machine's speed drifts, so act and floor are timed in turns, and only the ratio says much.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark that meets the unexpected should stop, and prints what it found"
)]

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use everleaf::{
    event::RemoteOptions,
    remote,
    vault::{NewNote, Options, SyncOptions, Vault},
};

const ROUNDS: usize = 60;

/// Times `act` and `floor` in turns and prints their medians.
fn compare(name: &str, mut act: impl FnMut(usize), mut floor: impl FnMut(usize)) {
    let (mut acts, mut floors) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let started = Instant::now();
        act(round);
        acts.push(started.elapsed());
        let started = Instant::now();
        floor(round);
        floors.push(started.elapsed());
    }
    let (act, floor) = (median(acts), median(floors));
    let ratio = act.as_secs_f64() / floor.as_secs_f64();
    println!(
        r#"{{"act": "{name}", "median_us": {}, "floor_us": {}, "ratio": {ratio:.2}}}"#,
        act.as_micros(),
        floor.as_micros()
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn synced_append(file: &mut File, bytes: &[u8]) {
    file.write_all(bytes).unwrap();
    file.sync_data().unwrap();
}

fn image(seed: usize, bytes: usize) -> Vec<u8> {
    let mut image = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08\0\0\0\x08\x08\x06\0\0\0".to_vec();
    let mut random = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    let mut rest = vec![0; bytes];
    random.fill(&mut rest);
    image.append(&mut rest);
    image
}

fn edits(vault: &Vault, folder: &Path) {
    let note = vault.new_note(&NewNote { source: "word ".repeat(4000), ..NewNote::default() });
    let note = note.unwrap();
    let mut log = File::create(folder.join("log")).unwrap();
    compare(
        "durable edit of a 20 KB note",
        |round| {
            let reading = vault.read(note, None).unwrap();
            let source = format!("{}edit {round} ", reading.body.source());
            vault.edit(note, &reading.heads, &source, None).unwrap();
        },
        |_| synced_append(&mut log, &[7; 200]),
    );
}

fn images(vault: &Vault, folder: &Path, bytes: usize) {
    let source = |round: usize| folder.join(format!("{bytes}-{round}.png"));
    for round in 0..ROUNDS {
        fs::write(source(round), image(round, bytes)).unwrap();
    }
    compare(
        &format!("new image of {bytes} bytes"),
        |round| assert!(!vault.images().ingest_file(&source(round)).unwrap().already),
        |round| {
            let path = folder.join(format!("copy-{bytes}-{round}"));
            fs::copy(source(round), &path).unwrap();
            File::open(&path).unwrap().sync_data().unwrap();
            fs::rename(&path, folder.join(format!("named-{bytes}-{round}"))).unwrap();
            File::open(folder).unwrap().sync_all().unwrap();
        },
    );
    compare(
        &format!("known image of {bytes} bytes"),
        |round| assert!(vault.images().ingest_file(&source(round)).unwrap().already),
        |round| {
            let mut all = Vec::new();
            File::open(source(round)).unwrap().read_to_end(&mut all).unwrap();
            std::hint::black_box(blake3::hash(&all));
        },
    );
}

fn idle_sync(vault: &Vault, folder: &Path) {
    let shared = folder.join("shared");
    fs::create_dir(&shared).unwrap();
    let url = format!("dir:{}", shared.display());
    let options = RemoteOptions { url, ..RemoteOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (name, how) = ("origin".parse().unwrap(), SyncOptions::default());
    let remote = runtime.block_on(async {
        let remote = remote::open(&options, vault.key()).await.unwrap();
        vault.add_remote("origin".parse().unwrap(), options, remote.clone()).await.unwrap();
        vault.sync(&name, remote.clone(), &how, &|_| ()).await.unwrap();
        remote
    });
    compare(
        "idle sync with a directory",
        |_| {
            let sync = vault.sync(&name, remote.clone(), &how, &|_| ());
            assert!(runtime.block_on(sync).unwrap().is_quiet());
        },
        |_| drop(runtime.block_on(remote.head(&remote::Key::Pulse)).unwrap()),
    );
}

fn main() {
    // `cargo test --benches` asks for nothing; `cargo bench` says `--bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::create(&folder.path().join("vault"), "bench", None, Options::default());
    let vault = vault.unwrap();
    edits(&vault, folder.path());
    images(&vault, folder.path(), 100 << 10);
    images(&vault, folder.path(), 5 << 20);
    idle_sync(&vault, folder.path());
}
