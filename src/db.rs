//! The database of a vault: opened once, locked, read in rows, written in batches.
//!
//! The only module that knows fjall. Three keyspaces: `log` (events), `state` (every projection's
//! tables, told apart by the first byte of the key) and `cache` (what can be made again).
//!
//! What fjall does badly is closed here: it is created in a temporary folder and renamed, since a
//! crash during creation leaves a database that never opens; its journals are copied aside before an
//! opening that follows an unclean stop, since a damaged journal is cut off silently; nothing is
//! compressed in the journal; a failed commit poisons it for good, since a failed `fsync` can't be
//! repeated; a journal that grew is emptied by a clean stop, or else when it is opened after an unclean
//! one, since each opening reads all of it. A large value that was not synced can also keep it from
//! opening, so a batch with one is always synced.

mod journal;
mod open;
mod queues;
mod table;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use fjall::{Database, Keyspace, PersistMode};

use self::open::{
    Engine, clear_unfinished, close_to_others, copy_journals, create, engine, io, mark,
};
use self::table::span;
pub use self::{
    open::{Lock, sync_folder},
    table::{Changes, Draft, Read, Table, decode_row},
};
use crate::{
    crash,
    mutant::{self, Mutant},
};

/// How many bytes a journal may keep when the database is closed, or opened after it was not. The engine
/// reads all of it whenever it is opened, with a system call for each row, and a program that is only ever
/// killed, as on a phone, would never be rid of it.
const JOURNAL_KEPT: u64 = 256 << 10;
/// What a row takes in the journal beside its key and its value.
const ROW: usize = 24;
/// Values above this are never left unsynced.
const LARGE_VALUE: usize = 2048;

/// Why the database could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// The files are not what the engine wrote.
    #[error("the database in {} is damaged", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What the engine said.
        source: fjall::Error,
    },
    /// A row is not what this version writes.
    #[error("a row of {table:?} is damaged; a rebuild makes it again from the log")]
    Row {
        /// Its table.
        table: Table,
        /// What the codec says.
        source: postcard::Error,
    },
}

impl DbError {
    fn of_engine(action: &'static str, folder: &Path, source: fjall::Error) -> Self {
        let path = folder.to_path_buf();
        match source {
            fjall::Error::Poisoned => Self::Poisoned,
            fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source))
                if !is_of_content(&source) =>
            {
                Self::Io { action, path, source }
            }
            source => Self::Damaged { path, source },
        }
    }
}

/// Opens an engine that refuses the batch that was being written when the power went: without it. What
/// was acknowledged was on disk, and is missed by the log if this was more than that.
fn without_torn_batch(folder: &Path) -> Result<Option<Engine>, DbError> {
    let Some(cut) = journal::cut_last_batch(folder)? else { return Ok(None) };
    if let Ok(engine) = engine(folder) {
        tracing::warn!(path = %folder.display(), "a write that was cut off is left out");
        return Ok(Some(engine));
    }
    // It is something else, so all stays as it was.
    cut.undo()?;
    Ok(None)
}

/// Whether a failure is one of what files hold, and not of the disk.
fn is_of_content(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | NotFound | UnexpectedEof)
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
    /// Bytes in the journal, about.
    journaled: AtomicU64,
    queues: queues::Queues,
    /// Says whether the last stop was clean; taken away by a clean one.
    marker: PathBuf,
    // What is dropped after the engine, in this order.
    emptied: journal::Emptied,
    _lock: Lock,
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
        Self::open_locked(vault, Lock::take(vault, patience)?)
    }

    /// The same in a vault that was locked before.
    ///
    /// # Errors
    ///
    /// What the disk or the engine said.
    pub fn open_locked(vault: &Path, lock: Lock) -> Result<Self, DbError> {
        let folder = vault.join("db");
        let marker = vault.join("open");
        let is_unclean = marker.exists();
        let mut journaled = 0;
        if folder.exists() {
            journaled = journal::size(&folder)?;
        } else {
            create(vault, &folder)?;
        }
        if is_unclean {
            copy_journals(vault, &folder);
            clear_unfinished(&folder)?;
        }
        mark(&marker).map_err(io("mark as open", &marker))?;
        let mut opened = match engine(&folder) {
            Err(damaged @ DbError::Damaged { .. }) => {
                if !is_unclean {
                    copy_journals(vault, &folder);
                }
                without_torn_batch(&folder)?.ok_or(damaged)?
            }
            opened => opened?,
        };
        if is_unclean && journaled > JOURNAL_KEPT {
            opened = journal::with_empty(opened, &folder)?;
            journaled = journal::size(&folder)?;
        }
        let (database, [log, state, cache]) = opened;
        close_to_others(&folder);
        Ok(Self {
            emptied: journal::Emptied::of(&folder),
            folder,
            database,
            log,
            state,
            cache,
            poisoned: AtomicBool::new(false),
            journaled: AtomicU64::new(journaled),
            queues: queues::Queues::default(),
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

    /// The first rows of a table whose keys begin with `prefix`, behind the one that goes on with `key`, at
    /// most `most`.
    ///
    /// # Errors
    ///
    /// What the engine said.
    pub fn rows_behind(
        &self,
        table: Table,
        prefix: &[u8],
        key: &[u8],
        most: usize,
    ) -> Result<Vec<Row>, DbError> {
        let (_, end) = span(table, prefix, key, None);
        let start = Bound::Excluded([table.key(prefix).as_slice(), key].concat());
        rows(self.state.range((start, end)).take(most), 1, self.folder.clone()).collect()
    }

    /// What `row` makes of the key and the value of each row of a table, by key.
    ///
    /// # Errors
    ///
    /// What the engine said, and what `row` gives.
    pub fn each<T>(
        &self,
        table: Table,
        mut row: impl FnMut(&[u8], &[u8]) -> Option<Result<T, DbError>>,
    ) -> Result<Vec<T>, DbError> {
        let guards = self.state.range(span(table, &[], &[], None));
        let rows = guards.filter_map(|guard| match guard.into_inner() {
            Ok((key, value)) => row(key.get(1..).unwrap_or_default(), &value),
            Err(source) => Some(Err(DbError::of_engine("read", &self.folder, source))),
        });
        rows.collect()
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
        self.cache.clear().map_err(self.engine_error("clear"))
    }

    /// Drops every projection.
    ///
    /// # Errors
    ///
    /// What the engine said.
    pub fn clear_state(&self) -> Result<(), DbError> {
        let cleared = self.state.clear().map_err(self.engine_error("clear"));
        self.queues.written(&queues::all());
        cleared
    }

    /// Begins a batch, which is written whole or not at all.
    pub fn batch(&self) -> Batch<'_> {
        Batch { db: self, writes: Vec::new() }
    }

    /// Begins a draft of changes to `state`, which reads as if they had been made.
    #[must_use]
    pub fn draft(&self) -> Draft<'_> {
        Draft { db: self, writes: BTreeMap::new(), undo: Vec::new(), small: RefCell::default() }
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
        move |source| DbError::of_engine(action, &self.folder, source)
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if !self.is_poisoned() && self.database.persist(PersistMode::SyncAll).is_ok() {
            let keyspaces = [&self.log, &self.state, &self.cache];
            if self.journaled.load(Ordering::Relaxed) > JOURNAL_KEPT
                && journal::write_tables(&self.database, keyspaces)
            {
                self.emptied.is_due = true;
            }
            // What stays behind only costs a copy at the next opening.
            let _ = fs::remove_file(&self.marker);
        }
        close_to_others(&self.folder);
    }
}

