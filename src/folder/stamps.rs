//! What the files of a folder were when they were last read.
//!
//! A folder may hold a life's pictures, and nearly all files are as they were. One that has the size, the times
//! and the number that it had is not read again, as with git, rsync and restic.
//!
//! ```text
//! VAULT/folders/<32 hex>.stamps     beside the bookmarks: a checksum, and a `Kept` in postcard
//! ```
//!
//! It is a cache: without it, or where it is damaged, all files are read.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

use super::{
    bookmarks::Seen,
    kept::{LIMIT, in_vault},
    write,
};
use crate::{
    id::{EventHash, ImageId, Seq},
    note::Heads,
    vault::{Vault, VaultError},
};

/// What the checksum is derived with. Another number for whatever stores something else, and for whatever finds
/// images in other texts than before.
const CONTEXT: &str = "everleaf 2026-11-30 stamps of files, version 2";
/// How long before it was read a file must have been as it is, in nanoseconds: whoever writes it again in the same
/// tick of its file system leaves no trace.
const TICK: i64 = SECOND / 10;
/// The same where its file system counts in seconds, or in two,
const LONG_TICK: i64 = 3 * SECOND;
/// and where it may be in another computer, with another clock.
const FAR: i64 = 3600 * SECOND;
const SECOND: i64 = 1_000_000_000;

/// What a file system says of a file, and what changes whenever the file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    bytes: u64,
    /// When its bytes were last written, in nanoseconds since 1970.
    modified: i64,
    /// When it was last touched in any way, which no program can set. Some file systems only know the other.
    changed: i64,
    /// Its inode: another one where it was replaced as a whole, unless its file system makes numbers of names.
    number: u64,
}

/// A file that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    stamp: Stamp,
    /// The file system that it is on. After the next start of the system that may have another number.
    device: u64,
}

impl Look {
    /// Looks at a file; at no link, and at nothing that is no file.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok().filter(Metadata::is_file)?;
        Some(Self { stamp: Stamp::from(&metadata), device: metadata.dev() })
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        let time = |seconds: i64, nanos| seconds.saturating_mul(SECOND).saturating_add(nanos);
        Self {
            bytes: metadata.size(),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
            number: metadata.ino(),
        }
    }
}

/// Which file something is, or was, and when: its file system gives its number to another once it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct File {
    pub(super) number: u64,
    /// In nanoseconds since 1970.
    pub(super) at: i64,
}

/// The file at `path`, and when it was created; `None` where its file system does not tell.
pub(super) fn created(path: &Path) -> Option<File> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let since = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(File { number: metadata.ino(), at: i64::try_from(since.as_nanos()).ok()? })
}

/// Whether a file that was written and touched at these times could not be written again from `now` on and have the
/// same; all in nanoseconds. `is_far` says whether another clock than that of `now` may have stamped it.
#[must_use]
pub fn is_settled(modified: i64, changed: i64, now: i64, is_far: bool) -> bool {
    let is_coarse = |time: i64| time % SECOND == 0;
    let tick = match (is_far, is_coarse(modified) || is_coarse(changed)) {
        (true, _) => FAR,
        (false, true) => LONG_TICK,
        (false, false) => TICK,
    };
    modified.max(changed).saturating_add(tick) < now
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    held: Held,
}

/// What was in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Held {
    Image(ImageId),
    /// A note in which no destination could be an image, so that it shows the same whatever happens to other files:
    /// the hash of its bytes and of the version that it shows, which is in the vault.
    Note([u8; 32]),
    /// What is to be read: what it shows depends on other files, it was written a moment before it was read, or
    /// nothing is believed. Only which file it was is of use.
    Read,
}

impl Held {
    fn note(blake3: &str, shows: &Heads) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(blake3.as_bytes());
        for head in shows.as_slice() {
            hasher.update(head.as_bytes());
        }
        Self::Note(*hasher.finalize().as_bytes())
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The last event of the log when the versions were found in the vault.
    log: Option<(Seq, EventHash)>,
    files: BTreeMap<String, Known>,
}

/// What is known of the files of a folder.
#[derive(Debug)]
pub(super) struct Stamps {
    path: PathBuf,
    kept: Kept,
    /// What is known of files that were read since.
    fresh: Mutex<BTreeMap<String, Known>>,
    /// A file that was made in the vault when the reading began; none where nothing is to be kept.
    began: Option<Look>,
    read: AtomicU64,
}

impl Stamps {
    /// What is known of the files of a folder; nothing, if all are to be read again.
    pub(super) fn load(vault: &Vault, folder: &Path, reread: bool) -> Result<Self, VaultError> {
        let path = in_vault(vault, folder).with_extension("stamps");
        let mut kept = read(&path).unwrap_or_default();
        if reread {
            kept.files.values_mut().for_each(|known| known.held = Held::Read);
        }
        // A vault that lost its end, and was given another, may not have the versions.
        let has_versions = vault.has_event(kept.log)?;
        let now = tempfile::tempfile_in(vault.folder()).and_then(|file| file.metadata()).ok();
        let began = now.map(|now| Look { stamp: Stamp::from(&now), device: now.dev() });
        let fresh = Mutex::default();
        let mut stamps = Self { path, kept, fresh, began, read: AtomicU64::new(0) };
        if !has_versions {
            stamps.forget_notes();
        }
        Ok(stamps)
    }

