//! A sync: pull, push notes, upload, swap, push the swaps, fetch. Each step goes on where it was cut
//! off, because each only looks at what the projections show.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::{Vault, VaultError, error::chain, fetch::Missed, late::Refused};
use crate::{
    clock::{Timestamp, fraction},
    db::Durability,
    event::RemoteName,
    id::{DeviceId, ImageId, Seq},
    mutant::{self, Mutant},
    remote::{Counted, Key, Remote, RemoteError, Requests},
};

/// Passes that one sync makes at most: others may be pushing all the while.
const PASSES: usize = 16;
const SHORTEST_POLL: Duration = Duration::from_secs(2);
const LONGEST_POLL: Duration = Duration::from_mins(1);
/// How long to wait before a remote that broke off is listened to again; it doubles with each failure.
const LISTEN_AGAIN: Duration = Duration::from_millis(500);

/// Which images a sync brings here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncImages {
    /// All that notes show.
    #[default]
    All,
    /// None.
    None,
}

/// How a sync is done.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct SyncOptions {
    /// Which images are brought here. Default: all.
    pub images: SyncImages,
    /// How many images are on their way at once, however large they are. Default: by their size, 8 of
    /// any and up to 32 that are small, see [`Width`](crate::upload::Width).
    pub parallel: Option<usize>,
    /// Whether the public URL of an image is asked for before it counts as uploaded. Default: no.
    pub verify_public: bool,
    /// How many bytes of segments a checkpoint stands for at least, for devices that join. Default:
    /// 64 KiB.
    pub checkpoint: u64,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self { images: SyncImages::All, parallel: None, verify_public: false, checkpoint: 64 << 10 }
    }
}

/// What a sync did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct SyncReport {
    /// What came.
    pub pulled: Pass,
    /// What went.
    pub pushed: Pass,
    /// Images that went.
    pub uploaded: Totals,
    /// Images that came.
    pub fetched: Totals,
    /// URLs that were put into notes.
    pub linked: u64,
    /// What the remote was asked.
    pub requests: Requests,
    /// What could not be read, and was passed over, or is not as it was.
    pub problems: Vec<String>,
    /// What was announced and is not there yet, as where files come in any order: no problem, unless it
    /// stays.
    pub awaited: Vec<String>,
}

/// Segments that went one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct Pass {
    /// Segments.
    pub segments: u64,
    /// Changes that they carried, and that were news.
    pub changes: u64,
    /// Their sealed bytes.
    pub bytes: u64,
}

/// Images that went one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct Totals {
    /// Images.
    pub images: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Images that were there before.
    pub already_there: u64,
    /// Images that failed and will be tried again.
    pub failed: u64,
    /// Images that need a person.
    pub blocked: u64,
}

/// How a sync is going; for whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Progress {
    /// This many segments are to be read.
    Pulling(u64),
    /// A segment was read.
    Pulled,
    /// A segment was put.
    Pushed,
    /// This many images are to be uploaded.
    Uploading(u64),
    /// An image was uploaded, or was there.
    Uploaded(ImageId),
    /// An upload failed or is blocked.
    NotUploaded(ImageId),
    /// This many images are to be brought here.
    Fetching(u64),
    /// An image was brought here, or is not there yet.
    Fetched(ImageId),
}

