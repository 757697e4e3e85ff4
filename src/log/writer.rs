//! What is written to the log, in batches.

use std::sync::{Arc, Mutex, PoisonError, mpsc::SyncSender};

use super::{Fold, LogError, New, Then, head::HeadFile};
use crate::{
    db::{Batch, Db, DbError, Draft, Durability},
    event::{self, Recorded},
    id::{EventHash, Seq},
    mutant::{self, Mutant},
};

/// How many bytes wait to be cached until they are worth a write of their own.
const BEHIND: usize = 4 << 20;

/// What somebody waits for.
pub(super) enum Request {
    Append(Append),
    /// Cache what waits for it.
    WriteBehind,
    Alone(Box<dyn FnOnce(&Db) + Send>),
}

pub(super) struct Append {
    pub(super) events: Vec<New>,
    pub(super) then: Option<Then>,
    pub(super) reply: SyncSender<Result<Vec<Recorded>, LogError>>,
}

/// What is to be cached with the next events.
#[derive(Default)]
pub(super) struct Behind {
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl Behind {
    /// Adds a row; gives whether they are worth a write of their own now.
    pub(super) fn push(&mut self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.bytes += value.len();
        self.rows.push((key, value));
        self.bytes > BEHIND
    }
}

/// Writes the log; one at a time has it.
pub(super) struct Writer {
    pub(super) db: Arc<Db>,
    pub(super) fold: Box<dyn Fold>,
    pub(super) head: HeadFile,
    pub(super) last: (Seq, EventHash),
    /// Whether the head speaks of events that were lost: until another is appended, so that a loss is
    /// noticed again where whoever was told of it was killed before it did anything about it.
    pub(super) beyond: bool,
    /// What is to be cached with the next events.
    pub(super) behind: Arc<Mutex<Behind>>,
}

type Reply = (SyncSender<Result<Vec<Recorded>, LogError>>, Vec<Recorded>);

impl Writer {
    /// Does what was asked for, in order.
    pub(super) fn serve(&mut self, requests: Vec<Request>) {
        let mut group = Vec::new();
        for request in requests {
            match request {
                Request::Append(append) => group.push(append),
                Request::WriteBehind => self.write_behind(),
                Request::Alone(work) => {
                    self.append(std::mem::take(&mut group));
                    work(&self.db);
                }
            }
        }
        self.append(group);
    }

    /// Leaves nothing that waits.
    pub(super) fn close(&mut self) {
        self.write_behind();
        self.head.sync();
    }

    /// Caches what waits for it.
    fn write_behind(&mut self) {
        let mut batch = self.db.batch();
        if self.cache(&mut batch)
            && let Err(error) = batch.commit(Durability::Buffered)
        {
            tracing::warn!(%error, "what was to be cached could not be kept");
        }
    }

    /// Puts into a batch what waits to be cached; gives whether there is any.
    fn cache(&self, batch: &mut Batch<'_>) -> bool {
        let behind =
            std::mem::take(&mut *self.behind.lock().unwrap_or_else(PoisonError::into_inner));
        let any = !behind.rows.is_empty();
        behind.rows.into_iter().for_each(|(key, value)| batch.cache(key, Some(value)));
        any
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
            self.cache(&mut batch);
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
