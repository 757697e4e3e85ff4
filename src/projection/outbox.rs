//! The upload queue: how each image stands with each remote.
//!
//! A row says what happened, not what follows from it: whether a queued image waits for its note or
//! is due is decided when it is asked ([`crate::upload`]), from the receipts.

use serde::{Deserialize, Serialize};

use super::{after_remote, catalog, receipts, remote_key};
use crate::{
    clock::Timestamp,
    db::{DbError, Draft, Read, Table, decode_row},
    event::{Event, Recorded, RemoteName},
    id::ImageId,
    log::FoldError,
};

/// How an image stands with a remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// What came last.
    pub stage: Stage,
    /// Attempts made in this round.
    pub attempt: u32,
    /// Attempts made in all.
    pub attempts: u32,
    /// Rounds that failed before this one.
    pub rounds: u32,
    /// What the last attempt met, for people.
    pub error: Option<String>,
    /// Whether a put was begun of which nobody heard to the end. What the remote shows of the image may be
    /// what is left of that put, in some of the places where the remote keeps it and not in others.
    pub unanswered: bool,
}

/// The last thing that happened to an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Nothing yet, or the remote could not be reached; not before `retry_at`, if that is set.
    Queued {
        /// Not before this time.
        retry_at: Option<Timestamp>,
    },
    /// A put began. It may have been cut off: only the process that began it knows.
    Started,
    /// An attempt failed.
    Failed {
        /// Not before this time.
        retry_at: Timestamp,
    },
    /// It needs a person.
    Blocked,
    /// Receipt: the remote holds it.
    Uploaded {
        /// When the receipt was written.
        at: Timestamp,
        /// Whether it was there before we put it.
        already_there: bool,
    },
}

/// How many attempts make a round.
pub const ROUND: u32 = 3;

impl Queued {
    const NEW: Self = Self {
        stage: Stage::Queued { retry_at: None },
        attempt: 0,
        attempts: 0,
        rounds: 0,
        error: None,
        unanswered: false,
    };

    /// Begins anew.
    fn retry(&mut self) {
        let Self { attempts, unanswered, .. } = *self;
        *self = Self { attempts, unanswered, ..Self::NEW };
    }

    /// Whether the remote holds the image.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Uploaded { .. })
    }
}

