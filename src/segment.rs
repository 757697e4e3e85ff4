//! What devices exchange: segments, heads, and the file that says whose they are.
//!
//! A segment on a remote, format 2; a head is format 1, and not compressed:
//!
//! ```text
//! ┌────────────────────────────────────────────────────┐
//! │ sealed for (vault, device, seq); see `seal`        │  named by the blake3 hash of these bytes
//! │ ┌────────────────────────────────────────────────┐ │
//! │ │ zstd                                           │ │  at most 64 MiB before compression
//! │ │ ┌────────┬──────────┬───────┬───────┬────────┐ │ │
//! │ │ │ format │ previous │ check │ items │ typed  │ │ │  head: format · postcard of
//! │ │ │ 1 byte │          │ 16    │       │ text   │ │ │        (seq, hash, name)
//! │ │ └────────┴──────────┴───────┴───────┴────────┘ │ │
//! │ └────────────────────────────────────────────────┘ │
//! └────────────────────────────────────────────────────┘
//! ```
//!
//! Device and number are not repeated inside: they are authenticated, so bytes that open are those of
//! the device and number they were opened for.
//!
//! Items are written in the order in which they happened, and changes without what can be recomputed (see
//! the module `items`). The check is a hash of all changes as they were: whoever reads them has computed
//! most of their bytes, and knows by it that they are the same. Format 1, which had the changes whole, is
//! read as well.
//!
//! Sealing the same segment again gives the same bytes, unless a new release of zstd compresses in
//! another way; that looks like a twin, and loses nothing.

pub mod checkpoint;
mod items;

use std::io::{self, Read as _};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    event::ChangeBytes,
    id::{DeviceId, ImageId, NoteId, SegmentHash, VaultId},
    image::{Dimensions, MediaType},
    seal::{Context, OpenError, Sealer},
};

/// The size of items, in bytes before compression, at which a segment is full.
///
/// A single item may be larger than that, and has a segment to itself.
pub const TARGET: usize = 4 * MIB;
/// The most bytes that a sealed segment may have.
pub const LIMIT: usize = CONTENTS + MIB;
/// The most bytes that a sealed head may have.
pub const HEAD_LIMIT: usize = 4 * 1024;
/// The most bytes that `vault.json` may have.
pub const VAULT_FILE_LIMIT: usize = 64 * 1024;

const MIB: usize = 1024 * 1024;
/// The most bytes that a segment may have before compression, and the memory that opening one takes.
const CONTENTS: usize = 64 * MIB;
/// The base-2 logarithm of [`CONTENTS`]: how far back compressed data may point.
const WINDOW_LOG: u32 = 26;

const FORMAT: u8 = 2;
/// The format of heads, and of segments whose changes are whole.
const WHOLE: u8 = 1;
/// Higher levels take longer and save no more than one byte in fifty.
const LEVEL: i32 = 6;

/// One thing that a device tells the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// A note got a change.
    Change {
        /// The note.
        note: NoteId,
        /// The change, as Automerge encodes it.
        change: ChangeBytes,
        /// Whether the device's upload projector is the author.
        projector: bool,
    },
    /// The device holds an image.
    Image {
        /// The image.
        image: ImageId,
        /// Its size in bytes.
        bytes: u64,
        /// What its content says it is.
        media_type: MediaType,
        /// In pixels, where they can be told.
        dimensions: Option<Dimensions>,
    },
}

impl Item {
    /// About how many bytes it adds to a segment before compression; never fewer than it does.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Change { change, .. } => change.0.len() + NoteId::LEN + 12,
            Self::Image { .. } => ImageId::LEN + 32,
        }
    }
}

/// An immutable batch of one device's changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Whose it is.
    pub device: DeviceId,
    /// Its number under that device, from 1.
    pub seq: u64,
    /// The hash of the one before it.
    pub previous: Option<SegmentHash>,
    /// In the order in which they happened there.
    pub items: Vec<Item>,
}

/// A segment as a remote holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSegment {
    /// The hash of its bytes.
    pub hash: SegmentHash,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a device says of its last segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of its last segment; 0 where it has none yet.
    pub seq: u64,
    /// The hash of that segment.
    pub hash: Option<SegmentHash>,
    /// What people call the device.
    pub name: String,
}

