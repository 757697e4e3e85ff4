//! What `![[name]]` finds among the pictures of an export.

use std::collections::HashMap;

use crate::resolve::{wiki_order, wiki_paths, without_fragment};

/// Where pictures are, by all that a wiki name may say for them, as [`Tree`](crate::resolve::Tree) looks for it;
/// and the names that were left in notes.
#[derive(Debug, Default)]
pub(super) struct WikiNames {
    /// The shortest paths, by each of the ends that they have in common with others, in lower case.
    found: HashMap<String, Vec<String>>,
    /// The names that were left in notes and would find anything that ends so if nothing stands where they look
    /// first, in lower case.
    left: HashMap<String, Vec<Left>>,
    /// The same, by the paths where they look first.
    first: HashMap<String, Vec<Left>>,
}

/// A name that was left in a note, or a path where one looks first; and the place that it leads to.
#[derive(Debug)]
struct Left {
    name: String,
    place: String,
}

impl WikiNames {
    pub(super) fn of<'a>(places: impl IntoIterator<Item = &'a String>) -> Self {
        let mut names = Self::default();
        places.into_iter().for_each(|place| names.insert(place));
        names
    }

    /// Adds a picture.
    pub(super) fn insert(&mut self, place: &str) {
        let length = |path: &str| path.chars().count();
        for end in ends(&place.to_lowercase()) {
            let found = self.found.entry(end.to_owned()).or_default();
            let shortest = found.first().map_or(usize::MAX, |other| length(other));
            if length(place) < shortest {
                found.clear();
            }
            // Those that are as long may be in other case.
            if length(place) <= shortest && found.iter().all(|other| other != place) {
                found.push(place.to_owned());
            }
        }
    }

    /// The place that a name finds in a note.
    pub(super) fn find(&self, note: &str, name: &str) -> Option<&String> {
        let name = without_fragment(name);
        let (paths, is_anywhere) = wiki_paths(note, name);
        let exactly = |path: &String| {
            let lower = path.to_lowercase();
            let found = self.found.get(&lower)?.iter();
            let like = found.filter(|found| found.to_lowercase() == lower);
            like.min_by(|one, other| wiki_order(one, path).cmp(&wiki_order(other, path)))
        };
        let first = paths.iter().find_map(exactly);
        first.or_else(|| {
            let name = name.trim_start_matches('/');
            let found = self.found.get(&name.to_lowercase()).filter(|_| is_anywhere)?;
            found.iter().min_by(|one, other| wiki_order(one, name).cmp(&wiki_order(other, name)))
        })
    }

    /// Notes that a name was left in a note, and leads to `place`.
    pub(super) fn leave(&mut self, note: &str, name: &str, place: &str) {
        let left = |name: &str| Left { name: name.to_owned(), place: place.to_owned() };
        let name = without_fragment(name);
        let (paths, is_anywhere) = wiki_paths(note, name);
        for path in paths {
            let lower = path.to_lowercase();
            let is_here = lower == place.to_lowercase();
            self.first.entry(lower).or_default().push(left(&path));
            if is_here {
                return;
            }
        }
        if is_anywhere {
            let name = name.trim_start_matches('/');
            self.left.entry(name.to_lowercase()).or_default().push(left(name));
        }
    }

    /// The places of which a name that was left in a note would be misled by a picture at `place`.
    pub(super) fn misled(&self, place: &str) -> impl Iterator<Item = &String> {
        let lower = place.to_lowercase();
        let before =
            |left: &Left| wiki_order(place, &left.name) < wiki_order(&left.place, &left.name);
        let first = self.first.get(&lower).into_iter().flatten();
        let first = first.filter(|left| left.place.to_lowercase() != lower || before(left));
        let named = ends(&lower).filter_map(|end| self.left.get(end)).flatten();
        let misled: Vec<&Left> = first.chain(named.filter(|left| before(left))).collect();
        misled.into_iter().map(|left| &left.place)
    }
}

/// A path, and what is left of it behind each slash.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    let behind = path.match_indices('/').filter_map(|(at, _)| path.get(at + 1..));
    std::iter::once(path).chain(behind)
}
