//! Where bookmarks are kept, and what is found there.

use std::{
    ffi::OsString,
    fs,
    io::{ErrorKind, Read as _},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::DirBuilderExt as _,
    },
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{bookmarks::Bookmarks, write};
use crate::{
    id::VaultId,
    vault::{Vault, VaultError, io},
};

/// The name of the file that an export leaves.
pub(super) const EXPORT_FILE: &str = ".everleaf-export";
/// How the name of the file ends that says which folder the bookmarks beside it are of.
const FOLDER: &str = "folder";
/// How that of the bookmarks ends.
const BOOKMARKS: &str = "json";
pub(super) const FORMAT: u32 = 1;
/// Room for some hundred thousand notes.
pub(super) const LIMIT: u64 = 256 << 20;

/// Why bookmarks are of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Useless {
    Damaged(String),
    Foreign(String),
}

/// Where the vault remembers what it knows of all folders.
fn all(vault: &Vault) -> PathBuf {
    vault.folder().join("folders")
}

/// The folders of which the vault remembers something, each with the path of that.
pub(super) fn folders(vault: &Vault) -> Vec<(PathBuf, PathBuf)> {
    let Ok(entries) = fs::read_dir(all(vault)) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let of_folders = paths.filter(|path| path.extension().is_some_and(|is| is == FOLDER));
    let read = |path: PathBuf| {
        let folder = fs::read(&path).ok()?;
        Some((PathBuf::from(OsString::from_vec(folder)), path.with_extension(BOOKMARKS)))
    };
    of_folders.filter_map(read).collect()
}

/// Makes the place in the vault for what is remembered of a folder, and says there which that is.
pub(super) fn make_place(vault: &Vault, folder: &Path) -> Result<(), VaultError> {
    let all = all(vault);
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&all);
    made.map_err(io("create", &all))?;
    let (path, name) =
        (in_vault(vault, folder).with_extension(FOLDER), folder.as_os_str().as_bytes());
    if fs::read(&path).is_ok_and(|said| said == name) {
        return Ok(());
    }
    write::replace(&path, name, write::PRIVATE)
}

pub(super) fn announcements(vault: &Vault, folder: &Path) -> PathBuf {
    in_vault(vault, folder).with_extension("taken")
}

/// Where the vault remembers what it knows of a folder.
pub(super) fn in_vault(vault: &Vault, folder: &Path) -> PathBuf {
    let hash = blake3::hash(folder.as_os_str().as_bytes()).to_hex();
    let name: String = hash.chars().take(32).collect();
    all(vault).join(name).with_extension(BOOKMARKS)
}

/// What every format of bookmarks begins with.
#[derive(Deserialize)]
struct Envelope {
    format: u32,
    vault: VaultId,
}

fn foreign(why: &str) -> Useless {
    Useless::Foreign(format!("{why}, so it was not used"))
}

/// What the file at `path` holds; `None` where there is none.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>, Useless> {
    let unreadable = |error: std::io::Error| foreign(&format!("it can't be read ({error})"));
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if !metadata.is_file() || metadata.len() > LIMIT {
        return Err(foreign("it is no file that an export wrote"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(LIMIT).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    Ok(Some(bytes))
}

/// The bookmarks of the vault `own` that such a file holds; `None` where there are none.
pub(super) fn parse(
    bytes: &Result<Option<Vec<u8>>, Useless>,
    own: VaultId,
) -> Result<Option<Bookmarks>, Useless> {
    let Some(bytes) = bytes.as_ref().map_err(Clone::clone)? else { return Ok(None) };
    let damaged = |_| Useless::Damaged("it is damaged, so it was not used".to_owned());
    let read = serde_json::from_slice::<Bookmarks>(bytes);
    // They may be many, so what they begin with is not read by itself unless the rest means nothing here.
    let (format, vault) = if let Ok(bookmarks) = &read {
        bookmarks.of()
    } else {
        let Envelope { format, vault } = serde_json::from_slice(bytes).map_err(damaged)?;
        (format, vault)
    };
    if format > FORMAT {
        return Err(foreign("a newer everleaf wrote it"));
    }
    if vault != own {
        return Err(foreign("it belongs to another vault"));
    }
    read.map(Some).map_err(damaged)
}

/// Whether the vault `own` was exported to a folder.
pub(super) fn is_export(folder: &Path, own: VaultId) -> bool {
    let Ok(Some(bytes)) = bytes(&folder.join(EXPORT_FILE)) else { return false };
    serde_json::from_slice(&bytes).is_ok_and(|Envelope { vault, .. }| vault == own)
}
