//! Loaded notes, a bounded number of bytes of them, each behind a lock of its own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use super::{Vault, VaultError, lock};
use crate::{
    clock::Timestamp,
    event::{ChangeBytes, Event, Origin},
    id::{ImageId, NoteId, Seq},
    log::Then,
    note::{Body, Change, Heads, Note, NoteError, Opening},
    projection::{
        catalog::{self, Digest},
        documents::{self, Document},
    },
};

/// How many bytes loaded notes may take, beside the last that was used.
const KEPT: usize = 24 << 20;
/// What a loaded note takes, about: so much, and so many times what was read to load it.
const EACH: usize = 64 << 10;
const TIMES: usize = 8;
/// How many changes since the last snapshot make a new one worth its bytes.
const LONG_TAIL: usize = 64;
/// How many changes a note has that nobody edited since it was made.
const AS_BEGUN: u64 = 2;
/// How many rows of the catalog are put together.
const ROWS: usize = 256;

/// Loaded notes. A note is taken out of here to be used and found again by whoever comes next.
#[derive(Default)]
pub(super) struct Cache {
    notes: HashMap<NoteId, Kept>,
    uses: u64,
    bytes: usize,
}

struct Kept {
    last_use: u64,
    bytes: usize,
    slot: Arc<Mutex<Slot>>,
}

/// A note, if it is loaded, the last event that it holds, and how many bytes were read for it.
#[derive(Default)]
pub(super) struct Slot {
    loaded: Option<Note>,
    through: Seq,
    read: usize,
}

impl Slot {
    /// What it takes, about.
    pub(super) fn bytes(&self) -> usize {
        if self.loaded.is_some() { EACH + TIMES * self.read } else { 0 }
    }
}

impl Cache {
    fn slot(&mut self, note: NoteId) -> Arc<Mutex<Slot>> {
        self.uses += 1;
        let new = || Kept { last_use: 0, bytes: 0, slot: Arc::default() };
        let kept = self.notes.entry(note).or_insert_with(new);
        kept.last_use = self.uses;
        Arc::clone(&kept.slot)
    }

    /// Notes what a note takes, and forgets others where that is too much.
    fn weigh(&mut self, note: NoteId, bytes: usize) {
        if let Some(kept) = self.notes.get_mut(&note) {
            self.bytes = self.bytes + bytes - std::mem::replace(&mut kept.bytes, bytes);
            if bytes == 0 && Arc::strong_count(&kept.slot) == 1 {
                self.notes.remove(&note);
            }
        }
        while self.bytes > KEPT {
            // One that somebody uses now must stay: a second slot would be a second truth.
            let idle = self.notes.iter().filter(|(_, kept)| Arc::strong_count(&kept.slot) == 1);
            let others = idle.filter(|(other, _)| **other != note);
            let oldest = others.min_by_key(|(_, kept)| kept.last_use).map(|(other, _)| *other);
            let Some(gone) = oldest.and_then(|oldest| self.notes.remove(&oldest)) else { return };
            self.bytes -= gone.bytes;
        }
    }
}

impl Vault {
    /// Gives the note, with everything that arrived for it, to `work`.
    pub(super) fn with_note<T>(
        &self,
        id: NoteId,
        work: impl FnOnce(&mut Note) -> Result<T, NoteError>,
    ) -> Result<T, VaultError> {
        self.in_slot(id, |slot| {
            let note = self.current(id, slot)?;
            work(note).map_err(|source| VaultError::Note { note: id, source })
        })
    }

    /// Does something with the slot of a note, which nobody else does meanwhile. Where that panics, the
    /// slot is empty: a note with a change that is not in the log must not be what comes next builds on.
    pub(super) fn in_slot<T>(&self, id: NoteId, work: impl FnOnce(&mut Slot) -> T) -> T {
        let slot = lock(&self.0.notes).slot(id);
        let mut held = lock(&slot);
        let mut taken = std::mem::take(&mut *held);
        let result = work(&mut taken);
        let bytes = taken.bytes();
        *held = taken;
        drop(held);
        drop(slot);
        lock(&self.0.notes).weigh(id, bytes);
        result
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
        self.in_slot(id, |slot| {
            let changed = self.change_in(slot, id, origin, before, work);
            if changed.is_err() {
                *slot = Slot::default();
            }
            changed
        })
    }

