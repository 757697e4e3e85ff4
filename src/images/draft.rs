//! An image on its way in: a temporary file, and what its bytes turned out to be.

use std::{
    fs::Permissions,
    io::{self, BufRead, BufReader, Read, Seek, Write as _},
    os::unix::fs::PermissionsExt as _,
    panic::resume_unwind,
    path::Path,
    sync::mpsc::{channel, sync_channel},
};

use tempfile::NamedTempFile;

use super::{ImageError, Images, Stored, TEMPORARY, image};
use crate::id::ImageId;

/// Writing more at once takes longer per byte.
pub(super) const CHUNK: usize = 128 * 1024;
/// How many chunks wait to be hashed at most.
const CHUNKS_AHEAD: usize = 4;

/// Gives all that `reader` has to `each`, a chunk at a time.
pub(super) fn copy(
    reader: &mut (impl Read + ?Sized),
    mut each: impl FnMut(&[u8]) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match read_some(reader, &mut buffer)? {
            0 => return Ok(()),
            read => each(buffer.get(..read).unwrap_or(&buffer))?,
        }
    }
}

/// Reads what there is; 0 bytes at the end.
fn read_some(reader: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> Result<usize, ImageError> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read.map_err(ImageError::Read),
        }
    }
}

/// What is known of bytes that went by: their hash, their number and the first of them.
#[derive(Debug)]
pub(super) struct Hashed {
    hasher: blake3::Hasher,
    start: Vec<u8>,
    limit: u64,
}

impl Hashed {
    pub(super) fn new(limit: u64) -> Self {
        Self { hasher: blake3::Hasher::new(), start: Vec::new(), limit }
    }

    pub(super) fn update(&mut self, chunk: &[u8]) -> Result<(), ImageError> {
        self.hasher.update(chunk);
        if self.bytes() > self.limit {
            return Err(ImageError::TooLarge { limit: self.limit });
        }
        let missing = image::START.saturating_sub(self.start.len());
        self.start.extend(chunk.iter().take(missing));
        Ok(())
    }

    pub(super) fn image(&self) -> ImageId {
        ImageId::from_bytes(*self.hasher.finalize().as_bytes())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.hasher.count()
    }

    /// Recognises the image; `whole` gives the same bytes again.
    pub(super) fn describe(&self, whole: &mut (impl BufRead + Seek)) -> Result<Stored, ImageError> {
        described(self.image(), self.bytes(), &self.start, whole)
    }
}

/// Hashes and recognises an image that is in memory.
pub(super) fn describe(bytes: &[u8]) -> Result<Stored, ImageError> {
    let image = ImageId::from_bytes(*blake3::hash(bytes).as_bytes());
    let start = bytes.get(..image::START).unwrap_or(bytes);
    described(image, bytes.len() as u64, start, &mut io::Cursor::new(bytes))
}

fn described(
    image: ImageId,
    bytes: u64,
    start: &[u8],
    whole: &mut (impl BufRead + Seek),
) -> Result<Stored, ImageError> {
    if bytes == 0 {
        return Err(ImageError::Empty);
    }
    let media_type = image::recognise(start)
        .ok_or_else(|| ImageError::NotAnImage { looks_like: image::looks_like(start) })?;
    let dimensions =
        image::dimensions(media_type, start).or_else(|| image::dimensions_in(media_type, whole));
    Ok(Stored { image, bytes, media_type, dimensions, already: false })
}

/// A temporary file that gets an image's bytes; dropped, it is gone.
#[derive(Debug)]
pub(super) struct Draft {
    file: NamedTempFile,
    hashed: Hashed,
}

/// A draft that is whole and recognised, and never changes from here on.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) file: NamedTempFile,
    pub(super) stored: Stored,
}

impl Finished {
    /// The draft of an image that is in memory, and known to be `stored`.
    pub(super) fn of(tmp: &Path, stored: Stored, bytes: &[u8]) -> Result<Self, ImageError> {
        let mut file = temporary(tmp)?;
        file.write_all(bytes).map_err(ImageError::io("write", file.path()))?;
        Ok(Self { file: closed(file)?, stored })
    }

    /// Has its bytes on disk.
    pub(super) fn synced(self) -> Result<Self, ImageError> {
        self.file.as_file().sync_all().map_err(ImageError::io("sync", self.file.path()))?;
        Ok(self)
    }
}

