//! The façade: the only appender, and the only place where decisions meet I/O.
//!
//! ```text
//! VAULT/
//!   vault.json   format and vault id: what makes the folder a vault, written last
//!   key          the vault key, readable by its owner alone
//!   db/          the database: the log, the projections, the cache
//!   head         the last event that was acknowledged (see the module `log`)
//!   images/      the images, by their hashes
//!   folders/     what was imported from where, and at which heads; what its files were when they were read
//!   journals/    journals of the database as unclean stops left them, the last three
//!   lock open tmp/
//! ```
//!
//! What is here blocks and knows no runtime, but for what talks to a remote: [`Vault::sync`],
//! [`Vault::watch`], [`Vault::connect`], [`Vault::add_remote`], [`Vault::check_joinable`],
//! [`Vault::verify_remote`] and [`Vault::verify_remote_images`] are async on tokio, and have what takes long
//! done by threads that may block. So is [`Vault::close`], and [`Vault::follow`] gives what can be waited for
//! on any runtime.

mod abreast;
mod ahead;
mod audit;
mod batch;
mod cache;
mod checkpoint;
mod draft;
mod error;
mod evict;
mod exchange;
mod fetch;
mod former;
pub mod hint;
mod history;
mod late;
mod list;
mod names;
mod notes;
mod open;
mod parse;
mod pull;
mod push;
mod remotes;
mod reseal;
mod search;
mod segments;
mod spelling;
mod status;
mod trail;
mod uploads;
mod verify;
mod whole;

use std::{
    collections::HashSet,
    fmt,
    num::NonZero,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
};

pub(crate) use self::{
    batch::{Near, NewFile},
    notes::read_file,
    open::io,
};
pub use self::{
    error::{VaultError, chain},
    exchange::{Pass, Progress, SyncImages, SyncOptions, SyncReport, Totals},
    history::Version,
    list::Listed,
    names::{PATH_LIMIT, device_name},
    notes::{AttachedImage, Edited, NOTE_LIMIT, NewNote, Reading, read_source},
    open::Options,
    remotes::RemoteStatus,
    search::{Found, SearchOptions},
    status::{ImageCounts, ImageStatus, NoteStatus, Place, VaultStatus},
    verify::{Checking, Finding, Verification},
};
use crate::{
    clock::{self, Clock},
    crash,
    db::Db,
    event::{Event, Origin, Recorded, RemoteName},
    id::{DeviceId, ImageId, Seq, VaultId},
    image::MediaType,
    images::Images,
    log::{FoldError, Log, LogError, New, Then},
    mutant::{self, Mutant},
    projection::devices::{self, Identity},
    seal::{Sealer, VaultKey},
};

/// How many threads do what waits for the disk.
const SIDE_BY_SIDE: usize = 16;

/// A vault, open for reading and writing. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    // The log ends before the database does.
    log: Log,
    db: Arc<Db>,
    images: Images,
    key: VaultKey,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    inline: bool,
    /// Under which this opening edits: fresh each time, so that no copy of this vault can author
    /// another change of the same name.
    actor: [u8; 8],
    notes: Mutex<cache::Cache>,
    /// One import or export at a time: two that know nothing of one another would take a file in twice.
    folders: Mutex<()>,
    /// Uploads that this process is making.
    in_flight: Mutex<HashSet<(RemoteName, ImageId)>>,
    /// The last event; whoever follows the log waits for it.
    appended: tokio::sync::watch::Sender<Seq>,
    /// One exchange with a remote at a time.
    exchanging: Arc<tokio::sync::Mutex<()>>,
    /// The one that is under way.
    exchange: Mutex<Weak<Exchange>>,
}

/// Held by an exchange with a remote, and by whatever it left running on another thread: a sync that is
/// dropped half-way goes on there to the end of its append.
type Exchange = tokio::sync::OwnedMutexGuard<()>;

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({})", self.0.folder.display())
    }
}

