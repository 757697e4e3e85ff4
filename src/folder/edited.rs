//! Files that were renamed and edited since: what is new is compared with what is gone.
//!
//! A wrong guess puts one note's text into the place of another's, so little counts as evidence: the file system says
//! that it is the same file, and most of what it said is there; or it has the same name in another folder, and only
//! what its links lead to is another, as where an app moved a note.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};

use super::{
    bookmarks::Seen,
    import::{Import, is_for_all},
    stamps::{File, created},
    write::is_nothing,
};
use crate::{
    id::NoteId,
    lines::{Common, Lines},
    vault::{VaultError, read_file},
};

/// How many files of one name are compared with each that has it now; where there are more, those whose folders were
/// called the same.
const FEW: usize = 16;

/// A file that is gone.
struct Gone<'a> {
    path: &'a str,
    seen: &'a Seen,
    /// Which file it was, as far as its file system told.
    file: Option<File>,
    /// Whether its note has another file, as where it was moved in the vault: then this one may as well be deleted.
    has_other: bool,
}

/// How likely a new file is one that is gone: the more, the likelier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Likeness {
    /// Whether its file system says so.
    is_same: bool,
    /// How much of the ends of their paths is the same.
    names: usize,
    both: usize,
    lacking: Reverse<usize>,
}

impl Likeness {
    /// `None` where it is more likely another file.
    fn of(is_same: bool, names: usize, old: &Said, new: &Said) -> Option<Self> {
        let Common { both, one, other } = old.all.and(&new.all);
        // What was begun may have been written since.
        let is_written_on = is_same && (one == 0 || 2 * both > one);
        let is_likely =
            is_written_on || (is_same || names > 0) && old.rest.and(&new.rest).are_same();
        let lacking = Reverse(one - both + other - both);
        is_likely.then_some(Self { is_same, names, both, lacking })
    }
}

/// What a file says.
struct Said {
    all: Lines,
    /// But for what its links lead to.
    rest: Lines,
}

impl Said {
    fn by(text: &str) -> Self {
        Self { all: Lines::of(text), rest: Lines::without_links(text) }
    }
}

/// The files that are gone, to be found by what a new one has in common with them.
struct Lost<'a> {
    files: Vec<Gone<'a>>,
    /// By their numbers, by their names, and by these with those of their folders.
    numbered: HashMap<u64, Vec<usize>>,
    named: HashMap<&'a str, Vec<usize>>,
    within: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Lost<'a> {
    fn new(files: Vec<Gone<'a>>) -> Self {
        let (mut numbered, mut named, mut within) =
            (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (at, gone) in files.iter().enumerate() {
            if let Some(file) = gone.file {
                numbered.entry(file.number).or_default().push(at);
            }
            named.entry(end(gone.path, 1)).or_default().push(at);
            within.entry(end(gone.path, 2)).or_default().push(at);
        }
        Self { files, numbered, named, within }
    }

    /// Those that the file at `path` may be, which has this number since then; and whether it is the same.
    fn like(&self, path: &str, created: Option<File>) -> impl Iterator<Item = (&Gone<'a>, bool)> {
        // A number is given again, but not to a file that was there before.
        let is_same = move |gone: &Gone<'_>| {
            let files = gone.file.zip(created);
            files.is_some_and(|(was, is)| was.number == is.number && is.at <= was.at)
        };
        let few = |found: Option<&Vec<usize>>| {
            found.filter(|found| found.len() <= FEW).into_iter().flatten().copied().collect()
        };
        let mut found: BTreeSet<usize> = few(self.named.get(end(path, 1)));
        found.extend(few(self.within.get(end(path, 2))));
        let numbered = created.and_then(|file| self.numbered.get(&file.number));
        found.extend(numbered.into_iter().flatten());
        found.into_iter().filter_map(move |at| self.files.get(at)).filter_map(move |gone| {
            let is_same = is_same(gone);
            let is_named = end(gone.path, 1) == end(path, 1) && !gone.has_other;
            (is_same || is_named).then_some((gone, is_same))
        })
    }
}

/// The last names of a path.
fn end(path: &str, names: usize) -> &str {
    path.rmatch_indices('/')
        .nth(names - 1)
        .map_or(path, |(at, _)| path.get(at + 1..).unwrap_or(path))
}

/// How many names the ends of two paths have in common.
pub(super) fn common_names(one: &str, other: &str) -> usize {
    one.rsplit('/').zip(other.rsplit('/')).take_while(|(one, other)| one == other).count()
}

