//! Images that files of a folder name without showing them: in links, in front matter, on canvases.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{BTreeSet, HashMap, HashSet},
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use regex::Regex;
use walkdir::{DirEntry, WalkDir};

use crate::{
    folder::{bookmarks::Bookmarks, kept::EXPORT_FILE},
    image::MediaType,
    resolve::{decoded, file_name, fold},
};

/// Larger files are not looked through, in bytes.
const LARGEST: u64 = 16 << 20;
/// How much of a file says whether it is a text, in bytes.
const BEGIN: u64 = 4096;
/// How many names are looked for at once.
const AT_ONCE: usize = 256;

/// The images at these places whose file names stand in a file of `folder`, in any case and however they are escaped,
/// each with that file. What stands there for an image that the file shows is no name of another. Hidden folders are
/// looked through as well, as those of other programs, but for that of Git and the `vault`.
pub(super) fn named<'a>(
    folder: &Path,
    vault: &Path,
    bookmarks: &Bookmarks,
    images: impl Iterator<Item = &'a String>,
) -> HashMap<&'a String, String> {
    let mut places: HashMap<String, Vec<&String>> = HashMap::new();
    for place in images {
        places.entry(fold(file_name(place))).or_default().push(place);
    }
    let mut names: Vec<&String> = places.keys().collect();
    // One may begin with another.
    names.sort_by_key(|name| Reverse(name.len()));
    let patterns = names.chunks(AT_ONCE).filter_map(|names| {
        let names: Vec<String> = names.iter().map(|name| regex::escape(name)).collect();
        Regex::new(&names.join("|")).ok()
    });
    let patterns: Vec<Regex> = patterns.collect();
    let is_named = |text: &str| patterns.iter().any(|pattern| pattern.is_match(text));
    let vault = vault.canonicalize().unwrap_or_else(|_| vault.to_owned());
    let is_others = |entry: &DirEntry| {
        entry.depth() == 0 || entry.file_name() != ".git" && entry.path() != vault
    };
    let mut by = HashMap::new();
    for entry in WalkDir::new(folder).into_iter().filter_entry(is_others).flatten() {
        let Some(mut text) = text(&entry) else { continue };
        let file = entry.path().strip_prefix(folder).unwrap_or(entry.path()).display().to_string();
        let shown = bookmarks.notes.get(&file).into_iter().flat_map(|seen| &seen.images);
        let shown: HashSet<&String> = shown.map(|shown| &shown.written).collect();
        for written in shown.into_iter().filter(|written| is_named(&fold(&decoded(written)))) {
            text = text.replace(written, "");
        }
        let plain = unescaped(&text);
        for text in BTreeSet::from([&*text, &*decoded(&text), &*plain, &*decoded(&plain)]) {
            let text = fold(text);
            let found = patterns.iter().flat_map(|pattern| pattern.find_iter(&text));
            for place in found.filter_map(|found| places.get(found.as_str())).flatten() {
                by.entry(*place).or_insert_with(|| file.clone());
            }
        }
    }
    by
}

/// What is in a file, if it is a text.
fn text(entry: &DirEntry) -> Option<String> {
    let extension = entry.path().extension().unwrap_or_default().to_string_lossy();
    let media_type = MediaType::from_extension(&extension.to_ascii_lowercase());
    let is_picture = media_type.is_some_and(|is| is != MediaType::Svg);
    let is_small = || entry.metadata().is_ok_and(|metadata| metadata.len() <= LARGEST);
    if !entry.file_type().is_file() || is_picture || entry.file_name() == EXPORT_FILE || !is_small()
    {
        return None;
    }
    let mut begin = Vec::new();
    File::open(entry.path()).ok()?.take(BEGIN).read_to_end(&mut begin).ok()?;
    if begin.contains(&0) {
        return None;
    }
    Some(String::from_utf8_lossy(&fs::read(entry.path()).ok()?).into_owned())
}

/// A text without the escapes of Markdown and JSON, and the entities of HTML.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '&']) {
        return Cow::Borrowed(text);
    }
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(['\\', '&']) {
        let (before, escaped) = rest.split_at(at);
        plain.push_str(before);
        let (c, length) = unit(escaped)
            .or_else(|| entity(escaped))
            .or_else(|| {
                let c = escaped.strip_prefix('\\')?.chars().next()?;
                c.is_ascii_punctuation().then_some((c, 2))
            })
            .unwrap_or(if escaped.starts_with('\\') { ('\\', 1) } else { ('&', 1) });
        plain.push(c);
        rest = escaped.get(length..).unwrap_or_default();
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// What a text begins with that is escaped as in JSON, as `\u00e9`, and how long that is.
fn unit(text: &str) -> Option<(char, usize)> {
    let hex = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = hex(0)?;
    if let Some(Ok(c)) = char::decode_utf16([first]).next() {
        return Some((c, 6));
    }
    let c = char::decode_utf16([first, hex(6)?]).next()?.ok()?;
    Some((c, 12))
}

/// What a text begins with that is an entity, and how long that is.
fn entity(text: &str) -> Option<(char, usize)> {
    let (name, _) = text.strip_prefix('&')?.split_once(';').filter(|(name, _)| name.len() < 10)?;
    let number = |name: &str| match name.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => name.parse().ok(),
    };
    let c = match (name, name.strip_prefix('#')) {
        (_, Some(name)) => number(name).and_then(char::from_u32)?,
        ("amp", _) => '&',
        ("lt", _) => '<',
        ("gt", _) => '>',
        ("quot", _) => '"',
        ("apos", _) => '\'',
        _ => return None,
    };
    Some((c, name.len() + 2))
}
