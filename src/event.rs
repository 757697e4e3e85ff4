//! What happened, in the past tense, and how it is written down.
//!
//! An event in the log, version 1; the log numbers it by its key, a big-endian [`Seq`]:
//!
//! ```text
//! ┌─────────┬──────────────────────┬──────────────────────────────────────┐
//! │ version │ hash of the event    │ postcard of (at, origin, event)      │
//! │ 1 byte  │ before, 16 bytes     │ the rest                             │
//! └─────────┴──────────────────────┴──────────────────────────────────────┘
//! ```
//!
//! The hash of an event is the first half of the blake3 hash of its number and all of these bytes.
//! Variants and fields are numbered by their place: new ones come at the end of an enum, and what an
//! older version wrote stays readable (`fixtures/golden/` holds every version).

mod parts;

use serde::{Deserialize, Serialize};

pub use self::parts::{
    ChangeBytes, Covered, Digest, ParseRemoteNameError, RemoteName, RemoteOptions,
};
use crate::{
    clock::Timestamp,
    id::{ChangeHash, DeviceId, EventHash, ImageId, NoteId, SegmentHash, Seq, VaultId},
    image::{Dimensions, MediaType},
};

const VERSION: u8 = 1;
const HEADER: usize = 1 + EventHash::LEN;

