//! From files to notes.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

use super::{
    ImportOptions, Imported, Progress, Remark, Skipped,
    bookmarks::{Bookmarks, Found, Loaded},
    files::{File, Read, read, unreadable},
    group::Work,
    known::{Live, Moved, Paths, made, paths},
    others::Others,
    reader::Reader,
    stamps::{Look, Stamps},
    stood::{Said, Stood, said},
    walk::{Files, walk},
};
use crate::{
    id::{ImageId, NoteId},
    images::{Batch, ImageError, Stored},
    note::{Body, Embed, markdown::Destination},
    resolve::Tree,
    vault::{Vault, VaultError, chain, io},
};

/// How many notes are made and edited at once, at most,
const GROUP: usize = 256;
/// and about how many bytes they may take, with the notes that are edited: with those that lie ready, and are made
/// ready, not much more than the cache of notes holds.
const HELD: usize = 12 << 20;
/// How many files are read in one go, by one thread.
const AT_ONCE: usize = 16;
/// How many bytes of files that were read, and of the notes of those that were edited, lie ready at most.
const AHEAD: usize = 4 << 20;
/// Of a file that is as it was, of which this device lacks what it shows.
const NOT_HERE: &str = "it shows a version that is not on this device; sync, then import it again, or, where no \
                        device has that any more, a copy of it under another name";
/// How many notes are taken in before their bookmarks are written, or more, where there are more.
const UNSAVED: usize = 2048;

pub(super) fn run(
    vault: &Vault,
    folder: &Path,
    options: ImportOptions,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Imported, VaultError> {
    if folder.exists() && !folder.is_dir() {
        return Err(VaultError::NotAFolder(folder.to_owned()));
    }
    let folder = &folder.canonicalize().map_err(io("open", folder))?;
    let _one_at_a_time = vault.folder_turn();
    // About as long as the walk takes.
    let known = || {
        let stamps = Stamps::load(vault, folder, options.reread)?;
        Ok::<_, VaultError>((Bookmarks::load(vault, folder)?, stamps, paths(vault)?))
    };
    let (known, there) = vault.beside(known, || walk(folder, vault));
    let (Loaded { mut bookmarks, found, is_kept, problem }, mut stamps, Paths { live, trashed }) =
        known?;
    let Files { notes, others, tree, skipped } = there?;
    // What is read ahead is compared with these, even where it was taken in by a run that was killed.
    let before = bookmarks.clone();
    if !before.taken.is_empty() {
        stamps.forget_notes();
    }
    bookmarks.settle_import(|path, taken| made(vault, &live, path, taken))?;
    bookmarks.respell(&tree);
    let skipped = problem.into_iter().chain(skipped).collect();
    let mut import = Import {
        vault,
        folder,
        lenient: options.lenient,
        moved: Moved::new(&bookmarks, &notes),
        unmoved: HashSet::new(),
        exported: found == Found::Exported,
        bookmarks,
        stamps: &stamps,
        tree,
        live,
        others: OnceCell::new(),
        trashed,
        contents: HashMap::new(),
        stored: Vec::new(),
        files: BTreeMap::new(),
        unsaved: 0,
        report: Imported { skipped, ..Imported::default() },
    };
    progress(Progress::Notes(notes.len() as u64));
    let several: Vec<&[String]> = notes.chunks(AT_ONCE).collect();
    let read = |paths: &&[String]| read(vault, folder, &before, &stamps, paths);
    vault.ahead(&several, AHEAD, read, |files| {
        let mut files = notes.iter().zip(files.flatten());
        while import.group(&mut files, progress)? {
            // Now and then, so that a run that is cut off has not much to compare again, and all of them
            // together take no longer than one of all.
            let many = UNSAVED.max(import.bookmarks.notes.len() / 2);
            if import.unsaved > if import.exported { 0 } else { many } {
                import.save()?;
            }
        }
        Ok::<_, VaultError>(())
    })?;
    import.miss();
    import.miss_images();
    if import.bookmarks != before {
        import.save()?;
    } else if !is_kept {
        // What the folder says of itself may be another device's before the files are.
        import.bookmarks.save(vault, folder, false)?;
    }
    let shown = import.files.len() as u64;
    let (tree, imported) = import.finish();
    let others = (others as u64).saturating_sub(shown);
    let imported = Imported { read: stamps.read(), others, ..imported };
    stamps.save(vault, |place| tree.contains(place));
    Ok(imported)
}

/// Whether an error is one of more than a single note.
pub(super) fn is_for_all(error: &VaultError) -> bool {
    !matches!(error, VaultError::Note { .. })
}

/// What a file turned out to be when a destination named it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    Image {
        image: ImageId,
        /// Whether its bytes were taken in, rather than only hashed.
        held: bool,
    },
    /// There is no file.
    Nothing,
    /// It is empty, or what it looks like instead.
    NoImage(Option<&'static str>),
    /// It was reported already.
    Unusable,
}

