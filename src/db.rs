//! The database of a vault: opened once, locked, read in rows, written in batches.
//!
//! The only file that knows fjall. Three keyspaces: `log` (events), `state` (every projection's
//! tables, told apart by the first byte of the key) and `cache` (what can be made again).
//!
//! What fjall does badly is closed here: it is created in a temporary folder and renamed, since a
//! crash during creation leaves a database that never opens; its journals are copied aside before an
//! opening that follows an unclean stop, since a damaged journal is cut off silently; nothing is
//! compressed in the journal; a failed commit poisons it for good, since a failed `fsync` can't be
//! repeated. A large value that was not synced can also keep it from opening, so a batch with one is
//! always synced.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

/// Values above this are never left unsynced.
const LARGE_VALUE: usize = 2048;
const MEMTABLE: u64 = 8 << 20;
const JOURNALS: u64 = 64 << 20;
const CACHE: u64 = 16 << 20;
/// How many copies of journals are kept.
const COPIES_KEPT: usize = 3;

/// Why the database could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Another process has it open.
    #[error("the vault is open in process {process}")]
    Locked {
        /// Its id, or "?" where it left none.
        process: String,
    },
    /// A write failed, perhaps half: nothing more is written until the vault is opened again.
    #[error(
        "the disk did not keep a write, so nothing more is written; free space or check the disk, then open the vault again"
    )]
    Poisoned,
    /// A file could not be read or written.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The engine refused.
    #[error("the database in {} could not be {action}", path.display())]
    Engine {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the engine said.
        source: fjall::Error,
    },
    /// A row is not what this version writes.
    #[error("a row of {table:?} is damaged; `everleaf rebuild` makes it again from the log")]
    Row {
        /// Its table.
        table: Table,
        /// What the codec says.
        source: postcard::Error,
    },
}

/// Where in `state` a row is. Numbered by the first byte of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Name → number: how far each projection has read the log.
    Cursors = 0,
    /// Change hash → the event that brought it.
    Changes = 1,
    /// Note → its heads and how long its tail is.
    Documents = 2,
    /// Note, event → nothing: the changes of a note, in the order of the log.
    Tails = 3,
    /// Note → what `list` shows of it.
    Catalog = 4,
    /// Note → nothing: its row in the catalog is to be made again.
    Stale = 5,
    /// Image, note → nothing: which notes show an image.
    Shown = 6,
    /// Image → its size, type, and where it is.
    Images = 7,
    /// Remote → how to reach it and what we pushed there.
    Remotes = 8,
    /// Remote, device → how far that device was read there.
    Peers = 9,
    /// Remote, event → nothing: what a remote has yet to be told.
    Unpushed = 10,
    /// Remote, image → how its upload stands.
    Outbox = 11,
    /// Remote, image → nothing: uploads that are not done.
    Active = 12,
    /// Device → the name that people gave it.
    Devices = 13,
    /// Nothing → this device and its vault.
    Identity = 14,
    /// Image, note → nothing: notes that show an image for which they have no URL.
    Unlinked = 15,
    /// Image → nothing: images that a note shows and this device does not hold.
    Wanted = 16,
}

impl Table {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Cursors,
        Self::Changes,
        Self::Documents,
        Self::Tails,
        Self::Catalog,
        Self::Stale,
        Self::Shown,
        Self::Images,
        Self::Remotes,
        Self::Peers,
        Self::Unpushed,
        Self::Outbox,
        Self::Active,
        Self::Devices,
        Self::Identity,
        Self::Unlinked,
        Self::Wanted,
    ];

    fn key(self, key: &[u8]) -> Vec<u8> {
        let mut full = Vec::with_capacity(1 + key.len());
        full.push(self as u8);
        full.extend_from_slice(key);
        full
    }
}

/// How long a batch must last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On disk when the call returns: survives a power cut.
    Synced,
    /// With the operating system when the call returns: survives the end of this process.
    Buffered,
}

/// A row: its key within its table or keyspace, and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// The database of one vault.
pub struct Db {
    folder: PathBuf,
    database: Database,
    log: Keyspace,
    state: Keyspace,
    cache: Keyspace,
    poisoned: AtomicBool,
    /// Says whether the last stop was clean; taken away by a clean one.
    marker: PathBuf,
    _lock: File,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Db({})", self.folder.display())
    }
}

