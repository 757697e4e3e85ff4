//! Writing, reading and finding notes.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    Vault, VaultError,
    cache::{Begun, begin, changed},
    names::check_path,
    open::io,
    spelling::Spellings,
};
use crate::{
    event::{Event, Origin},
    id::{ImageId, NoteId},
    images::{ImageError, Stored},
    note::{Body, Embed, Heads, Piece},
    projection::{catalog, documents},
    upload::State,
};

/// The largest note that is taken in, in bytes of its source. Automerge takes some 500 bytes of memory for each
/// character, so one of 16 MiB would take all of a small machine's.
pub const NOTE_LIMIT: u64 = 4 << 20;

/// A note to be made.
#[derive(Debug, Clone, Default, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub struct NewNote {
    /// Markdown source.
    pub source: String,
    /// Where export is to put it: 1 to [`PATH_LIMIT`](super::PATH_LIMIT) bytes.
    pub path: Option<String>,
    /// Where relative destinations of images are looked for; without, none is.
    pub folder: Option<PathBuf>,
}

/// A note as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The note.
    pub note: NoteId,
    /// What an edit of this is based on.
    pub heads: Heads,
    /// Its body.
    pub body: Body,
}

/// Where an edit left its author: not yet merged with what others did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Edited {
    /// The version that shows just what was written: what the author's next edit is based on. The note's
    /// present version, which [`Vault::read`] gives, has what others did besides, which the author has not
    /// seen: an edit based on that takes it away.
    pub heads: Heads,
    /// Whether anything changed.
    pub changed: bool,
}

/// What became of an image that was attached.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct AttachedImage {
    /// The image.
    pub image: ImageId,
    /// Whether this device held it before.
    pub already_stored: bool,
    /// How its upload stands.
    pub state: State,
}

impl Vault {
    /// Makes a note. Images that its source shows and `folder` holds are taken in with it.
    ///
    /// # Errors
    ///
    /// Where nothing was made: [`VaultError::TooLong`]; [`VaultError::NotePath`]; [`VaultError::ImageFile`] for a
    /// file that is too large an image.
    pub fn new_note(&self, new: &NewNote) -> Result<NoteId, VaultError> {
        check_length(&new.source)?;
        check_path(new.path.as_deref())?;
        let mut found = Vec::new();
        let body = self.parse(&new.source, None, new.folder.as_deref(), &mut found)?;
        self.create_note(new.path.as_deref(), &body, &found)
    }

    /// Makes a note of a body whose images are here.
    pub(crate) fn create_note(
        &self,
        path: Option<&str>,
        body: &Body,
        stored: &[Stored],
    ) -> Result<NoteId, VaultError> {
        let at = self.0.clock.now();
        let id = NoteId::new(at.millis(), self.random());
        let Begun { changes, row, .. } = begin(id, self.0.actor, path, body, at)?;
        let stored = self.stored_events(stored)?.into_iter();
        let events = stored.chain(changed(id, changes)).map(|event| (Origin::Here, event));
        self.append(events, Some(row))?;
        Ok(id)
    }

    /// Reads a note, as it is or as it was at `heads`.
    ///
    /// # Errors
    ///
    /// [`VaultError::UnknownNote`], and [`VaultError::Note`] with
    /// [`NoteError::UnknownHeads`](crate::note::NoteError::UnknownHeads) where it never was at those heads.
    pub fn read(&self, note: NoteId, heads: Option<&Heads>) -> Result<Reading, VaultError> {
        if !self.is_loaded(note)
            && let Some(opening) = self.unedited(note)?
            && heads.is_none_or(|heads| *heads == opening.heads())
        {
            return Ok(Reading { note, heads: opening.heads(), body: opening.body });
        }
        self.with_note(note, |loaded| {
            let (heads, body) = match heads {
                Some(heads) => (heads.clone(), loaded.body_at(heads)?),
                None => (loaded.heads(), loaded.body().clone()),
            };
            Ok(Reading { note, heads, body })
        })
    }