pub(super) fn fold(event: &Recorded, draft: &mut Draft<'_>) -> Result<(), FoldError> {
    match &event.event {
        Event::ImageStored { image, .. } => queue_everywhere(draft, *image)?,
        Event::ImageFetched { image, remote, .. } => {
            queue_everywhere(draft, *image)?;
            change(draft, remote, *image, |upload| {
                upload.stage = if upload.unanswered {
                    Stage::Queued { retry_at: None }
                } else {
                    Stage::Uploaded { at: event.at, already_there: true }
                };
            })?;
        }
        Event::UploadStarted { image, remote, attempt } => {
            change(draft, remote, *image, |upload| {
                upload.stage = Stage::Started;
                upload.attempt = *attempt;
                upload.attempts += 1;
                upload.unanswered = true;
            })?;
        }
        Event::UploadFailed { image, remote, attempt, reason, retry_at } => {
            change(draft, remote, *image, |upload| {
                upload.error = Some(reason.clone());
                // An attempt that failed when it asked has put nothing.
                let was_begun = upload.stage == Stage::Started;
                if *attempt == 0 {
                    upload.stage = Stage::Queued { retry_at: Some(*retry_at) };
                    upload.attempt = upload.attempt.saturating_sub(u32::from(was_begun));
                    upload.attempts = upload.attempts.saturating_sub(u32::from(was_begun));
                    return;
                }
                upload.attempt = *attempt;
                upload.attempts += u32::from(!was_begun);
                upload.stage = Stage::Failed { retry_at: *retry_at };
                if *attempt >= ROUND {
                    upload.attempt = 0;
                    upload.rounds += 1;
                }
            })?;
        }
        Event::UploadBlocked { image, remote, reason } => {
            change(draft, remote, *image, |upload| {
                upload.stage = Stage::Blocked;
                upload.error = Some(reason.clone());
            })?;
        }
        Event::UploadRetried { image, remote } => {
            change(draft, remote, *image, Queued::retry)?;
        }
        Event::ImageUploaded { image, remote, already_there, .. } => {
            change(draft, remote, *image, |upload| {
                upload.stage = Stage::Uploaded { at: event.at, already_there: *already_there };
                upload.error = None;
                upload.unanswered = false;
            })?;
        }
        Event::RemoteConfigured { remote, .. } => {
            for (image, record) in catalog::image_records(draft)? {
                if record.local {
                    queue(draft, remote, image)?;
                }
            }
        }
        Event::RemoteRemoved { remote } => forget(draft, remote)?,
        Event::RemoteReset { remote, .. } => {
            forget(draft, remote)?;
            for (image, record) in catalog::image_records(draft)? {
                if record.local {
                    queue(draft, remote, image)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Its bytes are here: what was blocked since they were not is tried again.
fn queue_everywhere(draft: &mut Draft<'_>, image: ImageId) -> Result<(), DbError> {
    for remote in receipts::names(draft)? {
        if get(draft, &remote, image)?.is_some_and(|upload| upload.stage == Stage::Blocked) {
            change(draft, &remote, image, Queued::retry)?;
        }
        queue(draft, &remote, image)?;
    }
    Ok(())
}

fn queue(draft: &mut Draft<'_>, remote: &RemoteName, image: ImageId) -> Result<(), DbError> {
    if get(draft, remote, image)?.is_none() {
        put(draft, remote, image, &Queued::NEW)?;
    }
    Ok(())
}

fn change(
    draft: &mut Draft<'_>,
    remote: &RemoteName,
    image: ImageId,
    how: impl FnOnce(&mut Queued),
) -> Result<(), DbError> {
    if receipts::get(draft, remote)?.is_none() {
        return Ok(());
    }
    let mut upload = get(draft, remote, image)?.unwrap_or(Queued::NEW);
    how(&mut upload);
    put(draft, remote, image, &upload)
}

fn put(
    draft: &mut Draft<'_>,
    remote: &RemoteName,
    image: ImageId,
    upload: &Queued,
) -> Result<(), DbError> {
    let key = remote_key(remote, image.as_bytes());
    if upload.is_done() {
        draft.delete(Table::Active, &key);
    } else {
        draft.put(Table::Active, &key, Vec::new());
    }
    draft.put_row(Table::Outbox, &key, upload)
}

pub(super) fn forget(draft: &mut Draft<'_>, remote: &RemoteName) -> Result<(), DbError> {
    for table in [Table::Outbox, Table::Active] {
        for (key, _) in draft.scan(table, &remote_key(remote, &[]))? {
            draft.delete(table, &key);
        }
    }
    Ok(())
}

/// How an image stands with a remote; `None` where this device never held it.
///
/// # Errors
///
/// What the database said.
pub fn get(
    read: &impl Read,
    remote: &RemoteName,
    image: ImageId,
) -> Result<Option<Queued>, DbError> {
    read.row(Table::Outbox, &remote_key(remote, image.as_bytes()))
}

/// Every image that this device held since the remote was added, by its id.
///
/// # Errors
///
/// What the database said.
pub fn list(read: &impl Read, remote: &RemoteName) -> Result<Vec<(ImageId, Queued)>, DbError> {
    let rows = read.scan(Table::Outbox, &remote_key(remote, &[]))?.into_iter();
    let uploads = rows.filter_map(|(key, value)| {
        let image = ImageId::from_slice(after_remote(remote, &key))?;
        Some(decode_row(Table::Outbox, &value).map(|upload| (image, upload)))
    });
    uploads.collect()
}

/// The images whose upload to a remote is not done.
///
/// # Errors
///
/// What the database said.
pub fn active(read: &impl Read, remote: &RemoteName) -> Result<Vec<(ImageId, Queued)>, DbError> {
    let mut active = Vec::new();
    for (key, _) in read.scan(Table::Active, &remote_key(remote, &[]))? {
        let Some(image) = ImageId::from_slice(after_remote(remote, &key)) else { continue };
        if let Some(upload) = get(read, remote, image)? {
            active.push((image, upload));
        }
    }
    Ok(active)
}
