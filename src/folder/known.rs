//! Which note a file is of.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashMap, HashSet},
};

use super::{
    bookmarks::{Bookmarks, Seen, Taken},
    edited::common_names,
    group::Base,
    import::Import,
    others::Others,
    write,
};
use crate::{
    id::NoteId,
    mutant::{self, Mutant},
    note::{Body, Heads},
    resolve::nfc,
    vault::{Near, Vault, VaultError, read_file},
};

/// How many files that got each other's names are followed.
const MOST_SWAPPED: usize = 64;

/// What the notes of a vault say of where they belong.
pub(super) struct Paths {
    /// Those that are not in the trash.
    pub(super) live: Live,
    /// Whether they are in the trash, of all that are listed.
    pub(super) trashed: HashMap<NoteId, bool>,
}

/// Notes by their paths, of which each folder may have another, however their accents are spelled.
#[derive(Default)]
pub(super) struct Live(HashMap<String, Vec<NoteId>>);

impl Live {
    pub(super) fn at(&self, path: &str) -> &[NoteId] {
        self.0.get(&nfc(path)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        !self.at(path).is_empty()
    }
}

pub(super) fn paths(vault: &Vault) -> Result<Paths, VaultError> {
    let (mut live, mut trashed) = (Live::default(), HashMap::new());
    for row in vault.list()? {
        trashed.insert(row.note, row.trashed);
        if let Some(path) = row.path.filter(|_| !row.trashed) {
            live.0.entry(nfc(&path)).or_default().push(row.note);
        }
    }
    Ok(Paths { live, trashed })
}

/// The version that a note came to when a run that was killed took a file in, if it did.
pub(super) fn made(
    vault: &Vault,
    live: &Live,
    path: &str,
    taken: &Taken,
) -> Result<Option<(NoteId, Heads)>, VaultError> {
    let Taken { base, from, source, .. } = taken;
    let shows = |body: &Body| Taken::hash(body) == *source;
    let (notes, base) = match base {
        Some((note, _)) if from.is_some() && !live.at(path).contains(note) => return Ok(None),
        Some((note, base)) => (std::slice::from_ref(note), Some(base)),
        None => (live.at(path), None),
    };
    for note in notes {
        if let Some(heads) = vault.version_made(*note, base, path, shows)? {
            return Ok(Some((*note, heads)));
        }
    }
    Ok(None)
}

/// Where new files may have been before.
#[derive(Default)]
pub(super) struct Moved {
    /// Files that were not there when the folder was last imported; left out where none was.
    pub(super) new: Vec<String>,
    /// What is in those, hashed, once somebody asked.
    hashes: OnceCell<HashSet<String>>,
    /// Those that were, by the hash of what they were; left out where there is no new file, nor one that changed.
    pub(super) old: HashMap<String, Vec<String>>,
    /// Those that were gone then already; likewise.
    gone: HashMap<String, Vec<String>>,
    is_filled: bool,
    /// Files that got each other's names.
    swapped: HashSet<String>,
    /// Those of them whose note a new file has.
    followed: HashSet<String>,
    /// What was seen of files whose names are another's now.
    reused: HashMap<String, Seen>,
    /// Where new files were that were edited since, by where they are; once somebody asked.
    pub(super) edited: Option<BTreeMap<String, String>>,
}

impl Moved {
    pub(super) fn new(bookmarks: &Bookmarks, notes: &[String]) -> Self {
        let is_old = |path: &String| bookmarks.notes.get(path).is_some_and(|seen| !seen.gone);
        let mut new = notes.iter().filter(|path| !is_old(path)).peekable();
        let mut moved = Self::default();
        if new.peek().is_none() {
            return moved;
        }
        moved.fill(bookmarks);
        if !moved.old.is_empty() || !moved.gone.is_empty() {
            moved.new = new.cloned().collect();
        }
        moved
    }

    /// Before anything that was seen is forgotten.
    fn fill(&mut self, bookmarks: &Bookmarks) {
        if std::mem::replace(&mut self.is_filled, true) {
            return;
        }
        for (path, seen) in &bookmarks.notes {
            let left = if seen.gone { &mut self.gone } else { &mut self.old };
            left.entry(seen.blake3.clone()).or_default().push(path.clone());
        }
    }
}

/// Of several files that were the same, the one that went to `path`: it has the end of that in common, as
/// where a folder was renamed. `None` where that can't be told.
fn likeliest<'a>(several: &'a [String], path: &str) -> Option<&'a String> {
    if let [one] = several {
        return Some(one);
    }
    let common = |old: &str| common_names(old, path);
    let most = several.iter().map(|old| common(old)).max().filter(|most| *most > 0)?;
    let mut likely = several.iter().filter(|old| common(old) == most);
    likely.next().filter(|_| likely.next().is_none())
}

