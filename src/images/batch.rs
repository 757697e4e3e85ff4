//! Many images at once: files are synced while the next are read, and each folder once at the end.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    io::Read,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
};

use super::{ImageError, Images, Stored, at, draft::Finished, shard};

/// How many files are synced at once: a disk takes little longer for them than for one.
const AT_ONCE: usize = 32;
/// How many files, and how many bytes of them, wait to be synced at most.
const MOST: usize = 128;
const MOST_BYTES: u64 = 32 << 20;

type Synced = Result<Finished, ImageError>;

/// Images that are taken in together. An image gets its name once its bytes are on disk, as any other
/// does; that the name is on disk too is only certain after [`finish`](Self::finish).
#[must_use = "what was taken in is not on disk to stay before `finish`"]
#[derive(Debug)]
pub struct Batch<'a> {
    images: &'a Images,
    touched: BTreeSet<u8>,
    /// In the order in which they came, which is the order in which they get their names.
    waiting: VecDeque<Waiting>,
    bytes: u64,
    /// Those of all that it has taken in.
    sizes: HashSet<u64>,
    /// One that was taken in could not be given its name.
    is_broken: bool,
    work: Option<Sender<(Finished, SyncSender<Synced>)>>,
}

/// A file that has no name yet.
#[derive(Debug)]
struct Waiting {
    stored: Stored,
    file: Unsynced,
}

#[derive(Debug)]
enum Unsynced {
    /// Nobody syncs it yet.
    Here(Finished),
    /// A thread does, and tells.
    Under(Receiver<Synced>),
}

impl<'a> Batch<'a> {
    pub(super) fn of(images: &'a Images) -> Self {
        let (touched, waiting, sizes) = (BTreeSet::new(), VecDeque::new(), HashSet::new());
        Self { images, touched, waiting, bytes: 0, sizes, is_broken: false, work: None }
    }

    /// Takes in what `reader` gives, up to its end.
    ///
    /// # Errors
    ///
    /// As [`Images::ingest`]; the batch goes on without it. Where it is another that could not be kept, the
    /// batch will not [`finish`](Self::finish).
    pub fn ingest(&mut self, reader: &mut dyn Read) -> Result<Stored, ImageError> {
        let finished = self.images.draft(reader)?;
        self.take(finished)
    }

    /// Takes in a file.
    ///
    /// # Errors
    ///
    /// As [`ingest`](Self::ingest), and where `path` is no file.
    pub fn ingest_file(&mut self, path: &Path) -> Result<Stored, ImageError> {
        let looked = self.images.look(path, |bytes| self.sizes.contains(&bytes))?;
        if self.holds(&looked.known) {
            return Ok(self.touch(Stored { already: true, ..looked.known }));
        }
        let finished = self.images.draft_looked(looked).map_err(at("read", path))?;
        self.take(finished)
    }

    /// Gives all files their names and syncs each folder once. When this returns, all that was taken in
    /// is on disk to stay.
    ///
    /// # Errors
    ///
    /// [`ImageError::Io`]: none of it is certain.
    pub fn finish(mut self) -> Result<(), ImageError> {
        while !self.waiting.is_empty() {
            self.publish_first()?;
        }
        if self.is_broken {
            return Err(ImageError::SyncFailed { path: self.images.tmp.clone() });
        }
        self.images.shards.settle(&self.images.folder, self.touched)
    }

    fn take(&mut self, finished: Finished) -> Result<Stored, ImageError> {
        let stored = finished.stored;
        if self.holds(&stored) {
            return Ok(self.touch(Stored { already: true, ..stored }));
        }
        self.bytes += stored.bytes;
        self.sizes.insert(stored.bytes);
        self.waiting.push_back(Waiting { stored, file: Unsynced::Here(finished) });
        // One alone is synced at the end, by whoever ends it.
        if self.waiting.len() > 1 {
            self.hand_over();
        }
        while self.waiting.len() > MOST || (self.bytes > MOST_BYTES && self.waiting.len() > 1) {
            self.publish_first()?;
        }
        Ok(self.touch(stored))
    }

    /// Whether an image is here, or about to be.
    fn holds(&self, stored: &Stored) -> bool {
        self.waiting.iter().any(|waiting| waiting.stored.image == stored.image)
            || self.images.holds(stored)
    }

    fn touch(&mut self, stored: Stored) -> Stored {
        self.touched.insert(shard(stored.image));
        stored
    }

    /// Has threads sync what waits.
    fn hand_over(&mut self) {
        let work = self.work.get_or_insert_with(syncing);
        for waiting in &mut self.waiting {
            if let Unsynced::Under(_) = waiting.file {
                continue;
            }
            let (tell, told) = sync_channel(1);
            let file = std::mem::replace(&mut waiting.file, Unsynced::Under(told));
            let Unsynced::Here(finished) = file else { continue };
            if let Err(unsent) = work.send((finished, tell)) {
                // There are no threads to be had.
                waiting.file = Unsynced::Here(unsent.0.0);
            }
        }
    }

    fn publish_first(&mut self) -> Result<(), ImageError> {
        let Some(Waiting { stored, file }) = self.waiting.pop_front() else { return Ok(()) };
        self.bytes -= stored.bytes;
        let synced = match file {
            Unsynced::Here(finished) => finished.synced(),
            Unsynced::Under(told) => told.recv().unwrap_or_else(|_| {
                let path = self.images.tmp.clone();
                Err(ImageError::SyncFailed { path })
            }),
        };
        // Whoever is told may have asked for another.
        let published = synced.and_then(|synced| self.images.publish(synced)).map(drop);
        self.is_broken |= published.is_err();
        published
    }
}

/// Starts threads that sync files for as long as somebody may send them any.
fn syncing() -> Sender<(Finished, SyncSender<Synced>)> {
    let (work, jobs) = channel::<(Finished, SyncSender<Synced>)>();
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..AT_ONCE {
        let jobs = Arc::clone(&jobs);
        let next = move || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let work = move || {
            while let Ok((finished, tell)) = next() {
                // A batch that was dropped wants none of them, and then the file goes with it.
                let _ = tell.send(finished.synced());
            }
        };
        // With fewer threads it takes longer.
        let _ = std::thread::Builder::new().name("everleaf-sync".into()).spawn(work);
    }
    work
}
