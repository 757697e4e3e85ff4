//! The 256 folders of images, and which of their entries are known to be on disk.
//!
//! An entry that exists need not survive a power cut: whoever renamed it may not have synced its
//! folder yet, or died before. To say "already here" of an image is a promise all the same, so each
//! folder is remembered as settled only while nothing was renamed into it since its last sync.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::ScopedJoinHandle,
};

use super::{ImageError, create_private, sync_folder};

/// How many folders are synced at once, where there are so many that threads are worth starting: a disk
/// takes little longer for several than for one.
const AT_ONCE: usize = 32;
const MANY: usize = 4;

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Its own entry in the folder of images is on disk.
    listed: bool,
    /// Its entries are on disk.
    settled: bool,
    /// A sync failed. The next would succeed whatever was lost, so there is none.
    failed: bool,
}

/// What is known of each folder.
#[derive(Debug)]
pub(super) struct Shards([Mutex<State>; 256]);

impl Shards {
    /// Those that exist in `folder`, which was just synced.
    pub(super) fn found_in(folder: &Path) -> io::Result<Self> {
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(folder)? {
            found.extend(parse(&entry?.file_name()));
        }
        Ok(Self(std::array::from_fn(|index| {
            let listed = u8::try_from(index).is_ok_and(|shard| found.contains(&shard));
            Mutex::new(State { listed, ..State::default() })
        })))
    }

    /// Renames something into a folder, which is created where it is not there.
    pub(super) fn place<T>(
        &self,
        folder: &Path,
        shard: u8,
        rename: impl FnOnce() -> Result<T, ImageError>,
    ) -> Result<T, ImageError> {
        let mut state = self.lock(shard);
        let path = path(folder, shard);
        if !path.is_dir() {
            state.listed = false;
            create_private(&path).map_err(ImageError::io("create the folder", &path))?;
        }
        state.settled = false;
        rename()
    }

    /// Makes the entries of folders durable: each that needs it is synced once, several at a time, and
    /// then `folder` itself if one of them is new.
    pub(super) fn settle(
        &self,
        folder: &Path,
        shards: impl IntoIterator<Item = u8>,
    ) -> Result<(), ImageError> {
        let shards: Vec<u8> = shards.into_iter().collect();
        let settle_each = |first: usize, step: usize| {
            let shards = shards.iter().skip(first).step_by(step);
            shards.map(|shard| self.settle_one(folder, *shard)).collect::<Result<Vec<_>, _>>()
        };
        let new = if shards.len() < MANY {
            settle_each(0, 1)?
        } else {
            let settled: Vec<_> = std::thread::scope(|scope| {
                let share = |first| scope.spawn(move || settle_each(first, AT_ONCE));
                let threads: Vec<_> = (0..AT_ONCE).map(share).collect();
                let done = threads.into_iter().map(ScopedJoinHandle::join);
                done.map(|share| share.unwrap_or_else(|cause| resume_unwind(cause))).collect()
            });
            settled.into_iter().collect::<Result<Vec<_>, _>>()?.concat()
        };
        let new: Vec<u8> = new.into_iter().flatten().collect();
        if new.is_empty() {
            return Ok(());
        }
        let synced = sync_folder(folder);
        for shard in new {
            let mut state = self.lock(shard);
            (state.listed, state.failed) = (synced.is_ok(), synced.is_err());
        }
        synced
    }

    /// Makes the entries of a folder durable; gives the folder where its own entry is not.
    fn settle_one(&self, folder: &Path, shard: u8) -> Result<Option<u8>, ImageError> {
        let mut state = self.lock(shard);
        let path = path(folder, shard);
        if state.failed {
            return Err(ImageError::SyncFailed { path });
        }
        if !state.settled {
            sync_folder(&path).inspect_err(|_| state.failed = true)?;
            state.settled = true;
        }
        Ok((!state.listed).then_some(shard))
    }

    #[expect(clippy::indexing_slicing, reason = "256 folders, a byte to choose among them")]
    fn lock(&self, shard: u8) -> MutexGuard<'_, State> {
        self.0[usize::from(shard)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number that a folder's name shows.
pub(super) fn parse(name: &OsStr) -> Option<u8> {
    let mut byte = [0];
    crate::id::decode_hex(name.to_str()?, &mut byte)?;
    let [shard] = byte;
    Some(shard)
}

fn path(folder: &Path, shard: u8) -> PathBuf {
    folder.join(format!("{shard:02x}"))
}