/// Why a segment or a head cannot be read, or not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// It has more bytes than are accepted, as they are or uncompressed.
    #[error("{of} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What.
        of: Context,
        /// In bytes.
        limit: usize,
    },
    /// Its bytes are not those that it is named by: the remote damaged it.
    #[error("{of} is damaged: it is named {expected}, but its bytes hash to {found}")]
    Hash {
        /// What.
        of: Context,
        /// The hash that names it.
        expected: SegmentHash,
        /// The hash of what is there.
        found: SegmentHash,
    },
    /// It does not open: see [`OpenError`].
    #[error("{of} does not open")]
    Sealed {
        /// What.
        of: Context,
        /// Why.
        source: OpenError,
    },
    /// It was written by a newer everleaf.
    #[error("{of} has format {format}, and this everleaf reads up to {FORMAT}; use a newer one")]
    Version {
        /// What.
        of: Context,
        /// Its format.
        format: u8,
    },
    /// It opens, but is not what its format says: whoever wrote it has a fault.
    #[error("{of} cannot be decoded, though it was sealed with this vault's key")]
    Damaged {
        /// What.
        of: Context,
        /// What the codec says.
        source: io::Error,
    },
    /// The codec failed to write it, which it does for none that this library makes.
    #[error("{of} cannot be encoded")]
    Encode {
        /// What.
        of: Context,
        /// What the codec says.
        source: io::Error,
    },
}

impl Segment {
    /// Writes it down for a remote.
    ///
    /// # Errors
    ///
    /// [`SegmentError::TooLarge`], where an item is larger than any remote would give back.
    pub fn seal(&self, sealer: &Sealer) -> Result<SealedSegment, SegmentError> {
        let of = Context::Segment { device: self.device, seq: self.seq };
        let too_large = SegmentError::TooLarge { of, limit: CONTENTS };
        let mut plain = encode(of, FORMAT, &self.previous)?;
        if items::encode(&self.items, &mut plain).is_none() || plain.len() > CONTENTS {
            return Err(too_large);
        }
        let compressed = zstd::bulk::compress(&plain, LEVEL)
            .map_err(|source| SegmentError::Encode { of, source })?;
        let bytes = sealer.seal(of, &compressed);
        Ok(SealedSegment { hash: hash(&bytes), bytes })
    }

    /// Reads what a remote gave for a segment of `device` that it names `seq` and `hash`.
    ///
    /// # Errors
    ///
    /// Where it is not exactly that.
    pub fn open(
        sealer: &Sealer,
        device: DeviceId,
        seq: u64,
        expected: SegmentHash,
        bytes: &[u8],
    ) -> Result<Self, SegmentError> {
        let of = Context::Segment { device, seq };
        let compressed = unsealed(sealer, of, LIMIT, expected, bytes)?;
        let plain = decompress(of, &compressed)?;
        let is_whole = plain.first() == Some(&WHOLE);
        let format = if is_whole { WHOLE } else { FORMAT };
        let (previous, rest) = decode_first(of, format, &plain)?;
        let items = if is_whole { items::decode_whole(rest) } else { items::decode(rest) };
        let damaged = || SegmentError::Damaged { of, source: io::ErrorKind::InvalidData.into() };
        Ok(Self { device, seq, previous, items: items.ok_or_else(damaged)? })
    }
}

impl Head {
    /// Writes it down for a remote.
    ///
    /// # Errors
    ///
    /// [`SegmentError::TooLarge`], where the name is longer than any name should be.
    pub fn seal(&self, sealer: &Sealer, device: DeviceId) -> Result<Vec<u8>, SegmentError> {
        let of = Context::Head { device };
        let bytes = sealer.seal(of, &encode(of, WHOLE, self)?);
        if bytes.len() > HEAD_LIMIT {
            return Err(SegmentError::TooLarge { of, limit: HEAD_LIMIT });
        }
        Ok(bytes)
    }

    /// Reads what a remote gave for the head of `device`.
    ///
    /// # Errors
    ///
    /// Where it is not that.
    pub fn open(sealer: &Sealer, device: DeviceId, bytes: &[u8]) -> Result<Self, SegmentError> {
        let of = Context::Head { device };
        if bytes.len() > HEAD_LIMIT {
            return Err(SegmentError::TooLarge { of, limit: HEAD_LIMIT });
        }
        let plain = sealer.open(of, bytes).map_err(|source| SegmentError::Sealed { of, source })?;
        decode(of, &plain)
    }
}

