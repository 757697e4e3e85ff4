//! What a person can do about an error.
//!
//! Hints name what is to be done, and no command or button that does it: whoever shows one may say it in the words of
//! their own program, by comparing it with the constants here. They are the same by way of a socket.

use std::{error::Error, io};

use super::VaultError;
use crate::{
    db::DbError,
    images::ImageError,
    log::{FoldError, LogError},
    note::NoteError,
    remote::RemoteError,
};

/// Of [`VaultError::NoVault`].
pub const NO_VAULT: &str = "make a vault there, join one, or name another folder";
/// Of [`VaultError::Exists`].
pub const EXISTS: &str = "name another folder, or use this vault as it is";
/// Of [`VaultError::NotEmpty`].
pub const NOT_EMPTY: &str = "name an empty or a new folder";
/// Of [`VaultError::NotAFolder`].
pub const NOT_A_FOLDER: &str = "name a folder; one file is taken in as a new note";
/// Of [`VaultError::OnlyImported`].
pub const ONLY_IMPORTED: &str = "export to an empty or a new folder, or adopt this one";
/// Of [`VaultError::NotAsImported`].
pub const NOT_AS_IMPORTED: &str = "import it first, and export then";
/// Of [`VaultError::UnknownNote`].
pub const UNKNOWN_NOTE: &str = "the list of the notes has their ids, paths and titles";
/// Of [`VaultError::UnknownImage`].
pub const UNKNOWN_IMAGE: &str = "the list of the images has their ids";
/// Of [`VaultError::UnknownRemote`].
pub const UNKNOWN_REMOTE: &str = "the list of the remotes has their names";
/// Of [`VaultError::WhichRemote`] where there is none.
pub const NO_REMOTE: &str = "add one";
/// Of [`VaultError::WhichRemote`].
pub const WHICH_REMOTE: &str = "name one of them";
/// Of [`VaultError::WrongKey`].
pub const WRONG_KEY: &str = "check the URL, and take the key from a device that has the vault";
/// Of [`VaultError::Key`].
pub const NO_KEY: &str = "take it from a device that has the vault";
/// Of [`VaultError::NothingToJoin`].
pub const NOTHING_TO_JOIN: &str = "check the URL, and sync a device that has the vault";
/// Of [`VaultError::ImageFile`] where the file is too large.
pub const IMAGE_LIMIT: &str = "open the vault with a higher limit";
/// Of [`VaultError::Image`] where its file is damaged or gone.
pub const IMAGE_GONE: &str = "a repair and a sync fetch it again, if a remote holds it";
/// Of [`VaultError::OnlyCopy`].
pub const ONLY_COPY: &str = "sync first";
/// Of [`RemoteError::NoDirectory`].
pub const NO_DIRECTORY: &str = "connect its disk, or add the remote anew with the right path";
/// Of [`RemoteError::NoBucket`].
pub const NO_BUCKET: &str = "add the remote anew with the right URL";
/// Of [`RemoteError::Busy`].
pub const BUSY: &str = "sync again in a while";
/// Of [`RemoteError::Denied`].
pub const DENIED: &str = "give an access key and its secret, or the profile that has them";
/// Where the folder of a vault may not be written to.
pub const READ_ONLY: &str = "a vault is written to even where it is only read: make its folder writable, or open a \
copy of it";
/// Where a vault is damaged.
pub const REPLACE: &str = "restore the folder from a backup, or join the vault anew in another folder, with the key \
that this one still has; keep this one if it has what was never synced";

const FAILING: &str = "check the disk, and try again; what was done before is kept";
const FULL: &str = "free some space, and try again; what was done before is kept";
/// EIO.
const IO_FAILED: i32 = 5;

