//! Loaded notes, a bounded number of them, each behind a lock of its own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::{Vault, VaultError, lock};
use crate::{
    db::Durability,
    event::{ChangeBytes, Event, Origin},
    id::{NoteId, Seq},
    log::Then,
    note::{Change, Note, NoteError},
    projection::{
        catalog::{self, Digest},
        documents::{self, Document},
    },
};

/// How many loaded notes are kept.
const KEPT: usize = 32;
/// How many changes since the last snapshot make a new one worth its bytes.
const LONG_TAIL: usize = 64;
/// How many rows of the catalog are put together.
const ROWS: usize = 256;

/// Loaded notes. A note is taken out of here to be used and found again by whoever comes next.
#[derive(Default)]
pub(super) struct Cache {
    notes: HashMap<NoteId, (u64, Arc<Mutex<Slot>>)>,
    uses: u64,
}

/// A note, if it is loaded, and the last event that it holds.
#[derive(Default)]
pub(super) struct Slot {
    loaded: Option<Note>,
    through: Seq,
}

impl Cache {
    fn slot(&mut self, note: NoteId) -> Arc<Mutex<Slot>> {
        self.uses += 1;
        let uses = self.uses;
        if !self.notes.contains_key(&note) && self.notes.len() >= KEPT {
            // One that somebody uses now must stay: a second slot would be a second truth.
            let idle = self.notes.iter().filter(|(_, (_, slot))| Arc::strong_count(slot) == 1);
            if let Some(oldest) = idle.min_by_key(|(_, (used, _))| *used).map(|(note, _)| *note) {
                self.notes.remove(&oldest);
            }
        }
        let (last_use, slot) = self.notes.entry(note).or_default();
        *last_use = uses;
        Arc::clone(slot)
    }
}

impl Vault {
    /// Gives the note, with everything that arrived for it, to `work`.
    pub(super) fn with_note<T>(
        &self,
        id: NoteId,
        work: impl FnOnce(&mut Note) -> Result<T, NoteError>,
    ) -> Result<T, VaultError> {
        let slot = lock(&self.0.notes).slot(id);
        let mut slot = lock(&slot);
        let note = self.current(id, &mut slot)?;
        work(note).map_err(|source| VaultError::Note { note: id, source })
    }

    /// Has `work` change the note, then appends `before`, and the changes as this device's or the
    /// projector's. Gives whether anything was appended.
    ///
    /// A note whose changes were not appended is dropped: what is not in the log did not happen.
    pub(super) fn change_note(
        &self,
        id: NoteId,
        origin: &Origin,
        before: Vec<Event>,
        work: impl FnOnce(&mut Note) -> Result<Vec<Change>, NoteError>,
    ) -> Result<bool, VaultError> {
        let slot = lock(&self.0.notes).slot(id);
        let mut slot = lock(&slot);
        let note = self.current(id, &mut slot)?;
        let changes = match work(note) {
            Ok(changes) => changes,
            Err(source) => {
                *slot = Slot::default();
                return Err(VaultError::Note { note: id, source });
            }
        };
        if changes.is_empty() && before.is_empty() {
            return Ok(false);
        }
        let appended = match self.append_changes(id, note, origin, before, changes) {
            Ok(appended) => appended,
            Err(error) => {
                *slot = Slot::default();
                return Err(error);
            }
        };
        // A sync may have appended changes of others before ours: then the note is behind, and what
        // it has of ours is applied once more with theirs.
        if let Some(last) = appended.last()
            && documents::tail(self.db(), id, slot.through)? == appended
        {
            slot.through = *last;
        }
        Ok(!appended.is_empty())
    }

    fn append_changes(
        &self,
        id: NoteId,
        note: &Note,
        origin: &Origin,
        before: Vec<Event>,
        changes: Vec<Change>,
    ) -> Result<Vec<Seq>, VaultError> {
        let deps = changes.iter().map(|change| (change.hash, change.deps.as_slice()));
        self.index_if_doubtful(id, deps)?;
        let then = (!changes.is_empty()).then(|| put_row(id, note));
        let before = before.into_iter().map(|event| (Origin::Here, event));
        let changes = changes.into_iter().map(|change| {
            let event = Event::NoteChanged { note: id, change: ChangeBytes(change.bytes) };
            (origin.clone(), event)
        });
        let recorded = self.append(before.chain(changes), then)?;
        let of_note = recorded.iter().filter(|r| matches!(r.event, Event::NoteChanged { .. }));
        Ok(of_note.map(|recorded| recorded.seq).collect())
    }

    /// Puts a note that was just made here, so that it need not be loaded.
    pub(super) fn append_new(
        &self,
        id: NoteId,
        note: &Note,
        before: Vec<Event>,
        changes: Vec<Change>,
    ) -> Result<(), VaultError> {
        self.append_changes(id, note, &Origin::Here, before, changes).map(drop)
    }

