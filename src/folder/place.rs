//! Names that are safe in any folder, and who has which.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::walk::is_note;
use crate::id::ImageId;

/// The longest name that every file system takes, in bytes.
const LONGEST_NAME: usize = 255;
/// Well below the longest path that Linux takes, in bytes.
const LONGEST_PATH: usize = 2048;
/// What a title gives to a file name at most, in bytes.
const LONGEST_TITLE: usize = 120;

/// What need not be encoded in a destination, whatever stands around it.
const DESTINATION: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What may stand in a suffix besides.
const SUFFIX: &AsciiSet = &DESTINATION.remove(b'?').remove(b'#').remove(b'%').remove(b'=');

/// `path` as it can be written below a folder on any system: it stays as it is, unless a part of it
/// would lead elsewhere, is hidden, or is no name on Windows.
pub(super) fn safe(path: &str) -> Option<String> {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    fitting(parts.map(safe_name).collect())
}

/// A path of these names, or the last alone where it is too long.
fn fitting(parts: Vec<String>) -> Option<String> {
    let path = parts.join("/");
    if path.len() > LONGEST_PATH { parts.into_iter().next_back() } else { Some(path) }
        .filter(|path| !path.is_empty())
}

/// The same below `folder`, where what is there already is called what it is called, whoever named it.
pub(super) fn safe_in(folder: &Path, path: &str) -> Option<String> {
    let mut below = folder.to_path_buf();
    let mut is_there = true;
    let mut kept = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | "." | "..")) {
        below.push(part);
        is_there &= !part.starts_with('.')
            && fs::symlink_metadata(&below).is_ok_and(|there| !there.is_symlink());
        kept.push(if is_there { part.to_owned() } else { safe_name(part) });
    }
    fitting(kept)
}

/// Whether `path` leads to nothing but a file below a folder, and one that is not hidden.
pub(super) fn is_below(path: &str) -> bool {
    path.len() <= LONGEST_PATH
        && path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

/// The place of a note that came from `path`, below `folder`.
pub(super) fn safe_note(folder: &Path, path: &str) -> Option<String> {
    let place = safe_in(folder, path)?;
    Some(if is_note(&place) { place } else { safe_in(folder, &format!("{place}.md"))? })
}

/// The place of a note that came from nowhere.
pub(super) fn titled(title: &str) -> Option<String> {
    let plain = |c: char| match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | '#' | '[' | ']' | '^' => '-',
        c if c.is_control() => ' ',
        c => c,
    };
    let title: String = title.chars().map(plain).collect();
    let title = cut(title.trim().trim_end_matches('.'), LONGEST_TITLE).trim();
    if title.is_empty() { None } else { safe(&format!("{title}.md")) }
}

fn safe_name(name: &str) -> String {
    let mut safe: String =
        name.chars().map(|c| if c.is_control() || c == '\\' { '_' } else { c }).collect();
    if safe.starts_with('.') {
        safe.replace_range(..1, "_");
    }
    if safe.ends_with(['.', ' ']) {
        safe.pop();
        safe.push('_');
    }
    let stem = safe.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = |port: &str| {
        stem.strip_prefix(port)
            .is_some_and(|number| number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit()))
    };
    let device = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$");
    if device || numbered("COM") || numbered("LPT") {
        safe.insert(0, '_');
    }
    if safe.len() > LONGEST_NAME {
        let (stem, extension) = split(&safe);
        let extension = if extension.len() > 16 { "" } else { extension };
        safe = format!("{}{extension}", cut(stem, LONGEST_NAME - 32));
    }
    safe
}

fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// A path without its extension, and that with its dot.
fn split(path: &str) -> (&str, &str) {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    match path.rfind('.') {
        Some(dot) if dot > name => path.split_at(dot),
        _ => (path, ""),
    }
}

/// `place` with `-tag` before its extension.
pub(super) fn tagged(place: &str, tag: &str) -> String {
    let (stem, extension) = split(place);
    let name = stem.rfind('/').map_or(0, |slash| slash + 1);
    let (folders, name) = stem.split_at(name);
    let room = LONGEST_NAME.saturating_sub(extension.len() + tag.len() + 1);
    format!("{folders}{}-{tag}{extension}", cut(name, room))
}

/// Who has which place in a folder.
#[derive(Debug, Default)]
pub(super) struct Places {
    files: HashSet<String>,
    folders: HashSet<String>,
    images: HashMap<String, ImageId>,
}

impl Places {
    /// A place for a note: `wanted`, or one with the tag in its name if that is taken.
    pub(super) fn note(&mut self, wanted: &str, tag: &str) -> String {
        let place = self.find(wanted, tag, Places::is_free);
        self.take(&place);
        place
    }

    /// A place for an image: `wanted`, or one with a part of its hash in its name if another has that.
    pub(super) fn image(&mut self, wanted: &str, image: ImageId) -> String {
        let hex = image.to_string();
        let place = self.find(wanted, &hex, |places, place| {
            places.images.get(place).map_or_else(|| places.is_free(place), |has| *has == image)
        });
        self.take(&place);
        self.images.insert(place.clone(), image);
        place
    }

    /// Gives a place up that turned out to be another's; nobody else gets it.
    pub(super) fn retire(&mut self, place: &str) {
        self.images.remove(place);
    }

    /// Leaves a place to the image that is there.
    pub(super) fn keep(&mut self, place: &str, image: ImageId) {
        if self.is_free(place) {
            self.take(place);
            self.images.insert(place.to_owned(), image);
        }
    }

    /// The image at a place.
    pub(super) fn image_at(&self, place: &str) -> Option<ImageId> {
        self.images.get(place).copied()
    }

    fn find(&self, wanted: &str, tag: &str, fits: impl Fn(&Self, &str) -> bool) -> String {
        let short: String = tag.chars().take(8).collect();
        let bare = wanted.rsplit('/').next().unwrap_or(wanted);
        let candidates =
            [wanted.to_owned(), tagged(wanted, &short), tagged(bare, &short), tagged(bare, tag)];
        let fitting = candidates.into_iter().find(|place| fits(self, place));
        // Nothing else is named by all of an id or hash, so this one is free.
        fitting.unwrap_or_else(|| format!("{tag}{}", split(bare).1))
    }

    fn is_free(&self, place: &str) -> bool {
        let above = place
            .match_indices('/')
            .any(|(slash, _)| place.get(..slash).is_some_and(|folder| self.files.contains(folder)));
        !above && !self.files.contains(place) && !self.folders.contains(place)
    }

    fn take(&mut self, place: &str) {
        let above = place.match_indices('/').filter_map(|(slash, _)| place.get(..slash));
        self.folders.extend(above.map(str::to_owned));
        self.files.insert(place.to_owned());
    }
}

/// The destination that leads from the note at `note` to `place`, with `suffix` (`?…` or `#…`) behind
/// it; fits in every syntax but a wiki name.
pub(super) fn leading(note: &str, place: &str, suffix: &str) -> String {
    let from: Vec<&str> = note.split('/').collect();
    let from = from.split_last().map_or(&[][..], |(_, folders)| folders);
    let to: Vec<&str> = place.split('/').collect();
    let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let common = common.min(to.len().saturating_sub(1));
    let up = from.iter().skip(common).map(|_| "..");
    let path: Vec<&str> = up.chain(to.iter().skip(common).copied()).collect();
    let (path, suffix) = (path.join("/"), utf8_percent_encode(suffix, SUFFIX));
    format!("{}{suffix}", utf8_percent_encode(&path, DESTINATION))
}
