//! The content-addressed files of a vault: verified in, verified out.
//!
//! ```text
//! <vault>/images/<first 2 hex>/<64 hex>.<ext>   an image, named by the blake3 hash of its bytes
//! <vault>/tmp/image-<random>                    one that is being taken in
//! ```
//!
//! An image gets its name only when all of its bytes are on disk and hashed: they are copied to a
//! temporary file (hashed on the way, bounded, never whole in memory), the file is synced, renamed,
//! and the folder synced. From then on the file is read-only and never changes; a name that exists
//! thus stands for its bytes, and a crash at any moment leaves at most a temporary file, which the
//! next opening removes. What is read out is hashed again, since disks forget; one that turns out
//! damaged is read-only no more, and so is replaced by the same image when that comes again.

mod batch;
mod draft;
mod error;
mod shards;

use std::{
    fmt,
    fs::{self, DirBuilder, File, Permissions},
    io::{self, BufReader, Read, Seek as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

pub use batch::Batch;
pub use draft::Incoming;
use draft::{CHUNK, Draft, Finished, Hashed, copy};
pub use error::ImageError;
use shards::Shards;

use crate::{
    crash,
    id::ImageId,
    image::{self, Dimensions, MediaType},
};

const TEMPORARY: &str = "image-";

/// An image that is on this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The hash of its bytes.
    pub image: ImageId,
    /// Its size in bytes.
    pub bytes: u64,
    /// What its content says it is.
    pub media_type: MediaType,
    /// In pixels, where they can be told.
    pub dimensions: Option<Dimensions>,
    /// Whether it was here before.
    pub already: bool,
}

/// An image whose bytes were just found to be what it is named by.
#[derive(Debug)]
pub struct Verified {
    /// Its file, at the beginning.
    pub file: File,
    /// Where that is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What stands in the folder of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An image, by its name; its bytes were not looked at.
    Image(ImageId, MediaType),
    /// Something that this library did not put there, and leaves alone.
    Foreign(PathBuf),
}

/// The images of one vault. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Images {
    folder: PathBuf,
    tmp: PathBuf,
    limit: u64,
    shards: Arc<Shards>,
    sizes: Sizes,
}

/// Tells whether an image of so many bytes may be known.
#[derive(Clone)]
struct Sizes(Arc<dyn Fn(u64) -> bool + Send + Sync>);

impl fmt::Debug for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sizes")
    }
}

impl Images {
    /// The images of the vault in `vault`, whose folders are created; takes none over `limit` bytes.
    ///
    /// Removes what an interrupted taking-in left behind, so the caller must hold the vault's lock.
    ///
    /// # Errors
    ///
    /// [`ImageError::Io`].
    pub fn open(vault: &Path, limit: u64) -> Result<Self, ImageError> {
        let (folder, tmp) = (vault.join("images"), vault.join("tmp"));
        for path in [&folder, &tmp] {
            create_private(path).map_err(ImageError::io("create the folder", path))?;
        }
        remove_stale(&tmp).map_err(ImageError::io("clear", &tmp))?;
        // Whoever made the entries that are found may have died before it synced them.
        sync_folder(vault)?;
        sync_folder(&folder)?;
        let shards = Shards::found_in(&folder).map_err(ImageError::io("read", &folder))?;
        // Any may be known, as long as nobody can tell.
        let sizes = Sizes(Arc::new(|_| true));
        Ok(Self { folder, tmp, limit, shards: Arc::new(shards), sizes })
    }

    /// Asks `is_known` whether an image of so many bytes may be known: a file of a size that no image has
    /// is read once, rather than hashed before it is copied. A wrong answer costs time and nothing else.
    #[must_use]
    pub(crate) fn with_sizes(
        mut self,
        is_known: impl Fn(u64) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.sizes = Sizes(Arc::new(is_known));
        self
    }

