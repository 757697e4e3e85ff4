//! What `list` shows: a row for each note, and what is known of each image.

use serde::{Deserialize, Serialize};

use super::{documents, pair};
pub use crate::event::Digest;
use crate::{
    clock::Timestamp,
    db::{Db, DbError, Draft, Read, Row, Table, decode_row},
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
            put_image(draft, *image, &record)?;
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
    put_image(draft, image, record)
}

fn put_image(draft: &mut Draft<'_>, image: ImageId, record: &ImageRecord) -> Result<(), DbError> {
    draft.put(Table::Sizes, &record.bytes.to_be_bytes(), Vec::new());
    draft.put_row(Table::Images, image.as_bytes(), record)
}

/// Whether some image that is known has so many bytes.
///
/// # Errors
///
/// What the database said.
pub fn has_size(read: &impl Read, bytes: u64) -> Result<bool, DbError> {
    Ok(read.get(Table::Sizes, &bytes.to_be_bytes())?.is_some())
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
    let before = get(draft, note)?.map(|entry| entry.digest).unwrap_or_default();
    // Most edits are of neither.
    if !names(&before).eq(names(&digest)) {
        for name in names(&before) {
            draft.delete(Table::Called, &called(name, note));
        }
        for name in names(&digest) {
            draft.put(Table::Called, &called(name, note), Vec::new());
        }
    }
    if before.images != digest.images {
        show(draft, note, &before.images, &digest.images)?;
    }
    draft.put_row(Table::Catalog, note.as_bytes(), &Entry { digest, updated: document.updated })?;
    draft.delete(Table::Stale, note.as_bytes());
    Ok(true)
}

/// Notes which images a note shows, with the URLs that it has for them, in place of those before.
fn show(
    draft: &mut Draft<'_>,
    note: NoteId,
    before: &[(ImageId, Option<String>)],
    now: &[(ImageId, Option<String>)],
) -> Result<(), DbError> {
    for (image, _) in before {
        draft.delete(Table::Shown, &pair(image.as_bytes(), note.as_bytes()));
        draft.delete(Table::Unlinked, &pair(image.as_bytes(), note.as_bytes()));
        // A thousand notes may show what this one goes on to show.
        let is_gone = now.iter().all(|(other, _)| other != image);
        if is_gone && notes_showing(draft, *image)?.is_empty() {
            draft.delete(Table::Wanted, image.as_bytes());
        }
    }
    for (image, url) in now {
        let key = pair(image.as_bytes(), note.as_bytes());
        draft.put(Table::Shown, &key, Vec::new());
        if url.is_none() {
            draft.put(Table::Unlinked, &key, Vec::new());
        }
        if !image_record(draft, *image)?.is_some_and(|record| record.local) {
            draft.put(Table::Wanted, image.as_bytes(), Vec::new());
        }
    }
    Ok(())
}

/// How a person may call a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// Where export puts it.
    Path(&'a str),
    /// Its title.
    Title(&'a str),
}

impl Name<'_> {
    /// Whether it is a name of the note that this is told of.
    #[must_use]
    pub fn is_of(self, digest: &Digest) -> bool {
        match self {
            Self::Path(path) => digest.path.as_deref() == Some(path),
            Self::Title(title) => digest.title == title,
        }
    }

    /// The beginning of the keys of all notes that are called so: of a fixed length, however long it is.
    fn key(self) -> [u8; 16] {
        let (kind, name) = match self {
            Self::Path(path) => (b"p", path),
            Self::Title(title) => (b"t", title),
        };
        let hash = blake3::Hasher::new().update(kind).update(name.as_bytes()).finalize();
        hash.as_bytes().first_chunk().copied().unwrap_or_default()
    }
}

fn names(digest: &Digest) -> impl Iterator<Item = Name<'_>> {
    let title = Some(digest.title.as_str()).filter(|title| !title.is_empty());
    title.map(Name::Title).into_iter().chain(digest.path.as_deref().map(Name::Path))
}

fn called(name: Name<'_>, note: NoteId) -> Vec<u8> {
    pair(&name.key(), note.as_bytes())
}

/// The notes that are called so, by their ids.
///
/// # Errors
///
/// What the database said.
pub fn find(read: &impl Read, name: Name<'_>) -> Result<Vec<(NoteId, Entry)>, DbError> {
    let prefix = name.key();
    let mut found = Vec::new();
    for (key, _) in read.scan(Table::Called, &prefix)? {
        let Some(note) = key.get(prefix.len()..).and_then(NoteId::from_slice) else { continue };
        let entry = get(read, note)?.filter(|entry| name.is_of(&entry.digest));
        found.extend(entry.map(|entry| (note, entry)));
    }
    Ok(found)
}

/// The notes whose ids begin so, in hex.
///
/// # Errors
///
/// What the database said.
pub fn find_by_id(read: &impl Read, hex: &str) -> Result<Vec<(NoteId, Entry)>, DbError> {
    let whole = hex.get(..hex.len() / 2 * 2).unwrap_or_default();
    let mut prefix = vec![0; whole.len() / 2];
    if crate::id::decode_hex(whole, &mut prefix).is_none() {
        return Ok(Vec::new());
    }
    let mut found = entries(&read.scan(Table::Catalog, &prefix)?)?;
    found.retain(|(note, _)| note.to_string().starts_with(hex));
    Ok(found)
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
pub fn list(db: &Db) -> Result<Vec<(NoteId, Entry)>, DbError> {
    db.each(Table::Catalog, entry)
}

/// The first notes of [`list`] behind one of them, at most `most`; of all, where that is `None`.
///
/// # Errors
///
/// What the database said.
pub fn list_behind(
    db: &Db,
    note: Option<NoteId>,
    most: usize,
) -> Result<Vec<(NoteId, Entry)>, DbError> {
    let key = note.as_ref().map(NoteId::as_bytes).map_or(&[][..], |bytes| bytes);
    entries(&db.rows_behind(Table::Catalog, &[], key, most)?)
}

fn entries(rows: &[Row]) -> Result<Vec<(NoteId, Entry)>, DbError> {
    rows.iter().filter_map(|(key, value)| entry(key, value)).collect()
}

fn entry(key: &[u8], value: &[u8]) -> Option<Result<(NoteId, Entry), DbError>> {
    let note = NoteId::from_slice(key)?;
    Some(decode_row(Table::Catalog, value).map(|entry| (note, entry)))
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
