//! Which segment of a device may be read after which.

use crate::{
    id::{DeviceId, SegmentHash},
    mutant::{self, Mutant},
    projection::receipts::Chain,
    segment::Segment,
};

/// Where a reading of a device's segments is.
pub(super) struct Trail {
    chain: Chain,
    /// The hashes of those before the last.
    before: Vec<SegmentHash>,
}

/// A segment that follows none that was read: the remote lost, reordered or made up one.
#[derive(Debug, thiserror::Error)]
#[error("segment {seq} of device {} follows none that was read: the remote may not show all of them yet, or has lost one", device.short())]
pub(super) struct OutOfOrder {
    pub(super) device: DeviceId,
    pub(super) seq: u64,
}

impl From<Chain> for Trail {
    fn from(chain: Chain) -> Self {
        Self { chain, before: Vec::new() }
    }
}

impl Trail {
    /// The last that were read.
    pub(super) const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Whether a segment follows one that was read. One beside the last does not always: a device that
    /// has a twin has more than one line of segments, and what comes before it may be missing.
    pub(super) fn leads_to(&self, segment: &Segment) -> Result<(), OutOfOrder> {
        let Self { chain, before } = self;
        let follows = |hashes: &[SegmentHash]| {
            segment.previous.is_none_or(|previous| hashes.contains(&previous))
        };
        let in_order = if segment.seq == chain.seq {
            follows(before)
        } else {
            segment.seq == chain.seq + 1
                && (segment.previous.is_some() || chain.seq == 0)
                && follows(&chain.hashes)
        };
        let is_fine = in_order || mutant::is(Mutant::PreviousUnchecked);
        let Segment { device, seq, .. } = *segment;
        if is_fine { Ok(()) } else { Err(OutOfOrder { device, seq }) }
    }

    /// Notes that a segment was read.
    pub(super) fn note(&mut self, seq: u64, hash: SegmentHash) {
        if seq > self.chain.seq {
            self.before.clone_from(&self.chain.hashes);
        }
        self.chain.note(seq, hash);
    }
}
