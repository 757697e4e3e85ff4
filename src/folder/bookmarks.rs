//! What was seen of each file of a folder when it was last imported or exported.
//!
//! ```text
//! FOLDER/.everleaf-export           written by export, kept up by import
//! VAULT/folders/<32 hex>.json       the same for each folder, by the hash of its path
//! VAULT/folders/<32 hex>.folder     that path
//! ```
//!
//! An export writes both. The one in the folder goes where the folder goes, to another device for
//! instance; the one in the vault also stands for a folder that was only ever imported, and for a file
//! `.everleaf-export` that was damaged.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    Skipped, announced,
    kept::{EXPORT_FILE, FORMAT, Useless, announcements, bytes, in_vault, make_place, parse},
    write,
};
use crate::{
    id::{ImageId, NoteId, VaultId},
    note::{Body, Heads},
    resolve::Tree,
    vault::{Vault, VaultError, io},
};

/// All bookmarks of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bookmarks {
    format: u32,
    vault: VaultId,
    /// Files that are notes, by their paths.
    pub(super) notes: BTreeMap<String, Seen>,
    /// Files that are images, by their paths: what they were when they were last read or written.
    pub(super) images: BTreeMap<String, ImageId>,
    /// Those of them that an export wrote, and nobody replaced since; `None` only in what an everleaf wrote that
    /// did not say so.
    #[serde(default)]
    ours: Option<BTreeSet<String>>,
    /// Files that an export is about to write: it may be killed before it has.
    #[serde(default, skip_serializing_if = "Next::is_empty")]
    pub(super) next: Next,
    /// Files that an import is about to take in: it may be killed before it could say so here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) taken: BTreeMap<String, Taken>,
}

/// A file that an import is about to take in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Taken {
    /// The note and the version that it is an edit of; none where it makes a note.
    pub(super) base: Option<(NoteId, Heads)>,
    /// Where the file was, if it was elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    /// What the note will show, hashed; see [`Taken::hash`].
    pub(super) source: String,
    /// The hash of the file's bytes.
    pub(super) blake3: String,
    pub(super) images: Vec<Shown>,
}

impl Taken {
    /// The hash of a source and of its images: a file that was replaced changes what a note shows, and
    /// none of its text.
    pub(super) fn hash(body: &Body) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(body.written().as_bytes());
        for embed in body.embeds() {
            hasher.update(embed.image.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// What files are about to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Next {
    pub(super) notes: BTreeMap<String, Seen>,
    pub(super) images: BTreeMap<String, ImageId>,
}

impl Next {
    fn is_empty(&self) -> bool {
        self.notes.is_empty() && self.images.is_empty()
    }
}

/// A file that is a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) note: NoteId,
    /// The version that the file shows.
    pub(super) heads: Heads,
    /// The hash of its bytes.
    pub(super) blake3: String,
    /// The destinations in it that stand for images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) images: Vec<Shown>,
    /// Whether it was not there when the folder was last imported: what comes there may be something else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) gone: bool,
}

/// A destination in a file, and what it stands for in the note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shown {
    /// As it stands in the file.
    pub(super) written: String,
    /// Whether in `![[…]]`, where the same text may mean another file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) wiki: bool,
    pub(super) image: ImageId,
    /// The file that it is in, or would be in if its bytes were here; none where that is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<String>,
    /// What that file holds instead, since nobody has written the image yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) holds: Option<ImageId>,
    /// What the note says instead, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// See [`Embed::path`](crate::note::Embed::path).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
}

impl Shown {
    /// What its file holds if nobody touched it.
    pub(super) fn expected(&self) -> ImageId {
        self.holds.unwrap_or(self.image)
    }
}

impl Seen {
    /// Whether it was the file of this hash.
    pub(super) fn is(&self, hash: blake3::Hash) -> bool {
        hash.to_hex().as_str() == self.blake3
    }
}

/// Bookmarks, and where they were found.
pub(super) struct Loaded {
    pub(super) bookmarks: Bookmarks,
    pub(super) found: Found,
    /// Whether the vault remembers what the folder says of itself.
    pub(super) is_kept: bool,
    /// What could not be used.
    pub(super) problem: Option<Skipped>,
}

/// What a folder says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// This vault exported it.
    Exported,
    /// It says so no more, but the vault remembers what was in it.
    Restored,
    /// It has bookmarks that are not this vault's, or can't be read.
    Foreign,
    /// It has none.
    Nothing,
}

