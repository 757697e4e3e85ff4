//! From a URL to a remote.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use super::{Dir, Remote, RemoteError};
use crate::event::RemoteOptions;

/// Where a remote is.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
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
        let Some(rest) = url.strip_prefix("s3://") else {
            // The text itself may hold a password, so it is not shown.
            return Err(RemoteError::misconfigured(
                "this is no remote's URL: write `dir:PATH` or `s3://BUCKET[/PREFIX]`",
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

/// The remote that `options` describe. Of a directory it is checked that it is there; an S3 store is
/// not asked before the first call.
///
/// # Errors
///
/// [`RemoteError::Misconfigured`] where the options make no sense, [`RemoteError::NoBucket`] where
/// the directory is missing.
pub async fn open(options: &RemoteOptions) -> Result<Arc<dyn Remote>, RemoteError> {
    match options.url.parse()? {
        Location::Dir(path) => Ok(Arc::new(Dir::open(path).await?)),
        #[cfg(feature = "s3")]
        Location::S3 { bucket, prefix } => {
            let mut s3 = super::S3Options::new(bucket, prefix);
            s3.endpoint.clone_from(&options.endpoint);
            s3.region.clone_from(&options.region);
            s3.credentials = super::S3Credentials::Chain { profile: options.profile.clone() };
            Ok(Arc::new(super::S3::open(s3).await?))
        }
        #[cfg(not(feature = "s3"))]
        Location::S3 { .. } => Err(RemoteError::misconfigured(
            "this build has no S3: build it with the feature `s3`, or use `dir:PATH`",
        )),
    }
}
