//! Files that were renamed and edited since: what is new is compared with what is gone.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
};

use super::{
    import::{Import, is_for_all},
    stamps::{File, created},
};
use crate::{
    id::NoteId,
    lines::{Common, Lines},
    vault::{VaultError, read_file},
};

/// How many files that are gone are compared with each that is new; where there are more, those that had its name.
const MOST: usize = 1000;

/// How many of them a new file is thought to be, at most: the likeliest.
const LIKELY: usize = 16;

/// A file that is gone.
struct Gone {
    path: String,
    /// Which file it was, as far as its file system told.
    file: Option<File>,
    /// Whether its note has another file, as where it was moved in the vault: then this may as well be deleted.
    has_other: bool,
    /// Of the version that it showed.
    lines: Lines,
}

/// A file that nothing is known of.
struct New<'a> {
    path: &'a str,
    /// Its number, and when that was given to it.
    created: Option<File>,
    lines: Lines,
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

impl Gone {
    /// How likely the file is `new`; `None` where it is more likely that it is not.
    fn likeness(&self, new: &New<'_>, both: usize) -> Option<Likeness> {
        let (was, is) = (self.file, new.created);
        // A number is given again, but not to a file that was there before.
        let is_same =
            was.zip(is).is_some_and(|(was, is)| was.number == is.number && is.at <= was.at);
        let names = common_names(&self.path, new.path);
        let common = Common { both, one: self.lines.count(), other: new.lines.count() };
        let is_likely = if is_same {
            !common.are_unlike()
        } else {
            // One of another name may be made of the same template.
            !self.has_other && (common.are_close() || names > 0 && common.are_alike())
        };
        let lacking = Reverse(common.one - both + common.other - both);
        is_likely.then_some(Likeness { is_same, names, both, lacking })
    }
}

/// How many names the ends of two paths have in common.
pub(super) fn common_names(one: &str, other: &str) -> usize {
    one.rsplit('/').zip(other.rsplit('/')).take_while(|(one, other)| one == other).count()
}

/// The files that are gone, to be found by what they had.
struct Lost {
    files: Vec<Gone>,
    /// Which of them had a line, by its hash.
    having: HashMap<u64, Vec<usize>>,
}

impl Lost {
    fn new(files: Vec<Gone>) -> Self {
        let mut having: HashMap<u64, Vec<usize>> = HashMap::new();
        for (at, gone) in files.iter().enumerate() {
            for line in gone.lines.hashes() {
                having.entry(line).or_default().push(at);
            }
        }
        Self { files, having }
    }

    /// Those that a new file may be, and how likely; the likeliest first.
    fn like(&self, new: &New<'_>) -> Vec<(Likeness, &Gone)> {
        let mut both: BTreeMap<usize, usize> = BTreeMap::new();
        for line in new.lines.hashes() {
            for at in self.having.get(&line).into_iter().flatten() {
                let times = self.files.get(*at).map_or(0, |gone| gone.lines.times(line));
                *both.entry(*at).or_default() += times.min(new.lines.times(line));
            }
        }
        let likely = both.into_iter().filter_map(|(at, both)| {
            let gone = self.files.get(at)?;
            Some((gone.likeness(new, both)?, gone))
        });
        let mut likely: Vec<_> = likely.collect();
        likely.sort_by_key(|(likeness, _)| Reverse(*likeness));
        likely.truncate(LIKELY);
        likely
    }
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
        let lost = Lost::new(self.gone()?);
        if lost.files.is_empty() {
            return Ok(BTreeMap::new());
        }
        // What is known by its name, or by what is in it, is no other file.
        let is_new =
            |path: &&String| !self.bookmarks.notes.contains_key(*path) && !self.live.has(path);
        let mut likely = Vec::new();
        for path in self.moved.new.iter().filter(is_new) {
            let place = self.folder.join(path);
            let Ok((text, _)) = read_file(&place) else { continue };
            let blake3 = blake3::hash(text.as_bytes()).to_hex();
            if !self.moved.old.contains_key(blake3.as_str()) {
                let new = New { path, created: created(&place), lines: Lines::of(&text) };
                let like = lost.like(&new).into_iter();
                likely.extend(like.map(|(like, gone)| (like, gone.path.as_str(), path.as_str())));
            }
        }
        Ok(matched(likely))
    }

    /// The files that are gone since the last import, and are not elsewhere as they were.
    fn gone(&self) -> Result<Vec<Gone>, VaultError> {
        let is_there = |path: &String| self.tree.contains(path) || self.unmoved.contains(path);
        let seen = self.bookmarks.notes.iter().filter(|(_, seen)| !seen.gone);
        let (there, mut gone): (Vec<_>, Vec<_>) = seen.partition(|(path, _)| is_there(path));
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        let there: HashSet<NoteId> = there.into_iter().map(|(_, seen)| seen.note).collect();
        let elsewhere = self.new_hashes();
        gone.retain(|(_, seen)| {
            self.trashed.contains_key(&seen.note) && !elsewhere.contains(&seen.blake3)
        });
        if gone.len() > MOST {
            let names: HashSet<&str> = self.moved.new.iter().map(|path| name(path)).collect();
            gone.retain(|(path, _)| names.contains(name(path)));
        }
        let mut files = Vec::with_capacity(gone.len());
        for (path, seen) in gone {
            let lines = match self.vault.lines(seen.note, &seen.heads) {
                // A note that can't be used keeps no other file from being taken in.
                Err(error) if !is_for_all(&error) => None,
                lines => lines?,
            };
            let (file, has_other) = (self.stamps.file(path), there.contains(&seen.note));
            files.extend(lines.map(|lines| Gone { path: path.clone(), file, has_other, lines }));
        }
        Ok(files)
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
