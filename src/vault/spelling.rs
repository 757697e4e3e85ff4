//! What stands for an image in a text that people read: its URL, its local file, or its hash.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::{Vault, VaultError, notes::Reading};
use crate::{
    id::ImageId,
    image::MediaType,
    note::{
        Body, Embed, Target,
        markdown::{Destination, Syntax},
    },
    projection::{catalog::ImageRecord, receipts},
    remote::{Key, public_url},
    resolve::decoded,
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
    images: BTreeMap<ImageId, Kept>,
    /// The public addresses that remotes have and had.
    pub(super) bases: Vec<String>,
}

/// Where an image is kept.
#[derive(Debug)]
struct Kept {
    media_type: MediaType,
    /// Its file on this device, whether it is there or not.
    file: PathBuf,
    is_here: bool,
}

impl Spellings {
    pub(super) fn of(vault: &Vault, reading: &Reading) -> Result<Self, VaultError> {
        let known = vault.image_urls(reading.note)?.into_iter();
        let urls = known.filter_map(|(image, url)| Some((image, url?))).collect();
        let mut images = BTreeMap::new();
        for image in reading.body.images() {
            if let Some(ImageRecord { media_type, local: is_here, .. }) =
                vault.image_record(image)?
            {
                let file = vault.images().path(image, media_type);
                images.insert(image, Kept { media_type, file, is_here });
            }
        }
        Ok(Self { urls, images, bases: receipts::bases(vault.db())? })
    }

    /// What is shown in place of a name: nothing else where it stands in no image.
    pub(super) fn shown(&self, embed: &Embed, syntax: Option<Syntax>) -> Option<String> {
        let syntax = syntax?;
        let url = self.urls.get(&embed.image).and_then(|url| written(url, syntax));
        let here = || self.images.get(&embed.image).filter(|kept| kept.is_here);
        let file = || here().and_then(|kept| written_file(&kept.file, syntax));
        Some(url.or_else(file).unwrap_or_else(|| hash(embed.image)))
    }

    /// All that an image may be called, or may have been shown as, in any syntax.
    fn all(&self, embed: &Embed) -> Vec<String> {
        let image = embed.image;
        let mut all = vec![embed.name.clone(), hash(image)];
        let mut urls: Vec<String> = self.urls.get(&image).cloned().into_iter().collect();
        if let Some(Kept { media_type, file, .. }) = self.images.get(&image) {
            let key = Key::Image { image, media_type: *media_type };
            urls.extend(self.bases.iter().map(|base| public_url(base, &key)));
            all.extend(written_file(file, Syntax::Inline));
            all.push(file.display().to_string());
        }
        for url in urls {
            all.extend(written(&url, Syntax::Inline));
            all.push(url);
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
    /// By what their names come to when they are percent-decoded.
    by_path: HashMap<String, Vec<&'a Embed>>,
    /// For each, how often the new text has yet to show it for all of them to be there.
    left: HashMap<&'a Embed, usize>,
}

impl<'a> Known<'a> {
    pub(super) fn of(body: &'a Body, spellings: &Spellings) -> Self {
        let mut known =
            Self { by_name: HashMap::new(), by_path: HashMap::new(), left: HashMap::new() };
        for embed in body.embeds() {
            let left = known.left.entry(embed).or_insert(0);
            *left += 1;
            if *left == 1 {
                for name in spellings.all(embed) {
                    known.by_name.entry(name).or_default().push(embed);
                }
                for path in BTreeSet::from([embed.name.clone(), decoded(&embed.name).into_owned()])
                {
                    known.by_path.entry(path).or_default().push(embed);
                }
            }
        }
        known
    }

    /// What `destination` names: the embed that stood there, else one called so, else one whose name is only
    /// written otherwise; first those that the new text has not shown as often as the old one did.
    pub(super) fn find(
        &mut self,
        destination: &Destination,
        written: &str,
        stood: Option<&Embed>,
    ) -> Option<Target> {
        let called = |embeds: Option<&Vec<&'a Embed>>| {
            let embeds = embeds?;
            let mut left = embeds.iter().filter(|embed| self.left.get(*embed) > Some(&0));
            left.next().or(embeds.first()).copied()
        };
        let target = destination.target.as_str();
        let named = |name: &str| called(self.by_name.get(name));
        let path = || match destination.syntax {
            Syntax::Wiki => target.to_owned(),
            _ => decoded(target).into_owned(),
        };
        let same = stood.or_else(|| named(written)).or_else(|| named(target));
        let embed = same.or_else(|| called(self.by_path.get(&path())))?;
        if let Some(left) = self.left.get_mut(embed) {
            *left = left.saturating_sub(1);
        }
        Some(Target {
            image: embed.image,
            path: embed.path.clone(),
            name: same.map(|embed| embed.name.clone()),
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
