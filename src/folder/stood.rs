//! What the destinations of a file stood for before, by how they are written: a file may have hundreds of
//! thousands of them.

use std::collections::HashMap;

use super::bookmarks::{Seen, Shown};
use crate::{id::ImageId, note::Target};

/// What destinations stood for.
#[derive(Default)]
pub(super) struct Stood<'a> {
    /// In the file, in its order, by how they were written and whether in `![[…]]`.
    shown: HashMap<(&'a str, bool), Vec<&'a Shown>>,
    /// In the version that was edited, by what they may be called: one for each image.
    named: HashMap<&'a str, Vec<&'a Target>>,
}

impl<'a> Stood<'a> {
    pub(super) fn of(seen: Option<&'a Seen>, names: &'a [(String, Target)]) -> Self {
        let mut stood = Self::default();
        for shown in seen.into_iter().flat_map(|seen| &seen.images) {
            stood.shown.entry((&shown.written, shown.wiki)).or_default().push(shown);
        }
        for (name, target) in names {
            let targets = stood.named.entry(name).or_default();
            if targets.iter().all(|other| other.image != target.image) {
                targets.push(target);
            }
        }
        stood
    }

    /// What a destination stood for that is written like this `nth` times before in the file.
    pub(super) fn shown(&self, written: &str, wiki: bool, nth: usize) -> Option<&'a Shown> {
        let all = self.shown.get(&(written, wiki))?;
        all.get(nth).or(all.last()).copied()
    }

    /// The image that the edited version calls so, if it is `image`.
    pub(super) fn named(&self, name: &str, image: Option<ImageId>) -> Option<&'a Target> {
        let fits = |target: &&&Target| image.is_none_or(|image| target.image == image);
        self.named.get(name)?.iter().find(fits).copied()
    }
}
