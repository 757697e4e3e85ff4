//! Which file of a folder an image destination means. Pure: it knows paths, not files.
//!
//! Markdown and HTML destinations are relative to the note, percent-decoded, in exact case; `/x` is
//! relative to the folder, and nothing above the folder is ever meant. Wiki names are looked for by
//! file name everywhere, in any case; given with folders, the path must end so; the path itself comes first,
//! then the note's own folder, then the shortest path, and of several that are as long one in the case of the
//! name. `./x` and `../x` are relative to the note.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use icu_normalizer::ComposingNormalizerBorrowed;
use percent_encoding::percent_decode_str;

use crate::note::markdown::{Destination, Syntax};

/// The files of a folder by their paths, which are relative to it and written with `/`.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    paths: BTreeSet<String>,
    /// Paths by what is left of them without case and Unicode composition.
    folded: HashMap<String, Vec<String>>,
    /// Paths by the folded file name, the shortest first.
    names: HashMap<String, Vec<String>>,
}

/// What a destination means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// A file.
    Found {
        /// Its path.
        path: String,
        /// Whether [`relative`] gives this path too, so that it need not be remembered.
        derived: bool,
    },
    /// A file that is not there.
    Missing {
        /// What a more forgiving reader would take instead.
        hint: Option<(Rule, String)>,
    },
    /// No file of the folder.
    NotLocal(NotLocal),
}

/// What a destination is that means no file of the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotLocal {
    /// `http:`, `https:`, or `//host/…`.
    Remote,
    /// `data:`
    DataUri,
    /// Any other scheme, such as `file:` or `app:`; also a Windows drive.
    OtherScheme,
    /// Nothing.
    Empty,
    /// `:/` and 32 hex digits: a resource of Joplin.
    JoplinResource,
}

/// What was forgiven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The path differs in case.
    Case,
    /// The path differs in Unicode composition.
    UnicodeNormalisation,
    /// `\` stands for `/`.
    Backslash,
    /// `../` above the folder was dropped, as browsers do.
    ClampedAtRoot,
    /// Found by its name or the end of its path, as Obsidian does.
    ObsidianName,
}

impl Tree {
    /// The tree of these files.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = String>) -> Self {
        let paths: BTreeSet<String> = paths.into_iter().collect();
        let mut tree = Self::default();
        for path in &paths {
            let folded = fold(path);
            tree.names.entry(file_name(&folded).to_owned()).or_default().push(path.clone());
            tree.folded.entry(folded).or_default().push(path.clone());
        }
        for paths in tree.names.values_mut() {
            paths.sort_by_cached_key(|path| (path.chars().count(), path.clone()));
        }
        tree.paths = paths;
        tree
    }

    /// The paths of all files, in order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &String> {
        self.paths.iter()
    }

    /// Whether a file has exactly this path.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// The file whose path differs from `path` at most in case or composition, and in which of them.
    fn similar(&self, path: &str) -> Option<(Rule, &String)> {
        let similar = self.folded.get(&fold(path))?;
        let composed = nfc(path);
        match similar.iter().find(|one| nfc(one) == composed) {
            Some(one) => Some((Rule::UnicodeNormalisation, one)),
            None => similar.first().map(|one| (Rule::Case, one)),
        }
    }

    /// The file whose path differs from `path` at most in composition.
    pub(crate) fn spelled(&self, path: &str) -> Option<&String> {
        let (rule, spelled) = self.similar(path)?;
        (rule == Rule::UnicodeNormalisation).then_some(spelled)
    }

    /// The file that a wiki name means, or it and `.md`, in the note at `note_path`; equal after `same`.
    fn named(&self, note_path: &str, name: &str, same: fn(&str) -> String) -> Option<&String> {
        let meant = |name: &str| {
            let (paths, is_anywhere) = wiki_paths(note_path, name);
            let first = paths.iter().find_map(|path| self.like(path, same));
            first
                .or_else(|| self.ending(name.trim_start_matches('/'), same).filter(|_| is_anywhere))
        };
        meant(name).or_else(|| meant(&format!("{name}.md")))
    }

    /// The file of a path; equal after `same`.
    fn like(&self, path: &str, same: fn(&str) -> String) -> Option<&String> {
        let same_path = same(path);
        let like = self.folded.get(&fold(path))?.iter().filter(|other| same(other) == same_path);
        like.min_by(|one, other| wiki_order(one, path).cmp(&wiki_order(other, path)))
    }

    /// The shortest path that ends in a name; equal after `same`.
    fn ending(&self, name: &str, same: fn(&str) -> String) -> Option<&String> {
        let wanted = same(name);
        let ends = |path: &&String| {
            let path = same(path);
            let front = path.strip_suffix(&wanted);
            front.is_some_and(|front| front.is_empty() || front.ends_with('/'))
        };
        // They are in order, but for the case of the name.
        let mut ending = self.names.get(file_name(&fold(name)))?.iter().filter(ends).peekable();
        let length = ending.peek()?.chars().count();
        let shortest = ending.take_while(|path| path.chars().count() == length);
        shortest.min_by(|one, other| wiki_order(one, name).cmp(&wiki_order(other, name)))
    }
}

