//! Segments that this device put on a remote, made again byte by byte.
//!
//! Sealing has no chance in it, and what a segment carries follows from the log before its receipt. So
//! whoever wrote a segment that a remote lost or damaged can put the same one there: no device has to read
//! anything again, and nobody who joins stumbles over it.

use std::collections::HashSet;

use bytes::Bytes;

use super::{Vault, VaultError};
use crate::{
    event::{Event, Recorded, RemoteName},
    id::Seq,
    projection,
    remote::{Key, Remote},
};

/// The most segments that are made again; a remote that lost more is told everything anew.
const MOST: usize = 64;

impl Vault {
    /// Puts segments on a remote again, as far as this device wrote them. Gives those that are there now.
    pub(super) async fn put_again(
        &self,
        name: &RemoteName,
        remote: &dyn Remote,
        lost: HashSet<Key>,
    ) -> Result<HashSet<String>, VaultError> {
        if lost.is_empty() || lost.len() > MOST {
            return Ok(HashSet::new());
        }
        let of = name.clone();
        let segments = self.blocking(move |vault| vault.sealed_again(&of, &lost)).await?;
        let mut there = HashSet::new();
        let error = |source| VaultError::Remote { remote: name.clone(), source };
        for (key, bytes) in segments {
            let size = bytes.len() as u64;
            remote.put(&key, bytes.into()).await.map_err(error)?;
            // As with a receipt: what the remote only says that it took is not there.
            if remote.head(&key).await.map_err(error)?.is_some_and(|there| there.size == size) {
                there.insert(key.to_string());
            }
        }
        if !there.is_empty() {
            self.owe_pulse(name)?;
        }
        Ok(there)
    }

    /// Seals those of `lost` that this device wrote, from what it knew when it did; without those that
    /// come out otherwise, which another build may have written.
    fn sealed_again(
        &self,
        name: &RemoteName,
        lost: &HashSet<Key>,
    ) -> Result<Vec<(Key, Bytes)>, VaultError> {
        let (_folder, replay) = self.scratch()?;
        let mut again = Vec::new();
        for recorded in self.events(Seq(1)) {
            let Recorded { seq: at, event, .. } = recorded?;
            let Event::SegmentPushed { remote, seq, hash, through } = event else { continue };
            let is_it = |key: &Key| matches!(key, Key::Segment { hash: lost, .. } if *lost == hash);
            if remote != *name || !lost.iter().any(is_it) {
                continue;
            }
            let before = Seq(at.0.saturating_sub(1));
            projection::catch_up_through(self.db(), &replay, before)?;
            let (device, _, ready) = self.seal_next(&replay, name, through)?;
            let key = Key::Segment { device, seq, hash };
            let same = ready.into_iter().find(|ready| ready.sealed.hash == hash);
            let same = same.filter(|_| lost.contains(&key));
            again.extend(same.map(|ready| (key, Bytes::from(ready.sealed.bytes))));
        }
        Ok(again)
    }
}
