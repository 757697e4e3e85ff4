//! What the files of a group come to in the vault.

use std::collections::BTreeMap;

use super::{
    bookmarks::{Bookmarks, Seen, Shown, Taken},
    import::{Import, is_for_all},
    stamps::Look,
};
use crate::{
    clock::Timestamp,
    id::NoteId,
    mutant::{self, Mutant},
    note::{Body, Heads},
    vault::{NewFile, VaultError},
};

/// How many characters notes have that are edited at once, before or after it, unless it is one.
const TOGETHER: usize = 1 << 20;

/// A note to be made or edited.
pub(super) struct Work {
    pub(super) path: String,
    pub(super) body: Body,
    pub(super) blake3: String,
    /// How it looked when it was read, if what it shows depends on no other file.
    pub(super) look: Option<Look>,
    pub(super) at: Timestamp,
    pub(super) images: Vec<Shown>,
    pub(super) base: Option<Base>,
    /// How many characters it has, or had, whatever is more.
    pub(super) characters: usize,
}

/// The note that a file is of, and the version that it was made of.
pub(super) struct Base {
    pub(super) note: NoteId,
    pub(super) heads: Heads,
    /// Where its file was, if it was elsewhere: the note is to be moved as well.
    pub(super) from: Option<String>,
}

impl Import<'_> {
    /// Makes the notes and the edits of a group, whose images are on disk.
    pub(super) fn take(&mut self, work: Vec<Work>) -> Result<(), VaultError> {
        let vault = self.vault;
        self.announce(&work)?;
        let stored = std::mem::take(&mut self.stored);
        let (mut edits, mut new) = (Vec::new(), Vec::new());
        for mut work in work {
            match work.base.take() {
                Some(base) => edits.push((base, work)),
                None => new.push(work),
            }
        }
        let files = new.iter().map(|Work { path, body, at, .. }| NewFile { path, body, at: *at });
        let made = vault.create_notes(&files.collect::<Vec<_>>(), &stored)?;
        for (work, (note, heads)) in new.into_iter().zip(made) {
            self.report.changed += 1;
            self.remember(work, note, heads);
        }
        self.edit(edits)?;
        self.bookmarks.taken.clear();
        Ok(())
    }

    /// Makes the edits of a group: many at once, which wait for the disk together.
    fn edit(&mut self, edits: Vec<(Base, Work)>) -> Result<(), VaultError> {
        let vault = self.vault;
        let edit = |(base, work): &(Base, Work)| {
            // Its path first: what is cut off between the two is found by that, and made once.
            let is_moved = base.from.is_some() && vault.set_path(base.note, Some(&work.path))?;
            let mut edited = vault.edit_of_file(base.note, &base.heads, &work.body, work.at)?;
            edited.changed |= is_moved;
            let in_trash = edited.changed && self.trashed.get(&base.note) == Some(&true);
            Ok::<_, VaultError>((edited, in_trash))
        };
        let mut made = Vec::with_capacity(edits.len());
        for edits in few(&edits) {
            made.extend(vault.side_by_side(edits, edit));
            let failed = |made: &Result<_, _>| made.as_ref().is_err_and(is_for_all);
            if made.iter().any(failed) {
                break;
            }
        }
        for ((base, work), made) in edits.into_iter().zip(made) {
            let Some((edited, in_trash)) = self.unless_of_note(&work.path, made)? else {
                // It is still to be moved.
                self.unmoved.extend(base.from);
                continue;
            };
            self.bookmarks.left(base.from, base.note);
            self.report.changed += u64::from(edited.changed);
            if in_trash {
                let what = "its note is in the trash, and so is this edit until that is restored";
                self.remark(&work.path, what);
            }
            self.remember(work, base.note, edited.heads);
        }
        Ok(())
    }

    /// Remembers what is about to be taken in. Whoever is killed before the bookmarks are written would
    /// take it for another edit of the old version, once the file is edited again.
    fn announce(&mut self, work: &[Work]) -> Result<(), VaultError> {
        if work.is_empty() || mutant::is(Mutant::ImportsUnannounced) {
            return Ok(());
        }
        let taken = work.iter().map(|work| {
            let base = work.base.as_ref().map(|base| (base.note, base.heads.clone()));
            let from = work.base.as_ref().and_then(|base| base.from.clone());
            let source = Taken::hash(&work.body);
            let (blake3, images) = (work.blake3.clone(), work.images.clone());
            (work.path.clone(), Taken { base, from, source, blake3, images })
        });
        let taken: BTreeMap<String, Taken> = taken.collect();
        self.unsaved += taken.len();
        // An exported folder has its bookmarks with it, wherever it is when they are needed.
        if self.exported {
            self.bookmarks.taken = taken;
            return self.bookmarks.save(self.vault, self.folder, true);
        }
        Bookmarks::announce(self.vault, self.folder, &taken)
    }

    fn remember(&mut self, work: Work, note: NoteId, heads: Heads) {
        for shown in &work.images {
            if let Some(place) = &shown.place
                && self.files.get(place).is_some_and(|(image, _)| *image == shown.image)
            {
                self.bookmarks.found(place, shown.image);
            }
        }
        let Work { path, blake3, look, images, .. } = work;
        self.stamps.is_note(&path, look, &blake3, &heads);
        self.bookmarks.notes.insert(path, Seen { note, heads, blake3, images, gone: false });
    }
}

/// Divides edits so that the notes of those that are made at once fit into memory.
fn few(edits: &[(Base, Work)]) -> Vec<&[(Base, Work)]> {
    let (mut all, mut left) = (Vec::new(), edits);
    while !left.is_empty() {
        let mut characters = 0;
        let fits = |(_, work): &&(Base, Work)| {
            characters += work.characters;
            characters <= TOGETHER
        };
        let (few, others) = left.split_at(left.iter().take_while(fits).count().max(1));
        all.push(few);
        left = others;
    }
    all
}