impl Db {
    /// Opens the database of the vault in `vault`, creating it where there is none; waits up to
    /// `patience` for another process to close it.
    ///
    /// # Errors
    ///
    /// [`DbError::Locked`] where that process does not; else what the disk or the engine said.
    pub fn open(vault: &Path, patience: Duration) -> Result<Self, DbError> {
        let lock = lock(&vault.join("lock"), patience)?;
        let folder = vault.join("db");
        let marker = vault.join("open");
        if !folder.exists() {
            create(vault, &folder)?;
        } else if marker.exists() {
            copy_journals(vault, &folder)?;
        }
        File::create(&marker).map_err(io("mark as open", &marker))?;
        let (database, [log, state, cache]) = engine(&folder)?;
        Ok(Self {
            folder,
            database,
            log,
            state,
            cache,
            poisoned: AtomicBool::new(false),
            marker,
            _lock: lock,
        })
    }

    /// The value of an event.
    ///
    /// # Errors
    ///
    /// What the engine said.
    pub fn event(&self, seq: u64) -> Result<Option<Vec<u8>>, DbError> {
        let value = self.log.get(seq.to_be_bytes()).map_err(self.engine_error("read"))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Events from `first` on, by their numbers.
    pub fn events(&self, first: u64) -> impl Iterator<Item = Result<Row, DbError>> + use<> {
        rows(self.log.range(first.to_be_bytes()..), 0, self.folder.clone())
    }

    /// The last event.
    ///
    /// # Errors
    ///
    /// What the engine said.
    pub fn last_event(&self) -> Result<Option<Row>, DbError> {
        rows(self.log.iter().rev().take(1), 0, self.folder.clone()).next().transpose()
    }

    /// A cached value.
    ///
    /// # Errors
    ///
    /// What the engine said.
    pub fn cached(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        let value = self.cache.get(key).map_err(self.engine_error("read"))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Drops the whole cache.
    ///
    /// # Errors
    ///
    /// What the engine said.
    pub fn clear_cache(&self) -> Result<(), DbError> {
        self.cache.clear().map_err(self.engine_error("cleared"))
    }

    /// Drops every projection.
    ///
    /// # Errors
    ///
    /// What the engine said.
    pub fn clear_state(&self) -> Result<(), DbError> {
        self.state.clear().map_err(self.engine_error("cleared"))
    }

    /// Begins a batch, which is written whole or not at all.
    pub fn batch(&self) -> Batch<'_> {
        Batch { db: self, writes: Vec::new() }
    }

    /// Begins a draft of changes to `state`, which reads as if they had been made.
    #[must_use]
    pub fn draft(&self) -> Draft<'_> {
        Draft { db: self, writes: BTreeMap::new(), undo: Vec::new() }
    }

    /// Whether a write failed, so that no more are taken.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Makes the next commit fail as a failed `fsync` does.
    #[doc(hidden)]
    pub fn poison_for_test(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    fn engine_error(&self, action: &'static str) -> impl FnOnce(fjall::Error) -> DbError + '_ {
        move |source| match source {
            fjall::Error::Poisoned => DbError::Poisoned,
            source => DbError::Engine { action, path: self.folder.clone(), source },
        }
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if !self.is_poisoned() && self.database.persist(PersistMode::SyncAll).is_ok() {
            // What stays behind only costs a copy at the next opening.
            let _ = fs::remove_file(&self.marker);
        }
    }
}

/// What a row can be read from: the database, or a draft over it.
pub trait Read {
    /// The value under a key.
    ///
    /// # Errors
    ///
    /// What the engine said.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DbError>;

    /// The rows whose keys begin with `prefix`, by key.
    ///
    /// # Errors
    ///
    /// What the engine said.
    fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, DbError>;

    /// The value under a key, decoded.
    ///
    /// # Errors
    ///
    /// [`DbError::Row`] where it is not what this version writes.
    fn row<T: serde::de::DeserializeOwned>(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<T>, DbError> {
        self.get(table, key)?.map(|value| decode_row(table, &value)).transpose()
    }
}

/// Decodes the value of a row.
///
/// # Errors
///
/// [`DbError::Row`] where it is not what this version writes.
pub fn decode_row<T: serde::de::DeserializeOwned>(
    table: Table,
    value: &[u8],
) -> Result<T, DbError> {
    postcard::from_bytes(value).map_err(|source| DbError::Row { table, source })
}

impl Read for Db {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        let value = self.state.get(table.key(key)).map_err(self.engine_error("read"))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, DbError> {
        rows(self.state.prefix(table.key(prefix)), 1, self.folder.clone()).collect()
    }
}

/// A new value, or `None` for a row that goes.
type Written = Option<Vec<u8>>;

/// Changes to `state` that were not committed yet; reads see them.
#[derive(Debug)]
pub struct Draft<'a> {
    db: &'a Db,
    writes: BTreeMap<Vec<u8>, Written>,
    /// What each key was to hold before, since the last savepoint.
    undo: Vec<(Vec<u8>, Option<Written>)>,
}

impl Draft<'_> {
    /// Puts a row.
    pub fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) {
        self.write(table.key(key), Some(value));
    }

