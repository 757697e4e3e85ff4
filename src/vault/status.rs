//! How things stand: computed from receipts, not from intentions.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{RemoteStatus, Vault, VaultError, lock};
use crate::{
    clock::{self, Timestamp},
    db::{DbError, Read as _},
    event::{Event, RemoteName},
    id::{ImageId, NoteId},
    image::MediaType,
    mutant::{self, Mutant},
    projection::{
        catalog::{self, ImageRecord},
        devices,
        outbox::{self, Queued, Stage},
        receipts,
    },
    upload::{Candidate, KEPT_IN_VIEW, State},
};

/// How many images are in which state; an image that is elsewhere alone counts in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct ImageCounts {
    /// Distinct images that are known.
    pub distinct: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// No note that shows it is on the remote yet.
    pub waiting: u64,
    /// To be uploaded.
    pub pending: u64,
    /// Being uploaded.
    pub uploading: u64,
    /// To be tried again.
    pub failed: u64,
    /// In need of a person.
    pub blocked: u64,
    /// Confirmed by every remote.
    pub uploaded: u64,
}

/// How a vault stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct VaultStatus {
    /// Notes that are not in the trash.
    pub notes: u64,
    /// Notes of which some remote lacks a change; all of them where there is no remote.
    pub unsynced_notes: u64,
    /// The images.
    pub images: ImageCounts,
    /// The remotes.
    pub remotes: Vec<RemoteStatus>,
}

/// How a note's images stand.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct NoteStatus {
    /// Whether an image that it shows has yet to be uploaded.
    pub has_pending_image_uploads: bool,
    /// Whether an image that it shows, or the note itself, is not known to be on a remote.
    pub has_unsynced_images: bool,
    /// How many images that it shows have yet to be uploaded.
    pub pending_image_count: usize,
    /// URLs that it has.
    pub synced_image_urls: Vec<String>,
    /// Local files of images that no remote is known to hold.
    pub local_only_image_paths: Vec<String>,
    /// Images that are not here, and who has them.
    pub elsewhere: Vec<Place>,
}

/// An image that is not on this device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Place {
    /// The image.
    pub image: ImageId,
    /// The devices that said they hold it, by their names.
    pub devices: Vec<String>,
}

/// A line of `images`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct ImageStatus {
    /// The image.
    pub image: ImageId,
    /// What its content says it is.
    pub media_type: MediaType,
    /// Its size in bytes.
    pub bytes: u64,
    /// In pixels, where that could be told.
    pub width: Option<u32>,
    /// In pixels, where that could be told.
    pub height: Option<u32>,
    /// How its upload stands, with the remote with which it stands worst: one that is blocked or failed, else
    /// the one that is furthest behind. `None` where it is not here.
    pub state: Option<State>,
    /// Attempts to upload it so far.
    pub attempts: u32,
    /// When the next will be; RFC 3339.
    #[serde(with = "clock::as_text::optional")]
    pub retry_at: Option<Timestamp>,
    /// What the last met.
    pub error: Option<String>,
    /// Where anybody can see it.
    pub url: Option<String>,
    /// The notes that show it.
    pub notes: Vec<NoteId>,
    /// Whether its bytes are on this device.
    pub local: bool,
    /// The devices that said they hold it, by their names.
    pub holders: Vec<String>,
    /// Whether the queue's view shows it: not done, or done in the last seven days.
    pub in_queue: bool,
}

