//! Whether a folder that was imported may be exported to from now on.

use std::path::{Path, PathBuf};

use crate::{
    folder::{
        bookmarks::{Bookmarks, Seen},
        kept::folders,
        write,
    },
    vault::{Vault, VaultError},
};

/// Whether `folder` was imported, and may be exported to.
///
/// # Errors
///
/// [`VaultError::NotAsImported`] where it was not, or most of it is not what it was then: another may have come to its
/// path.
/// [`VaultError::FolderWithin`] where it lies in another of this vault's folders, or one of them in it: an import of
/// the outer one leaves out what was exported.
pub(super) fn may_adopt(
    vault: &Vault,
    folder: &Path,
    bookmarks: &Bookmarks,
) -> Result<(), VaultError> {
    let seen: Vec<(&String, &Seen)> =
        bookmarks.notes.iter().filter(|(_, seen)| !seen.gone).collect();
    let touches = |other: &PathBuf| {
        other != folder
            && other.is_dir()
            && (other.starts_with(folder) || folder.starts_with(other))
    };
    if let Some(other) = folders(vault).into_iter().map(|(other, _)| other).find(touches) {
        return Err(VaultError::FolderWithin { folder: folder.to_owned(), other });
    }
    let is_as_it_was = |(path, seen): &&(&String, &Seen)| {
        write::hash(&folder.join(path)).is_ok_and(|there| seen.is(there))
    };
    // Half of them will do.
    let enough = seen.len().div_ceil(2);
    if enough == 0 || seen.iter().filter(is_as_it_was).take(enough).count() < enough {
        return Err(VaultError::NotAsImported(folder.to_owned()));
    }
    Ok(())
}