    fn change_in(
        &self,
        slot: &mut Slot,
        id: NoteId,
        origin: &Origin,
        before: Vec<Event>,
        work: impl FnOnce(&mut Note) -> Result<Vec<Change>, NoteError>,
    ) -> Result<bool, VaultError> {
        let note = self.current(id, slot)?;
        let changes = work(note).map_err(|source| VaultError::Note { note: id, source })?;
        if changes.is_empty() && before.is_empty() {
            return Ok(false);
        }
        let bytes = changes.iter().map(|change| change.bytes.len()).sum::<usize>();
        let appended = self.append_changes(id, note, origin, before, changes)?;
        slot.read += bytes;
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
        let changes = changed(id, changes).map(|event| (origin.clone(), event));
        let recorded = self.append(before.chain(changes), then)?;
        let of_note = recorded.iter().filter(|r| matches!(r.event, Event::NoteChanged { .. }));
        Ok(of_note.map(|recorded| recorded.seq).collect())
    }

    pub(super) fn current<'a>(
        &self,
        id: NoteId,
        slot: &'a mut Slot,
    ) -> Result<&'a mut Note, VaultError> {
        let document = documents::get(self.db(), id)?
            .ok_or_else(|| VaultError::UnknownNote(id.to_string()))?;
        let Slot { loaded, through, read } = slot;
        let note = match loaded.take() {
            Some(note) if *through == document.last => note,
            Some(mut note) => {
                let tail = documents::tail(self.db(), id, *through)?;
                let changes = self.changes(&tail)?;
                let changes: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
                note.apply(&changes).map_err(|source| VaultError::Note { note: id, source })?;
                *read += length(&changes);
                *through = tail.last().copied().unwrap_or(*through);
                note
            }
            None => {
                let note;
                (note, *through, *read) = self.load(id, &document)?;
                note
            }
        };
        Ok(loaded.insert(note))
    }

    /// Loads a note; gives the last event that it holds, and how many bytes were read for it, as well.
    ///
    /// That event need not be the last that `document` knows of: the rows of a batch that is being written
    /// come to be seen one after the other, and those of the tails after those of the documents.
    fn load(&self, id: NoteId, document: &Document) -> Result<(Note, Seq, usize), VaultError> {
        let error = |source| VaultError::Note { note: id, source };
        let snapshot = self.snapshot(id)?;
        let (through, bytes) = match &snapshot {
            Some((through, bytes)) => (*through, Some(bytes.as_slice())),
            None => (Seq(0), None),
        };
        let received = if bytes.is_none() { self.received(document)? } else { None };
        let whole = bytes.or(received.as_deref());
        let tail = documents::tail(self.db(), id, through)?;
        let last = tail.last().copied().unwrap_or(through);
        let changes = self.changes(&tail)?;
        let slices: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
        let (note, last) = match Note::load(id, self.0.actor, whole, &slices) {
            Ok(note) => (note, last),
            // A snapshot is only a shortcut: the log has it all.
            Err(_) if bytes.is_some() => {
                let tail = documents::tail(self.db(), id, Seq(0))?;
                let changes = self.changes(&tail)?;
                let slices: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
                let received = self.received(document)?;
                let note = Note::load(id, self.0.actor, received.as_deref(), &slices);
                (note.map_err(error)?, tail.last().copied().unwrap_or_default())
            }
            Err(source) => return Err(error(source)),
        };
        if slices.len() >= LONG_TAIL {
            let row = [last.0.to_be_bytes().as_slice(), &note.save()].concat();
            self.0.log.keep(id.as_bytes().to_vec(), row);
        }
        Ok((note, last, whole.map_or(0, <[u8]>::len) + length(&slices)))
    }

    /// Whether a note is in memory.
    pub(super) fn is_loaded(&self, id: NoteId) -> bool {
        lock(&self.0.notes).notes.contains_key(&id)
    }

    /// A note that is as it began, so that it need not be loaded to be read.
    pub(super) fn unedited(&self, id: NoteId) -> Result<Option<Opening>, VaultError> {
        let Some(document) = documents::get(self.db(), id)? else { return Ok(None) };
        if document.changes != AS_BEGUN {
            return Ok(None);
        }
        let received = self.received(&document)?;
        let changes = self.changes(&documents::tail(self.db(), id, Seq(0))?)?;
        let changes: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
        Ok(Opening::of(id, received.as_deref(), &changes))
    }

    /// Puts the row of a note as it is now, and keeps its text for searches while it is loaded.
    fn row(&self, id: NoteId) -> Result<Then, VaultError> {
        let through = self.settled(id)?;
        let (row, text) = match self.unedited(id)? {
            None => self.with_note(id, |note| Ok((put_row(id, note), note.body().source())))?,
            Some(opening) => {
                let (heads, none) = (opening.heads(), BTreeMap::new());
                let text = opening.body.source();
                let digest = digest_of(&opening.body, opening.path, false, &none);
                (put_digest(id, heads, digest), text)
            }
        };
        self.keep_text(id, through, &text);
        Ok(row)
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

    /// Makes the stale rows of the catalog again: one load for each of those notes that was edited.
    ///
    /// # Errors
    ///
    /// Where a note can't be read, after the others were done.
    pub(super) fn refresh_catalog(&self) -> Result<(), VaultError> {
        let mut failed = None;
        for ids in catalog::stale(self.db())?.chunks(ROWS) {
            let mut rows: Vec<Then> = Vec::with_capacity(ids.len());
            for row in self.divided(ids, |id| self.row(*id)) {
                match row {
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

fn length(changes: &[&[u8]]) -> usize {
    changes.iter().map(|change| change.len()).sum()
}

/// The events that say that a note got changes.
pub(super) fn changed(note: NoteId, changes: Vec<Change>) -> impl Iterator<Item = Event> {
    let changes = changes.into_iter().map(|change| ChangeBytes(change.bytes));
    changes.map(move |change| Event::NoteChanged { note, change })
}

/// Puts the row of a note as it is now, unless something else arrives for it first.
pub(super) fn put_row(id: NoteId, note: &Note) -> Then {
    put_digest(id, note.heads(), digest(note))
}

fn put_digest(id: NoteId, heads: Heads, digest: Digest) -> Then {
    Box::new(move |draft| {
        catalog::put(draft, id, heads.as_slice(), digest)?;
        Ok(())
    })
}

/// What the catalog shows of a note.
pub(super) fn digest(note: &Note) -> Digest {
    digest_of(note.body(), note.path(), note.trashed(), &note.urls())
}

fn digest_of(
    body: &Body,
    path: Option<String>,
    trashed: bool,
    urls: &BTreeMap<ImageId, String>,
) -> Digest {
    let images = body.images().into_iter();
    Digest {
        title: body.title().unwrap_or_default(),
        path,
        trashed,
        characters: body.characters() as u64,
        images: images.map(|image| (image, urls.get(&image).cloned())).collect(),
    }
}

/// A note that was made, and is in no log yet.
pub(super) struct Begun {
    /// Its changes.
    pub(super) changes: Vec<Change>,
    /// The version that they make.
    pub(super) heads: Heads,
    /// Puts its row.
    pub(super) row: Then,
}

/// Makes a note without loading one.
pub(super) fn begin(
    id: NoteId,
    actor: [u8; 8],
    path: Option<&str>,
    body: &Body,
    at: Timestamp,
) -> Result<Begun, VaultError> {
    let begun = Note::begin(id, actor, path, body, at);
    let (changes, body) = begun.map_err(|source| VaultError::Note { note: id, source })?;
    let heads =
        Heads::from(changes.last().map(|change| change.hash).into_iter().collect::<Vec<_>>());
    let digest = digest_of(&body, path.map(str::to_owned), false, &BTreeMap::new());
    Ok(Begun { changes, row: put_digest(id, heads.clone(), digest), heads })
}
