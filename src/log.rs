//! The log: events, appended durably, never rewritten.
//!
//! One at a time writes: whoever appends first, for all that come to wait meanwhile, so that they share
//! one `fsync` and nobody is woken to write for one alone. What the projections make of an event is
//! written in the same batch as the event, so that neither is ever there without the other.
//!
//! A database that lost its tail opens without a word (see [`crate::db`]), so the last event is also
//! noted in the file `head` beside it.

mod head;
mod turns;
mod writer;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc::sync_channel},
};

use self::{
    head::HeadFile,
    turns::Turns,
    writer::{Append, Behind, Request, Writer},
};
use crate::{
    clock::Timestamp,
    db::{Db, DbError, Draft},
    event::{self, Event, Origin, Recorded},
    id::{EventHash, ImageId, Seq},
};

/// Why the log could not be read or appended to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The database could not.
    #[error(transparent)]
    Db(#[from] DbError),
    /// An event is damaged, or not the one that follows.
    #[error("the log is damaged")]
    Damaged(#[from] event::DecodeError),
    /// The last event is not the one that was acknowledged.
    #[error("event {seq} is not the one that was acknowledged; restore the vault or join again")]
    Altered {
        /// Its number.
        seq: Seq,
    },
    /// An event could not be written down.
    #[error("an event could not be encoded")]
    Encode(#[source] postcard::Error),
    /// A projection could not take an event in, so it was not appended.
    #[error("an event was refused")]
    Refused(#[source] FoldError),
    /// Whoever wrote came to a bad end, so what is on disk is not known.
    #[error("the log is closed")]
    Closed,
}

/// Why a projection can't take an event in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// The database could not be read.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A change is none.
    #[error("the change of event {seq} is no Automerge change: {reason}")]
    Change {
        /// The event.
        seq: Seq,
        /// Why.
        reason: String,
    },
    /// The local copy of an image was to go, and no receipt proves that a remote holds it.
    #[error("image {} is on no remote", .0.short())]
    Unproved(ImageId),
    /// An image was said to be here, and its file is not.
    #[error("the file of image {} went meanwhile", .0.short())]
    NoFile(ImageId),
}

/// The last event that was acknowledged in the vault in `vault`, as it is noted beside the database; `None`
/// where it is not. Opens nothing else, and makes nothing.
pub(crate) fn acknowledged(vault: &Path) -> Result<Option<Seq>, DbError> {
    let path = vault.join(HEAD);
    if !path.exists() {
        return Ok(None);
    }
    Ok(HeadFile::open(&path)?.read()?.map(|(seq, _)| seq))
}

/// What is made of each event as it is appended: the projections.
pub trait Fold: Send {
    /// Takes an event in, drafting what it changes.
    ///
    /// # Errors
    ///
    /// Where it can't: the event is not appended then.
    fn fold(&self, event: &Recorded, draft: &mut Draft<'_>) -> Result<(), FoldError>;
}

/// Something to append.
#[derive(Debug, Clone)]
pub struct New {
    /// When it happened.
    pub at: Timestamp,
    /// Where it came from.
    pub origin: Origin,
    /// What happened.
    pub event: Event,
}

/// What else to draft once the events are folded, in the same batch.
pub type Then = Box<dyn FnOnce(&mut Draft<'_>) -> Result<(), FoldError> + Send>;

/// Where the last event is noted.
const HEAD: &str = "head";
/// What the first event follows.
const NOTHING: EventHash = EventHash::from_bytes([0; EventHash::LEN]);

/// The log of one vault on one device.
pub struct Log {
    db: Arc<Db>,
    turns: Turns<Request>,
    /// None once it came to a bad end.
    writer: Mutex<Option<Writer>>,
    behind: Arc<Mutex<Behind>>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({:?})", self.db)
    }
}

/// A log just opened.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: Log,
    /// The last event that had been acknowledged, where the log ends before it.
    pub lost: Option<Seq>,
}

impl Log {
    /// Opens the log of the vault in `vault`.
    ///
    /// # Errors
    ///
    /// [`LogError::Altered`] where the last event is another than was acknowledged.
    pub fn open(vault: &Path, db: Arc<Db>, fold: Box<dyn Fold>) -> Result<Opened, LogError> {
        let head = HeadFile::open(&vault.join(HEAD))?;
        let last = last(&db)?;
        let missing = match head.read()? {
            Some((seq, hash)) if seq <= last.0 => {
                if let Some(bytes) = db.event(seq.0)?
                    && event::decode(seq, None, &bytes)?.hash != hash
                {
                    return Err(LogError::Altered { seq });
                }
                None
            }
            Some((seq, _)) => Some(seq),
            None => None,
        };
        let behind = Arc::default();
        let writer = Mutex::new(Some(Writer {
            db: Arc::clone(&db),
            fold,
            head,
            last,
            beyond: missing.is_some(),
            behind: Arc::clone(&behind),
        }));
        Ok(Opened { log: Self { db, turns: Turns::default(), writer, behind }, lost: missing })
    }

    /// Appends events, and drafts `then` after them; they are on disk when this returns.
    ///
    /// # Errors
    ///
    /// Where nothing of it was appended.
    pub fn append(&self, events: Vec<New>, then: Option<Then>) -> Result<Vec<Recorded>, LogError> {
        let (reply, answer) = sync_channel(1);
        self.ask(Request::Append(Append { events, then, reply }));
        answer.recv().map_err(|_| LogError::Closed)?
    }

    /// Has a value cached some time: with the next events, or when the log is closed. Whoever keeps it
    /// waits for no disk, and a crash may lose it.
    pub fn keep(&self, key: Vec<u8>, value: Vec<u8>) {
        let many = self.behind.lock().unwrap_or_else(PoisonError::into_inner).push(key, value);
        if many {
            self.ask(Request::WriteBehind);
        }
    }

    /// Has what waits to be cached written soon, and waits for none of it.
    pub(crate) fn write_behind(&self) {
        self.ask(Request::WriteBehind);
    }

    /// Does something to the database while nothing is appended.
    ///
    /// # Errors
    ///
    /// [`LogError::Closed`], and what `work` gives.
    pub fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Db) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let (reply, answer) = sync_channel(1);
        self.ask(Request::Alone(Box::new(move |db| {
            // Whoever asked is waiting for it.
            let _ = reply.send(work(db));
        })));
        answer.recv().map_err(|_| LogError::Closed)?
    }

    /// The number of the last event, once nothing is being written: the rows of a batch are not seen all at
    /// once, so what is read in the midst of it may be half of it.
    ///
    /// # Errors
    ///
    /// As [`alone`](Self::alone).
    pub fn settled(&self) -> Result<Seq, LogError> {
        self.alone(|db| Ok(last(db)?.0))
    }

    /// Has a request done, by this thread or by another that does several.
    fn ask(&self, request: Request) {
        self.turns.take(request, |requests| {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(writing) = writer.as_mut() else { return };
            // What panicked may be another's request, and half of a batch may be undone: whoever waits is
            // told that the log is closed, and so is whoever comes later.
            if catch_unwind(AssertUnwindSafe(|| writing.serve(requests))).is_err() {
                *writer = None;
            }
        });
    }

    /// The events from `first` on, each checked to follow the one before it.
    pub fn read(&self, first: Seq) -> impl Iterator<Item = Result<Recorded, LogError>> + use<> {
        read(&self.db, first)
    }

    /// One event.
    ///
    /// # Errors
    ///
    /// Where it can't be read.
    pub fn event(&self, seq: Seq) -> Result<Option<Recorded>, LogError> {
        let bytes = self.db.event(seq.0)?;
        Ok(bytes.map(|bytes| event::decode(seq, None, &bytes)).transpose()?)
    }

    /// The number of the last event.
    ///
    /// # Errors
    ///
    /// Where it can't be read.
    pub fn last(&self) -> Result<Seq, LogError> {
        Ok(last(&self.db)?.0)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = writer {
            writer.close();
        }
    }
}

/// The events from `first` on, each checked to follow the one before it; the first of all follows none.
pub fn read(db: &Db, first: Seq) -> impl Iterator<Item = Result<Recorded, LogError>> + use<> {
    let mut expected = first.max(Seq(1));
    let mut before = (expected == Seq(1)).then_some(NOTHING);
    db.events(expected.0).map(move |row| {
        let (key, bytes) = row?;
        let seq = seq_of(&key);
        if seq != expected {
            return Err(event::DecodeError::Chain(seq).into());
        }
        let recorded = event::decode(seq, before, &bytes)?;
        (expected, before) = (seq.next(), Some(recorded.hash));
        Ok(recorded)
    })
}

fn seq_of(key: &[u8]) -> Seq {
    Seq(key.iter().fold(0, |seq, byte| seq << 8 | u64::from(*byte)))
}

fn last(db: &Db) -> Result<(Seq, EventHash), LogError> {
    let Some((key, bytes)) = db.last_event()? else {
        return Ok((Seq(0), NOTHING));
    };
    let seq = seq_of(&key);
    Ok((seq, event::decode(seq, None, &bytes)?.hash))
}
