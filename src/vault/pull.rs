//! Reading what other devices put on a remote.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join, stream};

use super::{Vault, VaultError, exchange::Progress, exchange::Session, trail::Trail};
use crate::{
    event::{Event, Origin, RemoteName, RenewReason, ResetReason},
    id::{DeviceId, ImageId, SegmentHash, Seq},
    mutant::{self, Mutant},
    note,
    projection::{
        catalog, devices,
        receipts::{self, Chain},
    },
    remote::{After, Key, Prefix, Remote as _, RemoteError, RemoteExt as _},
    segment::{self, HEAD_LIMIT, Head, Item, Segment, VaultFile},
    sync::{self, Reading},
};

/// How many segments are on their way at once.
const AHEAD: usize = 4;
/// How often a segment that is not there is looked for before the pulse changes.
const LOOKS: u8 = 8;

/// What came of reading the segments of a device.
enum Read {
    /// All were read.
    All,
    /// Some were, and the rest is to be tried again.
    Part,
    /// Some were, and the rest follows a segment that is not listed.
    Without(u64, SegmentHash),
    /// Some were, and the head names more.
    Short,
    /// The last that was read is gone: the remote lost it.
    Lost,
}

/// What came of reading the segments of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Looked {
    /// All were read.
    All,
    /// All that are there, but for those that follow one that is not.
    Gaps,
    /// Some could not be read, or are not listed yet.
    Part,
}

/// What came of reading a segment.
pub(super) enum Applied {
    /// It was taken in; this many changes were news.
    News(u64),
    /// It bears our id, and we did not write it: why to take another id.
    Twin(RenewReason),
}