/// Opens what is named by the hash of its bytes.
fn unsealed(
    sealer: &Sealer,
    of: Context,
    limit: usize,
    expected: SegmentHash,
    bytes: &[u8],
) -> Result<Vec<u8>, SegmentError> {
    if bytes.len() > limit {
        return Err(SegmentError::TooLarge { of, limit });
    }
    let found = hash(bytes);
    if found != expected {
        return Err(SegmentError::Hash { of, expected, found });
    }
    sealer.open(of, bytes).map_err(|source| SegmentError::Sealed { of, source })
}

fn hash(bytes: &[u8]) -> SegmentHash {
    SegmentHash::from_bytes(*blake3::hash(bytes).as_bytes())
}

fn encode(of: Context, format: u8, value: &impl Serialize) -> Result<Vec<u8>, SegmentError> {
    postcard::to_extend(value, vec![format])
        .map_err(|error| SegmentError::Encode { of, source: io::Error::other(error) })
}

/// Decodes what is all there is.
fn decode<T: DeserializeOwned>(of: Context, plain: &[u8]) -> Result<T, SegmentError> {
    let (value, rest) = decode_first(of, WHOLE, plain)?;
    if rest.is_empty() {
        return Ok(value);
    }
    Err(SegmentError::Damaged { of, source: io::ErrorKind::InvalidData.into() })
}

/// Decodes what stands behind the format, and gives what is behind that.
fn decode_first<T: DeserializeOwned>(
    of: Context,
    expected: u8,
    plain: &[u8],
) -> Result<(T, &[u8]), SegmentError> {
    let damaged = |source| SegmentError::Damaged { of, source };
    let (format, payload) =
        plain.split_first().ok_or_else(|| damaged(io::ErrorKind::UnexpectedEof.into()))?;
    if *format != expected {
        return Err(SegmentError::Version { of, format: *format });
    }
    postcard::take_from_bytes(payload).map_err(|error| damaged(io::Error::other(error)))
}

fn decompress(of: Context, compressed: &[u8]) -> Result<Vec<u8>, SegmentError> {
    let read = || {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed)?;
        decoder.window_log_max(WINDOW_LOG)?;
        let mut plain = Vec::new();
        // One byte more than allowed, to tell a full one from one that goes on.
        decoder.take(CONTENTS as u64 + 1).read_to_end(&mut plain)?;
        Ok(plain)
    };
    let plain = read().map_err(|source| SegmentError::Damaged { of, source })?;
    if plain.len() > CONTENTS {
        return Err(SegmentError::TooLarge { of, limit: CONTENTS });
    }
    Ok(plain)
}

/// `vault.json`: whose remote this is. Not sealed: it tells a wrong key from a damaged remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultFile {
    /// The version of how the remote is laid out.
    pub format: u32,
    /// The vault.
    pub vault: VaultId,
}

/// Why bytes are no `vault.json`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultFileError {
    /// It is far too large to be one.
    #[error("vault.json is larger than the limit of {VAULT_FILE_LIMIT} bytes")]
    TooLarge,
    /// The remote was made by a newer everleaf.
    #[error("the remote has format {format}, and this everleaf reads up to {known}; use a newer one", known = VaultFile::FORMAT)]
    Newer {
        /// Its format.
        format: u32,
    },
    /// It is something else.
    #[error("vault.json is damaged, or belongs to another program")]
    Damaged(#[source] serde_json::Error),
}

impl VaultFile {
    /// The format that this library writes, and the newest that it reads.
    pub const FORMAT: u32 = 1;

    /// That of a vault, in the present format.
    #[must_use]
    pub const fn new(vault: VaultId) -> Self {
        Self { format: Self::FORMAT, vault }
    }

    /// As JSON, for people to read too.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("{{\n  \"format\": {},\n  \"vault\": \"{}\"\n}}\n", self.format, self.vault)
            .into_bytes()
    }

    /// Reads it; fields that are not known are passed over.
    ///
    /// # Errors
    ///
    /// Where it is none, or of a newer format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VaultFileError> {
        /// All that is asked of formats to come.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        if bytes.len() > VAULT_FILE_LIMIT {
            return Err(VaultFileError::TooLarge);
        }
        let Format { format } = serde_json::from_slice(bytes).map_err(VaultFileError::Damaged)?;
        if format > Self::FORMAT {
            return Err(VaultFileError::Newer { format });
        }
        serde_json::from_slice(bytes).map_err(VaultFileError::Damaged)
    }
}