    /// Puts a row, encoded.
    ///
    /// # Errors
    ///
    /// Only where the codec fails, which it does for no row that this library makes.
    pub fn put_row<T: serde::Serialize>(
        &mut self,
        table: Table,
        key: &[u8],
        row: &T,
    ) -> Result<(), DbError> {
        let value = postcard::to_allocvec(row).map_err(|source| DbError::Row { table, source })?;
        self.put(table, key, value);
        Ok(())
    }

    /// Takes a row away.
    pub fn delete(&mut self, table: Table, key: &[u8]) {
        self.write(table.key(key), None);
    }

    /// Takes every row of a table away.
    ///
    /// # Errors
    ///
    /// What the engine said.
    pub fn clear(&mut self, table: Table) -> Result<(), DbError> {
        for (key, _) in self.scan(table, &[])? {
            self.delete(table, &key);
        }
        Ok(())
    }

    /// Notes how far it has come, so that [`Draft::rollback`] can take back what comes after.
    pub fn savepoint(&mut self) {
        self.undo.clear();
    }

    /// Takes back what was drafted since the last savepoint.
    pub fn rollback(&mut self) {
        for (key, before) in self.undo.drain(..).rev() {
            match before {
                Some(before) => self.writes.insert(key, before),
                None => self.writes.remove(&key),
            };
        }
    }

    fn write(&mut self, key: Vec<u8>, value: Written) {
        let before = self.writes.insert(key.clone(), value);
        self.undo.push((key, before));
    }

    /// Ends the draft; [`Batch::apply`] takes what comes out.
    #[must_use]
    pub fn into_changes(self) -> Changes {
        Changes(self.writes)
    }
}

/// What a draft would change.
#[derive(Debug)]
pub struct Changes(BTreeMap<Vec<u8>, Written>);

impl Read for Draft<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        match self.writes.get(&table.key(key)) {
            Some(written) => Ok(written.clone()),
            None => self.db.get(table, key),
        }
    }

    fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, DbError> {
        let start = table.key(prefix);
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> =
            self.db.scan(table, prefix)?.into_iter().collect();
        let written = self.writes.range(start.clone()..);
        for (key, value) in written.take_while(|(key, _)| key.starts_with(&start)) {
            let key = key.get(1..).unwrap_or_default().to_vec();
            match value {
                Some(value) => rows.insert(key, value.clone()),
                None => rows.remove(&key),
            };
        }
        Ok(rows.into_iter().collect())
    }
}

enum Write {
    Event(u64, Vec<u8>),
    State(Vec<u8>, Option<Vec<u8>>),
    Cache(Vec<u8>, Option<Vec<u8>>),
}

/// Writes that become visible together, or not at all.
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch<'a> {
    db: &'a Db,
    writes: Vec<Write>,
}

