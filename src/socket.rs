//! The socket of a vault: what another process may ask while this one has the vault open.
//!
//! One process at a time has a vault. One that keeps it for long (`sync --watch`, a page, an app)
//! [serves](serve) the socket `VAULT/socket`, and whoever finds the vault taken asks there instead:
//! [`Door::open`] gives the vault or a way to it, and [`Door::ask`] works alike with both.
//!
//! The socket is for this machine and this user. Lines of JSON go over it; any program can ask:
//!
//! ```text
//! ← {"protocol":1,"version":"0.1.0","process":4711}
//! → {"call":"find","with":{"query":"Bread"}}
//! ← {"answer":"0198c2f4a1…"}
//! → {"call":"sync","with":{}}
//! ← {"progress":{"sync":{"pulling":2}}}            any number of these
//! ← {"answer":{"remote":"origin","report":{…}}}
//! → {"call":"find","with":{"query":"Bred"}}
//! ← {"error":{"message":"no note is called `Bred`","hint":"…","offline":false}}
//! ```
//!
//! The calls are those of the façade, as values: see [`calls`]. A call that its asker no longer waits
//! for is left if it is a sync, which goes on the next time; any other comes to its end.

pub mod calls;
mod client;
mod path;
mod server;

use std::{
    fmt,
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use self::client::Client;
pub use self::server::serve;
use crate::{
    db::DbError,
    folder,
    vault::{Checking, Options, Progress, Vault, VaultError},
};

/// The version of what goes over a socket.
const PROTOCOL: u32 = 1;
/// How long to wait before the next look, and for an answer where nobody wants to wait at all.
const MOMENT: Duration = Duration::from_millis(100);
/// The longest line, in bytes: the longest note, escaped as JSON may have to.
const LINE_LIMIT: u64 = 128 << 20;

/// One of the façade's calls, as a value.
pub trait Call: Serialize + DeserializeOwned + Send + 'static {
    /// What the call is called.
    const NAME: &'static str;
    /// What comes of it.
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// Makes the call.
    fn call(
        self,
        vault: Vault,
        tell: Tell,
    ) -> impl Future<Output = Result<Self::Answer, VaultError>> + Send;
}

/// How a long call is going; for whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// A sync.
    Sync(Progress),
    /// An import or an export.
    Folder(folder::Progress),
    /// A check of the vault.
    Check(Checking),
}

/// Is told of every step.
pub type Tell = Arc<dyn Fn(Step) + Send + Sync>;

/// Whether a call that may be asked for again got through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The vault is here, and could not.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The process that has the vault could not.
    #[error("{0}")]
    Refused(Refusal),
    /// The process that has the vault does not answer, or nothing that makes sense.
    #[error("process {process} has the vault, and could not be asked")]
    Lost {
        /// Its number.
        process: u32,
        /// Why.
        source: io::Error,
    },
    /// The process that has the vault is of another version.
    #[error("process {process} has the vault, and is everleaf {version}")]
    OtherVersion {
        /// Its number.
        process: u32,
        /// Its version.
        version: String,
    },
}

/// Why the process that has the vault could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong, causes included, in one line.
    pub message: String,
    /// What a person can do about it, where there is something.
    pub hint: Option<String>,
    /// Whether it is only that a remote is away: no network, or a disk that is not connected.
    pub offline: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Refusal {
    fn new(error: &VaultError) -> Self {
        Self { message: crate::vault::chain(error), hint: error.hint(), offline: is_offline(error) }
    }
}

const fn is_offline(error: &VaultError) -> bool {
    matches!(error, VaultError::Remote { source, .. } if source.is_away())
}