impl Vault {
    /// How the vault stands.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn status(&self) -> Result<VaultStatus, VaultError> {
        let notes = catalog::list(self.db())?;
        let live = notes.iter().filter(|(_, entry)| !entry.digest.trashed).count() as u64;
        let remotes = self.remotes()?;
        let unsynced = self.unsynced_notes()?.len() as u64;
        let states = self.image_states()?;
        let mut images = ImageCounts::default();
        for (image, record) in catalog::image_records(self.db())? {
            images.distinct += 1;
            images.bytes += record.bytes;
            let count = match states.get(&image) {
                Some(State::Waiting) => &mut images.waiting,
                Some(State::Pending) => &mut images.pending,
                Some(State::Uploading) => &mut images.uploading,
                Some(State::Failed) => &mut images.failed,
                Some(State::Blocked) => &mut images.blocked,
                Some(State::Uploaded) => &mut images.uploaded,
                None => continue,
            };
            *count += 1;
        }
        Ok(VaultStatus { notes: live, unsynced_notes: unsynced, images, remotes })
    }

    /// How a note stands.
    ///
    /// # Errors
    ///
    /// [`VaultError::UnknownNote`], or what the database said.
    pub fn note_status(&self, note: NoteId) -> Result<NoteStatus, VaultError> {
        let images = self.image_urls(note)?;
        let states = self.states_of(images.iter().map(|(image, _)| *image).collect())?;
        let pending = self.pending(&states, &images)?;
        let (mut local_only, mut elsewhere) = (Vec::new(), Vec::new());
        for (image, url) in &images {
            match self.local_file(*image)? {
                Some(path) if url.is_none() && !self.is_uploaded(*image)? => {
                    local_only.push(path.display().to_string());
                }
                Some(_) => {}
                None => {
                    let record = catalog::image_record(self.db(), *image)?;
                    elsewhere
                        .push(Place { image: *image, devices: self.holders(record.as_ref())? });
                }
            }
        }
        let unsynced = self.unsynced_notes()?.contains(&note);
        Ok(NoteStatus {
            has_pending_image_uploads: pending > 0,
            has_unsynced_images: !images.is_empty() && (pending > 0 || unsynced),
            pending_image_count: pending,
            synced_image_urls: images.into_iter().filter_map(|(_, url)| url).collect(),
            local_only_image_paths: local_only,
            elsewhere,
        })
    }

    /// Every image that is known, with how it stands.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn image_list(&self) -> Result<Vec<ImageStatus>, VaultError> {
        let now = self.0.clock.now();
        let remotes = receipts::list(self.db())?;
        let mut uploads: BTreeMap<ImageId, Vec<Candidate>> = BTreeMap::new();
        for (remote, _) in &remotes {
            for candidate in self.candidates(remote, outbox::list(self.db(), remote)?)? {
                uploads.entry(candidate.image).or_default().push(candidate);
            }
        }
        let mut list = Vec::new();
        for (image, record) in catalog::image_records(self.db())? {
            let candidates = uploads.remove(&image).unwrap_or_default();
            let worst = candidates.iter().min_by_key(|candidate| candidate.state().urgency());
            let state = record.local.then(|| worst.map_or(State::Waiting, Candidate::state));
            let upload = worst.map(|candidate| &candidate.upload);
            let mut url = None;
            for (_, remote) in remotes.iter().filter(|_| state == Some(State::Uploaded)) {
                url = url.or(self.public_url(remote, image)?);
            }
            let notes = catalog::notes_showing(self.db(), image)?;
            if let (None, Some(note)) = (&url, notes.first()) {
                url = self
                    .image_urls(*note)?
                    .into_iter()
                    .find(|(of, _)| *of == image)
                    .and_then(|(_, url)| url);
            }
            list.push(ImageStatus {
                image,
                media_type: record.media_type,
                bytes: record.bytes,
                width: record.dimensions.map(|size| size.width),
                height: record.dimensions.map(|size| size.height),
                state,
                attempts: upload.map_or(0, |upload| upload.attempts),
                retry_at: upload.and_then(retry_at),
                error: upload.and_then(|upload| upload.error.clone()),
                url,
                notes,
                local: record.local,
                holders: self.holders(Some(&record))?,
                in_queue: upload.is_some_and(|upload| in_queue(upload, now)),
            });
        }
        Ok(list)
    }

    /// The images of which an upload to some remote failed or is blocked, as [`Vault::image_list`] has
    /// them. It costs what has yet to be uploaded, however much was.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn stuck_images(&self) -> Result<Vec<ImageStatus>, VaultError> {
        let is_stuck = |state| matches!(state, State::Failed | State::Blocked);
        for (remote, _) in receipts::list(self.db())? {
            let active = self.candidates(&remote, outbox::active(self.db(), &remote)?)?;
            if active.iter().any(|candidate| is_stuck(candidate.state())) {
                let mut images = self.image_list()?;
                images.retain(|image| image.state.is_some_and(is_stuck));
                return Ok(images);
            }
        }
        Ok(Vec::new())
    }

    /// Makes failed and blocked uploads due now: of these images, or of all where none are named. Gives how
    /// many; an image counts once for each remote.
    ///
    /// # Errors
    ///
    /// Where nothing was changed.
    pub fn retry(&self, images: Option<&[ImageId]>) -> Result<usize, VaultError> {
        let mut events = Vec::new();
        for (remote, _) in receipts::list(self.db())? {
            for (image, upload) in outbox::active(self.db(), &remote)? {
                let wanted = images.is_none_or(|images| images.contains(&image));
                let stuck = upload.error.is_some() && !matches!(upload.stage, Stage::Started);
                if wanted && stuck {
                    events.push(Event::UploadRetried { image, remote: remote.clone() });
                }
            }
        }
        let count = events.len();
        if count > 0 {
            self.record(events)?;
        }
        Ok(count)
    }

    /// The image whose id begins with `start`.
    ///
    /// # Errors
    ///
    /// [`VaultError::UnknownImage`] where none does, or more than one.
    pub fn find_image(&self, start: &str) -> Result<ImageId, VaultError> {
        let images = catalog::image_records(self.db())?;
        let mut found = images.iter().filter(|(image, _)| image.to_string().starts_with(start));
        match (found.next(), found.next()) {
            (Some((image, _)), None) if !start.is_empty() => Ok(*image),
            _ => Err(VaultError::UnknownImage(start.to_owned())),
        }
    }

    /// How each image that is here stands with the remote with which it stands worst.
    pub(super) fn image_states(&self) -> Result<BTreeMap<ImageId, State>, VaultError> {
        let records = catalog::image_records(self.db())?;
        let local = records.into_iter().filter(|(_, record)| record.local);
        self.states_by(local.map(|(image, _)| image), |remote| outbox::active(self.db(), remote))
    }

    /// The same of those alone whose upload to some remote is not done.
    #[cfg(feature = "web")]
    pub(crate) fn unfinished_states(&self) -> Result<BTreeMap<ImageId, State>, VaultError> {
        let mut images = BTreeSet::new();
        for (remote, _) in receipts::list(self.db())? {
            images.extend(outbox::active(self.db(), &remote)?.into_iter().map(|(image, _)| image));
        }
        self.states_of(images)
    }

    /// The same of some images.
    pub(crate) fn states_of(
        &self,
        images: BTreeSet<ImageId>,
    ) -> Result<BTreeMap<ImageId, State>, VaultError> {
        let mut local = Vec::new();
        for image in images {
            if catalog::image_record(self.db(), image)?.is_some_and(|record| record.local) {
                local.push(image);
            }
        }
        let active = |remote: &RemoteName| {
            let uploads = local.iter().map(|image| {
                let upload = outbox::get(self.db(), remote, *image)?;
                Ok(upload.filter(|upload| !upload.is_done()).map(|upload| (*image, upload)))
            });
            uploads.filter_map(Result::transpose).collect()
        };
        self.states_by(local.iter().copied(), active)
    }

    /// How images that are here stand; `active` gives those of them whose upload to a remote is not done.
    fn states_by(
        &self,
        local: impl Iterator<Item = ImageId>,
        active: impl Fn(&RemoteName) -> Result<Vec<(ImageId, Queued)>, DbError>,
    ) -> Result<BTreeMap<ImageId, State>, VaultError> {
        let remotes = receipts::list(self.db())?;
        let first = if remotes.is_empty() { State::Waiting } else { State::Uploaded };
        let mut states: BTreeMap<ImageId, State> = local.map(|image| (image, first)).collect();
        if mutant::is(Mutant::StatusFromIntention) {
            return Ok(states);
        }
        for (remote, _) in &remotes {
            for candidate in self.candidates(remote, active(remote)?)? {
                if let Some(state) = states.get_mut(&candidate.image) {
                    let other = candidate.state();
                    *state = if other.urgency() < state.urgency() { other } else { *state };
                }
            }
        }
        Ok(states)
    }

    /// Adds to uploads what a decision about them needs to know.
    pub(super) fn candidates(
        &self,
        remote: &RemoteName,
        uploads: Vec<(ImageId, Queued)>,
    ) -> Result<Vec<Candidate>, VaultError> {
        if uploads.is_empty() {
            return Ok(Vec::new());
        }
        let behind = receipts::notes_behind(self.db(), remote)?;
        let known = receipts::get(self.db(), remote)?;
        let in_flight = lock(&self.0.in_flight).clone();
        let mut candidates = Vec::with_capacity(uploads.len());
        for (image, upload) in uploads {
            let notes = catalog::notes_showing(self.db(), image)?;
            let is_linked = match &known {
                Some(known) if upload.unanswered => self.is_linked(known, image, &notes)?,
                _ => false,
            };
            candidates.push(Candidate {
                image,
                upload,
                is_linked,
                note_pushed: notes.iter().any(|note| !behind.contains(note)),
                in_flight: in_flight.contains(&(remote.clone(), image)),
            });
        }
        Ok(candidates)
    }

    /// Notes of which some remote lacks a change; all of them where there is no remote.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn unsynced_notes(&self) -> Result<BTreeSet<NoteId>, VaultError> {
        let remotes = receipts::list(self.db())?;
        if remotes.is_empty() {
            return Ok(catalog::list(self.db())?.into_iter().map(|(note, _)| note).collect());
        }
        let mut notes = BTreeSet::new();
        for (remote, _) in remotes {
            notes.extend(receipts::notes_behind(self.db(), &remote)?);
        }
        Ok(notes)
    }

    fn holders(&self, record: Option<&ImageRecord>) -> Result<Vec<String>, VaultError> {
        let devices = record.map(|record| record.holders.as_slice()).unwrap_or_default();
        let names = devices.iter().map(|device| Ok(devices::name(self.db(), *device)?));
        names.collect()
    }

    /// Puts a row that no event made; for tests of what finds it.
    #[doc(hidden)]
    pub fn damage_for_test(&self, table: crate::db::Table, key: &[u8]) -> Result<(), VaultError> {
        let mut draft = self.db().draft();
        draft.put(table, key, Vec::new());
        let mut batch = self.db().batch();
        batch.apply(draft.into_changes());
        Ok(batch.commit(crate::db::Durability::Buffered)?)
    }

    /// How many rows a table holds; for tests.
    #[doc(hidden)]
    pub fn rows(&self, table: crate::db::Table) -> Result<usize, VaultError> {
        Ok(self.db().scan(table, &[])?.len())
    }
}

const fn retry_at(upload: &Queued) -> Option<Timestamp> {
    match upload.stage {
        Stage::Queued { retry_at } => retry_at,
        Stage::Failed { retry_at } => Some(retry_at),
        Stage::Started | Stage::Blocked | Stage::Uploaded { .. } => None,
    }
}

fn in_queue(upload: &Queued, now: Timestamp) -> bool {
    match upload.stage {
        Stage::Uploaded { at, .. } => now.since(at) < KEPT_IN_VIEW,
        _ => true,
    }
}
