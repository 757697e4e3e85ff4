//! Putting what happened here on a remote.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    Vault, VaultError,
    exchange::{Progress, Session},
    segments::Applied,
};
use crate::{
    db::Db,
    event::{ChangeBytes, Event, RemoteName, RenewReason, ResetReason},
    id::{DeviceId, SegmentHash, Seq},
    mutant::{self, Mutant},
    note::Change,
    projection::{
        devices::{self, Identity},
        receipts::{self, Chain},
        recent,
    },
    remote::{After, Key, Prefix, Remote, RemoteError, RemoteExt as _},
    segment::{self, Head, Item, SealedSegment, Segment},
    sync::{self, Cut},
};

/// How many events are looked up at once.
const ROWS: usize = 1024;
/// How many segments are sealed and put together.
const TOGETHER: usize = 4;

/// A segment that is about to be put, and what its receipt will say.
pub(super) struct Ready {
    seq: u64,
    pub(super) sealed: SealedSegment,
    through: Seq,
    changes: u64,
}

/// What lies on a remote under our id.
enum Found {
    /// What we put there.
    Ours,
    /// What somebody else did: why to take another id.
    Twin(RenewReason),
    /// Less than the remote had confirmed.
    Lost,
}

impl Session<'_> {
    /// Puts everything that has happened so far and the remote has not been told of. Gives whether there
    /// was anything.
    pub(super) async fn push(&mut self) -> Result<bool, VaultError> {
        // Somebody may be writing all the while.
        let through = self.vault.0.log.last()?;
        let mut pushed = false;
        loop {
            let name = self.name.clone();
            let seal = move |vault: &Vault| vault.seal_next(vault.db(), &name, through);
            let sealed = self.vault.blocking(seal).await?;
            let (device, before, ready) = sealed;
            let Some(last) = ready.last() else { return Ok(pushed) };
            pushed = true;
            if mutant::is(Mutant::ReceiptBeforePut) {
                self.receipts(&ready).await?;
            }
            if before.seq == 0 {
                self.announce(device).await?;
            }
            // Where this is cut off before the receipts, the next sync reads what was put before it puts the same
            // beside it: found there later, that would be a twin's.
            self.changed_remote()?;
            self.put(device, &ready).await?;
            match self.look(device, &before, &ready).await? {
                Found::Ours => {}
                Found::Twin(reason) => {
                    // No receipt: what the twin's segments may hide is pushed again under a new id.
                    let renew = move |vault: &Vault| vault.renew(reason);
                    self.vault.blocking(renew).await?;
                    continue;
                }
                Found::Lost => {
                    self.reset(ResetReason::SegmentGone).await?;
                    return Ok(true);
                }
            }
            let end = Chain { seq: last.seq, hashes: vec![last.sealed.hash] };
            self.put_head(device, &end).await?;
            self.beat().await?;
            self.receipts(&ready).await?;
        }
    }

    /// Says that there are, or will be, segments of a device: nobody looks for those of one without a
    /// head, and whoever puts them may be gone for ever before the next head.
    pub(super) async fn announce(&self, device: DeviceId) -> Result<(), VaultError> {
        // A twin may have got further.
        if self.remote.head(&Key::Head(device)).await.map_err(self.error())?.is_some() {
            return Ok(());
        }
        self.put_head(device, &Chain::default()).await
    }

    /// Says where the segments of a device end.
    pub(super) async fn put_head(&self, device: DeviceId, chain: &Chain) -> Result<(), VaultError> {
        self.vault.put_head(&self.name, &*self.remote, device, chain).await
    }

    async fn put(&mut self, device: DeviceId, ready: &[Ready]) -> Result<(), VaultError> {
        let put = |ready: &Ready| {
            let key = Key::Segment { device, seq: ready.seq, hash: ready.sealed.hash };
            let body = Bytes::copy_from_slice(&ready.sealed.bytes);
            let remote = &self.remote;
            async move { remote.put(&key, body.into()).await }
        };
        // All at once, since a closure over borrowed segments would keep a sync from being spawned.
        let puts: Vec<_> = ready.iter().map(put).collect();
        let progress = self.progress;
        stream::iter(puts)
            .buffer_unordered(TOGETHER)
            .try_for_each(|()| async move {
                progress(Progress::Pushed);
                Ok(())
            })
            .await
            .map_err(self.error())
    }

    /// Looks at what lies under our id about and behind the last segment `before` these. One that we did
    /// not write is a twin's; one that a crash left there before its receipt is ours, and noted. Where the
    /// last is gone, an old copy of the remote was put in its place after we read it: nobody could read
    /// on from there to what was put now.
    async fn look(
        &mut self,
        device: DeviceId,
        before: &Chain,
        ready: &[Ready],
    ) -> Result<Found, VaultError> {
        let recent = recent::get(self.vault.db(), &self.name, device)?;
        let after = After::before_segment(device, recent::from(before.seq));
        let listed = self.remote.list_all(&Prefix::Log(device), Some(after)).await;
        let listed = listed.map_err(self.error())?;
        let segments = listed.iter().filter_map(|listed| match listed.key {
            Key::Segment { seq, hash, .. } => Some((seq, hash)),
            _ => None,
        });
        let segments: Vec<(u64, SegmentHash)> = segments.collect();
        let mut ours: Vec<(u64, SegmentHash)> =
            before.hashes.iter().map(|hash| (before.seq, *hash)).collect();
        for (seq, hash) in &ours {
            if !segments.contains(&(*seq, *hash)) && !self.is_there(device, (*seq, *hash)).await? {
                return Ok(Found::Lost);
            }
        }
        for ready in ready {
            let key = Key::Segment { device, seq: ready.seq, hash: ready.sealed.hash };
            let mut size = listed.iter().find(|listed| listed.key == key).map(|shown| shown.size);
            if size.is_none() {
                // A listing may lag behind what it lists.
                let there = self.remote.head(&key).await.map_err(self.error())?;
                size = there.map(|there| there.size);
            }
            // There is no receipt for what the remote only says that it took.
            if size != Some(ready.sealed.bytes.len() as u64) {
                let what = format!("it took `{key}` and does not show it whole");
                return Err(self.error()(RemoteError::Damaged { what }));
            }
        }
        ours.extend(ready.iter().map(|ready| (ready.seq, ready.sealed.hash)));
        let is_known = |seq, hash| {
            ours.contains(&(seq, hash)) || seq <= before.seq && !recent.is_late(seq, hash)
        };
        for (seq, hash) in segments.into_iter().filter(|(seq, hash)| !is_known(*seq, *hash)) {
            // What can't be read is no segment of ours, and none of a twin that anybody could read.
            let Some((segment, _)) = self.segment(device, seq, hash).await? else { continue };
            let (name, put) = (self.name.clone(), ours.clone());
            let take = move |vault: &Vault| vault.take_in_segment(&name, segment, hash, &put);
            if let Applied::Twin(reason) = self.vault.blocking(take).await? {
                return Ok(Found::Twin(reason));
            }
        }
        Ok(Found::Ours)
    }

    async fn receipts(&mut self, ready: &[Ready]) -> Result<(), VaultError> {
        let mut events = Vec::with_capacity(ready.len());
        for Ready { seq, sealed, through, changes } in ready {
            self.report.pushed.segments += 1;
            self.report.pushed.changes += changes;
            self.report.pushed.bytes += sealed.bytes.len() as u64;
            let (remote, seq, through) = (self.name.clone(), *seq, *through);
            events.push(Event::SegmentPushed { remote, seq, hash: sealed.hash, through });
        }
        self.vault.blocking(move |vault| vault.record(events)).await
    }
}

