//! Taking images in.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::Path,
};

use everleaf::vault::{NewNote, Options, Vault};

use crate::{
    measure::{Bench, Pair, Target, timed},
    vault,
};

const SIZES: [(usize, &str, &str, f64); 2] = [
    (100 << 10, "ingest of a 100 KB image", "a known 100 KB image again", 1.3),
    (5 << 20, "ingest of a 5 MB image", "a known 5 MB image again", 1.15),
];
const CHUNK: usize = 128 << 10;
/// How many images a vault has in which nearly all of its folders are there.
const FILLED: usize = 1500;

pub fn run(bench: &mut Bench) {
    for (bytes, new, known, target) in SIZES {
        if !bench.wants(&[new, known]) {
            continue;
        }
        let rounds = if bytes > 1 << 20 { 40 } else { 100 };
        let folder = tempfile::tempdir_in(crate::measure::out()).unwrap();
        let folder = folder.path();
        let vault = Vault::create(&folder.join("vault"), "bench", None, Options::default());
        let vault = vault.unwrap();
        // Like one that is in use: the first image in each of the 256 folders pays for that as well.
        for number in 0..FILLED {
            vault.images().ingest(&mut vault::image(rounds + number, 64).as_slice()).unwrap();
        }
        let source = |round: usize| folder.join(format!("{round}.png"));
        for round in 0..rounds {
            fs::write(source(round), vault::image(round, bytes)).unwrap();
        }
        let floor = "chunked copy, fdatasync, rename, fsync of the folder";
        let pair = Pair { act: new, floor, size: None, target: Target::Ratio(target), rounds };
        bench.pair(
            pair,
            |round| timed(|| assert!(!vault.images().ingest_file(&source(round)).unwrap().already)),
            |round| timed(|| copy(&source(round), folder, round)),
        );
        // What shows them says that they are known.
        let shown: Vec<String> = (0..rounds).map(|round| format!("![]({round}.png)\n")).collect();
        let note =
            NewNote { source: shown.concat(), path: None, folder: Some(folder.to_path_buf()) };
        vault.new_note(&note).unwrap();
        let floor = "reading the file and blake3 of its bytes";
        let pair = Pair { act: known, floor, size: None, target: Target::Ratio(1.3), rounds };
        bench.pair(
            pair,
            |round| timed(|| assert!(vault.images().ingest_file(&source(round)).unwrap().already)),
            |round| timed(|| hash(&source(round))),
        );
    }
}

fn copy(from: &Path, folder: &Path, round: usize) {
    let path = folder.join(format!("copy-{round}"));
    let (mut from, mut to) = (File::open(from).unwrap(), File::create(&path).unwrap());
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer).unwrap() {
            0 => break,
            read => to.write_all(&buffer[..read]).unwrap(),
        }
    }
    to.sync_data().unwrap();
    fs::rename(&path, folder.join(format!("named-{round}"))).unwrap();
    File::open(folder).unwrap().sync_all().unwrap();
}

fn hash(path: &Path) {
    let mut file = File::open(path).unwrap();
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => break,
            read => drop(hasher.update(&buffer[..read])),
        }
    }
    std::hint::black_box(hasher.finalize());
}
