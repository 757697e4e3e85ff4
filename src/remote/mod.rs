//! Where devices meet: a store of objects that runs no code of ours and can read no notes.
//!
//! The contract is five calls, and it asks for no conditional write, no lock and no clock, because
//! real stores differ there. Immutable objects are named by their content, so putting one again, or
//! losing a race to put it, changes nothing. What comes from a remote is not to be trusted: whoever
//! reads bounds its size and checks what it holds.

mod counted;
mod dir;
mod error;
mod faulty;
#[cfg(feature = "https")]
pub mod hub;
mod key;
mod layer;
mod memory;
mod open;
mod retry;
#[cfg(feature = "s3")]
mod s3;

use std::{fmt, path::PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use tokio::io::AsyncReadExt as _;

#[cfg(feature = "loopback")]
pub(crate) use self::faulty::Faults;
#[cfg(feature = "https")]
pub use self::hub::{Hub, HubOptions};
// For the layers of this crate and of its tests.
#[doc(hidden)]
pub use self::layer::{Layer, Made};
#[cfg(feature = "s3")]
pub use self::s3::{S3, S3Credentials, S3Options, Secret};
pub use self::{
    counted::{Counted, Requests},
    dir::Dir,
    error::{RemoteError, Source},
    faulty::{Failure, Fault, Faulty},
    key::{After, Key, ParseKeyError, Prefix, hub_public_url, public_url},
    layer::Call,
    memory::Memory,
    open::{Location, open, open_patient, web_address},
    retry::{Retry, RetryPolicy},
};

/// A store of objects.
///
/// Every call may be repeated: none does more the second time.
///
/// # Errors
///
/// What a call may say, whichever it is, besides what stands at each: [`RemoteError::Offline`] and
/// [`RemoteError::Busy`], after which the same call may succeed later with nobody doing anything; and
/// [`RemoteError::Denied`], [`RemoteError::NoDirectory`], [`RemoteError::NoBucket`],
/// [`RemoteError::Misconfigured`], [`RemoteError::Damaged`] and [`RemoteError::Io`], which need somebody.
#[async_trait]
pub trait Remote: fmt::Debug + Send + Sync {
    /// Begins to read an object.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NotFound`] where there is none.
    async fn get(&self, key: &Key) -> Result<Download, RemoteError>;

    /// The same from its byte number `first` on, counted from 0. Where the remote can't begin there, what
    /// comes before is read and passed over.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    async fn get_from(&self, key: &Key, first: u64) -> Result<Download, RemoteError> {
        let Download { size, body } = self.get(key).await?;
        if first == 0 {
            return Ok(Download { size, body });
        }
        let mut before = first;
        let body = body.map(move |piece| {
            piece.map(|mut piece| {
                let passed = usize::try_from(before).unwrap_or(usize::MAX).min(piece.len());
                before -= passed as u64;
                piece.split_off(passed)
            })
        });
        Ok(Download { size: size.map(|size| size.saturating_sub(first)), body: body.boxed() })
    }

    /// What can be told of an object without reading it; `None` where there is none.
    ///
    /// Some stores cannot tell a missing bucket from a missing object here.
    ///
    /// # Errors
    ///
    /// Where the remote could not be asked, or did not answer; that there is no such object is none.
    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError>;

    /// Creates or replaces an object, all of it or nothing.
    ///
    /// After an error it may have taken effect all the same.
    ///
    /// # Errors
    ///
    /// [`RemoteError::TooLarge`] and [`RemoteError::NoRoom`] where the remote does not take it, and
    /// [`RemoteError::Io`] where the file of an [`Upload::File`] can't be read or has another size.
    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError>;

    /// Some of the keys of a group in the order of their names, from the first one behind `after`.
    ///
    /// Objects whose names are no keys are passed over.
    ///
    /// # Errors
    ///
    /// Where the remote could not be asked, or did not answer; that there are none is an empty page.
    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError>;

    /// Removes an object; that there is none is success.
    ///
    /// # Errors
    ///
    /// Where the remote could not be asked, or did not do it. It may have taken effect all the same.
    async fn delete(&self, key: &Key) -> Result<(), RemoteError>;

    /// Tells of the pulse as it changes, where the remote can; `None` where it can't.
    ///
    /// Each item is the tag that [`head`](Self::head) gives of [`Key::Pulse`], or an empty text where
    /// there is none; changes that follow close upon one another may be told as one. The first comes
    /// at once, unless it is `seen`. After an error, or where the stream ends, whoever listens begins
    /// anew.
    ///
    /// # Errors
    ///
    /// Where the remote could not be asked, or did not answer; that it can't tell is none.
    async fn watch(&self, seen: Option<&str>) -> Result<Option<Watch>, RemoteError> {
        let _ = seen;
        Ok(None)
    }
}

