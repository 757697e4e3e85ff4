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

use super::{Inner, Vault, VaultError, cache::Cache, error::chain, names::device_name};
use crate::{
    clock::{Clock, SystemClock, random},
    crash,
    db::{Db, Lock, sync_folder},
    event::{Event, RenewReason},
    id::{DeviceId, Seq},
    images::Images,
    log::{self, Log, Opened},
    mutant::{self, Mutant},
    projection::{self, Projections, catalog},
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
const DATABASE: &str = "db";
/// What a `create` may have left that was cut off before it wrote the file that makes a vault.
const BEGUN: [&str; 11] = [
    "db",
    "db.new",
    "head",
    "images",
    "journals",
    "key",
    "key.new",
    "lock",
    "open",
    "tmp",
    "vault.new",
];
/// More than any `vault.json` or key takes.
const SMALL_FILE: u64 = 64 << 10;

impl Vault {
    /// Makes a vault in `folder`, on a device that people call `name`, and opens it. With a `key`,
    /// this is another device of the vault that the key is of; without, the vault is new. The name is what
    /// [`device_name`] makes of it.
    ///
    /// # Errors
    ///
    /// [`VaultError::Exists`] or [`VaultError::NotEmpty`] where something is there, and
    /// [`VaultError::DeviceName`]; nothing was made then.
    pub fn create(
        folder: &Path,
        name: &str,
        key: Option<VaultKey>,
        options: Options,
    ) -> Result<Self, VaultError> {
        let name = device_name(name)?;
        make_folder(folder)?;
        let lock = Lock::take(folder, options.patience)?;
        clear_begun(folder, &lock)?;
        let key = key.unwrap_or_else(|| VaultKey::generate(&*options.clock));
        let vault = key.vault_id();
        write_private(&folder.join(KEY_FILE), key.to_bech32().as_bytes())?;
        let opened = assemble(folder, lock, key, options)?;
        let device = DeviceId::from_bytes(opened.random());
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
        // A remote in a folder has a file of that name as well, and neither of these.
        if !is_there(&folder.join(KEY_FILE))? && !Db::is_in(folder) {
            return Err(VaultError::NoVault(folder.to_path_buf()));
        }
        let mut lock = None;
        if !path.is_file() {
            let taken = lock.insert(Lock::take(folder, options.patience)?);
            // A `create` that was waited for may have made it.
            if !path.is_file() && !is_used(folder, taken)? {
                return Err(VaultError::NoVault(folder.to_path_buf()));
            }
        }
        close_to_others(folder);
        if !path.is_file() {
            // As after a copy that left it out: the key says it all.
            let vault = Self::kept_key(folder)?.vault_id();
            write_private(&path, &VaultFile::new(vault).to_bytes())?;
        }
        let file = VaultFile::from_bytes(&read_small(&path)?).map_err(|error| match error {
            VaultFileError::Newer { format } => {
                VaultError::Newer { path: folder.to_path_buf(), format }
            }
            _ => VaultError::DamagedFile(path),
        })?;
        let key = Self::kept_key(folder)?;
        if key.vault_id() != file.vault {
            return Err(VaultError::DamagedFile(folder.join(KEY_FILE)));
        }
        let lock = lock.map_or_else(|| Lock::take(folder, options.patience), Ok)?;
        let id = key.vault_id();
        let vault = assemble(folder, lock, key, options)?;
        if vault.identity()?.vault != id {
            return Err(VaultError::DamagedFile(folder.join(KEY_FILE)));
        }
        Ok(vault)
    }
}

impl Vault {
    /// The key of the vault in `folder`, which need not be one that can still be opened.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoVault`] where there is none, and [`VaultError::DamagedFile`].
    pub fn kept_key(folder: &Path) -> Result<VaultKey, VaultError> {
        let path = folder.join(KEY_FILE);
        if !is_there(&path)? && !is_there(&folder.join(VAULT_FILE))? {
            return Err(VaultError::NoVault(folder.to_path_buf()));
        }
        let text = zeroize::Zeroizing::new(read_small(&path)?);
        let key =
            std::str::from_utf8(&text).ok().and_then(|text| VaultKey::parse(text.trim()).ok());
        key.ok_or(VaultError::DamagedFile(path))
    }
}

/// Opens the parts, and mends what the last stop left.
fn assemble(
    folder: &Path,
    lock: Lock,
    key: VaultKey,
    options: Options,
) -> Result<Vault, VaultError> {
    let Options { image_limit, patience: _, clock, inline } = options;
    // Whoever embeds this may go to another directory meanwhile.
    let folder = &std::path::absolute(folder).map_err(io("find", folder))?;
    let db = Arc::new(Db::open_locked(folder, lock)?);
    clear_unfinished(folder)?;
    let sizes = Arc::downgrade(&db);
    let is_known = move |bytes| {
        let has = |db: Arc<Db>| catalog::has_size(&*db, bytes).unwrap_or(true);
        sizes.upgrade().is_none_or(has)
    };
    let images = Images::open(folder, image_limit)?.with_sizes(is_known);
    let Opened { log, lost } = Log::open(folder, Arc::clone(&db), Box::new(Projections))?;
    let last = log.last()?;
    // The tables may have been written out before the events that made them, and kept.
    if projection::cursor(&*db)? > last || lost.is_some() {
        projection::rebuild(&db)?;
    } else if projection::is_of_other(&*db)? {
        tracing::info!("another everleaf made the tables; they are made anew from the log");
        projection::fold_anew(&db)?;
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
        folder: folder.clone(),
        log,
        db,
        images,
        key,
        sealer,
        clock,
        inline,
        actor,
        notes: Mutex::new(Cache::default()),
        folders: Mutex::default(),
        in_flight: Mutex::new(HashSet::new()),
        appended,
        exchanging: Arc::default(),
        exchange: Mutex::default(),
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

/// Removes what was being written when a process was killed.
fn clear_unfinished(folder: &Path) -> Result<(), VaultError> {
    for (place, begins) in [("tmp", "verify-"), ("folders", ".everleaf-")] {
        let Ok(entries) = fs::read_dir(folder.join(place)) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(begins) {
                clear_away(&path)?;
            }
        }
    }
    Ok(())
}

fn clear_away(path: &Path) -> Result<(), VaultError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io("clear away", path)(error))
        }
        _ => Ok(()),
    }
}

