//! Whether the checkpoints on a remote are what they say, and whether what one stood for is there.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Vault, VaultError, Verification, error::chain};
use crate::{
    event::{Event, RemoteName},
    id::{DeviceId, Seq},
    note,
    projection::{
        documents,
        receipts::{self, Chain},
    },
    remote::{After, Key, Prefix, Remote, RemoteError, RemoteExt as _},
    segment::checkpoint::{self, Checkpoint, Entry},
};

impl Vault {
    /// Reads every checkpoint. With `repair`, one that is of no use is removed: the segments have it all.
    pub(in super::super) async fn verify_checkpoints(
        &self,
        name: &RemoteName,
        remote: &dyn Remote,
        repair: bool,
        found: &mut Verification,
    ) -> Result<(), VaultError> {
        let error = |source| VaultError::Remote { remote: name.clone(), source };
        let known = self.known_chains(name)?;
        for listed in remote.list_all(&Prefix::Checkpoints, None).await.map_err(error)? {
            // Parts that no first part names were cut off, and stand for nothing.
            let Key::Checkpoint { device, seq, part: 0, hash } = listed.key else { continue };
            let first = self.first_part(remote, device, seq, hash).await.map_err(error)?;
            let problem = match first {
                Ok(checkpoint) => {
                    let whole = self.check_parts(remote, device, seq, &checkpoint, &known);
                    whole.await.map_err(|failed| failed.into_error(error))?
                }
                Err(problem) => Some(chain(&*problem)),
            };
            let Some(problem) = problem else { continue };
            found.find(listed.key.to_string(), problem);
            if repair {
                remote.delete(&listed.key).await.map_err(error)?;
            }
        }
        Ok(())
    }

    /// What is wrong with the other parts of a checkpoint, if anything.
    async fn check_parts(
        &self,
        remote: &dyn Remote,
        device: DeviceId,
        seq: u64,
        checkpoint: &Checkpoint,
        known: &BTreeMap<DeviceId, Chain>,
    ) -> Result<Option<String>, Failed> {
        let is_read = |device: &DeviceId, seq| known.get(device).is_some_and(|c| c.seq >= seq);
        let was_read =
            checkpoint.covers.iter().all(|covered| is_read(&covered.device, covered.seq));
        for (part, hash) in (1..=u16::MAX).zip(&checkpoint.parts) {
            let key = Key::Checkpoint { device, seq, part, hash: *hash };
            let bytes = match remote.get_bytes(&key, checkpoint::LIMIT as u64).await {
                Ok(bytes) => bytes,
                Err(RemoteError::NotFound { .. }) => {
                    return Ok(Some(format!("part {part} is not there")));
                }
                Err(error @ RemoteError::Oversized { .. }) => return Ok(Some(error.to_string())),
                Err(error) => return Err(Failed::Remote(error)),
            };
            let (sealer, hash) = (self.0.sealer.clone(), *hash);
            let open = move |vault: &Self| {
                let entries = match checkpoint::open_part(&sealer, device, seq, hash, &bytes) {
                    Ok(entries) => entries,
                    Err(error) => return Ok(Some(chain(&error))),
                };
                for entry in entries {
                    if let Some(problem) = vault.contradicts(&entry, was_read)? {
                        return Ok(Some(problem));
                    }
                }
                Ok(None)
            };
            if let Some(problem) = self.blocking(open).await.map_err(Failed::Vault)? {
                return Ok(Some(format!("part {part}: {problem}")));
            }
        }
        Ok(None)
    }

    /// What is wrong with an entry, if anything. Where this device `was_read` what the checkpoint stands
    /// for, the segments must have led to the same versions.
    fn contradicts(&self, entry: &Entry, was_read: bool) -> Result<Option<String>, VaultError> {
        let Entry::Note { note, document, heads, .. } = entry else { return Ok(None) };
        match note::inspect_whole(&document.0) {
            Ok(version) if version.as_slice() == heads => {}
            Ok(_) => return Ok(Some(format!("note {note} is of another version than it says"))),
            Err(error) => return Ok(Some(format!("note {note}: {}", chain(&error)))),
        }
        for head in heads.iter().filter(|_| was_read) {
            let mut is_known = documents::seq_of(self.db(), *head)?.is_some();
            let document = documents::get(self.db(), *note)?;
            if let Some(document) = document.filter(|_| !is_known)
                && document.received.is_some_and(|received| !received.indexed)
            {
                self.index(*note, &document)?;
                is_known = documents::seq_of(self.db(), *head)?.is_some();
            }
            if !is_known {
                let head = head.short();
                return Ok(Some(format!("note {note} has change {head}, which no segment has")));
            }
        }
        Ok(None)
    }

    /// The number of the last segment of each device that a checkpoint stands for that was read since the remote
    /// last lost anything.
    pub(in super::super) fn covered_numbers(
        &self,
        name: &RemoteName,
    ) -> Result<BTreeMap<DeviceId, u64>, VaultError> {
        let mut covered: BTreeMap<DeviceId, u64> = BTreeMap::new();
        let mut content = receipts::Content::of(name);
        for recorded in self.events(Seq(1)) {
            let event = recorded?.event;
            if content.is_forgotten(&event) {
                covered.clear();
            }
            if let Event::CheckpointRead { remote, covers, .. } = event
                && remote == *name
            {
                for of in covers {
                    let last = covered.entry(of.device).or_default();
                    *last = of.seq.max(*last);
                }
            }
        }
        Ok(covered)
    }

    /// The segments that the remote was said to hold by a checkpoint that was read since it last lost
    /// anything; one that is not there is found.
    pub(in super::super) async fn covered_segments(
        &self,
        name: &RemoteName,
        remote: &dyn Remote,
        found: &mut Verification,
    ) -> Result<Vec<Key>, VaultError> {
        let of = name.clone();
        let covered = self.blocking(move |vault| vault.covered_numbers(&of)).await?;
        let mut keys = Vec::new();
        for (device, last) in covered {
            let after = After::before_segment(device, 1);
            let listed = remote.list_all(&Prefix::Log(device), Some(after)).await;
            let listed =
                listed.map_err(|source| VaultError::Remote { remote: name.clone(), source })?;
            let mut numbers = BTreeSet::new();
            for listed in listed {
                if let Key::Segment { seq, .. } = listed.key
                    && seq <= last
                {
                    numbers.insert(seq);
                    keys.push(listed.key);
                }
            }
            if (numbers.len() as u64) < last {
                let missing = (1..=last).find(|seq| !numbers.contains(seq)).unwrap_or(last);
                let problem = "a checkpoint stands for it, and the remote does not hold it now";
                found.find(format!("log/{device}/{missing:016x}"), problem);
            }
        }
        Ok(keys)
    }
}

/// Why a check could not be made.
enum Failed {
    Remote(RemoteError),
    Vault(VaultError),
}

impl Failed {
    fn into_error(self, error: impl FnOnce(RemoteError) -> VaultError) -> VaultError {
        match self {
            Self::Remote(source) => error(source),
            Self::Vault(failed) => failed,
        }
    }
}
