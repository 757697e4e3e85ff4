//! What the destinations of a file stood for before, by how they are written: a file may have hundreds of
//! thousands of them.

use std::collections::{HashMap, HashSet};

use super::bookmarks::{Seen, Shown};
use crate::{
    id::ImageId,
    note::{Body, Target, markdown::Syntax},
};

/// The names in a version of a note, each with whether it stands in `![[…]]`.
pub(super) type Said = HashSet<(String, bool)>;

/// The names of the images in `body`, where they stand in one.
pub(super) fn said(body: &Body) -> Said {
    let mut said = Said::new();
    let _ = body.render(|embed, syntax| {
        said.insert((embed.name.clone(), syntax? == Syntax::Wiki));
        None
    });
    said
}

/// What destinations stood for.
#[derive(Default)]
pub(super) struct Stood<'a> {
    /// In the file, in its order, by how they were written and whether in `![[…]]`.
    shown: HashMap<(&'a str, bool), Vec<&'a Shown>>,
    /// In the version that was edited, by what they may be called: one for each image.
    named: HashMap<&'a str, Vec<&'a Target>>,
    /// In which syntax they stand there.
    said: Option<&'a Said>,
}

impl<'a> Stood<'a> {
    pub(super) fn of(
        seen: Option<&'a Seen>,
        names: &'a [(String, Target)],
        said: &'a Said,
    ) -> Self {
        let mut stood = Self { said: Some(said), ..Self::default() };
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

    /// The image that the edited version calls so, if it is `image`. What a name says of a file, it says in the
    /// syntax that it stands in there: in `![[…]]` and elsewhere it leads to two.
    pub(super) fn named(
        &self,
        name: &str,
        wiki: bool,
        image: Option<ImageId>,
    ) -> Option<&'a Target> {
        let is_anywhere = name.starts_with("blake3:") || name.contains("://");
        let is_said = || self.said.is_some_and(|said| said.contains(&(name.to_owned(), wiki)));
        let fits = |target: &&&Target| {
            image.is_none_or(|image| target.image == image)
                && (is_anywhere || target.name.as_deref() != Some(name) || is_said())
        };
        self.named.get(name)?.iter().find(fits).copied()
    }
}