impl Vault {
    /// Says on a remote where the segments of a device end.
    pub(super) async fn put_head(
        &self,
        name: &RemoteName,
        remote: &dyn Remote,
        device: DeviceId,
        chain: &Chain,
    ) -> Result<(), VaultError> {
        let (seq, hash) = (chain.seq, chain.hashes.last().copied());
        let head = Head { seq, hash, name: devices::name(self.db(), device)? };
        let sealed = head.seal(&self.0.sealer, device);
        let sealed =
            sealed.map_err(|source| VaultError::Segment { remote: name.clone(), source })?;
        let put = remote.put(&Key::Head(device), Bytes::from(sealed).into()).await;
        put.map_err(|source| VaultError::Remote { remote: name.clone(), source })
    }

    /// Seals the next segments of what a remote has not been told of, up to and with an event; none where it
    /// knows all. `db` holds what is known: as it is, or as it was.
    pub(super) fn seal_next(
        &self,
        db: &Db,
        remote: &RemoteName,
        through: Seq,
    ) -> Result<(DeviceId, Chain, Vec<Ready>), VaultError> {
        let Some(Identity { device, .. }) = devices::identity(db)? else {
            return Err(VaultError::Incomplete(self.0.folder.clone()));
        };
        let Some(known) = receipts::get(db, remote)? else {
            return Ok((device, Chain::default(), Vec::new()));
        };
        let mut items = Vec::new();
        let mut size = 0;
        let mut seqs = VecDeque::new();
        let mut last = Seq(0);
        loop {
            if seqs.is_empty() {
                seqs.extend(receipts::unpushed_behind(db, remote, last, ROWS)?);
            }
            let Some(seq) = seqs.pop_front().filter(|seq| *seq <= through) else { break };
            last = seq;
            let Some(recorded) = self.0.log.event(seq)? else { continue };
            let projector = recorded.origin.is_projector();
            let told = match recorded.event {
                Event::NoteChanged { note, change } => {
                    vec![Item::Change { note, change, projector }]
                }
                Event::NoteReceived { note, document, .. } => {
                    let changes = self.unfolded(note, &document.0)?.into_iter();
                    let change = |change: Change| Item::Change {
                        note,
                        change: ChangeBytes(change.bytes),
                        projector,
                    };
                    changes.map(change).collect()
                }
                Event::ImageStored { image, bytes, media_type, dimensions } => {
                    vec![Item::Image { image, bytes, media_type, dimensions }]
                }
                _ => continue,
            };
            for item in told {
                size += item.size();
                items.push((seq, item));
            }
            if size > TOGETHER * segment::TARGET {
                break;
            }
        }
        let mut previous: Option<SegmentHash> = known.own.hashes.last().copied();
        let mut ready = Vec::new();
        for (seq, Cut { items, through }) in (known.own.seq + 1..).zip(sync::cut(items)) {
            let is_change = |item: &&Item| matches!(item, Item::Change { .. });
            let changes = items.iter().filter(is_change).count() as u64;
            let segment = Segment { device, seq, previous, items };
            let sealed = segment
                .seal(&self.0.sealer)
                .map_err(|source| VaultError::Segment { remote: remote.clone(), source })?;
            previous = Some(sealed.hash);
            ready.push(Ready { seq, sealed, through, changes });
        }
        Ok((device, known.own, ready))
    }
}