impl Session<'_> {
    /// Reads everything that is new.
    pub(super) async fn pull(&mut self) -> Result<(), VaultError> {
        let pulse = self.remote.head(&Key::Pulse).await.map_err(self.error())?;
        let tag = pulse.as_ref().and_then(|pulse| pulse.tag.clone());
        if tag.is_some() && tag == self.memory.pulse && !mutant::is(Mutant::ListsAlways) {
            return Ok(());
        }
        self.begin().await?;
        let complete = match self.read_heads().await? {
            Looked::All => true,
            Looked::Part => false,
            Looked::Gaps => self.looked_enough(tag.as_deref()),
        };
        self.miss_images().await?;
        if let Err(error) = self.vault.blocking(Vault::refresh_catalog).await {
            self.problem(&error);
        }
        // Only now: whatever was put before this pulse has been seen. What the notes show is asked
        // for next, even where this sync ends here.
        self.memory.pulse = tag.filter(|_| complete);
        self.memory.fetch_owed = true;
        self.remember()
    }

    /// Whether what is not there was looked for often enough at this pulse: files that somebody carries
    /// may come after it, and what was lost never does.
    fn looked_enough(&mut self, tag: Option<&str>) -> bool {
        let Some(tag) = tag else { return false };
        let before = self.memory.looked.take().filter(|(at, _)| at == tag);
        let times = before.map_or(1, |(_, times)| times.saturating_add(1));
        self.memory.looked = Some((tag.to_owned(), times));
        times >= LOOKS && !mutant::is(Mutant::LooksForEver)
    }

    /// Makes an empty remote ours, notices one that was emptied, and refuses one of another vault:
    /// another disk may be where this one was.
    async fn begin(&mut self) -> Result<(), VaultError> {
        if self.vault.is_ours(&self.name, &*self.remote).await? {
            return Ok(());
        }
        if self.was_used()? {
            self.reset(ResetReason::Emptied).await?;
        }
        let file = VaultFile::new(self.vault.id()?).to_bytes();
        self.remote.put(&Key::Vault, Bytes::from(file).into()).await.map_err(self.error())
    }

    fn was_used(&self) -> Result<bool, VaultError> {
        let own = receipts::get(self.vault.db(), &self.name)?.is_some_and(|r| r.own.seq > 0);
        let peers = receipts::peers(self.vault.db(), &self.name)?;
        Ok(own || peers.iter().any(|(_, chain)| chain.seq > 0))
    }

    /// The remote lost what it had confirmed: its receipts no longer count, and our numbering there
    /// begins anew under a new id.
    pub(super) async fn reset(&mut self, reason: ResetReason) -> Result<(), VaultError> {
        if mutant::is(Mutant::ForgetsLoss) {
            return Ok(());
        }
        self.again = true;
        self.memory.heads.clear();
        tracing::warn!(remote = %self.name, ?reason, "the remote has lost what it had confirmed");
        let remote = self.name.clone();
        let work = move |vault: &Vault| {
            let reset = Event::RemoteReset { remote, reason };
            vault.renew_after(Some(reset), RenewReason::RemoteReset)
        };
        self.vault.blocking(work).await
    }

    /// Reads what the heads point to.
    async fn read_heads(&mut self) -> Result<Looked, VaultError> {
        let (heads, unreadable) = self.heads().await?;
        let mut looked = if unreadable.is_empty() { Looked::All } else { Looked::Part };
        let mut known = self.known_chains()?;
        if known.values().all(|chain| chain.seq == 0) {
            self.read_checkpoint().await?;
            known = self.known_chains()?;
            // Whoever joins knows nobody: a device whose head is gone must not be passed over.
            for device in self.devices_with_segments().await? {
                known.entry(device).or_default();
            }
        }
        // One whose head can't be read is read all the same: its segments stand for themselves.
        self.report.awaited.clear();
        for reading in sync::readings(&heads, &known) {
            let device = reading.device;
            let gap = match self.read_device(reading).await? {
                Read::All => continue,
                Read::Part => None,
                Read::Without(seq, hash) => Some((seq, hash)),
                Read::Short => heads.get(&device).and_then(|head| Some((head.seq, head.hash?))),
                Read::Lost => {
                    // What was read before does not count any more: the next pass reads it all.
                    self.reset(ResetReason::SegmentGone).await?;
                    return Ok(Looked::Part);
                }
            };
            // A listing may lag behind what is there.
            let is_gone = match gap {
                Some((seq, hash)) => !self.is_there(device, seq, hash).await?,
                None => false,
            };
            looked = looked.max(if is_gone { Looked::Gaps } else { Looked::Part });
        }
        let unreadable = |device: &DeviceId| unreadable.contains(device);
        self.compare_heads(&heads, unreadable)?;
        Ok(looked)
    }

    /// The devices of which the remote holds segments, as their names say.
    async fn devices_with_segments(&self) -> Result<BTreeSet<DeviceId>, VaultError> {
        let listed = self.remote.list_all(&Prefix::Logs, None).await.map_err(self.error())?;
        let devices = listed.into_iter().filter_map(|listed| match listed.key {
            Key::Segment { device, .. } => Some(device),
            _ => None,
        });
        Ok(devices.collect())
    }

    /// The heads on the remote, and whose could not be read.
    async fn heads(&mut self) -> Result<(BTreeMap<DeviceId, Head>, Vec<DeviceId>), VaultError> {
        let listed = self.remote.list_all(&Prefix::Heads, None).await.map_err(self.error())?;
        let devices = listed.into_iter().filter_map(|listed| match listed.key {
            Key::Head(device) => Some(device),
            _ => None,
        });
        let remote = &self.remote;
        let gets = devices.map(|device| async move {
            (device, remote.get_bytes(&Key::Head(device), HEAD_LIMIT as u64).await)
        });
        let got: Vec<_> = stream::iter(gets).buffered(AHEAD).collect().await;
        let (mut heads, mut unreadable, mut seen) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (device, bytes) in got {
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(RemoteError::NotFound { .. }) => {
                    unreadable.push(device);
                    continue;
                }
                Err(error @ RemoteError::Oversized { .. }) => {
                    unreadable.push(device);
                    self.problem(&error);
                    continue;
                }
                Err(error) => return Err(self.error()(error)),
            };
            match Head::open(&self.vault.0.sealer, device, &bytes) {
                Ok(head) => {
                    if !devices::is_known(self.vault.db(), device, &head.name)? {
                        seen.push(Event::DeviceSeen { device, name: head.name.clone() });
                    }
                    heads.insert(device, head);
                }
                Err(error) => {
                    unreadable.push(device);
                    self.problem(&error);
                }
            }
        }
        if !seen.is_empty() {
            self.vault.blocking(move |vault| vault.record(seen)).await?;
        }
        Ok((heads, unreadable))
    }

    /// How far every device was read here, this one included.
    pub(super) fn known_chains(&self) -> Result<BTreeMap<DeviceId, Chain>, VaultError> {
        self.vault.known_chains(&self.name)
    }

    /// Reads the segments of a device from a number on.
    async fn read_device(&mut self, reading: Reading) -> Result<Read, VaultError> {
        let Reading { device, from, head } = reading;
        let mut new = self.segments_from(device, from).await?;
        let mut chain = self.known_chains()?.remove(&device).unwrap_or_default();
        for hash in &chain.hashes {
            let listed = new.contains(&(chain.seq, *hash)) || mutant::is(Mutant::ReadsPastLast);
            if !listed && !self.is_there(device, chain.seq, *hash).await? {
                return Ok(Read::Lost);
            }
        }
        new.retain(|(seq, hash)| !chain.holds(*seq, *hash));
        // One that was here and is gone is for whoever put it to put again.
        let had_head = head.is_some() || self.memory.heads.contains_key(&device);
        if !had_head && !new.is_empty() {
            // Only who joins looks for what no head leads to, and what is read here counts as told to all.
            self.owe_pulse()?;
            self.announce(device).await?;
        }
        if chain.seq > 1 && new.iter().any(|(seq, _)| *seq == chain.seq) {
            // A twin put it there. It may have put more beside those that were read before.
            new = self.segments_from(device, 1).await?;
            chain = Chain::default();
        }
        let mut trail = Trail::from(chain);
        (self.progress)(Progress::Pulling(new.len() as u64));
        let remote = std::sync::Arc::clone(&self.remote);
        let gets = new.into_iter().map(|(seq, hash)| {
            let remote = &remote;
            async move {
                let key = Key::Segment { device, seq, hash };
                (seq, hash, remote.get_bytes(&key, segment::LIMIT as u64).await)
            }
        });
        let mut segments = std::pin::pin!(stream::iter(gets).buffered(AHEAD));
        let mut next = segments.next().await;
        while let Some((seq, hash, bytes)) = next.take() {
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(error @ (RemoteError::Oversized { .. } | RemoteError::NotFound { .. })) => {
                    self.problem(&error);
                    return Ok(Read::Part);
                }
                Err(error) => return Err(self.error()(error)),
            };
            // The next are on their way while this one is taken in.
            let taken;
            (taken, next) =
                join(self.take(device, seq, hash, bytes, &mut trail), segments.next()).await;
            if let Some(stopped) = taken? {
                return Ok(stopped);
            }
            (self.progress)(Progress::Pulled);
        }
        let chain = trail.chain();
        let Some(head) = head.filter(|head| chain.seq < *head) else {
            return Ok(Read::All);
        };
        // Where files arrive in any order, a head may be here before what it names.
        let name = devices::name(self.vault.db(), device)?;
        self.report.awaited.push(format!(
            "device {} ({name}) says that it put segment {head}, and the remote shows {} so far",
            device.short(),
            chain.seq,
        ));
        Ok(Read::Short)
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

    /// Takes in one segment. Gives what stops the reading: that it can't be read, or does not follow the
    /// one before it.
    async fn take(
        &mut self,
        device: DeviceId,
        seq: u64,
        hash: SegmentHash,
        bytes: Bytes,
        trail: &mut Trail,
    ) -> Result<Option<Read>, VaultError> {
        let size = bytes.len() as u64;
        let sealer = self.vault.0.sealer.clone();
        let open = move |_: &Vault| Ok(Segment::open(&sealer, device, seq, hash, &bytes));
        let segment = match self.vault.blocking(open).await? {
            Ok(segment) => segment,
            Err(error) => {
                self.problem(&error);
                return Ok(Some(Read::Part));
            }
        };
        if let Err(error) = trail.leads_to(&segment) {
            self.problem(&error);
            let before = segment.previous.map(|hash| Read::Without(seq.saturating_sub(1), hash));
            return Ok(Some(before.unwrap_or(Read::Part)));
        }
        if device == self.vault.device()? {
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
                return Ok(Some(Read::Part));
            }
            Err(error) => return Err(error),
        };
        match applied {
            Applied::News(changes) => {
                self.report.pulled.segments += 1;
                let pulled = &mut self.report.pulled;
                // A checkpoint may have said any number.
                pulled.changes = pulled.changes.saturating_add(changes);
                pulled.bytes += size;
                trail.note(seq, hash);
                Ok(None)
            }
            Applied::Twin(reason) => {
                // Under a new id this prefix is somebody else's, and the next pass reads it so.
                self.again = true;
                let renew = move |vault: &Vault| vault.renew(reason);
                self.vault.blocking(renew).await?;
                Ok(Some(Read::Part))
            }
        }
    }
}

