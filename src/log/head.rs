//! The note of the last event, beside the database.
//!
//! ```text
//! two slots of 32 bytes, written in turn:  seq (8, big-endian) · hash (16) · blake3 of both (8)
//! ```
//!
//! The note is not synced by itself. After a power cut it may be older than the log, never newer.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::seq_of;
use crate::{
    db::DbError,
    id::{EventHash, Seq},
};

const SLOT: usize = 32;

/// The note of the last event, beside the database.
pub(super) struct HeadFile {
    file: File,
    path: PathBuf,
}

impl HeadFile {
    pub(super) fn open(path: &Path) -> Result<Self, DbError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|source| DbError::Io { action: "open", path: path.into(), source })?;
        Ok(Self { file, path: path.into() })
    }

    /// The newer of the two slots; a slot that was torn counts as empty.
    pub(super) fn read(&self) -> Result<Option<(Seq, EventHash)>, DbError> {
        let mut newest = None;
        for slot in 0..2 {
            let mut bytes = [0; SLOT];
            match self.file.read_exact_at(&mut bytes, slot * SLOT as u64) {
                Ok(()) => newest = newest.max(decode_slot(&bytes)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(source) => {
                    return Err(DbError::Io { action: "read", path: self.path.clone(), source });
                }
            }
        }
        Ok(newest)
    }

    /// Makes `last` the only thing it says: numbers after it are about to be used again.
    pub(super) fn reset(&self, last: (Seq, EventHash)) -> Result<(), DbError> {
        self.file
            .set_len(0)
            .and_then(|()| {
                self.file.write_all_at(&encode_slot(last.0, last.1), (last.0.0 % 2) * SLOT as u64)
            })
            .and_then(|()| self.file.sync_all())
            .map_err(|source| DbError::Io { action: "write", path: self.path.clone(), source })
    }

    pub(super) fn write(&self, (seq, hash): (Seq, EventHash)) -> Result<(), DbError> {
        let bytes = encode_slot(seq, hash);
        self.file.write_all_at(&bytes, (seq.0 % 2) * SLOT as u64).map_err(|source| DbError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        })
    }

    pub(super) fn sync(&self) {
        if let Err(error) = self.file.sync_all() {
            tracing::warn!(%error, path = %self.path.display(), "could not sync the note of the last event");
        }
    }
}

fn encode_slot(seq: Seq, hash: EventHash) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    let (payload, check) = slot.split_at_mut(24);
    let (number, rest) = payload.split_at_mut(8);
    number.copy_from_slice(&seq.0.to_be_bytes());
    rest.copy_from_slice(hash.as_bytes());
    let sum = blake3::hash(payload);
    check.copy_from_slice(sum.as_bytes().split_at(8).0);
    slot
}

fn decode_slot(slot: &[u8; SLOT]) -> Option<(Seq, EventHash)> {
    let (payload, check) = slot.split_at(24);
    if blake3::hash(payload).as_bytes().split_at(8).0 != check {
        return None;
    }
    let (number, hash) = payload.split_at(8);
    Some((seq_of(number), EventHash::from_slice(hash)?))
}
