//! A folder of Markdown files: import, export, and what is remembered between them.
//!
//! A note is a file `*.md` or `*.markdown`; its path in the folder is the note's `path`. Names that
//! begin with a dot belong to other programs (`.git`, `.obsidian`, `.trash`): import leaves them out,
//! and export never writes one but its own `.everleaf-export`. Symbolic links are not followed.
//!
//! What keeps an import from undoing what happened meanwhile is a bookmark for each file: of which
//! note it is, and at which version, and the hash of its bytes. A file whose bytes are those is left
//! alone, however the note has changed since; an edited one is an edit *of that version*, and merged.
//! A file that has the size, the times and the inode that it had is not read to find that out, unless
//! it was written a moment before it was read, or is a note that shows images, which may lead elsewhere by now.
//! See [`import`] and [`export`].

mod announced;
mod bookmarks;
mod edited;
mod export;
mod files;
mod gone;
mod group;
mod import;
mod kept;
mod known;
mod named;
mod others;
mod place;
mod reader;
mod stamps;
mod stood;
mod walk;
mod write;

#[doc(hidden)]
pub use stamps::is_settled;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    id::ImageId,
    vault::{Vault, VaultError},
};

/// How a folder is imported.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ImportOptions {
    /// Whether a destination that names no file exactly may be taken for one that is near: in other
    /// letter case, say, or with `../` above the folder. Default: no.
    pub lenient: bool,
    /// Whether files are read again that have the size and the times that they had. Default: no.
    pub reread: bool,
}

/// How a folder is exported.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ExportOptions {
    /// Whether images that have a public URL are shown by it, and left out of the folder. Default: no.
    pub urls: bool,
    /// Whether files are deleted that nobody changed since they were written or imported, of notes that were moved
    /// or thrown away since, and of images that an export wrote, there or elsewhere since, and no note shows any more,
    /// if no file names them. Default: no.
    pub delete: bool,
    /// Whether a folder that was imported, and not exported to before, may be exported to as well; from then on it is
    /// one of the vault's exports. Default: no.
    pub adopt: bool,
}

/// How it is going; for whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Progress {
    /// This many notes are there.
    Notes(u64),
    /// One of them is done.
    Note,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct Imported {
    /// Files that are notes.
    pub notes: u64,
    /// Those that made or changed a note.
    pub changed: u64,
    /// Files that were read; all others have the size and the times that they had.
    #[serde(default)]
    pub read: u64,
    /// Images that these files show.
    pub images: ImportedImages,
    /// Files that stay out: they are no notes, and no note shows them as an image.
    #[serde(default)]
    pub others: u64,
    /// Destinations that stayed text.
    pub missing: Vec<Missing>,
    /// Files that could not be taken in.
    pub skipped: Vec<Skipped>,
    /// Files that were taken in, though not as their owner may think.
    #[serde(default)]
    pub remarks: Vec<Remark>,
}

/// What became of a file, where that may be a surprise.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Remark {
    /// Where it is in the folder.
    pub path: String,
    /// What became of it.
    pub what: String,
}

/// Images of the folder that its notes show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct ImportedImages {
    /// How often; a reference definition counts as often as it is used.
    pub references: u64,
    /// How many there are.
    pub distinct: u64,
    /// The size of their files, in bytes.
    pub bytes_referenced: u64,
    /// Their size when each is kept once, in bytes.
    pub bytes_stored: u64,
}

/// A destination for which no image was found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Missing {
    /// The path of the note.
    pub note: String,
    /// What it names.
    pub destination: String,
    /// A file that [`ImportOptions::lenient`] would take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Why the file that it names was not taken, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A file that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Skipped {
    /// Where it is in the folder.
    pub path: String,
    /// Why.
    pub reason: String,
    /// What a person can do about it, where that is not part of the reason; see
    /// [`hint`](crate::vault::hint).
    #[serde(default)]
    pub hint: Option<String>,
}

