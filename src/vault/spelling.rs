//! What stands for an image in a text that people read: its URL, its local file, or its hash.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::{Vault, VaultError, notes::Reading};
use crate::{
    id::ImageId,
    note::{
        Body, Embed, Target,
        markdown::{Destination, Syntax},
    },
    projection::{catalog, receipts},
    remote::{Key, public_url},
};

/// What would end a destination in one syntax or another, but is no part of a URL's grammar.
const URL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'`')
    .add(b'|');

/// Besides, what would mean something else in a URL than in a path.
const FILE: &AsciiSet =
    &URL.add(b'#').add(b'%').add(b'&').add(b'*').add(b',').add(b'?').add(b'[').add(b']').add(b'^');

/// What can't stand in a wiki name, or would not be the name alone.
const NOT_IN_WIKI: [char; 7] = ['[', ']', '|', '#', '^', '<', '`'];

/// The spellings of the images of a note.
#[derive(Debug)]
pub(super) struct Spellings {
    urls: BTreeMap<ImageId, String>,
    files: BTreeMap<ImageId, PathBuf>,
    /// What else each may have been shown as: its file here, be it there now or not, and its URLs under all
    /// public addresses that remotes have or had.
    before: BTreeMap<ImageId, (PathBuf, Vec<String>)>,
}

impl Spellings {
    pub(super) fn of(vault: &Vault, reading: &Reading) -> Result<Self, VaultError> {
        let known = vault.image_urls(reading.note)?.into_iter();
        let urls = known.filter_map(|(image, url)| Some((image, url?))).collect();
        let (mut files, mut before) = (BTreeMap::new(), BTreeMap::new());
        let images = reading.body.images();
        let bases = if images.is_empty() { Vec::new() } else { receipts::bases(vault.db())? };
        for image in images {
            let Some(record) = catalog::image_record(vault.db(), image)? else { continue };
            let file = vault.images().path(image, record.media_type);
            if record.local {
                files.insert(image, file.clone());
            }
            let key = Key::Image { image, media_type: record.media_type };
            let urls = bases.iter().map(|base| public_url(base, &key)).collect();
            before.insert(image, (file, urls));
        }
        Ok(Self { urls, files, before })
    }

    /// What is shown in place of a name: nothing else where it stands in no image.
    pub(super) fn shown(&self, embed: &Embed, syntax: Option<Syntax>) -> Option<String> {
        let syntax = syntax?;
        let url = self.urls.get(&embed.image).and_then(|url| written(url, syntax));
        let file = || self.files.get(&embed.image).and_then(|file| written_file(file, syntax));
        Some(url.or_else(file).unwrap_or_else(|| hash(embed.image)))
    }

    /// All that an image may be called, in any syntax.
    fn all(&self, embed: &Embed) -> Vec<String> {
        let mut all = vec![embed.name.clone(), hash(embed.image)];
        let before = self.before.get(&embed.image);
        let former = before.map(|(_, urls)| urls.as_slice()).unwrap_or_default();
        for url in self.urls.get(&embed.image).into_iter().chain(former) {
            all.extend(written(url, Syntax::Inline));
            all.push(url.clone());
        }
        if let Some((file, _)) = before {
            all.extend(written_file(file, Syntax::Inline));
            all.push(file.display().to_string());
        }
        all
    }
}

fn hash(image: ImageId) -> String {
    format!("blake3:{image}")
}

/// A URL as it can stand in `syntax`, if it can.
fn written(url: &str, syntax: Syntax) -> Option<String> {
    let written = percent_encode(url.as_bytes(), URL).to_string();
    (syntax != Syntax::Wiki || !written.contains(['[', ']'])).then_some(written)
}

/// A path as it can stand in `syntax`, if it can. Wiki names are the only ones that are not decoded.
fn written_file(file: &Path, syntax: Syntax) -> Option<String> {
    if syntax != Syntax::Wiki {
        return Some(percent_encode(file.as_os_str().as_encoded_bytes(), FILE).to_string());
    }
    let written = file.to_str()?;
    let fits = !written.contains(NOT_IN_WIKI) && !written.contains(char::is_control);
    fits.then(|| written.to_owned())
}

/// The embeds of a reading, to be found in a new text of it by what they are called.
#[derive(Debug)]
pub(super) struct Known<'a> {
    by_name: HashMap<String, Vec<&'a Embed>>,
    /// For each, how often the new text has yet to show it for all of them to be there.
    left: HashMap<&'a Embed, usize>,
}

impl<'a> Known<'a> {
    pub(super) fn of(body: &'a Body, spellings: &Spellings) -> Self {
        let mut known = Self { by_name: HashMap::new(), left: HashMap::new() };
        for embed in body.embeds() {
            let left = known.left.entry(embed).or_insert(0);
            *left += 1;
            if *left == 1 {
                for name in spellings.all(embed) {
                    known.by_name.entry(name).or_default().push(embed);
                }
            }
        }
        known
    }

    /// What `destination` names: the embed that stood there, else one called so, first those that the
    /// new text has not shown as often as the old one did.
    pub(super) fn find(
        &mut self,
        destination: &Destination,
        written: &str,
        stood: Option<&Embed>,
    ) -> Option<Target> {
        let called = |name: &str| {
            let embeds = self.by_name.get(name)?;
            let mut left = embeds.iter().filter(|embed| self.left.get(*embed) > Some(&0));
            left.next().or(embeds.first()).copied()
        };
        let embed = match stood {
            Some(embed) => embed,
            None => called(written).or_else(|| called(&destination.target))?,
        };
        if let Some(left) = self.left.get_mut(embed) {
            *left = left.saturating_sub(1);
        }
        Some(Target {
            image: embed.image,
            path: embed.path.clone(),
            name: Some(embed.name.clone()),
        })
    }
}

impl Vault {
    /// All that the images of a reading may be called in a new text of it.
    pub(crate) fn names(&self, reading: &Reading) -> Result<Vec<(String, Target)>, VaultError> {
        let spellings = Spellings::of(self, reading)?;
        let named = reading.body.embeds().flat_map(|embed| {
            let target = Target {
                image: embed.image,
                path: embed.path.clone(),
                name: Some(embed.name.clone()),
            };
            spellings.all(embed).into_iter().map(move |name| (name, target.clone()))
        });
        Ok(named.collect())
    }
}
