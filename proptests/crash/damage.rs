//! Every file of a vault cut at every length of its end, and bits that flipped.
//!
//! Whatever is damaged: an error that says what is wrong and what to do, or a vault that says what it
//! has lost, or nothing lost. Never a panic, and never less than was acknowledged without a word.

use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use everleaf::{
    event::{Event, RenewReason},
    id::Seq,
    vault::{Options, Vault},
};

use super::{
    Random,
    ledger::{Ledger, is_clear},
    machine, memory, number,
    worker::{self, Running},
};
use crate::{machine::Machine, world::copy_folder};

/// How much of the end of a file is cut off in all lengths.
const END: u64 = 4096;

/// A closed vault, or one as a killed process leaves it, and what it was acknowledged to hold.
fn vault(is_closed: bool) -> (Machine, Ledger) {
    let machine = machine();
    let mut ledger = Ledger::default();
    let home = machine.path("");
    let (lines, _) = Running::start(worker::command(&home, 4, 14)).finish();
    ledger.read(&lines);
    if !is_closed {
        let running = Running::start(worker::command(&home, 5, 1000));
        let (lines, was_running) = running.kill_after(8, Duration::ZERO);
        assert!(was_running);
        ledger.read(&lines);
    }
    assert!(ledger.notes.len() > 2 && ledger.images.len() > 2);
    (machine, ledger)
}

/// The files of a vault, each with its size and with where what was written to it ends: the engine
/// allocates much more.
fn files(vault: &Path) -> Vec<(PathBuf, u64, u64)> {
    let (mut files, mut images) = (Vec::new(), 0);
    for entry in walkdir::WalkDir::new(vault).sort_by_file_name() {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            let path = entry.path().strip_prefix(vault).unwrap().to_path_buf();
            // One image is like another.
            images += usize::from(path.starts_with("images"));
            if path.starts_with("images") && images > 2 {
                continue;
            }
            files.push((path, bytes.len() as u64, end as u64));
        }
    }
    files
}

/// What became of a damaged vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Refused,
    Reported,
    Whole,
}

/// Opens a copy of a vault that `harm` has damaged.
fn suffer(original: &Path, ledger: &Ledger, what: &str, harm: impl Fn(&Path)) -> Outcome {
    let folder = memory();
    let path = folder.path().join("vault");
    copy_folder(original, &path);
    harm(&path);
    let options = Options { patience: Duration::ZERO, ..Options::default() };
    let vault = match Vault::open(&path, options) {
        Ok(vault) => vault,
        Err(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            assert!(error.hint().is_some(), "{what}: {text}: no hint");
            assert!(text.contains(path.to_str().unwrap()), "{what}: {text}: names no file");
            return Outcome::Refused;
        }
    };
    let is_told = vault.events(Seq(1)).any(|recorded| match recorded {
        Ok(recorded) => matches!(
            recorded.event,
            Event::DeviceRenewed { reason: RenewReason::TailLost { .. }, .. }
        ),
        Err(_) => true,
    });
    let is_found = match vault.verify() {
        Ok(found) => !found.findings.is_empty(),
        Err(error) => {
            assert!(error.hint().is_some(), "{what}: {error}: no hint");
            true
        }
    };
    let notes = ledger.notes.iter().all(|(note, words)| {
        vault.read(*note, None).is_ok_and(|reading| {
            let source = reading.body.source();
            words.iter().all(|word| source.contains(word))
        })
    });
    let png = everleaf::image::MediaType::Png;
    let images = ledger.images.iter().all(|image| vault.images().verified(*image, png).is_ok());
    if is_told || is_found {
        Outcome::Reported
    } else {
        assert!(notes && images, "{what}: something is lost, and nobody is told");
        Outcome::Whole
    }
}

/// Cuts every file of a vault at the lengths of its end that `keeps` names; counts what came of it.
fn cut_all(is_closed: bool, lengths: impl Fn(u64) -> Vec<u64>) -> [u64; 3] {
    let (machine, ledger) = vault(is_closed);
    let original = machine.vault("vault");
    let mut all = Vec::new();
    for (file, size, end) in files(&original) {
        let mut cuts = lengths(end);
        cuts.extend(lengths(size));
        cuts.sort_unstable();
        cuts.dedup();
        let cuts = cuts.into_iter().filter(|length| *length < size);
        all.extend(cuts.map(|length| (file.clone(), length, size)));
    }
    let next = AtomicUsize::new(0);
    let attack = || {
        let mut outcomes = [0; 3];
        while let Some((file, length, size)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let what = format!("{} cut to {length} of {size}", file.display());
            let outcome = suffer(&original, &ledger, &what, |vault| {
                let path = vault.join(file);
                // Images are read-only.
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(*length).unwrap();
            });
            outcomes[outcome as usize] += 1;
        }
        outcomes
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(attack)).collect();
        let each = threads.into_iter().map(|thread| thread.join().unwrap());
        each.fold([0; 3], |[a, b, c], [x, y, z]| [a + x, b + y, c + z])
    })
}

#[test]
fn a_file_that_is_gone_is_noticed() {
    let (machine, ledger) = vault(true);
    let original = machine.vault("vault");
    let mut refused = 0;
    for (file, ..) in files(&original) {
        let what = format!("{} is gone", file.display());
        let harm = |vault: &Path| fs::remove_file(vault.join(&file)).unwrap();
        refused += u64::from(suffer(&original, &ledger, &what, harm) == Outcome::Refused);
    }
    assert!(refused > 5, "{refused}");
}