    /// The Markdown of a reading with URLs in place of the names of images that have one; of the
    /// rest, the local file, else `blake3:<64 hex>`. Percent-encoded but in wiki embeds; where a name
    /// stands in no image, in code for instance, it is left as it is.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn markdown(&self, reading: &Reading) -> Result<String, VaultError> {
        if reading.body.embeds().next().is_none() {
            return Ok(reading.body.source());
        }
        let spellings = Spellings::of(self, reading)?;
        Ok(reading.body.render(|embed, syntax| spellings.shown(embed, syntax)))
    }

    /// The images that a note shows, each once, with the URLs that it has for them.
    ///
    /// # Errors
    ///
    /// [`VaultError::UnknownNote`], or what the database said.
    pub fn image_urls(&self, note: NoteId) -> Result<Vec<(ImageId, Option<String>)>, VaultError> {
        match catalog::get(self.db(), note)? {
            Some(entry) => Ok(entry.digest.images),
            // One that can't be loaded has no row there.
            None if documents::get(self.db(), note)?.is_some() => Ok(Vec::new()),
            None => Err(VaultError::UnknownNote(note.to_string())),
        }
    }

    /// Where the bytes of an image are on this device.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn local_file(&self, image: ImageId) -> Result<Option<PathBuf>, VaultError> {
        let record = catalog::image_record(self.db(), image)?.filter(|record| record.local);
        Ok(record.map(|record| self.0.images.path(image, record.media_type)))
    }

    /// Changes the body of a note to `source`, which its author wrote having seen it at `base`, as its
    /// source or as [`Vault::markdown`] shows it: what happened to it meanwhile stays.
    ///
    /// Images are taken in from `folder` where the source names files that the version at `base` did not
    /// name: what stood there already may be another device's text, which must not reach for files here.
    ///
    /// # Errors
    ///
    /// Where nothing was changed: [`VaultError::UnknownNote`]; [`VaultError::Note`] with
    /// [`NoteError::UnknownHeads`](crate::note::NoteError::UnknownHeads) where the note never was at `base`;
    /// [`VaultError::TooLong`]; [`VaultError::ImageFile`] for a file that is too large an image.
    pub fn edit(
        &self,
        note: NoteId,
        base: &Heads,
        source: &str,
        folder: Option<&Path>,
    ) -> Result<Edited, VaultError> {
        check_length(source)?;
        let before = self.read(note, Some(base))?;
        let shows = before.body.written() == source;
        if shows || (before.body.embeds().next().is_some() && self.markdown(&before)? == source) {
            return Ok(Edited { heads: before.heads, changed: false });
        }
        let mut found = Vec::new();
        let body = self.parse(source, Some(&before), folder, &mut found)?;
        self.edit_body(note, base, &body, &found)
    }

    /// Appends the markup of images to a note, after taking them in. What they show, for who can't see them, is
    /// `alt`, or the names of their files.
    ///
    /// # Errors
    ///
    /// Where none was attached: [`VaultError::UnknownNote`]; [`VaultError::ImageFile`] for a file that can't be one;
    /// [`VaultError::TooLong`] where the note would be.
    pub fn attach(
        &self,
        note: NoteId,
        files: &[PathBuf],
        alt: Option<&str>,
    ) -> Result<Vec<AttachedImage>, VaultError> {
        let reading = self.read(note, None)?;
        let mut stored = Vec::with_capacity(files.len());
        let mut batch = self.0.images.batch();
        for file in files {
            stored.push(batch.ingest_file(file).map_err(of_file(file))?);
        }
        batch.finish()?;
        let mut pieces = reading.body.pieces().to_vec();
        for (file, image) in files.iter().zip(&stored) {
            let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            let lead = lead(&pieces);
            let alt = alt.map_or_else(|| stem(&name), str::to_owned);
            pieces.push(Piece::Text(format!("{lead}![{}](", escape(&alt))));
            pieces.push(Piece::Embed(Embed {
                image: image.image,
                name: utf8_percent_encode(&name, DESTINATION).to_string(),
                path: None,
            }));
            pieces.push(Piece::Text(")\n".to_owned()));
        }
        let body = Body::new(pieces);
        check_length(&body.source())?;
        let known = self.known(&stored)?;
        self.edit_body(note, &reading.heads, &body, &stored)?;
        let states = self.states_of(stored.iter().map(|image| image.image).collect())?;
        let attached = stored.iter().zip(known).map(|(image, known)| AttachedImage {
            image: image.image,
            already_stored: known,
            state: states.get(&image.image).copied().unwrap_or(State::Waiting),
        });
        Ok(attached.collect())
    }

    /// Moves a note to a path of 1 to [`PATH_LIMIT`](super::PATH_LIMIT) bytes, or takes its path away. Gives whether that changed
    /// anything.
    ///
    /// # Errors
    ///
    /// Where nothing was changed: [`VaultError::UnknownNote`], and [`VaultError::NotePath`].
    pub fn set_path(&self, note: NoteId, path: Option<&str>) -> Result<bool, VaultError> {
        check_path(path)?;
        let at = self.0.clock.now();
        self.change_note(note, &Origin::Here, Vec::new(), |loaded| {
            Ok(loaded.set_path(path, at)?.into_iter().collect())
        })
    }

    /// Puts a note into the trash, or takes it out. Gives whether that changed anything.
    ///
    /// # Errors
    ///
    /// Where nothing was changed.
    pub fn set_trashed(&self, note: NoteId, trashed: bool) -> Result<bool, VaultError> {
        let at = self.0.clock.now();
        self.change_note(note, &Origin::Here, Vec::new(), |loaded| {
            Ok(loaded.set_trashed(trashed, at)?.into_iter().collect())
        })
    }

    /// For each, whether this device held it before.
    fn known(&self, stored: &[Stored]) -> Result<Vec<bool>, VaultError> {
        let local = |image: &Stored| {
            let record = catalog::image_record(self.db(), image.image)?;
            Ok(record.is_some_and(|record| record.local))
        };
        stored.iter().map(local).collect()
    }

    /// The events that say that images are here now; none for those that were before.
    pub(crate) fn stored_events(&self, stored: &[Stored]) -> Result<Vec<Event>, VaultError> {
        let mut events: Vec<Event> = Vec::new();
        for (image, known) in stored.iter().zip(self.known(stored)?) {
            let Stored { image, bytes, media_type, dimensions, .. } = *image;
            let event = Event::ImageStored { image, bytes, media_type, dimensions };
            if !known && self.0.images.contains(image, media_type) && !events.contains(&event) {
                events.push(event);
            }
        }
        Ok(events)
    }
}