    fn current<'a>(&self, id: NoteId, slot: &'a mut Slot) -> Result<&'a mut Note, VaultError> {
        let error = |source| VaultError::Note { note: id, source };
        let document = documents::get(self.db(), id)?
            .ok_or_else(|| VaultError::UnknownNote(id.to_string()))?;
        let Slot { loaded, through } = slot;
        let note = match loaded.take() {
            Some(note) if *through == document.last => note,
            Some(mut note) => {
                let changes = self.changes(&documents::tail(self.db(), id, *through)?)?;
                let changes: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
                note.apply(&changes).map_err(error)?;
                note
            }
            None => self.load(id, &document)?,
        };
        *through = document.last;
        Ok(loaded.insert(note))
    }

    fn load(&self, id: NoteId, document: &Document) -> Result<Note, VaultError> {
        let error = |source| VaultError::Note { note: id, source };
        let snapshot = self.snapshot(id)?;
        let (through, bytes) = match &snapshot {
            Some((through, bytes)) => (*through, Some(bytes.as_slice())),
            None => (Seq(0), None),
        };
        let received = if bytes.is_none() { self.received(document)? } else { None };
        let whole = bytes.or(received.as_deref());
        let changes = self.changes(&documents::tail(self.db(), id, through)?)?;
        let slices: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
        let note = match Note::load(id, self.0.actor, whole, &slices) {
            Ok(note) => note,
            // A snapshot is only a shortcut: the log has it all.
            Err(_) if bytes.is_some() => {
                let changes = self.changes(&documents::tail(self.db(), id, Seq(0))?)?;
                let slices: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
                let received = self.received(document)?;
                Note::load(id, self.0.actor, received.as_deref(), &slices).map_err(error)?
            }
            Err(source) => return Err(error(source)),
        };
        if slices.len() >= LONG_TAIL {
            let row = [document.last.0.to_be_bytes().as_slice(), &note.save()].concat();
            let mut batch = self.db().batch();
            batch.cache(id.as_bytes().to_vec(), Some(row));
            // The next load makes it again; that it can't be kept is no reason not to read.
            if let Err(error) = batch.commit(Durability::Buffered) {
                tracing::warn!(%error, "a snapshot could not be kept");
            }
        }
        Ok(note)
    }

    /// What is cached of a note, and the last event that it holds.
    pub(super) fn snapshot(&self, id: NoteId) -> Result<Option<(Seq, Vec<u8>)>, VaultError> {
        let Some(mut row) = self.db().cached(id.as_bytes())? else { return Ok(None) };
        let Some(through) = row.first_chunk().map(|bytes| Seq(u64::from_be_bytes(*bytes))) else {
            return Ok(None);
        };
        Ok(Some((through, row.split_off(size_of::<u64>()))))
    }

    pub(super) fn changes(&self, seqs: &[Seq]) -> Result<Vec<Vec<u8>>, VaultError> {
        let mut changes = Vec::with_capacity(seqs.len());
        for seq in seqs {
            if let Some(recorded) = self.0.log.event(*seq)?
                && let Event::NoteChanged { change, .. } = recorded.event
            {
                changes.push(change.0);
            }
        }
        Ok(changes)
    }

    /// Makes the stale rows of the catalog again: one load for each of those notes.
    ///
    /// # Errors
    ///
    /// Where a note can't be read, after the others were done.
    pub(super) fn refresh_catalog(&self) -> Result<(), VaultError> {
        let mut failed = None;
        for ids in catalog::stale(self.db())?.chunks(ROWS) {
            let mut rows: Vec<Then> = Vec::with_capacity(ids.len());
            for id in ids {
                match self.with_note(*id, |note| Ok(put_row(*id, note))) {
                    Ok(row) => rows.push(row),
                    Err(error) => failed = Some(error),
                }
            }
            let all: Then = Box::new(|draft| rows.into_iter().try_for_each(|row| row(draft)));
            self.append([], Some(all))?;
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Puts the row of a note as it is now, unless something else arrives for it first.
pub(super) fn put_row(id: NoteId, note: &Note) -> Then {
    let (heads, digest) = (note.heads(), digest(note));
    Box::new(move |draft| {
        catalog::put(draft, id, heads.as_slice(), digest)?;
        Ok(())
    })
}

/// What the catalog shows of a note.
pub(super) fn digest(note: &Note) -> Digest {
    let body = note.body();
    let urls = note.urls();
    let images = body.images().into_iter();
    Digest {
        title: body.title().unwrap_or_default(),
        path: note.path(),
        trashed: note.trashed(),
        characters: body.characters() as u64,
        images: images.map(|image| (image, urls.get(&image).cloned())).collect(),
    }
}
