//! The log: events, appended durably, never rewritten.
//!
//! One thread writes. Whoever appends waits for it, and all that wait at the same time share one
//! `fsync`. What the projections make of an event is written in the same batch as the event, so
//! that neither is ever there without the other.
//!
//! A database that lost its tail opens without a word (see [`crate::db`]), so the last event is also
//! noted in the file `head` beside it.

mod head;

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::JoinHandle,
};

use self::head::HeadFile;
use crate::{
    clock::Timestamp,
    crash,
    db::{Db, DbError, Draft, Durability},
    event::{self, Event, Origin, Recorded},
    id::{EventHash, ImageId, Seq},
    mutant::{self, Mutant},
};

/// How many appends share one `fsync` at most.
const GROUP: usize = 256;
/// How many bytes wait to be cached until they are worth an `fsync` of their own.
const BEHIND: usize = 4 << 20;

/// Why the log could not be read or appended to.
#[derive(Debug, thiserror::Error)]
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
    /// The thread that writes is gone.
    #[error("the log is closed")]
    Closed,
}

/// Why a projection can't take an event in.
#[derive(Debug, thiserror::Error)]
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

enum Request {
    Append(Append),
    Keep(Vec<u8>, Vec<u8>),
    Alone(Box<dyn FnOnce(&Db) + Send>),
}

struct Append {
    events: Vec<New>,
    then: Option<Then>,
    reply: SyncSender<Result<Vec<Recorded>, LogError>>,
}

/// The log of one vault on one device.
pub struct Log {
    db: Arc<Db>,
    requests: Option<Sender<Request>>,
    writer: Option<JoinHandle<()>>,
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
    /// Opens the log of the vault in `vault` and starts its writer.
    ///
    /// # Errors
    ///
    /// [`LogError::Altered`] where the last event is another than was acknowledged.
    pub fn open(vault: &Path, db: Arc<Db>, fold: Box<dyn Fold>) -> Result<Opened, LogError> {
        let head = HeadFile::open(&vault.join("head"))?;
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
        let (requests, receiver) = channel();
        let (db_of_writer, beyond) = (Arc::clone(&db), missing.is_some());
        let writer = Writer { db: db_of_writer, fold, head, last, beyond, behind: Vec::new() };
        let writer = std::thread::Builder::new()
            .name("everleaf-log".into())
            .spawn(crash::inherited(mutant::inherited(move || writer.run(&receiver))))
            .map_err(|source| DbError::Io {
                action: "start a thread for",
                path: vault.to_path_buf(),
                source,
            })?;
        Ok(Opened {
            log: Self { db, requests: Some(requests), writer: Some(writer) },
            lost: missing,
        })
    }

    /// Appends events, and drafts `then` after them; they are on disk when this returns.
    ///
    /// # Errors
    ///
    /// Where nothing of it was appended.
    pub fn append(&self, events: Vec<New>, then: Option<Then>) -> Result<Vec<Recorded>, LogError> {
        let (reply, answer) = sync_channel(1);
        self.request(Request::Append(Append { events, then, reply }))?;
        answer.recv().map_err(|_| LogError::Closed)?
    }

    /// Has a value cached some time: with the next events, or when the log is closed. Whoever keeps it
    /// waits for no disk, and a crash may lose it.
    pub fn keep(&self, key: Vec<u8>, value: Vec<u8>) {
        // A log that is closed keeps nothing, and it can be made again.
        let _ = self.request(Request::Keep(key, value));
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
        self.request(Request::Alone(Box::new(move |db| {
            // Whoever asked is waiting for it.
            let _ = reply.send(work(db));
        })))?;
        answer.recv().map_err(|_| LogError::Closed)?
    }

    fn request(&self, request: Request) -> Result<(), LogError> {
        let requests = self.requests.as_ref().ok_or(LogError::Closed)?;
        requests.send(request).map_err(|_| LogError::Closed)
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
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has answered nobody; there is nobody left to tell.
            let _ = writer.join();
        }
    }
}

/// The events from `first` on, each checked to follow the one before it.
pub fn read(db: &Db, first: Seq) -> impl Iterator<Item = Result<Recorded, LogError>> + use<> {
    let mut before: Option<(Seq, EventHash)> = None;
    db.events(first.0).map(move |row| {
        let (key, bytes) = row?;
        let seq = seq_of(&key);
        let follows = before.is_none_or(|(last, _)| last.next() == seq);
        if !follows {
            return Err(event::DecodeError::Chain(seq).into());
        }
        let recorded = event::decode(seq, before.map(|(_, hash)| hash), &bytes)?;
        before = Some((seq, recorded.hash));
        Ok(recorded)
    })
}

fn seq_of(key: &[u8]) -> Seq {
    Seq(key.iter().fold(0, |seq, byte| seq << 8 | u64::from(*byte)))
}

fn last(db: &Db) -> Result<(Seq, EventHash), LogError> {
    let Some((key, bytes)) = db.last_event()? else {
        return Ok((Seq(0), EventHash::from_bytes([0; EventHash::LEN])));
    };
    let seq = seq_of(&key);
    Ok((seq, event::decode(seq, None, &bytes)?.hash))
}

