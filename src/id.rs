//! Ids: a newtype each, so that one can't be passed for another.
//!
//! All are shown as lower-case hex. In binary formats they are their bytes; in JSON, that hex.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: expected {digits} hexadecimal digits")]
pub struct ParseIdError {
    text: String,
    what: &'static str,
    digits: usize,
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Its length in bytes.
            pub const LEN: usize = $bytes;

            /// The id with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The id with these bytes, or `None` where their number is wrong.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Its bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// Its first eight hex digits: enough for people to tell a few apart.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string().chars().take(8).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Hex(&self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $bytes];
                decode_hex(text, &mut bytes).map(|()| Self(bytes)).ok_or_else(|| ParseIdError {
                    text: text.chars().take(80).collect(),
                    what: $what,
                    digits: 2 * $bytes,
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serde::Serialize::serialize(&Raw(self.0), serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
                } else {
                    Raw::<$bytes>::deserialize(deserializer).map(|raw| Self(raw.0))
                }
            }
        }
    };
}

hex_id!(
    /// A note: a `UUIDv7`, so ids sort by the time of creation.
    NoteId, 16, "a note id"
);
hex_id!(
    /// One installation of a vault; random.
    DeviceId, 16, "a device id"
);
hex_id!(
    /// An image: the blake3 hash of its bytes.
    ImageId, 32, "an image id"
);
hex_id!(
    /// A vault: the Ed25519 public key that its vault key derives.
    VaultId, 32, "a vault id"
);
hex_id!(
    /// One Automerge change: the SHA-256 that Automerge names it by.
    ChangeHash, 32, "a change hash"
);
hex_id!(
    /// One segment on a remote: the blake3 hash of its sealed bytes.
    SegmentHash, 32, "a segment hash"
);
hex_id!(
    /// One event of this device's log: the first half of a blake3 hash, which chains it to the one before.
    EventHash, 16, "an event hash"
);

impl NoteId {
    /// A new id: `UUIDv7` of `millis` since 1970 and ten bytes, random or the hash of a file.
    #[must_use]
    pub fn new(millis: u64, random: [u8; 10]) -> Self {
        let [.., t5, t4, t3, t2, t1, t0] = millis.to_be_bytes();
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
        let (version, variant) = (0x70 | (r0 & 0x0f), 0x80 | (r2 & 0x3f));
        Self([t5, t4, t3, t2, t1, t0, version, r1, variant, r3, r4, r5, r6, r7, r8, r9])
    }

    /// When the note was created, in milliseconds since 1970, by the clock of its author; when the file was
    /// written that it was made of.
    #[must_use]
    pub fn created_millis(&self) -> u64 {
        self.0.iter().take(6).fold(0, |millis, byte| millis << 8 | u64::from(*byte))
    }
}

/// The number of an event in this device's log; the first is 1, and 0 stands for "none yet".
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes, shown as their hex digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In one piece: a list of notes shows a great many of them.
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
        let digits = self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        f.write_str(&digits.collect::<String>())
    }
}

/// Writes the bytes that `hex` shows, lower-case only, into `out`; `None` where it does not fit exactly.
pub(crate) fn decode_hex(hex: &str, out: &mut [u8]) -> Option<()> {
    let digits = hex.as_bytes();
    if digits.len() != 2 * out.len() {
        return None;
    }
    for (pair, byte) in digits.chunks_exact(2).zip(out) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(())
}

fn digit(ascii: u8) -> Option<u8> {
    match ascii {
        b'0'..=b'9' => Some(ascii - b'0'),
        b'a'..=b'f' => Some(ascii - b'a' + 10),
        _ => None,
    }
}

/// An array of any length as serde sees it: a tuple of bytes, without a length before it.
struct Raw<const N: usize>([u8; N]);

impl<const N: usize> Serialize for Raw<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple as _;
        let mut tuple = serializer.serialize_tuple(N)?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

impl<'de, const N: usize> Deserialize<'de> for Raw<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const N: usize>;
        impl<'de, const N: usize> serde::de::Visitor<'de> for Visitor<N> {
            type Value = Raw<N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{N} bytes")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Raw<N>, A::Error> {
                let mut bytes = [0; N];
                for (index, byte) in bytes.iter_mut().enumerate() {
                    *byte = seq
                        .next_element()?
                        .ok_or_else(|| serde::de::Error::invalid_length(index, &self))?;
                }
                Ok(Raw(bytes))
            }
        }
        deserializer.deserialize_tuple(N, Visitor::<N>)
    }
}