impl Import<'_> {
    /// What is known of a file: by its name, by what a file held that is elsewhere now, or by the path of a
    /// note.
    pub(super) fn known(
        &mut self,
        path: &str,
        text: &str,
        blake3: &str,
    ) -> Result<(Option<Seen>, Option<Base>), VaultError> {
        let mut elsewhere = None;
        if let Some(seen) = self.bookmarks.notes.get(path).cloned() {
            if mutant::is(Mutant::ImportMakesCopies) && seen.blake3 != blake3 {
                return Ok((None, None));
            }
            if self.is_still(path, &seen, text, blake3)? {
                let base = Base { note: seen.note, heads: seen.heads.clone(), from: None };
                return Ok((Some(seen), Some(base)));
            }
            if seen.gone {
                self.bookmarks.notes.remove(path);
            } else {
                elsewhere = Some(seen.note);
                self.moved.reused.insert(path.to_owned(), seen);
            }
        }
        let of_path = self.of_path(path, text, elsewhere)?;
        if let Ok(base) = of_path {
            return Ok((None, Some(base)));
        }
        let followed = self.followed(path, blake3)?;
        if let ((_, None), Err(Some(what))) = (&followed, of_path) {
            self.remark(path, what);
        }
        Ok(followed)
    }

    /// The note of this path that a file is of, if one is; not the one that is known to be `elsewhere`. Else what
    /// there is to say of a note of its own.
    fn of_path(
        &self,
        path: &str,
        text: &str,
        elsewhere: Option<NoteId>,
    ) -> Result<Result<Base, Option<&'static str>>, VaultError> {
        let notes = self.live.at(path).iter().copied();
        let notes: Vec<NoteId> = notes.filter(|note| Some(*note) != elsewhere).collect();
        for note in &notes {
            // An import that was killed, or another device, may have made the note of this very file.
            if let Some(heads) = self.vault.version_made_of(*note, path, text)? {
                return Ok(Ok(Base { note: *note, heads, from: None }));
            }
        }
        let (mut nearest, mut is_of_others) = (None::<Near>, false);
        for note in &notes {
            let Some(near) = self.vault.version_nearest(*note, text)? else { continue };
            if near.lacking > 0 && self.is_of_others(*note, path) {
                is_of_others = true;
            } else if nearest.as_ref().is_none_or(|best| near.is_nearer(best)) {
                nearest = Some(near);
            }
        }
        let what = if is_of_others {
            "it is a note of its own: the one of this path is in another folder, and has lines that this file \
             lacks"
        } else {
            "it is a note of its own, though another note has this path"
        };
        let base = nearest.map(|Near { note, heads, .. }| Base { note, heads, from: None });
        Ok(base.ok_or((!notes.is_empty()).then_some(what)))
    }

    /// Whether a file of another folder is known to be this note.
    fn is_of_others(&self, note: NoteId, path: &str) -> bool {
        let others = self.others.get_or_init(|| Others::load(self.vault, self.folder));
        others.have(note, &self.folder.join(path))
    }

    /// Whether a file is of the note that the file of its name was of.
    fn is_still(
        &mut self,
        path: &str,
        seen: &Seen,
        text: &str,
        blake3: &str,
    ) -> Result<bool, VaultError> {
        if seen.blake3 == blake3 {
            return Ok(true);
        }
        if seen.gone {
            return self.vault.is_version_of(seen.note, &seen.heads, text);
        }
        if self.moved.followed.contains(path) {
            return Ok(false);
        }
        self.moved.fill(&self.bookmarks);
        if !self.moved.swapped.contains(path) {
            let swapped = self.swapped(path, seen, blake3);
            // All of them or none: one that is like its note stays that, and whatever has its text is no other's then.
            if !swapped.is_empty() && self.vault.is_unlike(seen.note, &seen.heads, text)? {
                self.moved.swapped.extend(swapped);
            }
        }
        let is_swapped = self.moved.swapped.contains(path);
        let is_reused = (is_swapped || !self.moved.new.is_empty())
            && self.vault.is_unlike(seen.note, &seen.heads, text)?
            && (is_swapped || self.new_hashes().contains(&seen.blake3));
        Ok(!is_reused)
    }

    /// The files that got each other's names, this one among them: each holds what another one held. None where there
    /// are no such files, or it can't be told.
    fn swapped(&self, path: &str, seen: &Seen, blake3: &str) -> Vec<String> {
        let (mut swapped, mut now) = (vec![path.to_owned()], blake3.to_owned());
        while swapped.len() < MOST_SWAPPED {
            let before = self.moved.old.get(&now).into_iter().flatten();
            let mut others = before.filter(|other| *other != path && self.tree.contains(other));
            let (Some(other), None) = (others.next(), others.next()) else { break };
            let Ok(hash) = write::hash(&self.folder.join(other)) else { break };
            let hash = hash.to_hex().to_string();
            if hash == now || !self.is_reused(other) {
                break;
            }
            swapped.push(other.clone());
            if hash == seen.blake3 {
                return swapped;
            }
            now = hash;
        }
        Vec::new()
    }

    /// The hashes of the files that were not there before.
    pub(super) fn new_hashes(&self) -> &HashSet<String> {
        self.moved.hashes.get_or_init(|| {
            let hash = |path: &String| write::hash(&self.folder.join(path)).ok();
            self.moved.new.iter().filter_map(hash).map(|hash| hash.to_hex().to_string()).collect()
        })
    }

    /// The note of the file that went to `path`, if one did: it was there when the folder was last imported,
    /// and is elsewhere now, edited perhaps, or another has its name; or it was gone for a while.
    fn followed(
        &mut self,
        path: &str,
        blake3: &str,
    ) -> Result<(Option<Seen>, Option<Base>), VaultError> {
        let mut old = self.whence(path, blake3);
        if old.is_none() {
            old = self.back(blake3)?;
        }
        if old.is_none() {
            old = self.edited_elsewhere(path)?;
        }
        let Some(old) = old else { return Ok((None, None)) };
        let seen = self.moved.reused.get(&old).or_else(|| self.bookmarks.notes.get(&old));
        let Some(seen) = seen.cloned() else { return Ok((None, None)) };
        if !self.vault.has_version(seen.note, &seen.heads)? {
            return Ok((None, None));
        }
        let base = Base { note: seen.note, heads: seen.heads.clone(), from: Some(old) };
        Ok((Some(seen), Some(base)))
    }

    /// Where the file was that is at `path` now.
    fn whence(&mut self, path: &str, blake3: &str) -> Option<String> {
        let mut left = self.moved.old.remove(blake3)?;
        // Those that are there, and are no others, went nowhere.
        left.retain(|old| !self.tree.contains(old) || self.is_reused(old));
        let found = likeliest(&left, path).cloned();
        if found.is_none() && !left.is_empty() {
            self.remark(path, "it is a note of its own: several files that said the same are gone");
        }
        // A second file of the same content is a copy.
        left.retain(|old| Some(old) != found.as_ref());
        self.moved.old.insert(blake3.to_owned(), left);
        self.moved.followed.extend(found.clone());
        found
    }

    /// Where the file was that an import missed and that is elsewhere now. It may as well be another of the same
    /// bytes, so only a note that is as that file was goes with it.
    fn back(&mut self, blake3: &str) -> Result<Option<String>, VaultError> {
        let gone = self.moved.gone.remove(blake3).unwrap_or_default();
        let [old] = gone.as_slice() else { return Ok(None) };
        let Some(seen) = self.bookmarks.notes.get(old) else { return Ok(None) };
        if self.moved.old.contains_key(blake3)
            || self.tree.contains(old)
            || !self.live.at(old).contains(&seen.note)
        {
            return Ok(None);
        }
        Ok(self.is_as_it_was(seen)?.then(|| old.clone()))
    }

    /// Whether a note says what its file said.
    pub(super) fn is_as_it_was(&self, seen: &Seen) -> Result<bool, VaultError> {
        let Seen { note, heads, .. } = seen;
        if !self.vault.has_version(*note, heads)? {
            return Ok(false);
        }
        let [now, then] = [None, Some(heads)].map(|heads| self.vault.read(*note, heads));
        Ok(now?.body == then?.body)
    }

    /// Whether the file at `path`, which was there before, is another now.
    fn is_reused(&self, path: &str) -> bool {
        let is_unlike = |seen: &Seen| {
            let (text, _) = read_file(&self.folder.join(path))?;
            self.vault.is_unlike(seen.note, &seen.heads, &text)
        };
        let seen = self.bookmarks.notes.get(path);
        self.moved.reused.contains_key(path)
            || seen.is_some_and(|seen| is_unlike(seen).unwrap_or(false))
    }
}