/// What `destination` means in the note at `note_path`; `lenient` takes a hint for the answer.
#[must_use]
pub fn resolve(
    tree: &Tree,
    note_path: &str,
    destination: &Destination,
    lenient: bool,
) -> Resolution {
    let target = destination.target.as_str();
    let wiki = destination.syntax == Syntax::Wiki;
    if let Some(kind) = not_local(target).filter(|kind| !wiki || *kind == NotLocal::Empty) {
        return Resolution::NotLocal(kind);
    }
    let name = without_fragment(target);
    let strict = if wiki {
        tree.named(note_path, name, str::to_lowercase).cloned()
    } else {
        relative(note_path, target).filter(|path| tree.contains(path))
    };
    if let Some(path) = strict {
        let derived = relative(note_path, target).as_ref() == Some(&path);
        return Resolution::Found { path, derived };
    }
    let hint = if wiki {
        tree.named(note_path, name, fold).map(|path| (Rule::UnicodeNormalisation, path.clone()))
    } else {
        forgiving(tree, note_path, target)
    };
    match hint {
        Some((_, path)) if lenient => Resolution::Found { path, derived: false },
        hint => Resolution::Missing { hint },
    }
}

/// The path that `target` gives, relative to the note: without `?…` and `#…`, percent-decoded.
/// `None` where it leads above the folder or to no file.
#[must_use]
pub fn relative(note_path: &str, target: &str) -> Option<String> {
    join(note_path, &path_of(target)?, false)
}

fn not_local(target: &str) -> Option<NotLocal> {
    let target = target.trim();
    if target.is_empty() {
        return Some(NotLocal::Empty);
    }
    if target.starts_with("//") {
        return Some(NotLocal::Remote);
    }
    let is_resource = |rest: &str| {
        let id = without_suffix(rest);
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if target.strip_prefix(":/").is_some_and(is_resource) {
        return Some(NotLocal::JoplinResource);
    }
    let (scheme, _) = target.split_once(':')?;
    let mut characters = scheme.chars();
    let is_scheme = characters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-'));
    is_scheme.then(|| match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => NotLocal::Remote,
        "data" => NotLocal::DataUri,
        _ => NotLocal::OtherScheme,
    })
}