impl Vault {
    /// How far every device was read on a remote, this one included.
    pub(super) fn known_chains(
        &self,
        remote: &RemoteName,
    ) -> Result<BTreeMap<DeviceId, Chain>, VaultError> {
        let mut known: BTreeMap<_, _> = receipts::peers(self.db(), remote)?.into_iter().collect();
        if let Some(row) = receipts::get(self.db(), remote)? {
            known.insert(self.device()?, row.own);
        }
        Ok(known)
    }

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
        let chain = if own {
            receipts::get(self.db(), remote)?.map(|known| known.own).unwrap_or_default()
        } else {
            receipts::peer(self.db(), remote, device)?
        };
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
        if events.is_empty() && seq < chain.seq {
            // Read again on the way to something else.
            return Ok(Applied::News(0));
        }
        let is_change = |(_, event): &&(Origin, Event)| matches!(event, Event::NoteChanged { .. });
        let news = events.iter().filter(is_change).count() as u64;
        let is_put =
            |previous| seq.checked_sub(1).is_some_and(|seq| put.contains(&(seq, previous)));
        let follows = seq == chain.seq + 1
            && previous.is_none_or(|previous| chain.hashes.contains(&previous))
            || previous.is_some_and(is_put);
        // Even without news: what we put there may be hidden behind what others read instead, and nobody
        // reads on behind what follows nothing.
        let is_beside = seq == chain.seq && !chain.hashes.contains(&hash);
        let is_stray = seq > chain.seq && !follows;
        let is_foreign = news > 0 || is_beside || is_stray;
        if own && is_foreign && !mutant::is(Mutant::ForgetsTwins) {
            let is_next = follows && chain.hashes.len() < 2;
            let is_next = is_next || mutant::is(Mutant::PassesDiverged);
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