impl Read for Db {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        let value = self.state.get(table.key(key)).map_err(self.engine_error("read"))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan_between(
        &self,
        table: Table,
        prefix: &[u8],
        first: &[u8],
        last: Option<&[u8]>,
    ) -> Result<Vec<Row>, DbError> {
        let range = span(table, prefix, first, last);
        let scan = || rows(self.state.range(range), 1, self.folder.clone()).collect();
        if first.is_empty() && last.is_none() {
            return self.queues.rows(table, prefix, scan);
        }
        scan()
    }
}

enum Write {
    Event(u64, Vec<u8>),
    State(Vec<u8>, Option<Vec<u8>>),
    Cache(Vec<u8>, Option<Vec<u8>>),
}

impl Write {
    /// What it takes in the journal, about.
    fn journaled(&self) -> usize {
        let key = match self {
            Self::Event(..) => size_of::<u64>(),
            Self::State(key, _) | Self::Cache(key, _) => key.len(),
        };
        ROW + key + self.bytes()
    }

    /// How many bytes its value has.
    fn bytes(&self) -> usize {
        let (Self::Event(_, value) | Self::State(_, Some(value)) | Self::Cache(_, Some(value))) =
            self
        else {
            return 0;
        };
        value.len()
    }
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
        let large = self.writes.iter().any(|write| write.bytes() > LARGE_VALUE);
        let mode = match durability {
            Durability::Buffered if !large => PersistMode::Buffer,
            Durability::Buffered | Durability::Synced => PersistMode::SyncData,
        };
        let mode = Some(mode).filter(|_| !mutant::is(Mutant::AcknowledgesUnwritten));
        let mut batch = db.database.batch().durability(mode);
        let bytes = self.writes.iter().map(Write::journaled).sum::<usize>();
        db.journaled.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut queues = BTreeSet::new();
        for write in self.writes {
            if let Write::State(key, _) = &write {
                queues.extend(queues::of(key));
            }
            match write {
                Write::Event(seq, value) => batch.insert(&db.log, seq.to_be_bytes(), value),
                Write::State(key, Some(value)) => batch.insert(&db.state, key, value),
                Write::State(key, None) => batch.remove(&db.state, key),
                Write::Cache(key, Some(value)) => batch.insert(&db.cache, key, value),
                Write::Cache(key, None) => batch.remove(&db.cache, key),
            }
        }
        crash::point();
        // Before as well: between the two, what was remembered is not what is there.
        db.queues.written(&queues);
        let committed = batch.commit().map_err(|source| {
            db.poisoned.store(true, Ordering::Release);
            db.engine_error("write to")(source)
        });
        db.queues.written(&queues);
        committed?;
        crash::point();
        Ok(())
    }
}

fn rows(
    guards: impl Iterator<Item = fjall::Guard>,
    skip: usize,
    folder: PathBuf,
) -> impl Iterator<Item = Result<Row, DbError>> {
    guards.map(move |guard| match guard.into_inner() {
        Ok((key, value)) => Ok((key.get(skip..).unwrap_or_default().to_vec(), value.to_vec())),
        Err(source) => Err(DbError::of_engine("read", &folder, source)),
    })
}
