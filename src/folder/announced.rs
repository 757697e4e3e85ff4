//! What an import is about to take in, said before it does: a line of JSON for each group of files. The
//! bookmarks of a large folder take long to write, and a line does not.
//!
//! ```text
//! VAULT/folders/<32 hex>.taken      beside the bookmarks, until those say what came of it
//! ```

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use super::{bookmarks::Taken, kept::LIMIT, write};
use crate::{
    crash,
    db::sync_folder,
    vault::{VaultError, io},
};

/// Adds what is about to be taken in to the file at `path`. It is on disk when this returns.
pub(super) fn add(path: &Path, taken: &BTreeMap<String, Taken>) -> Result<(), VaultError> {
    let json = serde_json::to_vec(taken).map_err(|error| io("write", path)(error.into()))?;
    // What was cut off before is a line of its own then, and no beginning of this one.
    let line = [b"\n", json.as_slice(), b"\n"].concat();
    let is_new = !path.exists();
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(write::PRIVATE)
        .open(path)
        .map_err(io("create", path))?;
    file.seek(SeekFrom::End(0))
        .and_then(|_| file.write_all(&line))
        .and_then(|()| file.sync_data())
        .map_err(io("write", path))?;
    crash::point();
    if let Some(folder) = path.parent().filter(|_| is_new) {
        sync_folder(folder)?;
    }
    Ok(())
}

/// What was about to be taken in. A line that was cut off announced nothing that happened.
pub(super) fn read(path: &Path) -> BTreeMap<String, Taken> {
    let Ok(file) = fs::File::open(path) else { return BTreeMap::new() };
    let lines = BufReader::new(file.take(LIMIT)).split(b'\n').map_while(Result::ok);
    let groups = lines.filter_map(|line| serde_json::from_slice(&line).ok());
    groups.flat_map(|group: BTreeMap<String, Taken>| group).collect()
}

/// Forgets it all: the bookmarks, which are on disk, say more.
pub(super) fn clear(path: &Path) -> Result<(), VaultError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(path.parent().map_or(Ok(()), sync_folder)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io("clear away", path)(error)),
    }
}