impl Vault {
    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Its id.
    ///
    /// # Errors
    ///
    /// Where it can't be read.
    pub fn id(&self) -> Result<VaultId, VaultError> {
        Ok(self.identity()?.vault)
    }

    /// The id of this device, which a sync may renew.
    ///
    /// # Errors
    ///
    /// Where it can't be read.
    pub fn device(&self) -> Result<DeviceId, VaultError> {
        Ok(self.identity()?.device)
    }

    /// What people call this device.
    ///
    /// # Errors
    ///
    /// Where it can't be read.
    pub fn device_name(&self) -> Result<String, VaultError> {
        Ok(self.identity()?.name)
    }

    /// The key, which lets whoever has it read the vault.
    #[must_use]
    pub fn key(&self) -> &VaultKey {
        &self.0.key
    }

    /// The events from `first` on, each checked to follow the one before it. Reading them blocks, and keeps
    /// the vault open until it ends.
    pub fn events(&self, first: Seq) -> impl Iterator<Item = Result<Recorded, LogError>> + use<> {
        self.0.log.read(first)
    }

    /// Tells of each append; the value is the last event. What came since is what [`events`](Self::events)
    /// gives behind the last one that was seen:
    ///
    /// ```
    /// # use everleaf::vault::{NewNote, Options, Vault};
    /// # let home = tempfile::tempdir()?;
    /// # let vault = Vault::create(&home.path().join("vault"), "laptop", None, Options::default())?;
    /// let mut news = vault.follow();
    /// let seen = *news.borrow_and_update();
    /// vault.new_note(&NewNote { source: "# Walk\n".into(), ..NewNote::default() })?;
    /// if news.has_changed()? {
    ///     // `news.changed().await` waits for it, and fails once the vault is closed.
    ///     for recorded in vault.events(seen.next()) {
    ///         let changed = recorded?.event.changed_note(); // to be drawn anew
    /// #       assert!(changed.is_some());
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn follow(&self) -> tokio::sync::watch::Receiver<Seq> {
        self.0.appended.subscribe()
    }

    /// Gives this handle up, and waits until the vault is closed: until no clone of it is left, nor anything
    /// that a sync which was dropped half-way left running. Then it can be opened again at once.
    pub async fn close(self) {
        let mut end = self.follow();
        // The last handle waits for the disk.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
        while end.changed().await.is_ok() {}
    }