impl Draft {
    pub(super) fn new(tmp: &Path, limit: u64) -> Result<Self, ImageError> {
        Ok(Self { file: temporary(tmp)?, hashed: Hashed::new(limit) })
    }

    /// A draft of all that `reader` gives. What was written is hashed while the next is: of a large file
    /// the one takes about as long as the other.
    pub(super) fn of_large(
        tmp: &Path,
        limit: u64,
        reader: &mut (impl Read + ?Sized),
    ) -> Result<Self, ImageError> {
        let Self { file, mut hashed } = Self::new(tmp, limit)?;
        let (written, to_hash) = sync_channel::<(Vec<u8>, usize)>(CHUNKS_AHEAD);
        let (hashed_before, free) = channel();
        let hash = move || {
            for (buffer, filled) in to_hash {
                hashed.update(buffer.get(..filled).unwrap_or(&buffer))?;
                // Where nothing more is written, nobody wants it.
                let _ = hashed_before.send(buffer);
            }
            Ok(hashed)
        };
        let hashed = std::thread::scope(|scope| {
            let hashing = std::thread::Builder::new().spawn_scoped(scope, hash);
            let hashing = hashing.map_err(ImageError::io("start a thread to hash", file.path()))?;
            loop {
                let mut buffer = free.try_recv().unwrap_or_else(|_| vec![0; CHUNK]);
                let filled = read_some(reader, &mut buffer)?;
                let chunk = buffer.get(..filled).unwrap_or(&buffer);
                file.as_file().write_all(chunk).map_err(ImageError::io("write", file.path()))?;
                // It is too large where it is not hashed any more.
                if filled == 0 || written.send((buffer, filled)).is_err() {
                    break;
                }
            }
            drop(written);
            hashing.join().unwrap_or_else(|cause| resume_unwind(cause))
        })?;
        Ok(Self { file, hashed })
    }

    pub(super) fn write(&mut self, chunk: &[u8]) -> Result<(), ImageError> {
        self.hashed.update(chunk)?;
        let written = chunk.chunks(CHUNK).try_for_each(|part| self.file.as_file().write_all(part));
        written.map_err(ImageError::io("write", self.file.path()))
    }

    pub(super) fn image(&self) -> ImageId {
        self.hashed.image()
    }

    /// Recognises the image and makes its file read-only.
    pub(super) fn finish(self) -> Result<Finished, ImageError> {
        let Self { file, hashed } = self;
        let stored = hashed.describe(&mut BufReader::new(file.as_file()))?;
        Ok(Finished { file: closed(file)?, stored })
    }
}

fn temporary(tmp: &Path) -> Result<NamedTempFile, ImageError> {
    let file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(tmp);
    file.map_err(ImageError::io("create a temporary file in", tmp))
}

/// Makes a file read-only.
fn closed(file: NamedTempFile) -> Result<NamedTempFile, ImageError> {
    let closed = file.as_file().set_permissions(Permissions::from_mode(0o400));
    closed.map_err(ImageError::io("close to writers", file.path()))?;
    Ok(file)
}

/// An image that is being received. Dropped before [`finish`](Self::finish), it leaves nothing behind.
#[must_use = "what was written is kept only by `finish`"]
#[derive(Debug)]
pub struct Incoming {
    images: Images,
    expect: ImageId,
    draft: Draft,
}

impl Incoming {
    pub(super) fn new(images: Images, expect: ImageId, draft: Draft) -> Self {
        Self { images, expect, draft }
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    ///
    /// [`ImageError::TooLarge`] or [`ImageError::Io`]; nothing more should be written then.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), ImageError> {
        self.draft.write(chunk)
    }

    /// Gives the image its name, in place of a damaged one if there is one. When this returns, it is
    /// on disk to stay.
    ///
    /// # Errors
    ///
    /// [`ImageError::WrongHash`] where the bytes are not the image that was expected; otherwise as
    /// [`Images::ingest`].
    pub fn finish(self) -> Result<Stored, ImageError> {
        let found = self.draft.image();
        if found != self.expect {
            return Err(ImageError::WrongHash { expected: self.expect, found });
        }
        let finished = self.draft.finish()?.synced()?;
        let already = self.images.holds(&finished.stored);
        let stored = self.images.publish_synced(finished)?;
        Ok(Stored { already, ..stored })
    }
}
