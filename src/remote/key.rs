//! The names of objects on a remote: this module is the one owner of their grammar.
//!
//! ```text
//! vault.json
//! pulse
//! heads/<device, 32 hex>
//! log/<device, 32 hex>/<seq, 16 hex>-<segment hash, 64 hex>
//! checkpoints/<device, 32 hex>/<seq, 16 hex>.<part, 4 hex>-<hash, 64 hex>
//! images/<image, 64 hex>.<extension>
//! ```
//!
//! All is lower-case ASCII, at most 131 bytes long, and safe as a path, as an S3 key and in a URL.

use std::{fmt, str::FromStr};

use crate::{
    id::{DeviceId, ImageId, SegmentHash, VaultId, decode_hex},
    image::MediaType,
};

/// The name of one object on a remote.
///
/// [`Display`](fmt::Display) and [`FromStr`] are exact inverses; whatever else is on a remote is foreign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// Which vault this remote belongs to; written once.
    Vault,
    /// Overwritten with a new random value after every push.
    Pulse,
    /// The last segment of a device; overwritten.
    Head(DeviceId),
    /// What a device did; immutable.
    Segment {
        /// Whose it is.
        device: DeviceId,
        /// Its number under that device.
        seq: u64,
        /// The hash of its bytes.
        hash: SegmentHash,
    },
    /// A part of what a device found all notes to be; immutable.
    Checkpoint {
        /// Whose it is.
        device: DeviceId,
        /// Its number under that device.
        seq: u64,
        /// 0 for the part that names the others.
        part: u16,
        /// The hash of its bytes.
        hash: SegmentHash,
    },
    /// An image; immutable.
    Image {
        /// The hash of its bytes.
        image: ImageId,
        /// Of what kind it is.
        media_type: MediaType,
    },
}

impl Key {
    /// The media type that the object is stored under.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        match self {
            Self::Vault => "application/json",
            Self::Pulse | Self::Head(_) | Self::Segment { .. } | Self::Checkpoint { .. } => {
                "application/octet-stream"
            }
            Self::Image { media_type, .. } => media_type.mime(),
        }
    }

    /// What caches are told, where anybody may read the object.
    #[must_use]
    pub const fn cache_control(&self) -> Option<&'static str> {
        match self {
            Self::Image { .. } => Some("public, max-age=31536000, immutable"),
            Self::Vault
            | Self::Pulse
            | Self::Head(_)
            | Self::Segment { .. }
            | Self::Checkpoint { .. } => None,
        }
    }

    /// What browsers are told to do with the object where somebody opens it by itself. An SVG may carry
    /// scripts, and a page that shows it as an image runs none of them; so it is no page of its own.
    #[must_use]
    pub const fn content_disposition(&self) -> Option<&'static str> {
        match self {
            Self::Image { media_type: MediaType::Svg, .. } => Some("attachment"),
            _ => None,
        }
    }

    /// Whether the name determines the bytes, so that putting them again changes nothing.
    #[must_use]
    pub const fn is_immutable(&self) -> bool {
        matches!(self, Self::Segment { .. } | Self::Checkpoint { .. } | Self::Image { .. })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault => f.write_str("vault.json"),
            Self::Pulse => f.write_str("pulse"),
            Self::Head(device) => write!(f, "heads/{device}"),
            Self::Segment { device, seq, hash } => write!(f, "log/{device}/{seq:016x}-{hash}"),
            Self::Checkpoint { device, seq, part, hash } => {
                write!(f, "checkpoints/{device}/{seq:016x}.{part:04x}-{hash}")
            }
            Self::Image { image, media_type } => {
                write!(f, "images/{image}.{}", media_type.extension())
            }
        }
    }
}

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of an object of a vault")]
pub struct ParseKeyError(String);

impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        parse(text).ok_or_else(|| ParseKeyError(text.chars().take(160).collect()))
    }
}

