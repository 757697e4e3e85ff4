//! What the benchmarks work on: folders of notes and images, and vaults made of the like. The same
//! seed makes the same notes, on any machine.
//!
//! A note has 1 to 20 KB, most of them few; one in a hundred is long. Every twentieth has a name that is
//! hard on programs. In a vault each was edited up to four times; of 100,000, each tenth; in a deep one, a
//! hundred times. Vaults are kept in `target/bench` and made anew only when this file says another [`VERSION`].

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use everleaf::{
    event::{RemoteName, RemoteOptions},
    remote::{self, Remote},
    vault::{NewNote, Options, SyncOptions, SyncReport, Vault},
};

use crate::measure::out;

/// Of what is generated: another one makes what was kept anew.
const VERSION: u32 = 1;
/// How many notes a vault has whose notes were edited a hundred times.
pub const DEEP: usize = 10_000;
/// How many threads write a vault: they share each `fsync`.
const WRITERS: usize = 8;

const WORDS: [&str; 48] = [
    "the",
    "of",
    "and",
    "flour",
    "water",
    "salt",
    "oven",
    "a",
    "to",
    "in",
    "is",
    "that",
    "leaf",
    "note",
    "image",
    "sync",
    "device",
    "garden",
    "river",
    "mountain",
    "über",
    "straße",
    "naïve",
    "日本",
    "пример",
    "🌿",
    "however",
    "because",
    "between",
    "morning",
    "evening",
    "window",
    "letter",
    "paper",
    "green",
    "winter",
    "summer",
    "market",
    "bridge",
    "story",
    "answer",
    "question",
    "measure",
    "second",
    "minute",
    "hour",
    "yesterday",
    "tomorrow",
];
const ODD: [&str; 6] = [
    "Über das Brot",
    "what? why! (really)",
    "100% #tags & more",
    "日本 ノート",
    "it's 'quoted'",
    "a  b",
];

/// Numbers that look random, from a seed: splitmix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: usize) -> Self {
        Self(u64::try_from(seed).unwrap().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len())]
    }
}

/// The source of a note, about as long as notes are.
pub fn source(seed: usize) -> String {
    let mut dice = Dice::new(seed);
    // Each doubling from 1 KB to 16 KB is as likely as the next.
    let least = 1024 << dice.below(4);
    let bytes = if dice.below(100) == 0 { 60 << 10 } else { least + dice.below(least) };
    text(&mut dice, seed, bytes)
}

/// The source of a note of so many bytes.
pub fn text(dice: &mut Dice, number: usize, bytes: usize) -> String {
    let mut text = format!("# {} {} {number}\n\n", dice.word(), dice.word());
    while text.len() < bytes {
        match dice.below(12) {
            0 => text.push_str("\n## "),
            1 => text.push_str("\n- "),
            2 => text.push_str("\n\n"),
            _ => {}
        }
        for _ in 0..4 + dice.below(12) {
            text.push_str(dice.word());
            text.push(' ');
        }
        text.push_str(".\n");
    }
    text
}

/// A picture as far as its first bytes say, and noise as far as it goes.
pub fn image(seed: usize, bytes: usize) -> Vec<u8> {
    let mut image = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08\0\0\0\x08\x08\x06\0\0\0".to_vec();
    let head = image.len();
    image.resize(bytes, 0);
    let noise = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    { noise }.fill(&mut image[head..]);
    image
}

/// Writes a folder of notes that show images, in which only `distinct` of the images differ.
pub fn folder(at: &Path, notes: usize, images: usize, distinct: usize, bytes: usize) {
    fs::create_dir_all(at.join("images")).unwrap();
    for number in 0..images {
        let path = at.join(format!("images/image {number}.png"));
        fs::write(path, image(number % distinct.max(1), bytes)).unwrap();
    }
    for number in 0..notes {
        let mut text = source(number);
        for shown in (number..images).step_by(notes) {
            text.push_str(&format!("\n![a picture](<images/image {shown}.png>)\n"));
        }
        let name = if number % 20 == 0 { ODD[number / 20 % ODD.len()] } else { "Note" };
        fs::write(at.join(format!("{name} {number}.md")), text).unwrap();
    }
}

