//! Reading the segments of one device.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join, stream};

use super::{
    Vault, VaultError,
    exchange::{Progress, Session},
    pull::AHEAD,
    trail::Trail,
};
use crate::{
    event::{Event, Origin, RemoteName, RenewReason},
    id::{DeviceId, ImageId, SegmentHash, Seq},
    mutant::{self, Mutant},
    projection::{catalog, devices, receipts::Chain, recent},
    remote::{After, Key, Prefix, Remote as _, RemoteError, RemoteExt as _},
    segment::{self, Item, Segment},
    sync::Reading,
};

/// What came of reading the segments of a device. What is greater leaves more to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Read {
    /// All were read.
    All,
    /// All were that are there, but for those that follow one that is not, and for what is wrong beside others.
    Gaps,
    /// Some were, and the head names more.
    Short,
    /// Some were, and the rest is to be tried again.
    Part,
    /// The last that was read is gone: the remote lost it.
    Lost,
}

/// What came of taking in one segment.
pub(super) enum Taken {
    /// It is in.
    In,
    /// It can't be read, or follows none of those that were read; and what it follows, where that is known.
    Not(Read, Option<SegmentHash>),
    /// It is a twin's, and this device has another id now.
    Twin,
}

/// What came of reading a segment.
pub(super) enum Applied {
    /// It was taken in; this many changes were news.
    News(u64),
    /// It bears our id, and we did not write it: why to take another id.
    Twin(RenewReason),
}