/// What is remembered of a remote beside the log: losing it costs a listing of all, no more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is remembered by itself")]
pub(super) struct Memory {
    /// The tag of the pulse before the last complete listing.
    pub(super) pulse: Option<String>,
    /// When a sync last came to its end.
    pub(super) last_sync: Option<Timestamp>,
    /// Images were uploaded, and the others have not been told.
    pub(super) pulse_owed: bool,
    /// Images that are wanted have not been asked for since the pulse changed.
    pub(super) fetch_owed: bool,
    /// The last segment of each device that its head named and that was read: it never names an earlier
    /// one again.
    pub(super) heads: BTreeMap<DeviceId, u64>,
    /// Segments of each device that are looked for again whenever the remote has changed.
    pub(super) refused: BTreeMap<DeviceId, Refused>,
    /// What was put before the last that was read, and never read, has been looked for since this was begun.
    pub(super) looked_back: bool,
    /// A pulse at which segments were missing, and how often they were looked for.
    pub(super) looked: Option<(String, u8)>,
    /// Bytes of segments that went or came since they were last weighed, and how many have to before it
    /// is worth while to weigh them again.
    pub(super) grown: u64,
    pub(super) enough: u64,
    /// The remote was not reached while images went up: a slow line may not carry as many at once.
    pub(super) narrow: bool,
    /// The last event when notes were last looked through for URLs of former public addresses.
    pub(super) linked: Seq,
    /// The image that was put there last.
    pub(super) last_image: Option<ImageId>,
    /// Images that the remote holds, or may hold, and did not give whole.
    pub(super) missed: BTreeMap<ImageId, Missed>,
}

/// One sync with one remote.
pub(super) struct Session<'a> {
    pub(super) vault: &'a Vault,
    pub(super) name: RemoteName,
    pub(super) remote: Arc<Counted>,
    pub(super) options: &'a SyncOptions,
    pub(super) progress: &'a (dyn Fn(Progress) + Send + Sync),
    pub(super) report: SyncReport,
    pub(super) memory: Memory,
    /// Something was noticed after which the remote must be read again.
    pub(super) again: bool,
    /// The remote has lost something, and nothing was read since.
    pub(super) lost: bool,
}

