//! How much two texts have in common, by their lines: whether the one may have been made of the other.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
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
        let mut lines = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
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

    /// Whether they are not more than half of either: what was a template and is filled in, or was cut down,
    /// is no other text. Of one that said nothing, any may have been made.
    pub(crate) const fn are_unlike(self) -> bool {
        self.one > 0 && 2 * self.both <= self.one && 2 * self.both <= self.other
    }
}
