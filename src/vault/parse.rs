//! What the image destinations of a text stand for.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use percent_encoding::percent_decode_str;

use super::{
    Vault, VaultError,
    former::Former,
    notes::{Reading, of_file},
    spelling::{Known, Spellings},
};
use crate::{
    id::{ImageId, NoteId},
    images::{ImageError, Stored},
    note::{
        Body, Target,
        markdown::{Destination, Syntax, destinations},
    },
    projection::catalog,
};

impl Vault {
    /// Finds what the destinations in a source stand for: an image that the note showed before there, or
    /// under this name, URL, path or hash; else a file of `folder`, which is taken in; else an image that the
    /// note showed in an earlier version.
    pub(super) fn parse(
        &self,
        source: &str,
        before: Option<&Reading>,
        folder: Option<&Path>,
        stored: &mut Vec<Stored>,
    ) -> Result<Body, VaultError> {
        let before_source = before.filter(|_| folder.is_some()).map(|before| before.body.source());
        let was_named = |destination: &Destination| {
            let written = source.get(destination.range.clone()).unwrap_or_default();
            let names = [written, destination.target.as_str()];
            before_source
                .as_ref()
                .is_some_and(|before| names.iter().any(|name| names_it(before, name)))
        };
        let mut batch = self.0.images.batch();
        let taken = self.parse_with(source, before, &BTreeMap::new(), stored, |destination| {
            let folder = folder.filter(|_| !was_named(destination));
            self.take_in(destination, folder, &mut batch)
        });
        batch.finish()?;
        taken
    }

    /// [`parse`](Self::parse), where `pictures` are images by the names that the source calls them, and
    /// `take_in` says which images the other destinations are.
    pub(super) fn parse_with(
        &self,
        source: &str,
        before: Option<&Reading>,
        pictures: &BTreeMap<String, Stored>,
        stored: &mut Vec<Stored>,
        mut take_in: impl FnMut(&Destination) -> Result<Option<Stored>, VaultError>,
    ) -> Result<Body, VaultError> {
        let mut failed = None;
        let mut taken = |found: Option<Stored>| {
            found.map(|image| {
                let target = Target { image: image.image, path: None, name: None };
                stored.push(image);
                target
            })
        };
        let mut tried = |found: Result<Option<Target>, VaultError>| {
            found.unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        };
        let body = match before {
            None => Body::parse(source, |destination| tried(take_in(destination).map(&mut taken))),
            Some(before) => {
                let spellings = Spellings::of(self, before)?;
                let mut known = Known::of(&before.body, &spellings);
                let mut former = Former::of(self, before, &spellings.bases);
                Body::parse_edit(
                    &before.body,
                    source,
                    |embed, syntax| spellings.shown(embed, syntax),
                    |destination, stood| {
                        let written = source.get(destination.range.clone()).unwrap_or_default();
                        let known = known.find(destination, written, stood);
                        // One that stands where it stood is no picture that comes.
                        let picture = pictured(pictures, destination).filter(|_| stood.is_none());
                        let is_known = |picture: &Stored| {
                            known.as_ref().is_some_and(|known| known.image == picture.image)
                        };
                        match picture.filter(|picture| !is_known(picture)) {
                            Some(picture) => taken(Some(picture)),
                            None => known
                                .or_else(|| tried(take_in(destination).map(&mut taken)))
                                .or_else(|| tried(former.find(destination, written))),
                        }
                    },
                )
            }
        };
        failed.map_or(Ok(body), Err)
    }

    pub(super) fn take_in(
        &self,
        destination: &Destination,
        folder: Option<&Path>,
        batch: &mut crate::images::Batch<'_>,
    ) -> Result<Option<Stored>, VaultError> {
        if let Some(hash) = destination.target.strip_prefix("blake3:")
            && let Ok(image) = hash.parse::<ImageId>()
            && let Some(stored) = self.recorded(image)?
        {
            return Ok(Some(stored));
        }
        let Some(path) = folder.and_then(|folder| beside(folder, destination)) else {
            return Ok(None);
        };
        match batch.ingest_file(&path) {
            Ok(stored) => Ok(Some(stored)),
            // No image, so no embed: the text stays as it was written.
            Err(ImageError::NotAnImage { .. } | ImageError::Empty) => Ok(None),
            Err(error) => Err(of_file(&path)(error)),
        }
    }

    /// An image that this vault knows of, be it here or not.
    fn recorded(&self, image: ImageId) -> Result<Option<Stored>, VaultError> {
        let record = catalog::image_record(self.db(), image)?;
        Ok(record.map(|record| Stored {
            image,
            bytes: record.bytes,
            media_type: record.media_type,
            dimensions: record.dimensions,
            already: true,
        }))
    }

    /// The images that `text` shows where it is a part of what a note says or said, by what it calls them: those
    /// are the pictures of [`save_draft`](Self::save_draft) where somebody pastes it into another note.
    ///
    /// # Errors
    ///
    /// Where there is no such note, or it can't be read.
    pub fn pictures_of(
        &self,
        note: NoteId,
        text: &str,
    ) -> Result<BTreeMap<String, Stored>, VaultError> {
        let reading = self.read(note, None)?;
        let spellings = Spellings::of(self, &reading)?;
        let mut known = Known::of(&reading.body, &spellings);
        let mut former = Former::of(self, &reading, &spellings.bases);
        let mut pictures = BTreeMap::new();
        for destination in destinations(text) {
            let written = text.get(destination.range.clone()).unwrap_or_default();
            let target = match known.find(&destination, written, None) {
                Some(target) => Some(target),
                None => former.find(&destination, written)?,
            };
            let stored = target.map_or(Ok(None), |target| self.recorded(target.image))?;
            pictures.extend(stored.map(|stored| (destination.target, stored)));
        }
        Ok(pictures)
    }
}

/// Whether a path stands in a text, be that in code or in a comment, and is no part of a longer one.
fn names_it(text: &str, path: &str) -> bool {
    let is_more = |c: char| c.is_alphanumeric() || matches!(c, '.' | '/' | '-' | '_' | '%');
    text.match_indices(path).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let behind = text.get(at + path.len()..).and_then(|behind| behind.chars().next());
        !before.is_some_and(is_more) && !behind.is_some_and(is_more)
    })
}

/// The picture that a destination names, as it is written or decoded.
fn pictured(pictures: &BTreeMap<String, Stored>, destination: &Destination) -> Option<Stored> {
    let written = destination.target.as_str();
    let decoded = || percent_decode_str(written).decode_utf8().ok();
    let named = pictures.get(written).or_else(|| pictures.get(&*decoded()?));
    named.copied()
}

/// The file that a destination stands for when its note lies in `folder`: relative to it, without
/// `?…` or `#…`.
fn beside(folder: &Path, destination: &Destination) -> Option<PathBuf> {
    let written = destination.target.split(['?', '#']).next().unwrap_or_default();
    let path = match destination.syntax {
        Syntax::Wiki => written.into(),
        _ => percent_decode_str(written).decode_utf8().ok()?,
    };
    let path = Path::new(&*path);
    let file = folder.join(path);
    (path.is_relative() && file.is_file()).then_some(file)
}