/// Something that happened to this device's copy of the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    /// This log was begun: the vault was created here, or joined.
    LogBegun {
        /// The vault.
        vault: VaultId,
        /// This installation of it.
        device: DeviceId,
        /// What people call this device.
        name: String,
    },
    /// A note got one Automerge change; the envelope's [`Origin`] says from where.
    NoteChanged {
        /// The note.
        note: NoteId,
        /// The change, as Automerge encodes it.
        change: ChangeBytes,
    },
    /// The bytes of an image were taken in here.
    ImageStored {
        /// The image.
        image: ImageId,
        /// Its size in bytes.
        bytes: u64,
        /// What its content says it is.
        media_type: MediaType,
        /// In pixels, where they can be told.
        dimensions: Option<Dimensions>,
    },
    /// Another device said that it holds an image.
    ImageAnnounced {
        /// The image.
        image: ImageId,
        /// Its size in bytes.
        bytes: u64,
        /// What its content says it is.
        media_type: MediaType,
        /// In pixels, where they can be told.
        dimensions: Option<Dimensions>,
        /// Who said so.
        device: DeviceId,
    },
    /// Receipt: a remote holds our changes up to `through`.
    SegmentPushed {
        /// The remote.
        remote: RemoteName,
        /// The number of the segment under our device there.
        seq: u64,
        /// The hash that names it.
        hash: SegmentHash,
        /// The last event of this log that it or an earlier segment carries.
        through: Seq,
    },
    /// A segment was read; in one batch with the changes that it carried.
    SegmentPulled {
        /// The remote.
        remote: RemoteName,
        /// Whose segment it is.
        device: DeviceId,
        /// Its number under that device.
        seq: u64,
        /// The hash that names it.
        hash: SegmentHash,
        /// Events of this log that it carries as well: the remote need not be told of them.
        known: Vec<Seq>,
    },
    /// An upload was begun: the image is about to be put.
    UploadStarted {
        /// The image.
        image: ImageId,
        /// The remote.
        remote: RemoteName,
        /// Counted from 1 within this round.
        attempt: u32,
    },
    /// An upload failed and will be tried again.
    UploadFailed {
        /// The image.
        image: ImageId,
        /// The remote.
        remote: RemoteName,
        /// Counted from 1 within this round; 0 where the remote could not be reached, which uses none up.
        attempt: u32,
        /// Why, for people.
        reason: String,
        /// Not before this time.
        retry_at: Timestamp,
    },
    /// An upload failed in a way that needs a person.
    UploadBlocked {
        /// The image.
        image: ImageId,
        /// The remote.
        remote: RemoteName,
        /// Why, and what to do.
        reason: String,
    },
    /// A person asked that a failed or blocked upload be tried now.
    UploadRetried {
        /// The image.
        image: ImageId,
        /// The remote.
        remote: RemoteName,
    },
    /// Receipt: a remote confirmed that it holds the bytes of an image.
    ImageUploaded {
        /// The image.
        image: ImageId,
        /// The remote.
        remote: RemoteName,
        /// Where anybody can see it, if the remote has a public base.
        url: Option<String>,
        /// Whether it was there before we put it.
        already_there: bool,
    },
    /// The bytes of an image came from a remote, which proves that it holds them.
    ImageFetched {
        /// The image.
        image: ImageId,
        /// The remote.
        remote: RemoteName,
        /// Its size in bytes.
        bytes: u64,
        /// What its content says it is.
        media_type: MediaType,
        /// In pixels, where they can be told.
        dimensions: Option<Dimensions>,
    },
    /// The local copy of an image went.
    ImageEvicted {
        /// The image.
        image: ImageId,
    },
    /// This device was told of a remote, or of new options for it.
    RemoteConfigured {
        /// The remote.
        remote: RemoteName,
        /// How to reach it.
        options: RemoteOptions,
    },
    /// This device no longer uses a remote.
    RemoteRemoved {
        /// The remote.
        remote: RemoteName,
    },
    /// A remote lost what it had confirmed: its receipts no longer count.
    RemoteReset {
        /// The remote.
        remote: RemoteName,
        /// What showed it.
        reason: ResetReason,
    },
    /// Another device was seen, under this name.
    DeviceSeen {
        /// The device.
        device: DeviceId,
        /// What people call it.
        name: String,
    },
    /// This device took a new identity.
    DeviceRenewed {
        /// The id until now.
        from: DeviceId,
        /// The id from now on.
        to: DeviceId,
        /// What showed that it was needed.
        reason: RenewReason,
    },
    /// A note came whole, in a checkpoint; nothing of it was here.
    NoteReceived {
        /// The note.
        note: NoteId,
        /// The Automerge document, with its history.
        document: ChangeBytes,
        /// Its version: the changes that no other builds on, sorted.
        heads: Vec<ChangeHash>,
        /// How many changes it is made of.
        changes: u64,
        /// What the catalog shows of it.
        digest: Digest,
    },
    /// It was looked up what a note that came whole is made of, since something builds on an earlier
    /// version of it.
    NoteIndexed {
        /// The note.
        note: NoteId,
        /// Its changes but its heads.
        changes: Vec<ChangeHash>,
    },
    /// A checkpoint was read to its end: what its segments carry is here.
    CheckpointRead {
        /// The remote.
        remote: RemoteName,
        /// Whose checkpoint it is.
        device: DeviceId,
        /// Its number under that device.
        seq: u64,
        /// The hash that names its first part.
        hash: SegmentHash,
        /// The segments that it stands for.
        covers: Vec<Covered>,
    },
}

impl Event {
    /// The note that is another by this event.
    #[must_use]
    pub const fn changed_note(&self) -> Option<NoteId> {
        match self {
            Self::NoteChanged { note, .. } | Self::NoteReceived { note, .. } => Some(*note),
            _ => None,
        }
    }
}

/// What showed that a remote had lost something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ResetReason {
    /// It is empty.
    Emptied,
    /// A segment that was read or confirmed is not there.
    SegmentGone,
}

/// What showed that a device needs a new identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RenewReason {
    /// Somebody else pushed under our id: a copy of this vault, or the vault this is a backup of.
    Twin,
    /// The log had lost its tail: events up to `lost` had been acknowledged.
    TailLost {
        /// The last event that had been acknowledged.
        lost: Seq,
    },
    /// A remote lost what it had confirmed, so our numbering there is void.
    RemoteReset,
    /// As [`Twin`](Self::Twin), and both had pushed under our id before either saw it: others may have
    /// gone past what we put there, so all that is known is told again under the new id.
    Diverged,
}