impl Session<'_> {
    /// Reads the segments of a device from a number on.
    pub(super) async fn read_device(&mut self, reading: Reading) -> Result<Read, VaultError> {
        let Reading { device, from, head } = reading;
        let listed = self.segments_from(device, from).await?;
        let chain = self.vault.known_chain(&self.name, device)?;
        if self.is_last_gone(device, &chain, &listed).await? {
            return Ok(Read::Lost);
        }
        if self.read_late(device, chain.seq, &listed).await?.is_none() {
            return Ok(Read::Part);
        }
        // What came late may have ended beside the last.
        let chain = self.vault.known_chain(&self.name, device)?;
        let is_new = |(seq, _): &(u64, SegmentHash)| *seq > chain.seq;
        let new: Vec<_> = listed.into_iter().filter(is_new).collect();
        // One that was here and is gone is for whoever put it to put again.
        let had_head = head.is_some() || self.memory.heads.contains_key(&device);
        if !had_head && !new.is_empty() {
            // Only who joins looks for what no head leads to, and what is read here counts as told to all.
            self.owe_pulse()?;
            self.announce(device).await?;
        }
        let mut trail = Trail::from(chain);
        let Some(read) = self.read_new(device, new, &mut trail).await? else {
            return Ok(Read::Part);
        };
        let is_all = !self.memory.refused.contains_key(&device);
        let floor = if is_all { Read::All } else { Read::Gaps };
        let last = trail.chain().seq;
        // Where something is wrong, what the head names is missing, too.
        let is_short = |head: &u64| last < *head && read == Read::All;
        let Some(head) = head.filter(is_short) else { return Ok(read.max(floor)) };
        // Where files arrive in any order, a head may be here before what it names.
        let name = devices::name(self.vault.db(), device)?;
        self.report.awaited.push(format!(
            "device {} ({name}) says that it put segment {head}, and the remote shows {last} so far",
            device.short(),
        ));
        Ok(Read::Short)
    }

    /// Whether the remote lost the last segment of a device that was read.
    async fn is_last_gone(
        &self,
        device: DeviceId,
        chain: &Chain,
        listed: &[(u64, SegmentHash)],
    ) -> Result<bool, VaultError> {
        for last in chain.hashes.iter().map(|hash| (chain.seq, *hash)) {
            let is_listed = listed.contains(&last) || mutant::is(Mutant::ReadsPastLast);
            if !is_listed && !self.is_there(device, last).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads what comes behind the last segment of a device that was read. `None` where this device has a twin.
    async fn read_new(
        &mut self,
        device: DeviceId,
        new: Vec<(u64, SegmentHash)>,
        trail: &mut Trail,
    ) -> Result<Option<Read>, VaultError> {
        (self.progress)(Progress::Pulling(new.len() as u64));
        let remote = Arc::clone(&self.remote);
        let gets = new.into_iter().map(|(seq, hash)| {
            let remote = &remote;
            async move {
                let key = Key::Segment { device, seq, hash };
                (seq, hash, remote.get_bytes(&key, segment::LIMIT as u64).await)
            }
        });
        let mut segments = std::pin::pin!(stream::iter(gets).buffered(AHEAD));
        let mut next = segments.next().await;
        let mut read = Read::All;
        while let Some((seq, hash, bytes)) = next.take() {
            // A twin's line with a hole in it does not keep anybody from reading the other.
            if read != Read::All && seq > trail.chain().seq.saturating_add(1) {
                break;
            }
            // The next are on their way while this one is taken in.
            let taken;
            (taken, next) =
                join(self.take_next(device, seq, hash, bytes, trail), segments.next()).await;
            match taken? {
                Taken::In => (self.progress)(Progress::Pulled),
                Taken::Not(why, previous) => {
                    read = read.max(why);
                    self.refuse(device, (seq, hash), previous)?;
                }
                Taken::Twin => return Ok(None),
            }
        }
        Ok(Some(read))
    }

    /// Whether a remote holds a segment that it does not list: a listing may lag behind.
    pub(super) async fn is_there(
        &self,
        device: DeviceId,
        (seq, hash): (u64, SegmentHash),
    ) -> Result<bool, VaultError> {
        let found = self.remote.head(&Key::Segment { device, seq, hash }).await;
        Ok(found.map_err(self.error())?.is_some())
    }

    /// The segments of a device that a remote lists, from a number on.
    pub(super) async fn segments_from(
        &self,
        device: DeviceId,
        from: u64,
    ) -> Result<Vec<(u64, SegmentHash)>, VaultError> {
        let after = After::before_segment(device, from);
        let listed = self.remote.list_all(&Prefix::Log(device), Some(after)).await;
        let segments = listed.map_err(self.error())?.into_iter().filter_map(|listed| {
            let Key::Segment { seq, hash, .. } = listed.key else { return None };
            Some((seq, hash))
        });
        Ok(segments.collect())
    }

    /// Reads one segment, and says how many bytes it has; `None`, and a problem that is reported, where nobody
    /// could.
    pub(super) async fn segment(
        &mut self,
        device: DeviceId,
        seq: u64,
        hash: SegmentHash,
    ) -> Result<Option<(Segment, u64)>, VaultError> {
        let key = Key::Segment { device, seq, hash };
        let bytes = self.remote.get_bytes(&key, segment::LIMIT as u64).await;
        self.open(device, seq, hash, bytes).await
    }

    async fn open(
        &mut self,
        device: DeviceId,
        seq: u64,
        hash: SegmentHash,
        bytes: Result<Bytes, RemoteError>,
    ) -> Result<Option<(Segment, u64)>, VaultError> {
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error @ (RemoteError::Oversized { .. } | RemoteError::NotFound { .. })) => {
                self.problem(&error);
                return Ok(None);
            }
            Err(error) => return Err(self.error()(error)),
        };
        let size = bytes.len() as u64;
        let sealer = self.vault.0.sealer.clone();
        let open = move |_: &Vault| Ok(Segment::open(&sealer, device, seq, hash, &bytes));
        match self.vault.blocking(open).await? {
            Ok(segment) => Ok(Some((segment, size))),
            Err(error) => {
                self.problem(&error);
                Ok(None)
            }
        }
    }

    /// Takes in one segment where it follows one that was read.
    async fn take_next(
        &mut self,
        device: DeviceId,
        seq: u64,
        hash: SegmentHash,
        bytes: Result<Bytes, RemoteError>,
        trail: &mut Trail,
    ) -> Result<Taken, VaultError> {
        let Some((segment, size)) = self.open(device, seq, hash, bytes).await? else {
            return Ok(Taken::Not(Read::Part, None));
        };
        if let Err(error) = trail.leads_to(&segment) {
            self.problem(&error);
            let Some(previous) = segment.previous else {
                return Ok(Taken::Not(Read::Part, None));
            };
            let before = (seq.saturating_sub(1), previous);
            let refused = self.memory.refused.get(&device);
            let is_waiting = refused.is_some_and(|refused| refused.contains_key(&before));
            // A listing may lag behind what is there.
            let is_gap = is_waiting || !self.is_there(device, before).await?;
            return Ok(Taken::Not(if is_gap { Read::Gaps } else { Read::Part }, Some(previous)));
        }
        let taken = self.take(segment, hash, size).await?;
        if matches!(taken, Taken::In) {
            trail.note(seq, hash);
        }
        Ok(taken)
    }

    /// Takes in one segment.
    pub(super) async fn take(
        &mut self,
        segment: Segment,
        hash: SegmentHash,
        bytes: u64,
    ) -> Result<Taken, VaultError> {
        if segment.device == self.vault.device()? {
            // Whoever put it was cut off before the pulse, and others may have looked before that.
            self.owe_pulse()?;
        }
        let name = self.name.clone();
        let applied =
            self.vault.blocking(move |vault| vault.take_in_segment(&name, segment, hash, &[]));
        let applied = match applied.await {
            Ok(applied) => applied,
            Err(error @ VaultError::Note { .. }) => {
                self.problem(&error);
                return Ok(Taken::Not(Read::Part, None));
            }
            Err(error) => return Err(error),
        };
        match applied {
            Applied::News(changes) => {
                self.report.pulled.segments += 1;
                let pulled = &mut self.report.pulled;
                // A checkpoint may have said any number.
                pulled.changes = pulled.changes.saturating_add(changes);
                pulled.bytes += bytes;
                Ok(Taken::In)
            }
            Applied::Twin(reason) => {
                self.again = true;
                let renew = move |vault: &Vault| vault.renew(reason);
                self.vault.blocking(renew).await?;
                Ok(Taken::Twin)
            }
        }
    }
}

