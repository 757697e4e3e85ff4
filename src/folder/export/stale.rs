//! Files of notes that are elsewhere now, and images that no note shows any more: told of, or deleted where that
//! was asked for.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
};

use super::Export;
use crate::{
    db::sync_folder,
    folder::{
        Remark,
        bookmarks::Seen,
        write::{self, file_at, file_in},
    },
    id::{ImageId, NoteId},
    vault::{Listed, VaultError},
};

/// A file of a note that has another one now, or is in the trash.
pub(super) struct Stale {
    path: String,
    seen: Seen,
    /// What there is to say of it, unless it is deleted.
    what: String,
}

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
                Some(place) => format!("the note is {place} now; this file is as it was"),
                None => "the note is in the trash, or gone; this file is as it was".to_owned(),
            };
            stale.push(Stale { path: path.clone(), seen: seen.clone(), what });
        }
        stale
    }

    /// Tells of files that are of notes that are elsewhere now.
    pub(super) fn tell(&mut self, stale: Vec<Stale>) {
        let left = stale.into_iter().map(|Stale { path, what, .. }| Remark { path, what });
        self.report.left.extend(left);
    }

    /// Deletes them, and the images that an export wrote and no file shows any more: what nobody touched since, and
    /// the vault has. Tells of the others.
    pub(super) fn delete(&mut self, stale: Vec<Stale>) -> Result<(), VaultError> {
        let (mut left, mut folders) = (Vec::new(), BTreeSet::new());
        let mut files: HashMap<NoteId, Vec<String>> = HashMap::new();
        for (path, seen) in &self.bookmarks.notes {
            files.entry(seen.note).or_default().push(path.clone());
        }
        for stale in stale {
            if self.is_needless(&stale, files.get(&stale.seen.note).map_or(&[], Vec::as_slice))?
                && self.delete_file(&stale.path, &stale.seen.blake3, &mut folders)?
            {
                self.bookmarks.notes.remove(&stale.path);
                self.report.deleted += 1;
            } else {
                left.push(stale);
            }
        }
        for (place, image) in self.needless_images()? {
            if self.delete_file(&place, &image.to_string(), &mut folders)? {
                self.bookmarks.forget_image(&place);
                self.report.deleted += 1;
            }
        }
        self.tell(left);
        if folders.is_empty() {
            return Ok(());
        }
        self.clear_folders(folders)?;
        // Only now: to an import, a file that nothing is known of is a new one.
        self.bookmarks.save(self.vault, self.folder, true)
    }

    /// Whether a note needs this one of its files no more: it is in the trash, or has another, and what was in the
    /// file is one of its versions.
    fn is_needless(&self, stale: &Stale, files: &[String]) -> Result<bool, VaultError> {
        let Stale { path, seen, .. } = stale;
        let is_known = self.bookmarks.notes.get(path) == Some(seen);
        if !is_known || !self.vault.has_version(seen.note, &seen.heads)? {
            return Ok(false);
        }
        if self.trashed.contains(&seen.note) {
            return Ok(true);
        }
        let file = file_at(&self.folder.join(path));
        let mut others = files.iter().map(|other| file_at(&self.folder.join(other)));
        // The disk may take two names for one.
        Ok(others.any(|other| other.is_some() && other != file))
    }

    /// The images that exports wrote, and that nothing in the folder shows.
    fn needless_images(&self) -> Result<Vec<(String, ImageId)>, VaultError> {
        let there = self.bookmarks.notes.values().flat_map(|seen| &seen.images);
        let shown: HashSet<&String> = there.filter_map(|shown| shown.place.as_ref()).collect();
        let mut needless = Vec::new();
        for place in self.bookmarks.images.keys().filter(|place| !shown.contains(place)) {
            let Some(image) = self.bookmarks.own_image(place) else { continue };
            if self.vault.image_record(image)?.is_some_and(|record| record.local) {
                needless.push((place.clone(), image));
            }
        }
        Ok(needless)
    }

    /// Deletes the file at `place` if it has this hash, also when it is about to go; gives whether it did. Its folder
    /// is put to `folders`.
    fn delete_file(
        &self,
        place: &str,
        blake3: &str,
        folders: &mut BTreeSet<PathBuf>,
    ) -> Result<bool, VaultError> {
        let Some(path) = file_in(self.folder, place) else { return Ok(false) };
        let there = file_at(&path).and_then(|file| self.files.get(&file));
        if there.is_some_and(|there| there != place) {
            return Ok(false);
        }
        let is_this = |hash: blake3::Hash| hash.to_hex().as_str() == blake3;
        let is_deleted = write::delete(&path, is_this)?;
        folders.extend(path.parent().filter(|_| is_deleted).map(Path::to_owned));
        Ok(is_deleted)
    }

    /// Takes away the folders that nothing is left in, and has all of it on disk.
    fn clear_folders(&self, folders: BTreeSet<PathBuf>) -> Result<(), VaultError> {
        let mut touched = BTreeSet::new();
        // Those within others come first.
        for folder in folders.into_iter().rev() {
            let mut folder = folder.as_path();
            while folder != self.folder
                && std::fs::remove_dir(folder).is_ok()
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
