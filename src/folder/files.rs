//! The files of an import, read ahead of what is made of them.

use std::path::Path;

use super::bookmarks::Bookmarks;
use crate::{
    clock::Timestamp,
    vault::{Vault, VaultError, read_file},
};

/// A file that was read.
pub(super) struct File {
    pub(super) text: String,
    pub(super) blake3: String,
    /// When it was written.
    pub(super) at: Timestamp,
}

/// Reads files, and has the notes loaded of those that were edited; gives what that takes in memory as well.
pub(super) fn read(
    vault: &Vault,
    folder: &Path,
    bookmarks: &Bookmarks,
    paths: &[String],
) -> (Vec<Result<File, VaultError>>, usize) {
    let mut taken = 0;
    let mut one = |path: &String| {
        let (text, modified) = read_file(&folder.join(path))?;
        let blake3 = blake3::hash(text.as_bytes()).to_hex().to_string();
        taken += text.len();
        let seen = bookmarks.notes.get(path);
        if let Some(seen) = seen.filter(|seen| seen.blake3 != blake3) {
            taken += vault.prepare(seen.note);
        }
        Ok(File { text, blake3, at: vault.written_at(modified) })
    };
    (paths.iter().map(&mut one).collect(), taken)
}

/// Why a file can't be a note, for people.
pub(super) fn unreadable(error: &VaultError) -> String {
    match error {
        VaultError::NotText(_) => "it is not UTF-8 text".to_owned(),
        VaultError::Io { action, source, .. } => format!("could not {action} it: {source}"),
        error => error.to_string(),
    }
}
