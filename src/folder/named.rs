//! What a file says for an image, and where that leads.

use super::place::leading;
use crate::{
    note::{
        Embed,
        markdown::{self, Destination, Syntax},
    },
    resolve::{self, Resolution, Tree},
    vault::Listed,
};

/// An embed where it stands.
pub(super) struct At<'a> {
    pub(super) listed: &'a Listed,
    /// The place of the note.
    pub(super) place: &'a str,
    pub(super) embed: &'a Embed,
    pub(super) syntax: Syntax,
}

impl At<'_> {
    pub(super) fn is_wiki(&self) -> bool {
        self.syntax == Syntax::Wiki
    }

    /// What the name says, without escapes and entities.
    pub(super) fn target(&self) -> String {
        let name = &self.embed.name;
        if !name.contains(['\\', '&']) || self.is_wiki() {
            return name.clone();
        }
        let image = match self.syntax {
            Syntax::HtmlSrc | Syntax::HtmlSrcset if name.contains('"') => {
                format!("<img src='{name}'>")
            }
            Syntax::HtmlSrc | Syntax::HtmlSrcset => format!("<img src=\"{name}\">"),
            _ if name.contains(['<', '>']) => format!("![]({name})"),
            _ => format!("![](<{name}>)"),
        };
        let found = markdown::destinations(&image).into_iter().next();
        found.map_or_else(|| name.clone(), |destination| destination.target)
    }

    /// The path of the image in the folder that the note came from, if it lies in that.
    pub(super) fn wanted(&self) -> Option<String> {
        if let Some(path) = &self.embed.path {
            return Some(path.clone());
        }
        let target = self.target();
        let note = self.listed.path.as_deref().unwrap_or(self.place);
        let named = Destination {
            range: 0..0,
            target: target.clone(),
            syntax: Syntax::Inline,
            uses: Vec::new(),
        };
        match resolve::resolve(&Tree::default(), note, &named, false) {
            Resolution::NotLocal(_) => None,
            _ => resolve::relative(note, &target),
        }
    }

    /// A path beside the note, for an image whose name gives none.
    pub(super) fn beside(&self, extension: &str) -> String {
        let short = self.embed.image.short();
        let folder = self.place.rsplit_once('/').map_or("", |(folder, _)| folder);
        let target = self.target();
        let path = target.split(['?', '#']).next().unwrap_or_default();
        let name = path.rsplit(['/', '\\', ':']).next().unwrap_or_default();
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let stem = if stem.is_empty() { "image" } else { stem };
        format!("{folder}/{stem}-{short}.{extension}")
    }

    /// A destination that leads to `place`, and says besides what the name said.
    pub(super) fn rewritten(&self, place: &str) -> String {
        let target = self.target();
        let suffix = target.find(if self.is_wiki() { &['#'][..] } else { &['?', '#'] });
        let suffix = suffix.and_then(|at| target.get(at..)).unwrap_or_default();
        if self.is_wiki() && place.contains(['|', '#', '[', ']']) {
            return self.embed.name.clone(); // No wiki name says that.
        }
        if self.is_wiki() {
            return format!("{place}{suffix}");
        }
        leading(self.place, place, suffix)
    }
}

/// Whether a URL can stand in any syntax as it is.
pub(super) fn is_plain(url: &str) -> bool {
    url.bytes().all(|byte| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'%' | b'@' | b'+')
    })
}
