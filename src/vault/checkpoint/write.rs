//! Writing a checkpoint.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::super::{Vault, VaultError, cache, exchange::Session};
use crate::{
    event::{ChangeBytes, Covered, Event},
    id::{ChangeHash, DeviceId, ImageId, NoteId, Seq},
    mutant::{self, Mutant},
    note::{self, Note},
    projection::{
        catalog::{self, ImageRecord},
        documents::{self, Document},
        receipts::{self, Chain},
    },
    remote::{Key, ListedKey, Prefix, Remote as _, RemoteExt as _},
    segment::{
        SealedSegment,
        checkpoint::{Checkpoint, Entry, PART, seal_part},
    },
    sync,
};

/// What a checkpoint is made of.
struct Frame {
    device: DeviceId,
    /// Its number under that device.
    seq: u64,
    /// The last event that is in it.
    last: Seq,
    notes: Vec<NoteId>,
    images: Vec<(ImageId, ImageRecord)>,
}

impl Session<'_> {
    /// Writes a checkpoint where one is due. That one could not be written is no reason for a sync to
    /// fail: the segments have it all, and the next sync that pushes anything tries again.
    pub(in super::super) async fn write_checkpoint(&mut self) {
        let came = self.report.pushed.bytes.saturating_add(self.report.pulled.bytes);
        self.memory.grown = self.memory.grown.saturating_add(came);
        let enough = self.memory.enough.max(self.options.checkpoint);
        // Whoever only reads leaves it to those who write.
        if self.report.pushed.segments == 0 || self.memory.grown < enough {
            return;
        }
        if let Err(error) = self.weigh().await {
            tracing::warn!(remote = %self.name, "no checkpoint: {}", super::super::chain(&error));
        }
    }

    /// Weighs what a device that joins would read, and writes a checkpoint where that is worth it.
    async fn weigh(&mut self) -> Result<(), VaultError> {
        let listed = self.list_checkpoints().await?;
        let last = self.checkpoints(&listed).await?.pop();
        let segments = self.remote.list_all(&Prefix::Logs, None).await.map_err(self.error())?;
        let covered: BTreeMap<DeviceId, u64> = last
            .iter()
            .flat_map(|found| &found.checkpoint.covers)
            .map(|covered| (covered.device, covered.seq))
            .collect();
        let beside = segments.iter().filter(|listed| match listed.key {
            Key::Segment { device, seq, .. } => covered.get(&device).is_none_or(|last| seq > *last),
            _ => false,
        });
        let beside = beside.map(|listed| listed.size).fold(0, u64::saturating_add);
        let minimum = self.options.checkpoint;
        let mut left = sync::until_checkpoint(beside, last.map_or(0, |found| found.bytes), minimum);
        if left == 0 {
            let Some(bytes) = self.put_checkpoint(&listed).await? else { return Ok(()) };
            left = sync::until_checkpoint(0, bytes, minimum);
        }
        (self.memory.grown, self.memory.enough) = (0, left);
        Ok(())
    }

    /// Gives the bytes of the checkpoint; `None` where it is not the time for one.
    async fn put_checkpoint(&mut self, listed: &[ListedKey]) -> Result<Option<u64>, VaultError> {
        let device = self.vault.device()?;
        let numbers = listed.iter().filter_map(|listed| match listed.key {
            Key::Checkpoint { device: of, seq, .. } if of == device => Some(seq),
            _ => None,
        });
        // One that was cut off has used its number up.
        let Some(seq) = numbers.max().unwrap_or(0).checked_add(1) else { return Ok(None) };
        let name = self.name.clone();
        let framed = self.vault.blocking(move |vault| {
            // In this order: what is written meanwhile is not in it.
            let last = vault.0.log.last()?;
            if !receipts::unpushed_behind(vault.db(), &name, Seq(0), 1)?.is_empty() {
                return Ok(None);
            }
            let notes = documents::notes(vault.db())?;
            let images = catalog::image_records(vault.db())?;
            Ok(Some(Frame { device, seq, last, notes, images }))
        });
        let Some(frame) = framed.await? else { return Ok(None) };
        let chains = self.known_chains()?.into_iter().filter(|(_, chain)| chain.seq > 0);
        let covers = chains.map(|(device, Chain { seq, hashes })| Covered { device, seq, hashes });
        let covers: Vec<Covered> = covers.collect();

        let frame = Arc::new(frame);
        let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0);
        loop {
            let (framed, name) = (Arc::clone(&frame), self.name.clone());
            let seal = move |vault: &Vault| {
                let (entries, next) = vault.entries(&framed, from)?;
                if entries.is_empty() {
                    return Ok(None);
                }
                let Frame { device, seq, .. } = *framed;
                let sealed = seal_part(&entries, &vault.0.sealer, device, seq);
                let sealed =
                    sealed.map_err(|source| VaultError::Segment { remote: name, source })?;
                Ok(Some((sealed, next)))
            };
            let Some((sealed, next)) = self.vault.blocking(seal).await? else { break };
            parts.push(sealed.hash);
            // Nobody has so many notes, and a part of a checkpoint is worse than none.
            let Ok(part) = u16::try_from(parts.len()) else { return Ok(None) };
            bytes += self.put_part(device, seq, part, sealed).await?;
            from = next;
        }
        let first = Checkpoint { covers, parts }.seal(&self.vault.0.sealer, device, seq);
        let first =
            first.map_err(|source| VaultError::Segment { remote: self.name.clone(), source })?;
        // Only now: what names the parts comes after them.
        bytes += self.put_part(device, seq, 0, first).await?;
        Ok(Some(bytes))
    }

    async fn put_part(
        &self,
        device: DeviceId,
        seq: u64,
        part: u16,
        SealedSegment { hash, bytes }: SealedSegment,
    ) -> Result<u64, VaultError> {
        let (key, size) = (Key::Checkpoint { device, seq, part, hash }, bytes.len() as u64);
        self.remote.put(&key, Bytes::from(bytes).into()).await.map_err(self.error())?;
        Ok(size)
    }
}

