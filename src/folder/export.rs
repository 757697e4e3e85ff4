//! From notes to files.

mod adopt;
mod before;
mod images;
mod missed;
mod names;
mod stale;
mod wiki;

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    io::Read,
    path::Path,
};

use self::{adopt::may_adopt, images::Put, missed::Missed, wiki::WikiNames};
use super::{
    Absent, ExportOptions, Exported, Progress, Renamed, Skipped,
    bookmarks::{Bookmarks, Found, Loaded, Seen, Shown},
    named::At,
    place::{Places, is_below, safe_note, titled},
    stamps::{Look, Stamps},
    walk::{is_note, walk},
    write::{self, Draft, Over, There, file_at, folder_at, is_empty, look},
};
use crate::{
    id::{ImageId, NoteId},
    mutant::{self, Mutant},
    note::{Embed, markdown::Syntax},
    resolve::nfc,
    vault::{Listed, Reading, Vault, VaultError, io},
};

/// How many notes are written between two times that the bookmarks are.
const GROUP: usize = 256;
/// Of a file that was there, and is not.
const MISSED: &str = "it was moved or deleted since it was exported; import the folder, and the next export brings \
                      back what is gone";

pub(super) fn run(
    vault: &Vault,
    folder: &Path,
    options: ExportOptions,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Exported, VaultError> {
    if folder.exists() && !folder.is_dir() {
        return Err(VaultError::NotAFolder(folder.to_owned()));
    }
    fs::create_dir_all(folder).map_err(io("create", folder))?;
    let folder = &folder.canonicalize().map_err(io("open", folder))?;
    vault.refuse_inside(folder)?;
    let was_empty = is_empty(folder)?;
    let _one_at_a_time = vault.folder_turn();
    let Loaded { bookmarks, found, problem, .. } = Bookmarks::load(vault, folder)?;
    let ours = match found {
        Found::Exported | Found::Restored => true,
        Found::Foreign => false,
        Found::Nothing if options.adopt && !was_empty => {
            may_adopt(vault, folder, &bookmarks)?;
            true
        }
        Found::Nothing => was_empty,
    };
    if !ours {
        let folder = folder.clone();
        return Err(match found {
            Found::Nothing if !bookmarks.notes.is_empty() => VaultError::OnlyImported(folder),
            _ => VaultError::NotExported(folder),
        });
    }
    let stamps = Stamps::load(vault, folder, false)?;
    write::clear_left(folder)?;
    // First of all: a run that is cut off must find that it began.
    bookmarks.save(vault, folder, true)?;
    let (trashed, notes): (Vec<Listed>, Vec<Listed>) =
        vault.list()?.into_iter().partition(|note| note.trashed);
    progress(Progress::Notes(notes.len() as u64));
    // One that was emptied is filled again: nothing in it could be what was moved.
    let missed =
        if was_empty { Missed::default() } else { Missed::of_notes(&bookmarks, folder, &notes) };
    let there = walk(folder, vault)?.tree;
    let is_stray = |path: &&String| !is_note(path) && !bookmarks.images.contains_key(*path);
    let strays = there.paths().filter(is_stray);
    let mut export = Export {
        vault,
        folder,
        urls: options.urls,
        places: Places::default(),
        names: WikiNames::of(bookmarks.images.keys()),
        strays: WikiNames::of(strays),
        images: BTreeMap::new(),
        shown: OnceCell::new(),
        before: HashMap::new(),
        files: HashMap::new(),
        trashed: trashed.into_iter().map(|listed| listed.note).collect(),
        was_empty,
        missed,
        bookmarks,
        stamps: &stamps,
        cleared: HashSet::new(),
        drafts: Vec::new(),
        report: Exported { skipped: problem.into_iter().collect(), ..Exported::default() },
    };
    let placed = export.place(notes);
    let stale = export.stale(&placed);
    export.settle_known(&placed);
    for group in placed.chunks(GROUP) {
        for (note, place) in group {
            export.note(note, place)?;
            progress(Progress::Note);
        }
        export.publish()?;
    }
    if options.delete {
        export.delete(stale)?;
    } else {
        export.tell(stale)?;
    }
    let report = export.report;
    stamps.save(vault, |_| true);
    Ok(report)
}

struct Export<'a> {
    vault: &'a Vault,
    folder: &'a Path,
    urls: bool,
    places: Places,
    /// What `![[name]]` finds.
    names: WikiNames,
    /// The same among those that are there, and that nobody took in.
    strays: WikiNames,
    /// What came of the images, by their places.
    images: BTreeMap<String, Put>,
    /// The places of the images that files showed before, once somebody asked.
    shown: OnceCell<HashSet<String>>,
    /// Where the notes were.
    before: HashMap<NoteId, String>,
    /// The files that were written or found to be as they should, and their places: where the disk does
    /// not tell `A.md` from `a.md`, the second has to go elsewhere.
    files: HashMap<(u64, u64), String>,
    trashed: HashSet<NoteId>,
    /// Whether nothing was in the folder.
    was_empty: bool,
    missed: Missed,
    bookmarks: Bookmarks,
    stamps: &'a Stamps,
    /// Folders that nothing half written is left in, by what the disk takes for one.
    cleared: HashSet<(u64, u64)>,
    /// Files of the group that have yet to get their names, by their places.
    drafts: Vec<(String, Draft)>,
    report: Exported,
}