/// Makes the folder of a new vault, unless something else is in it, which stays as it is.
fn make_folder(folder: &Path) -> Result<(), VaultError> {
    if folder.exists() {
        check_vacant(folder)?;
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(io("create", folder))?;
    // One that was there before may be open to all.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        .map_err(io("close to others", folder))
}

/// Whether more was done in a folder than to begin a vault: one that lost its `vault.json` is a vault still.
fn is_used(folder: &Path, lock: &Lock) -> Result<bool, VaultError> {
    Ok(seems_used(folder)? || Db::reaches(folder, lock, 2)?)
}

/// The same as far as it can be told without the database.
fn seems_used(folder: &Path) -> Result<bool, VaultError> {
    let has_more = log::acknowledged(folder)?.is_some_and(|last| last > Seq(1));
    let images = folder.join("images");
    let has_images = fs::read_dir(images).is_ok_and(|mut images| images.next().is_some());
    Ok(has_more || has_images)
}

/// Whether something is at a path. What can't be told is an error: it may be a vault.
fn is_there(path: &Path) -> Result<bool, VaultError> {
    match path.try_exists() {
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(false),
        answer => answer.map_err(io("look at", path)),
    }
}

/// That a folder holds nothing but what an interrupted `create` left.
fn check_vacant(folder: &Path) -> Result<(), VaultError> {
    if folder.join(VAULT_FILE).exists() || seems_used(folder)? {
        return Err(VaultError::Exists(folder.to_path_buf()));
    }
    for entry in fs::read_dir(folder).map_err(io("read", folder))? {
        let name = entry.map_err(io("read", folder))?.file_name();
        let is_ours = name != DATABASE || Db::is_in(folder);
        if !is_ours || !BEGUN.iter().any(|begun| name == *begun) {
            return Err(VaultError::NotEmpty(folder.to_path_buf()));
        }
    }
    Ok(())
}

/// Clears away what an interrupted `create` left. The caller has the lock: while it was waited for,
/// another `create` may have come to its end.
fn clear_begun(folder: &Path, lock: &Lock) -> Result<(), VaultError> {
    check_vacant(folder)?;
    // The rest of what `is_used` asks was just asked.
    if Db::reaches(folder, lock, 2)? {
        return Err(VaultError::Exists(folder.to_path_buf()));
    }
    for name in ["db", "db.new", "head", "open", "key.new", "vault.new"] {
        clear_away(&folder.join(name))?;
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

/// Closes the folder and the key to others, should a copy or a backup have opened them.
fn close_to_others(folder: &Path) {
    for path in [folder.to_path_buf(), folder.join(KEY_FILE)] {
        let Ok(metadata) = fs::metadata(&path) else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        if mode == mode & 0o700 {
            continue;
        }
        tracing::warn!(path = %path.display(), "was open to others on this machine; closing it");
        // A disk without modes is no reason not to open what is on it.
        if let Err(error) = fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o700)) {
            tracing::warn!(path = %path.display(), %error, "could not be closed to others");
        }
    }
}

fn read_small(path: &Path) -> Result<Vec<u8>, VaultError> {
    use std::io::Read as _;
    let file = fs::File::open(path).map_err(io("open", path))?;
    // With room for a key: growing would leave a copy of it behind.
    let mut bytes = Vec::with_capacity(1024);
    file.take(SMALL_FILE).read_to_end(&mut bytes).map_err(io("read", path))?;
    Ok(bytes)
}

pub(crate) fn io(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(std::io::Error) -> VaultError {
    let path = path.into();
    move |source| VaultError::Io { action, path, source }
}
