//! Why a call to a remote failed, by what the caller can do about it.

use std::{io, path::PathBuf, time::Duration};

use super::Key;

/// The error underneath: shown by whoever walks the chain, never part of a message above it.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a call to a remote failed. No message holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The object is not there: go on without it.
    #[error("the remote has no `{key}`")]
    NotFound {
        /// What was asked for.
        key: Key,
    },
    /// The remote could not be reached, or the connection broke: try when there is a network.
    #[error("the remote cannot be reached")]
    Offline {
        /// What happened.
        source: Source,
    },
    /// The remote is up but did not do it: try again later.
    #[error("the remote is busy or in trouble")]
    Busy {
        /// Not before this has passed, where the remote said so.
        retry_after: Option<Duration>,
        /// What it answered.
        source: Source,
    },
    /// The remote knows nobody by these credentials, or does not let them do this: a person is needed.
    #[error("the remote denies access: check the access key, its secret and what they permit")]
    Denied {
        /// What it answered.
        source: Source,
    },
    /// The remote does not take an object of this size.
    #[error("the object is too large for the remote")]
    TooLarge {
        /// What it answered.
        source: Source,
    },
    /// The remote has no room left for this vault: a person is needed.
    #[error("{advice}")]
    NoRoom {
        /// What to do, for people.
        advice: &'static str,
        /// What the remote answered, if it was asked.
        source: Option<Source>,
    },
    /// The object is larger than the caller is ready to read.
    #[error("`{key}` has more than the {limit} bytes that it may have")]
    Oversized {
        /// What was asked for.
        key: Key,
        /// The most that the caller reads, in bytes.
        limit: u64,
    },
    /// The directory is not there: its disk may not be connected.
    #[error("the directory `{}` is not there", path.display())]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The bucket is not there: it has to be created.
    #[error("the bucket `{bucket}` does not exist: create it, or correct the remote's URL")]
    NoBucket {
        /// What it is called.
        bucket: String,
    },
    /// The remote cannot work as it is configured.
    #[error("{advice}")]
    Misconfigured {
        /// What is wrong and what to do, for people.
        advice: String,
        /// What the remote answered, if it was asked.
        source: Option<Source>,
    },
    /// The remote answered what no remote should.
    #[error("the remote's answer makes no sense: {what}")]
    Damaged {
        /// What is wrong with it.
        what: String,
    },
    /// A local file, or one of a directory that serves as a remote, could not be used.
    #[error("cannot use `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl RemoteError {
    /// Whether the same call may succeed later with nobody doing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Offline { .. } | Self::Busy { .. })
    }

    /// Whether it is only that the remote is away: there is no network, or its disk is not connected.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Offline { .. } | Self::NoDirectory { .. })
    }

    pub(super) fn misconfigured(advice: impl Into<String>) -> Self {
        Self::Misconfigured { advice: advice.into(), source: None }
    }

    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
