//! What was acknowledged, and whether it is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use everleaf::{
    id::{ImageId, NoteId},
    image::MediaType,
    vault::{Options, Vault},
};
use serde_json::Value;

use crate::machine::{Machine, Ran};

/// What children said they had done.
#[derive(Debug, Default, Clone)]
pub(super) struct Ledger {
    /// Words that notes have to hold.
    pub(super) notes: BTreeMap<NoteId, BTreeSet<String>>,
    pub(super) images: BTreeSet<ImageId>,
    /// How many acknowledgements there were.
    pub(super) count: u64,
}

impl Ledger {
    pub(super) fn note(&mut self, note: &str, word: &str) {
        self.count += 1;
        self.notes.entry(note.parse().unwrap()).or_default().insert(word.to_owned());
    }

    pub(super) fn image(&mut self, image: &str) {
        self.count += 1;
        self.images.insert(image.parse().unwrap());
    }

    /// Takes in lines of a worker; gives how many acknowledge something. A line that the kill cut
    /// short acknowledges nothing.
    pub(super) fn read(&mut self, lines: &[String]) -> u64 {
        let before = self.count;
        for line in lines {
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["ACK", "note", note, word, "."] => self.note(note, word),
                ["ACK", "image", image, "."] => self.image(image),
                _ => {}
            }
        }
        self.count - before
    }

    /// That everything is in the vault, images of the right bytes among it.
    #[track_caller]
    pub(super) fn check(&self, folder: &Path) {
        let vault = Vault::open(folder, Options::default()).unwrap();
        for (note, words) in &self.notes {
            let source = match vault.read(*note, None) {
                Ok(reading) => reading.body.source(),
                Err(error) => panic!("acknowledged note {note} is lost: {error}"),
            };
            let there: BTreeSet<&str> = source.split_whitespace().collect();
            let lost: Vec<_> = words.iter().filter(|word| !there.contains(&***word)).collect();
            assert!(lost.is_empty(), "note {note} has lost {lost:?}");
        }
        for image in &self.images {
            vault.images().verified(*image, MediaType::Png).unwrap();
        }
    }

    /// The same, asked of the command, a process for each note.
    #[track_caller]
    pub(super) fn check_by_command(&self, machine: &Machine, device: &str) {
        for (note, words) in &self.notes {
            let source = machine.run_on(device, &["show", &note.to_string(), "--source"]).ok();
            let there: BTreeSet<&str> = source.split_whitespace().collect();
            assert!(words.iter().all(|word| there.contains(&**word)), "note {note}: {source}");
        }
        let images = machine.run_on(device, &["--json", "images"]).json();
        let rows = images.as_array().unwrap();
        let local = |image: &ImageId| {
            rows.iter().any(|row| row["image"] == image.to_string() && row["local"] == true)
        };
        for image in &self.images {
            assert!(local(image), "image {image} is not on {device}");
        }
    }
}

/// That `verify` finds nothing wrong.
#[track_caller]
pub(super) fn verifies(machine: &Machine, device: &str) {
    let ran = machine.run_on(device, &["--json", "verify"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(found["findings"], Value::Array(vec![]));
}

/// That nothing lies in a closed vault but what belongs there.
#[track_caller]
pub(super) fn is_tidy(vault: &Path) {
    let mut strange = Vec::new();
    let mut copies = 0;
    for entry in walkdir::WalkDir::new(vault).min_depth(1) {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(vault).unwrap().to_str().unwrap().to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        let name = *parts.last().unwrap();
        let belongs = match *parts.first().unwrap() {
            "db" => !name.starts_with(".tmp"),
            "images" | "folders" => !name.starts_with('.'),
            "journals" => {
                copies += u64::from(parts.len() == 2);
                true
            }
            "tmp" => parts.len() == 1,
            "vault.json" | "key" | "head" | "lock" => true,
            _ => false,
        };
        if !belongs {
            strange.push(path);
        }
    }
    assert!(strange.is_empty(), "left behind: {strange:?}");
    assert!(copies <= 3, "{copies} copies of journals");
}

/// That a directory holds whole objects alone, each named by what it holds, and at most `temporary`
/// temporary files.
#[track_caller]
pub(super) fn is_whole(remote: &Path, temporary: usize) {
    let mut left = Vec::new();
    for entry in walkdir::WalkDir::new(remote) {
        let entry = entry.unwrap();
        if !entry.file_type().is_file() {
            continue;
        }
        let path = entry.path().strip_prefix(remote).unwrap().to_str().unwrap().to_owned();
        let hash = || blake3::hash(&std::fs::read(entry.path()).unwrap()).to_hex().to_string();
        let name = path.rsplit('/').next().unwrap();
        if path.starts_with("images/") {
            assert!(name.starts_with(&hash()), "{path} is not whole");
        } else if path.starts_with("log/") || path.starts_with("checkpoints/") {
            let named = name.rsplit('-').next().unwrap();
            assert!(hash().starts_with(named), "{path} is not whole");
        } else if name.starts_with("~syncthing~everleaf-") {
            left.push(path);
        } else {
            assert!(
                path == "vault.json" || path == "pulse" || path.starts_with("heads/"),
                "{path}"
            );
        }
    }
    assert!(left.len() <= temporary, "left behind: {left:?}");
}

/// That a command failed as it should: with an error that names what is wrong, says what to do, and
/// is no panic.
#[track_caller]
pub(super) fn is_clear(ran: &Ran, says: &[&str]) {
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: "), "no hint: {}", ran.stderr);
    assert!(says.iter().any(|says| ran.stderr.contains(says)), "{says:?}: {}", ran.stderr);
}
