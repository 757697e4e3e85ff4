//! Segments that come late: a twin's, beside those that were read, and those that could not be read.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Vault, VaultError,
    exchange::Session,
    segments::{Read, Taken},
    trail::OutOfOrder,
};
use crate::{
    id::{DeviceId, SegmentHash},
    projection::recent::{self, Recent},
    segment::Segment,
};

/// How many segments of a device that could not be read are kept in mind.
const MOST_REFUSED: usize = 512;

/// Segments that could not be read, or that follow none that was, and what each follows, where that is known.
pub(super) type Refused = BTreeMap<(u64, SegmentHash), Option<SegmentHash>>;

impl Session<'_> {
    /// Reads what came late: what a twin put beside segments that were read before, and what was refused then.
    /// What is wrong with it keeps nobody from reading on. `None` where this device has a twin.
    pub(super) async fn read_late(
        &mut self,
        device: DeviceId,
        listed: &[(u64, SegmentHash)],
    ) -> Result<Option<()>, VaultError> {
        let is_own = device == self.vault.device()?;
        let last = self.vault.known_chain(&self.name, device)?.seq;
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
                self.line_to(&segment, &recent, &known, &refused).await?
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
        Ok(Some(()))
    }

    /// What leads to a segment of a twin from one that is known, in order; `None` where some of it is missing.
    /// Nothing is known by name before the first of `recent`: there, one is known that is the only one of its
    /// number and brings nothing new.
    async fn line_to(
        &mut self,
        segment: &Segment,
        recent: &Recent,
        known: &BTreeSet<(u64, SegmentHash)>,
        refused: &Refused,
    ) -> Result<Option<Vec<(u64, SegmentHash)>>, VaultError> {
        let device = segment.device;
        let first = recent.segments().first().map_or(0, |(first, _)| *first);
        let mut all = None;
        let mut line = Vec::new();
        let (mut seq, mut previous) = (segment.seq, segment.previous);
        while let Some(hash) = previous {
            seq = seq.saturating_sub(1);
            if known.contains(&(seq, hash)) {
                line.reverse();
                return Ok(Some(line));
            }
            if refused.contains_key(&(seq, hash)) || !self.is_there(device, (seq, hash)).await? {
                return Ok(None);
            }
            let Some((segment, _)) = self.segment(device, seq, hash).await? else {
                return Ok(None);
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
                    line.reverse();
                    return Ok(Some(line));
                }
            }
            line.push((seq, hash));
        }
        line.reverse();
        // Only the first of all follows none.
        Ok((seq == 1).then_some(line))
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