/// Which new file is which one that is gone, of pairs of the two: each is at most one, and one that may as well be
/// another is none.
fn matched<'a>(mut likely: Vec<(Likeness, &'a str, &'a str)>) -> BTreeMap<String, String> {
    likely.sort_unstable_by(|one, other| other.cmp(one));
    let (mut left, mut come) = (HashSet::new(), HashSet::new());
    let mut matched = BTreeMap::new();
    for same in likely.chunk_by(|(one, ..), (other, ..)| one == other) {
        let free = same.iter().filter(|(_, from, to)| !left.contains(from) && !come.contains(to));
        let free: Vec<(&str, &str)> = free.map(|(_, from, to)| (*from, *to)).collect();
        let (mut leaving, mut coming) = (HashMap::new(), HashMap::new());
        for (from, to) in &free {
            *leaving.entry(*from).or_insert(0) += 1;
            *coming.entry(*to).or_insert(0) += 1;
        }
        let is_one = |(from, to): &&(&str, &str)| {
            leaving.get(from) == Some(&1) && coming.get(to) == Some(&1)
        };
        matched.extend(free.iter().filter(is_one).map(|(from, to)| ((*to).into(), (*from).into())));
        left.extend(leaving.into_keys());
        come.extend(coming.into_keys());
    }
    matched
}

impl Import<'_> {
    /// Where the file was that is at `path` now, and was edited since.
    pub(super) fn edited_elsewhere(&mut self, path: &str) -> Result<Option<String>, VaultError> {
        if self.moved.edited.is_none() {
            self.moved.edited = Some(self.renamed_and_edited()?);
        }
        let old = self.moved.edited.as_mut().and_then(|edited| edited.remove(path));
        if let Some(old) = &old {
            let what =
                format!("it is taken for {old}, renamed and edited: that is gone, and was like it");
            self.remark(path, &what);
        }
        Ok(old)
    }

    fn renamed_and_edited(&self) -> Result<BTreeMap<String, String>, VaultError> {
        let lost = Lost::new(self.gone());
        if lost.files.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut said: HashMap<&str, Option<Said>> = HashMap::new();
        let mut likely = Vec::new();
        // What is known by its name is no other file.
        for path in self.moved.new.iter().filter(|path| !self.bookmarks.notes.contains_key(*path)) {
            let place = self.folder.join(path);
            let mut like = lost.like(path, created(&place)).peekable();
            if like.peek().is_none() {
                continue;
            }
            let Ok((text, _)) = read_file(&place) else { continue };
            // Nor is what is known by what is in it.
            let blake3 = blake3::hash(text.as_bytes()).to_hex();
            if self.moved.old.contains_key(blake3.as_str()) {
                continue;
            }
            let new = Said::by(&text);
            for (gone, is_same) in like {
                // Another note has its path already.
                if self.live.has(path) && !self.live.at(path).contains(&gone.seen.note) {
                    continue;
                }
                let old = match said.get(gone.path) {
                    Some(old) => old,
                    None => said.entry(gone.path).or_insert(self.said(gone)?),
                };
                let names = common_names(gone.path, path);
                let likeness = old.as_ref().and_then(|old| Likeness::of(is_same, names, old, &new));
                likely.extend(likeness.map(|likeness| (likeness, gone.path, path.as_str())));
            }
        }
        Ok(matched(likely))
    }

    /// What a file that is gone said; `None` where it may as well have been deleted, and where that is not here or can't
    /// be used, which keeps no other file from being taken in.
    fn said(&self, gone: &Gone<'_>) -> Result<Option<Said>, VaultError> {
        let Seen { note, heads, gone: was_gone, .. } = gone.seen;
        let read = || {
            // What was gone before is followed only while nobody did anything to its note.
            let is_followed = !*was_gone || self.is_as_it_was(gone.seen)?;
            if !is_followed || !self.vault.has_version(*note, heads)? {
                return Ok(None);
            }
            Ok(Some(Said::by(&self.vault.read(*note, Some(heads))?.body.written())))
        };
        match read() {
            Err(error) if !is_for_all(&error) => Ok(None),
            said => said,
        }
    }

    /// The files that are gone, and are not elsewhere as they were.
    fn gone(&self) -> Vec<Gone<'_>> {
        // What an import leaves out may be there all the same.
        let is_gone = |path: &str| {
            !self.tree.contains(path)
                && !self.unmoved.contains(path)
                && is_nothing(self.folder, path)
        };
        let (gone, there): (Vec<_>, Vec<_>) =
            self.bookmarks.notes.iter().partition(|(path, _)| is_gone(path));
        if gone.is_empty() {
            return Vec::new();
        }
        let there: HashSet<NoteId> = there.into_iter().map(|(_, seen)| seen.note).collect();
        let elsewhere = self.new_hashes();
        let is_left = |(path, seen): &(&String, &Seen)| {
            // One that was gone before may have been deleted: only a note that is there still may be in it.
            let is_missed = !seen.gone || self.live.at(path).contains(&seen.note);
            let in_trash = self.trashed.get(&seen.note) != Some(&false);
            is_missed && !in_trash && !elsewhere.contains(&seen.blake3)
        };
        let gone = gone.into_iter().filter(is_left).map(|(path, seen)| {
            let (file, has_other) = (self.stamps.file(path), there.contains(&seen.note));
            Gone { path, seen, file, has_other }
        });
        gone.collect()
    }
}
