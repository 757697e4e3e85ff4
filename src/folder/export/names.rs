//! Images that files of a folder name without showing them: in links, in front matter, on canvases.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use regex::Regex;

use crate::{folder::bookmarks::Bookmarks, resolve::decoded};

/// How the names of files end that may name others.
const TEXTS: [&str; 10] =
    ["md", "markdown", "canvas", "base", "html", "htm", "txt", "json", "org", "css"];
/// Larger ones are not looked through, in bytes.
const LARGEST: u64 = 16 << 20;
/// How many names are looked for at once.
const AT_ONCE: usize = 256;

/// The images at these places whose file names stand in one of these files of `folder`, each with that file. What
/// stands there for an image that the file shows is no name of another.
pub(super) fn named<'a>(
    folder: &Path,
    bookmarks: &Bookmarks,
    images: impl Iterator<Item = &'a String>,
    files: impl Iterator<Item = &'a String>,
) -> HashMap<&'a String, &'a String> {
    let mut places: HashMap<&str, Vec<&String>> = HashMap::new();
    for place in images {
        places.entry(name(place)).or_default().push(place);
    }
    let mut names: Vec<&str> = places.keys().copied().collect();
    // One may begin with another.
    names.sort_by_key(|name| Reverse(name.len()));
    let patterns = names.chunks(AT_ONCE).filter_map(|names| {
        let names: Vec<String> = names.iter().map(|name| regex::escape(name)).collect();
        Regex::new(&names.join("|")).ok()
    });
    let patterns: Vec<Regex> = patterns.collect();
    let is_named = |text: &str| patterns.iter().any(|pattern| pattern.is_match(text));
    let mut by = HashMap::new();
    for file in files.filter(|file| is_text(file)) {
        let path = folder.join(file);
        if path.metadata().is_ok_and(|metadata| metadata.len() > LARGEST) {
            continue;
        }
        let Ok(bytes) = fs::read(path) else { continue };
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        let shown = bookmarks.notes.get(file).into_iter().flat_map(|seen| &seen.images);
        let shown: HashSet<&String> = shown.map(|shown| &shown.written).collect();
        for written in shown.into_iter().filter(|written| is_named(&decoded(written))) {
            text = text.replace(written, "");
        }
        for text in [&*text, &*decoded(&text)] {
            let found = patterns.iter().flat_map(|pattern| pattern.find_iter(text));
            for place in found.filter_map(|found| places.get(found.as_str())).flatten() {
                by.entry(*place).or_insert(file);
            }
        }
    }
    by
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn is_text(file: &str) -> bool {
    let extension = Path::new(file).extension().unwrap_or_default();
    TEXTS.iter().any(|text| extension.eq_ignore_ascii_case(text))
}
