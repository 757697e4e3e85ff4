//! What `![[name]]` finds among the pictures of an export.

use std::collections::{BTreeSet, HashMap};

use crate::resolve::{wiki_order, wiki_paths, without_fragment};

/// Where pictures are, by all that a wiki name may say for them, as [`Tree`](crate::resolve::Tree) looks for it;
/// and the names that were left in notes.
#[derive(Debug, Default)]
pub(super) struct WikiNames {
    /// The shortest path, by each of the ends that it has in common with others, in lower case.
    found: HashMap<String, String>,
    /// The place that a name which was left in a note leads to, if nothing stands where it looks first.
    left: HashMap<String, String>,
    /// The places that such names lead to, by the paths where they look first.
    first: HashMap<String, BTreeSet<String>>,
}

impl WikiNames {
    pub(super) fn of<'a>(places: impl IntoIterator<Item = &'a String>) -> Self {
        let mut names = Self::default();
        places.into_iter().for_each(|place| names.insert(place));
        names
    }

    /// Adds a picture.
    pub(super) fn insert(&mut self, place: &str) {
        for end in ends(&place.to_lowercase()) {
            match self.found.get_mut(end) {
                Some(other) if wiki_order(other) < wiki_order(place) => {}
                Some(other) => place.clone_into(other),
                None => drop(self.found.insert(end.to_owned(), place.to_owned())),
            }
        }
    }

    /// The place that a name finds in a note.
    pub(super) fn find(&self, note: &str, name: &str) -> Option<&String> {
        let name = plain(name);
        let (paths, is_anywhere) = wiki_paths(&note.to_lowercase(), &name);
        let exactly =
            |path: &String| self.found.get(path).filter(|found| found.to_lowercase() == *path);
        let first = paths.iter().find_map(exactly);
        first.or_else(|| self.found.get(name.trim_start_matches('/')).filter(|_| is_anywhere))
    }

    /// Notes that a name was left in a note, and leads to `place`.
    pub(super) fn leave(&mut self, note: &str, name: &str, place: &str) {
        let name = plain(name);
        let (paths, is_anywhere) = wiki_paths(&note.to_lowercase(), &name);
        for path in paths {
            if path == place.to_lowercase() {
                return;
            }
            self.first.entry(path).or_default().insert(place.to_owned());
        }
        if is_anywhere {
            self.left.insert(name.trim_start_matches('/').to_owned(), place.to_owned());
        }
    }

    /// The places of which a name that was left in a note would be misled by a picture at `place`.
    pub(super) fn misled(&self, place: &str) -> impl Iterator<Item = &String> {
        let lower = place.to_lowercase();
        let left: Vec<_> = ends(&lower).filter_map(|end| self.left.get(end)).collect();
        let place = place.to_owned();
        let longer = left.into_iter().filter(move |other| wiki_order(&place) < wiki_order(other));
        longer.chain(self.first.get(&lower).into_iter().flatten())
    }
}

/// A name without `#…`, in lower case.
fn plain(name: &str) -> String {
    without_fragment(name).to_lowercase()
}

/// A path, and what is left of it behind each slash.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    let behind = path.match_indices('/').filter_map(|(at, _)| path.get(at + 1..));
    std::iter::once(path).chain(behind)
}