impl Skipped {
    fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into(), hint: None }
    }

    /// One for which an error says what to do.
    fn of(path: &str, reason: String, error: &VaultError) -> Self {
        Self { path: path.to_owned(), reason, hint: error.hint() }
    }
}

/// What an export did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct Exported {
    /// Notes that are in the folder now.
    pub notes: u64,
    /// Image files that are in the folder now.
    pub images: u64,
    /// Files that had to be written, notes and images.
    pub written: u64,
    /// What stands under another name than its own, since that was taken or is no safe one.
    pub renamed: Vec<Renamed>,
    /// Files that were left as they are, and why.
    pub skipped: Vec<Skipped>,
    /// Images whose bytes are not here; the notes name them all the same.
    pub missing: Vec<Absent>,
    /// Files of notes that have gone elsewhere since, and of images that no note shows any more, that are still there.
    #[serde(default)]
    pub left: Vec<Remark>,
    /// How many files were [deleted](ExportOptions::delete).
    #[serde(default)]
    pub deleted: u64,
}

/// A name that an export changed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Renamed {
    /// What it is called in the vault: the path of a note, or the destination of an image.
    pub from: String,
    /// What it is called in the folder.
    pub to: String,
}

/// An image that an export could not write.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Absent {
    /// Where the note is in the folder.
    pub note: String,
    /// The image.
    pub image: ImageId,
    /// What the note calls it.
    pub destination: String,
    /// Why it is not there.
    pub reason: String,
}

/// Takes the notes of `folder` in, with the images that they show.
///
/// A file that was imported or exported before, and is as it was then, changes nothing. One that was
/// edited is an edit of the version it was made of. Any other whose path a note has is an edit of the
/// version of that note that it has most lines in common with, if those are more than half of each, and if
/// it takes nothing out of a note that is a file of another folder; else it is a new note, as there is a
/// README in many a folder. Where an image file was replaced, the notes
/// that show it show the new one. A file that was moved since the last import takes its note along, and so does one that was edited as well,
/// where its file system says that it is the same, or it has its name in another folder and only its links changed. No note is
/// ever thrown away because its file is gone; that it is, is told. Folders in it that this vault was exported to
/// are left out.
///
/// Where something carries the folder to other devices, with the times of its files, each may import it: a
/// file that is the same, its path and time included, is one note, and what was made of one version is one
/// edit. Two states of a file that two devices import before they sync are two edits, and merged.
///
/// # Errors
///
/// Where the folder can't be read, or the vault can't be written to; what was taken in until then stays,
/// and importing again goes on from there. A single file that can't be taken in is no error, and listed.
pub fn import(
    vault: &Vault,
    folder: &Path,
    options: &ImportOptions,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Imported, VaultError> {
    import::run(vault, folder, *options, progress)
}

/// Writes every note that is not in the trash, and the images that it shows, into `folder`.
///
/// Notes and images get the names they had where they came from; where two claim one name, or a name
/// leads out of the folder, the text says another, and import knows what is meant. Files that were
/// edited since they were exported are left alone: import them first. So is a file that stands where an
/// image should go and that no note shows; the image goes beside it. Files of notes that were moved or
/// thrown away meanwhile are left, too. What somebody moved or deleted in the folder since is not written again
/// before an import saw that, unless the folder was emptied. A name that is there already is kept, though it be none
/// on other systems, and so is the place of an image that somebody moved and that is found by the same name. Nothing
/// is written outside of the folder.
///
/// The folder has to be empty, new, or one that this vault was exported to before; with [`ExportOptions::adopt`] it may
/// also be one that was imported.
///
/// # Errors
///
/// [`VaultError::NotExported`] where the folder holds anything that did not come from this vault,
/// [`VaultError::OnlyImported`] where it was imported and [`ExportOptions::adopt`] is not set,
/// [`VaultError::NotAsImported`] and [`VaultError::FolderWithin`] where it is and the folder can't be adopted, and
/// where reading or writing fails; exporting again goes on from there.
pub fn export(
    vault: &Vault,
    folder: &Path,
    options: &ExportOptions,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Exported, VaultError> {
    export::run(vault, folder, *options, progress)
}
