//! A machine with nothing on it but the command, for tests that run the real binary.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A machine with nothing on it but the command.
pub(crate) struct Machine {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// What it printed, where it went well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// The JSON that it printed, where it went well.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    /// A machine whose disk is a folder.
    pub(crate) fn within(folder: TempDir) -> Self {
        Self { folder, variables: Vec::new() }
    }

    /// A machine with a vault.
    pub(crate) fn with_vault() -> Self {
        let machine = Self::new();
        machine.run(&["init", "--name", "laptop"]).ok();
        machine
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.into(), value.into()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Writes an executable that can stand for an editor.
    pub(crate) fn script(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        let mut file = fs::OpenOptions::new();
        let mut file = file.write(true).create_new(true).mode(0o700).open(&path).unwrap();
        write!(file, "#!/bin/sh\nset -e\n{text}\n").unwrap();
        path.display().to_string()
    }

    /// The vault of `run`, and of `run_on` with the device's name.
    pub(crate) fn vault(&self, device: &str) -> PathBuf {
        self.path(device)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_on("vault", arguments)
    }

    pub(crate) fn run_on(&self, device: &str, arguments: &[&str]) -> Ran {
        self.run_with(device, arguments, b"")
    }

    pub(crate) fn run_with(&self, device: &str, arguments: &[&str], stdin: &[u8]) -> Ran {
        let mut child = self
            .command(device)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input closes it.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn command(&self, device: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_everleaf"));
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC")
            .env("EVERLEAF_VAULT", self.vault(device))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(self.variables.iter().cloned())
            .current_dir(self.folder.path());
        command
    }

    /// What it said, without what differs from one run to the next.
    pub(crate) fn said(&self, ran: &Ran) -> String {
        let text = format!("exit {}\n{}{}", ran.code, ran.stdout, ran.stderr);
        let text = text.replace(&self.folder.path().display().to_string(), "<dir>");
        let text = text.replace(&format!("process {}", std::process::id()), "process <pid>");
        without_ids(&text)
    }
}

/// Puts `<hex>` for every run of eight or more hexadecimal digits, but for numbers of bytes.
fn without_ids(text: &str) -> String {
    let is_hex = |c: char| c.is_ascii_digit() || matches!(c, 'a'..='f');
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_hex) {
        let (before, from) = rest.split_at(start);
        let (run, after) = from.split_at(from.find(|c| !is_hex(c)).unwrap_or(from.len()));
        let is_size = after.starts_with(" bytes") || before.ends_with("limit of ");
        plain.push_str(before);
        plain.push_str(if run.len() >= 8 && !is_size { "<hex>" } else { run });
        rest = after;
    }
    plain + rest
}