impl Vault {
    /// Exchanges everything with a remote, until nothing is left to exchange. `remote` is the one that is
    /// called `name`: [`Vault::connect`] opens it. `progress` is told of each step, and waited for.
    ///
    /// There is one exchange at a time, whatever the remote: one that hangs holds the others up. To end a sync,
    /// drop its future: an append that is under way is done, and whatever was not done is for the next.
    ///
    /// # Errors
    ///
    /// [`VaultError::UnknownRemote`], or where the remote can't be used. What was done until then is done, and what
    /// was not is done by the next sync. A single image that fails is no error: the report counts it.
    pub async fn sync(
        &self,
        name: &RemoteName,
        remote: Arc<dyn Remote>,
        options: &SyncOptions,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<SyncReport, VaultError> {
        let _one_at_a_time = self.exchange().await;
        self.remote(Some(name))?;
        self.sync_in_turn(name, remote, options, progress).await
    }

    /// Syncs; while this goes on there is no other exchange.
    async fn sync_in_turn(
        &self,
        name: &RemoteName,
        remote: Arc<dyn Remote>,
        options: &SyncOptions,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<SyncReport, VaultError> {
        let mut session = Session {
            vault: self,
            name: name.clone(),
            remote: Arc::new(Counted::new(remote)),
            options,
            progress,
            report: SyncReport::default(),
            memory: self.memory(name)?,
            again: false,
            lost: false,
        };
        for _ in 0..PASSES {
            if !session.pass().await? {
                break;
            }
        }
        session.write_checkpoint().await;
        session.memory.last_sync = Some(self.0.clock.now());
        session.remember()?;
        session.report.requests = session.remote.requests();
        Ok(session.report)
    }

    /// Syncs, then goes on: at once when something happens here, or elsewhere where the remote tells
    /// of it, and every 2 to 60 seconds otherwise. `remote` is as for [`Vault::sync`]. `each` is told what came of
    /// every sync. Ends when `stop` does: an upload that is cut off then is begun again by the next sync. Ends as well
    /// once the remote is configured otherwise, or removed: what `remote` leads to is not what is called so then.
    pub async fn watch(
        &self,
        name: &RemoteName,
        remote: Arc<dyn Remote>,
        options: &SyncOptions,
        progress: &(dyn Fn(Progress) + Send + Sync),
        each: &(dyn Fn(Result<&SyncReport, &VaultError>) + Send + Sync),
        stop: impl Future<Output = ()> + Send,
    ) {
        let (tell, heard) = tokio::sync::watch::channel(Heard::default());
        let working = self.work(name, &remote, options, progress, each, heard);
        // In this order: where nothing tells, nothing is listened to, and the work goes on.
        tokio::select! {
            biased;
            () = stop => {}
            () = working => {}
            () = self.listen(&*remote, &tell) => {}
        }
    }

    /// Syncs whenever there is reason to.
    async fn work(
        &self,
        name: &RemoteName,
        remote: &Arc<dyn Remote>,
        options: &SyncOptions,
        progress: &(dyn Fn(Progress) + Send + Sync),
        each: &(dyn Fn(Result<&SyncReport, &VaultError>) + Send + Sync),
        mut heard: tokio::sync::watch::Receiver<Heard>,
    ) {
        let mut appended = self.follow();
        let mut poll = SHORTEST_POLL;
        let Ok((_, meant)) = self.remote(Some(name)) else { return };
        loop {
            // Before, so that what is written while the sync runs is not taken for its own doing.
            appended.borrow_and_update();
            let acted_on = heard.borrow_and_update().pulse.clone();
            let turn = self.exchange().await;
            if !self.remote(Some(name)).is_ok_and(|(_, now)| now == meant) {
                return;
            }
            let result = self.sync_in_turn(name, Arc::clone(remote), options, progress).await;
            drop(turn);
            each(result.as_ref());
            // What fails or can't be read is not worth asking for more often.
            let well = result.as_ref().is_ok_and(SyncReport::is_well);
            let idle = !well || result.is_ok_and(|report| report.is_quiet());
            poll = if idle { (poll * 2).min(LONGEST_POLL) } else { SHORTEST_POLL };
            let wait = if well && heard.borrow().listening { LONGEST_POLL } else { poll };
            tokio::select! {
                changed = appended.changed() => if changed.is_err() { return },
                () = self.news(name, &mut heard, acted_on.as_deref()) => {}
                () = self.0.clock.sleep(wait) => {}
            }
        }
    }

    /// Waits until a remote tells of a pulse that the last sync neither was made for nor saw.
    async fn news(
        &self,
        name: &RemoteName,
        heard: &mut tokio::sync::watch::Receiver<Heard>,
        acted_on: Option<&str>,
    ) {
        loop {
            let told = heard.borrow_and_update().pulse.clone();
            let known = self.memory(name).ok().and_then(|memory| memory.pulse);
            let is_news = |told: &str| told != known.as_deref().unwrap_or_default();
            if told.as_deref() != acted_on && told.as_deref().is_some_and(is_news) {
                return;
            }
            if heard.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Tells what a remote tells, for as long as it can; for ever, where it can't.
    async fn listen(&self, remote: &dyn Remote, tell: &tokio::sync::watch::Sender<Heard>) {
        let mut wait = LISTEN_AGAIN;
        loop {
            let seen = tell.borrow().pulse.clone();
            match remote.watch(seen.as_deref()).await {
                Ok(None) => return std::future::pending().await,
                Ok(Some(mut tags)) => {
                    tell.send_modify(|heard| heard.listening = true);
                    while let Some(Ok(tag)) = tags.next().await {
                        wait = LISTEN_AGAIN;
                        tell.send_modify(|heard| heard.pulse = Some(tag));
                    }
                }
                Err(error) => tracing::debug!(%error, "the remote can't be listened to"),
            }
            tell.send_modify(|heard| heard.listening = false);
            self.0.clock.sleep(wait.mul_f64(0.5 + fraction(&*self.0.clock))).await;
            wait = (wait * 2).min(LONGEST_POLL);
        }
    }

    /// Has the next sync look at everything on a remote again.
    pub(super) fn forget_pulse(&self, name: &RemoteName) -> Result<(), VaultError> {
        self.keep(name, &Memory { pulse: None, fetch_owed: true, ..self.memory(name)? })
    }

    /// Has the next sync tell the others that there is something new.
    pub(super) fn owe_pulse(&self, name: &RemoteName) -> Result<(), VaultError> {
        self.keep(name, &Memory { pulse: None, pulse_owed: true, ..self.memory(name)? })
    }

    /// Has the next sync remember nothing.
    pub(super) fn forget_remote(&self, name: &RemoteName) -> Result<(), VaultError> {
        self.keep(name, &Memory::default())
    }

    fn keep(&self, name: &RemoteName, memory: &Memory) -> Result<(), VaultError> {
        let row = postcard::to_allocvec(memory).unwrap_or_default();
        let mut batch = self.db().batch();
        batch.cache(memory_key(name), Some(row));
        Ok(batch.commit(Durability::Buffered)?)
    }

    pub(super) fn memory(&self, name: &RemoteName) -> Result<Memory, VaultError> {
        let row = self.db().cached(&memory_key(name))?;
        Ok(row.and_then(|row| postcard::from_bytes(&row).ok()).unwrap_or_default())
    }
}

/// What a remote tells of itself.
#[derive(Debug, Default)]
struct Heard {
    /// Whether it would tell of a change.
    listening: bool,
    /// The last tag of its pulse.
    pulse: Option<String>,
}

fn memory_key(name: &RemoteName) -> Vec<u8> {
    [b"remote/", name.as_str().as_bytes()].concat()
}

impl SyncReport {
    /// Whether nothing failed, and all could be read.
    fn is_well(&self) -> bool {
        self.problems.is_empty() && self.uploaded.failed == 0 && self.fetched.failed == 0
    }

    /// Whether nothing went either way.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let (requests, awaited) = (Requests::default(), Vec::new());
        Self { requests, awaited, ..self.clone() } == Self::default()
    }
}

impl Session<'_> {
    /// Gives whether anything was put, so that another pass has to look.
    async fn pass(&mut self) -> Result<bool, VaultError> {
        self.pull().await?;
        if std::mem::take(&mut self.lost) {
            // Somebody may have filled it again: what is there need not be put once more.
            return Ok(true);
        }
        let pushed = self.push().await?;
        let uploaded = self.upload().await?;
        let linked = self.link().await?;
        let pushed_links = linked && self.push().await?;
        if self.memory.pulse_owed || mutant::is(Mutant::BeatsAlways) {
            self.beat().await?;
        }
        self.fetch().await?;
        Ok(pushed || uploaded || pushed_links || std::mem::take(&mut self.again))
    }

    /// Tells the others that there is something new.
    pub(super) async fn beat(&mut self) -> Result<(), VaultError> {
        let pulse: [u8; 16] = self.vault.random();
        let body = bytes::Bytes::copy_from_slice(&pulse);
        self.remote.put(&Key::Pulse, body.into()).await.map_err(self.error())?;
        self.memory.pulse_owed = false;
        self.changed_remote()
    }

    /// Has the others be told, by a later sync where this one is cut off.
    pub(super) fn owe_pulse(&mut self) -> Result<(), VaultError> {
        self.memory.pulse_owed = true;
        self.remember()
    }

    /// What we put there is not part of what the remembered pulse stands for: were an old copy of the
    /// remote put back now, it would have that pulse, and its loss would go unnoticed.
    pub(super) fn changed_remote(&mut self) -> Result<(), VaultError> {
        self.memory.pulse = None;
        self.remember()
    }

    pub(super) fn remember(&self) -> Result<(), VaultError> {
        if self.vault.memory(&self.name)? == self.memory {
            return Ok(());
        }
        self.vault.keep(&self.name, &self.memory)
    }

    pub(super) fn error(&self) -> impl Fn(RemoteError) -> VaultError + Send + Sync + 'static {
        let remote = self.name.clone();
        move |source| VaultError::Remote { remote: remote.clone(), source }
    }

    pub(super) fn problem(&mut self, what: &dyn std::error::Error) {
        let text = chain(what);
        tracing::debug!("{text}");
        // A later pass of the same sync meets the same problem.
        if !self.report.problems.contains(&text) {
            self.report.problems.push(text);
        }
    }
}
