//! SIGKILL at random moments, again and again on the same vault.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use everleaf::{clock::SystemClock, loopback::Loopback};
use serde_json::Value;

use super::{
    Random,
    ledger::{Ledger, is_tidy, is_whole, verifies},
    machine, number,
    worker::{self, Running},
};
use crate::{image::png, machine::Machine};

/// How many kills the worker and the command survive in an ordinary run. `EVERLEAF_KILLS` sets how many
/// in the long one.
const KILLS: u64 = 30;
/// After so many kills a long run goes on with a new vault, since every check reads all of it.
const ONE_VAULT: u64 = 250;

/// How many temporary files kills may leave in a directory until the next process puts something there:
/// those of two that were stopped with all uploads under way.
const IN_FLIGHT: usize = 20;

fn meeting(machine: &Machine) -> PathBuf {
    machine.path("meeting")
}

fn key(machine: &Machine) -> String {
    machine.run(&["key"]).ok().trim().to_owned()
}

/// Kills workers; gives how many were still at work, and how much had been acknowledged.
fn kill_workers(seed: u64, kills: u64) -> (u64, u64) {
    let machine = machine();
    let home = machine.path("");
    let mut ledger = Ledger::default();
    let mut random = Random(seed);
    let mut killed = 0;
    for round in 0..kills {
        let command = worker::command(&home, random.next() >> 16, 60);
        // Some die while they open the vault, most in the middle of something.
        let lines = random.below(8);
        let then = Duration::from_micros(random.below(12_000));
        let (lines, was_running) = Running::start(command).kill_after(lines, then);
        let mut new = Ledger::default();
        new.read(&lines);
        ledger.read(&lines);
        killed += u64::from(was_running);
        // All of it now and then, since that takes long; the next process may well be a killed one too.
        match round % 8 {
            7 => {
                verifies(&machine, "vault");
                is_tidy(&machine.vault("vault"));
                is_whole(&meeting(&machine), IN_FLIGHT);
                ledger.check(&machine.vault("vault"));
            }
            round if round % 2 == 0 => new.check(&machine.vault("vault")),
            _ => {}
        }
    }
    machine.run(&["sync"]).ok();
    is_whole(&meeting(&machine), 0);
    ledger.check_by_command(&machine, "vault");
    let key = key(&machine);
    let url = format!("dir:{}", meeting(&machine).display());
    machine.run_with("fresh", &["join", &url, "--key", "-"], key.as_bytes()).ok();
    verifies(&machine, "fresh");
    ledger.check(&machine.vault("fresh"));
    (killed, ledger.count)
}

#[test]
fn a_program_that_is_killed_again_and_again_keeps_what_it_acknowledged() {
    let (killed, acknowledged) = kill_workers(1, KILLS);
    assert!(killed > KILLS / 2 && acknowledged > KILLS, "{killed} kills, {acknowledged} things");
}

#[test]
#[ignore = "thousands of kills; EVERLEAF_KILLS says how many, EVERLEAF_FROM the first seed"]
fn a_program_survives_thousands_of_kills() {
    let (kills, from) = (number("EVERLEAF_KILLS", 2000), number("EVERLEAF_FROM", 10));
    let (mut killed, mut acknowledged) = (0, 0);
    for seed in from.. {
        let (k, a) = kill_workers(seed, ONE_VAULT.min(kills - killed));
        (killed, acknowledged) = (killed + k, acknowledged + a);
        eprintln!("seed {seed}: {killed} kills survived, {acknowledged} things acknowledged");
        if killed >= kills {
            break;
        }
    }
}

/// The command under attack: what is run next, on which notes, and how long each takes.
struct Attack<'a> {
    machine: &'a Machine,
    ledger: Ledger,
    random: Random,
    /// What was imported, by the names of their folders; true once that was acknowledged.
    imports: Vec<(String, bool)>,
    made: u64,
    killed: u64,
    runs: u64,
    /// The time that each command took when it was not killed.
    usual: std::collections::BTreeMap<&'static str, Duration>,
}

