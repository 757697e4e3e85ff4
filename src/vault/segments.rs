//! Reading the segments of one device.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join, stream};

use super::{
    Vault, VaultError,
    exchange::{Progress, Session},
    pull::AHEAD,
    trail::{OutOfOrder, Trail},
};
use crate::{
    event::{Event, Origin, RemoteName, RenewReason},
    id::{DeviceId, ImageId, SegmentHash, Seq},
    mutant::{self, Mutant},
    note,
    projection::{catalog, devices, recent},
    remote::{After, Key, Prefix, Remote as _, RemoteError, RemoteExt as _},
    segment::{self, Item, Segment},
    sync::Reading,
};

/// What came of reading the segments of a device. What is greater leaves more to be tried again.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Read {
    /// All were read.
    All,
    /// All were, but for those beside others that can't be read, or follow none.
    Beside,
    /// Some were, and the head names more.
    Short,
    /// Some were, and the rest follows this one, which was not read.
    Without(u64, SegmentHash),
    /// Some were, and the rest is to be tried again.
    Part,
    /// The last that was read is gone: the remote lost it.
    Lost,
}

/// What came of taking in one segment.
enum Taken {
    /// It is in.
    In,
    /// It can't be read, or follows none of those that were read.
    Not(Read),
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
        if self.is_last_gone(device, &listed).await? {
            return Ok(Read::Lost);
        }
        let Some(late) = self.read_late(device, &listed).await? else { return Ok(Read::Part) };
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
        let last = trail.chain().seq;
        let Some(head) = head.filter(|head| last < *head) else { return Ok(late.max(read)) };
        // Where files arrive in any order, a head may be here before what it names.
        let name = devices::name(self.vault.db(), device)?;
        self.report.awaited.push(format!(
            "device {} ({name}) says that it put segment {head}, and the remote shows {last} so far",
            device.short(),
        ));
        Ok(read.max(Read::Short))
    }

    /// Whether the remote lost the last segment of a device that was read.
    async fn is_last_gone(
        &self,
        device: DeviceId,
        listed: &[(u64, SegmentHash)],
    ) -> Result<bool, VaultError> {
        let chain = self.vault.known_chain(&self.name, device)?;
        for hash in chain.hashes {
            let is_listed =
                listed.contains(&(chain.seq, hash)) || mutant::is(Mutant::ReadsPastLast);
            if !is_listed && !self.is_there(device, chain.seq, hash).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads what came late: what a twin put beside segments that were read before. What is wrong with it
    /// keeps nobody from reading on. `None` where this device has a twin.
    async fn read_late(
        &mut self,
        device: DeviceId,
        listed: &[(u64, SegmentHash)],
    ) -> Result<Option<Read>, VaultError> {
        let mut recent = recent::get(self.vault.db(), &self.name, device)?;
        let is_own = device == self.vault.device()?;
        let mut read = Read::All;
        for &(seq, hash) in listed {
            if !recent.is_late(seq, hash) {
                continue;
            }
            let Some((segment, bytes)) = self.segment(device, seq, hash).await? else {
                read = Read::Beside;
                continue;
            };
            // One of our own that we did not put says enough.
            let line = if is_own || recent.leads_to(seq, segment.previous) {
                Some(Vec::new())
            } else if recent.is_first(seq) {
                self.line_to(&segment).await?
            } else {
                None
            };
            let Some(line) = line else {
                self.problem(&OutOfOrder::behind(seq.saturating_sub(1), &segment));
                read = Read::Beside;
                continue;
            };
            let line = line.into_iter().chain([(segment, hash, bytes)]);
            for (segment, hash, bytes) in line {
                let seq = segment.seq;
                match self.take(segment, hash, bytes).await? {
                    Taken::In => recent.note(seq, hash),
                    Taken::Not(_) => {
                        read = Read::Beside;
                        break;
                    }
                    Taken::Twin => return Ok(None),
                }
            }
        }
        Ok(Some(read))
    }

    /// What leads to a segment of a twin from where its line leaves the one that was read; `None` where some
    /// of it is missing. It is before all that is known by name.
    async fn line_to(
        &mut self,
        segment: &Segment,
    ) -> Result<Option<Vec<(Segment, SegmentHash, u64)>>, VaultError> {
        let device = segment.device;
        let listed = self.segments_from(device, 1).await?;
        let mut line = Vec::new();
        let (mut seq, mut previous) = (segment.seq, segment.previous);
        while let Some(hash) = previous {
            seq = seq.saturating_sub(1);
            let mut of_number = listed.iter().filter(|(other, _)| *other == seq);
            if !of_number.clone().any(|(_, other)| *other == hash) {
                return Ok(None);
            }
            // One line went through every number.
            if of_number.nth(1).is_none() {
                break;
            }
            let Some((segment, bytes)) = self.segment(device, seq, hash).await? else {
                return Ok(None);
            };
            previous = segment.previous;
            line.push((segment, hash, bytes));
        }
        line.reverse();
        Ok(Some(line))
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
                Taken::Not(why) => read = read.max(why),
                Taken::Twin => return Ok(None),
            }
        }
        Ok(Some(read))
    }

    /// Whether a remote holds a segment that it does not list: a listing may lag behind.
    pub(super) async fn is_there(
        &self,
        device: DeviceId,
        seq: u64,
        hash: SegmentHash,
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
            return Ok(Taken::Not(Read::Part));
        };
        if let Err(error) = trail.leads_to(&segment) {
            self.problem(&error);
            let before = segment.previous.map(|hash| Read::Without(seq.saturating_sub(1), hash));
            return Ok(Taken::Not(before.unwrap_or(Read::Part)));
        }
        let taken = self.take(segment, hash, size).await?;
        if matches!(taken, Taken::In) {
            trail.note(seq, hash);
        }
        Ok(taken)
    }

    /// Takes in one segment.
    async fn take(
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
                return Ok(Taken::Not(Read::Part));
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
        // Others may have read on beside it, and will not come back for it.
        let is_on_the_way = seq > chain.seq && !identity.former.contains(&device);
        let mut known: Vec<Seq> = Vec::new();
        let mut events = Vec::new();
        let mut coming = HashSet::new();
        for item in items {
            match item {
                Item::Change { note, change, projector } => {
                    let info = note::inspect(&change.0)
                        .map_err(|source| VaultError::Note { note, source })?;
                    if let Some(seq) = self.known_change(note, &info, &coming)? {
                        // A note that came whole is more than this change of it.
                        if is_on_the_way && !self.is_received(note, seq)? {
                            known.push(seq);
                        }
                        continue;
                    }
                    if mutant::is(Mutant::SkipsFuture) && info.at > self.0.clock.now() {
                        continue;
                    }
                    coming.insert(info.hash);
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
        let is_late = recent::get(self.db(), remote, device)?.is_late(seq, hash);
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
        let is_foreign = news > 0 || is_late || is_stray;
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
