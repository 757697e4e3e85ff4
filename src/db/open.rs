//! The files of the database: made, locked, and copied aside.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::{Duration, Instant},
};

use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode,
    config::PartitioningPolicy,
};

use super::{Db, DbError, rows};

const MEMTABLE: u64 = 8 << 20;
const JOURNALS: u64 = 64 << 20;
const CACHE: u64 = 16 << 20;
/// How many copies of journals are kept.
const COPIES_KEPT: usize = 3;

/// The open engine, and its keyspaces: log, state, cache.
pub(super) type Engine = (Database, [Keyspace; 3]);

/// Opens the engine, which panics at some damage.
pub(super) fn engine(folder: &Path) -> Result<Engine, DbError> {
    std::panic::catch_unwind(|| open_engine(folder)).unwrap_or_else(|_| {
        let source = fjall::Error::Unrecoverable;
        Err(DbError::Damaged { path: folder.to_path_buf(), source })
    })
}

/// That the files with which the database and every keyspace begin are there, and whole.
///
/// Without one, the engine takes what it finds for something that was never finished, and deletes it; here
/// all of it is finished before it gets its name. Of a list of tables that is damaged, it believes all,
/// however many gigabytes that makes it ask for, and deletes the tables that are not in it.
fn check_beginnings(folder: &Path) -> Result<(), DbError> {
    let Ok(entries) = fs::read_dir(folder.join("keyspaces")) else { return Ok(()) };
    let error = |kind, what: &Path, is: &str| {
        let error = io::Error::new(kind, format!("{} is {is}", what.display()));
        Err(DbError::of_engine("open", folder, error.into()))
    };
    let version = folder.join("version");
    if !version.is_file() {
        return error(io::ErrorKind::NotFound, &version, "gone");
    }
    for keyspace in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let current = keyspace.join("current");
        let Ok(bytes) = fs::read(&current) else {
            return error(io::ErrorKind::NotFound, &current, "gone");
        };
        if !lists_its_tables(&keyspace, &bytes) {
            return error(
                io::ErrorKind::InvalidData,
                &current,
                "damaged, or the list that it names",
            );
        }
    }
    Ok(())
}

/// Whether the list of tables that `current` names is the one that it was written for: its number (8) ·
/// the xxh3 of its bytes (16) · 0, little-endian.
fn lists_its_tables(keyspace: &Path, current: &[u8]) -> bool {
    let Some((number, rest)) = current.split_first_chunk::<8>() else { return false };
    let Some((hash, [0])) = rest.split_first_chunk::<16>() else { return false };
    let list = fs::read(keyspace.join(format!("v{}", u64::from_le_bytes(*number))));
    list.is_ok_and(|list| xxhash_rust::xxh3::xxh3_128(&list) == u128::from_le_bytes(*hash))
}

fn open_engine(folder: &Path) -> Result<Engine, DbError> {
    check_beginnings(folder)?;
    let error = |source| DbError::of_engine("open", folder, source);
    let database = Database::builder(folder)
        .journal_compression(CompressionType::None)
        .max_journaling_size(JOURNALS)
        .cache_size(CACHE)
        .worker_threads(1)
        .open()
        .map_err(error)?;
    // Else a table has one block of each, and one of a hundred thousand rows is too large for the cache:
    // each look-up would read and check it anew, megabytes for a row.
    let in_parts = || PartitioningPolicy::all(true);
    let options = || {
        KeyspaceCreateOptions::default()
            .max_memtable_size(MEMTABLE)
            .filter_block_partitioning_policy(in_parts())
            .index_block_partitioning_policy(in_parts())
    };
    let keyspace = |name| database.keyspace(name, options).map_err(error);
    let keyspaces = [keyspace("log")?, keyspace("state")?, keyspace("cache")?];
    Ok((database, keyspaces))
}

/// Creates the database under another name first: half a database never gets the right one.
pub(super) fn create(vault: &Path, folder: &Path) -> Result<(), DbError> {
    let unfinished = vault.join("db.new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(io("clear away", &unfinished))?;
    }
    let (database, keyspaces) = engine(&unfinished)?;
    let created = database.persist(PersistMode::SyncAll);
    created.map_err(|source| DbError::of_engine("create", &unfinished, source))?;
    drop((keyspaces, database));
    fs::rename(&unfinished, folder).map_err(io("rename", &unfinished))?;
    sync_folder(vault)
}

/// Keeps the journals as the unclean stop left them: opening cuts off what it can't read. The vault is of
/// more use than such a copy, so it is opened without one where there can be none.
pub(super) fn copy_journals(vault: &Path, folder: &Path) {
    if let Err(error) = copy_aside(vault, folder) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the journals could not be copied aside"
        );
    }
}

