//! Why a vault could not do what was asked.
//!
//! Rules: a message says what is wrong in one line and never repeats its source, which
//! `std::error::Error::source` chains; [`VaultError::hint`] (see the module `hint`) says what to do; none holds a
//! secret.

use std::{io, path::PathBuf};

use super::PATH_LIMIT;
use crate::{
    db::DbError,
    event::{ParseRemoteNameError, RemoteName},
    id::{ImageId, NoteId, VaultId},
    images::ImageError,
    log::LogError,
    note::NoteError,
    remote::RemoteError,
    seal::KeyError,
    search::QueryError,
    segment::{SegmentError, VaultFileError},
};

/// Why a vault could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// There is no vault there.
    #[error("there is no vault in {}", .0.display())]
    NoVault(PathBuf),
    /// There is one already.
    #[error("there is a vault in {} already", .0.display())]
    Exists(PathBuf),
    /// Something else is there.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// What is in a folder did not come from this vault, so an export might destroy it.
    #[error("{} is not empty, and this vault did not export what is in it", .0.display())]
    NotExported(PathBuf),
    /// A folder was imported, and never exported to: whoever keeps it may not want all notes in it.
    #[error("{} was imported, and an export would write all notes of the vault there", .0.display())]
    OnlyImported(PathBuf),
    /// Nothing was imported from there, or most of that is not there now: it may be another folder.
    #[error("{} was not imported, or is not as it was then", .0.display())]
    NotAsImported(PathBuf),
    /// Of two folders that are kept in step with the vault, one is in the other.
    #[error("{} is to be exported to, and {} was imported or exported as well: one of them is in the other", .folder.display(), .other.display())]
    FolderWithin {
        /// The one that an export was to write to.
        folder: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// A folder of Markdown files was to be named, and it is none.
    #[error("{} is no folder", .0.display())]
    NotAFolder(PathBuf),
    /// A newer everleaf made it.
    #[error("the vault in {} has format {format}, which a newer everleaf made", path.display())]
    Newer {
        /// Where.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// Its log does not say what vault it is.
    #[error("the vault in {} is incomplete: its log is empty", .0.display())]
    Incomplete(PathBuf),
    /// A file of the vault does not say what it has to.
    #[error("{} is damaged", .0.display())]
    DamagedFile(PathBuf),
    /// The database could not.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The log could not.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A note could not be read or changed.
    #[error("note {} could not be used", note.short())]
    Note {
        /// The note.
        note: NoteId,
        /// Why.
        source: NoteError,
    },
    /// An image could not be taken in or given out.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file was to be taken in, and is no image that can be.
    #[error("{} was not taken in", path.display())]
    ImageFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// The key is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A remote could not do what was asked.
    #[error("remote `{remote}` can't be used")]
    Remote {
        /// Which.
        remote: RemoteName,
        /// Why; its own sources follow.
        source: RemoteError,
    },
    /// What a remote holds is not what was put there.
    #[error("remote `{remote}` holds what can't be read")]
    Segment {
        /// Which.
        remote: RemoteName,
        /// Why.
        source: SegmentError,
    },
    /// The file that says whose a remote is can't be read.
    #[error("remote `{remote}` can't be used")]
    RemoteVaultFile {
        /// Which.
        remote: RemoteName,
        /// Why.
        source: VaultFileError,
    },
    /// A remote belongs to another vault.
    #[error("remote `{remote}` belongs to vault {}, and this is vault {}", found.short(), expected.short())]
    WrongVault {
        /// Which remote.
        remote: RemoteName,
        /// Whose it is.
        found: VaultId,
        /// Whose it would have to be.
        expected: VaultId,
    },
    /// A remote holds another vault than the one that the key is of.
    #[error("remote `{0}` holds another vault than the one that the key is of")]
    WrongKey(RemoteName),
    /// The vault's own folder is no place for a remote or an export.
    #[error("{} is inside the vault", .0.display())]
    InsideVault(PathBuf),
    /// It can't be done while a sync runs.
    #[error("a sync is running")]
    Syncing,
    /// A remote holds no vault to join.
    #[error("remote `{0}` holds no vault yet")]
    NothingToJoin(RemoteName),
    /// No remote has that name.
    #[error("there is no remote `{0}`")]
    UnknownRemote(RemoteName),
    /// No remote was named, and there is not exactly one.
    #[error("{}", match .0 { 0 => "there is no remote yet".to_owned(), some => format!("there are {some} remotes") })]
    WhichRemote(usize),
    /// The name can't be one of a remote.
    #[error(transparent)]
    RemoteName(#[from] ParseRemoteNameError),
    /// Nothing can be looked for by that.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A device can't be called that.
    #[error("a device's name has 1 to 64 characters")]
    DeviceName,
    /// A note can't be at a path of this many bytes.
    #[error("a note's path has 1 to {PATH_LIMIT} bytes, not {0}")]
    NotePath(usize),
    /// No note is called that.
    #[error("no note is called `{0}`")]
    UnknownNote(String),
    /// Several notes are.
    #[error("`{query}` could be any of {} notes", candidates.len())]
    AmbiguousNote {
        /// What was asked for.
        query: String,
        /// The notes that it could be, with their titles.
        candidates: Vec<(NoteId, String)>,
    },
    /// No image is called that.
    #[error("no image is called `{0}`")]
    UnknownImage(String),
    /// The text of a note is too long.
    #[error("a note of {bytes} bytes is larger than the limit of {limit}")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The text of a note is not UTF-8.
    #[error("{} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// The local copy of an image may not go: nothing proves that a remote holds it.
    #[error("image {} is on no remote yet", .0.short())]
    OnlyCopy(ImageId),
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
    /// A task ended before its time.
    #[error("interrupted: {0}")]
    Interrupted(String),
}

/// An error and what caused it, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Errors of other libraries repeat what they wrap.
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}
