//! The engine's journal: its end, as a power cut leaves it, and its beginning, as a clean stop does.
//!
//! A batch that was being written may be there in part: some pages written, others not. The engine
//! leaves out one that ends too soon, but refuses to open where a batch has its end and lacks its middle.
//!
//! ```text
//! batch:  1 · items (4) · number (8)   item …   3 · checksum (8) · magic (4)
//! item:   2 · kind (1) · compression (1) · keyspace (8) · lengths of key (2), value (4), value as it is
//!         written (4) · key · value
//!         4 · keyspace (8)
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use fjall::{Database, Keyspace, PersistMode};

use super::{
    DbError,
    open::{Engine, engine, io as failed},
};
use crate::crash;

/// Empties the journal once the engine is closed, if all that it holds is in tables: the next opening
/// then has nothing to read. Where that fails, it has.
pub(super) struct Emptied {
    folder: PathBuf,
    pub(super) is_due: bool,
}

impl Emptied {
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), is_due: false }
    }
}

impl Drop for Emptied {
    fn drop(&mut self) {
        let Ok(journals) = journals(&self.folder) else { return };
        // An older one that is still there is needed for something.
        if let ([(_, path)], true) = (journals.as_slice(), self.is_due) {
            let emptied = OpenOptions::new().write(true).open(path).and_then(|file| {
                file.set_len(0)?;
                file.sync_all()
            });
            if let Err(error) = emptied {
                tracing::warn!(%error, path = %path.display(), "the journal could not be emptied");
            }
        }
    }
}

/// The bytes of the journals in a folder.
pub(super) fn size(folder: &Path) -> Result<u64, DbError> {
    let sizes = journals(folder)?.into_iter().map(|(_, path)| {
        let metadata = fs::metadata(&path).map_err(failed("read", &path))?;
        Ok(metadata.len())
    });
    sizes.sum()
}

/// The journals in a folder, by their numbers.
fn journals(folder: &Path) -> Result<Vec<(u64, PathBuf)>, DbError> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
        let path = entry.map_err(failed("read", folder))?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let (Some(number), Some("jnl")) = (stem, path.extension().and_then(|e| e.to_str())) {
            journals.push((number, path));
        }
    }
    journals.sort_unstable();
    Ok(journals)
}

/// What was cut off a journal.
pub(super) struct Cut {
    path: PathBuf,
    file: File,
    at: u64,
    bytes: Vec<u8>,
}

/// Cuts the last batch off the newest journal, where there is one.
pub(super) fn cut_last_batch(folder: &Path) -> Result<Option<Cut>, DbError> {
    let Some((_, path)) = journals(folder)?.pop() else { return Ok(None) };
    let open = OpenOptions::new().read(true).write(true).open(&path);
    let mut file = open.map_err(failed("open", &path))?;
    let last = last_batch(&mut BufReader::new(&file)).map_err(failed("read", &path))?;
    let Some(at) = last else { return Ok(None) };
    let mut bytes = Vec::new();
    file.seek(io::SeekFrom::Start(at))
        .and_then(|_| file.read_to_end(&mut bytes))
        .and_then(|_| file.set_len(at))
        .and_then(|()| file.sync_all())
        .map_err(failed("cut", &path))?;
    Ok(Some(Cut { path, file, at, bytes }))
}

impl Cut {
    /// Puts back what was cut off.
    pub(super) fn undo(self) -> Result<(), DbError> {
        self.file
            .write_all_at(&self.bytes, self.at)
            .and_then(|()| self.file.sync_all())
            .map_err(failed("write to", &self.path))
    }
}

/// Where the last batch begins of which the frame is whole, whatever is in it.
fn last_batch(journal: &mut BufReader<&File>) -> io::Result<Option<u64>> {
    let (mut begins, mut last) = (None, None);
    loop {
        let at = journal.stream_position()?;
        let Some(tag) = read::<1>(journal)? else { return Ok(last) };
        let whole = match tag {
            [1] => {
                begins = Some(at);
                read::<12>(journal)?.is_some()
            }
            [2] => skip_item(journal)?,
            [3] => {
                last = begins.take().or(last);
                read::<12>(journal)?.is_some()
            }
            [4] => read::<8>(journal)?.is_some(),
            _ => false,
        };
        if !whole {
            return Ok(last);
        }
    }
}

/// Goes past an item; gives whether it is there.
fn skip_item(journal: &mut BufReader<&File>) -> io::Result<bool> {
    let Some(_) = read::<10>(journal)? else { return Ok(false) };
    let Some(key) = read::<2>(journal)? else { return Ok(false) };
    let Some(_) = read::<4>(journal)? else { return Ok(false) };
    let Some(value) = read::<4>(journal)? else { return Ok(false) };
    let bytes = i64::from(u16::from_le_bytes(key)) + i64::from(u32::from_le_bytes(value));
    journal.seek_relative(bytes)?;
    Ok(true)
}

/// The next bytes; `None` where the file ends before.
fn read<const N: usize>(journal: &mut BufReader<&File>) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match journal.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// How often to look whether tables are written, which takes some milliseconds.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Writes what an engine has in memory to tables. Gives whether all of it is there, so that the journal
/// holds nothing else: not where the disk is full or gone. The engine's own call would wait for ever then.
pub(super) fn write_tables(database: &Database, keyspaces: [&Keyspace; 3]) -> bool {
    if !keyspaces.iter().all(|keyspace| keyspace.rotate_memtable().is_ok()) {
        return false;
    }
    while keyspaces.iter().any(|keyspace| keyspace.sealed_memtable_count() > 0) {
        // Fails once whoever writes tables has given up.
        if database.persist(PersistMode::Buffer).is_err() {
            return false;
        }
        thread::sleep(LOOK_AGAIN);
    }
    true
}

/// The same engine, opened again when its journal was emptied; as it is where that can't be done.
pub(super) fn with_empty(opened: Engine, folder: &Path) -> Result<Engine, DbError> {
    let (database, keyspaces) = opened;
    if database.persist(PersistMode::SyncAll).is_err()
        || !write_tables(&database, keyspaces.each_ref())
    {
        return Ok((database, keyspaces));
    }
    let mut emptied = Emptied::of(folder);
    emptied.is_due = true;
    drop((keyspaces, database));
    crash::point();
    drop(emptied);
    crash::point();
    engine(folder)
}