fn copy_aside(vault: &Path, folder: &Path) -> Result<(), DbError> {
    let copies = vault.join("journals");
    create_private(&copies).map_err(io("create", &copies))?;
    let mut numbers: Vec<u64> = fs::read_dir(&copies)
        .map_err(io("read", &copies))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    // Room first: what stopped uncleanly may have met a full disk.
    let surplus = (numbers.len() + 1).saturating_sub(COPIES_KEPT);
    for number in numbers.iter().take(surplus) {
        let old = copies.join(number.to_string());
        fs::remove_dir_all(&old).map_err(io("clear away", &old))?;
    }
    let copy = copies.join((numbers.last().copied().unwrap_or(0) + 1).to_string());
    copy_into(&copy, folder).inspect_err(|_| drop(fs::remove_dir_all(&copy)))
}

/// Removes the files that the engine was about to give a name when it was stopped; it leaves them.
pub(super) fn clear_unfinished(folder: &Path) -> Result<(), DbError> {
    for entry in walkdir::WalkDir::new(folder) {
        // What can't be read is for the engine to say.
        let Ok(entry) = entry else { continue };
        let is_unfinished = entry.file_name().to_string_lossy().starts_with(".tmp");
        if is_unfinished && entry.file_type().is_file() {
            fs::remove_file(entry.path()).map_err(io("clear away", entry.path()))?;
        }
    }
    Ok(())
}

fn copy_into(copy: &Path, folder: &Path) -> Result<(), DbError> {
    create_private(copy).map_err(io("create", copy))?;
    for entry in fs::read_dir(folder).map_err(io("read", folder))? {
        let path = entry.map_err(io("read", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "jnl")
            && let Some(name) = path.file_name()
        {
            fs::copy(&path, copy.join(name)).map_err(io("copy", &path))?;
        }
    }
    Ok(())
}

fn create_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes an empty file for its owner alone, or empties it.
pub(super) fn mark(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map(drop)
}

/// Closes to others what the engine made: it leaves modes to the umask, which may be any.
pub(super) fn close_to_others(folder: &Path) {
    for entry in walkdir::WalkDir::new(folder).into_iter().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let mode = metadata.permissions().mode();
        if mode & 0o077 != 0 && !metadata.is_symlink() {
            // One that is gone meanwhile needs no mode. Around all of them is a folder that is closed.
            let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode & !0o077));
        }
    }
}

impl Db {
    /// Whether a folder holds the database of a vault, whole or not, rather than something else of that name.
    #[must_use]
    pub fn is_in(vault: &Path) -> bool {
        // Both are there before it gets its name.
        let folder = vault.join("db");
        folder.join("version").is_file() || folder.join("keyspaces").is_dir()
    }

    /// Whether the log of a vault that is locked has the event `seq`, or a later one. A log that is damaged
    /// counts as one that has. Writes nothing where there is no database.
    ///
    /// # Errors
    ///
    /// What the disk said.
    pub fn reaches(vault: &Path, _: &Lock, seq: u64) -> Result<bool, DbError> {
        if !Self::is_in(vault) {
            return Ok(false);
        }
        let folder = vault.join("db");
        if vault.join("open").exists() {
            copy_journals(vault, &folder);
        }
        let later = engine(&folder).and_then(|(_database, [log, ..])| {
            rows(log.range(seq.to_be_bytes()..), 0, folder).next().transpose()
        });
        match later {
            Ok(later) => Ok(later.is_some()),
            Err(DbError::Damaged { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// A vault that nobody else has; given up when this is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits up to `patience` until the vault in the folder `vault` is nobody's.
    ///
    /// # Errors
    ///
    /// [`DbError::Locked`] where it stays another process's; else what the system said.
    pub fn take(vault: &Path, patience: Duration) -> Result<Self, DbError> {
        lock(&vault.join("lock"), patience).map(|file| Self { _file: file })
    }
}

fn lock(path: &Path, patience: Duration) -> Result<File, DbError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(io("open", path))?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(fs::TryLockError::Error(source)) => return Err(io("lock", path)(source)),
            Err(fs::TryLockError::WouldBlock) if started.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(fs::TryLockError::WouldBlock) => {
                let mut process = String::new();
                let read = file.take(20).read_to_string(&mut process).is_ok();
                let known = read && !process.trim().is_empty();
                let process = if known { process.trim() } else { "?" };
                return Err(DbError::Locked { process: process.to_owned() });
            }
        }
    }
    let number = std::process::id().to_string();
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(number.as_bytes()))
        .map_err(io("write", path))?;
    Ok(file)
}

/// Makes the names in a folder durable.
///
/// # Errors
///
/// What the system said.
pub fn sync_folder(folder: &Path) -> Result<(), DbError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync", folder))
}

pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> DbError + 'a {
    move |source| DbError::Io { action, path: path.to_path_buf(), source }
}