struct Writer {
    db: Arc<Db>,
    fold: Box<dyn Fold>,
    head: HeadFile,
    last: (Seq, EventHash),
    /// Whether the head speaks of events that were lost: until another is appended, so that a loss is
    /// noticed again where whoever was told of it was killed before it did anything about it.
    beyond: bool,
    /// What is to be cached with the next events.
    behind: Vec<(Vec<u8>, Vec<u8>)>,
}

type Reply = (SyncSender<Result<Vec<Recorded>, LogError>>, Vec<Recorded>);

impl Writer {
    fn run(mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let mut group = Vec::new();
            for request in std::iter::once(first).chain(requests.try_iter().take(GROUP - 1)) {
                match request {
                    Request::Append(append) => group.push(append),
                    Request::Keep(key, value) => self.behind.push((key, value)),
                    Request::Alone(work) => {
                        self.append(std::mem::take(&mut group));
                        work(&self.db);
                    }
                }
            }
            self.append(group);
            if self.behind.iter().map(|(_, value)| value.len()).sum::<usize>() > BEHIND {
                self.write_behind();
            }
        }
        self.write_behind();
        self.head.sync();
    }

    /// Caches what waits for it.
    fn write_behind(&mut self) {
        if self.behind.is_empty() {
            return;
        }
        let mut batch = self.db.batch();
        self.behind.drain(..).for_each(|(key, value)| batch.cache(key, Some(value)));
        if let Err(error) = batch.commit(Durability::Buffered) {
            tracing::warn!(%error, "what was to be cached could not be kept");
        }
    }

    /// Appends what a group asks for in one batch. A request that is refused is answered at once and
    /// leaves no trace in it.
    fn append(&mut self, group: Vec<Append>) {
        if group.is_empty() {
            return;
        }
        let db = Arc::clone(&self.db);
        let mut batch = db.batch();
        let mut last = self.last;
        let mut replies: Vec<Reply> = Vec::with_capacity(group.len());
        let mut draft = db.draft();
        for request in group {
            draft.savepoint();
            match self.draft(request.events, request.then, last, &mut draft) {
                Ok(encoded) => {
                    let mut recorded = Vec::with_capacity(encoded.len());
                    for (bytes, event) in encoded {
                        last = (event.seq, event.hash);
                        batch.event(event.seq.0, bytes);
                        recorded.push(event);
                    }
                    replies.push((request.reply, recorded));
                }
                Err(error) => {
                    draft.rollback();
                    answer(&request.reply, Err(error));
                }
            }
        }
        let mut changes = draft.into_changes();
        let late = mutant::is(Mutant::CursorApart).then(|| changes.apart_from_cursors());
        batch.apply(changes);
        // Rows without events can be made again from the log.
        let durability = if replies.iter().all(|(_, recorded)| recorded.is_empty()) {
            Durability::Buffered
        } else {
            Durability::Synced
        };
        if durability == Durability::Synced {
            self.behind.drain(..).for_each(|(key, value)| batch.cache(key, Some(value)));
        }
        let mut committed = batch.commit(durability);
        if let (Ok(()), Some(late)) = (&committed, late) {
            let mut batch = db.batch();
            batch.apply(late);
            committed = batch.commit(durability);
        }
        if committed.is_ok() {
            self.note_last(last);
        }
        // The first to wait is told what the disk said; for the rest, that it said it.
        let mut failure = committed.err();
        let failed = failure.is_some();
        for (reply, recorded) in replies {
            let result = if failed {
                Err(failure.take().unwrap_or(DbError::Poisoned).into())
            } else {
                Ok(recorded)
            };
            answer(&reply, result);
        }
    }

    /// Not fatal where it fails: the log itself is durable, and a note that is older is allowed.
    fn note_last(&mut self, last: (Seq, EventHash)) {
        if last.0 == self.last.0 {
            return;
        }
        self.last = last;
        let noted = if self.beyond { self.head.reset(last) } else { self.head.write(last) };
        match noted {
            Ok(()) => self.beyond = false,
            Err(error) => tracing::warn!(%error, "could not note the last event"),
        }
    }

    fn draft(
        &self,
        events: Vec<New>,
        then: Option<Then>,
        mut last: (Seq, EventHash),
        draft: &mut Draft<'_>,
    ) -> Result<Vec<(Vec<u8>, Recorded)>, LogError> {
        let mut encoded = Vec::with_capacity(events.len());
        for New { at, origin, event } in events {
            let seq = last.0.next();
            let (bytes, hash) =
                event::encode(seq, last.1, at, &origin, &event).map_err(LogError::Encode)?;
            let recorded = Recorded { seq, at, origin, event, hash };
            self.fold.fold(&recorded, draft).map_err(LogError::Refused)?;
            last = (seq, hash);
            encoded.push((bytes, recorded));
        }
        if let Some(then) = then {
            then(draft).map_err(LogError::Refused)?;
        }
        Ok(encoded)
    }
}

/// Whoever asked may have gone away meanwhile; the events are appended all the same.
fn answer(
    reply: &SyncSender<Result<Vec<Recorded>, LogError>>,
    result: Result<Vec<Recorded>, LogError>,
) {
    let _ = reply.send(result);
}