pub(super) struct Import<'a> {
    pub(super) vault: &'a Vault,
    pub(super) folder: &'a Path,
    pub(super) lenient: bool,
    pub(super) tree: Tree,
    pub(super) bookmarks: Bookmarks,
    pub(super) stamps: &'a Stamps,
    /// Whether the folder has bookmarks of its own.
    pub(super) exported: bool,
    pub(super) moved: Moved,
    /// Where files were whose notes could not be moved with them.
    pub(super) unmoved: HashSet<String>,
    pub(super) live: Live,
    /// What is in other folders, once somebody asked.
    pub(super) others: OnceCell<Others>,
    /// Whether notes are in the trash, of all that are listed.
    pub(super) trashed: HashMap<NoteId, bool>,
    contents: HashMap<String, Content>,
    /// What the group has taken in so far.
    pub(super) stored: Vec<Stored>,
    /// How many notes were taken in since the bookmarks were written.
    pub(super) unsaved: usize,
    /// Files that are images which notes show, and their sizes.
    pub(super) files: BTreeMap<String, (ImageId, u64)>,
    pub(super) report: Imported,
}

impl<'a> Import<'a> {
    /// Takes in files until there is as much to be made of them as is made at once. Gives whether there may be
    /// more.
    fn group(
        &mut self,
        files: &mut dyn Iterator<Item = (&String, Result<File, VaultError>)>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<bool, VaultError> {
        let mut batch = self.vault.images().batch();
        let (mut work, mut bytes) = (Vec::new(), 0);
        let mut is_full = Ok(false);
        while let Ok(false) = is_full
            && let Some((path, file)) = files.next()
        {
            let taken = file.as_ref().map_or(0, File::bytes);
            let one = self.note(path, file, &mut batch);
            is_full = self.unless_of_note(path, one).map(Option::flatten).map(|one| {
                bytes += one.as_ref().map_or(0, |_| taken);
                work.extend(one);
                work.len() == GROUP || bytes >= HELD
            });
            progress(Progress::Note);
        }
        // What goes wrong with one file keeps those before it from nothing.
        let kept = batch.finish().map_err(VaultError::from).and_then(|()| self.take(work));
        // What it says is why, should the other have failed as well.
        let is_full = is_full?;
        kept.map(|()| is_full)
    }

    /// What came of a file; `None` where its note can't be used, which keeps the others from nothing.
    pub(super) fn unless_of_note<T>(
        &mut self,
        path: &str,
        result: Result<T, VaultError>,
    ) -> Result<Option<T>, VaultError> {
        match result {
            Err(error) if !is_for_all(&error) => {
                self.report.skipped.push(Skipped::of(path, chain(&error), &error));
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    fn save(&mut self) -> Result<(), VaultError> {
        self.unsaved = 0;
        self.bookmarks.save(self.vault, self.folder, self.exported)
    }

    /// What is to be done about one file; `None` where that is nothing.
    fn note(
        &mut self,
        path: &str,
        file: Result<File, VaultError>,
        batch: &mut Batch<'a>,
    ) -> Result<Option<Work>, VaultError> {
        let Read { text, blake3, look, at, version, .. } = match file {
            Ok(File::Read(read)) => read,
            Ok(File::Same) => {
                self.report.notes += 1;
                return Ok(None);
            }
            Err(error) => {
                self.report.skipped.push(Skipped::of(path, unreadable(&error), &error));
                return Ok(None);
            }
        };
        self.stamps.saw(path, look);
        let (seen, base) = self.known(path, &text, &blake3)?;
        let same_text = seen.as_ref().is_some_and(|seen| seen.blake3 == blake3);
        // Of a file that is as it was, all that can be known was remembered.
        let (names, said) = match &base {
            Some(base) if !same_text && self.vault.has_version(base.note, &base.heads)? => {
                let reading = self.vault.read(base.note, Some(&base.heads))?;
                (self.vault.names(&reading)?, said(&reading.body))
            }
            Some(_) if !same_text => {
                let reason = "it was edited in a version of the note that is not on this device; sync, \
                              then import it again, or, where no device has that any more, a copy of it \
                              under another name";
                self.skip(path, reason.to_owned());
                return Ok(None);
            }
            _ => (Vec::new(), Said::new()),
        };
        let mut reader = Reader {
            path,
            text: &text,
            stood: Stood::of(seen.as_ref(), &names, &said),
            unchanged: same_text,
            same: same_text,
            shown: Vec::new(),
            written: HashMap::new(),
            stands_alone: true,
            failed: None,
        };
        let mut found = HashMap::new();
        let body = Body::parse(&text, |destination| {
            let target = reader.find(self, destination, batch);
            found.insert(destination.range.start, target.clone());
            target
        });
        let Reader { same, shown: images, stands_alone, failed, .. } = reader;
        if let Some(error) = failed {
            return Err(error);
        }
        self.report.notes += 1;
        let moves = base.as_ref().is_some_and(|base| base.from.is_some());
        let look = look.filter(|_| stands_alone);
        if same && !moves {
            self.replaced(path, &images);
            if let Some(base) = &base {
                if version.as_ref() == Some(&base.heads)
                    || self.vault.knows_version(base.note, &base.heads)?
                {
                    self.stamps.is_note(path, look, &blake3, &base.heads);
                } else {
                    self.skip(path, NOT_HERE.to_owned());
                }
            }
            return Ok(None);
        }
        // Its text is as it was, so an edit is no news for a device that lacks the note.
        if let Some(base) = &base
            && same_text
            && !self.vault.has_version(base.note, &base.heads)?
        {
            self.skip(path, NOT_HERE.to_owned());
            return Ok(None);
        }
        let mut characters = body.characters();
        let body = match &base {
            None => body,
            // What stands in a note and in no image, in code for instance, is no destination of the
            // file; it stays what it is.
            Some(base) => {
                let before = self.vault.read(base.note, Some(&base.heads))?.body;
                characters = characters.max(before.characters());
                let find = |destination: &Destination, _: Option<&Embed>| {
                    found.get(&destination.range.start).cloned().flatten()
                };
                Body::parse_edit(&before, &text, |_, _| None, find)
            }
        };
        Ok(Some(Work { path: path.to_owned(), body, blake3, look, at, images, base, characters }))
    }

    /// What the file at `place` is; `expected` is what it was when it was last seen.
    pub(super) fn content(
        &mut self,
        place: &str,
        expected: Option<ImageId>,
        batch: &mut Batch<'a>,
    ) -> Result<Content, VaultError> {
        match self.contents.get(place) {
            Some(Content::Image { image, held: false }) if expected != Some(*image) => {}
            Some(content) => return Ok(*content),
            None => {}
        }
        let path = self.folder.join(place);
        let hash = expected.and_then(|_| self.stamps.image(place, &path).ok());
        let content = if let (Some(image), true) = (hash, hash == expected) {
            let bytes = path.metadata().map_or(0, |metadata| metadata.len());
            self.files.insert(place.to_owned(), (image, bytes));
            Content::Image { image, held: false }
        } else {
            if hash.is_none() {
                self.stamps.count();
            }
            self.ingest(place, &path, batch)?
        };
        self.contents.insert(place.to_owned(), content);
        Ok(content)
    }

    fn ingest(
        &mut self,
        place: &str,
        path: &Path,
        batch: &mut Batch<'a>,
    ) -> Result<Content, VaultError> {
        let look = Look::at(path);
        let reason = match batch.ingest_file(path) {
            Ok(stored) => {
                self.stamps.is_image(place, path, look, stored.image);
                self.files.insert(place.to_owned(), (stored.image, stored.bytes));
                self.stored.push(stored);
                return Ok(Content::Image { image: stored.image, held: true });
            }
            Err(ImageError::NotAnImage { looks_like }) => {
                return Ok(Content::NoImage(Some(looks_like)));
            }
            Err(ImageError::Empty) => return Ok(Content::NoImage(None)),
            Err(source @ ImageError::TooLarge { .. }) => {
                let (path, reason) = (path.to_owned(), source.to_string());
                let error = VaultError::ImageFile { path, source };
                self.report.skipped.push(Skipped::of(place, reason, &error));
                return Ok(Content::Unusable);
            }
            Err(ImageError::Io { action, path: at, source }) if at == path => {
                format!("could not {action} it: {source}")
            }
            Err(error) => return Err(error.into()),
        };
        self.skip(place, reason);
        Ok(Content::Unusable)
    }

    /// Reports, once, that an image file holds something else now.
    pub(super) fn no_image_any_more(&mut self, place: &str) {
        self.contents.insert(place.to_owned(), Content::Unusable);
        let reason = "it is no image any more; the notes keep the one that it was";
        self.skip(place, reason.to_owned());
    }

    pub(super) fn remark(&mut self, path: &str, what: &str) {
        self.report.remarks.push(Remark { path: path.to_owned(), what: what.to_owned() });
    }

    fn skip(&mut self, path: &str, reason: String) {
        self.report.skipped.push(Skipped::new(path, reason));
    }

    fn finish(mut self) -> (Tree, Imported) {
        let images = &mut self.report.images;
        let mut distinct = HashSet::new();
        for (image, bytes) in self.files.values() {
            images.bytes_referenced += bytes;
            if distinct.insert(*image) {
                images.distinct += 1;
                images.bytes_stored += bytes;
            }
        }
        (self.tree, self.report)
    }
}