/// What stands in a file for an embed.
type Told = HashMap<(Embed, bool), Shown>;

/// The images that destinations of a file stand for, by how they are written and whether in `![[…]]`.
type Written = HashMap<(String, bool), BTreeSet<ImageId>>;

impl Export<'_> {
    /// Gives each note its place.
    fn place(&mut self, notes: Vec<Listed>) -> Vec<(Listed, String)> {
        let (gone, there): (Vec<_>, Vec<_>) =
            self.bookmarks.notes.iter().partition(|(_, seen)| seen.gone);
        // Of several files, one that is there.
        let before = gone.into_iter().chain(there);
        self.before = before.map(|(place, seen)| (seen.note, place.clone())).collect();
        let mut wanted: Vec<(bool, Listed, String)> = notes
            .into_iter()
            .map(|note| {
                let before = self.before.get(&note.note);
                let wanted = match &note.path {
                    // The folder may spell it otherwise.
                    Some(path) if before.is_none_or(|place| nfc(place) != nfc(path)) => {
                        safe_note(self.folder, path)
                    }
                    // What was there once has a name that can be there.
                    _ if before.is_some_and(|place| is_below(place)) => before.cloned(),
                    _ => before.and_then(|place| safe_note(self.folder, place)),
                };
                let wanted = wanted
                    .or_else(|| titled(&note.title))
                    .unwrap_or_else(|| format!("note-{}.md", tag(note.note)));
                let has =
                    self.bookmarks.notes.get(&wanted).is_some_and(|seen| seen.note == note.note);
                (!has, note, wanted)
            })
            .collect();
        // Who has a place keeps it, and so do its images.
        wanted.sort_by_key(|(new, note, _)| (*new, note.note));
        let mut placed = Vec::with_capacity(wanted.len());
        for (_, note, wanted) in wanted {
            let place = self.places.note(&wanted, &tag(note.note));
            if let Some(path) = note.path.as_ref().filter(|path| nfc(path) != nfc(&place)) {
                self.report.renamed.push(Renamed { from: path.clone(), to: place.clone() });
            }
            placed.push((note, place));
        }
        self.keep_for_others(&placed);
        placed
    }

    /// Gives the files of the group their names where one of them may be the one at `place`: only the
    /// disk knows whether `A.md` is `a.md` there.
    fn make_room(&mut self, place: &str) -> Result<(), VaultError> {
        let like = |(other, _): &(String, Draft)| {
            *other != place && other.to_lowercase() == place.to_lowercase()
        };
        if self.drafts.iter().any(like) { self.publish() } else { Ok(()) }
    }

    /// Writes what will be the file `path`, in a folder that is cleared first.
    fn draft(
        &mut self,
        path: &Path,
        content: &mut dyn Read,
        over: Over,
    ) -> Result<Draft, VaultError> {
        let folder = path.parent().unwrap_or(path);
        if folder_at(folder).is_none_or(|folder| self.cleared.insert(folder)) {
            write::clear_left(folder)?;
        }
        write::draft(path, content, write::SHARED, over)
    }

    /// Whether the file at `place` is the one at another place of this export.
    fn is_taken(&self, place: &str) -> bool {
        let file = file_at(&self.folder.join(place));
        let there = file.and_then(|file| self.files.get(&file));
        // A file that was saved anew since gave its number back, perhaps to this one.
        let is_there = |other: &String| file_at(&self.folder.join(other)) == file;
        there.is_some_and(|other| other != place && is_there(other))
    }

    /// Whoever has a file keeps it, in whatever order they come.
    fn settle_known(&mut self, placed: &[(Listed, String)]) {
        let seen = &self.bookmarks.notes;
        let owns = |(note, place): &&(Listed, String)| {
            seen.get(place).is_some_and(|seen| seen.note == note.note)
        };
        let notes = placed.iter().filter(owns).map(|(_, place)| place.clone());
        let known: Vec<String> = notes.chain(self.bookmarks.images.keys().cloned()).collect();
        for place in known {
            self.settle(&place);
        }
    }

    /// Remembers that the file at `place` is there for good.
    fn settle(&mut self, place: &str) {
        if let Some(file) = file_at(&self.folder.join(place)) {
            self.files.insert(file, place.to_owned());
        }
    }

    /// Files of notes that were moved or thrown away stay as they are, and so do the images that they
    /// show: one that became another would be an edit of those notes when the folder is imported.
    fn keep_for_others(&mut self, placed: &[(Listed, String)]) {
        let is_written = |(listed, _): &&(Listed, String)| self.missed.of(listed.note).is_none();
        let written: HashSet<&String> =
            placed.iter().filter(is_written).map(|(_, place)| place).collect();
        for (place, seen) in &self.bookmarks.notes {
            let is_missed = self.missed.of(seen.note) == Some(place);
            if written.contains(place) || !(is_missed || self.folder.join(place).is_file()) {
                continue;
            }
            for shown in &seen.images {
                if let Some(place) = &shown.place {
                    self.places.keep(place, shown.image);
                }
            }
        }
    }

    fn note(&mut self, listed: &Listed, place: &str) -> Result<(), VaultError> {
        if let Some(missed) = self.missed.at(&self.bookmarks, listed.note, place).cloned() {
            self.skip(&missed, MISSED);
            return Ok(());
        }
        let mut place = place;
        let other;
        self.make_room(place)?;
        if self.is_taken(place) {
            other = self.places.note(place, &tag(listed.note));
            self.report.renamed.push(Renamed { from: place.to_owned(), to: other.clone() });
            place = &other;
        }
        let reading = self.vault.read(listed.note, None)?;
        let (text, images) = self.text(listed, &reading, place)?;
        let hash = blake3::hash(text.as_bytes());
        let blake3 = hash.to_hex().to_string();
        let before = self.bookmarks.notes.get(place).map(|seen| seen.blake3.as_str());
        let ours = |there: blake3::Hash| Some(there.to_hex().as_str()) == before;
        let (path, over) = match look(self.folder, place, write::hash)? {
            There::File(path, there) if there != hash && ours(there) => {
                if !self.has_version_at(place)? {
                    let reason = "it shows a version that is not on this device; sync first, or move it \
                                  away";
                    self.skip(place, reason);
                    return Ok(());
                }
                (Some(path), Over::Only(there))
            }
            There::Nothing(path) => (Some(path), Over::Nothing),
            There::File(_, there) if there == hash => (None, Over::Nothing),
            There::File(..) => {
                let reason = "it was edited since it was exported; import the folder first";
                self.skip(place, reason);
                return Ok(());
            }
            There::Blocked(reason) => {
                self.skip(place, reason);
                return Ok(());
            }
        };
        if let Some(path) = path {
            let draft = self.draft(&path, &mut text.as_bytes(), over)?;
            self.drafts.push((place.to_owned(), draft));
        } else {
            self.settle(place);
        }
        self.report.notes += 1;
        let (note, heads) = (listed.note, reading.heads);
        let seen = Seen { note, heads, blake3, images, gone: false };
        self.bookmarks.next.notes.insert(place.to_owned(), seen);
        Ok(())
    }

    /// Whether the version is here that the file at `place` shows: else it may be newer than all that is.
    fn has_version_at(&self, place: &str) -> Result<bool, VaultError> {
        let Some(seen) = self.bookmarks.notes.get(place) else { return Ok(true) };
        self.vault.has_version(seen.note, &seen.heads)
    }

    /// Gives the files of a group their names. What they are going to be is remembered before, and that
    /// they are it after: a file that is neither what it was nor what it was to be is somebody's edit.
    fn publish(&mut self) -> Result<(), VaultError> {
        // Side by side, they share what the disk has to do for each.
        let synced = self.vault.side_by_side(&self.drafts, |(_, draft)| draft.sync());
        synced.into_iter().collect::<Result<(), _>>()?;
        if !mutant::is(Mutant::ExportsUnannounced) {
            self.bookmarks.save(self.vault, self.folder, true)?;
        }
        for (place, draft) in std::mem::take(&mut self.drafts) {
            if draft.publish()? {
                self.report.written += 1;
                self.settle(&place);
                if self.bookmarks.next.notes.contains_key(&place) {
                    self.stamps.saw(&place, Look::at(&self.folder.join(&place)));
                }
                continue;
            }
            self.skip(&place, "another program wrote it meanwhile; import the folder first");
            if self.bookmarks.next.notes.remove(&place).is_some() {
                self.report.notes -= 1;
            }
            if self.bookmarks.next.images.remove(&place).is_some() {
                self.report.images -= 1;
            }
        }
        self.bookmarks.written();
        self.bookmarks.save(self.vault, self.folder, true)
    }

    /// The text of a file, and what the destinations in it stand for. Writes the images as well.
    fn text(
        &mut self,
        listed: &Listed,
        reading: &Reading,
        place: &str,
    ) -> Result<(String, Vec<Shown>), VaultError> {
        let urls: HashMap<_, _> = self.vault.image_urls(reading.note)?.into_iter().collect();
        let (mut told, mut shown, mut failed) = (Told::new(), Vec::new(), None);
        let mut others = Written::new();
        let text = reading.body.render(|embed, syntax| {
            let syntax = syntax?;
            let key = (embed.clone(), syntax == Syntax::Wiki);
            if let Some(told) = told.get(&key) {
                // Whoever reads the file tells those that are written alike apart by their order.
                shown.push(told.clone());
                return Some(told.written.clone());
            }
            let url = urls.get(&embed.image).and_then(Option::as_deref).filter(|_| self.urls);
            let at = At { listed, place, embed, syntax };
            match self.destination(&at, url, &others) {
                Ok(one) => {
                    others.entry((one.written.clone(), one.wiki)).or_default().insert(one.image);
                    shown.push(one.clone());
                    told.insert(key, one.clone());
                    Some(one.written)
                }
                Err(error) => {
                    failed = Some(error);
                    None
                }
            }
        });
        failed.map_or(Ok((text, shown)), Err)
    }

    fn skip(&mut self, place: &str, reason: &str) {
        self.report.skipped.push(Skipped::new(place, reason));
    }

    fn absent(&mut self, at: &At<'_>, reason: &str) {
        self.report.missing.push(Absent {
            note: at.place.to_owned(),
            image: at.embed.image,
            destination: at.embed.name.clone(),
            reason: reason.to_owned(),
        });
    }
}

/// What tells a note from another of the same name: the end of its id, since the start is the time.
fn tag(note: NoteId) -> String {
    note.to_string().chars().skip(NoteId::LEN).collect()
}