    /// Takes no note for what it was.
    pub(super) fn forget_notes(&mut self) {
        let notes =
            self.kept.files.values_mut().filter(|known| matches!(known.held, Held::Note(_)));
        notes.for_each(|known| known.held = Held::Read);
    }

    /// Whether the file at `place` looks as it did, and shows what it showed when it was last `seen`, whatever other
    /// files hold.
    pub(super) fn is_same(&self, place: &str, look: Option<Look>, seen: &Seen) -> bool {
        self.known(place, look)
            .is_some_and(|held| !seen.gone && *held == Held::note(&seen.blake3, &seen.heads))
    }

    /// Which file was at `place` when it was last touched.
    pub(super) fn file(&self, place: &str) -> Option<File> {
        let Stamp { number, changed, .. } = self.kept.files.get(place)?.stamp;
        Some(File { number, at: changed })
    }

    /// What was in the file at `place` when it looked like this.
    fn known(&self, place: &str, look: Option<Look>) -> Option<&Held> {
        let known = self.kept.files.get(place)?;
        (look?.stamp == known.stamp).then_some(&known.held)
    }

    /// The image that the file at `place` is, which is at `path`; it is read if that is not known.
    pub(super) fn image(&self, place: &str, path: &Path) -> io::Result<ImageId> {
        let look = Look::at(path);
        if let Some(Held::Image(image)) = self.known(place, look) {
            return Ok(*image);
        }
        self.count();
        let image = ImageId::from_bytes(*write::hash(path)?.as_bytes());
        self.is_image(place, path, look, image);
        Ok(image)
    }

    /// Remembers an image that was read from the file at `place`, which looked like this before.
    pub(super) fn is_image(&self, place: &str, path: &Path, look: Option<Look>, image: ImageId) {
        let look = look.filter(|_| Look::at(path) == look);
        self.remember(place, look, Held::Image(image));
    }

    /// Remembers which file a note was in, whatever is in that.
    pub(super) fn saw(&self, place: &str, look: Option<Look>) {
        if let (Some(Look { stamp, .. }), None) = (look, self.known(place, look)) {
            self.fresh().insert(place.to_owned(), Known { stamp, held: Held::Read });
        }
    }

    /// Remembers a note that was read, which looked like this before and after, and shows the same whatever happens
    /// to other files.
    pub(super) fn is_note(&self, place: &str, look: Option<Look>, blake3: &str, shows: &Heads) {
        self.remember(place, look, Held::note(blake3, shows));
    }

    fn remember(&self, place: &str, look: Option<Look>, held: Held) {
        let (Some(Look { stamp, device }), Some(began)) = (look, self.began) else { return };
        let is_far = device != began.device;
        if is_settled(stamp.modified, stamp.changed, began.stamp.changed, is_far) {
            self.fresh().insert(place.to_owned(), Known { stamp, held });
        }
    }

    fn fresh(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a file that was read.
    pub(super) fn count(&self) {
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    /// How many files were read.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Writes down what is known of the files that are there. What can't be, is read another time.
    pub(super) fn save(self, vault: &Vault, is_there: impl Fn(&str) -> bool) {
        let Self { path, mut kept, fresh, .. } = self;
        let fresh = fresh.into_inner().unwrap_or_else(PoisonError::into_inner);
        let before = kept.files.len();
        kept.files.retain(|place, _| is_there(place));
        if fresh.is_empty() && kept.files.len() == before {
            return;
        }
        kept.files.extend(fresh);
        kept.log = vault.last_event().ok().flatten();
        if let Err(error) = write(&path, &kept) {
            tracing::warn!(%error, path = %path.display(), "could not keep what files were");
        }
    }
}

/// What somebody wrote down; `None` where that is not whole.
fn read(path: &Path) -> Option<Kept> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(LIMIT).read_to_end(&mut bytes).ok()?;
    let (checksum, kept) = bytes.split_first_chunk::<32>()?;
    (blake3::derive_key(CONTEXT, kept) == *checksum).then(|| postcard::from_bytes(kept).ok())?
}

/// Nothing is synced: what a crash leaves half written is not believed.
fn write(path: &Path, kept: &Kept) -> io::Result<()> {
    let kept = postcard::to_stdvec(kept).map_err(io::Error::other)?;
    let folder = path.parent().unwrap_or(path);
    let mut file = write::temporary(folder, write::PRIVATE)?;
    file.write_all(&blake3::derive_key(CONTEXT, &kept))?;
    file.write_all(&kept)?;
    file.persist(path)?;
    Ok(())
}