impl AskError {
    /// What a person can do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Vault(error) => error.hint(),
            Self::Refused(refusal) => refusal.hint.clone(),
            Self::Lost { process: process @ 1.., source }
                if source.kind() == io::ErrorKind::TimedOut =>
            {
                Some(format!(
                    "where it is suspended, `kill -CONT {process}` lets it go on; or end that process"
                ))
            }
            Self::Lost { .. } => Some("try again, or end that process".into()),
            Self::OtherVersion { .. } => Some("end that process, or use its version".into()),
        }
    }

    /// Whether it is only that a remote is away: no network, or a disk that is not connected.
    #[must_use]
    pub const fn is_offline(&self) -> bool {
        match self {
            Self::Vault(error) => is_offline(error),
            Self::Refused(refusal) => refusal.offline,
            Self::Lost { .. } | Self::OtherVersion { .. } => false,
        }
    }

    /// Whether another process has the vault and can't be asked, now.
    #[must_use]
    pub const fn is_taken(&self) -> bool {
        matches!(self, Self::Vault(VaultError::Db(DbError::Locked { .. })) | Self::Lost { .. })
    }
}

/// A vault, or a way to the process that has it.
#[derive(Debug)]
pub enum Door {
    /// This process has the vault.
    Here(Vault),
    /// Another has it, and answers.
    There(There),
}

/// The process that has a vault.
#[derive(Debug)]
pub struct There(tokio::sync::Mutex<Client>);

impl Door {
    /// Opens the vault in `folder`, or a way to the process that has it. While another has it and does
    /// not answer, waits as long as `options` say.
    ///
    /// # Errors
    ///
    /// What [`Vault::open`] says, [`AskError::OtherVersion`], and [`AskError::Lost`] where whoever has it
    /// takes the connection and says nothing.
    pub async fn open(folder: &Path, options: &Options) -> Result<Self, AskError> {
        let started = Instant::now();
        let left = || options.patience.saturating_sub(started.elapsed());
        loop {
            if let Some(client) = Client::connect(folder, left().max(MOMENT)).await? {
                return Ok(Self::There(There(tokio::sync::Mutex::new(client))));
            }
            let left = left();
            // Whoever has it may be about to listen.
            let patience = left.min(MOMENT);
            let (folder, options) = (folder.to_path_buf(), Options { patience, ..options.clone() });
            let opened = tokio::task::spawn_blocking(move || Vault::open(&folder, options)).await;
            match opened.map_err(|error| VaultError::Interrupted(error.to_string()))? {
                Err(VaultError::Db(DbError::Locked { .. })) if left > patience => {}
                opened => return Ok(Self::Here(opened?)),
            }
        }
    }

    /// Makes a call, and gives what came of it.
    ///
    /// # Errors
    ///
    /// What the call says, and where the process that has the vault can't be asked.
    pub async fn ask<C: Call>(&self, call: C) -> Result<C::Answer, AskError> {
        self.ask_telling(call, Arc::new(|_| ())).await
    }

    /// The same for a call that may take long: `tell` is told how it is going.
    ///
    /// # Errors
    ///
    /// As [`Door::ask`].
    pub async fn ask_telling<C: Call>(&self, call: C, tell: Tell) -> Result<C::Answer, AskError> {
        match self {
            Self::Here(vault) => Ok(call.call(vault.clone(), tell).await?),
            Self::There(There(client)) => client.lock().await.ask(call, &*tell).await,
        }
    }

    /// A path as whoever has the vault understands it, whose working folder may be another.
    ///
    /// # Errors
    ///
    /// Where there is no working folder.
    pub fn path(&self, path: &Path) -> io::Result<PathBuf> {
        match self {
            Self::Here(_) => Ok(path.to_path_buf()),
            Self::There(_) => std::path::absolute(path),
        }
    }

    /// The number of the process that has the vault, where that is another.
    pub async fn process(&self) -> Option<u32> {
        match self {
            Self::Here(_) => None,
            Self::There(There(client)) => Some(client.lock().await.process()),
        }
    }
}

/// What is said first.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    protocol: u32,
    version: String,
    process: u32,
}

/// A call on its way.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    call: String,
    #[serde(default)]
    with: Box<serde_json::value::RawValue>,
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told<A> {
    Progress(Step),
    Answer(A),
    Error(Refusal),
}
