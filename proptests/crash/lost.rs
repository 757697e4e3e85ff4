//! Disks that forget: an `fsync` that fails and loses what it should have kept, and a power cut.
//!
//! `lost_write.c` is loaded into a process and keeps what is really on disk beside what the process
//! believes. Names are not forgotten, only bytes: a rename that was not synced stays.

use std::{
    fs,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use super::{
    Random,
    ledger::{Ledger, is_clear, verifies},
    machine, memory, number,
    worker::{self, Running},
};
use crate::{
    image::png,
    machine::{Machine, Ran},
    world::copy_folder,
};

const PAGE: usize = 4096;

/// The shim, compiled once; `None` where there is no C compiler.
fn shim() -> Option<&'static Path> {
    static SHIM: OnceLock<Option<(tempfile::TempDir, PathBuf)>> = OnceLock::new();
    let shim = SHIM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("proptests/crash/lost_write.c");
        let object = folder.path().join("lost_write.so");
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(&object)
            .arg(source)
            .args(["-ldl", "-lpthread"]);
        match cc.status() {
            Ok(status) => {
                assert!(status.success(), "lost_write.c does not compile");
                Some((folder, object))
            }
            Err(error) => {
                eprintln!("left out: lost writes, since there is no C compiler: {error}");
                None
            }
        }
    });
    shim.as_ref().map(|(_, object)| &**object)
}

/// What is really on the disk that a vault lies on.
struct Disk {
    vault: PathBuf,
    kept: tempfile::TempDir,
}

impl Disk {
    /// A disk that has kept everything so far.
    fn new(vault: &Path) -> Self {
        let kept = memory();
        let disk = Self { vault: fs::canonicalize(vault).unwrap(), kept };
        for file in disk.files() {
            fs::copy(&file, disk.copy(&file)).unwrap();
        }
        disk
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = walkdir::WalkDir::new(&self.vault).into_iter().map(Result::unwrap);
        entries
            .filter(|entry| entry.file_type().is_file())
            .map(walkdir::DirEntry::into_path)
            .collect()
    }

    fn copy(&self, file: &Path) -> PathBuf {
        self.kept.path().join(fs::metadata(file).unwrap().ino().to_string())
    }

    /// Has a process lose what the call numbered `at` should have kept; with 0, none fails.
    fn under(&self, command: &mut Command, at: u64) {
        command
            .env("LD_PRELOAD", shim().unwrap())
            .env("LOST_UNDER", &self.vault)
            .env("LOST_KEEP", self.kept.path())
            .env("LOST_AT", at.to_string());
    }

    /// The file whose call failed.
    fn failed(&self) -> Option<String> {
        fs::read_to_string(self.kept.path().join("failed")).ok()
    }

    /// Leaves of each file what was put on disk, and of the rest some pages, as chance has it.
    fn cut_power(&self, random: &mut Random) {
        for path in self.files() {
            let now = fs::read(&path).unwrap();
            let mut kept = fs::read(self.copy(&path)).unwrap_or_default();
            let torn = random.below(3) > 0;
            if torn && kept.len() < now.len() {
                kept.resize(now.len(), 0);
            }
            let file = fs::OpenOptions::new().write(true).open(&path);
            // Images are read-only, and on disk before they have their names.
            let Ok(file) = file else { continue };
            file.set_len(kept.len() as u64).unwrap();
            for (index, page) in kept.chunks(PAGE).enumerate() {
                let at = index * PAGE;
                let written = now.get(at..now.len().min(at + page.len())).unwrap_or_default();
                let page = if torn && random.below(2) == 0 { written } else { page };
                if written != page || !torn {
                    file.write_all_at(page, at as u64).unwrap();
                }
            }
        }
    }
}

/// A vault with a remote, and what it was acknowledged to hold.
fn vault() -> (Machine, Ledger) {
    let machine = machine();
    let ledger = work(&machine, 7, 4);
    (machine, ledger)
}

/// Has a worker do so much, undisturbed.
fn work(machine: &Machine, seed: u64, acts: u64) -> Ledger {
    let mut ledger = Ledger::default();
    let (lines, well) = Running::start(worker::command(&machine.path(""), seed, acts)).finish();
    assert!(well && ledger.read(&lines) > 0, "{lines:?}");
    ledger
}