/// Adds a sentence in the midst of a source.
pub fn edited(source: &str, dice: &mut Dice) -> String {
    let mut at = dice.below(source.len().max(1));
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    let (before, behind) = source.split_at(at);
    format!("{before} {} {} {} {behind}", dice.word(), dice.word(), dice.word())
}

/// Does something for each number on several threads: what is appended at once shares an `fsync`.
pub fn together(count: usize, threads: usize, each: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    each(number);
                }
            });
        }
    });
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

pub fn origin() -> RemoteName {
    "origin".parse().unwrap()
}

/// A vault, and the folder that is its remote.
pub struct Generated {
    pub vault: PathBuf,
    pub remote: PathBuf,
}

impl Generated {
    /// A vault of so many notes, all of them on its remote; made where it is not there.
    pub fn of(notes: usize) -> Self {
        // Each edit of a note that was just made loads it, which for so many would take an hour.
        let is_edited = |number| notes <= 10_000 || number % 10 == 0;
        let edits = |number, dice: &mut Dice| if is_edited(number) { dice.below(5) } else { 0 };
        Self::made(&notes.to_string(), notes, edits)
    }

    /// The same of [`DEEP`] notes that were edited a hundred times each: a million events.
    pub fn deep() -> Self {
        Self::made("deep", DEEP, |_, _| 99)
    }

    fn made(name: &str, notes: usize, edits: impl Fn(usize, &mut Dice) -> usize + Sync) -> Self {
        let folder = out().join(format!("vaults/{name}-v{VERSION}"));
        let generated = Self { vault: folder.join("vault"), remote: folder.join("remote") };
        if !folder.exists() {
            eprintln!("making a vault of {notes} notes, once");
            let unfinished = folder.with_extension("unfinished");
            let _ = fs::remove_dir_all(&unfinished);
            fs::create_dir_all(&unfinished).unwrap();
            make(&unfinished, &folder, notes, edits);
            fs::rename(&unfinished, &folder).unwrap();
        }
        generated
    }

    /// A copy that may be changed, in `at`.
    pub fn copied(&self, at: &Path) -> Self {
        let copy = Self { vault: at.join("vault"), remote: at.join("remote") };
        let from = self.vault.parent().unwrap();
        let done = std::process::Command::new("cp").arg("-a").arg(from.join(".")).arg(at).status();
        assert!(done.unwrap().success());
        copy
    }

    pub fn open(&self) -> Vault {
        Vault::open(&self.vault, Options::default()).unwrap()
    }

    /// The remote, wherever the vault takes it to be.
    pub async fn remote(&self, vault: &Vault) -> Arc<dyn Remote> {
        let url = format!("dir:{}", self.remote.display());
        let options = RemoteOptions { url, ..RemoteOptions::default() };
        remote::open(&options, vault.key()).await.unwrap()
    }

    /// Syncs once.
    pub fn sync(&self, vault: &Vault) -> SyncReport {
        runtime().block_on(async {
            let remote = self.remote(vault).await;
            vault.sync(&origin(), remote, &SyncOptions::default(), &|_| ()).await.unwrap()
        })
    }
}

/// Makes a vault in `folder`, whose remote will be in `later`.
fn make(
    folder: &Path,
    later: &Path,
    notes: usize,
    edits: impl Fn(usize, &mut Dice) -> usize + Sync,
) {
    let generated = Generated { vault: folder.join("vault"), remote: folder.join("remote") };
    fs::create_dir(&generated.remote).unwrap();
    let vault = Vault::create(&generated.vault, "bench", None, Options::default()).unwrap();
    together(notes, WRITERS, |number| {
        let mut source = source(number);
        let path = Some(format!("Folder {}/Note {number}.md", number % 50));
        let new = NewNote { source: source.clone(), path, folder: None };
        let note = vault.new_note(&new).unwrap();
        let mut dice = Dice::new(number);
        for _ in 0..edits(number, &mut dice) {
            let seen = vault.read(note, None).unwrap();
            source = edited(&source, &mut dice);
            vault.edit(note, &seen.heads, &source, None).unwrap();
        }
    });
    let url = format!("dir:{}", later.join("remote").display());
    let options = RemoteOptions { url, ..RemoteOptions::default() };
    runtime().block_on(async {
        let remote = generated.remote(&vault).await;
        vault.add_remote(origin(), options, remote).await.unwrap();
    });
    generated.sync(&vault);
}
