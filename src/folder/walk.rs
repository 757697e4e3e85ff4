//! The files of a folder.

use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use super::{Skipped, kept::is_export};
use crate::{
    resolve::Tree,
    vault::{Vault, VaultError, io},
};

/// What is in a folder.
pub(super) struct Files {
    /// Its notes, by path and in order.
    pub(super) notes: Vec<String>,
    /// How many others there are.
    pub(super) others: usize,
    /// All of its files.
    pub(super) tree: Tree,
    /// What is there, but can't be used.
    pub(super) skipped: Vec<Skipped>,
}

/// Lists `folder` without the vault, should that be in it, and without folders that it was exported to.
pub(super) fn walk(folder: &Path, vault: &Vault) -> Result<Files, VaultError> {
    let own = vault.id()?;
    let vault = vault.folder().canonicalize().map_err(io("read", vault.folder()))?;
    let (mut paths, mut skipped) = (Vec::new(), Vec::new());
    let visible = |entry: &DirEntry| {
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        entry.depth() == 0 || !(hidden || entry.path() == vault)
    };
    let mut walk = WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(visible);
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 => return Err(io("read", folder)(error.into())),
            Err(error) => {
                let path = error.path().unwrap_or(folder);
                let path = path.strip_prefix(folder).unwrap_or(path).display().to_string();
                let reason = error.io_error().map_or_else(String::new, ToString::to_string);
                skipped.push(Skipped::new(path, format!("it can't be read: {reason}")));
                continue;
            }
        };
        if entry.depth() == 0 || entry.file_type().is_dir() {
            if !entry.file_type().is_dir() {
                return Err(io("read", folder)(std::io::ErrorKind::NotADirectory.into()));
            }
            if entry.depth() == 0 || !is_export(entry.path(), own) {
                continue;
            }
            walk.skip_current_dir();
        }
        let path = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        let reason = if entry.file_type().is_dir() {
            "it is an export of this vault; import it by itself, if anything was changed in it"
        } else if entry.path_is_symlink() {
            "it is a symbolic link, and these are not followed"
        } else if !entry.file_type().is_file() {
            "it is not a file"
        } else if let Some(path) = path.to_str() {
            paths.push(path.to_owned());
            continue;
        } else {
            "its name is not UTF-8"
        };
        skipped.push(Skipped::new(path.display().to_string(), reason));
    }
    let mut notes: Vec<String> = paths.iter().filter(|path| is_note(path)).cloned().collect();
    notes.sort();
    let others = paths.len() - notes.len();
    Ok(Files { notes, others, tree: Tree::new(paths), skipped })
}

/// Whether a file is a note, by its name.
pub(super) fn is_note(path: &str) -> bool {
    let extension = Path::new(path).extension().unwrap_or_default();
    extension.eq_ignore_ascii_case("md") || extension.eq_ignore_ascii_case("markdown")
}
