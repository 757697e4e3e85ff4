//! What the destinations in a file stand for.

use std::collections::HashMap;

use super::{
    Missing,
    bookmarks::Shown,
    import::{Content, Import},
    stood::Stood,
    walk::is_note,
};
use crate::{
    id::ImageId,
    image::MediaType,
    images::{Batch, ImageError},
    note::{
        Target,
        markdown::{Destination, Syntax},
    },
    resolve::{NotLocal, Resolution, resolve},
    vault::VaultError,
};

/// Finds what the destinations of one file stand for.
pub(super) struct Reader<'a> {
    pub(super) path: &'a str,
    pub(super) text: &'a str,
    /// What the destinations stood for before.
    pub(super) stood: Stood<'a>,
    /// Whether the file has the text that it had.
    pub(super) unchanged: bool,
    /// Whether the file shows what it showed.
    pub(super) same: bool,
    pub(super) shown: Vec<Shown>,
    /// How often each destination was met.
    pub(super) written: HashMap<(String, bool), usize>,
    /// Whether all that it shows is in it: no destination could lead to another file another time.
    pub(super) stands_alone: bool,
    pub(super) failed: Option<VaultError>,
}

impl Reader<'_> {
    pub(super) fn find<'b>(
        &mut self,
        import: &mut Import<'b>,
        destination: &Destination,
        batch: &mut Batch<'b>,
    ) -> Option<Target> {
        if self.failed.is_some() {
            return None;
        }
        let written = self.text.get(destination.range.clone())?;
        let wiki = destination.syntax == Syntax::Wiki;
        let before = self.written.entry((written.to_owned(), wiki)).or_default();
        let known = self.stood.shown(written, wiki, *before);
        *before += 1;
        let meant = resolve(&import.tree, self.path, destination, import.lenient);
        let is_elsewhere = matches!(
            meant,
            Resolution::NotLocal(NotLocal::Remote | NotLocal::DataUri | NotLocal::Empty)
        );
        self.stands_alone &= is_elsewhere && known.is_none();
        let remembered = known.and_then(|known| known.place.as_deref());
        let (place, derived) =
            match (remembered.filter(|place| import.tree.contains(place)), &meant) {
                (Some(place), _) => (Some(place), true),
                (None, Resolution::Found { path, derived }) => (Some(path.as_str()), *derived),
                (None, _) => (None, true),
            };
        let expected = known.map(Shown::expected);
        let content = match place {
            Some(place) => import.content(place, expected, batch),
            None => Ok(Content::Nothing),
        };
        let content = match content {
            Ok(content) => content,
            Err(error) => {
                self.failed = Some(error);
                return None;
            }
        };
        // What led nowhere does not lead to what an export put there for another note.
        if let (None, true, Content::Image { image, .. }, Some(place)) =
            (known, self.unchanged, content, place)
            && import.bookmarks.own_image(place) == Some(image)
        {
            return None;
        }
        let mut holds = None;
        let target = match (content, known) {
            (Content::Image { image, .. }, known) => {
                // A file that nobody touched says nothing new, whatever it holds.
                let untouched = known.filter(|_| Some(image) == expected);
                holds = untouched.and_then(|known| known.holds);
                let image = untouched.map_or(image, |known| known.image);
                import.report.images.references += destination.uses.len() as u64;
                self.same &= known.is_some_and(|known| known.image == image);
                match known {
                    // The file may have gone to another place, where the same name finds it.
                    Some(Shown { name, .. }) if remembered != place => {
                        let path = place.filter(|_| !derived).map(str::to_owned);
                        Target { image, path, name: kept(name.as_ref(), image) }
                    }
                    Some(Shown { path, name, .. }) => {
                        let name = kept(name.as_ref(), image);
                        Target { image, path: path.clone(), name }
                    }
                    None => {
                        // Where the note says the same, the file may have been elsewhere.
                        let named = self.stood.named(written, wiki, Some(image));
                        let named = named.filter(|named| named.name.as_deref() != Some(written));
                        named.cloned().unwrap_or_else(|| Target {
                            image,
                            path: place.filter(|_| !derived).map(str::to_owned),
                            name: None,
                        })
                    }
                }
            }
            (content, Some(Shown { image, path, name, .. })) => {
                if let (Content::NoImage(_), Some(place)) = (content, place) {
                    import.no_image_any_more(place);
                }
                Target { image: *image, path: path.clone(), name: name.clone() }
            }
            (content, None) => {
                let named = |name: &str| self.stood.named(name, wiki, None);
                let named = named(written).or_else(|| named(&destination.target)).cloned();
                if named.is_none() && !matches!(content, Content::Unusable) {
                    self.report_missing(import, destination, &meant, content);
                }
                named?
            }
        };
        self.stands_alone = false;
        self.shown.push(Shown {
            written: written.to_owned(),
            wiki,
            image: target.image,
            place: place.map(str::to_owned).or_else(|| remembered.map(str::to_owned)),
            holds,
            name: target.name.clone().filter(|name| name != written),
            path: target.path.clone(),
        });
        Some(target)
    }

    fn report_missing(
        &self,
        import: &mut Import<'_>,
        destination: &Destination,
        meant: &Resolution,
        content: Content,
    ) {
        let (reason, looks_like) = match content {
            Content::NoImage(Some(looks_like)) => {
                (Some(ImageError::NotAnImage { looks_like }), looks_like)
            }
            Content::NoImage(None) => (Some(ImageError::Empty), ""),
            _ => (None, ""),
        };
        let is_wiki = destination.syntax == Syntax::Wiki;
        let is_picture = names_image(&destination.target) || looks_like.starts_with("image/");
        let hint = match meant {
            Resolution::NotLocal(NotLocal::Remote | NotLocal::DataUri | NotLocal::Empty) => return,
            // `![[…]]` may as well show a note, or part of one.
            Resolution::Found { path, .. } if is_wiki && is_note(path) => return,
            _ if is_wiki && !is_picture => return,
            Resolution::Missing { hint } => {
                hint.as_ref().map(|(_, path)| path.clone()).filter(|path| !is_note(path))
            }
            Resolution::Found { .. } | Resolution::NotLocal(_) => None,
        };
        let (note, destination) = (self.path.to_owned(), destination.target.clone());
        let reason = reason.map(|reason| reason.to_string());
        import.report.missing.push(Missing { note, destination, hint, reason });
    }
}

/// The name that an embed had, for the image that stands in its place now; none where it is the hash of
/// another: whoever wrote that hash again would get this one.
fn kept(name: Option<&String>, image: ImageId) -> Option<String> {
    let is_of_another =
        |name: &str| name.strip_prefix("blake3:").is_some_and(|hash| hash != image.to_string());
    name.filter(|name| !is_of_another(name)).cloned()
}

/// Whether a wiki name is that of an image, by its extension.
fn names_image(name: &str) -> bool {
    let name = name.split('#').next().unwrap_or_default().trim_end();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    MediaType::from_extension(&extension.to_ascii_lowercase()).is_some()
        || extension.eq_ignore_ascii_case("jpeg")
        || extension.eq_ignore_ascii_case("tif")
}
