//! The files of an import, read ahead of what is made of them.

use std::path::Path;

use super::{
    bookmarks::Bookmarks,
    stamps::{Look, Stamps},
};
use crate::{
    clock::Timestamp,
    note::Heads,
    vault::{Vault, VaultError, read_file},
};

/// A file that is a note.
pub(super) enum File {
    /// It is as it was, and shows what it showed, which is here.
    Same,
    Read(Read),
}

/// A file that was read.
pub(super) struct Read {
    pub(super) text: String,
    pub(super) blake3: String,
    /// How it looked before and after.
    pub(super) look: Option<Look>,
    /// When it was written.
    pub(super) at: Timestamp,
    /// What it takes in memory, with the note that was loaded for it.
    pub(super) bytes: usize,
    /// The version that it shows, where it is as it was and that version is here.
    pub(super) version: Option<Heads>,
}

/// Reads files that may be others than they were, looks up the versions of those that are not, and has the notes
/// loaded of those that were edited; gives what that takes in memory as well.
pub(super) fn read(
    vault: &Vault,
    folder: &Path,
    bookmarks: &Bookmarks,
    stamps: &Stamps,
    paths: &[String],
) -> (Vec<Result<File, VaultError>>, usize) {
    let one = |path: &String| {
        let (place, seen) = (folder.join(path), bookmarks.notes.get(path));
        let look = Look::at(&place);
        if seen.is_some_and(|seen| stamps.is_same(path, look, seen)) {
            return Ok(File::Same);
        }
        let (text, modified) = read_file(&place)?;
        stamps.count();
        let blake3 = blake3::hash(text.as_bytes()).to_hex().to_string();
        let look = look.filter(|_| Look::at(&place) == look);
        let (mut bytes, mut version) = (text.len(), None);
        match seen {
            Some(seen) if seen.blake3 != blake3 => bytes += vault.prepare(seen.note),
            // Where that can't be said, whoever asks again is told why.
            Some(seen) if vault.names_version(&seen.heads).unwrap_or(false) => {
                version = Some(seen.heads.clone());
            }
            _ => {}
        }
        let at = vault.written_at(modified);
        Ok(File::Read(Read { text, blake3, look, at, bytes, version }))
    };
    let files: Vec<Result<File, VaultError>> = paths.iter().map(one).collect();
    let bytes = files.iter().flatten().map(File::bytes).sum();
    (files, bytes)
}

impl File {
    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let more = if let Self::Read(read) = self { read.bytes } else { 0 };
        size_of::<Self>() + more
    }
}

/// Why a file can't be a note, for people.
pub(super) fn unreadable(error: &VaultError) -> String {
    match error {
        VaultError::NotText(_) => "it is not UTF-8 text".to_owned(),
        VaultError::Io { action, source, .. } => format!("could not {action} it: {source}"),
        error => error.to_string(),
    }
}