impl Bookmarks {
    /// The bookmarks of `folder`: what the folder says, else what the vault remembers of it, else none.
    pub(super) fn load(vault: &Vault, folder: &Path) -> Result<Loaded, VaultError> {
        let own = vault.id()?;
        let here = bytes(&in_vault(vault, folder));
        let kept = || match parse(&here, own) {
            Ok(kept) => kept,
            Err(Useless::Damaged(reason) | Useless::Foreign(reason)) => {
                tracing::warn!(folder = %folder.display(), reason, "what the vault remembers of it");
                None
            }
        };
        let there = bytes(&folder.join(EXPORT_FILE));
        let (kept, found, problem) = match parse(&there, own) {
            Ok(Some(mut bookmarks)) => {
                if let Some(kept) = (there != here).then(kept).flatten() {
                    bookmarks.recall(kept, folder);
                }
                (Some(bookmarks), Found::Exported, None)
            }
            Ok(None) => (kept(), Found::Nothing, None),
            Err(Useless::Foreign(reason)) => (kept(), Found::Foreign, Some(reason)),
            Err(Useless::Damaged(reason)) => {
                let kept = kept();
                let found = if kept.is_some() { Found::Restored } else { Found::Foreign };
                (kept, found, Some(reason))
            }
        };
        let is_kept = found != Found::Exported || there == here;
        let problem = problem.map(|reason| Skipped::new(EXPORT_FILE, reason));
        let mut bookmarks = kept.unwrap_or_else(|| Self {
            format: FORMAT,
            vault: own,
            notes: BTreeMap::new(),
            images: BTreeMap::new(),
            ours: None,
            next: Next::default(),
            taken: BTreeMap::new(),
        });
        if bookmarks.ours.is_none() {
            // In a folder that was exported they are an export's, as far as can be told.
            let is_exported = matches!(found, Found::Exported | Found::Restored);
            let ours = bookmarks.images.keys().filter(|_| is_exported);
            bookmarks.ours = Some(ours.cloned().collect());
        }
        bookmarks.taken.extend(announced::read(&announcements(vault, folder)));
        bookmarks.settle(folder);
        Ok(Loaded { bookmarks, found, is_kept, problem })
    }

    /// The format that they were in, and the vault that they are of.
    pub(super) const fn of(&self) -> (u32, VaultId) {
        (self.format, self.vault)
    }

    /// Something may carry what a folder says of itself before the files that it says it of. A file that is as
    /// this vault last saw it shows what it showed then, and is nobody's edit. One that it saw is not gone because
    /// another device has yet to get it.
    fn recall(&mut self, kept: Self, folder: &Path) {
        let is_there = |(place, image): &(String, ImageId)| {
            self.images.get(place) != Some(image) && image_at(folder, place) == Some(*image)
        };
        let images = kept.images.into_iter().filter(is_there).collect();
        for (path, seen) in kept.notes {
            let is_there = || write::hash(&folder.join(&path)).is_ok_and(|there| seen.is(there));
            match self.notes.get_mut(&path) {
                Some(said) if said.blake3 == seen.blake3 => said.gone &= seen.gone,
                _ if is_there() => {
                    self.notes.insert(path, seen);
                }
                _ => {}
            }
        }
        self.hold(images);
    }

    /// Finds out how far an export came that was killed: files that are what they were about to be are
    /// its own, and nobody's edit.
    fn settle(&mut self, folder: &Path) {
        let Next { notes, images } = std::mem::take(&mut self.next);
        let there = |place: &str| image_at(folder, place);
        for (path, mut seen) in notes {
            let Ok(hash) = write::hash(&folder.join(&path)) else { continue };
            // Where no file was known, this is the one that was written, whoever edited it since.
            if !seen.is(hash) && self.notes.contains_key(&path) {
                continue;
            }
            for shown in &mut seen.images {
                // One that it did not come to holds what it held; any other is somebody's.
                let Some(place) = &shown.place else { continue };
                let before = self.images.get(place).copied();
                shown.holds =
                    before.filter(|before| *before != shown.image && there(place) == Some(*before));
            }
            self.notes.insert(path, seen);
        }
        let is_there = |(place, image): &(String, ImageId)| there(place) == Some(*image);
        self.wrote(images.into_iter().filter(is_there).collect());
    }

    /// Finds out how far an import came that was killed. `made` finds the version that a note came to
    /// when it was made of, or edited to, what has this hash, and moved to the path if it was to be.
    pub(super) fn settle_import(
        &mut self,
        made: impl Fn(&str, &Taken) -> Result<Option<(NoteId, Heads)>, VaultError>,
    ) -> Result<(), VaultError> {
        for (path, taken) in std::mem::take(&mut self.taken) {
            // What was seen since, another run wrote down.
            let base = taken.base.as_ref();
            let is_since = |seen: &Seen| base != Some(&(seen.note, seen.heads.clone()));
            if self.notes.get(&path).is_some_and(is_since) {
                continue;
            }
            if let Some((note, heads)) = made(&path, &taken)? {
                let Taken { from, blake3, images, .. } = taken;
                self.left(from, note);
                self.notes.insert(path, Seen { note, heads, blake3, images, gone: false });
            }
        }
        Ok(())
    }

