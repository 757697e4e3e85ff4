//! Decisions of the upload projector. No I/O: what the outbox shows and the time go in, what to do
//! comes out.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    event::{Event, RemoteName},
    id::ImageId,
    mutant::{self, Mutant},
    projection::outbox::{Queued, ROUND, Stage},
};

/// How many images are on their way at once, however large they are, unless the caller says otherwise.
pub const PARALLEL: usize = 8;
/// How many are, where they are small.
pub const PARALLEL_SMALL: usize = 32;
/// What those beyond the first [`PARALLEL`] may have together with them, in bytes. Uploads are waited for
/// 30 seconds and a second for every 16 KiB, so eight large ones need a line of 128 KiB a second; as many
/// as these share one that is no faster.
pub const SMALL_TOGETHER: u64 = 30 * (128 << 10);
/// How long a finished upload stays in the queue's view.
pub const KEPT_IN_VIEW: Duration = Duration::from_hours(7 * 24);

const FIRST_DELAY: Duration = Duration::from_secs(1);
/// Attempts of a round are at most four seconds apart, unless the remote asks for more.
const WORTH_WAITING: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause between two attempts.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_hours(1);
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(5);

/// How an image stands with a remote, for people and for decisions.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No note that shows it is on the remote yet.
    Waiting,
    /// It is to be uploaded.
    Pending,
    /// It is being uploaded.
    Uploading,
    /// An attempt failed; there will be another.
    Failed,
    /// It needs a person.
    Blocked,
    /// The remote holds it.
    Uploaded,
}

impl State {
    /// All of them, from the least to the most advanced.
    pub const ALL: [Self; 6] = [
        Self::Waiting,
        Self::Pending,
        Self::Uploading,
        Self::Failed,
        Self::Blocked,
        Self::Uploaded,
    ];

    /// What people and JSON call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Pending => "pending",
            Self::Uploading => "uploading",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Uploaded => "uploaded",
        }
    }

    /// Its place among how an image stands with several remotes, of which the first is told: what needs
    /// somebody, then what has yet to be done, the least advanced first.
    pub(crate) const fn urgency(self) -> u8 {
        match self {
            Self::Blocked => 0,
            Self::Failed => 1,
            Self::Waiting => 2,
            Self::Pending => 3,
            Self::Uploading => 4,
            Self::Uploaded => 5,
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// An image whose upload is not done, with what the decision needs to know of it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The image.
    pub image: ImageId,
    /// How it stands.
    pub upload: Queued,
    /// Whether a note that shows it is on the remote, with all its changes.
    pub note_pushed: bool,
    /// Whether this process is uploading it.
    pub in_flight: bool,
    /// Whether a note has its URL, so that some device has a receipt for it.
    pub is_linked: bool,
}

impl Candidate {
    /// How it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.upload.stage {
            Stage::Uploaded { .. } => State::Uploaded,
            Stage::Blocked => State::Blocked,
            _ if self.in_flight => State::Uploading,
            Stage::Failed { .. } => State::Failed,
            // An attempt that nobody is making was cut off: it is queued again.
            Stage::Queued { .. } | Stage::Started if self.note_pushed => State::Pending,
            Stage::Queued { .. } | Stage::Started => State::Waiting,
        }
    }

    /// The earliest time at which it may be tried; `None` where only something else can free it.
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        if mutant::is(Mutant::NeverRetries) && self.state() == State::Failed {
            return None;
        }
        if mutant::is(Mutant::TrustsRetryTime) {
            return self.set(now);
        }
        self.set(now).map(|at| at_last(at, now))
    }

    const fn set(&self, now: Timestamp) -> Option<Timestamp> {
        match (self.state(), &self.upload.stage) {
            (State::Pending, Stage::Queued { retry_at: Some(at) })
            | (State::Failed, Stage::Failed { retry_at: at }) => Some(*at),
            (State::Pending, _) => Some(now),
            _ => None,
        }
    }
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Uploads that are due.
    pub due: Vec<Start>,
    /// When the next of a round that was begun is, if that is worth waiting for.
    pub next_in_round: Option<Timestamp>,
    /// When the next of all is.
    pub next: Option<Timestamp>,
}

/// An upload to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The image.
    pub image: ImageId,
    /// Counted from 1 within its round.
    pub attempt: u32,
    /// Rounds that failed before this one.
    pub rounds: u32,
    /// Whether to put it whatever the remote shows.
    pub anyway: bool,
}