/// Where a change came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// An edit on this device.
    Here,
    /// The upload projector of this device.
    Projector,
    /// Another device, by way of a segment.
    Device {
        /// Where it came from.
        remote: RemoteName,
        /// Whose segment it was in.
        device: DeviceId,
        /// The segment's number.
        seq: u64,
        /// Whether that device's upload projector is the author.
        projector: bool,
    },
}

impl Origin {
    /// Whether an upload projector, here or elsewhere, is the author.
    #[must_use]
    pub const fn is_projector(&self) -> bool {
        matches!(self, Self::Projector | Self::Device { projector: true, .. })
    }
}

/// An event as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Recorded {
    /// Its number in this log.
    pub seq: Seq,
    /// When it was appended, by this device's wall clock.
    pub at: Timestamp,
    /// Where it came from.
    pub origin: Origin,
    /// What happened.
    pub event: Event,
    /// Its own hash, which the next event names.
    pub hash: EventHash,
}

/// Why bytes are no event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is cut short.
    #[error("event {0} is cut short")]
    Short(Seq),
    /// It was written by a newer everleaf.
    #[error(
        "event {seq} has format {version}, and this everleaf reads up to {VERSION}; use a newer one"
    )]
    Version {
        /// Its number.
        seq: Seq,
        /// Its version.
        version: u8,
    },
    /// It names another event as the one before.
    #[error("event {0} does not follow the one before it: the log was altered or lost an event")]
    Chain(Seq),
    /// It is not what its version says.
    #[error("event {seq} is damaged")]
    Payload {
        /// Its number.
        seq: Seq,
        /// What the codec says.
        source: postcard::Error,
    },
}

/// Writes an event down, naming the hash of the one before; gives the bytes and their own hash.
///
/// # Errors
///
/// Only where the codec fails, which it does for no event that this library makes.
pub fn encode(
    seq: Seq,
    previous: EventHash,
    at: Timestamp,
    origin: &Origin,
    event: &Event,
) -> Result<(Vec<u8>, EventHash), postcard::Error> {
    let mut bytes = Vec::with_capacity(HEADER + 64);
    bytes.push(VERSION);
    bytes.extend_from_slice(previous.as_bytes());
    let bytes = postcard::to_extend(&(at, origin, event), bytes)?;
    let hash = hash(seq, &bytes);
    Ok((bytes, hash))
}

/// Reads an event and checks that it follows the event whose hash is `previous`; without one, takes
/// what it says.
///
/// # Errors
///
/// Where the bytes are no event, or not the next one.
pub fn decode(
    seq: Seq,
    previous: Option<EventHash>,
    bytes: &[u8],
) -> Result<Recorded, DecodeError> {
    let (header, payload) = bytes.split_at_checked(HEADER).ok_or(DecodeError::Short(seq))?;
    let (version, named) = header.split_first().ok_or(DecodeError::Short(seq))?;
    if *version != VERSION {
        return Err(DecodeError::Version { seq, version: *version });
    }
    if previous.is_some_and(|previous| previous.as_bytes() != named) {
        return Err(DecodeError::Chain(seq));
    }
    let ((at, origin, event), rest) = postcard::take_from_bytes(payload)
        .map_err(|source| DecodeError::Payload { seq, source })?;
    if !rest.is_empty() {
        return Err(DecodeError::Payload { seq, source: postcard::Error::DeserializeBadEncoding });
    }
    Ok(Recorded { seq, at, origin, event, hash: hash(seq, bytes) })
}

fn hash(seq: Seq, bytes: &[u8]) -> EventHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seq.0.to_be_bytes()).update(bytes);
    let mut half = [0; EventHash::LEN];
    hasher.finalize_xof().fill(&mut half);
    EventHash::from_bytes(half)
}
