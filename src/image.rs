//! What is known of an image by looking at its bytes.
//!
//! Nothing here trusts a file's name. [`recognise`] and [`dimensions`] look at the first
//! [`START`] bytes and cost the same whatever those bytes are; [`dimensions_in`] is the second chance
//! for formats that may say their dimensions further on.

mod size;
mod svg;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub use size::{dimensions, dimensions_in};

/// How many of an image's first bytes are looked at.
pub const START: usize = 64 * 1024;

/// The kinds of image that are taken in. Numbered in binary formats: add at the end only.
///
/// In JSON, its MIME type; in binary formats, its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MediaType {
    /// `image/png`
    Png,
    /// `image/jpeg`
    Jpeg,
    /// `image/gif`
    Gif,
    /// `image/webp`
    Webp,
    /// `image/avif`
    Avif,
    /// `image/heic`
    Heic,
    /// `image/svg+xml`
    Svg,
    /// `image/bmp`
    Bmp,
    /// `image/tiff`
    Tiff,
    /// `image/x-icon`
    Ico,
}

impl MediaType {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Png,
        Self::Jpeg,
        Self::Gif,
        Self::Webp,
        Self::Avif,
        Self::Heic,
        Self::Svg,
        Self::Bmp,
        Self::Tiff,
        Self::Ico,
    ];

    /// The MIME type.
    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Avif => "image/avif",
            Self::Heic => "image/heic",
            Self::Svg => "image/svg+xml",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Ico => "image/x-icon",
        }
    }

    /// What the names of its files end in, after the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Gif => "gif",
            Self::Webp => "webp",
            Self::Avif => "avif",
            Self::Heic => "heic",
            Self::Svg => "svg",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
            Self::Ico => "ico",
        }
    }

    /// The kind whose [`extension`](Self::extension) this is, exactly.
    #[must_use]
    pub fn from_extension(extension: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|media_type| media_type.extension() == extension)
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.mime())
        } else {
            serializer.serialize_u32(*self as u32)
        }
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = if deserializer.is_human_readable() {
            let mime = String::deserialize(deserializer)?;
            Self::ALL.into_iter().find(|media_type| media_type.mime() == mime)
        } else {
            let number = u32::deserialize(deserializer)?;
            Self::ALL.into_iter().find(|media_type| *media_type as u32 == number)
        };
        found.ok_or_else(|| D::Error::custom("an unknown kind of image"))
    }
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dimensions {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// The kind of image that begins with `start`, which should be its first [`START`] bytes, or all.
///
/// `None` for everything else, however it is named. The signatures are our own since those of
/// `infer` are too short for files of any origin: to it, a text that begins with `BM` or `GIF` is an
/// image.
#[must_use]
pub fn recognise(start: &[u8]) -> Option<MediaType> {
    let start = start.get(..START).unwrap_or(start);
    signature(start).or_else(|| brand(start)).or_else(|| svg::root(start).map(|_| MediaType::Svg))
}

/// Kinds of image that browsers don't show.
const NOT_TAKEN: [&str; 4] =
    ["image/jxl", "image/vnd.adobe.photoshop", "image/vnd.ms-photo", "image/x-canon-cr2"];

/// What `start` looks like, in words for people: a MIME type where one is known.
#[must_use]
pub fn looks_like(start: &[u8]) -> &'static str {
    let start = start.get(..START).unwrap_or(start);
    let text = || match std::str::from_utf8(start) {
        Ok(text) => !text.contains('\0'),
        // Cut in the middle of a character.
        Err(error) => error.error_len().is_none() && !start.contains(&0),
    };
    match infer::get(start) {
        _ if start.is_empty() => "nothing",
        // Its signatures for images are those that proved too short.
        Some(kind) if kind.matcher_type() != infer::MatcherType::Image => kind.mime_type(),
        _ if text() => "text",
        Some(kind) if NOT_TAKEN.contains(&kind.mime_type()) => kind.mime_type(),
        // Its kind is one of those that are taken, so there is not enough of it.
        Some(_) => "a part of one",
        None => "data of an unknown kind",
    }
}

fn signature(start: &[u8]) -> Option<MediaType> {
    match start {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(MediaType::Png),
        [0xff, 0xd8, 0xff, ..] => Some(MediaType::Jpeg),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(MediaType::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(MediaType::Webp),
        // A raw photograph of Canon's, which browsers don't show.
        [b'I', b'I', 42, 0, _, _, _, _, b'C', b'R', ..] => None,
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(MediaType::Tiff),
        // A cursor has 2 in place of 1; an icon without images is none.
        [0, 0, 1, 0, count_low, count_high, ..] if (*count_low, *count_high) != (0, 0) => {
            // Of the first image, 22 bytes in: its reserved byte.
            (start.len() >= 22 && start.get(9) == Some(&0)).then_some(MediaType::Ico)
        }
        // The size of the header that follows tells a bitmap from text that begins with these letters.
        [b'B', b'M', ..] => match start.get(14..18)? {
            [12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0] => Some(MediaType::Bmp),
            _ => None,
        },
        _ => None,
    }
}

/// The kind that the brands of an ISO media file (`ftyp`) name; films have the same container.
fn brand(start: &[u8]) -> Option<MediaType> {
    let (size, rest) = start.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_be_bytes(*size)).ok()?;
    let brands = start.get(..size).unwrap_or(start).get(16..).unwrap_or_default();
    let (major, _) = rest.strip_prefix(b"ftyp")?.split_first_chunk::<4>()?;
    match major {
        b"mif1" | b"mif2" | b"msf1" | b"miaf" => brands.chunks_exact(4).find_map(of_brand),
        major => of_brand(major),
    }
}

fn of_brand(brand: &[u8]) -> Option<MediaType> {
    match brand {
        b"avif" | b"avis" => Some(MediaType::Avif),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => {
            Some(MediaType::Heic)
        }
        _ => None,
    }
}