/// Decides which uploads are due, and when the next will be.
#[must_use]
pub fn plan(candidates: &[Candidate], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    for Candidate { image, upload, is_linked, .. } in
        candidates.iter().filter(|c| c.due(now).is_some_and(|due| due <= now))
    {
        let (attempt, rounds) = (upload.attempt + 1, upload.rounds);
        // What is there may be what a put of ours that was cut off has left in one place of several.
        let anyway = upload.unanswered && !is_linked;
        plan.due.push(Start { image: *image, attempt, rounds, anyway });
    }
    let later =
        candidates.iter().filter_map(|c| c.due(now).filter(|due| *due > now).map(|due| (c, due)));
    for (candidate, due) in later {
        let sooner = |next: Option<Timestamp>| Some(next.map_or(due, |next| next.min(due)));
        plan.next = sooner(plan.next);
        if candidate.upload.attempt > 0 && due.since(now) <= WORTH_WAITING {
            plan.next_in_round = sooner(plan.next_in_round);
        }
    }
    plan
}

/// How many images may be on their way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    any: usize,
    small: usize,
}

impl Width {
    /// So many, whatever their size, and at least one; by their size, where that is `None`.
    #[must_use]
    pub const fn new(parallel: Option<usize>) -> Self {
        match parallel {
            Some(0) => Self { any: 1, small: 1 },
            Some(parallel) => Self { any: parallel, small: parallel },
            None => Self { any: PARALLEL, small: PARALLEL_SMALL },
        }
    }

    /// Whether an image of `next` bytes may set out while there are others on their way: so many, of so
    /// many bytes together.
    #[must_use]
    pub const fn admits(self, others: usize, bytes: u64, next: u64) -> bool {
        others < self.any || (others < self.small && bytes.saturating_add(next) <= SMALL_TOGETHER)
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The remote confirmed the bytes.
    Confirmed {
        /// Where anybody can see it.
        url: Option<String>,
        /// Whether it was there before.
        already_there: bool,
    },
    /// The remote could not be reached.
    Unreachable(String),
    /// What was put broke off, though the remote can be reached.
    BrokeOff(String),
    /// It failed, and may go well another time.
    Failed {
        /// Why.
        reason: String,
        /// How long the remote asked to be left alone.
        wait: Option<Duration>,
    },
    /// It can't go well before somebody does something.
    Blocked(String),
}

/// The event that an outcome is. `fraction`, in `0.0 .. 1.0`, is the jitter.
#[must_use]
pub fn record(
    remote: RemoteName,
    start: Start,
    outcome: Outcome,
    now: Timestamp,
    fraction: f64,
) -> Event {
    let Start { image, attempt, rounds, .. } = start;
    match outcome {
        Outcome::Confirmed { url, already_there } => {
            Event::ImageUploaded { image, remote, url, already_there }
        }
        Outcome::Blocked(reason) => Event::UploadBlocked { image, remote, reason },
        Outcome::Unreachable(reason) => {
            let retry_at = now.plus(UNREACHABLE_PAUSE);
            Event::UploadFailed { image, remote, attempt: 0, reason, retry_at }
        }
        Outcome::BrokeOff(reason) => {
            let outcome = Outcome::Failed { reason, wait: None };
            record(remote, start, outcome, now, fraction)
        }
        Outcome::Failed { reason, wait } => {
            let delay = backoff(attempt, rounds, fraction);
            let retry_at = now.plus(wait.map_or(delay, |wait| wait.min(LONGEST_PAUSE).max(delay)));
            Event::UploadFailed { image, remote, attempt, reason, retry_at }
        }
    }
}

/// The time at which something may be tried. No wait is longer than the longest: a time beyond it was set by a clock
/// that was wrong.
pub(crate) fn at_last(at: Timestamp, now: Timestamp) -> Timestamp {
    if at > now.plus(LONGEST_PAUSE) { now } else { at }
}

/// How long to wait after a failed attempt: exponential with full jitter, at most an hour.
#[must_use]
pub fn backoff(attempt: u32, rounds: u32, fraction: f64) -> Duration {
    let longest = if attempt < ROUND {
        FIRST_DELAY.saturating_mul(1 << attempt.min(ROUND))
    } else {
        FIRST_PAUSE.saturating_mul(1 << rounds.min(16)).min(LONGEST_PAUSE)
    };
    longest.mul_f64(fraction.clamp(0.0, 1.0))
}

/// Whether the projector is to put a URL into a note that shows the image: where there is none, or
/// one that begins with a base that this remote had before. Anything else somebody else put there,
/// and two devices that see one remote under two names must not undo each other's work.
#[must_use]
pub fn is_to_be_put(current: Option<&str>, wanted: &str, former_bases: &[String]) -> bool {
    match current {
        None => true,
        Some(url) if url == wanted => false,
        Some(url) => former_bases.iter().any(|base| {
            url.strip_prefix(base.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
        }),
    }
}