fn parse(text: &str) -> Option<Key> {
    Some(match text.split_once('/') {
        None if text == "vault.json" => Key::Vault,
        None if text == "pulse" => Key::Pulse,
        Some(("heads", device)) => Key::Head(device.parse().ok()?),
        Some(("log", rest)) => {
            let (device, segment) = rest.split_once('/')?;
            let (seq, hash) = segment.split_once('-')?;
            let mut bytes = [0; 8];
            decode_hex(seq, &mut bytes)?;
            Key::Segment {
                device: device.parse().ok()?,
                seq: u64::from_be_bytes(bytes),
                hash: hash.parse().ok()?,
            }
        }
        Some(("checkpoints", rest)) => {
            let (device, checkpoint) = rest.split_once('/')?;
            let (number, hash) = checkpoint.split_once('-')?;
            let (seq, part) = number.split_once('.')?;
            let (mut seq_bytes, mut part_bytes) = ([0; 8], [0; 2]);
            decode_hex(seq, &mut seq_bytes)?;
            decode_hex(part, &mut part_bytes)?;
            Key::Checkpoint {
                device: device.parse().ok()?,
                seq: u64::from_be_bytes(seq_bytes),
                part: u16::from_be_bytes(part_bytes),
                hash: hash.parse().ok()?,
            }
        }
        Some(("images", name)) => {
            let (image, extension) = name.split_once('.')?;
            Key::Image {
                image: image.parse().ok()?,
                media_type: MediaType::from_extension(extension)?,
            }
        }
        _ => return None,
    })
}

/// A group of keys that can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prefix {
    /// Every device's head.
    Heads,
    /// The segments of every device.
    Logs,
    /// The segments of one device, in the order of their numbers.
    Log(DeviceId),
    /// The checkpoints of every device.
    Checkpoints,
    /// Every image.
    Images,
    /// One image, under whatever media type it was put.
    Image(ImageId),
}

impl Prefix {
    /// Whether `key` is in this group.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        match (self, key) {
            (Self::Heads, Key::Head(_))
            | (Self::Logs, Key::Segment { .. })
            | (Self::Checkpoints, Key::Checkpoint { .. })
            | (Self::Images, Key::Image { .. }) => true,
            (Self::Log(of), Key::Segment { device, .. }) => of == device,
            (Self::Image(of), Key::Image { image, .. }) => of == image,
            _ => false,
        }
    }
}

/// What the names of all keys in this group begin with.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heads => f.write_str("heads/"),
            Self::Logs => f.write_str("log/"),
            Self::Log(device) => write!(f, "log/{device}/"),
            Self::Checkpoints => f.write_str("checkpoints/"),
            Self::Images => f.write_str("images/"),
            Self::Image(image) => write!(f, "images/{image}."),
        }
    }
}

impl FromStr for Prefix {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let parsed = match text.split_once('/') {
            Some(("heads", "")) => Some(Self::Heads),
            Some(("log", "")) => Some(Self::Logs),
            Some(("log", device)) => {
                device.strip_suffix('/').and_then(|device| device.parse().ok()).map(Self::Log)
            }
            Some(("checkpoints", "")) => Some(Self::Checkpoints),
            Some(("images", "")) => Some(Self::Images),
            Some(("images", image)) => {
                image.strip_suffix('.').and_then(|image| image.parse().ok()).map(Self::Image)
            }
            _ => None,
        };
        parsed.ok_or_else(|| ParseKeyError(text.chars().take(160).collect()))
    }
}

/// A place in the order of names; a listing gives what comes behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct After(String);

impl After {
    /// Right before the first segment of `device` numbered `seq`.
    #[must_use]
    pub fn before_segment(device: DeviceId, seq: u64) -> Self {
        // No key: the dash and the hash are missing, so it sorts before all of that number.
        Self(format!("log/{device}/{seq:016x}"))
    }

    /// Right behind `name`, which may be foreign.
    pub(crate) fn name(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name that this is right behind.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Right behind this key.
impl From<&Key> for After {
    fn from(key: &Key) -> Self {
        Self(key.to_string())
    }
}

/// Where anybody finds `key`, given the public base URL of its remote. On a hub, images lie right
/// under that base.
#[must_use]
pub fn public_url(base: &str, key: &Key) -> String {
    let base = base.trim_end_matches('/');
    match key {
        Key::Image { image, media_type } if is_of_hub(base) => {
            format!("{base}/{image}.{}", media_type.extension())
        }
        _ => format!("{base}/{key}"),
    }
}

/// The public base URL of a vault's images on the hub at `url`: `https://HUB/i/<vault>`.
#[must_use]
pub fn hub_public_url(url: &str, vault: VaultId) -> String {
    format!("{}/i/{vault}", url.trim_end_matches('/'))
}

/// Whether a base URL ends as [`hub_public_url`] makes them.
fn is_of_hub(base: &str) -> bool {
    let is_vault = |text: &str| text.parse::<VaultId>().is_ok();
    base.rsplit_once("/i/").is_some_and(|(_, vault)| is_vault(vault))
}
