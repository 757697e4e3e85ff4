//! What a command could not do, and how people and programs are told.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use everleaf::{
    demo::DemoError,
    remote::RemoteError,
    socket::AskError,
    vault::{VaultError, chain},
    web::WebError,
};
use serde_json::json;

use super::{
    hint::in_commands,
    text::{harmless, harmless_json},
};
use crate::config::ConfigError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The library could not.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The vault could not, here or in the process that has it.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Another process does already what this one was to do for long.
    #[error("process {process} has the vault, and syncs it")]
    Served {
        /// Its number.
        process: u32,
        /// What a person can do about it.
        hint: &'static str,
    },
    /// The demonstration could not go on.
    #[error("the demonstration could not go on")]
    Demo(#[source] DemoError),
    /// The page could not be served.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The browser could not be started.
    #[error("could not start the browser with `{command}`")]
    Browser {
        /// What was run.
        command: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The environment makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What is to be logged makes no sense.
    #[error("{name} says nothing that can be logged")]
    LogFilter {
        /// The variable.
        name: &'static str,
        /// Why.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process could not start its threads.
    #[error("could not start")]
    Runtime(#[source] io::Error),
    /// A file could not be used.
    #[error("could not {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The hub's data can't be used.
    #[error("the hub's data can't be used")]
    HubData(#[source] RemoteError),
    /// The hub can't listen.
    #[error("could not listen on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody could use the hub.
    #[error("nobody could use this hub")]
    NobodyAllowed,
    /// Stdout does not take what is written.
    #[error("could not write to standard output")]
    Output(#[source] io::Error),
    /// There is nothing to write a note with.
    #[error("no editor is set")]
    NoEditor,
    /// The editor could not be run.
    #[error("could not run the editor `{command}`")]
    Editor {
        /// What was run.
        command: String,
        /// Why not.
        source: io::Error,
    },
    /// The editor said that it failed.
    #[error("the editor `{command}` ended with {status}")]
    EditorFailed {
        /// What was run.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// The editor was left without a text.
    #[error("nothing was written, so no note was made")]
    NothingWritten,
    /// A remote was to be at several places, and is no hub.
    #[error("a remote is at one place, and `{0}` is another")]
    TwoPlaces(String),
    /// A note was to become empty, as where what should have written the text failed.
    #[error("the new text is empty, so nothing was changed")]
    Emptied,
    /// A text was written and could not be taken in.
    #[error("the text was not taken in")]
    Kept {
        /// Where the text is kept.
        path: PathBuf,
        /// Why.
        source: Box<CliError>,
    },
}

impl CliError {
    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// What a person can do about it, where there is something.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Vault(error) => error.hint().map(in_commands),
            Self::Ask(error) => error.hint().map(in_commands),
            Self::Served { hint, .. } => Some((*hint).into()),
            Self::Config(ConfigError::NoHome) => {
                Some("name the folder of the vault with --vault".into())
            }
            Self::HubData(RemoteError::NoDirectory { .. }) => {
                Some("connect its disk, or make the folder that it is to be in".into())
            }
            Self::NobodyAllowed => Some(
                "name the vaults with --allow (`everleaf --json status` shows their ids), or let \
                 anybody bring one with --allow-new"
                    .into(),
            ),
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("another program listens there; name another port with --listen".into())
            }
            Self::Web(WebError::Port { .. }) => {
                Some("name another with --port; 0 takes a free one".into())
            }
            Self::NoEditor => Some("set $EDITOR, or name a file; `-` is standard input".into()),
            Self::TwoPlaces(_) => {
                Some("give the other a name of its own with `everleaf remote add`".into())
            }
            Self::Emptied => Some("`everleaf trash` throws a note away".into()),
            Self::Kept { path, source } => {
                let kept = format!("your text is kept in {}", path.display());
                Some(source.hint().map_or(kept.clone(), |hint| format!("{hint}; {kept}")))
            }
            _ => None,
        }
    }

    /// Whether whoever read stdout has read enough.
    fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Says on stderr why a command failed.
pub(super) fn report(error: &CliError, json: bool) -> ExitCode {
    if error.is_broken_pipe() {
        return ExitCode::SUCCESS;
    }
    let (message, hint) = (chain(error), error.hint());
    if json {
        write_json(&message, hint.as_deref());
    } else {
        let hint = hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
        // Nobody is left to be told where even this can't be written.
        let _ = io::stderr().write_all(harmless(&format!("error: {message}\n{hint}")).as_bytes());
    }
    ExitCode::FAILURE
}

/// Writes an error to stderr as one line of JSON.
pub(super) fn write_json(message: &str, hint: Option<&str>) {
    let line = json!({ "error": message, "hint": hint }).to_string();
    let _ = writeln!(io::stderr(), "{}", harmless_json(&line));
}
