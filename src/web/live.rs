//! What has just changed, told to every open page.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use tokio::sync::broadcast;

use super::{App, lock};
use crate::{
    event::{Event, Recorded},
    id::{ImageId, NoteId, Seq},
    vault::Vault,
};

/// What happens within this time is told at once.
const PAUSE: Duration = Duration::from_millis(40);
/// Pages that fall further behind have to ask again.
const BACKLOG: usize = 256;

/// A part of the pages that has to be drawn anew. Its text names the event that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Topic {
    Notes,
    Note(NoteId),
    Images,
    Image(ImageId),
    Sync,
    Log,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notes => f.write_str("notes"),
            Self::Note(note) => write!(f, "note-{note}"),
            Self::Images => f.write_str("images"),
            Self::Image(image) => write!(f, "image-{image}"),
            Self::Sync => f.write_str("sync"),
            Self::Log => f.write_str("log"),
        }
    }
}

/// What changed up to an event.
#[derive(Debug, Clone)]
pub(super) struct News {
    pub(super) through: Seq,
    pub(super) topics: BTreeSet<Topic>,
}

/// How everything stood when a page was drawn.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Moment {
    /// The last event of the log.
    pub(super) log: Seq,
    /// How often how the remotes stand had changed.
    pub(super) sync: u64,
}

/// Tells pages.
pub(super) struct Live {
    news: broadcast::Sender<Arc<News>>,
    begun: Seq,
    /// How often how the remotes stand has changed.
    sync: AtomicU64,
}

impl Live {
    pub(super) fn new(vault: &Vault) -> Self {
        let begun = *vault.follow().borrow();
        Self { news: broadcast::Sender::new(BACKLOG), begun, sync: AtomicU64::new(0) }
    }

    pub(super) fn now(&self, vault: &Vault) -> Moment {
        Moment { log: *vault.follow().borrow(), sync: self.sync.load(Ordering::SeqCst) }
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Arc<News>> {
        self.news.subscribe()
    }

    fn tell(&self, through: Seq, topics: BTreeSet<Topic>) {
        // Nobody may have a page open.
        let _ = self.news.send(Arc::new(News { through, topics }));
    }
}

impl App {
    /// Tells pages that how the remotes stand has changed, which no event says.
    pub(super) fn tell_sync(&self) {
        self.live.sync.fetch_add(1, Ordering::SeqCst);
        let through = *self.vault.follow().borrow();
        self.live.tell(through, BTreeSet::from([Topic::Sync]));
    }
}

/// Reads the log up to its end, then follows it.
pub(super) async fn follow(app: Arc<App>) {
    let mut appended = app.vault.follow();
    let mut next = Seq(1);
    loop {
        appended.borrow_and_update();
        let read = app.ask(move |app| Ok(app.read_on(next)?)).await;
        match read {
            Ok(through) => next = through,
            Err(problem) => tracing::warn!(?problem, "the log can't be followed"),
        }
        if appended.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl App {
    /// Counts what the log has from `next` on, and tells of it; gives the number of the event to come.
    fn read_on(&self, mut next: Seq) -> Result<Seq, crate::log::LogError> {
        let mut topics = BTreeSet::new();
        for recorded in self.vault.events(next) {
            let recorded = recorded?;
            lock(&self.tally).add(&recorded);
            if recorded.seq > self.live.begun {
                if let Event::RemoteConfigured { .. } | Event::RemoteRemoved { .. } = recorded.event
                {
                    self.standing.describe();
                }
                topics.extend(touched(&recorded));
            }
            next = recorded.seq.next();
        }
        if !topics.is_empty() {
            self.live.tell(Seq(next.0.saturating_sub(1)), topics);
        }
        Ok(next)
    }
}

/// What an event changes of what pages show.
pub(super) fn touched(recorded: &Recorded) -> Vec<Topic> {
    let mut topics = vec![Topic::Log];
    topics.extend(match &recorded.event {
        Event::NoteChanged { note, .. } | Event::NoteReceived { note, .. } => {
            vec![Topic::Notes, Topic::Note(*note), Topic::Images, Topic::Sync]
        }
        Event::ImageStored { image, .. }
        | Event::ImageAnnounced { image, .. }
        | Event::UploadStarted { image, .. }
        | Event::UploadFailed { image, .. }
        | Event::UploadBlocked { image, .. }
        | Event::UploadRetried { image, .. }
        | Event::ImageUploaded { image, .. }
        | Event::ImageFetched { image, .. }
        | Event::ImageEvicted { image } => {
            vec![Topic::Images, Topic::Notes, Topic::Image(*image)]
        }
        Event::SegmentPushed { .. }
        | Event::SegmentPulled { .. }
        | Event::CheckpointRead { .. } => {
            vec![Topic::Notes, Topic::Images, Topic::Sync]
        }
        Event::LogBegun { .. }
        | Event::NoteIndexed { .. }
        | Event::RemoteConfigured { .. }
        | Event::RemoteRemoved { .. }
        | Event::RemoteReset { .. }
        | Event::DeviceSeen { .. }
        | Event::DeviceRenewed { .. } => vec![Topic::Sync],
    });
    topics
}