impl Attack<'_> {
    fn word(&mut self) -> String {
        self.made += 1;
        format!("k{}", self.made)
    }

    /// Runs a command and kills it at a random moment, once it is known how long it takes. Gives what
    /// it answered, if it came to that.
    fn run(&mut self, kind: &'static str, device: &str, arguments: &[&str]) -> Option<Value> {
        self.runs += 1;
        let mut command = self.machine.command(device);
        command.arg("--json").args(arguments);
        let Some(usual) = self.usual.get(kind).copied() else {
            let started = Instant::now();
            let ran = self.machine.run_on(device, &[&["--json"], arguments].concat());
            self.usual.insert(kind, started.elapsed());
            return Some(ran.json());
        };
        let micros = u64::try_from(usual.as_micros()).unwrap();
        let moment = Duration::from_micros(self.random.below(micros + micros / 8));
        let (lines, was_killed) = Running::start(command).kill_after(0, moment);
        self.killed += u64::from(was_killed);
        // A line without its end was cut off.
        let line = lines.first().filter(|line| line.ends_with('\n'))?;
        Some(serde_json::from_str(line).unwrap())
    }

    fn image(&mut self, folder: &str, bytes: usize) -> (String, String) {
        let word = self.word();
        let noise = self.random.text(bytes);
        let bytes = png(7, 8, (word.clone() + &noise).as_bytes());
        let hash = blake3::hash(&bytes).to_hex().to_string();
        let name = format!("{word}.png");
        fs::create_dir_all(self.machine.path(folder)).unwrap();
        fs::write(self.machine.path(folder).join(&name), bytes).unwrap();
        (name, hash)
    }

    fn new_note(&mut self) {
        let (image, hash) = self.image("files", 20_000);
        let word = self.word();
        let path =
            self.machine.file(&format!("files/{word}.md"), format!("# {word}\n![]({image})\n"));
        if let Some(answer) = self.run("new", "vault", &["new", path.to_str().unwrap()]) {
            self.ledger.note(answer["note"].as_str().unwrap(), &word);
            self.ledger.image(&hash);
        }
    }

    /// A note of which something was acknowledged.
    fn some_note(&mut self) -> String {
        let index = self.random.index(self.ledger.notes.len());
        self.ledger.notes.keys().nth(index).unwrap().to_string()
    }

    fn edit(&mut self) {
        let note = self.some_note();
        let source = self.machine.run(&["show", &note, "--source"]).ok();
        let word = self.word();
        let file = self.machine.file("edited.md", format!("{source}\n{word}\n"));
        if self.run("edit", "vault", &["edit", &note, file.to_str().unwrap()]).is_some() {
            self.ledger.note(&note, &word);
        }
    }

    fn attach(&mut self, kind: &'static str, more: &[&str]) {
        let note = self.some_note();
        let (image, hash) = self.image("files", 200_000);
        let image = format!("files/{image}");
        let arguments = [&["attach", &note, &image], more].concat();
        if self.run(kind, "vault", &arguments).is_some() {
            self.ledger.image(&hash);
        }
    }

    fn import(&mut self) {
        let unfinished = self.imports.iter().position(|(_, done)| !done);
        let index = unfinished.unwrap_or_else(|| {
            let name = self.word();
            let folder = format!("import-{name}/{name}");
            for _ in 0..12 {
                let (image, _) = self.image(&folder, 30_000);
                let text = format!("# {image}\n![]({image})\n");
                self.machine.file(&format!("{folder}/{image}.md"), text);
            }
            self.imports.push((name, false));
            self.imports.len() - 1
        });
        let name = self.imports[index].0.clone();
        let folder = format!("import-{name}");
        if self.run("import", "vault", &["import", &folder]).is_some() {
            self.imports[index].1 = true;
            for row in self.machine.run(&["--json", "list"]).json().as_array().unwrap() {
                let Some(path) = row["path"].as_str() else { continue };
                if let Some(path) = path.strip_prefix(&format!("{name}/")) {
                    let word = path.strip_suffix(".md").unwrap();
                    self.ledger.note(row["note"].as_str().unwrap(), word);
                    let bytes = fs::read(self.machine.path(&folder).join(&name).join(word));
                    self.ledger.image(blake3::hash(&bytes.unwrap()).to_hex().as_ref());
                }
            }
        }
    }

    fn act(&mut self) {
        match self.random.below(14) {
            0..2 => self.new_note(),
            2..4 => self.edit(),
            4..6 => self.attach("attach", &["--offline"]),
            6..9 => self.import(),
            9..11 => drop(self.run("sync to a folder", "vault", &["sync", "origin"])),
            11..13 => drop(self.run("sync to a store", "vault", &["sync", "r2"])),
            _ => drop(self.run("verify", "vault", &["verify"])),
        }
    }

    /// No import made a note twice, however often it was begun anew.
    fn check_paths(&self) {
        let list = self.machine.run(&["--json", "list"]).json();
        let mut paths: Vec<&str> =
            list.as_array().unwrap().iter().filter_map(|row| row["path"].as_str()).collect();
        let before = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), before, "an import made a note twice");
    }
}

