//! Bodies on their way in: bounded, hashed, in no haste but not without end, and whole before they
//! are passed on.

use std::{io::Write as _, time::Duration};

use axum::body::{Body, BodyDataStream, HttpBody as _};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::problem::Problem;
use crate::remote::{Upload, hub::Reason};

/// Up to so many bytes are kept in memory, the rest in a temporary file.
const IN_MEMORY: usize = 256 * 1024;
/// The slowest line that a body is waited for, in bytes a second.
const SLOWEST: u64 = 4 * 1024;
/// So much of a refused body is read, so that whoever sends it sees the answer.
const DRAINED: u64 = 8 << 20;
const DRAINED_IN: Duration = Duration::from_secs(10);
/// The same for whoever showed no key that counts here: they hold a place among all connections.
const STRANGER_DRAINED_IN: Duration = Duration::from_secs(1);

/// A body, perhaps read in part.
pub(super) struct Incoming {
    body: BodyDataStream,
    patience: Duration,
    /// In bytes, where the sender says it beforehand.
    pub(super) declared: Option<u64>,
    pub(super) read: u64,
    /// Whether the request was let in.
    pub(super) admitted: bool,
}

/// A body that came whole.
pub(super) struct Received {
    pub(super) upload: Upload,
    pub(super) hash: blake3::Hash,
    /// Removes the file.
    _file: Option<tempfile::TempPath>,
}

impl Incoming {
    pub(super) fn new(body: Body, patience: Duration) -> Self {
        let declared = body.size_hint().exact();
        Self { body: body.into_data_stream(), patience, declared, read: 0, admitted: false }
    }

    /// Refuses a body that says beforehand that it has more than `limit` bytes.
    pub(super) fn fits(&self, limit: u64) -> Result<(), Problem> {
        if self.declared.is_some_and(|declared| declared > limit) {
            return Err(too_large(limit));
        }
        Ok(())
    }

    async fn next(&mut self, until: Instant) -> Result<Option<Bytes>, Problem> {
        let wait = (Instant::now() + self.patience).min(until);
        match tokio::time::timeout_at(wait, self.body.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(piece))) => {
                self.read += piece.len() as u64;
                Ok(Some(piece))
            }
            Ok(Some(Err(_))) => Err(Problem::new(Reason::BadRequest, "the body broke off")),
            Err(_) => Err(Reason::TooSlow.into()),
        }
    }

    /// Reads all of it, and no more than `limit` bytes.
    pub(super) async fn receive(&mut self, limit: u64) -> Result<Received, Problem> {
        let began = Instant::now();
        let mut hasher = blake3::Hasher::new();
        let mut bytes: Vec<u8> = Vec::new();
        let mut file: Option<tempfile::NamedTempFile> = None;
        // What came buys time for more, so that a byte now and then does not hold a connection.
        let patience = self.patience;
        let until = move |read: u64| began + patience + Duration::from_secs(read / SLOWEST);
        while let Some(piece) = self.next(until(self.read)).await? {
            if self.read > limit {
                return Err(too_large(limit));
            }
            hasher.update(&piece);
            bytes.extend_from_slice(&piece);
            if bytes.len() > IN_MEMORY {
                file = Some(spill(file, std::mem::take(&mut bytes)).await?);
            }
        }
        let hash = hasher.finalize();
        let Some(file) = file else {
            return Ok(Received { upload: Bytes::from(bytes).into(), hash, _file: None });
        };
        let file = if bytes.is_empty() { file } else { spill(Some(file), bytes).await? };
        let path = file.into_temp_path();
        let upload = Upload::File { path: path.to_path_buf(), size: self.read };
        Ok(Received { upload, hash, _file: Some(path) })
    }

    /// Reads what is left of a refused body, within bounds: an answer before it was read looks like a
    /// broken connection.
    pub(super) async fn drain(&mut self) {
        let patience = if self.admitted { DRAINED_IN } else { STRANGER_DRAINED_IN };
        let (until, most) = (Instant::now() + patience, self.read.saturating_add(DRAINED));
        while self.read < most {
            if !matches!(self.next(until).await, Ok(Some(_))) {
                break;
            }
        }
    }
}

fn too_large(limit: u64) -> Problem {
    Problem::new(Reason::TooLarge, format!("one of this kind may have {limit} bytes"))
}

/// Writes bytes behind what is in the file.
async fn spill(
    file: Option<tempfile::NamedTempFile>,
    bytes: Vec<u8>,
) -> Result<tempfile::NamedTempFile, Problem> {
    let work = move || -> std::io::Result<_> {
        let mut file = match file {
            Some(file) => file,
            None => tempfile::NamedTempFile::new()?,
        };
        file.write_all(&bytes)?;
        Ok(file)
    };
    let written = tokio::task::spawn_blocking(work).await;
    written.map_err(std::io::Error::other).flatten().map_err(|error| {
        tracing::warn!(%error, "no room for a body");
        Reason::Storage.into()
    })
}