/// What a remote tells of its pulse.
pub type Watch = BoxStream<'static, Result<String, RemoteError>>;

/// The body of an object on its way here.
pub struct Download {
    /// In bytes, where the remote says it beforehand; not to be trusted.
    pub size: Option<u64>,
    /// The bytes, in pieces of any size. After an error there is no more.
    pub body: BoxStream<'static, Result<Bytes, RemoteError>>,
}

impl From<Bytes> for Download {
    fn from(bytes: Bytes) -> Self {
        Self { size: Some(bytes.len() as u64), body: stream::iter([Ok(bytes)]).boxed() }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("size", &self.size).finish_non_exhaustive()
    }
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// In bytes.
    pub size: u64,
    /// Changes whenever the content does; equal tags mean equal content. Not every store has one.
    pub tag: Option<String>,
    /// What it is stored under, where the store keeps that.
    pub media_type: Option<String>,
}

/// The body of an object on its way there.
#[derive(Clone)]
pub enum Upload {
    /// These bytes.
    Bytes(Bytes),
    /// The bytes of a file, which must not change meanwhile.
    File {
        /// Where it is.
        path: PathBuf,
        /// In bytes; a file of another size is an error.
        size: u64,
    },
}

impl Upload {
    /// In bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// All the bytes, in memory.
    async fn read(self) -> Result<Bytes, RemoteError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::File { path, size } => {
                let file = tokio::fs::File::open(&path).await.map_err(RemoteError::io(&path))?;
                let mut bytes = Vec::new();
                let read = file.take(size.saturating_add(1)).read_to_end(&mut bytes).await;
                read.map_err(RemoteError::io(&path))?;
                if bytes.len() as u64 == size {
                    Ok(bytes.into())
                } else {
                    Err(resized(path, size, bytes.len() as u64))
                }
            }
        }
    }
}

fn resized(path: PathBuf, expected: u64, found: u64) -> RemoteError {
    let is = if found < expected { "shorter" } else { "longer" };
    let what = format!("the file is {is} than the {expected} bytes that it had");
    RemoteError::Io { path, source: std::io::Error::other(what) }
}

impl From<Bytes> for Upload {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::File { path, size } => write!(f, "{size} bytes of {}", path.display()),
        }
    }
}

/// Some keys of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order of their names; may be empty even where there is more.
    pub keys: Vec<ListedKey>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<After>,
}

/// A key that a listing gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedKey {
    /// The object.
    pub key: Key,
    /// In bytes.
    pub size: u64,
}

/// The most keys that [`RemoteExt::list_all`] gathers: no honest vault comes near it.
const MOST_KEYS: usize = 4_000_000;
/// The most pages that it asks for, since pages may be empty of keys and yet go on.
const MOST_PAGES: usize = 20_000;

/// Comforts on top of the five calls.
#[async_trait]
pub trait RemoteExt {
    /// All the bytes of an object, in memory.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Oversized`] where there are more than `limit`; no more than that is held.
    async fn get_bytes(&self, key: &Key, limit: u64) -> Result<Bytes, RemoteError>;

    /// All keys of a group behind `after`, page after page.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Damaged`] where the listing goes in circles or without end.
    async fn list_all(
        &self,
        prefix: &Prefix,
        after: Option<After>,
    ) -> Result<Vec<ListedKey>, RemoteError>;
}

#[async_trait]
impl<R: Remote + ?Sized> RemoteExt for R {
    async fn get_bytes(&self, key: &Key, limit: u64) -> Result<Bytes, RemoteError> {
        let oversized = || RemoteError::Oversized { key: *key, limit };
        let Download { size, mut body } = self.get(key).await?;
        if size.is_some_and(|size| size > limit) {
            return Err(oversized());
        }
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await.transpose()? {
            if (bytes.len() + piece.len()) as u64 > limit {
                return Err(oversized());
            }
            bytes.extend_from_slice(&piece);
        }
        match size {
            Some(size) if size != bytes.len() as u64 => {
                let source = format!("{} of {size} bytes came", bytes.len()).into();
                Err(RemoteError::Offline { source })
            }
            _ => Ok(bytes.into()),
        }
    }

    async fn list_all(
        &self,
        prefix: &Prefix,
        after: Option<After>,
    ) -> Result<Vec<ListedKey>, RemoteError> {
        let mut keys = Vec::new();
        let mut after = after;
        for _ in 0..MOST_PAGES {
            let page = self.list(prefix, after.as_ref()).await?;
            keys.extend(page.keys);
            if page.next.is_none() {
                return Ok(keys);
            }
            if page.next <= after || keys.len() > MOST_KEYS {
                break;
            }
            after = page.next;
        }
        Err(RemoteError::Damaged { what: "a listing does not end".to_owned() })
    }
}
