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
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use super::{
    bookmarks::{LIMIT, Seen, in_vault},
    write,
};
use crate::{
    id::{EventHash, ImageId, Seq},
    note::Heads,
    vault::{Vault, VaultError},
};

/// What the checksum is derived with. Another number for whatever stores something else, and for whatever finds
/// images in other texts than before.
const CONTEXT: &str = "everleaf 2026-11-30 stamps of files, version 1";
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

impl Stamp {
    /// That of a file; none of a link, or of what is no file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::symlink_metadata(path).ok().filter(Metadata::is_file).as_ref().map(Self::from)
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
    /// The time at which the reading began, by the clock that stamps files of the vault; none where nothing is to be
    /// kept.
    began: Option<i64>,
    /// Whether the folder is on another file system than the vault.
    is_far: bool,
    read: AtomicU64,
}

impl Stamps {
    /// What is known of the files of a folder; nothing, if all are to be read again.
    pub(super) fn load(vault: &Vault, folder: &Path, reread: bool) -> Result<Self, VaultError> {
        let path = in_vault(vault, folder).with_extension("stamps");
        let kept = if reread { None } else { read(&path) }.unwrap_or_default();
        // A vault that lost its end, and was given another, may not have the versions.
        let has_versions = vault.has_event(kept.log)?;
        let now = tempfile::tempfile_in(vault.folder()).and_then(|file| file.metadata()).ok();
        let device = fs::metadata(folder).map(|metadata| metadata.dev()).ok();
        let mut stamps = Self {
            path,
            kept,
            fresh: Mutex::default(),
            began: now.as_ref().map(|now| Stamp::from(now).changed),
            is_far: now.map(|now| now.dev()) != device,
            read: AtomicU64::new(0),
        };
        if !has_versions {
            stamps.forget_notes();
        }
        Ok(stamps)
    }

    /// Takes no note for what it was.
    pub(super) fn forget_notes(&mut self) {
        self.kept.files.retain(|_, known| matches!(known.held, Held::Image(_)));
    }

    /// Whether the file at `place` has the stamp `now`, and shows what it showed when it was last `seen`,
    /// whatever other files hold.
    pub(super) fn is_same(&self, place: &str, now: Option<Stamp>, seen: &Seen) -> bool {
        self.kept.files.get(place).is_some_and(|known| {
            let held = || Held::note(&seen.blake3, &seen.heads);
            now == Some(known.stamp) && !seen.gone && known.held == held()
        })
    }

    /// The image that the file at `place` is, which is at `path`; it is read if that is not known.
    pub(super) fn image(&self, place: &str, path: &Path) -> io::Result<ImageId> {
        let before = Stamp::of(path);
        if let Some(Known { stamp, held: Held::Image(image) }) = self.kept.files.get(place)
            && before == Some(*stamp)
        {
            return Ok(*image);
        }
        self.count();
        let image = ImageId::from_bytes(*write::hash(path)?.as_bytes());
        self.is_image(place, path, before, image);
        Ok(image)
    }

    /// Remembers an image that was read from the file at `place`, which had the stamp `before`.
    pub(super) fn is_image(&self, place: &str, path: &Path, before: Option<Stamp>, image: ImageId) {
        let stamp = before.filter(|_| Stamp::of(path) == before);
        self.remember(place, stamp, Held::Image(image));
    }

    /// Remembers a note that was read, which had this stamp before and after.
    pub(super) fn is_note(&self, place: &str, stamp: Option<Stamp>, blake3: &str, shows: &Heads) {
        self.remember(place, stamp, Held::note(blake3, shows));
    }

    fn remember(&self, place: &str, stamp: Option<Stamp>, held: Held) {
        if let (Some(stamp), Some(began)) = (stamp, self.began)
            && is_settled(stamp.modified, stamp.changed, began, self.is_far)
        {
            let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            fresh.insert(place.to_owned(), Known { stamp, held });
        }
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
