//! Segments that come late: a twin's, beside those that were read, and those that could not be read.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{
    Vault, VaultError,
    exchange::Session,
    segments::{Read, Taken},
    trail::OutOfOrder,
};
use crate::{
    id::{DeviceId, SegmentHash},
    projection::recent::{self, Recent},
    remote::{Key, Prefix, RemoteExt as _},
    segment::Segment,
};

/// How many segments of a device that could not be read are kept in mind.
const MOST_REFUSED: usize = 512;

/// Segments that could not be read, or that follow none that was, and what each follows, where that is known.
pub(super) type Refused = BTreeMap<(u64, SegmentHash), Option<SegmentHash>>;

impl Session<'_> {
    /// Looks, once, for segments before the last of each device that nobody here has read. What is remembered of
    /// a remote may be lost, as when the projections are made again, and with it what was refused.
    pub(super) async fn look_back(&mut self) -> Result<(), VaultError> {
        if std::mem::replace(&mut self.memory.looked_back, true) {
            return Ok(());
        }
        let known = self.known_chains()?;
        if known.values().all(|chain| chain.seq == 0) {
            return Ok(());
        }
        let name = self.name.clone();
        let read = move |vault: &Vault| {
            Ok((vault.receipted_segments(&name)?, vault.covered_numbers(&name)?))
        };
        let (receipts, covered) = self.vault.blocking(read).await?;
        let receipts: HashSet<Key> = receipts.into_iter().collect();
        for listed in self.remote.list_all(&Prefix::Logs, None).await.map_err(self.error())? {
            let Key::Segment { device, seq, hash } = listed.key else { continue };
            let last = known.get(&device).map_or(0, |chain| chain.seq);
            let from = covered.get(&device).copied().unwrap_or_default();
            if seq > from && seq <= last && !receipts.contains(&listed.key) {
                self.refuse(device, (seq, hash), None)?;
            }
        }
        Ok(())
    }

    /// Reads what came late: what a twin put beside segments that were read before, and what was refused then.
    /// What is wrong with it keeps nobody from reading on. `last` is the number of the last that was read. `None`
    /// where this device has a twin.
    pub(super) async fn read_late(
        &mut self,
        device: DeviceId,
        last: u64,
        listed: &[(u64, SegmentHash)],
    ) -> Result<Option<()>, VaultError> {
        let is_own = device == self.vault.device()?;
        let recent = recent::get(self.vault.db(), &self.name, device)?;
        let mut known: BTreeSet<_> = recent.segments().iter().copied().collect();
        let mut late = self.memory.refused.get(&device).cloned().unwrap_or_default();
        late.retain(|segment, _| segment.0 <= last && !known.contains(segment));
        for (seq, hash) in listed.iter().filter(|(seq, hash)| recent.is_late(*seq, *hash)) {
            late.entry((*seq, *hash)).or_default();
        }
        let mut refused = Refused::new();
        for ((seq, hash), previous) in late {
            if let Some(previous) = previous.filter(|_| !is_own) {
                let before = (seq.saturating_sub(1), previous);
                let is_waiting = refused.contains_key(&before);
                if is_waiting || !known.contains(&before) && !self.is_there(device, before).await? {
                    if !is_waiting {
                        self.problem(&OutOfOrder { device, seq });
                    }
                    refused.insert((seq, hash), Some(previous));
                    continue;
                }
            }
            let Some((segment, bytes)) = self.segment(device, seq, hash).await? else {
                refused.insert((seq, hash), None);
                continue;
            };
            let previous = segment.previous;
            // One of our own that we did not put says enough.
            let line = if is_own {
                Some(Vec::new())
            } else {
                self.line_to(&segment, &recent, &known, &mut refused).await?
            };
            let Some(line) = line else {
                self.problem(&OutOfOrder { device, seq });
                refused.insert((seq, hash), previous);
                continue;
            };
            let mut taken = self.take_line(device, line, &mut known).await?;
            if matches!(taken, Taken::In) {
                taken = self.take(segment, hash, bytes).await?;
            }
            match taken {
                Taken::In => _ = known.insert((seq, hash)),
                Taken::Not(..) => _ = refused.insert((seq, hash), previous),
                Taken::Twin => return Ok(None),
            }
        }
        self.memory.refused.remove(&device);
        if !refused.is_empty() {
            self.memory.refused.insert(device, refused);
        }
        // Before anything behind it is read.
        self.remember()?;
        Ok(Some(()))
    }

    /// What leads to a segment of a twin from one that is known, in order; `None` where some of it is missing, and
    /// the rest is refused.
    /// Nothing is known by name before the first of `recent`: there, one is known that is the only one of its
    /// number and brings nothing new.
    async fn line_to(
        &mut self,
        segment: &Segment,
        recent: &Recent,
        known: &BTreeSet<(u64, SegmentHash)>,
        refused: &mut Refused,
    ) -> Result<Option<Vec<(u64, SegmentHash)>>, VaultError> {
        let device = segment.device;
        let first = recent.segments().first().map_or(0, |(first, _)| *first);
        let mut all = None;
        let mut line: Vec<(u64, SegmentHash)> = Vec::new();
        let (mut seq, mut previous) = (segment.seq, segment.previous);
        let is_whole = loop {
            // Only the first of all follows none.
            let Some(hash) = previous else { break seq == 1 };
            seq = seq.saturating_sub(1);
            if known.contains(&(seq, hash)) {
                break true;
            }
            let is_refused = refused.contains_key(&(seq, hash));
            let found = if is_refused || !self.is_there(device, (seq, hash)).await? {
                None
            } else {
                let found = self.segment(device, seq, hash).await?;
                if found.is_none() {
                    refused.insert((seq, hash), None);
                }
                found
            };
            let Some((segment, _)) = found else {
                let follow = line.iter().skip(1).copied().chain([(seq, hash)]);
                refused.extend(line.iter().copied().zip(follow.map(|(_, hash)| Some(hash))));
                break false;
            };
            previous = segment.previous;
            if seq < first {
                let listed = match all.take() {
                    Some(listed) => listed,
                    None => self.segments_from(device, 1).await?,
                };
                let of_number = listed.iter().filter(|(other, _)| *other == seq).count();
                all = Some(listed);
                let is_new = move |vault: &Vault| vault.is_news(&segment);
                if of_number < 2 && !self.vault.blocking(is_new).await? {
                    break true;
                }
            }
            line.push((seq, hash));
        };
        line.reverse();
        Ok(is_whole.then_some(line))
    }

    /// Takes in what leads to a segment.
    async fn take_line(
        &mut self,
        device: DeviceId,
        line: Vec<(u64, SegmentHash)>,
        known: &mut BTreeSet<(u64, SegmentHash)>,
    ) -> Result<Taken, VaultError> {
        for (seq, hash) in line {
            let Some((segment, bytes)) = self.segment(device, seq, hash).await? else {
                return Ok(Taken::Not(Read::Gaps, None));
            };
            let taken = self.take(segment, hash, bytes).await?;
            if !matches!(taken, Taken::In) {
                return Ok(taken);
            }
            known.insert((seq, hash));
        }
        Ok(Taken::In)
    }

    /// Keeps in mind that a segment could not be read, before any behind it is: nobody lists it again once that
    /// is far enough.
    pub(super) fn refuse(
        &mut self,
        device: DeviceId,
        segment: (u64, SegmentHash),
        previous: Option<SegmentHash>,
    ) -> Result<(), VaultError> {
        let refused = self.memory.refused.entry(device).or_default();
        if refused.len() < MOST_REFUSED {
            refused.insert(segment, previous);
        }
        self.remember()
    }
}