    /// The images of this device.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.0.images
    }

    /// The clock that it asks.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    /// Waits for its turn to exchange something with a folder.
    pub(crate) fn folder_turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.0.folders)
    }

    fn db(&self) -> &Db {
        &self.0.db
    }

    fn identity(&self) -> Result<Identity, VaultError> {
        devices::identity(self.db())?.ok_or_else(|| VaultError::Incomplete(self.0.folder.clone()))
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        clock::random(&*self.0.clock)
    }

    /// Appends events of one origin that happen now, and drafts `then` after them.
    fn append(
        &self,
        events: impl IntoIterator<Item = (Origin, Event)>,
        then: Option<Then>,
    ) -> Result<Vec<Recorded>, VaultError> {
        let at = self.0.clock.now();
        let events: Vec<New> =
            events.into_iter().map(|(origin, event)| New { at, origin, event }).collect();
        let then = self.with_files(&events, then);
        let recorded = self.0.log.append(events, then)?;
        if let Some(last) = recorded.last() {
            // Those that were written together come back in any order.
            self.0.appended.send_if_modified(|told| {
                let is_news = last.seq > *told;
                *told = last.seq.max(*told);
                is_news
            });
        }
        Ok(recorded)
    }

    /// Has events that say that an image is here refused where its file is not. Files go only in a turn of
    /// the log, so one that is seen in one stays.
    fn with_files(&self, events: &[New], then: Option<Then>) -> Option<Then> {
        let images = events.iter().filter_map(|new| match &new.event {
            Event::ImageStored { image, media_type, .. }
            | Event::ImageFetched { image, media_type, .. } => Some((*image, *media_type)),
            _ => None,
        });
        let images: Vec<(ImageId, MediaType)> = images.collect();
        if images.is_empty() || mutant::is(Mutant::EventBeforeBytes) {
            return then;
        }
        let files = self.0.images.clone();
        Some(Box::new(move |draft| {
            match images.iter().find(|(image, media_type)| !files.contains(*image, *media_type)) {
                Some((image, _)) => Err(FoldError::NoFile(*image)),
                None => then.map_or(Ok(()), |then| then(draft)),
            }
        }))
    }

    /// Appends events that this device is the origin of.
    fn record(&self, events: impl IntoIterator<Item = Event>) -> Result<(), VaultError> {
        self.append(events.into_iter().map(|event| (Origin::Here, event)), None).map(drop)
    }

    /// Does something for each of many on several threads, so that what they append shares an `fsync`;
    /// gives the results in order.
    pub(crate) fn side_by_side<T: Sync, R: Send>(
        &self,
        many: &[T],
        work: impl Fn(&T) -> R + Sync,
    ) -> Vec<R> {
        let threads = if self.0.inline { 1 } else { SIDE_BY_SIDE.min(many.len()) };
        if threads <= 1 {
            return many.iter().map(work).collect();
        }
        let work = &work;
        let share = |first: usize| {
            let share = many.iter().enumerate().skip(first).step_by(threads);
            let share = move || share.map(|(place, one)| (place, work(one))).collect::<Vec<_>>();
            crash::inherited(mutant::inherited(share))
        };
        let mut results: Vec<(usize, R)> = thread::scope(|scope| {
            let start = |first| (first, thread::Builder::new().spawn_scoped(scope, share(first)));
            let shares: Vec<_> = (0..threads).map(start).collect();
            // One that panicked says so here as it would have without threads; what got no thread is done here.
            let ended = shares.into_iter().flat_map(|(first, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|cause| resume_unwind(cause)),
                Err(_) => share(first)(),
            });
            ended.collect()
        });
        results.sort_unstable_by_key(|(place, _)| *place);
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// The same where what takes long is work for the processors: more threads than those would only take
    /// more memory.
    pub(crate) fn divided<T: Sync, R: Send>(
        &self,
        many: &[T],
        work: impl Fn(&T) -> R + Sync,
    ) -> Vec<R> {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let share = many.len().div_ceil(processors).max(1);
        let shares: Vec<&[T]> = many.chunks(share).collect();
        let all = |share: &&[T]| share.iter().map(&work).collect::<Vec<_>>();
        self.side_by_side(&shares, all).into_iter().flatten().collect()
    }

    /// Does one thing on a thread of its own while the other is done here.
    pub(crate) fn beside<A: Send, B>(
        &self,
        one: impl Fn() -> A + Sync,
        other: impl FnOnce() -> B,
    ) -> (A, B) {
        if self.0.inline {
            return (one(), other());
        }
        thread::scope(|scope| {
            let run = crash::inherited(mutant::inherited(&one));
            let thread = thread::Builder::new().spawn_scoped(scope, run);
            let other = other();
            match thread {
                Ok(thread) => (thread.join().unwrap_or_else(|cause| resume_unwind(cause)), other),
                // There is none to be had.
                Err(_) => (one(), other),
            }
        })
    }

    /// Waits for its turn to exchange something with a remote.
    async fn exchange(&self) -> Arc<Exchange> {
        let held = Arc::new(Arc::clone(&self.0.exchanging).lock_owned().await);
        *lock(&self.0.exchange) = Arc::downgrade(&held);
        held
    }

    /// Runs what blocks where it may.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        if self.0.inline {
            return work(self);
        }
        let vault = self.clone();
        let exchange = lock(&self.0.exchange).upgrade();
        let work = move || {
            let _until_done = exchange;
            work(&vault)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(VaultError::Interrupted(error.to_string())),
        }
    }
}

/// Locks what no panic leaves half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