/// The engine would delete a keyspace of which one file is gone, and with it what could be restored.
#[test]
fn a_damaged_vault_is_left_as_it_is() {
    let (machine, _) = vault(true);
    let vault = machine.vault("vault");
    fs::remove_file(vault.join("db/keyspaces/1/current")).unwrap();
    let before = files(&vault);
    is_clear(&machine.run(&["list"]), &["current is gone"]);
    let after = files(&vault);
    assert!(before.iter().all(|(path, ..)| after.iter().any(|(other, ..)| other == path)));
}

/// Flips bits in every file; counts what came of it.
fn flip(is_closed: bool, seed: u64, bits: u64) -> [u64; 3] {
    let (machine, ledger) = vault(is_closed);
    let original = machine.vault("vault");
    let mut random = Random(seed);
    let mut outcomes = [0; 3];
    for (file, _, end) in files(&original).into_iter().filter(|(_, _, end)| *end > 0) {
        for _ in 0..bits {
            let (at, bit) = (random.below(end), random.below(8));
            let what = format!("{}: bit {bit} of byte {at} of {end}", file.display());
            let outcome = suffer(&original, &ledger, &what, |vault| {
                let path = vault.join(&file);
                let mut bytes = fs::read(&path).unwrap();
                bytes[usize::try_from(at).unwrap()] ^= 1 << bit;
                fs::remove_file(&path).unwrap();
                fs::write(&path, bytes).unwrap();
            });
            outcomes[outcome as usize] += 1;
        }
    }
    outcomes
}

/// A few lengths, the odd ones among them.
fn some(end: u64) -> Vec<u64> {
    let near = [1, 24, 400, END];
    let mut lengths: Vec<u64> = near.iter().filter_map(|less| end.checked_sub(*less)).collect();
    lengths.push(0);
    lengths
}

#[test]
fn a_file_that_ends_too_soon_is_noticed() {
    for is_closed in [true, false] {
        let [refused, reported, whole] = cut_all(is_closed, some);
        assert!(refused > 0 && reported > 0 && whole > 0, "{refused} {reported} {whole}");
    }
}

#[test]
#[ignore = "cuts every file at every length of its last 4 KiB"]
fn every_file_may_end_at_any_length() {
    for is_closed in [true, false] {
        let [refused, reported, whole] =
            cut_all(is_closed, |end| (end.saturating_sub(END)..end).collect());
        eprintln!("{refused} refused, {reported} told of a loss, {whole} whole");
    }
}

#[test]
fn a_bit_that_flipped_is_noticed() {
    for is_closed in [true, false] {
        let [refused, reported, whole] = flip(is_closed, 6, 2);
        assert!(refused > 0 && reported > 0, "{refused} {reported} {whole}");
    }
}

#[test]
#[ignore = "flips many bits; EVERLEAF_BITS says how many in each file"]
fn any_bit_may_flip() {
    for is_closed in [true, false] {
        let [refused, reported, whole] = flip(is_closed, 60, number("EVERLEAF_BITS", 200));
        eprintln!("{refused} refused, {reported} told of a loss, {whole} whole");
    }
}

/// The journal of a killed process, and what was written last to it.
fn journal(vault: &Path) -> (PathBuf, u64) {
    let files = files(vault).into_iter();
    let mut journals = files.filter(|(path, ..)| path.extension().is_some_and(|end| end == "jnl"));
    let (path, _, end) = journals.next_back().unwrap();
    (path, end)
}

/// A power cut may leave the end of a batch, and not its middle: the engine refuses that by itself.
#[test]
fn a_write_that_the_power_cut_tore_keeps_no_vault_from_being_opened() {
    let machine = Machine::with_vault();
    let kept = machine.run_with("vault", &["new"], b"# Kept\n").ok();
    let before = fs::read(machine.path("vault/head")).unwrap();
    machine.file("long.md", Random(1).text(60_000));
    machine.run(&["new", "long.md"]).ok();
    let vault = machine.vault("vault");
    let (path, end) = journal(&vault);
    let file = fs::OpenOptions::new().write(true).open(vault.join(path)).unwrap();
    file.write_all_at(&[0; 4096], (end - 30_000) / 4096 * 4096).unwrap();
    // The process was stopped, before it acknowledged anything.
    fs::write(vault.join("open"), "").unwrap();
    let torn = memory();
    copy_folder(&vault, torn.path());
    fs::write(vault.join("head"), before).unwrap();
    assert_eq!(machine.run(&["show", kept.trim()]).ok(), "# Kept\n");
    assert_eq!(machine.run(&["list"]).ok().lines().count(), 1);
    assert!(machine.path("vault/journals/1").is_dir());
    machine.run(&["verify"]).ok();

    // Had it been acknowledged, somebody would be told.
    fs::remove_dir_all(&vault).unwrap();
    copy_folder(torn.path(), &vault);
    let ran = machine.run(&["list"]);
    assert!(ran.stderr.contains("lost"), "{}", ran.stderr);
    assert_eq!(ran.ok().lines().count(), 1);
}

#[test]
fn a_damaged_vault_says_what_to_do_and_still_shows_its_key() {
    let machine = Machine::with_vault();
    machine.run_with("vault", &["new"], b"# A\n").ok();
    let key = machine.run(&["key"]).ok();
    let vault = machine.vault("vault");
    let (path, _) = journal(&vault);
    // Its first batch: the rest builds on it.
    let file = fs::OpenOptions::new().write(true).open(vault.join(path)).unwrap();
    file.write_all_at(&[0xff; 8], 60).unwrap();
    is_clear(&machine.run(&["list"]), &["damaged", "incomplete"]);
    assert_eq!(machine.run(&["key"]).ok(), key);
}
