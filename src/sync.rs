//! Decisions of pull and push. No I/O: what a remote shows and what is known of it go in, what to
//! do comes out.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::{DeviceId, Seq},
    mutant::{self, Mutant},
    projection::{receipts::Chain, recent},
    segment::{self, Head, Item},
};

/// Whose segments to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The device.
    pub device: DeviceId,
    /// The number to read from.
    pub from: u64,
    /// The number that its head names: all up to it should be there. `None` where no head can be read.
    pub head: Option<u64>,
}

/// Decides whose segments to list, and from where: everybody's, once anything has changed. A head
/// alone does not tell: it is put after the segments that it names, and whoever put them may be gone
/// for ever in between; then some devices would have read them and others not. The last segments that
/// were read are listed again, since a twin may have put others of the same numbers beside them, and
/// since the remote may have lost the last.
#[must_use]
pub fn readings(
    heads: &BTreeMap<DeviceId, Head>,
    known: &BTreeMap<DeviceId, Chain>,
) -> Vec<Reading> {
    let all: BTreeSet<&DeviceId> = heads.keys().chain(known.keys()).collect();
    let mut readings = Vec::new();
    for device in all {
        let mut from = recent::from(known.get(device).map_or(0, |chain| chain.seq));
        if mutant::is(Mutant::ReadsPastLast) {
            from = known.get(device).map_or(1, |chain| chain.seq + 1);
        }
        let head = heads.get(device).map(|head| head.seq);
        readings.push(Reading { device: *device, from, head });
    }
    readings
}

/// How many bytes of segments there have to be beside those that the last checkpoint stands for before
/// another is worth it; 0 where it is now. It is where they outweigh the last, so that all checkpoints
/// together weigh no more than all segments, and where they weigh `minimum`.
#[must_use]
pub fn until_checkpoint(segments: u64, last: u64, minimum: u64) -> u64 {
    last.max(minimum).saturating_sub(segments)
}

/// The items of one segment to push.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// What it carries.
    pub items: Vec<Item>,
    /// The last event of this log that is carried whole, up to and with it.
    pub through: Seq,
}

/// Cuts what is to be pushed into segments of about [`segment::TARGET`] bytes: the same events are
/// cut the same way however often they are, so that a push that was cut off puts the same objects
/// again.
#[must_use]
pub fn cut(items: impl IntoIterator<Item = (Seq, Item)>) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::new();
    let mut size = 0;
    for (seq, item) in items {
        let bytes = item.size();
        match cuts.last_mut() {
            Some(last) if size + bytes <= segment::TARGET => {
                size += bytes;
                last.items.push(item);
                last.through = seq;
            }
            last => {
                // A note that came whole is one event, and may be more than one segment holds.
                if let Some(last) = last.filter(|last| last.through == seq) {
                    last.through = Seq(seq.0.saturating_sub(1));
                }
                size = bytes;
                cuts.push(Cut { items: vec![item], through: seq });
            }
        }
    }
    cuts
}