impl Vault {
    /// The entries of the next part, and where the one after it begins; none at the end.
    fn entries(&self, frame: &Frame, mut from: usize) -> Result<(Vec<Entry>, usize), VaultError> {
        let (mut entries, mut size) = (Vec::new(), 0);
        while size < PART {
            let entry = if let Some(note) = frame.notes.get(from) {
                self.entry(*note, frame.last)?
            } else if let Some((image, record)) = frame.images.get(from - frame.notes.len()) {
                holders(frame.device, *image, record)
            } else {
                break;
            };
            from += 1;
            size += entry.as_ref().map_or(0, Entry::size);
            entries.extend(entry);
        }
        Ok((entries, from))
    }

    /// What there is of a note up to an event.
    fn entry(&self, id: NoteId, last: Seq) -> Result<Option<Entry>, VaultError> {
        let Some(document) = documents::get(self.db(), id)? else { return Ok(None) };
        let mut seqs = documents::tail(self.db(), id, Seq(0))?;
        seqs.retain(|seq| *seq <= last);
        if mutant::is(Mutant::CheckpointLags) && seqs.len() > 1 {
            seqs.pop();
        }
        if seqs.is_empty() {
            return Ok(None);
        }
        if let Some(entry) = self.entry_at_hand(id, &document, &seqs)? {
            return Ok(Some(entry));
        }
        let received = self.received(&document)?;
        let tail = self.changes(&seqs)?;
        let slices: Vec<&[u8]> = tail.iter().map(Vec::as_slice).collect();
        if seqs.last() == Some(&document.last)
            && document.received.is_none()
            && document.missing.is_empty()
            && let Some(row) = self.row_of(id, &document.heads)?
            && let Some(whole) = note::in_changes(id, &slices)
        {
            let Document { heads, changes, .. } = document;
            let document = ChangeBytes(whole);
            return Ok(Some(Entry::Note {
                note: id,
                document,
                heads,
                changes,
                digest: row.digest,
            }));
        }
        let whole = Note::load(id, self.0.actor, received.as_deref(), &slices)
            .map_err(|source| VaultError::Note { note: id, source })?;
        if whole.missing().is_empty() {
            let heads = whole.heads().as_slice().to_vec();
            let changes = whole.history().len() as u64;
            let (document, digest) = (ChangeBytes(whole.save()), cache::digest(&whole));
            return Ok(Some(Entry::Note { note: id, document, heads, changes, digest }));
        }
        let mut changes = Vec::new();
        if let Some(received) = received {
            let unfolded = self.unfolded(id, &received)?.into_iter();
            changes.extend(unfolded.map(|change| ChangeBytes(change.bytes)));
        }
        changes.extend(tail.into_iter().map(ChangeBytes));
        Ok(Some(Entry::Waiting { note: id, changes }))
    }

    /// The same without loading the note, where that is as it came whole, or as it is cached.
    fn entry_at_hand(
        &self,
        note: NoteId,
        document: &Document,
        seqs: &[Seq],
    ) -> Result<Option<Entry>, VaultError> {
        let is_last = |seq: Seq| seqs.last() == Some(&seq);
        if document.received.is_some_and(|received| is_last(received.seq))
            && let Some(seq) = seqs.last()
            && let Some(recorded) = self.0.log.event(*seq)?
            && let Event::NoteReceived { note, document, heads, changes, digest } = recorded.event
        {
            return Ok(Some(Entry::Note { note, document, heads, changes, digest }));
        }
        let Document { heads, missing, changes, last, .. } = document;
        let Some((through, bytes)) = self.snapshot(note)? else { return Ok(None) };
        let is_current = through == *last && is_last(through) && missing.is_empty();
        let is_it = || note::inspect_whole(&bytes).is_ok_and(|found| found.as_slice() == heads);
        let row = if is_current && is_it() { self.row_of(note, heads)? } else { None };
        Ok(row.map(|row| Entry::Note {
            note,
            document: ChangeBytes(bytes),
            heads: heads.clone(),
            changes: *changes,
            digest: row.digest,
        }))
    }

    /// What the catalog shows of a version of a note, if that is the present one.
    fn row_of(
        &self,
        note: NoteId,
        heads: &[ChangeHash],
    ) -> Result<Option<catalog::Entry>, VaultError> {
        if catalog::is_stale(self.db(), note)? {
            return Ok(None);
        }
        let row = catalog::get(self.db(), note)?;
        // Last: somebody may be editing it.
        let is_present = documents::get(self.db(), note)?.is_some_and(|now| now.heads == heads);
        Ok(row.filter(|_| is_present))
    }
}

/// What is known of an image, where anybody said that they hold it.
fn holders(own: DeviceId, image: ImageId, record: &ImageRecord) -> Option<Entry> {
    let mut holders = record.holders.clone();
    if record.stored.is_some() {
        holders.push(own);
    }
    let ImageRecord { bytes, media_type, dimensions, .. } = *record;
    (!holders.is_empty()).then_some(Entry::Image { image, bytes, media_type, dimensions, holders })
}
