//! What `![[name]]` finds among the pictures of an export.

use std::collections::HashMap;

use crate::resolve::{wiki_order, without_fragment};

/// Where pictures are, by all that a wiki name may say for them, as [`Tree`](crate::resolve::Tree) looks for it;
/// and the names that were left in notes.
#[derive(Debug, Default)]
pub(super) struct WikiNames {
    /// The shortest path, by each of the ends that it has in common with others, in lower case.
    found: HashMap<String, String>,
    /// The place that a name which was left in a note leads to.
    left: HashMap<String, String>,
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

    /// The place that a name finds.
    pub(super) fn find(&self, name: &str) -> Option<&String> {
        self.found.get(&plain(name))
    }

    /// Notes that a name was left in a note, and leads to `place`.
    pub(super) fn leave(&mut self, name: &str, place: &str) {
        self.left.insert(plain(name), place.to_owned());
    }

    /// The places of which a name that was left in a note would be misled by a picture at `place`.
    pub(super) fn misled(&self, place: &str) -> impl Iterator<Item = &String> {
        let lower = place.to_lowercase();
        let left: Vec<_> = ends(&lower).filter_map(|end| self.left.get(end)).collect();
        let place = place.to_owned();
        left.into_iter().filter(move |other| wiki_order(&place) < wiki_order(other))
    }
}

/// A name without `#…` and a slash before it, in lower case.
fn plain(name: &str) -> String {
    without_fragment(name).trim_start_matches('/').to_lowercase()
}

/// A path, and what is left of it behind each slash.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    let behind = path.match_indices('/').filter_map(|(at, _)| path.get(at + 1..));
    std::iter::once(path).chain(behind)
}
