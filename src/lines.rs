//! How much two texts have in common, by their lines: whether the one may have been made of the other.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher as _},
};

/// The lines of a text that say something, without what surrounds them, in any order: how often each is there,
/// by its hash.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    times: HashMap<u64, usize>,
    count: usize,
}

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        Self::counted(said(text))
    }

    /// The same, whatever the links and images in them lead to: those of a note that is moved are written anew.
    pub(crate) fn without_links(text: &str) -> Self {
        Self::counted(said(text).map(without_links))
    }

    fn counted(said: impl Iterator<Item: Hash>) -> Self {
        let mut lines = Self::default();
        for line in said {
            let mut hasher = DefaultHasher::new();
            line.hash(&mut hasher);
            *lines.times.entry(hasher.finish()).or_default() += 1;
            lines.count += 1;
        }
        lines
    }

    pub(crate) fn and(&self, other: &Self) -> Common {
        let both = other.times.iter().map(|(line, times)| self.times(*line).min(*times)).sum();
        Common { both, one: self.count, other: other.count }
    }

    fn times(&self, line: u64) -> usize {
        self.times.get(&line).copied().unwrap_or_default()
    }
}

fn said(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// What begins a destination, and what ends it.
const LINKS: [(&str, &[char]); 5] =
    [("](", &[')']), ("[[", &['|', ']']), ("]: ", &[]), ("src=\"", &['"']), ("href=\"", &['"'])];

/// A line with nothing where its destinations were.
fn without_links(line: &str) -> String {
    let (mut left, mut kept) = (line, String::with_capacity(line.len()));
    let first = |text: &str| {
        let found =
            LINKS.iter().filter_map(|(begin, ends)| Some((text.find(begin)? + begin.len(), *ends)));
        found.min_by_key(|(at, _)| *at)
    };
    while let Some((at, ends)) = first(left) {
        let (before, rest) = left.split_at(at);
        kept.push_str(before);
        let end = if ends.is_empty() { None } else { rest.find(ends) };
        left = rest.get(end.unwrap_or(rest.len())..).unwrap_or_default();
    }
    kept + left
}

/// The lines of two texts, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Common {
    /// Those in common.
    pub(crate) both: usize,
    /// Those of the one,
    pub(crate) one: usize,
    /// and of the other.
    pub(crate) other: usize,
}

impl Common {
    /// Whether those in common are more than half of each: a stub that is one line of a long note is no
    /// version of it.
    pub(crate) const fn are_alike(self) -> bool {
        2 * self.both > self.one && 2 * self.both > self.other
    }

    /// Whether they are all there is, of texts that say something.
    pub(crate) const fn are_same(self) -> bool {
        self.both > 0 && self.both == self.one && self.both == self.other
    }

    /// Whether they are not more than half of either: what was a template and is filled in, or was cut down,
    /// is no other text. Of one that said nothing, any may have been made.
    pub(crate) const fn are_unlike(self) -> bool {
        self.one > 0 && 2 * self.both <= self.one && 2 * self.both <= self.other
    }
}