/// What a forgiving reader takes where the strict rules find nothing.
fn forgiving(tree: &Tree, note_path: &str, target: &str) -> Option<(Rule, String)> {
    let path = path_of(target)?;
    let near = |path: Option<String>| {
        let path = path?;
        if tree.contains(&path) {
            return Some((None, path));
        }
        tree.similar(&path).map(|(rule, path)| (Some(rule), path.clone()))
    };
    if let Some((Some(rule), path)) = near(join(note_path, &path, false)) {
        return Some((rule, path));
    }
    let slashed = path.replace('\\', "/");
    if slashed != path
        && let Some((_, path)) = near(join(note_path, &slashed, false))
    {
        return Some((Rule::Backslash, path));
    }
    if let Some((_, path)) = near(join(note_path, &slashed, true)) {
        return Some((Rule::ClampedAtRoot, path));
    }
    // What says where it is means nothing elsewhere: another note's picture of that name, for instance.
    if is_relative(&slashed) {
        return None;
    }
    let named = normal("", slashed.trim_start_matches('/'), true)?;
    tree.ending(&named, fold).map(|path| (Rule::ObsidianName, path.clone()))
}

/// What a name comes to when it is percent-decoded.
pub(crate) fn decoded(name: &str) -> Cow<'_, str> {
    percent_decode_str(name).decode_utf8_lossy()
}

/// The path without `?…` and `#…`, percent-decoded; `None` where that is no text.
fn path_of(target: &str) -> Option<String> {
    percent_decode_str(without_suffix(target.trim())).decode_utf8().ok().map(Into::into)
}

fn join(note_path: &str, path: &str, clamp: bool) -> Option<String> {
    let folder = note_path.rsplit_once('/').map_or("", |(folder, _)| folder);
    match path.strip_prefix('/') {
        Some(absolute) => normal("", absolute, clamp),
        None => normal(folder, path, clamp),
    }
}

/// `folder/path` without `.` and `..`; `None` where that is the root, or above it and not clamped.
fn normal(folder: &str, path: &str, clamp: bool) -> Option<String> {
    if path.is_empty() {
        return None;
    }
    let mut parts = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() && !clamp {
                    return None;
                }
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn without_suffix(target: &str) -> &str {
    target.split(['?', '#']).next().unwrap_or_default()
}

/// Where `![[name]]` is looked for in the note at `note_path`: at these paths, one after the other, and then at
/// all that end so, unless the name says where it is.
pub(crate) fn wiki_paths(note_path: &str, name: &str) -> (Vec<String>, bool) {
    if is_relative(name) {
        return (join(note_path, name, false).into_iter().collect(), false);
    }
    if let Some(name) = name.strip_prefix('/') {
        return (vec![name.trim_start_matches('/').to_owned()], true);
    }
    let beside = note_path.rsplit_once('/').map(|(folder, _)| format!("{folder}/{name}"));
    (std::iter::once(name.to_owned()).chain(beside).collect(), true)
}

/// Whether a wiki name says where it is, from the note on.
pub(crate) fn is_relative(name: &str) -> bool {
    name.starts_with("./") || name.starts_with("../")
}

/// The order in which `![[name]]` looks at paths that end so: the shortest first, then those in the same case, if
/// only that of the file's name.
pub(crate) fn wiki_order<'a>(path: &'a str, name: &str) -> (usize, bool, bool, &'a str) {
    let (exact, nearly) = (path.ends_with(name), path.ends_with(file_name(name)));
    (path.chars().count(), !exact, !nearly, path)
}

/// Whether a forgiving reader takes the file at `path` for `![[name]]` in the note at `note_path`, if it is the only
/// one that is like it.
pub(crate) fn is_near(note_path: &str, name: &str, path: &str) -> bool {
    let tree = Tree::new([path.to_owned()]);
    tree.named(note_path, without_fragment(name), fold).is_some()
}

pub(crate) fn without_fragment(target: &str) -> &str {
    target.split('#').next().unwrap_or_default().trim_end()
}

/// The last name of a path.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// A text with letters and accents in one: which of the two spellings a file's name has, systems change.
pub(crate) fn nfc(text: &str) -> String {
    ComposingNormalizerBorrowed::new_nfc().normalize(text).into_owned()
}

/// A text without case and Unicode composition.
pub(crate) fn fold(text: &str) -> String {
    nfc(&nfc(text).to_lowercase())
}