/// Fails one call after another of a program that keeps a vault open; gives how many were failed.
fn fail_calls(seed: u64, from: u64, step: usize) -> u64 {
    let (machine, before) = vault();
    let mut failed = 0;
    for at in (from..).step_by(step) {
        let home = memory();
        copy_folder(&machine.path(""), home.path());
        let vault = home.path().join("vault");
        let disk = Disk::new(&vault);
        let mut command = worker::command(home.path(), seed, 10);
        disk.under(&mut command, at);
        let (lines, well) = Running::start(command).finish();
        assert!(well, "call {at}: {lines:?}");
        let Some(file) = disk.failed() else { break };
        failed += 1;
        if Path::new(&file).extension().is_some_and(|end| end == "jnl") {
            // Of the log, nothing is acknowledged any more. Nobody is told where it was the call that
            // closes it: what was acknowledged was on disk before.
            let is_refusal =
                |line: &String| line.starts_with("FAILED") || line.starts_with("REFUSED");
            let mut after = lines.iter().skip_while(|line| !is_refusal(line));
            assert!(!after.any(|line| line.starts_with("ACK note")), "call {at}: {lines:?}");
        }
        let mut ledger = before.clone();
        ledger.read(&lines);
        ledger.check(&vault);
        let found = everleaf::vault::Vault::open(&vault, everleaf::vault::Options::default());
        assert_eq!(found.unwrap().verify().unwrap().findings, [], "call {at} of {file}");
    }
    failed
}

#[test]
fn what_a_failed_fsync_lost_was_not_acknowledged() {
    if shim().is_none() {
        return;
    }
    let failed = fail_calls(11, 1, 6);
    assert!(failed > 5, "{failed} calls failed");
}

#[test]
#[ignore = "fails every call that puts something on disk, for several courses of work"]
fn whatever_fsync_fails_nothing_acknowledged_is_lost() {
    if shim().is_none() {
        return;
    }
    for seed in 0..number("EVERLEAF_SEEDS", 10) {
        eprintln!("seed {seed}: {} calls failed", fail_calls(100 + seed, 1, 1));
    }
}

#[test]
fn a_command_whose_fsync_fails_says_so() {
    if shim().is_none() {
        return;
    }
    fail_commands(7);
}

#[test]
#[ignore = "fails every call of each command that puts something on disk"]
fn any_command_whose_fsync_fails_says_so() {
    if shim().is_none() {
        return;
    }
    fail_commands(1);
}

/// Fails calls of commands, every so many.
fn fail_commands(step: usize) {
    let (machine, before) = vault();
    machine.run(&["remote", "add", "origin", "dir:meeting"]).ok();
    machine.file("a.png", png(2, 2, b"a"));
    machine.file("a.md", "# A word\n![](a.png)\n");
    let note = before.notes.keys().next().unwrap().to_string();
    let commands: [&[&str]; 4] =
        [&["new", "a.md"], &["attach", &note, "a.png"], &["import", "files"], &["sync"]];
    let mut clear = 0;
    for arguments in commands {
        for at in (1..).step_by(step) {
            let home = memory();
            copy_folder(&machine.path(""), home.path());
            let vault = home.path().join("vault");
            let disk = Disk::new(&vault);
            let mut command = machine.command("vault");
            command.current_dir(home.path()).env("EVERLEAF_VAULT", &vault).args(arguments);
            disk.under(&mut command, at);
            let output = command.output().unwrap();
            let Some(file) = disk.failed() else { break };
            let ran = Ran {
                code: output.status.code().unwrap(),
                stdout: String::from_utf8(output.stdout).unwrap(),
                stderr: String::from_utf8(output.stderr).unwrap(),
            };
            let mut ledger = before.clone();
            if ran.code == 0 {
                // It need not have mattered: the head may be older than the log, for one.
                if arguments[0] == "new" {
                    ledger.note(ran.stdout.trim(), "word");
                }
            } else {
                clear += 1;
                is_clear(&ran, &["Input/output error", "did not keep", "could not be synced"]);
            }
            ledger.check(&vault);
            assert!(!ran.stderr.contains("panicked"), "{file}: {}", ran.stderr);
        }
    }
    assert!(clear > 3, "{clear} commands failed");
}

