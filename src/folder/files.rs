//! The files of an import, read ahead of what is made of them.

use std::path::Path;

use super::bookmarks::Bookmarks;
use crate::{
    clock::Timestamp,
    note::Heads,
    vault::{Vault, VaultError, read_file},
};

/// A file that was read.
pub(super) struct File {
    pub(super) text: String,
    pub(super) blake3: String,
    /// When it was written.
    pub(super) at: Timestamp,
    /// What it takes in memory, with the note that was loaded for it.
    pub(super) bytes: usize,
    /// The version that it shows, where it is as it was and that version is here.
    pub(super) version: Option<Heads>,
}

/// Reads files, looks up the versions of those that are as they were, and has the notes loaded of those that
/// were edited; gives what that takes in memory as well.
pub(super) fn read(
    vault: &Vault,
    folder: &Path,
    bookmarks: &Bookmarks,
    paths: &[String],
) -> (Vec<Result<File, VaultError>>, usize) {
    let one = |path: &String| {
        let (text, modified) = read_file(&folder.join(path))?;
        let blake3 = blake3::hash(text.as_bytes()).to_hex().to_string();
        let (mut bytes, mut version) = (text.len(), None);
        match bookmarks.notes.get(path) {
            Some(seen) if seen.blake3 != blake3 => bytes += vault.prepare(seen.note),
            // Where that can't be said, whoever asks again is told why.
            Some(seen) if vault.names_version(&seen.heads).unwrap_or(false) => {
                version = Some(seen.heads.clone());
            }
            _ => {}
        }
        Ok(File { text, blake3, at: vault.written_at(modified), bytes, version })
    };
    let files: Vec<Result<File, VaultError>> = paths.iter().map(one).collect();
    let bytes = files.iter().flatten().map(|file| file.bytes).sum();
    (files, bytes)
}

/// Why a file can't be a note, for people.
pub(super) fn unreadable(error: &VaultError) -> String {
    match error {
        VaultError::NotText(_) => "it is not UTF-8 text".to_owned(),
        VaultError::Io { action, source, .. } => format!("could not {action} it: {source}"),
        error => error.to_string(),
    }
}
