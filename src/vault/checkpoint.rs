//! Checkpoints on a remote: what all notes have come to, for devices that join.
//!
//! ```text
//!  segments of d1   1 ── 2 ── 3 ── 4 ── 5        a checkpoint of any device stands for the segments up to
//!  segments of d2   1 ── 2 ── 3           ── 4   here, of all devices; whoever joins takes in the newest,
//!                           ╎     ╎         and reads from there on
//!                   checkpoint: covers d1 ≤ 4, d2 ≤ 3
//!
//!  joining          list checkpoints/ → the one that covers most → are its last segments there? → part 1,
//!                   part 2 … → NoteReceived for each note → CheckpointRead → segments after it
//!  writing          pushed all, and segments since the last outweigh it → part 1, part 2 … → part 0
//! ```
//!
//! **What it may hold.** Exactly what is in the segments that it covers: a device writes one where nothing
//! is left that it has yet to push, and of its log up to that moment alone. So whoever joins by it owes
//! the remote nothing, and no other device, which reads segments only, lacks anything that it has.
//!
//! **What is known of what came whole.** The log has the document; the projections know its heads, and
//! its catalog row, which comes with it. So `list` shows all notes before any is loaded. What builds on
//! the heads is news. Where something builds on an earlier version, or is told again, the note is loaded
//! once, and the names of its changes are appended (`NoteIndexed`): a replay from zero needs no load.
//!
//! **Whom it trusts.** The remote in nothing: parts are authenticated and named by their hashes, and read
//! within bounds. Who has the vault's key, as far as segments do: a document must be of the version that
//! is claimed for it, which its own bytes say; where the note is here, it is taken apart into changes, and
//! those that are news are taken in as a segment's are. A checkpoint that is damaged, or whose last segments
//! are not there (yet), is passed over, and the segments are read: they stay.
//!
//! Nothing is removed here, and nobody reads a checkpoint but who knows nobody on that remote. After a
//! remote lost what it had, a note that came whole is told again change by change.

mod audit;
mod read;
mod write;

use std::collections::BTreeMap;

use super::{Vault, VaultError, exchange::Session};
use crate::{
    id::{DeviceId, SegmentHash},
    remote::{Key, ListedKey, Prefix, Remote, RemoteError, RemoteExt as _},
    segment::checkpoint::{Checkpoint, FIRST_LIMIT},
};

/// A checkpoint on a remote, of which the first part was read.
struct Found {
    device: DeviceId,
    seq: u64,
    hash: SegmentHash,
    /// Of all its parts.
    bytes: u64,
    checkpoint: Checkpoint,
}

impl Found {
    /// How many segments it stands for.
    fn weight(&self) -> u64 {
        self.checkpoint.covers.iter().fold(0, |sum, covered| sum.saturating_add(covered.seq))
    }
}

/// The first parts of the last checkpoint of each device: more than one where it had a twin.
fn last_of_each(listed: &[ListedKey]) -> Vec<(DeviceId, u64, SegmentHash)> {
    let mut last: BTreeMap<DeviceId, (u64, Vec<SegmentHash>)> = BTreeMap::new();
    for listed in listed {
        let Key::Checkpoint { device, seq, part: 0, hash } = listed.key else { continue };
        let (known, hashes) = last.entry(device).or_default();
        if seq > *known {
            (*known, *hashes) = (seq, Vec::new());
        }
        if seq == *known {
            hashes.push(hash);
        }
    }
    let each = last.into_iter();
    each.flat_map(|(device, (seq, hashes))| hashes.into_iter().map(move |hash| (device, seq, hash)))
        .collect()
}

/// The bytes of all parts of a checkpoint that are there.
fn weight_of(listed: &[ListedKey], of: DeviceId, number: u64) -> u64 {
    let parts = listed.iter().filter(|listed| {
        matches!(listed.key, Key::Checkpoint { device, seq, .. } if device == of && seq == number)
    });
    parts.map(|listed| listed.size).fold(0, u64::saturating_add)
}

impl Session<'_> {
    async fn list_checkpoints(&self) -> Result<Vec<ListedKey>, VaultError> {
        self.remote.list_all(&Prefix::Checkpoints, None).await.map_err(self.error())
    }

    /// The last checkpoint of each device that can be read, by how much it stands for.
    async fn checkpoints(&mut self, listed: &[ListedKey]) -> Result<Vec<Found>, VaultError> {
        let mut all = Vec::new();
        for (device, seq, hash) in last_of_each(listed) {
            match self.vault.first_part(&*self.remote, device, seq, hash).await {
                Ok(Ok(checkpoint)) => {
                    let bytes = weight_of(listed, device, seq);
                    all.push(Found { device, seq, hash, bytes, checkpoint });
                }
                Ok(Err(problem)) => self.problem(&*problem),
                Err(error) => return Err(self.error()(error)),
            }
        }
        all.sort_by_key(|found| (found.weight(), found.hash));
        Ok(all)
    }
}

/// Why something on a remote is of no use, for people.
type Problem = Box<dyn std::error::Error + Send + Sync>;

impl Vault {
    /// Reads the first part of a checkpoint, or says what is wrong with it.
    async fn first_part(
        &self,
        remote: &dyn Remote,
        device: DeviceId,
        seq: u64,
        hash: SegmentHash,
    ) -> Result<Result<Checkpoint, Problem>, RemoteError> {
        let key = Key::Checkpoint { device, seq, part: 0, hash };
        let bytes = match remote.get_bytes(&key, FIRST_LIMIT as u64).await {
            Ok(bytes) => bytes,
            Err(error @ (RemoteError::Oversized { .. } | RemoteError::NotFound { .. })) => {
                return Ok(Err(error.into()));
            }
            Err(error) => return Err(error),
        };
        let opened = Checkpoint::open(&self.0.sealer, device, seq, hash, &bytes);
        Ok(opened.map_err(Problem::from))
    }
}
