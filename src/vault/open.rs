//! Making a vault, and opening it.

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{Inner, Vault, VaultError, cache::Cache, error::chain};
use crate::{
    clock::{Clock, SystemClock, random},
    crash,
    db::{Db, sync_folder},
    event::{Event, RenewReason},
    id::DeviceId,
    images::Images,
    log::{Log, Opened},
    mutant::{self, Mutant},
    projection::{self, Projections},
    seal::VaultKey,
    segment::{VaultFile, VaultFileError},
};

/// How a vault is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The largest image that is taken in, in bytes. Default: 256 MiB.
    pub image_limit: u64,
    /// How long to wait for another process to close the vault. Default: 3 seconds.
    pub patience: Duration,
    /// Where time and randomness come from. Default: the machine.
    pub clock: Arc<dyn Clock>,
    /// Whether what blocks runs where it is asked for, so that a simulation of several devices in one
    /// thread always takes the same course. Default: no, it runs on threads that may block.
    pub inline: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            image_limit: 256 << 20,
            patience: Duration::from_secs(3),
            clock: Arc::new(SystemClock),
            inline: false,
        }
    }
}

const VAULT_FILE: &str = "vault.json";
const KEY_FILE: &str = "key";
/// More than any `vault.json` or key takes.
const SMALL_FILE: u64 = 64 << 10;

impl Vault {
    /// Makes a vault in `folder`, on a device that people call `name`, and opens it. With a `key`,
    /// this is another device of the vault that the key is of; without, the vault is new.
    ///
    /// # Errors
    ///
    /// [`VaultError::Exists`] or [`VaultError::NotEmpty`] where something is there.
    pub fn create(
        folder: &Path,
        name: &str,
        key: Option<VaultKey>,
        options: Options,
    ) -> Result<Self, VaultError> {
        prepare(folder)?;
        let key = key.unwrap_or_else(|| VaultKey::generate(&*options.clock));
        let vault = key.vault_id();
        write_private(&folder.join(KEY_FILE), key.to_bech32().as_bytes())?;
        let opened = assemble(folder, key, options)?;
        let device = DeviceId::from_bytes(opened.random());
        // A head, which names the device, has its limit.
        let name = name.chars().take(64).collect();
        opened.record([Event::LogBegun { vault, device, name }])?;
        // Last: without it, the next `create` clears away what is here.
        write_private(&folder.join(VAULT_FILE), &VaultFile::new(vault).to_bytes())?;
        Ok(opened)
    }

    /// Opens the vault in `folder`.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoVault`] where there is none, [`VaultError::Newer`] where this everleaf is too
    /// old for it, and [`DbError::Locked`](crate::db::DbError::Locked) where another process has it.
    pub fn open(folder: &Path, options: Options) -> Result<Self, VaultError> {
        let path = folder.join(VAULT_FILE);
        if !path.is_file() {
            return Err(VaultError::NoVault(folder.to_path_buf()));
        }
        let file = VaultFile::from_bytes(&read_small(&path)?).map_err(|error| match error {
            VaultFileError::Newer { format } => {
                VaultError::Newer { path: folder.to_path_buf(), format }
            }
            error => damaged(&path, error.to_string()),
        })?;
        let path = folder.join(KEY_FILE);
        let text = zeroize::Zeroizing::new(read_small(&path)?);
        let text = std::str::from_utf8(&text).map_err(|_| damaged(&path, "it is no text"))?;
        let key = VaultKey::parse(text.trim())?;
        if key.vault_id() != file.vault {
            return Err(damaged(&path, "it is the key of another vault"));
        }
        let vault = assemble(folder, key, options)?;
        vault.identity()?;
        Ok(vault)
    }
}

