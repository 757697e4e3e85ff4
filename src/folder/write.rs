//! Files that are written whole or not at all.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, TempPath};

use crate::{
    crash,
    db::sync_folder,
    vault::{VaultError, io as failed},
};

/// Permissions as any program's new files have them: the umask takes away from this.
pub(super) const SHARED: u32 = 0o666;
/// Permissions for the owner alone.
pub(super) const PRIVATE: u32 = 0o600;

/// How the name of a file begins that has yet to get its own.
const TEMPORARY: &str = ".everleaf-tmp-";

/// Clears away what programs that were killed left half written in a folder. Whoever calls it writes nothing
/// there meanwhile.
pub(super) fn clear_left(folder: &Path) -> Result<(), VaultError> {
    for entry in fs::read_dir(folder).map_err(failed("read", folder))?.flatten() {
        let is_left = entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes());
        if is_left && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            // Where it can't go, it stays what it is: in nobody's way.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Puts `bytes` in the place of the file `path`, and has both synced.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), VaultError> {
    let draft = draft(path, &mut &*bytes, mode, Over::All)?;
    draft.sync()?;
    draft.publish()?;
    Ok(path.parent().map_or(Ok(()), sync_folder)?)
}

/// A file that is written, and does not have its name yet, which it gets once it is synced. Dropped, it is gone.
#[must_use = "a draft is a file only once it is published"]
#[derive(Debug)]
pub(super) struct Draft {
    file: TempPath,
    path: PathBuf,
    over: Over,
}

/// What a draft may take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Of nothing: a file that is there stays.
    Nothing,
    /// Of a file with this hash: one that somebody saved meanwhile stays.
    Only(blake3::Hash),
    /// Of whatever is there.
    All,
}

/// A file in a folder that has yet to get its name.
pub(super) fn temporary(folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let permissions = Permissions::from_mode(mode);
    tempfile::Builder::new().prefix(TEMPORARY).permissions(permissions).tempfile_in(folder)
}

/// Writes what `content` gives to what will be the file `path`. One that is there already is only
/// replaced if `over` says so.
pub(super) fn draft(
    path: &Path,
    content: &mut dyn io::Read,
    mode: u32,
    over: Over,
) -> Result<Draft, VaultError> {
    let folder = path.parent().unwrap_or(path);
    let mut file = temporary(folder, mode).map_err(failed("create a file in", folder))?;
    io::copy(content, &mut file).and_then(|_| file.flush()).map_err(failed("write", path))?;
    Ok(Draft { file: file.into_temp_path(), path: path.to_path_buf(), over })
}

impl Draft {
    /// Has what was written on disk: a bookmark will say what is in this file, so the file must not be the one that
    /// is lost.
    pub(super) fn sync(&self) -> Result<(), VaultError> {
        let synced = File::open(&self.file).and_then(|file| file.sync_all());
        synced.map_err(failed("write", &self.path))?;
        crash::point();
        Ok(())
    }

    /// Gives the file its name; gives whether it did.
    pub(super) fn publish(self) -> Result<bool, VaultError> {
        let Self { file, path, over } = self;
        let persisted = match over {
            // All that was written since it was looked at, with an fsync each, leaves time to save it.
            Over::Only(before) if hash(&path).is_ok_and(|there| there != before) => {
                return Ok(false);
            }
            Over::Nothing => file.persist_noclobber(&path),
            Over::Only(_) | Over::All => file.persist(&path),
        };
        crash::point();
        match persisted {
            Ok(()) => Ok(true),
            Err(error)
                if over == Over::Nothing && error.error.kind() == ErrorKind::AlreadyExists =>
            {
                Ok(false)
            }
            Err(error) => Err(failed("write", path)(error.error)),
        }
    }
}

/// What is at a place in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing; its folder exists now.
    Nothing(PathBuf),
    /// A file, and the hash of its bytes.
    File(PathBuf, blake3::Hash),
    /// What must not be written to, or through.
    Blocked(&'static str),
}

/// Looks at `place` in `folder`, and makes the folders on the way that are not there. Goes through no
/// symbolic link. `hash` gives the hash of the file at a path.
pub(super) fn look(
    folder: &Path,
    place: &str,
    hash: impl Fn(&Path) -> io::Result<blake3::Hash>,
) -> Result<There, VaultError> {
    let mut path = folder.to_path_buf();
    let mut parts = place.split('/').peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) if error.kind() == ErrorKind::InvalidFilename => {
                return Ok(There::Blocked("its name is too long for this disk"));
            }
            Err(error) => return Err(failed("read", path)(error)),
        };
        if metadata.as_ref().is_some_and(fs::Metadata::is_symlink) {
            return Ok(There::Blocked("a symbolic link is there"));
        }
        match (metadata, parts.peek().is_some()) {
            (None, true) => fs::create_dir(&path).map_err(failed("create", &path))?,
            (Some(metadata), true) if metadata.is_dir() => {}
            (Some(_), true) => return Ok(There::Blocked("a file is where its folder would be")),
            (None, false) => return Ok(There::Nothing(path)),
            (Some(metadata), false) if metadata.is_file() => {
                return match hash(&path) {
                    Ok(hash) => Ok(There::File(path, hash)),
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                        Ok(There::Blocked("a file that can't be read is there"))
                    }
                    Err(error) => Err(failed("read", path)(error)),
                };
            }
            (Some(_), false) => return Ok(There::Blocked("something else is there")),
        }
    }
    Ok(There::Blocked("it has no name"))
}

/// Whether nothing is in a folder but what programs hide there.
pub(super) fn is_empty(folder: &Path) -> Result<bool, VaultError> {
    for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
        let name = entry.map_err(failed("read", folder))?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether there is nothing at `place` in `folder`, and no symbolic link on the way there.
pub(super) fn is_nothing(folder: &Path, place: &str) -> bool {
    let mut path = folder.to_path_buf();
    for part in place.split('/') {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::NotFound,
        }
    }
    false
}

/// The file at `place` in `folder`, if one is, and no symbolic link is on the way there.
pub(super) fn file_in(folder: &Path, place: &str) -> Option<PathBuf> {
    let mut path = folder.to_path_buf();
    let mut is_file = false;
    for part in place.split('/') {
        path.push(part);
        let metadata = fs::symlink_metadata(&path).ok().filter(|there| !there.is_symlink())?;
        is_file = metadata.is_file();
    }
    is_file.then_some(path)
}

/// Which file of its disk is at a path, if one is: two names of one file are one place.
pub(super) fn file_at(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((metadata.dev(), metadata.ino()))
}

/// The same for a folder.
pub(super) fn folder_at(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_dir)?;
    Some((metadata.dev(), metadata.ino()))
}

/// The hash of a file; a link, or a pipe that may never end, is none.
pub(super) fn hash(path: &Path) -> io::Result<blake3::Hash> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let mut hasher = blake3::Hasher::new();
    // In pieces that several lanes of a processor can share.
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize())
}
