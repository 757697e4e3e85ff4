//! Checkpoints: all notes as a device found them, so that whoever joins need not read how they came to be.
//!
//! A checkpoint is several objects, each sealed for its place and named by its hash. The first part names
//! the others, and is put after them, so that one that was cut off names nothing:
//!
//! ```text
//! part 0    format, 1 byte · postcard of (covers, parts)
//! part 1 …  zstd of: format, 1 byte · entries, each with postcard
//! ```

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, SeqAccess, Visitor},
};

use super::{CONTENTS, Context, SegmentError, decode, decompress, encode, hash, io, unsealed};
use crate::{
    event::{ChangeBytes, Covered, Digest},
    id::{ChangeHash, DeviceId, ImageId, NoteId, SegmentHash},
    image::{Dimensions, MediaType},
    seal::Sealer,
    segment::SealedSegment,
};

/// The size of entries, in bytes before compression, at which a part is full.
pub const PART: usize = super::TARGET;
/// The most bytes that a sealed part may have.
pub const LIMIT: usize = super::LIMIT;
/// The most bytes that the first part may have, sealed.
pub const FIRST_LIMIT: usize = 4 << 20;

const FORMAT: u8 = 1;
/// Documents are compressed by themselves.
const LEVEL: i32 = 3;
/// What an entry takes in memory besides what it holds.
const OVERHEAD: usize = 256;
/// What a change that waits for others takes besides its bytes: an empty one is a single byte.
const OF_CHANGE: usize = 64;

/// The first part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The segments whose changes are all in it.
    pub covers: Vec<Covered>,
    /// The hashes that name the other parts, in order.
    pub parts: Vec<SegmentHash>,
}

/// Something that a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A note, whole.
    Note {
        /// The note.
        note: NoteId,
        /// The Automerge document, with its history.
        document: ChangeBytes,
        /// Its version.
        heads: Vec<ChangeHash>,
        /// How many changes it is made of.
        changes: u64,
        /// What the catalog shows of it.
        digest: Digest,
    },
    /// Changes of a note that can't be put together yet, since some that they build on are missing.
    Waiting {
        /// The note.
        note: NoteId,
        /// Its changes.
        #[serde(deserialize_with = "bounded")]
        changes: Vec<ChangeBytes>,
    },
    /// What is known of an image.
    Image {
        /// The image.
        image: ImageId,
        /// Its size in bytes.
        bytes: u64,
        /// What its content says it is.
        media_type: MediaType,
        /// In pixels, where they can be told.
        dimensions: Option<Dimensions>,
        /// Who said that they hold it.
        holders: Vec<DeviceId>,
    },
}

impl Entry {
    /// About how many bytes it adds to a part before compression.
    #[must_use]
    pub fn size(&self) -> usize {
        self.overhead()
            + match self {
                Self::Note { document, digest, .. } => {
                    document.0.len() + digest.images.len() * 2 * ImageId::LEN
                }
                Self::Waiting { changes, .. } => changes.iter().map(|change| change.0.len()).sum(),
                Self::Image { .. } => 0,
            }
    }

    /// What it takes in memory besides what it holds.
    const fn overhead(&self) -> usize {
        match self {
            Self::Waiting { changes, .. } => {
                OVERHEAD.saturating_add(changes.len().saturating_mul(OF_CHANGE))
            }
            Self::Note { .. } | Self::Image { .. } => OVERHEAD,
        }
    }
}

impl Checkpoint {
    /// Writes it down for a remote.
    ///
    /// # Errors
    ///
    /// [`SegmentError::TooLarge`], where it names more than anybody would read.
    pub fn seal(
        &self,
        sealer: &Sealer,
        device: DeviceId,
        seq: u64,
    ) -> Result<SealedSegment, SegmentError> {
        let of = Context::Checkpoint { device, seq };
        let bytes = sealer.seal(of, &encode(of, FORMAT, self)?);
        if bytes.len() > FIRST_LIMIT {
            return Err(SegmentError::TooLarge { of, limit: FIRST_LIMIT });
        }
        Ok(SealedSegment { hash: hash(&bytes), bytes })
    }

    /// Reads what a remote gave for the first part of a checkpoint.
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
        let of = Context::Checkpoint { device, seq };
        let first: Self = decode(of, &unsealed(sealer, of, FIRST_LIMIT, expected, bytes)?)?;
        if first.parts.len() > usize::from(u16::MAX) {
            return Err(SegmentError::Damaged { of, source: io::ErrorKind::InvalidData.into() });
        }
        Ok(first)
    }
}

/// Writes a part down for a remote.
///
/// # Errors
///
/// [`SegmentError::TooLarge`], where an entry is larger than any remote would give back.
pub fn seal_part(
    entries: &[Entry],
    sealer: &Sealer,
    device: DeviceId,
    seq: u64,
) -> Result<SealedSegment, SegmentError> {
    let of = Context::Part { device, seq };
    let encode = |source| SegmentError::Encode { of, source };
    let (mut plain, mut room) = (vec![FORMAT], CONTENTS);
    for entry in entries {
        plain =
            postcard::to_extend(entry, plain).map_err(|error| encode(io::Error::other(error)))?;
        room = room.saturating_sub(entry.overhead());
    }
    if plain.len() > room {
        return Err(SegmentError::TooLarge { of, limit: CONTENTS });
    }
    let compressed = zstd::bulk::compress(&plain, LEVEL).map_err(encode)?;
    let bytes = sealer.seal(of, &compressed);
    Ok(SealedSegment { hash: hash(&bytes), bytes })
}

/// Reads what a remote gave for a part of a checkpoint that its first part names `expected`.
///
/// # Errors
///
/// Where it is not exactly that.
pub fn open_part(
    sealer: &Sealer,
    device: DeviceId,
    seq: u64,
    expected: SegmentHash,
    bytes: &[u8],
) -> Result<Vec<Entry>, SegmentError> {
    let of = Context::Part { device, seq };
    let damaged = |source| SegmentError::Damaged { of, source };
    let plain = decompress(of, &unsealed(sealer, of, LIMIT, expected, bytes)?)?;
    let (format, mut rest) =
        plain.split_first().ok_or_else(|| damaged(io::ErrorKind::UnexpectedEof.into()))?;
    if *format != FORMAT {
        return Err(SegmentError::Version { of, format: *format });
    }
    let mut entries = Vec::new();
    let mut room = CONTENTS.saturating_sub(plain.len());
    while !rest.is_empty() {
        let entry: Entry;
        (entry, rest) =
            postcard::take_from_bytes(rest).map_err(|error| damaged(io::Error::other(error)))?;
        let too_large = SegmentError::TooLarge { of, limit: CONTENTS };
        room = room.checked_sub(entry.overhead()).ok_or(too_large)?;
        entries.push(entry);
    }
    Ok(entries)
}

/// Reads the changes that wait, where they are no more than a part may hold.
fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ChangeBytes>, D::Error> {
    struct Changes;

    impl<'de> Visitor<'de> for Changes {
        type Value = Vec<ChangeBytes>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("changes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut changes = Vec::new();
            while let Some(change) = seq.next_element()? {
                if changes.len() >= CONTENTS / OF_CHANGE {
                    return Err(A::Error::custom("far too many changes"));
                }
                changes.push(change);
            }
            Ok(changes)
        }
    }

    deserializer.deserialize_seq(Changes)
}
