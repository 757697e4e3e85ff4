//! Taking in a checkpoint.

use std::{collections::HashSet, sync::Arc};

use futures_util::{StreamExt as _, future::join, stream};

use super::{
    super::{
        Vault, VaultError,
        exchange::{Progress, Session},
    },
    Found,
};
use crate::{
    event::{ChangeBytes, Covered, Event, Origin, RemoteName},
    id::{ChangeHash, NoteId},
    note::{self, Heads, NoteError},
    projection::documents,
    remote::{Key, RemoteError, RemoteExt as _},
    segment::checkpoint::{self, Checkpoint, Entry},
};

/// How many parts are on their way at once.
const AHEAD: usize = 2;

/// What of a part is news.
struct Taking<'a> {
    vault: &'a Vault,
    origin: Origin,
    events: Vec<(Origin, Event)>,
    coming: HashSet<ChangeHash>,
    notes: HashSet<NoteId>,
    changes: u64,
}

impl Session<'_> {
    /// Takes in the checkpoint that stands for most, where there is any: for who knows nobody.
    pub(in super::super) async fn read_checkpoint(&mut self) -> Result<(), VaultError> {
        let listed = self.list_checkpoints().await?;
        let mut all = self.checkpoints(&listed).await?;
        while let Some(found) = all.pop() {
            if self.leads_on(&found.checkpoint).await? && self.take_checkpoint(found).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether the last segments that it stands for are there, so that one can read on from them. Where
    /// files arrive in any order they may not be, and where a remote was put back they never will.
    async fn leads_on(&self, checkpoint: &Checkpoint) -> Result<bool, VaultError> {
        for Covered { device, seq, hashes } in &checkpoint.covers {
            // Nothing comes after the largest number.
            if hashes.is_empty() || *seq == u64::MAX {
                return Ok(false);
            }
            for hash in hashes {
                if !self.is_there(*device, (*seq, *hash)).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Gives whether all of it could be read.
    async fn take_checkpoint(&mut self, found: Found) -> Result<bool, VaultError> {
        let Found { device, seq, hash: first, checkpoint: Checkpoint { covers, parts }, .. } =
            found;
        (self.progress)(Progress::Pulling(parts.len() as u64));
        let (vault, remote) = (self.vault, Arc::clone(&self.remote));
        let origin = Origin::Device { remote: self.name.clone(), device, seq, projector: false };
        let gets = (1..=u16::MAX).zip(parts).map(|(part, hash)| {
            let remote = &remote;
            async move {
                let key = Key::Checkpoint { device, seq, part, hash };
                let bytes = remote.get_bytes(&key, checkpoint::LIMIT as u64).await?;
                let size = bytes.len() as u64;
                let open = move |vault: &Vault| {
                    Ok(checkpoint::open_part(&vault.0.sealer, device, seq, hash, &bytes))
                };
                Ok::<_, RemoteError>((size, vault.blocking(open).await))
            }
        });
        let mut parts = std::pin::pin!(stream::iter(gets).buffered(AHEAD));
        let mut next = parts.next().await;
        while let Some(part) = next.take() {
            let (size, opened) = match part {
                Ok(read) => read,
                Err(error @ (RemoteError::Oversized { .. } | RemoteError::NotFound { .. })) => {
                    self.problem(&error);
                    return Ok(false);
                }
                Err(error) => return Err(self.error()(error)),
            };
            let (name, origin) = (self.name.clone(), origin.clone());
            let take = move |vault: &Vault| {
                let entries =
                    opened?.map_err(|source| VaultError::Segment { remote: name, source })?;
                vault.take_in_entries(origin, entries)
            };
            // The next are read and opened while this one is taken in.
            let taken;
            (taken, next) = join(vault.blocking(take), parts.next()).await;
            match taken {
                Ok(changes) => {
                    let pulled = &mut self.report.pulled;
                    pulled.changes = pulled.changes.saturating_add(changes);
                    pulled.bytes += size;
                }
                Err(error @ (VaultError::Segment { .. } | VaultError::Note { .. })) => {
                    self.problem(&error);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
            (self.progress)(Progress::Pulled);
        }
        let remote: RemoteName = self.name.clone();
        let read = Event::CheckpointRead { remote, device, seq, hash: first, covers };
        self.vault.blocking(move |vault| vault.record([read])).await?;
        Ok(true)
    }
}

impl Vault {
    /// Appends what a part says, in one batch. Gives how many changes are news.
    fn take_in_entries(&self, origin: Origin, entries: Vec<Entry>) -> Result<u64, VaultError> {
        let own = self.device()?;
        let mut taking = Taking {
            vault: self,
            origin,
            events: Vec::new(),
            coming: HashSet::new(),
            notes: HashSet::new(),
            changes: 0,
        };
        let versions = self.divided(&entries, version);
        for (entry, version) in entries.into_iter().zip(versions) {
            match entry {
                Entry::Note { note, .. } => {
                    taking.whole(entry, version).map_err(|error| of_note(note, error))?;
                }
                Entry::Waiting { note, changes } => {
                    for change in changes {
                        taking.change(note, change)?;
                    }
                }
                Entry::Image { image, bytes, media_type, dimensions, holders } => {
                    for device in holders.into_iter().filter(|holder| *holder != own) {
                        if !self.is_announced(image, device)? {
                            let event = Event::ImageAnnounced {
                                image,
                                bytes,
                                media_type,
                                dimensions,
                                device,
                            };
                            taking.events.push((Origin::Here, event));
                        }
                    }
                }
            }
        }
        let Taking { events, changes, .. } = taking;
        if !events.is_empty() {
            self.append(events, None)?;
        }
        Ok(changes)
    }
}

/// The version of the note that an entry holds whole, if it holds one.
fn version(entry: &Entry) -> Result<Heads, NoteError> {
    match entry {
        Entry::Note { document, .. } => note::inspect_whole(&document.0),
        Entry::Waiting { .. } | Entry::Image { .. } => Ok(Heads::default()),
    }
}

/// What kept a whole note from being taken in.
enum Failed {
    Note(NoteError),
    Vault(VaultError),
}

impl<E: Into<VaultError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Vault(error.into())
    }
}

fn of_note(note: NoteId, failed: Failed) -> VaultError {
    match failed {
        Failed::Note(source) => VaultError::Note { note, source },
        Failed::Vault(error) => error,
    }
}

impl Taking<'_> {
    /// Takes in a note of which the document is at `version`.
    fn whole(&mut self, entry: Entry, version: Result<Heads, NoteError>) -> Result<(), Failed> {
        let Entry::Note { note, document, heads, changes, digest } = entry else { return Ok(()) };
        let version = version.map_err(Failed::Note)?;
        if version.as_slice() != heads || !self.notes.insert(note) {
            let reason = "a checkpoint says another version of it than it holds".to_owned();
            return Err(Failed::Note(NoteError::Damaged { reason }));
        }
        match documents::get(self.vault.db(), note)? {
            None => {
                let received = Event::NoteReceived { note, document, heads, changes, digest };
                self.events.push((self.origin.clone(), received));
                self.changes = self.changes.saturating_add(changes);
            }
            Some(known) if known.heads == heads && known.missing.is_empty() => {}
            Some(_) => {
                for change in self.vault.unfolded(note, &document.0)? {
                    self.change(note, ChangeBytes(change.bytes))?;
                }
            }
        }
        Ok(())
    }

    fn change(&mut self, note: NoteId, change: ChangeBytes) -> Result<(), VaultError> {
        let (outline, known_by) = self.vault.look_up(note, &change, &self.coming)?;
        if known_by.is_none() {
            self.coming.insert(outline.hash);
            self.events.push((self.origin.clone(), Event::NoteChanged { note, change }));
            self.changes = self.changes.saturating_add(1);
        }
        Ok(())
    }
}
