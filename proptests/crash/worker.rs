//! The process that is killed: the library at work, saying what it did once it was done.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use everleaf::{
    folder::{self, ImportOptions},
    id::NoteId,
    vault::{NewNote, Options, SyncOptions, Vault, VaultError},
};

use super::Random;
use crate::image::png;

const HOME: &str = "EVERLEAF_CRASH_HOME";
const SEED: &str = "EVERLEAF_CRASH_SEED";
const ACTS: &str = "EVERLEAF_CRASH_ACTS";

/// This test binary as the worker on the vault in `home/vault`; it ends by itself after `acts`.
pub(super) fn command(home: &Path, seed: u64, acts: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::worker::work", "--ignored", "--nocapture", "--test-threads=1"])
        .env(HOME, home)
        .env(SEED, seed.to_string())
        .env(ACTS, acts.to_string());
    command
}

/// A child, and the lines that it has written.
pub(super) struct Running {
    pub(super) child: Child,
    lines: Receiver<String>,
    read: Vec<String>,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                // Whoever listens may have heard enough.
                let _ = sender.send(std::mem::take(&mut line));
            }
        });
        Self { child, lines, read: Vec::new() }
    }

    /// Lets it write so many lines, then run for a while, and kills it. Gives all that it wrote, and
    /// whether it was still running.
    pub(super) fn kill_after(mut self, lines: u64, then: Duration) -> (Vec<String>, bool) {
        for _ in 0..lines {
            match self.lines.recv() {
                Ok(line) => self.read.push(line),
                Err(_) => break,
            }
        }
        let until = Instant::now() + then;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.read.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        // One that has ended is not killed any more.
        let _ = self.child.kill();
        let status = self.child.wait().unwrap();
        self.read.extend(self.lines.iter());
        (self.read, status.code().is_none())
    }

    /// Waits for its end. Gives all that it wrote, and whether it says that all went well.
    pub(super) fn finish(mut self) -> (Vec<String>, bool) {
        self.read.extend(self.lines.iter());
        (self.read, self.child.wait().unwrap().success())
    }
}

struct Worker<'a> {
    home: &'a Path,
    seed: u64,
    vault: Vault,
    random: Random,
    notes: Vec<NoteId>,
    made: u64,
}

#[test]
#[ignore = "the process that other tests start and kill"]
fn work() {
    let Some(home) = std::env::var_os(HOME) else { return };
    let home = Path::new(&home);
    let seed = super::number(SEED, 0);
    // The test runner has begun a line.
    say("");
    let Ok(vault) = Vault::open(&home.join("vault"), Options::default()) else {
        say("REFUSED .");
        return;
    };
    let notes = vault.list().unwrap().iter().map(|row| row.note).collect();
    let mut worker = Worker { home, seed, vault, random: Random(seed), notes, made: 0 };
    say("OPEN .");
    for _ in 0..super::number(ACTS, 1) {
        match worker.act() {
            Ok(lines) => say(&lines),
            Err(error) => say(&format!("FAILED {error} .")),
        }
    }
}

/// Writes at once: what is acknowledged must not wait in a buffer for the kill.
fn say(lines: &str) {
    std::io::stdout().lock().write_all(format!("{lines}\n").as_bytes()).unwrap();
}

impl Worker<'_> {
    fn word(&mut self) -> String {
        self.made += 1;
        format!("w{}x{}", self.seed, self.made)
    }

    fn image(&mut self) -> (std::path::PathBuf, String) {
        let word = self.word();
        let size = 1 << self.random.below(18);
        let bytes = png(3, 4, (word.clone() + &self.random.text(size)).as_bytes());
        let path = self.home.join("files").join(format!("{word}.png"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        (path, format!("{word}.png"))
    }

    fn some_note(&mut self) -> Option<NoteId> {
        let index = self.random.index(self.notes.len());
        self.notes.get(index).copied()
    }

    /// Does something, and says what, a line for each thing that now has to last.
    fn act(&mut self) -> Result<String, VaultError> {
        match self.random.below(12) {
            0..3 => self.new_note(),
            3..7 => self.edit(),
            7..9 => self.attach(),
            9 => self.import(),
            _ => self.sync(),
        }
    }

    fn new_note(&mut self) -> Result<String, VaultError> {
        let (path, name) = self.image();
        let word = self.word();
        let size = 1 << self.random.below(17);
        let source = format!("# {word}\n\n![]({name})\n\n{}", self.random.text(size));
        let image = blake3::hash(&fs::read(&path).unwrap()).to_hex();
        let folder = path.parent().map(Path::to_path_buf);
        let note = self.vault.new_note(&NewNote { source, path: None, folder })?;
        self.notes.push(note);
        Ok(format!("ACK note {note} {word} .\nACK image {image} ."))
    }

    fn edit(&mut self) -> Result<String, VaultError> {
        let Some(note) = self.some_note() else { return self.new_note() };
        let word = self.word();
        let reading = self.vault.read(note, None)?;
        let source = reading.body.source() + "\n" + &word + "\n";
        self.vault.edit(note, &reading.heads, &source, None)?;
        Ok(format!("ACK note {note} {word} ."))
    }

    fn attach(&mut self) -> Result<String, VaultError> {
        let Some(note) = self.some_note() else { return self.new_note() };
        let (first, _) = self.image();
        let (second, _) = self.image();
        let attached = self.vault.attach(note, &[first, second], None)?;
        let lines: Vec<_> = attached.iter().map(|a| format!("ACK image {} .", a.image)).collect();
        Ok(lines.join("\n"))
    }

    fn import(&mut self) -> Result<String, VaultError> {
        let top = self.word();
        let from = self.home.join("import").join(&top);
        fs::create_dir_all(from.join(&top)).unwrap();
        let mut lines = Vec::new();
        let mut words = Vec::new();
        for _ in 0..4 {
            let word = self.word();
            let bytes = png(5, 6, (word.clone() + &self.random.text(3000)).as_bytes());
            lines.push(format!("ACK image {} .", blake3::hash(&bytes).to_hex()));
            fs::write(from.join(&top).join(format!("{word}.png")), bytes).unwrap();
            let text = format!("# {word}\n\n![]({word}.png)\n");
            fs::write(from.join(&top).join(format!("{word}.md")), text).unwrap();
            words.push(word);
        }
        folder::import(&self.vault, &from, &ImportOptions::default(), &|_| ())?;
        let list = self.vault.list()?;
        for word in words {
            let path = format!("{top}/{word}.md");
            let row = list.iter().find(|row| row.path.as_deref() == Some(&*path)).unwrap();
            lines.push(format!("ACK note {} {word} .", row.note));
        }
        Ok(lines.join("\n"))
    }

    fn sync(&self) -> Result<String, VaultError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (name, mut options) = self.vault.remote(None)?;
            // In a copy of a home, its own.
            options.url = format!("dir:{}", self.home.join("meeting").display());
            let remote = everleaf::remote::open(&options, self.vault.key())
                .await
                .map_err(|source| VaultError::Remote { remote: name.clone(), source })?;
            self.vault.sync(&name, remote, &SyncOptions::default(), &|_| ()).await
        })?;
        Ok("SYNCED .".to_owned())
    }
}