/// What can't stand in a destination without brackets around it.
const DESTINATION: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'(')
    .add(b')')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'`');

pub(super) fn check_length(source: &str) -> Result<(), VaultError> {
    let bytes = source.len() as u64;
    if bytes > NOTE_LIMIT {
        return Err(VaultError::TooLong { bytes, limit: NOTE_LIMIT });
    }
    Ok(())
}

/// Reads the source of a note from a file.
///
/// # Errors
///
/// [`VaultError::NotText`] or [`VaultError::TooLong`] where it can't be one.
pub fn read_source(path: &Path) -> Result<String, VaultError> {
    Ok(read_file(path)?.0)
}

/// The same, and when the file was last changed, where that is known.
pub(crate) fn read_file(path: &Path) -> Result<(String, Option<SystemTime>), VaultError> {
    let long = |bytes| Err(VaultError::TooLong { bytes, limit: NOTE_LIMIT });
    let file = fs::File::open(path).map_err(io("read", path))?;
    let metadata = file.metadata().map_err(io("read", path))?;
    let said = metadata.len();
    if said > NOTE_LIMIT {
        return long(said);
    }
    // With room to find out that it is at its end. Pipes and devices say nothing of how much they have, and
    // some of them never end.
    let mut bytes = Vec::with_capacity(usize::try_from(said).unwrap_or_default() + 1);
    file.take(NOTE_LIMIT + 1).read_to_end(&mut bytes).map_err(io("read", path))?;
    if bytes.len() as u64 > NOTE_LIMIT {
        return long(bytes.len() as u64);
    }
    let text = String::from_utf8(bytes).map_err(|_| VaultError::NotText(path.to_path_buf()))?;
    Ok((text, metadata.modified().ok()))
}

/// Says of which file an error is, where the error does not.
pub(super) fn of_file(path: &Path) -> impl FnOnce(ImageError) -> VaultError {
    move |source| match source {
        ImageError::TooLarge { .. }
        | ImageError::Empty
        | ImageError::NotAnImage { .. }
        | ImageError::Read(_) => VaultError::ImageFile { path: path.to_owned(), source },
        source => source.into(),
    }
}

/// What sets an image apart from the text before it.
fn lead(pieces: &[Piece]) -> &'static str {
    match pieces.last() {
        None => "",
        Some(Piece::Text(text)) if text.ends_with("\n\n") => "",
        Some(Piece::Text(text)) if text.ends_with('\n') => "\n",
        Some(_) => "\n\n",
    }
}

fn stem(name: &str) -> String {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned()
}

/// Makes a text safe between `![` and `]`.
fn escape(alt: &str) -> String {
    let mut escaped = String::with_capacity(alt.len());
    for c in alt.chars() {
        match c {
            '[' | ']' | '`' | '\\' => escaped.extend(['\\', c]),
            '\n' | '\r' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
