//! A full disk, and one that can't be written to.
//!
//! A small tmpfs is the disk where this process may mount one. Elsewhere, and then only the full disk is
//! tried, a limit on the size of files stands for it; what was left out is said.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    Random,
    ledger::{Ledger, is_clear, is_tidy, verifies},
    memory,
};
use crate::{
    image::png,
    machine::{Machine, Ran},
};

/// A disk of a few megabytes, mounted in a folder of its own.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// `None` where this process may not mount any.
    fn new() -> Option<Self> {
        let disk = Self { folder: memory() };
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16m", "everleaf-test"]).arg(disk.folder.path());
        let output = mount.output();
        if output.is_ok_and(|output| output.status.success()) {
            return Some(disk);
        }
        None
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves so much room, in KiB.
    fn fill(&self, room: usize) {
        let ballast = self.path().join("ballast");
        let block = vec![1; 64 << 10];
        let mut file = fs::File::create(&ballast).unwrap();
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        let full = file.metadata().unwrap().len();
        file.set_len(full.saturating_sub(room as u64 * 1024)).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }

    fn remount(&self, mode: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{mode}")]).arg(self.path());
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// A machine whose device `vault` lies elsewhere, with a note and a remote, and another device `other`
/// that has written since.
struct Scene {
    machine: Machine,
    vault: PathBuf,
    ledger: Ledger,
    note: String,
    texts: u64,
}

impl Scene {
    fn new(vault: PathBuf) -> Self {
        let mut machine = Machine::within(memory());
        machine.set("EVERLEAF_VAULT", vault.to_str().unwrap());
        machine.run(&["init", "--name", "laptop"]).ok();
        machine.file("a.png", png(1, 1, b"a"));
        machine.file("a.md", "# A kept\n\n![](a.png)\n");
        let note = machine.run(&["new", "a.md"]).ok().trim().to_owned();
        machine.run(&["remote", "add", "origin", "dir:meeting"]).ok();
        machine.run(&["sync"]).ok();
        let mut ledger = Ledger::default();
        ledger.note(&note, "kept");
        let mut scene = Self { machine, vault, ledger, note, texts: 0 };
        let key = scene.machine.run(&["key"]).ok();
        scene.other(&["join", "dir:meeting", "--key", key.trim()]).ok();
        scene.write_elsewhere();
        scene
    }

    /// Runs a command on the other device.
    fn other(&self, arguments: &[&str]) -> Ran {
        let other = self.machine.path("other");
        self.machine.run(&[&["--vault", other.to_str().unwrap()], arguments].concat())
    }

    /// Something for `vault` to pull and fetch.
    fn write_elsewhere(&mut self) {
        self.texts += 1;
        let mut random = Random(self.texts);
        let name = format!("elsewhere{}.png", self.texts);
        self.machine.file(&name, png(2, 2, random.text(300_000).as_bytes()));
        let text = format!("# Elsewhere\n\n![]({name})\n\n{}", random.text(100_000));
        self.machine.file("elsewhere.md", text);
        self.other(&["new", "elsewhere.md"]).ok();
        self.other(&["sync"]).ok();
    }

    /// Every way in which a vault is written to, each with something new to write.
    fn writes(&mut self) -> Vec<(&'static str, Vec<String>)> {
        self.texts += 1;
        let mut random = Random(1000 + self.texts);
        let machine = &self.machine;
        let word = format!("word{}", self.texts);
        let image = png(3, 3, random.text(200_000).as_bytes());
        machine.file(&format!("{word}.png"), &image);
        let long = format!("# {word}\n\n{}", random.text(60_000));
        machine.file(&format!("{word}.md"), long);
        let source = machine.run(&["show", &self.note, "--source"]).ok();
        machine.file("edited.md", format!("{source}\n{word}\n{}", random.text(30_000)));
        fs::create_dir_all(machine.path(&format!("in{word}"))).unwrap();
        machine.file(&format!("in{word}/{word}.md"), format!("# {word}\n![](i.png)\n"));
        machine.file(&format!("in{word}/i.png"), png(4, 4, random.text(150_000).as_bytes()));
        let text = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
        vec![
            ("new", text(&["new", &format!("{word}.md")])),
            ("edit", text(&["edit", &self.note, "edited.md"])),
            ("attach", text(&["attach", &self.note, &format!("{word}.png"), "--offline"])),
            ("import", text(&["import", &format!("in{word}")])),
            ("sync", text(&["sync"])),
        ]
    }

    /// Counts what went well as acknowledged.
    fn acknowledge(&mut self, kind: &str, ran: &Ran) {
        let word = format!("word{}", self.texts);
        match kind {
            "new" => self.ledger.note(ran.stdout.trim(), &word),
            "edit" => self.ledger.note(&self.note, &word),
            _ => {}
        }
    }
}

const FULL: [&str; 2] = ["No space left on device", "did not keep a write"];

#[test]
fn a_full_disk_loses_nothing_and_says_what_to_do() {
    let Some(disk) = Disk::new() else {
        eprintln!("left out: a full tmpfs, which this process may not mount");
        return;
    };
    let mut scene = Scene::new(disk.path().join("vault"));
    let mut failed = std::collections::BTreeMap::new();
    for room in [0, 24] {
        scene.write_elsewhere();
        for (kind, arguments) in scene.writes() {
            disk.fill(room);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let ran = scene.machine.run(&arguments);
            if ran.code == 0 {
                scene.acknowledge(kind, &ran);
            } else {
                *failed.entry(kind).or_insert(0) += 1;
                is_clear(&ran, &FULL);
            }
            // Reading needs no room, or says that it does.
            let read = scene.machine.run(&["show", &scene.note, "--source"]);
            if read.code != 0 {
                is_clear(&read, &FULL);
            }
            disk.empty();
            scene.ledger.check(&scene.vault);
            is_tidy(&scene.vault);
        }
        // With room again, all of it goes well.
        for (kind, arguments) in scene.writes() {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let ran = scene.machine.run(&arguments);
            assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
            scene.acknowledge(kind, &ran);
        }
        verifies(&scene.machine, "vault");
        scene.ledger.check(&scene.vault);
    }
    assert_eq!(failed.len(), 5, "every way of writing met the full disk: {failed:?}");
}

/// A remote that is full loses nothing either.
#[test]
fn a_full_remote_says_what_to_do() {
    let Some(disk) = Disk::new() else {
        eprintln!("left out: a full remote on a tmpfs, which this process may not mount");
        return;
    };
    let machine = Machine::with_vault();
    let remote = disk.path().join("meeting");
    machine.run(&["remote", "add", "origin", &format!("dir:{}", remote.display())]).ok();
    machine.file("a.png", png(1, 1, Random(1).text(100_000).as_bytes()));
    machine.file("a.md", "# A\n![](a.png)\n");
    machine.run(&["new", "a.md"]).ok();
    for room in [0, 4, 64] {
        disk.fill(room);
        let ran = machine.run(&["sync"]);
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
        super::ledger::is_whole(&remote, 0);
        disk.empty();
    }
    machine.run(&["retry"]).ok();
    machine.run(&["sync"]).ok();
    machine.run(&["verify", "--remote", "origin"]).ok();
}

/// What a limit on the size of files refuses is refused as a full disk is; this needs no rights.
#[test]
fn a_limit_on_the_size_of_files_is_like_a_full_disk() {
    let folder = memory();
    let mut scene = Scene::new(folder.path().join("vault"));
    let mut failed = 0;
    for blocks in [16, 128] {
        for (kind, arguments) in scene.writes() {
            let mut limited = Command::new("sh");
            let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
            limited.args(["-c", &script, "sh"]);
            let command = scene.machine.command("vault");
            limited.arg(command.get_program()).args(&arguments).env_clear();
            limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let output = limited.current_dir(scene.machine.path("")).output().unwrap();
            let ran = Ran {
                code: output.status.code().unwrap(),
                stdout: String::from_utf8(output.stdout).unwrap(),
                stderr: String::from_utf8(output.stderr).unwrap(),
            };
            if ran.code == 0 {
                scene.acknowledge(kind, &ran);
            } else {
                failed += 1;
                is_clear(&ran, &["File too large", "did not keep a write"]);
            }
            scene.ledger.check(&scene.vault);
        }
    }
    assert!(failed > 3, "{failed} commands met the limit");
    for (_, arguments) in scene.writes() {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        scene.machine.run(&arguments).ok();
    }
    verifies(&scene.machine, "vault");
}

#[test]
fn a_disk_that_can_not_be_written_to_says_so() {
    let Some(disk) = Disk::new() else {
        eprintln!("left out: a read-only tmpfs, which this process may not mount");
        return;
    };
    let mut scene = Scene::new(disk.path().join("vault"));
    let mut commands = scene.writes();
    for reads in [vec!["list"], vec!["show", "A kept"], vec!["status"], vec!["verify"]] {
        commands.push(("read", reads.into_iter().map(str::to_owned).collect()));
    }
    disk.remount("ro");
    for (_, arguments) in &commands {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ran = scene.machine.run(&arguments);
        is_clear(&ran, &["Read-only file system"]);
        assert!(ran.stderr.contains("--vault"), "{}", ran.stderr);
    }
    // The key can be had all the same, and so can a copy of the vault.
    scene.machine.run(&["key"]).ok();
    let copy = scene.machine.path("copy");
    crate::world::copy_folder(&scene.vault, &copy);
    let show = ["--vault", copy.to_str().unwrap(), "show", "A kept", "--source"];
    assert!(scene.machine.run(&show).ok().contains("kept"));
    disk.remount("rw");
    for (kind, arguments) in scene.writes() {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ran = scene.machine.run(&arguments);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        scene.acknowledge(kind, &ran);
    }
    scene.ledger.check(&scene.vault);
    verifies(&scene.machine, "vault");
}