impl Batch<'_> {
    /// Adds an event.
    pub fn event(&mut self, seq: u64, value: Vec<u8>) {
        self.writes.push(Write::Event(seq, value));
    }

    /// Adds what a draft changes.
    pub fn apply(&mut self, changes: Changes) {
        self.writes.extend(changes.0.into_iter().map(|(key, value)| Write::State(key, value)));
    }

    /// Puts a cached value, or takes it away.
    pub fn cache(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.writes.push(Write::Cache(key, value));
    }

    /// Writes it all.
    ///
    /// # Errors
    ///
    /// What the disk or the engine said. Nothing of the batch counts then, and every later commit is
    /// refused with [`DbError::Poisoned`]: what a failed write left behind can't be known.
    pub fn commit(self, durability: Durability) -> Result<(), DbError> {
        let db = self.db;
        if db.is_poisoned() {
            return Err(DbError::Poisoned);
        }
        let large = self.writes.iter().any(|write| {
            let (Write::Event(_, value)
            | Write::State(_, Some(value))
            | Write::Cache(_, Some(value))) = write
            else {
                return false;
            };
            value.len() > LARGE_VALUE
        });
        let mode = match durability {
            Durability::Buffered if !large => PersistMode::Buffer,
            Durability::Buffered | Durability::Synced => PersistMode::SyncData,
        };
        let mut batch = db.database.batch().durability(Some(mode));
        for write in self.writes {
            match write {
                Write::Event(seq, value) => batch.insert(&db.log, seq.to_be_bytes(), value),
                Write::State(key, Some(value)) => batch.insert(&db.state, key, value),
                Write::State(key, None) => batch.remove(&db.state, key),
                Write::Cache(key, Some(value)) => batch.insert(&db.cache, key, value),
                Write::Cache(key, None) => batch.remove(&db.cache, key),
            }
        }
        batch.commit().map_err(|source| {
            db.poisoned.store(true, Ordering::Release);
            db.engine_error("written")(source)
        })
    }
}

fn rows(
    guards: impl Iterator<Item = fjall::Guard>,
    skip: usize,
    folder: PathBuf,
) -> impl Iterator<Item = Result<Row, DbError>> {
    guards.map(move |guard| match guard.into_inner() {
        Ok((key, value)) => Ok((key.get(skip..).unwrap_or_default().to_vec(), value.to_vec())),
        Err(source) => Err(DbError::Engine { action: "read", path: folder.clone(), source }),
    })
}

fn engine(folder: &Path) -> Result<(Database, [Keyspace; 3]), DbError> {
    let error = |source| DbError::Engine { action: "opened", path: folder.to_path_buf(), source };
    let database = Database::builder(folder)
        .journal_compression(CompressionType::None)
        .max_journaling_size(JOURNALS)
        .cache_size(CACHE)
        .worker_threads(1)
        .open()
        .map_err(error)?;
    let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE);
    let keyspace = |name| database.keyspace(name, options).map_err(error);
    let keyspaces = [keyspace("log")?, keyspace("state")?, keyspace("cache")?];
    Ok((database, keyspaces))
}

/// Creates the database under another name first: half a database never gets the right one.
fn create(vault: &Path, folder: &Path) -> Result<(), DbError> {
    let unfinished = vault.join("db.new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(io("clear away", &unfinished))?;
    }
    let (database, keyspaces) = engine(&unfinished)?;
    database.persist(PersistMode::SyncAll).map_err(|source| DbError::Engine {
        action: "created",
        path: unfinished.clone(),
        source,
    })?;
    drop((keyspaces, database));
    fs::rename(&unfinished, folder).map_err(io("rename", &unfinished))?;
    sync_folder(vault)
}

/// Keeps the journals as the unclean stop left them: opening cuts off what it can't read.
fn copy_journals(vault: &Path, folder: &Path) -> Result<(), DbError> {
    let copies = vault.join("journals");
    fs::create_dir_all(&copies).map_err(io("create", &copies))?;
    let mut numbers: Vec<u64> = fs::read_dir(&copies)
        .map_err(io("read", &copies))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let copy = copies.join((numbers.last().copied().unwrap_or(0) + 1).to_string());
    fs::create_dir_all(&copy).map_err(io("create", &copy))?;
    for entry in fs::read_dir(folder).map_err(io("read", folder))? {
        let path = entry.map_err(io("read", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "jnl")
            && let Some(name) = path.file_name()
        {
            fs::copy(&path, copy.join(name)).map_err(io("copy", &path))?;
        }
    }
    let surplus = (numbers.len() + 1).saturating_sub(COPIES_KEPT);
    for number in numbers.into_iter().take(surplus) {
        let old = copies.join(number.to_string());
        fs::remove_dir_all(&old).map_err(io("clear away", &old))?;
    }
    Ok(())
}

fn lock(path: &Path, patience: Duration) -> Result<File, DbError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
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

fn io<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> DbError + 'a {
    move |source| DbError::Io { action, path: path.to_path_buf(), source }
}
