//! What every command works with: the vault, the remotes, stdout and stderr.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use everleaf::{
    socket::Door,
    vault::{Options, SyncImages, SyncOptions},
};
use serde::Serialize;

use super::{
    CliError, Result,
    text::{harmless, harmless_json},
};
use crate::config::Config;

pub(super) struct Context {
    pub(super) config: Config,
    pub(super) json: bool,
    pub(super) quiet: bool,
}

impl Context {
    pub(super) const fn new(config: Config, json: bool, quiet: bool) -> Self {
        Self { config, json, quiet }
    }

    /// Opens the vault, or a way to the process that has it.
    pub(super) async fn vault(&self) -> Result<Door> {
        Ok(Door::open(&self.config.vault, &self.options()).await?)
    }

    /// How vaults are opened.
    pub(super) fn options(&self) -> Options {
        Options { image_limit: self.config.image_limit, ..Options::default() }
    }

    /// How syncs are done.
    pub(super) fn sync_options(&self) -> SyncOptions {
        SyncOptions {
            images: SyncImages::All,
            parallel: self.config.parallel,
            ..SyncOptions::default()
        }
    }

    /// Says what came of a command: in JSON, or as `people` writes it.
    pub(super) fn show<T: Serialize>(
        &self,
        value: &T,
        people: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        let said = if self.json {
            let json = serde_json::to_string(value).map_err(io::Error::from);
            json.map(|json| harmless_json(&json) + "\n")
        } else {
            for_people(people)
        };
        write(said.map_err(CliError::Output)?.as_bytes())
    }

    /// Tells people something beside the result, on stderr.
    pub(super) fn tell(&self, text: impl Display) {
        if !self.quiet {
            // Where stderr is gone, there is nobody to tell.
            let _ = writeln!(io::stderr(), "{}", harmless(&text.to_string()));
        }
    }
}

/// Says something to people on stdout, as [`Context::show`] does.
pub(super) fn say(people: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    write(for_people(people).map_err(CliError::Output)?.as_bytes())
}

fn for_people(people: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<String> {
    let mut out = Vec::new();
    people(&mut out).map(|()| harmless(&String::from_utf8_lossy(&out)))
}

/// A path as whoever has the vault understands it.
pub(super) fn path_at(vault: &Door, path: &Path) -> Result<PathBuf> {
    vault.path(path).map_err(CliError::file("find", path))
}

/// Writes a text to stdout as it is, unless a terminal would take parts of it for orders.
pub(super) fn write_text(text: &str) -> Result<()> {
    if io::stdout().is_terminal() {
        return write(harmless(text).as_bytes());
    }
    write(text.as_bytes())
}

/// Writes bytes to stdout as they are.
pub(super) fn write(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(CliError::Output)
}