/// Opens the parts, and mends what the last stop left.
fn assemble(folder: &Path, key: VaultKey, options: Options) -> Result<Vault, VaultError> {
    let Options { image_limit, patience, clock, inline } = options;
    let db = Arc::new(Db::open(folder, patience)?);
    let images = Images::open(folder, image_limit)?;
    let Opened { log, lost } = Log::open(folder, Arc::clone(&db), Box::new(Projections))?;
    let last = log.last()?;
    if projection::cursor(&db)? > last || lost.is_some() {
        // The tables may have been written out before the events that made them, and kept.
        projection::rebuild(&db)?;
    } else {
        projection::catch_up(&db, &db)?;
    }
    let mut actor = random(&*clock);
    if mutant::is(Mutant::ActorReused)
        && let Some(own) = projection::devices::identity(&*db)?
    {
        actor = first_bytes(own.device);
    }
    let (appended, _) = tokio::sync::watch::channel(last);
    let sealer = key.sealer();
    let vault = Vault(Arc::new(Inner {
        folder: folder.to_path_buf(),
        log,
        db,
        images,
        key,
        sealer,
        clock,
        inline,
        actor,
        notes: Mutex::new(Cache::default()),
        in_flight: Mutex::new(HashSet::new()),
        appended,
        exchanging: tokio::sync::Mutex::new(()),
    }));
    if let Some(lost) = lost {
        // Numbers of events are about to be used again, so what was pushed under this id can't be
        // told from what will be: it is left to the old id, and read again like anybody else's.
        tracing::warn!(%lost, "the log has lost its tail; what was synced will be fetched again");
        if projection::devices::identity(vault.db())?.is_some() {
            vault.renew(RenewReason::TailLost { lost })?;
        }
    }
    if let Err(error) = vault.refresh_catalog() {
        // One note that can't be read must not keep the others from being.
        tracing::warn!(error = chain(&error), "a row of the catalog could not be made");
    }
    Ok(vault)
}

/// What [`Mutant::ActorReused`] takes for an actor.
fn first_bytes(device: DeviceId) -> [u8; 8] {
    let bytes = device.as_bytes().first_chunk();
    bytes.copied().unwrap_or_default()
}

impl Vault {
    /// Takes a new identity.
    pub(super) fn renew(&self, reason: RenewReason) -> Result<(), VaultError> {
        self.renew_after(None, reason)
    }

    /// Takes a new identity in one batch with the event that asks for it.
    pub(super) fn renew_after(
        &self,
        event: Option<Event>,
        reason: RenewReason,
    ) -> Result<(), VaultError> {
        let own = self.identity()?;
        let to = DeviceId::from_bytes(self.random());
        tracing::info!(from = %own.device, %to, ?reason, "this device takes a new identity");
        let renewed = Event::DeviceRenewed { from: own.device, to, reason };
        self.record(event.into_iter().chain([renewed]))
    }
}

/// Makes the folder, or clears away what an interrupted `create` left in it.
fn prepare(folder: &Path) -> Result<(), VaultError> {
    if folder.join(VAULT_FILE).exists() {
        return Err(VaultError::Exists(folder.to_path_buf()));
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(io("create", folder))?;
    // One that was there before may be open to all.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        .map_err(io("close to others", folder))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io("read", folder))? {
        names.push(entry.map_err(io("read", folder))?.file_name());
    }
    let ours = ["db", "db.new", "head", "images", "journals", "key", "lock", "open", "tmp"];
    if !names.iter().all(|name| ours.iter().any(|our| name == our)) {
        return Err(VaultError::NotEmpty(folder.to_path_buf()));
    }
    for name in ["db", "db.new", "head", "open"] {
        let path = folder.join(name);
        if path.is_dir() {
            fs::remove_dir_all(&path).map_err(io("clear away", &path))?;
        } else if path.exists() {
            fs::remove_file(&path).map_err(io("clear away", &path))?;
        }
    }
    Ok(())
}

/// Writes a file whole or not at all, readable by its owner alone.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    let unfinished = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(io("create", &unfinished))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io("write", &unfinished))?;
    crash::point();
    fs::rename(&unfinished, path).map_err(io("rename", &unfinished))?;
    Ok(path.parent().map_or(Ok(()), sync_folder)?)
}

fn read_small(path: &Path) -> Result<Vec<u8>, VaultError> {
    use std::io::Read as _;
    let file = fs::File::open(path).map_err(io("open", path))?;
    let mut bytes = Vec::new();
    file.take(SMALL_FILE).read_to_end(&mut bytes).map_err(io("read", path))?;
    Ok(bytes)
}

fn damaged(path: &Path, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> VaultError {
    io("read", path)(std::io::Error::new(std::io::ErrorKind::InvalidData, why))
}

pub(crate) fn io(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(std::io::Error) -> VaultError {
    let path = path.into();
    move |source| VaultError::Io { action, path, source }
}
