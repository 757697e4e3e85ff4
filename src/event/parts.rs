//! What events hold.

use serde::{Deserialize, Serialize, de::Error as _};

use crate::id::{DeviceId, Hex, ImageId, SegmentHash, decode_hex};

/// The segments of one device up to a number, all of which a checkpoint stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// The device.
    pub device: DeviceId,
    /// The number of the last.
    pub seq: u64,
    /// The hashes of all that bear this number: more than one where a device had a twin.
    pub hashes: Vec<SegmentHash>,
}

/// What a note itself says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digest {
    /// Front matter's title, else the first heading, else the first line; empty where there is none.
    pub title: String,
    /// Where import found it and export puts it.
    pub path: Option<String>,
    /// Whether it is in the trash.
    pub trashed: bool,
    /// The length of its source in code points.
    pub characters: u64,
    /// The images that it shows, each once, and their URLs where it has them.
    pub images: Vec<(ImageId, Option<String>)>,
}

/// What a device calls a remote: 1 to 64 of `a-z 0-9 - _`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemoteName(String);

/// Why a text is no name for a remote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name for a remote: use 1 to 64 of the characters a-z, 0-9, `-` and `_`")]
pub struct ParseRemoteNameError(String);

impl RemoteName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RemoteName {
    type Error = ParseRemoteNameError;

    fn try_from(name: String) -> Result<Self, ParseRemoteNameError> {
        let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
        if (1..=64).contains(&name.len()) && name.chars().all(allowed) {
            Ok(Self(name))
        } else {
            Err(ParseRemoteNameError(name.chars().take(80).collect()))
        }
    }
}

impl std::str::FromStr for RemoteName {
    type Err = ParseRemoteNameError;

    fn from_str(name: &str) -> Result<Self, ParseRemoteNameError> {
        name.to_owned().try_into()
    }
}

impl From<RemoteName> for String {
    fn from(name: RemoteName) -> Self {
        name.0
    }
}

impl std::fmt::Display for RemoteName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How to reach a remote. Holds no secret: credentials come from the environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RemoteOptions {
    /// `dir:PATH`, `s3://BUCKET[/PREFIX]`, or `https://HUB[/PATH]`; several hubs that serve the same
    /// data have spaces between them.
    pub url: String,
    /// S3: where the server is, if not at AWS.
    pub endpoint: Option<String>,
    /// S3: `auto` where it is not given.
    pub region: Option<String>,
    /// Where anybody can read what is put; `None` for a private remote.
    pub public_url: Option<String>,
    /// S3: which profile of the AWS configuration to take credentials from.
    pub profile: Option<String>,
}

impl RemoteOptions {
    /// Whether these lead to where `other` do, whatever else differs: what was put there is there.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.url == other.url && self.endpoint == other.endpoint
    }
}

/// The bytes of one Automerge change. `Debug` shows their number, not them; JSON has their hex digits.
#[derive(Clone, PartialEq, Eq)]
pub struct ChangeBytes(pub Vec<u8>);

impl std::fmt::Debug for ChangeBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for ChangeBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&Hex(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for ChangeBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = ChangeBytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the bytes of a change")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<ChangeBytes, E> {
                Ok(ChangeBytes(bytes.to_vec()))
            }
        }
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            let mut bytes = vec![0; text.len() / 2];
            decode_hex(&text, &mut bytes).ok_or_else(|| D::Error::custom("no hex digits"))?;
            return Ok(Self(bytes));
        }
        deserializer.deserialize_bytes(Visitor)
    }
}
