//! What `list` shows: a row for each note, and what is known of each image.

use serde::{Deserialize, Serialize};

use super::{documents, pair};
pub use crate::event::Digest;
use crate::{
    clock::Timestamp,
    db::{DbError, Draft, Read, Table, decode_row},
    event::{Event, Recorded},
    id::{ChangeHash, DeviceId, ImageId, NoteId, Seq},
    image::{Dimensions, MediaType},
    log::FoldError,
};

/// A row of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Entry {
    /// What the note says of itself.
    pub digest: Digest,
    /// When it last changed, by this device's clock.
    pub updated: Timestamp,
}

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Its size in bytes.
    pub bytes: u64,
    /// What its content says it is.
    pub media_type: MediaType,
    /// In pixels, where they could be told.
    pub dimensions: Option<Dimensions>,
    /// Whether its bytes are on this device.
    pub local: bool,
    /// The event that says they were taken in here, if they were.
    pub stored: Option<Seq>,
    /// Other devices that said they hold it.
    pub holders: Vec<DeviceId>,
}

pub(super) fn fold(event: &Recorded, draft: &mut Draft<'_>) -> Result<(), FoldError> {
    match &event.event {
        Event::NoteChanged { note, .. } | Event::NoteIndexed { note, .. } => {
            draft.put(Table::Stale, note.as_bytes(), Vec::new());
        }
        Event::NoteReceived { note, heads, digest, .. } => {
            let received = documents::get(draft, *note)?.and_then(|document| document.received);
            if received.is_some_and(|received| received.seq == event.seq) {
                put(draft, *note, heads, digest.clone())?;
            }
        }
        Event::ImageStored { image, bytes, media_type, dimensions } => {
            let mut record = known(draft, *image, *bytes, *media_type, *dimensions)?;
            record.local = true;
            record.stored = record.stored.or(Some(event.seq));
            arrived(draft, *image, &record)?;
        }
        Event::ImageFetched { image, bytes, media_type, dimensions, .. } => {
            let mut record = known(draft, *image, *bytes, *media_type, *dimensions)?;
            record.local = true;
            arrived(draft, *image, &record)?;
        }
        Event::ImageAnnounced { image, bytes, media_type, dimensions, device } => {
            let mut record = known(draft, *image, *bytes, *media_type, *dimensions)?;
            if !record.holders.contains(device) {
                record.holders.push(*device);
            }
            draft.put_row(Table::Images, image.as_bytes(), &record)?;
        }
        Event::ImageEvicted { image } => {
            if let Some(mut record) = image_record(draft, *image)? {
                record.local = false;
                draft.put_row(Table::Images, image.as_bytes(), &record)?;
            }
            if !notes_showing(draft, *image)?.is_empty() {
                draft.put(Table::Wanted, image.as_bytes(), Vec::new());
            }
        }
        _ => {}
    }
    Ok(())
}

fn known(
    draft: &Draft<'_>,
    image: ImageId,
    bytes: u64,
    media_type: MediaType,
    dimensions: Option<Dimensions>,
) -> Result<ImageRecord, DbError> {
    let new = ImageRecord {
        bytes,
        media_type,
        dimensions,
        local: false,
        stored: None,
        holders: Vec::new(),
    };
    Ok(image_record(draft, image)?.unwrap_or(new))
}

fn arrived(draft: &mut Draft<'_>, image: ImageId, record: &ImageRecord) -> Result<(), DbError> {
    draft.delete(Table::Wanted, image.as_bytes());
    draft.put_row(Table::Images, image.as_bytes(), record)
}