    /// Takes in what `reader` gives, up to its end. When this returns, it is on disk to stay.
    ///
    /// # Errors
    ///
    /// Where it is no image, too large or empty, or reading or writing fails; nothing is left behind.
    pub fn ingest(&self, reader: &mut dyn Read) -> Result<Stored, ImageError> {
        self.settled(self.take(reader)?)
    }

    /// Takes in a file. One whose bytes are here already, as the log has it, costs reading it once, and
    /// writes nothing.
    ///
    /// # Errors
    ///
    /// As [`ingest`](Self::ingest), and where `path` is no file.
    pub fn ingest_file(&self, path: &Path) -> Result<Stored, ImageError> {
        self.settled(self.take_file(path, false)?)
    }

    /// The same of a file that is one of the images here, of which the log may not say so.
    pub(crate) fn ingest_held(&self, path: &Path) -> Result<Stored, ImageError> {
        self.settled(self.take_file(path, true)?)
    }

    /// Begins to take in many images, whose folders are synced together at the end.
    pub fn batch(&self) -> Batch<'_> {
        Batch::of(self)
    }

    /// Begins to receive an image from elsewhere, which must turn out to be `expect`.
    ///
    /// # Errors
    ///
    /// [`ImageError::Io`], where no temporary file can be made.
    pub fn receive(&self, expect: ImageId) -> Result<Incoming, ImageError> {
        Ok(Incoming::new(self.clone(), expect, Draft::new(&self.tmp, self.limit)?))
    }

    /// Where an image is, or would be.
    #[must_use]
    pub fn path(&self, image: ImageId, media_type: MediaType) -> PathBuf {
        let name = format!("{image}.{}", media_type.extension());
        self.folder.join(format!("{:02x}", shard(image))).join(name)
    }

    /// Whether an image is here, by its name.
    #[must_use]
    pub fn contains(&self, image: ImageId, media_type: MediaType) -> bool {
        self.path(image, media_type).is_file()
    }

    /// Opens an image after hashing all of its bytes.
    ///
    /// # Errors
    ///
    /// [`ImageError::Missing`], [`ImageError::Damaged`] or [`ImageError::Io`].
    pub fn verified(&self, image: ImageId, media_type: MediaType) -> Result<Verified, ImageError> {
        let path = self.path(image, media_type);
        let mut file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ImageError::Missing { image },
            _ => ImageError::Io { action: "open", path: path.clone(), source },
        })?;
        let mut hashed = Hashed::new(u64::MAX);
        copy(&mut file, |chunk| hashed.update(chunk)).map_err(at("read", &path))?;
        if hashed.image() != image {
            doubt(&file);
            return Err(ImageError::Damaged { image, path, found: hashed.image() });
        }
        file.rewind().map_err(ImageError::io("read", &path))?;
        Ok(Verified { file, path, bytes: hashed.bytes() })
    }

    /// Removes the local copy of an image, which only [`Vault::evict`](crate::vault::Vault::evict) may, as it
    /// asks for proof; whether there was one.
    ///
    /// Not synced: after a power cut the file may be there again, which harms nobody.
    pub(crate) fn remove(&self, image: ImageId, media_type: MediaType) -> Result<bool, ImageError> {
        let path = self.path(image, media_type);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(ImageError::io("remove", &path)(error)),
        }
    }

    /// All that stands in the folder of images, by name and in order.
    pub fn list(&self) -> impl Iterator<Item = Result<Entry, ImageError>> + use<> {
        let folder = self.folder.clone();
        let mut walk = walkdir::WalkDir::new(&folder)
            .min_depth(1)
            .max_depth(2)
            .sort_by_file_name()
            .into_iter();
        std::iter::from_fn(move || {
            loop {
                let entry = match walk.next()? {
                    Ok(entry) => entry,
                    Err(error) => {
                        let path = error.path().unwrap_or(&folder).to_owned();
                        return Some(Err(ImageError::io("read", &path)(error.into())));
                    }
                };
                let is_folder = entry.file_type().is_dir();
                if entry.depth() == 1 && is_folder {
                    if shards::parse(entry.file_name()).is_some() {
                        continue;
                    }
                    walk.skip_current_dir();
                }
                let image = if is_folder { None } else { named(entry.path()) };
                return Some(Ok(match image {
                    Some((image, media_type)) => Entry::Image(image, media_type),
                    None => Entry::Foreign(entry.into_path()),
                }));
            }
        })
    }

    fn take(&self, reader: &mut dyn Read) -> Result<Stored, ImageError> {
        let finished = self.draft(reader)?;
        self.take_finished(finished)
    }

    fn take_file(&self, path: &Path, is_here: bool) -> Result<Stored, ImageError> {
        let looked = self.look(path, |_| is_here)?;
        if self.holds(&looked.known) {
            return Ok(Stored { already: true, ..looked.known });
        }
        let finished = self.draft_looked(looked).map_err(at("read", path))?;
        self.take_finished(finished)
    }

    fn take_finished(&self, finished: Finished) -> Result<Stored, ImageError> {
        if self.holds(&finished.stored) {
            return Ok(Stored { already: true, ..finished.stored });
        }
        self.publish(finished.synced()?)
    }

    /// Copies what `reader` gives to a temporary file, which is not synced yet.
    fn draft(&self, reader: &mut dyn Read) -> Result<Finished, ImageError> {
        let mut draft = Draft::new(&self.tmp, self.limit)?;
        copy(reader, |chunk| draft.write(chunk))?;
        draft.finish()
    }

    /// The same of a file that was looked at.
    fn draft_looked(&self, looked: Looked) -> Result<Finished, ImageError> {
        match looked.again {
            Again::Bytes(bytes) => Finished::of(&self.tmp, looked.known, &bytes),
            Again::File(mut file) => Draft::of_large(&self.tmp, self.limit, &mut file)?.finish(),
            Again::Copied(finished) => Ok(finished),
        }
    }

    /// Opens a file and says what is in it. A large one that may be known is read again where it turns out
    /// to be new: most of what is added again is known. One that has a size of its own is copied at once,
    /// if it begins as an image does: a film that a note links to is not written only to be refused.
    /// `is_coming` says of a size whether an image that nobody else knows yet has it.
    fn look(&self, path: &Path, is_coming: impl Fn(u64) -> bool) -> Result<Looked, ImageError> {
        let open = ImageError::io("open", path);
        // Asked before it is opened: to open a pipe would wait for its writer.
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return Err(open(error)),
        };
        if !metadata.is_file() {
            return Err(ImageError::NotAFile { path: path.to_owned() });
        }
        if metadata.len() > self.limit {
            return Err(ImageError::TooLarge { limit: self.limit });
        }
        let mut file = File::open(path).map_err(open)?;
        if let Some(bytes) = small(&file, metadata.len()).map_err(ImageError::io("read", path))? {
            if bytes.len() as u64 > self.limit {
                return Err(ImageError::TooLarge { limit: self.limit });
            }
            return Ok(Looked { known: draft::describe(&bytes)?, again: Again::Bytes(bytes) });
        }
        if !is_coming(metadata.len())
            && !(self.sizes.0)(metadata.len())
            && begins_as_an_image(&mut file).map_err(ImageError::io("read", path))?
        {
            let draft = Draft::of_large(&self.tmp, self.limit, &mut file);
            let finished = draft.and_then(Draft::finish).map_err(at("read", path))?;
            return Ok(Looked { known: finished.stored, again: Again::Copied(finished) });
        }
        let mut hashed = Hashed::new(self.limit);
        copy(&mut file, |chunk| hashed.update(chunk)).map_err(at("read", path))?;
        let known = hashed.describe(&mut BufReader::new(&file))?;
        file.rewind().map_err(ImageError::io("read", path))?;
        Ok(Looked { known, again: Again::File(file) })
    }

    /// Whether an image is here with as many bytes as it should have: a torn one is replaced. To hash each
    /// that comes again would take as long as taking it in, so one is believed that is read-only, as it was
    /// left; one that was found damaged is not, nor is one that somebody may have written to.
    fn holds(&self, stored: &Stored) -> bool {
        let Stored { image, media_type, bytes, .. } = *stored;
        let found = fs::metadata(self.path(image, media_type));
        found.is_ok_and(|found| {
            found.is_file()
                && found.len() == bytes
                && (found.permissions().readonly() || self.verified(image, media_type).is_ok())
        })
    }

    /// Gives a synced draft its name, which is not synced yet.
    fn publish(&self, finished: Finished) -> Result<Stored, ImageError> {
        let Finished { file, stored } = finished;
        let path = self.path(stored.image, stored.media_type);
        crash::point();
        self.shards.place(&self.folder, shard(stored.image), || {
            file.persist(&path).map_err(|error| ImageError::io("rename to", &path)(error.error))
        })?;
        crash::point();
        Ok(stored)
    }

    fn publish_synced(&self, finished: Finished) -> Result<Stored, ImageError> {
        self.settled(self.publish(finished)?)
    }

    /// Sees to it that an image keeps its name.
    fn settled(&self, stored: Stored) -> Result<Stored, ImageError> {
        self.shards.settle(&self.folder, [shard(stored.image)])?;
        Ok(stored)
    }
}

