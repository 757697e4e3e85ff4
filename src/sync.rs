//! Decisions of pull and push. No I/O: what a remote shows and what is known of it go in, what to
//! do comes out.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::{DeviceId, Seq},
    projection::receipts::Chain,
    segment::{self, Head, Item},
};

/// What the heads on a remote say, beside what is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The remote has lost something that it had confirmed or shown.
    pub went_back: bool,
    /// Whose segments to read, and from which number on.
    pub devices: Vec<(DeviceId, u64)>,
}

/// Decides whose segments to read. The last one that was read is read again, since a twin may have
/// put another of the same number beside it.
#[must_use]
pub fn reading(heads: &BTreeMap<DeviceId, Head>, known: &BTreeMap<DeviceId, Chain>) -> Reading {
    let none = Chain::default();
    let all: BTreeSet<&DeviceId> = heads.keys().chain(known.keys()).collect();
    let mut reading = Reading::default();
    for device in all {
        let chain = known.get(device).unwrap_or(&none);
        let Some(head) = heads.get(device) else {
            reading.went_back |= chain.seq > 0;
            continue;
        };
        reading.went_back |= head.seq < chain.seq;
        let moved =
            head.hash.is_some_and(|hash| head.seq >= chain.seq && !chain.holds(head.seq, hash));
        if moved {
            reading.devices.push((*device, chain.seq.max(1)));
        }
    }
    reading
}

/// The items of one segment to push.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// What it carries.
    pub items: Vec<Item>,
    /// The last event of this log that it carries.
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
            _ => {
                size = bytes;
                cuts.push(Cut { items: vec![item], through: seq });
            }
        }
    }
    cuts
}
