//! What can go wrong with an image, by what one can do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::id::ImageId;

/// Why an image was not taken in, or not given out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// It has more bytes than this vault takes.
    #[error(
        "it is larger than the limit of {limit} bytes; make the image smaller or raise the limit"
    )]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// It has no bytes.
    #[error("it is empty; is the file still being written?")]
    Empty,
    /// Its content is none of the known kinds of image, whatever its name says.
    #[error(
        "it is no image but {looks_like}; PNG, JPEG, GIF, WebP, AVIF, HEIC, SVG, BMP, TIFF and ICO \
         are taken"
    )]
    NotAnImage {
        /// What its content looks like.
        looks_like: &'static str,
    },
    /// The path leads to a folder or a device.
    #[error("`{}` is not a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// This device does not have it.
    #[error("the file of image {image} is gone from this device")]
    Missing {
        /// The image.
        image: ImageId,
    },
    /// The file of an image no longer has the bytes that it is named by.
    #[error(
        "`{}` is damaged: its bytes hash to {found}; adding the image again mends it",
        path.display()
    )]
    Damaged {
        /// The image.
        image: ImageId,
        /// Its file.
        path: PathBuf,
        /// The hash of what is there.
        found: ImageId,
    },
    /// What was downloaded is not what was asked for.
    #[error(
        "asked for image {expected}, but was sent bytes that hash to {found}; nothing was kept"
    )]
    WrongHash {
        /// The image that was asked for.
        expected: ImageId,
        /// The hash of what was sent.
        found: ImageId,
    },
    /// The reader that was to give the image failed.
    #[error("the image could not be read to its end")]
    Read(#[source] io::Error),
    /// A folder could not be synced before, so what is on disk is not known.
    #[error("`{}` could not be synced earlier; check the disk, then open the vault anew", path.display())]
    SyncFailed {
        /// The folder.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("could not {action} `{}`", path.display())]
    Io {
        /// What was done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl ImageError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