/// Marks a damaged image as one that is not to be believed before it was hashed, by the permission to write
/// to it, which no whole one has.
fn doubt(damaged: &File) {
    if let Err(error) = damaged.set_permissions(Permissions::from_mode(0o600)) {
        tracing::warn!(%error, "a damaged image could not be marked: adding it again does not mend it");
    }
}

/// Whether a file that was just opened begins as an image does.
fn begins_as_an_image(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::with_capacity(image::START);
    file.take(image::START as u64).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(image::recognise(&start).is_some())
}

/// A file that was looked at.
struct Looked {
    /// What is in it.
    known: Stored,
    again: Again,
}

/// How to have the bytes of a file again.
enum Again {
    /// They are here.
    Bytes(Vec<u8>),
    /// It is at its beginning.
    File(File),
    /// They were copied while it was found out what they are, as they can't be known.
    Copied(Finished),
}

/// The bytes of a file that are worth keeping until it is known what becomes of it; `None` where they are
/// too many, and the file is at its beginning then.
fn small(mut file: &File, length: u64) -> io::Result<Option<Vec<u8>>> {
    if length > CHUNK as u64 {
        return Ok(None);
    }
    // With room to find out that it is at its end.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    file.take(CHUNK as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > CHUNK {
        file.rewind()?;
        return Ok(None);
    }
    Ok(Some(bytes))
}

/// Says of a failure to read what was read.
fn at(action: &'static str, path: &Path) -> impl FnOnce(ImageError) -> ImageError {
    move |error| match error {
        ImageError::Read(source) => ImageError::Io { action, path: path.to_owned(), source },
        error => error,
    }
}

/// The folder that an image goes to: its first byte.
fn shard(image: ImageId) -> u8 {
    let [first, ..] = *image.as_bytes();
    first
}

/// The image whose place this is.
fn named(path: &Path) -> Option<(ImageId, MediaType)> {
    let (hex, extension) = path.file_name()?.to_str()?.split_once('.')?;
    let image = hex.parse().ok()?;
    let folder = shards::parse(path.parent()?.file_name()?)?;
    let media_type = MediaType::from_extension(extension)?;
    (folder == shard(image)).then_some((image, media_type))
}

fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn remove_stale(tmp: &Path) -> io::Result<()> {
    for entry in fs::read_dir(tmp)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn sync_folder(path: &Path) -> Result<(), ImageError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(ImageError::io("sync", path))
}
