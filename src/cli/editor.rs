//! Texts from files, from standard input, and from a person's editor.

use std::{
    env,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use everleaf::vault::{NOTE_LIMIT, VaultError, read_source};
use tempfile::NamedTempFile;

use super::{CliError, Result};

/// The text of a note, and the folder that names of images in it start from.
pub(super) struct Text {
    pub(super) source: String,
    pub(super) folder: PathBuf,
}

impl Text {
    /// The text of a file, or of standard input where the file is `-`.
    pub(super) fn from(file: &Path) -> Result<Self> {
        if file == Path::new("-") {
            return Self::from_stdin();
        }
        let source = read_source(file)?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        Ok(Self { source, folder: folder.map_or_else(here, Path::to_owned) })
    }

    pub(super) fn from_stdin() -> Result<Self> {
        let name = PathBuf::from("standard input");
        let mut bytes = Vec::new();
        let read = io::stdin().lock().take(NOTE_LIMIT + 1).read_to_end(&mut bytes);
        read.map_err(CliError::file("read", &name))?;
        if bytes.len() as u64 > NOTE_LIMIT {
            let bytes = bytes.len() as u64;
            return Err(VaultError::TooLong { bytes, limit: NOTE_LIMIT }.into());
        }
        let source = String::from_utf8(bytes).map_err(|_| VaultError::NotText(name))?;
        Ok(Self { source, folder: here() })
    }
}

fn here() -> PathBuf {
    PathBuf::from(".")
}

/// A text that a person wrote in an editor. Kept on disk until it was taken in.
pub(super) struct Draft(NamedTempFile);

impl Draft {
    /// Opens `text` in the editor, and waits until it is closed. The file is readable by its owner
    /// alone.
    pub(super) fn write(text: &str) -> Result<Self> {
        let set = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let editor = set("VISUAL").or_else(|| set("EDITOR")).ok_or(CliError::NoEditor)?;
        let mut words = shlex::split(&editor).unwrap_or_default().into_iter();
        let program = words.next().ok_or(CliError::NoEditor)?;
        let file = tempfile::Builder::new().prefix("everleaf-").suffix(".md").tempfile();
        let mut file = file.map_err(CliError::file("create a file in", env::temp_dir()))?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.flush());
        written.map_err(CliError::file("write", file.path()))?;
        let draft = Self(file);
        let status = Command::new(program).args(words).arg(draft.0.path()).status();
        match status {
            Ok(status) if status.success() => Ok(draft),
            Ok(status) => {
                draft.keep_changed(text, CliError::EditorFailed { command: editor, status })
            }
            Err(source) => Err(CliError::Editor { command: editor, source }),
        }
    }

    pub(super) fn text(&self) -> Result<Text> {
        Ok(Text { source: read_source(self.0.path())?, folder: here() })
    }

    /// Leaves the text on disk, and says where beside the error that kept it from being taken in.
    pub(super) fn keep(self, error: CliError) -> CliError {
        match self.0.keep() {
            // Not where the editor removed it.
            Ok((_, path)) if path.is_file() => CliError::Kept { path, source: Box::new(error) },
            _ => error,
        }
    }

    fn keep_changed(self, before: &str, error: CliError) -> Result<Self> {
        let unchanged = self.text().is_ok_and(|text| text.source == before);
        Err(if unchanged { error } else { self.keep(error) })
    }
}
