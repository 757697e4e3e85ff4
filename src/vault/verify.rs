//! Checking a vault against its own log.

use std::{
    collections::{BTreeSet, HashSet},
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{Vault, VaultError};
use crate::{
    db::{Db, Read as _, Row, Table},
    event::Event,
    id::{ImageId, NoteId, Seq},
    images::{Entry, ImageError},
    note,
    projection::{self, catalog, documents},
};

/// How often tables are compared with a replay while others write to them.
const LOOKS: usize = 5;

/// After how many events it is said that they were read.
const EVENTS: u64 = 1000;

/// How a check is going; for whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Checking {
    /// This many events are to be read.
    Events(u64),
    /// This many notes are to be loaded.
    Notes(u64),
    /// The bytes of this many images are to be hashed.
    Images(u64),
    /// So many of them are done.
    Done(u64),
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Verification {
    /// Events that were read, each following the one before it.
    pub events: u64,
    /// Notes that were loaded from the log.
    pub notes: u64,
    /// Images whose hashes were computed.
    pub images: u64,
    /// Changes of upload projectors that touch nothing but URLs.
    pub projector_changes: u64,
    /// Objects on the remote that receipts speak of.
    pub receipts: u64,
    /// Files of images that nothing names: an import or an `attach` was cut off between an image and
    /// its note. Doing that again takes them in.
    pub unused: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Something that is wrong, or missing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Finding {
    /// Where.
    pub what: String,
    /// What is wrong with it, and what to do.
    pub problem: String,
}

impl Verification {
    pub(super) fn find(&mut self, what: impl Into<String>, problem: impl std::fmt::Display) {
        self.findings.push(Finding { what: what.into(), problem: problem.to_string() });
    }
}

impl Vault {
    /// Checks the log, the projections, the notes and the images.
    ///
    /// # Errors
    ///
    /// Where the check could not be made; what it finds is no error.
    pub fn verify(&self) -> Result<Verification, VaultError> {
        self.verify_telling(&|_| ())
    }

    /// The same, and says how it is going; from several threads.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](Self::verify).
    pub fn verify_telling(
        &self,
        progress: &(dyn Fn(Checking) + Send + Sync),
    ) -> Result<Verification, VaultError> {
        let mut found = Verification {
            events: 0,
            notes: 0,
            images: 0,
            projector_changes: 0,
            receipts: 0,
            unused: 0,
            findings: Vec::new(),
        };
        self.verify_log(&mut found, progress)?;
        let loaded = self.verify_projections(&mut found, progress)?;
        self.verify_notes(&loaded, &mut found, progress)?;
        self.verify_images(&mut found, progress)?;
        Ok(found)
    }

    fn verify_log(
        &self,
        found: &mut Verification,
        progress: &(dyn Fn(Checking) + Send + Sync),
    ) -> Result<(), VaultError> {
        progress(Checking::Events(self.0.log.last()?.0));
        for recorded in self.events(Seq(1)) {
            let recorded = match recorded {
                Ok(recorded) => recorded,
                Err(error) => {
                    found.find("log", error);
                    return Ok(());
                }
            };
            found.events += 1;
            if found.events.is_multiple_of(EVENTS) {
                progress(Checking::Done(EVENTS));
            }
            let Event::NoteChanged { change, note } = &recorded.event else { continue };
            if !recorded.origin.is_projector() {
                continue;
            }
            match note::touches_only_images(*note, &change.0) {
                Ok(true) => found.projector_changes += 1,
                Ok(false) => found.find(
                    format!("event {}", recorded.seq),
                    "the upload projector changed more than the URLs of a note",
                ),
                Err(error) => found.find(format!("event {}", recorded.seq), error),
            }
        }
        Ok(())
    }

    /// Folds the log from zero into a database of its own, and compares row by row. Gives the notes that could
    /// be loaded for that.
    fn verify_projections(
        &self,
        found: &mut Verification,
        progress: &(dyn Fn(Checking) + Send + Sync),
    ) -> Result<HashSet<NoteId>, VaultError> {
        progress(Checking::Notes(catalog::list(self.db())?.len() as u64));
        let (_folder, replay) = self.scratch()?;
        let mut loaded = HashSet::new();
        for look in 1..=LOOKS {
            let through = self.0.log.settled()?;
            if let Err(error) = projection::catch_up(self.db(), &replay) {
                found.find("log", error);
                return Ok(loaded);
            }
            // What came meanwhile was not counted.
            let progress = if look == 1 { progress } else { &|_| () };
            loaded.extend(self.replay_catalog(&replay, progress)?);
            let differing = self.compare(&replay)?;
            // Rows that were written while they were compared say nothing, nor do those that a sync is about
            // to make again, which needs no event.
            if differing.is_empty() || (look > 1 && self.0.log.settled()? == through) {
                found.findings.extend(differing);
                return Ok(loaded);
            }
            // What can't be loaded is found when the notes are checked.
            let _ = self.refresh_catalog();
        }
        found
            .find("projections", "they are written to all the time; verify again when it is quiet");
        Ok(loaded)
    }

    /// A database for a replay, and the folder that it is gone with.
    pub(super) fn scratch(&self) -> Result<(TempDir, Db), VaultError> {
        let tmp = self.0.folder.join("tmp");
        let folder = tempfile::Builder::new()
            .prefix("verify-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&tmp)
            .map_err(super::open::io("create a folder in", tmp))?;
        let replay = Db::open(folder.path(), Duration::ZERO)?;
        Ok((folder, replay))
    }

    /// The tables that are not what a replay made of them.
    fn compare(&self, replay: &Db) -> Result<Vec<Finding>, VaultError> {
        let mut differing = Vec::new();
        for table in Table::ALL {
            let (live, replayed) = (self.db().scan(table, &[])?, replay.scan(table, &[])?);
            if live == replayed {
                continue;
            }
            let known: HashSet<&Row> = replayed.iter().collect();
            let wrong = live.iter().filter(|row| !known.contains(row)).count();
            differing.push(Finding {
                what: format!("projection {table:?}"),
                problem: format!(
                    "{} of {} rows are not what the log says ({} after a replay); a rebuild makes them again",
                    wrong.max(usize::from(live.len() != replayed.len())),
                    live.len(),
                    replayed.len()
                ),
            });
        }
        Ok(differing)
    }

    /// Makes the rows of the catalog in another database, from the notes. Gives those that it could be made for.
    fn replay_catalog(
        &self,
        replay: &Db,
        progress: &(dyn Fn(Checking) + Send + Sync),
    ) -> Result<Vec<NoteId>, VaultError> {
        let (mut draft, stale) = (replay.draft(), catalog::stale(replay)?);
        let row = |id: &NoteId| {
            // What can't be loaded is found when the notes are checked.
            let row = self.with_note(*id, |note| Ok((note.heads(), super::cache::digest(note))));
            progress(Checking::Done(1));
            Some((*id, row.ok()?))
        };
        let rows: Vec<_> = self.divided(&stale, row).into_iter().flatten().collect();
        let loaded = rows.iter().map(|(id, _)| *id).collect();
        for (id, (heads, digest)) in rows {
            catalog::put(&mut draft, id, heads.as_slice(), digest)?;
        }
        let mut batch = replay.batch();
        batch.apply(draft.into_changes());
        batch.commit(crate::db::Durability::Buffered)?;
        Ok(loaded)
    }

    /// Checks the notes: that nothing is missing, and that they can be loaded, unless they were.
    fn verify_notes(
        &self,
        loaded: &HashSet<NoteId>,
        found: &mut Verification,
        progress: &(dyn Fn(Checking) + Send + Sync),
    ) -> Result<(), VaultError> {
        let notes: Vec<NoteId> = catalog::list(self.db())?.into_iter().map(|(id, _)| id).collect();
        let load = |id: &NoteId| {
            if loaded.contains(id) {
                return Ok(());
            }
            let read = self.with_note(*id, |_| Ok(()));
            progress(Checking::Done(1));
            read
        };
        for (id, result) in notes.iter().zip(self.divided(&notes, load)) {
            let id = *id;
            let missing = documents::get(self.db(), id)?.map(|d| d.missing).unwrap_or_default();
            if !missing.is_empty() {
                let text = format!(
                    "{} changes that it builds on have not arrived; sync with the device that made them",
                    missing.len()
                );
                found.find(format!("note {id}"), text);
            }
            match result {
                Ok(()) => found.notes += 1,
                Err(error) => found.find(format!("note {id}"), error),
            }
        }
        Ok(())
    }

    fn verify_images(
        &self,
        found: &mut Verification,
        progress: &(dyn Fn(Checking) + Send + Sync),
    ) -> Result<(), VaultError> {
        let mut local = catalog::image_records(self.db())?;
        local.retain(|(_, record)| record.local);
        let expected: BTreeSet<ImageId> = local.iter().map(|(image, _)| *image).collect();
        progress(Checking::Images(local.len() as u64));
        let verified = self.divided(&local, |(image, record)| {
            let verified = self.0.images.verified(*image, record.media_type);
            progress(Checking::Done(1));
            verified.map(|_| ())
        });
        for ((image, _), result) in local.iter().zip(verified) {
            match result {
                Ok(()) => found.images += 1,
                Err(error) => found.find(format!("image {image}"), error),
            }
        }
        for listed in self.0.images.list() {
            match listed {
                // Kept all the same: where a log lost its tail, it may be the only copy.
                Ok(Entry::Image(image, _)) => {
                    found.unused += u64::from(!expected.contains(&image));
                }
                Ok(Entry::Foreign(path)) => {
                    found.find(path.display().to_string(), "this file is not one of everleaf's");
                }
                Err(error) => found.find("images", error),
            }
        }
        for image in catalog::wanted(self.db())? {
            let record = catalog::image_record(self.db(), image)?;
            let on_remote = self.is_uploaded(image)?;
            let known = record.map_or(0, |record| record.holders.len());
            if known == 0 && !on_remote {
                found.find(
                    format!("image {image}"),
                    "a note shows it, it is not here, and no device has said that it holds it",
                );
            }
        }
        Ok(())
    }

    /// Gives up local copies of images that are damaged or gone, so that the next sync brings them
    /// here again. A damaged copy stays where no remote is proved to hold the image: it may be the
    /// only one. Gives those that were given up.
    ///
    /// # Errors
    ///
    /// Where the check could not be made.
    pub fn repair_images(&self) -> Result<Vec<ImageId>, VaultError> {
        let mut given_up = Vec::new();
        for (image, record) in catalog::image_records(self.db())? {
            if !record.local {
                continue;
            }
            let recorded = match self.0.images.verified(image, record.media_type) {
                Ok(_) => continue,
                Err(ImageError::Missing { .. }) => self.record([Event::ImageEvicted { image }]),
                Err(ImageError::Damaged { .. }) => self.record_evicted(image),
                Err(error) => return Err(error.into()),
            };
            match recorded {
                Ok(()) => {}
                Err(VaultError::OnlyCopy(_)) => continue,
                Err(error) => return Err(error),
            }
            self.remove_file(image, record.media_type)?;
            given_up.push(image);
        }
        Ok(given_up)
    }

    /// Drops the projections and makes them again from the log.
    ///
    /// # Errors
    ///
    /// Where the log can't be read, and [`VaultError::Syncing`] while a sync runs.
    pub fn rebuild(&self) -> Result<(), VaultError> {
        let _no_sync = self.0.exchanging.try_lock().map_err(|_| VaultError::Syncing)?;
        self.0.log.alone(projection::rebuild)?;
        self.refresh_catalog()
    }
}