impl Vault {
    /// Appends what a segment carries, with the receipt that it was read, in one batch. `put` are segments
    /// that it may follow besides those that were read: ours, of which there is no receipt yet.
    pub(super) fn take_in_segment(
        &self,
        remote: &RemoteName,
        segment: Segment,
        hash: SegmentHash,
        put: &[(u64, SegmentHash)],
    ) -> Result<Applied, VaultError> {
        let Segment { device, seq, previous, items } = segment;
        let identity = self.identity()?;
        let own = identity.device == device;
        let chain = self.known_chain(remote, device)?;
        let is_late = recent::get(self.db(), remote, device)?.is_late(seq, hash);
        if own && is_late && !mutant::is(Mutant::ForgetsTwins) {
            return Ok(Applied::Twin(RenewReason::Diverged));
        }
        // Others may have read on beside it, and will not come back for it.
        let is_on_the_way = seq > chain.seq && !identity.former.contains(&device);
        let mut known: Vec<Seq> = Vec::new();
        let mut events = Vec::new();
        let mut coming = HashSet::new();
        for item in items {
            match item {
                Item::Change { note, change, projector } => {
                    let (outline, known_by) = self.look_up(note, &change, &coming)?;
                    if let Some(seq) = known_by {
                        // A note that came whole is more than this change of it.
                        if is_on_the_way && !self.is_received(note, seq)? {
                            known.push(seq);
                        }
                        continue;
                    }
                    if mutant::is(Mutant::SkipsFuture) && outline.at > self.0.clock.now() {
                        continue;
                    }
                    coming.insert(outline.hash);
                    let remote = remote.clone();
                    let origin = Origin::Device { remote, device, seq, projector };
                    events.push((origin, Event::NoteChanged { note, change }));
                }
                Item::Image { image, bytes, media_type, dimensions }
                    if !own && !self.is_announced(image, device)? =>
                {
                    let event =
                        Event::ImageAnnounced { image, bytes, media_type, dimensions, device };
                    events.push((Origin::Here, event));
                }
                Item::Image { .. } => {}
            }
        }
        if events.is_empty() && chain.holds(seq, hash) && !is_late {
            // Read again on the way to something else.
            return Ok(Applied::News(0));
        }
        let is_change = |(_, event): &&(Origin, Event)| matches!(event, Event::NoteChanged { .. });
        let news = events.iter().filter(is_change).count() as u64;
        let is_put =
            |previous| seq.checked_sub(1).is_some_and(|seq| put.contains(&(seq, previous)));
        let follows = chain.seq.checked_add(1) == Some(seq)
            && previous.is_none_or(|previous| chain.hashes.contains(&previous))
            || previous.is_some_and(is_put);
        // Even without news: what we put there may be hidden behind what others read instead, and nobody
        // reads on behind what follows nothing.
        let is_stray = seq > chain.seq && !follows;
        let is_foreign = news > 0 || is_stray;
        if own && is_foreign && !mutant::is(Mutant::ForgetsTwins) {
            let is_next = follows && chain.hashes.len() < 2;
            let reason = if is_next { RenewReason::Twin } else { RenewReason::Diverged };
            return Ok(Applied::Twin(reason));
        }
        let pulled = Event::SegmentPulled { remote: remote.clone(), device, seq, hash, known };
        events.push((Origin::Here, pulled));
        self.append(events, None)?;
        Ok(Applied::News(news))
    }

    /// Whether a segment has a change that is not here.
    pub(super) fn is_news(&self, segment: &Segment) -> Result<bool, VaultError> {
        let coming = HashSet::new();
        for item in &segment.items {
            let Item::Change { note, change, .. } = item else { continue };
            match self.look_up(*note, change, &coming) {
                Ok((_, Some(_))) => {}
                Ok((_, None)) | Err(VaultError::Note { .. }) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Whether a device is known to have said that it holds an image.
    pub(super) fn is_announced(
        &self,
        image: ImageId,
        device: DeviceId,
    ) -> Result<bool, VaultError> {
        let record = catalog::image_record(self.db(), image)?;
        Ok(record.is_some_and(|record| record.holders.contains(&device)))
    }
}
