//! The segments of a device that were read or put last. Where a device has a twin, somebody may carry what that
//! one put to a remote late, when others have read past its numbers: whoever knows which segments it had tells
//! it from them.

use serde::{Deserialize, Serialize};

use super::remote_key;
use crate::{
    db::{DbError, Draft, Read, Table},
    event::RemoteName,
    id::{DeviceId, SegmentHash},
    mutant::{self, Mutant},
};

/// Of how many numbers, the last included, the segments of a device are known by name, and listed again whenever
/// a remote has changed.
pub const WINDOW: u64 = 16;

fn window() -> u64 {
    // What was read over a hole would fill it where it is looked for again.
    let is_short = mutant::is(Mutant::PassesLate) || mutant::is(Mutant::PreviousUnchecked);
    if is_short { 1 } else { WINDOW }
}

/// Every segment that a device was known to have from some number on, in the order of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recent(Vec<(u64, SegmentHash)>);

impl Recent {
    /// Notes a segment that was read or put.
    fn note(&mut self, seq: u64, hash: SegmentHash) {
        let is_before = self.0.first().is_some_and(|(first, _)| seq < *first);
        // What is known before the first is not all there was.
        if is_before || self.0.contains(&(seq, hash)) {
            return;
        }
        let place = self.0.partition_point(|(other, _)| *other <= seq);
        self.0.insert(place, (seq, hash));
        let last = self.0.last().map_or(0, |(last, _)| *last);
        self.0.retain(|(seq, _)| *seq > last.saturating_sub(window()));
    }

    /// Whether a segment came when others of its number, or later ones, had been read or put.
    #[must_use]
    pub fn is_late(&self, seq: u64, hash: SegmentHash) -> bool {
        let (Some((first, _)), Some((last, _))) = (self.0.first(), self.0.last()) else {
            return false;
        };
        (*first..=*last).contains(&seq) && !self.0.contains(&(seq, hash))
    }

    /// All of them, in the order of numbers.
    #[must_use]
    pub fn segments(&self) -> &[(u64, SegmentHash)] {
        &self.0
    }
}

/// The number from which the segments of a device are listed, of which the last that is known has this one.
#[must_use]
pub fn from(last: u64) -> u64 {
    last.saturating_add(1).saturating_sub(window()).max(1)
}

/// Those of a device on a remote.
///
/// # Errors
///
/// What the database said.
pub fn get(read: &impl Read, remote: &RemoteName, device: DeviceId) -> Result<Recent, DbError> {
    let key = remote_key(remote, device.as_bytes());
    Ok(read.row(Table::Recent, &key)?.unwrap_or_default())
}

/// Notes a segment of a device that was read or put.
pub(super) fn note(
    draft: &mut Draft<'_>,
    remote: &RemoteName,
    device: DeviceId,
    seq: u64,
    hash: SegmentHash,
) -> Result<(), DbError> {
    let mut recent = get(draft, remote, device)?;
    recent.note(seq, hash);
    draft.put_row(Table::Recent, &remote_key(remote, device.as_bytes()), &recent)
}

/// Forgets those of a device: it is read from the beginning.
pub(super) fn forget(draft: &mut Draft<'_>, remote: &RemoteName, device: DeviceId) {
    draft.delete(Table::Recent, &remote_key(remote, device.as_bytes()));
}

/// Notes the last segments of a device that a checkpoint stands for.
pub(super) fn begin(
    draft: &mut Draft<'_>,
    remote: &RemoteName,
    device: DeviceId,
    seq: u64,
    hashes: &[SegmentHash],
) -> Result<(), DbError> {
    let recent = Recent(hashes.iter().map(|hash| (seq, *hash)).collect());
    draft.put_row(Table::Recent, &remote_key(remote, device.as_bytes()), &recent)
}
