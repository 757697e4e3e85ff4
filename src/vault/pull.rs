//! Reading what other devices put on a remote.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::{Vault, VaultError, exchange::Session, segments::Read};
use crate::{
    event::{Event, RemoteName, RenewReason, ResetReason},
    id::DeviceId,
    mutant::{self, Mutant},
    projection::{
        devices,
        receipts::{self, Chain},
    },
    remote::{Key, Location, Prefix, Remote as _, RemoteError, RemoteExt as _},
    segment::{HEAD_LIMIT, Head, VaultFile},
    sync,
};

/// How many segments are on their way at once.
pub(super) const AHEAD: usize = 4;
/// How often a segment that is not there is looked for before the pulse changes.
const LOOKS: u8 = 8;

/// A folder that held the vault, and holds it no more. That it is filled again is right where it was emptied, and
/// may not be what was meant where it is the place of a disk.
#[derive(Debug, thiserror::Error)]
#[error(
    "the folder `{}` of remote `{name}` held the vault before: it was emptied, or its disk is not connected; all \
     was put there again",
    path.display()
)]
struct EmptyFolder {
    name: RemoteName,
    path: PathBuf,
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

impl Session<'_> {
    /// Reads everything that is new.
    pub(super) async fn pull(&mut self) -> Result<(), VaultError> {
        let pulse = self.remote.head(&Key::Pulse).await.map_err(self.error())?;
        let tag = pulse.as_ref().and_then(|pulse| pulse.tag.clone());
        if tag.is_some() && tag == self.memory.pulse && !mutant::is(Mutant::ListsAlways) {
            return Ok(());
        }
        self.begin().await?;
        self.look_back().await?;
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
        let file = VaultFile::new(self.vault.id()?).to_bytes();
        self.remote.put(&Key::Vault, Bytes::from(file).into()).await.map_err(self.error())?;
        // Only now, when it is certain that it can be filled again: what does not take this may still hold it all.
        // Where this is cut off here, the next sync misses the last segment of whom it knows.
        if self.was_used()? {
            self.reset(ResetReason::Emptied).await?;
            let (name, options) = self.vault.remote(Some(&self.name))?;
            if let Ok(Location::Dir(path)) = options.url.parse() {
                self.problem(&EmptyFolder { name, path });
            }
        }
        Ok(())
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
        (self.again, self.lost) = (true, true);
        self.memory.heads.clear();
        self.memory.refused.clear();
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
                Read::Gaps => {
                    looked = looked.max(Looked::Gaps);
                    continue;
                }
                Read::Part => None,
                Read::Short => heads.get(&device).and_then(|head| Some((head.seq, head.hash?))),
                Read::Lost => {
                    // What was read before does not count any more: the next pass reads it all.
                    self.reset(ResetReason::SegmentGone).await?;
                    return Ok(Looked::Part);
                }
            };
            // A listing may lag behind what is there.
            let is_gone = match gap {
                Some((seq, hash)) => !self.is_there(device, (seq, hash)).await?,
                None => false,
            };
            looked = looked.max(if is_gone { Looked::Gaps } else { Looked::Part });
        }
        let unreadable = |device: &DeviceId| unreadable.contains(device);
        self.compare_heads(&heads, unreadable)?;
        self.lead_on(&heads).await?;
        Ok(looked)
    }

    /// Has the head of this device lead to its last segment: whoever put that was cut off before the head, or an
    /// old head was put in its place.
    async fn lead_on(&self, heads: &BTreeMap<DeviceId, Head>) -> Result<(), VaultError> {
        let device = self.vault.device()?;
        let own = self.vault.known_chain(&self.name, device)?;
        if heads.get(&device).map_or(0, |head| head.seq) < own.seq {
            self.put_head(device, &own).await?;
        }
        Ok(())
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
}

impl Vault {
    /// How far a device, which may be this one, was read on a remote.
    pub(super) fn known_chain(
        &self,
        remote: &RemoteName,
        device: DeviceId,
    ) -> Result<Chain, VaultError> {
        if device == self.device()? {
            return Ok(receipts::get(self.db(), remote)?
                .map(|known| known.own)
                .unwrap_or_default());
        }
        Ok(receipts::peer(self.db(), remote, device)?)
    }

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
}
