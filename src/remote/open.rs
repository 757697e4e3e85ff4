//! From a URL to a remote.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use super::{Dir, Remote, RemoteError, Retry, RetryPolicy};
use crate::{clock::Clock, event::RemoteOptions, seal::VaultKey};

/// Every hub is asked where the ones before it fail.
#[cfg(feature = "https")]
const MOST_HUBS: usize = 8;

/// Where a remote is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// `dir:PATH`
    Dir(PathBuf),
    /// `s3://BUCKET[/PREFIX]`
    S3 {
        /// The bucket, which has to exist.
        bucket: String,
        /// What all names there begin with, without a slash at either end; may be empty.
        prefix: String,
    },
    /// `https://HUB[/PATH]`: everleaf hubs that serve the same data, one or several with spaces
    /// between them; `http:` on this machine alone. Without slashes at their ends.
    Hub(Vec<String>),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Hub(urls) => f.write_str(&urls.join(" ")),
        }
    }
}

impl FromStr for Location {
    type Err = RemoteError;

    fn from_str(url: &str) -> Result<Self, RemoteError> {
        if let Some(path) = url.strip_prefix("dir:") {
            if path.is_empty() {
                return Err(RemoteError::misconfigured("`dir:` lacks its path: write `dir:PATH`"));
            }
            return Ok(Self::Dir(path.into()));
        }
        if url.starts_with("https://") || url.starts_with("http://") {
            return hubs(url);
        }
        let Some(rest) = url.strip_prefix("s3://") else {
            // The text itself may hold a password, so it is not shown.
            return Err(RemoteError::misconfigured(
                "this is no remote's URL: write `dir:PATH`, `s3://BUCKET[/PREFIX]` or `https://HUB`",
            ));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let plain = |text: &str| {
            text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        };
        if bucket.is_empty() || bucket.len() > 255 || !plain(bucket) {
            return Err(RemoteError::misconfigured(
                "the bucket's name is missing or has characters that none has: write \
                 `s3://BUCKET[/PREFIX]`, and the server's address as the endpoint",
            ));
        }
        let segment = |text: &str| !matches!(text, "" | "." | "..") && plain(text);
        if prefix.len() > 512 || !(prefix.is_empty() || prefix.split('/').all(segment)) {
            return Err(RemoteError::misconfigured(
                "the prefix behind the bucket may have letters, digits, `.`, `-`, `_` and single `/`",
            ));
        }
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

#[cfg(feature = "https")]
fn hubs(urls: &str) -> Result<Location, RemoteError> {
    let urls: Vec<String> =
        urls.split(' ').map(|url| url.trim_end_matches('/').to_owned()).collect();
    if urls.len() <= MOST_HUBS && urls.iter().all(|url| super::hub::is_hub_url(url)) {
        Ok(Location::Hub(urls))
    } else {
        Err(RemoteError::misconfigured(
            "this is no hub's URL: write `https://HUB[/PATH]`, without name and password; `http:` is \
             for this machine alone",
        ))
    }
}

#[cfg(not(feature = "https"))]
fn hubs(_: &str) -> Result<Location, RemoteError> {
    Err(RemoteError::misconfigured(
        "this build has no HTTPS: build it with the feature `https`, or use `dir:PATH`",
    ))
}

/// An address of a server or of a public place as options hold it, without slashes at its end: it begins with
/// `https://` or `http://`, and has nothing behind its path and no password. Notes get what begins with it.
///
/// # Errors
///
/// [`RemoteError::Misconfigured`] where it is none.
pub fn web_address(url: &str) -> Result<String, RemoteError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let plain = |rest: &str| {
        let ok = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '@' | '"' | '<' | '>');
        !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(ok)
    };
    if rest.is_some_and(plain) {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    Err(RemoteError::misconfigured("it should begin with https:// and have no `?`, `#` or `@`"))
}

/// The remote that `options` describe, for the vault that `key` is of. Nothing is asked before the first
/// call: what is away now may be back by then. Each call is made once; see [`open_patient`].
///
/// For what is not configured yet: a remote that a vault knows is what
/// [`Vault::connect`](crate::vault::Vault::connect) gives.
///
/// # Errors
///
/// [`RemoteError::Misconfigured`] where the options make no sense.
pub async fn open(options: &RemoteOptions, key: &VaultKey) -> Result<Arc<dyn Remote>, RemoteError> {
    #[cfg(not(feature = "https"))]
    let _ = key;
    match options.url.parse()? {
        Location::Dir(path) => Ok(Arc::new(Dir::at(path))),
        #[cfg(feature = "s3")]
        Location::S3 { .. } => {
            Ok(Arc::new(super::S3::open(super::S3Options::described(options)?).await?))
        }
        #[cfg(not(feature = "s3"))]
        Location::S3 { .. } => Err(RemoteError::misconfigured(
            "this build has no S3: build it with the feature `s3`, or use `dir:PATH`",
        )),
        #[cfg(feature = "https")]
        Location::Hub(urls) => Ok(Arc::new(super::Hub::open(super::HubOptions::new(urls, key))?)),
        #[cfg(not(feature = "https"))]
        Location::Hub(_) => Err(RemoteError::misconfigured(
            "this build has no HTTPS: build it with the feature `https`, or use `dir:PATH`",
        )),
    }
}

/// The same, with calls repeated as `retries` says where they fail for a reason that may pass; `clock` is
/// asked how long that takes.
///
/// # Errors
///
/// As [`open`].
pub async fn open_patient(
    options: &RemoteOptions,
    key: &VaultKey,
    retries: RetryPolicy,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Remote>, RemoteError> {
    Ok(Arc::new(Retry::new(open(options, key).await?, retries, clock)))
}