    /// Calls the files as the folder does now: whatever carried it may have spelled accents otherwise.
    pub(super) fn respell(&mut self, tree: &Tree) {
        let now = |path: &String| {
            let is_lost = !path.is_ascii() && !tree.contains(path);
            Some((path.clone(), tree.spelled(path).filter(|_| is_lost)?.clone()))
        };
        let notes: Vec<_> = self.notes.keys().filter_map(now).collect();
        for (path, now) in notes {
            if !self.notes.contains_key(&now)
                && let Some(seen) = self.notes.remove(&path)
            {
                self.notes.insert(now, seen);
            }
        }
        let images: HashMap<_, _> = self.images.keys().filter_map(now).collect();
        if images.is_empty() {
            return;
        }
        for (place, now) in &images {
            if let Some(image) = self.images.remove(place) {
                self.images.entry(now.clone()).or_insert(image);
            }
            if let Some(ours) = self.ours.as_mut().filter(|ours| ours.contains(place)) {
                ours.remove(place);
                ours.insert(now.clone());
            }
        }
        for shown in self.notes.values_mut().flat_map(|seen| &mut seen.images) {
            if let Some(now) = shown.place.as_ref().and_then(|place| images.get(place)) {
                shown.place = Some(now.clone());
            }
        }
    }

    /// Forgets where the file of a note was, which is elsewhere now.
    pub(super) fn left(&mut self, from: Option<String>, note: NoteId) {
        if let Some(from) = from
            && self.notes.get(&from).is_some_and(|seen| seen.note == note)
        {
            self.notes.remove(&from);
        }
    }

    /// Takes what was about to be written for written.
    pub(super) fn written(&mut self) {
        let Next { notes, images } = std::mem::take(&mut self.next);
        self.wrote(images);
        self.notes.extend(notes);
    }

    /// Remembers which images an export wrote, by their places.
    fn wrote(&mut self, images: BTreeMap<String, ImageId>) {
        self.ours.get_or_insert_default().extend(images.keys().cloned());
        self.hold(images);
    }

    /// Remembers an image that was found in the file at `place`.
    pub(super) fn found(&mut self, place: &str, image: ImageId) {
        if self.images.insert(place.to_owned(), image) != Some(image)
            && let Some(ours) = &mut self.ours
        {
            ours.remove(place);
        }
    }

    /// The image that an export wrote to `place`, if it is still what was last seen there.
    pub(super) fn own_image(&self, place: &str) -> Option<ImageId> {
        let is_ours = self.ours.as_ref().is_some_and(|ours| ours.contains(place));
        self.images.get(place).filter(|_| is_ours).copied()
    }

    /// Forgets an image whose file was deleted.
    pub(super) fn forget_image(&mut self, place: &str) {
        self.images.remove(place);
        if let Some(ours) = &mut self.ours {
            ours.remove(place);
        }
    }

    /// Remembers which images are where. A file that was left alone shows another there than it did, which is
    /// nobody's edit.
    fn hold(&mut self, images: BTreeMap<String, ImageId>) {
        if images.is_empty() {
            return;
        }
        for shown in self.notes.values_mut().flat_map(|seen| &mut seen.images) {
            if let Some(image) = shown.place.as_ref().and_then(|place| images.get(place)) {
                shown.holds = (*image != shown.image).then_some(*image);
            }
        }
        self.images.extend(images);
    }

    /// Remembers them in the vault, and in the folder if it is an exported one.
    pub(super) fn save(
        &self,
        vault: &Vault,
        folder: &Path,
        exported: bool,
    ) -> Result<(), VaultError> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| io("write", folder.join(EXPORT_FILE))(error.into()))?;
        if exported {
            write::replace(&folder.join(EXPORT_FILE), &bytes, write::SHARED)?;
        }
        make_place(vault, folder)?;
        write::replace(&in_vault(vault, folder), &bytes, write::PRIVATE)?;
        announced::clear(&announcements(vault, folder))
    }

    /// Says in the vault what an import is about to take in, until it is saved.
    pub(super) fn announce(
        vault: &Vault,
        folder: &Path,
        taken: &BTreeMap<String, Taken>,
    ) -> Result<(), VaultError> {
        make_place(vault, folder)?;
        announced::add(&announcements(vault, folder), taken)
    }
}

/// The hash of the file at `place`, if one is there: the image that it is, if it is one.
fn image_at(folder: &Path, place: &str) -> Option<ImageId> {
    let hash = write::hash(&folder.join(place)).ok()?;
    Some(ImageId::from_bytes(*hash.as_bytes()))
}