/// Imports `out` in copies of a machine, in each of which another call fails that puts something on disk, and has
/// `check` look at what is left; it is told which call that was.
fn after_each_import_that_fails(machine: &Machine, check: impl Fn(&Machine, &str)) {
    for at in 1.. {
        let home = Machine::within(memory());
        copy_folder(&machine.path(""), &home.path(""));
        let disk = Disk::new(&home.vault("vault"));
        let mut command = home.command("vault");
        command.args(["import", "out"]);
        disk.under(&mut command, at);
        command.output().unwrap();
        let Some(file) = disk.failed() else { break };
        check(&home, &format!("call {at} of {file}"));
    }
}

/// Whichever call fails, the next import finds the note of a file that was renamed in an exported folder.
#[test]
fn an_import_that_fails_makes_no_second_note_of_a_file_that_was_renamed() {
    if shim().is_none() {
        return;
    }
    let machine = machine();
    fs::create_dir(machine.path("in")).unwrap();
    machine.file("in/a.md", "# A\n");
    machine.file("in/b.md", "# B\n");
    machine.run(&["import", "in"]).ok();
    machine.run(&["export", "out"]).ok();
    fs::rename(machine.path("out/a.md"), machine.path("out/c.md")).unwrap();
    after_each_import_that_fails(&machine, |home, call| {
        home.run(&["import", "out"]).ok();
        let list = home.run(&["--json", "list"]).json();
        let mut paths: Vec<&str> =
            list.as_array().unwrap().iter().filter_map(|row| row["path"].as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["b.md", "c.md"], "{call}");
    });
}

/// Likewise where it was edited as well, and is edited again before the next import.
#[test]
fn an_import_that_fails_makes_no_edit_twice_of_a_file_that_was_renamed() {
    if shim().is_none() {
        return;
    }
    let text = |link: &str| format!("# A\n\n[one]({link})\ntwo\n");
    let machine = machine();
    fs::create_dir(machine.path("in")).unwrap();
    machine.file("in/a.md", text("b.md"));
    machine.run(&["import", "in"]).ok();
    machine.run(&["export", "out"]).ok();
    fs::create_dir(machine.path("out/sub")).unwrap();
    fs::rename(machine.path("out/a.md"), machine.path("out/sub/a.md")).unwrap();
    machine.file("out/sub/a.md", text("../b.md"));
    after_each_import_that_fails(&machine, |home, call| {
        let edited = text("../c.md");
        home.file("out/sub/a.md", &edited);
        home.run(&["import", "out"]).ok();
        let list = home.run(&["--json", "list"]).json();
        let paths: Vec<&str> =
            list.as_array().unwrap().iter().filter_map(|row| row["path"].as_str()).collect();
        assert_eq!(paths, ["sub/a.md"], "{call}");
        assert_eq!(home.run(&["show", "sub/a.md"]).ok(), edited, "{call}");
    });
}

/// Kills a program and takes away what was not on disk, again and again on the same vault.
fn cut_power(seed: u64, rounds: u64) -> (u64, u64) {
    let (machine, mut ledger) = vault();
    let mut random = Random(seed);
    let mut cut = 0;
    for round in 0..rounds {
        let disk = Disk::new(&machine.vault("vault"));
        let mut command = worker::command(&machine.path(""), random.next() >> 16, 60);
        disk.under(&mut command, 0);
        let lines = random.below(8);
        let then = Duration::from_micros(random.below(12_000));
        let (lines, was_running) = Running::start(command).kill_after(lines, then);
        cut += u64::from(was_running);
        ledger.read(&lines);
        disk.cut_power(&mut random);
        ledger.check(&machine.vault("vault"));
        if round % 5 == 4 {
            verifies(&machine, "vault");
        }
    }
    (cut, ledger.count)
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    if shim().is_none() {
        return;
    }
    let (cut, _) = cut_power(5, 12);
    assert!(cut > 5, "{cut} power cuts");
}

#[test]
#[ignore = "hundreds of power cuts; EVERLEAF_CUTS says how many"]
fn hundreds_of_power_cuts_take_nothing_that_was_acknowledged() {
    if shim().is_none() {
        return;
    }
    let (mut cut, mut seed) = (0, 20);
    while cut < number("EVERLEAF_CUTS", 400) {
        let (more, acknowledged) = cut_power(seed, 100);
        cut += more;
        eprintln!("seed {seed}: {cut} power cuts, {acknowledged} things acknowledged");
        seed += 1;
    }
}
