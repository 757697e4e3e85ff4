//! Checking a vault against its own log.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{Vault, VaultError};
use crate::{
    db::{Db, Read as _, Row, Table},
    event::{Event, RemoteName, RenewReason, ResetReason},
    id::{ImageId, Seq},
    images::{Entry, ImageError},
    note,
    projection::{self, catalog, documents},
    remote::{Key, Prefix, Remote, RemoteError, RemoteExt as _},
    segment,
};

/// How often tables are compared with a replay while others write to them.
const LOOKS: usize = 5;

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
        let mut found = Verification {
            events: 0,
            notes: 0,
            images: 0,
            projector_changes: 0,
            receipts: 0,
            unused: 0,
            findings: Vec::new(),
        };
        self.verify_log(&mut found);
        self.verify_projections(&mut found)?;
        self.verify_notes(&mut found)?;
        self.verify_images(&mut found)?;
        Ok(found)
    }

    fn verify_log(&self, found: &mut Verification) {
        for recorded in self.events(Seq(1)) {
            let recorded = match recorded {
                Ok(recorded) => recorded,
                Err(error) => {
                    found.find("log", error);
                    return;
                }
            };
            found.events += 1;
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
    }

    /// Folds the log from zero into a database of its own, and compares row by row.
    fn verify_projections(&self, found: &mut Verification) -> Result<(), VaultError> {
        let (_folder, replay) = self.scratch()?;
        for look in 1..=LOOKS {
            let through = self.0.log.settled()?;
            if let Err(error) = projection::catch_up(self.db(), &replay) {
                found.find("log", error);
                return Ok(());
            }
            self.replay_catalog(&replay)?;
            let differing = self.compare(&replay)?;
            // Rows that were written while they were compared say nothing, nor do those that a sync is about
            // to make again, which needs no event.
            if differing.is_empty() || (look > 1 && self.0.log.settled()? == through) {
                found.findings.extend(differing);
                return Ok(());
            }
            // What can't be loaded is found when the notes are checked.
            let _ = self.refresh_catalog();
        }
        found
            .find("projections", "they are written to all the time; verify again when it is quiet");
        Ok(())
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

    /// Makes the rows of the catalog in another database, from the notes.
    fn replay_catalog(&self, replay: &Db) -> Result<(), VaultError> {
        let mut draft = replay.draft();
        for id in catalog::stale(replay)? {
            // What can't be loaded is found when the notes are checked.
            let row = self.with_note(id, |note| Ok((note.heads(), super::cache::digest(note))));
            if let Ok((heads, digest)) = row {
                catalog::put(&mut draft, id, heads.as_slice(), digest)?;
            }
        }
        let mut batch = replay.batch();
        batch.apply(draft.into_changes());
        batch.commit(crate::db::Durability::Buffered)?;
        Ok(())
    }

    fn verify_notes(&self, found: &mut Verification) -> Result<(), VaultError> {
        for (id, _) in catalog::list(self.db())? {
            let missing = documents::get(self.db(), id)?.map(|d| d.missing).unwrap_or_default();
            if !missing.is_empty() {
                let text = format!(
                    "{} changes that it builds on have not arrived; sync with the device that made them",
                    missing.len()
                );
                found.find(format!("note {id}"), text);
            }
            match self.with_note(id, |note| Ok(note.heads())) {
                Ok(_) => found.notes += 1,
                Err(error) => found.find(format!("note {id}"), error),
            }
        }
        Ok(())
    }

    fn verify_images(&self, found: &mut Verification) -> Result<(), VaultError> {
        let mut expected = BTreeSet::new();
        for (image, record) in catalog::image_records(self.db())? {
            if !record.local {
                continue;
            }
            expected.insert(image);
            match self.0.images.verified(image, record.media_type) {
                Ok(_) => found.images += 1,
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

    /// Checks that a remote holds what its receipts say: every segment is read, images are asked
    /// after. With `repair`, segments that this device wrote are put there again as they were; what else is
    /// not there counts as not confirmed any more, so that the next sync puts it again.
    ///
    /// # Errors
    ///
    /// Where the remote can't be asked.
    pub async fn verify_remote(
        &self,
        name: &RemoteName,
        remote: &dyn Remote,
        repair: bool,
        found: &mut Verification,
    ) -> Result<(), VaultError> {
        // A sync would put, beside this, what is being looked for, and take for proved what is given up.
        let _one_at_a_time = self.exchange().await;
        let error = |source| VaultError::Remote { remote: name.clone(), source };
        self.check_owner(name, remote, found).await?;
        let before = found.findings.len();
        let mut keys: BTreeSet<String> = BTreeSet::new();
        let mut bad = HashSet::new();
        let covered = self.covered_segments(name, remote, found).await?;
        let of = name.clone();
        let receipted = self.blocking(move |vault| vault.receipted_segments(&of)).await?;
        for key in receipted.into_iter().chain(covered) {
            if !keys.insert(key.to_string()) {
                continue;
            }
            found.receipts += 1;
            let Key::Segment { hash, .. } = key else { continue };
            match remote.get_bytes(&key, segment::LIMIT as u64).await {
                Ok(bytes) if blake3::hash(&bytes).as_bytes() == hash.as_bytes() => {}
                Ok(_) | Err(RemoteError::Oversized { .. }) => {
                    found.find(key.to_string(), "it is damaged there");
                    bad.insert(key);
                }
                Err(RemoteError::NotFound { .. }) => {
                    found.find(key.to_string(), "the remote confirmed it and does not hold it now");
                    bad.insert(key);
                }
                Err(source) => return Err(error(source)),
            }
        }
        let mut events = Vec::new();
        let mut repair_log = repair && found.findings.len() > before;
        if repair_log {
            let there = self.put_again(name, remote, bad).await?;
            let findings = found.findings.iter_mut().skip(before);
            for finding in findings.filter(|finding| there.contains(&finding.what)) {
                finding.problem.push_str("; it was put there again");
            }
            repair_log = there.len() < found.findings.len() - before;
        }
        self.verify_checkpoints(name, remote, repair, found).await?;
        self.verify_heads(name, remote, repair, found).await?;
        if repair_log {
            events.push(Event::RemoteReset {
                remote: name.clone(),
                reason: ResetReason::SegmentGone,
            });
        }
        let listed = remote.list_all(&Prefix::Images, None).await.map_err(error)?;
        let sizes: BTreeMap<String, u64> =
            listed.into_iter().map(|listed| (listed.key.to_string(), listed.size)).collect();
        let of = name.clone();
        for (image, record) in self.blocking(move |vault| vault.receipted_images(&of)).await? {
            found.receipts += 1;
            let key = Key::Image { image, media_type: record.media_type }.to_string();
            match sizes.get(&key) {
                Some(size) if *size == record.bytes => continue,
                Some(size) => {
                    found.find(key, format!("it has {size} bytes there, not {}", record.bytes));
                }
                None => found.find(key, "the remote confirmed it and does not hold it now"),
            }
            if repair && record.local {
                events.push(Event::UploadRetried { image, remote: name.clone() });
            }
        }
        if events.is_empty() {
            return Ok(());
        }
        let name = name.clone();
        self.blocking(move |vault| vault.distrust(&name, events)).await
    }

    /// Takes back receipts that turned out not to be true any more.
    fn distrust(&self, name: &RemoteName, mut events: Vec<Event>) -> Result<(), VaultError> {
        if matches!(events.first(), Some(Event::RemoteReset { .. })) {
            // With it all receipts are gone, those of images too.
            self.renew_after(Some(events.swap_remove(0)), RenewReason::RemoteReset)?;
        } else {
            self.record(events)?;
        }
        self.forget_pulse(name)
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