impl VaultError {
    /// What a person can do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        if let Self::AmbiguousNote { candidates, .. } = self {
            let shown = candidates.iter().take(5);
            let name = |title: &str| if title.is_empty() { "(no title)" } else { title }.to_owned();
            let names: Vec<String> =
                shown.map(|(note, title)| format!("{note}  {}", name(title))).collect();
            return Some(format!("give more of the id:\n  {}", names.join("\n  ")));
        }
        self.disk_trouble().or_else(|| self.remedy()).map(str::to_owned)
    }

    fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoVault(_) => NO_VAULT,
            Self::Exists(_) => EXISTS,
            Self::NotEmpty(_) => NOT_EMPTY,
            Self::NotExported(_) | Self::FolderWithin { .. } => {
                "export to an empty or a new folder"
            }
            Self::OnlyImported(_) => ONLY_IMPORTED,
            Self::NotAsImported(_) => NOT_AS_IMPORTED,
            Self::NotAFolder(_) => NOT_A_FOLDER,
            Self::Newer { .. } => "use the everleaf that made it, or a newer one",
            Self::Incomplete(_)
            | Self::DamagedFile(_)
            | Self::Db(DbError::Damaged { .. })
            | Self::Log(
                LogError::Damaged(_)
                | LogError::Altered { .. }
                | LogError::Db(DbError::Damaged { .. }),
            ) => REPLACE,
            Self::Db(DbError::Locked { .. }) | Self::Log(LogError::Db(DbError::Locked { .. })) => {
                "wait until that process ends, or end it"
            }
            Self::Db(DbError::Poisoned) | Self::Log(LogError::Db(DbError::Poisoned)) => {
                "check that the disk is not full, and try again"
            }
            Self::Note { source: NoteError::Full, .. } => {
                "copy its text into a new note, and see who has the vault's key"
            }
            Self::UnknownNote(_) => UNKNOWN_NOTE,
            Self::UnknownImage(_) => UNKNOWN_IMAGE,
            Self::UnknownRemote(_) => UNKNOWN_REMOTE,
            Self::WhichRemote(0) => NO_REMOTE,
            Self::WhichRemote(_) => WHICH_REMOTE,
            Self::WrongVault { .. } => {
                "check the URL: each vault needs a bucket, prefix or folder of its own"
            }
            Self::InsideVault(_) => "name a folder outside of it",
            Self::Image(ImageError::SyncFailed { .. }) => FAILING,
            Self::Syncing => "wait until it ends, or stop it",
            Self::WrongKey(_) => WRONG_KEY,
            Self::Key(_) => NO_KEY,
            Self::ImageFile { source: ImageError::TooLarge { .. }, .. } => IMAGE_LIMIT,
            Self::Io { source, .. } | Self::Image(ImageError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                "check the path"
            }
            Self::NothingToJoin(_) => NOTHING_TO_JOIN,
            Self::TooLong { .. } => "split the note",
            Self::NotText(_) => "save it as UTF-8",
            Self::Image(ImageError::Missing { .. } | ImageError::Damaged { .. }) => IMAGE_GONE,
            Self::OnlyCopy(_) => ONLY_COPY,
            Self::Log(LogError::Refused(FoldError::NoFile(_))) => "do it again",
            Self::Remote { source, .. } => return of_remote(source),
            _ => return None,
        })
    }

    /// What to do where the disk is full or can't be written to, and that is why.
    fn disk_trouble(&self) -> Option<&'static str> {
        use io::ErrorKind::{
            FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        let sources =
            std::iter::successors(Some(self as &(dyn Error + 'static)), |error| (**error).source());
        let of_vault = matches!(self, Self::Db(_) | Self::Log(_));
        sources.filter_map(|error| error.downcast_ref::<io::Error>()).find_map(|error| match error
            .kind()
        {
            StorageFull | QuotaExceeded | FileTooLarge => Some(FULL),
            ReadOnlyFilesystem | PermissionDenied if of_vault => Some(READ_ONLY),
            ReadOnlyFilesystem | PermissionDenied => Some("check that it can be read and written"),
            _ => (error.raw_os_error() == Some(IO_FAILED)).then_some(FAILING),
        })
    }
}

const fn of_remote(error: &RemoteError) -> Option<&'static str> {
    Some(match error {
        RemoteError::Offline { .. } => {
            "check the network and the endpoint; what is pending stays and is sent next time"
        }
        RemoteError::NoDirectory { .. } => NO_DIRECTORY,
        RemoteError::NoBucket { .. } => NO_BUCKET,
        RemoteError::Busy { .. } => BUSY,
        RemoteError::Denied { .. } => DENIED,
        _ => return None,
    })
}
