//! Files of notes that are elsewhere now, and images that no note shows any more: told of, or deleted where that
//! was asked for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use super::{Export, names::named};
use crate::{
    crash,
    db::sync_folder,
    folder::{
        Remark,
        bookmarks::Seen,
        walk::{is_note, walk},
        write::{self, file_at, file_in},
    },
    id::{ImageId, NoteId},
    vault::{Listed, VaultError},
};

/// A file of a note that has another one now, or is in the trash.
pub(super) struct Stale {
    path: String,
    seen: Seen,
    /// Where the note is now.
    what: String,
}

/// An image in a file that nothing shows any more.
struct Needless {
    image: ImageId,
    /// What became of it.
    what: String,
}

/// Why a file is not deleted.
type Why = String;

impl Export<'_> {
    /// The files of before that are of notes that are elsewhere now.
    pub(super) fn stale(&self, placed: &[(Listed, String)]) -> Vec<Stale> {
        let now: HashMap<NoteId, &String> =
            placed.iter().map(|(listed, place)| (listed.note, place)).collect();
        let taken: HashSet<&String> = placed.iter().map(|(_, place)| place).collect();
        let mut stale = Vec::new();
        for (path, seen) in &self.bookmarks.notes {
            if taken.contains(path) || !self.folder.join(path).is_file() {
                continue;
            }
            let what = match now.get(&seen.note) {
                Some(place) => format!("the note is {place} now"),
                None => "the note is in the trash, or gone".to_owned(),
            };
            stale.push(Stale { path: path.clone(), seen: seen.clone(), what });
        }
        stale
    }

    /// Tells of files that are of notes that are elsewhere now, and of images that no file shows any more.
    pub(super) fn tell(&mut self, stale: Vec<Stale>) -> Result<(), VaultError> {
        let stale = stale.into_iter().map(|stale| (stale.path, stale.what));
        let needless = self.needless_images()?.into_iter();
        for (path, what) in stale.chain(needless.map(|(place, needless)| (place, needless.what))) {
            self.leave(path, format!("{what}; this file is as it was"));
        }
        Ok(())
    }

    fn leave(&mut self, path: String, what: String) {
        self.report.left.push(Remark { path, what });
    }

    /// Deletes them, and the images that an export wrote and no file shows any more: what nobody touched since, and
    /// the vault has. Tells of the others.
    pub(super) fn delete(&mut self, stale: Vec<Stale>) -> Result<(), VaultError> {
        let mut folders = BTreeSet::new();
        let deleted = self.delete_all(stale, &mut folders);
        if folders.is_empty() {
            return deleted;
        }
        // Whatever went wrong, what is gone is known to be. Only now: to an import, a file that nothing is known of is
        // a new one.
        let cleared = self.clear_folders(folders);
        self.bookmarks.save(self.vault, self.folder, true)?;
        deleted.and(cleared)
    }

    fn delete_all(
        &mut self,
        stale: Vec<Stale>,
        folders: &mut BTreeSet<PathBuf>,
    ) -> Result<(), VaultError> {
        let mut files: HashMap<NoteId, Vec<String>> = HashMap::new();
        for (path, seen) in &self.bookmarks.notes {
            files.entry(seen.note).or_default().push(path.clone());
        }
        for Stale { path, seen, what } in stale {
            let others = files.get(&seen.note).map_or(&[][..], Vec::as_slice);
            let why = match self.is_needed(&path, &seen, others)? {
                None => self.delete_file(&path, &seen.blake3, folders),
                why => why,
            };
            if let Some(why) = why {
                self.leave(path, format!("{what}; this file stays: {why}"));
                continue;
            }
            self.report.deleted += 1;
            if self.trashed.contains(&seen.note) {
                // Whatever comes there is something new.
                self.bookmarks.notes.remove(&path);
            } else if let Some(seen) = self.bookmarks.notes.get_mut(&path) {
                // It may be an edit of the note, which is elsewhere.
                seen.gone = true;
            }
        }
        let images = self.needless_images()?;
        if images.is_empty() {
            return Ok(());
        }
        let there = walk(self.folder, self.vault)?;
        if let Some(path) = self.unknown_note(there.notes) {
            let images = images.len();
            let what = format!(
                "it was written since the last import, so images that no note shows stay, {images} of them: import \
                 the folder first"
            );
            self.leave(path, what);
            return Ok(());
        }
        let named = named(self.folder, self.vault.folder(), &self.bookmarks, images.keys());
        for (place, Needless { image, what }) in &images {
            let why = match (named.get(place), self.vault.verified_image(*image)) {
                (Some(by), _) => Some(format!("{by} names it")),
                (None, Ok(Some(_))) => self.delete_file(place, &image.to_string(), folders),
                (None, Ok(None)) => Some("the vault has no other".to_owned()),
                (None, Err(error)) => Some(format!("the vault has no whole one: {error}")),
            };
            if let Some(why) = why {
                self.leave(place.clone(), format!("{what}; this file stays: {why}"));
                continue;
            }
            self.bookmarks.forget_image(place);
            self.report.deleted += 1;
        }
        Ok(())
    }

    /// Why a note needs this one of its `files` still, if it does: it is not in the trash and has no other, or what
    /// was in the file is none of its versions here.
    fn is_needed(
        &self,
        path: &str,
        seen: &Seen,
        files: &[String],
    ) -> Result<Option<Why>, VaultError> {
        if !is_note(path) {
            return Ok(Some("it is no note".to_owned()));
        }
        if self.bookmarks.notes.get(path) != Some(seen) {
            return Ok(Some("it is another note's".to_owned()));
        }
        if !self.vault.has_version(seen.note, &seen.heads)? {
            return Ok(Some(
                "it shows a version that is not on this device; sync first".to_owned(),
            ));
        }
        let file = file_at(&self.folder.join(path));
        let mut others = files.iter().map(|other| file_at(&self.folder.join(other)));
        // The disk may take two names for one.
        let has_other = others.any(|other| other.is_some() && other != file);
        let is_needless = self.trashed.contains(&seen.note) || has_other;
        Ok((!is_needless).then(|| "the note has no other here".to_owned()))
    }

    /// The images that nothing in the folder shows, as far as is known: those that exports wrote, and those that they
    /// wrote to another place since.
    fn needless_images(&self) -> Result<BTreeMap<String, Needless>, VaultError> {
        let bookmarks = &self.bookmarks;
        let is_there = |(path, seen): &(&String, &Seen)| {
            !self.trashed.contains(&seen.note) && !seen.gone || self.folder.join(path).is_file()
        };
        let there = bookmarks.notes.iter().filter(is_there);
        let shown: HashSet<&String> = there
            .flat_map(|(_, seen)| &seen.images)
            .filter_map(|shown| shown.place.as_ref())
            .collect();
        let own = shown.iter().filter_map(|place| Some((bookmarks.own_image(place)?, *place)));
        let moved: HashMap<ImageId, &String> = own.collect();
        let mut needless = BTreeMap::new();
        for (place, image) in bookmarks.images.iter().filter(|(place, _)| !shown.contains(place)) {
            let is_ours = bookmarks.own_image(place).is_some();
            let now = moved.get(image).filter(|now| self.is_there(now, *image));
            if !(is_ours || now.is_some()) || write::is_nothing(self.folder, place) {
                continue;
            }
            let what = match now {
                Some(now) => format!("the image is {now} now"),
                None => "no note shows it".to_owned(),
            };
            if self.vault.image_record(*image)?.is_some_and(|record| record.local) {
                needless.insert(place.clone(), Needless { image: *image, what });
            }
        }
        Ok(needless)
    }

    /// A note of these that is new, or was edited: it may show any image of the folder.
    fn unknown_note(&self, notes: Vec<String>) -> Option<String> {
        let is_known = |path: &String| {
            let seen = self.bookmarks.notes.get(path);
            let hash = write::hash(&self.folder.join(path));
            seen.zip(hash.ok()).is_some_and(|(seen, hash)| hash.to_hex().as_str() == seen.blake3)
        };
        notes.into_iter().find(|path| !is_known(path))
    }

    /// Deletes the file at `place` if it has this hash; gives why it did not. Its folder is put to `folders`.
    fn delete_file(
        &self,
        place: &str,
        blake3: &str,
        folders: &mut BTreeSet<PathBuf>,
    ) -> Option<Why> {
        let Some(path) = file_in(self.folder, place) else {
            return Some("it is no file, or a symbolic link leads there".to_owned());
        };
        let there = file_at(&path).and_then(|file| self.files.get(&file));
        if there.is_some_and(|there| there != place) {
            return Some("another note or image has this very file".to_owned());
        }
        match write::hash(&path) {
            Ok(hash) if hash.to_hex().as_str() == blake3 => {}
            Ok(_) => return Some("it was edited since; import the folder first".to_owned()),
            Err(error) => return Some(format!("could not read it: {error}")),
        }
        if let Err(error) = fs::remove_file(&path) {
            return Some(format!("could not delete it: {error}"));
        }
        crash::point();
        folders.extend(path.parent().map(Path::to_owned));
        None
    }

    /// Takes away the folders that nothing is left in, and has all of it on disk.
    fn clear_folders(&self, folders: BTreeSet<PathBuf>) -> Result<(), VaultError> {
        let mut touched = BTreeSet::new();
        // Those within others come first.
        for folder in folders.into_iter().rev() {
            let mut folder = folder.as_path();
            while folder != self.folder
                && fs::remove_dir(folder).is_ok()
                && let Some(parent) = folder.parent()
            {
                touched.remove(folder);
                folder = parent;
            }
            touched.insert(folder.to_owned());
        }
        Ok(touched.iter().filter(|f| f.is_dir()).try_for_each(|folder| sync_folder(folder))?)
    }
}