/// Puts the row of a note whose heads were `heads` when `digest` was made. Where they are not its
/// heads any more the row stays stale. Gives whether it was put.
///
/// # Errors
///
/// What the database said.
pub fn put(
    draft: &mut Draft<'_>,
    note: NoteId,
    heads: &[ChangeHash],
    digest: Digest,
) -> Result<bool, DbError> {
    let Some(document) = documents::get(draft, note)? else { return Ok(false) };
    // Heads whose own dependencies are missing are not in the note yet, so they can't be compared;
    // what they change will make the row stale again when the rest arrives.
    if document.missing.is_empty() && document.heads != heads {
        return Ok(false);
    }
    for (image, _) in get(draft, note)?.map(|entry| entry.digest.images).unwrap_or_default() {
        draft.delete(Table::Shown, &pair(image.as_bytes(), note.as_bytes()));
        draft.delete(Table::Unlinked, &pair(image.as_bytes(), note.as_bytes()));
        if notes_showing(draft, image)?.is_empty() {
            draft.delete(Table::Wanted, image.as_bytes());
        }
    }
    for (image, url) in &digest.images {
        let key = pair(image.as_bytes(), note.as_bytes());
        draft.put(Table::Shown, &key, Vec::new());
        if url.is_none() {
            draft.put(Table::Unlinked, &key, Vec::new());
        }
        if !image_record(draft, *image)?.is_some_and(|record| record.local) {
            draft.put(Table::Wanted, image.as_bytes(), Vec::new());
        }
    }
    draft.put_row(Table::Catalog, note.as_bytes(), &Entry { digest, updated: document.updated })?;
    draft.delete(Table::Stale, note.as_bytes());
    Ok(true)
}

/// The row of a note.
///
/// # Errors
///
/// What the database said.
pub fn get(read: &impl Read, note: NoteId) -> Result<Option<Entry>, DbError> {
    read.row(Table::Catalog, note.as_bytes())
}

/// Every note, by its id and so by the time of creation.
///
/// # Errors
///
/// What the database said.
pub fn list(read: &impl Read) -> Result<Vec<(NoteId, Entry)>, DbError> {
    let rows = read.scan(Table::Catalog, &[])?.into_iter().filter_map(|(key, value)| {
        let note = NoteId::from_slice(&key)?;
        Some(decode_row(Table::Catalog, &value).map(|entry| (note, entry)))
    });
    rows.collect()
}

/// Notes whose rows are to be made again.
///
/// # Errors
///
/// What the database said.
pub fn stale(read: &impl Read) -> Result<Vec<NoteId>, DbError> {
    let rows = read.scan(Table::Stale, &[])?;
    Ok(rows.iter().filter_map(|(key, _)| NoteId::from_slice(key)).collect())
}

/// Whether the row of a note is to be made again.
///
/// # Errors
///
/// What the database said.
pub fn is_stale(read: &impl Read, note: NoteId) -> Result<bool, DbError> {
    Ok(read.get(Table::Stale, note.as_bytes())?.is_some())
}

/// What is known of an image.
///
/// # Errors
///
/// What the database said.
pub fn image_record(read: &impl Read, image: ImageId) -> Result<Option<ImageRecord>, DbError> {
    read.row(Table::Images, image.as_bytes())
}

/// Every image that is known, by its id.
///
/// # Errors
///
/// What the database said.
pub fn image_records(read: &impl Read) -> Result<Vec<(ImageId, ImageRecord)>, DbError> {
    let rows = read.scan(Table::Images, &[])?.into_iter().filter_map(|(key, value)| {
        let image = ImageId::from_slice(&key)?;
        Some(decode_row(Table::Images, &value).map(|record| (image, record)))
    });
    rows.collect()
}

/// The notes that show an image.
///
/// # Errors
///
/// What the database said.
pub fn notes_showing(read: &impl Read, image: ImageId) -> Result<Vec<NoteId>, DbError> {
    let rows = read.scan(Table::Shown, image.as_bytes())?;
    Ok(rows.iter().filter_map(|(key, _)| NoteId::from_slice(key.get(ImageId::LEN..)?)).collect())
}

/// Images and the notes that show them without a URL.
///
/// # Errors
///
/// What the database said.
pub fn unlinked(read: &impl Read) -> Result<Vec<(ImageId, NoteId)>, DbError> {
    let rows = read.scan(Table::Unlinked, &[])?;
    let pairs = rows.iter().filter_map(|(key, _)| {
        let (image, note) = key.split_at_checked(ImageId::LEN)?;
        Some((ImageId::from_slice(image)?, NoteId::from_slice(note)?))
    });
    Ok(pairs.collect())
}

/// Images that a note shows and this device does not hold.
///
/// # Errors
///
/// What the database said.
pub fn wanted(read: &impl Read) -> Result<Vec<ImageId>, DbError> {
    let rows = read.scan(Table::Wanted, &[])?;
    Ok(rows.iter().filter_map(|(key, _)| ImageId::from_slice(key)).collect())
}