/// Kills commands; gives how many were still running, and how much had been acknowledged.
async fn kill_commands(seed: u64, kills: u64) -> (u64, u64) {
    let store = Loopback::start(Arc::new(SystemClock)).await.unwrap();
    store.set_public(true);
    let mut machine = machine();
    machine.set("AWS_ACCESS_KEY_ID", Loopback::access_key());
    machine.set("AWS_SECRET_ACCESS_KEY", Loopback::secret_key());
    let url = format!("s3://{}/notes", Loopback::bucket());
    let (endpoint, public) = (store.endpoint(), format!("{}/notes", store.public_url()));
    let there = ["--endpoint", &endpoint, "--public-url", &public];
    machine.run(&[&["remote", "add", "r2", &url], &there[..]].concat()).ok();
    let mut attack = Attack {
        machine: &machine,
        ledger: Ledger::default(),
        random: Random(seed),
        imports: Vec::new(),
        made: 0,
        killed: 0,
        runs: 0,
        usual: std::collections::BTreeMap::new(),
    };
    attack.new_note();
    attack.new_note();
    while attack.killed < kills && attack.runs < 4 * kills {
        attack.act();
        if attack.runs.is_multiple_of(8) {
            verifies(&machine, "vault");
            is_tidy(&machine.vault("vault"));
            is_whole(&meeting(&machine), IN_FLIGHT);
            attack.ledger.check(&machine.vault("vault"));
        }
    }
    attack.ledger.check(&machine.vault("vault"));
    attack.check_paths();
    let folders: Vec<String> = attack.imports.iter().map(|(n, _)| format!("import-{n}")).collect();
    for folder in folders {
        machine.run(&["import", &folder]).ok();
    }
    attack.check_paths();
    machine.run(&["sync", "origin"]).ok();
    machine.run(&["sync", "r2"]).ok();
    verifies(&machine, "vault");
    machine.run(&["verify", "--remote", "origin"]).ok();
    machine.run(&["verify", "--remote", "r2"]).ok();
    is_whole(&meeting(&machine), 0);
    for (name, object) in store.objects() {
        if let Some(named) = name.strip_prefix("notes/images/") {
            let hash = blake3::hash(&object.bytes).to_hex();
            assert!(named.starts_with(&*hash), "{name} is not whole");
        }
    }
    let key = key(&machine);
    let directory = format!("dir:{}", meeting(&machine).display());
    let join = |device: &str, arguments: &[&str]| {
        let arguments = [&["join"], arguments, &["--key", "-"]].concat();
        machine.run_with(device, &arguments, key.as_bytes()).ok();
        verifies(&machine, device);
        attack.ledger.check(&machine.vault(device));
    };
    join("of-the-folder", &[&directory]);
    join("of-the-store", &[&[url.as_str()], &there[..]].concat());
    attack.ledger.check_by_command(&machine, "of-the-store");
    (attack.killed, attack.ledger.count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_killed_again_and_again_keeps_what_it_acknowledged() {
    let (killed, acknowledged) = kill_commands(2, KILLS).await;
    assert!(killed > KILLS / 2 && acknowledged > 0, "{killed} kills, {acknowledged} things");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "thousands of kills; EVERLEAF_KILLS says how many, EVERLEAF_FROM the first seed"]
async fn commands_survive_thousands_of_kills() {
    let (kills, from) = (number("EVERLEAF_KILLS", 1000), number("EVERLEAF_FROM", 10));
    let (mut killed, mut acknowledged) = (0, 0);
    for seed in from.. {
        let (k, a) = kill_commands(seed, ONE_VAULT.min(kills - killed)).await;
        (killed, acknowledged) = (killed + k, acknowledged + a);
        eprintln!("seed {seed}: {killed} kills survived, {acknowledged} things acknowledged");
        if killed >= kills {
            break;
        }
    }
}

/// Where several make a vault in one folder, one does, and the others are told.
#[test]
fn of_several_inits_at_once_one_makes_the_vault() {
    let machine = Machine::new();
    let children: Vec<_> = (0..4)
        .map(|_| {
            let mut init = machine.command("vault");
            init.args(["--json", "init"]).stdout(Stdio::piped()).stderr(Stdio::piped());
            init.spawn().unwrap()
        })
        .collect();
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    let (made, told): (Vec<_>, Vec<_>) = outputs.partition(|output| output.status.success());
    assert_eq!((made.len(), told.len()), (1, 3));
    for output in told {
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("there is a vault in") || text.contains("is open in"), "{text}");
    }
    let key = serde_json::from_slice::<Value>(&made[0].stdout).unwrap()["key"].clone();
    assert_eq!(machine.run(&["--json", "key"]).json()["key"], key);
    verifies(&machine, "vault");
}

/// A folder with something else in it is left as it is, its permissions too.
#[test]
fn a_folder_of_others_is_not_touched() {
    let machine = Machine::new();
    fs::create_dir(machine.path("vault")).unwrap();
    fs::set_permissions(machine.path("vault"), fs::Permissions::from_mode(0o755)).unwrap();
    machine.file("vault/letter.txt", "Dear");
    assert_eq!(machine.run(&["init"]).code, 1);
    let mode = fs::metadata(machine.path("vault")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    assert_eq!(fs::read_dir(machine.path("vault")).unwrap().count(), 1);
}

/// What a killed process was writing is cleared away by the next.
#[test]
fn what_was_half_written_is_cleared_away() {
    let machine = Machine::with_vault();
    fs::create_dir_all(machine.path("vault/tmp/verify-x/db")).unwrap();
    fs::create_dir_all(machine.path("vault/folders")).unwrap();
    for name in ["tmp/image-x", "folders/.everleaf-x", "db/keyspaces/1/.tmpx", "open"] {
        machine.file(&format!("vault/{name}"), "half");
    }
    machine.run(&["list"]).ok();
    is_tidy(&machine.vault("vault"));
    let new = Machine::new();
    fs::create_dir(new.path("vault")).unwrap();
    for name in ["key.new", "key", "vault.new", "lock"] {
        new.file(&format!("vault/{name}"), "half");
    }
    new.run(&["init"]).ok();
    is_tidy(&new.vault("vault"));
}

/// `init` and `join` are begun anew where they were cut off, however often.
#[test]
fn a_vault_that_was_killed_while_it_was_made_can_be_made_again() {
    let machine = machine();
    machine.file("a.png", png(1, 1, b"a"));
    machine.file("a.md", "# A\n![](a.png)\n");
    machine.run(&["new", "a.md"]).ok();
    machine.run(&["sync"]).ok();
    let (key, url) = (key(&machine), format!("dir:{}", meeting(&machine).display()));
    let mut random = Random(3);
    for (round, arguments) in
        [vec!["init"], vec!["join", &url, "--key", &key]].into_iter().cycle().take(16).enumerate()
    {
        let device = format!("new{}", round % 2);
        let started = Instant::now();
        let trial = format!("trial{round}");
        machine.run_on(&trial, &arguments).ok();
        let usual = u64::try_from(started.elapsed().as_micros()).unwrap();
        let mut command: Command = machine.command(&device);
        command.args(&arguments).stdin(Stdio::null());
        let moment = Duration::from_micros(random.below(usual));
        Running::start(command).kill_after(0, moment);
        if machine.vault(&device).join("vault.json").exists() {
            // It came that far: it is a vault, if one that has not heard of the remote yet.
            verifies(&machine, &device);
            is_tidy(&machine.vault(&device));
            fs::remove_dir_all(machine.vault(&device)).unwrap();
        }
    }
    for (device, arguments) in [("new0", vec!["init"]), ("new1", vec!["join", &url, "--key", &key])]
    {
        machine.run_on(device, &arguments).ok();
        verifies(&machine, device);
        is_tidy(&machine.vault(device));
    }
    assert_eq!(machine.run_on("new1", &["show", "A", "--source"]).ok(), "# A\n![](a.png)\n");
}
