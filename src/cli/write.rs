//! `new`, `edit`: writing notes.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use everleaf::{
    id::NoteId,
    note::{
        Embed,
        markdown::{self, Syntax},
    },
    vault::{NewNote, Reading, Vault},
};
use serde_json::json;

use super::{
    CliError, Context, Result,
    editor::{Draft, Text},
    text::clean,
};

/// Make a note
///
/// Images that the text shows by their local paths are taken in with it. Without FILE, an editor
/// opens on a terminal; elsewhere, standard input is read.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf new                              write one in $EDITOR
  everleaf new bread.md --path Recipes/Bread.md
  echo '# Call the baker' | everleaf new -")]
pub(super) struct New {
    /// Markdown; `-` is standard input
    #[arg(value_name = "FILE|-")]
    file: Option<PathBuf>,
    /// Where `export` is to put the note
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
}

impl New {
    pub(super) fn run(self, context: &Context) -> Result {
        let Self { file, path } = self;
        let make = |text: Text| {
            let vault = context.vault()?;
            let folder = Some(text.folder);
            let note = vault.new_note(&NewNote { source: text.source, path, folder })?;
            Ok((vault, note))
        };
        let (vault, note) = match file {
            Some(file) => make(Text::from(&file)?)?,
            None if !io::stdin().is_terminal() => make(Text::from_stdin()?)?,
            None => {
                let draft = Draft::write("")?;
                match draft.text() {
                    Ok(text) if text.source.is_empty() => return Err(CliError::NothingWritten),
                    text => text.and_then(make).map_err(|error| draft.keep(error))?,
                }
            }
        };
        let missing = missing(&vault.read(note, None)?);
        context
            .show(&json!({ "note": note, "missing": missing }), |out| writeln!(out, "{note}"))?;
        tell_missing(context, &missing);
        Ok(ExitCode::SUCCESS)
    }
}

/// Change a note
///
/// What happened to the note while it was edited, here or elsewhere, is merged with the edit. Without
/// FILE, the note opens in $VISUAL or $EDITOR; the vault is not held open meanwhile.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf edit Bread
  everleaf show Bread --source | sed 's/rye/spelt/' | everleaf edit Bread -")]
pub(super) struct Edit {
    /// Unique start of an id, a path, or an exact title
    note: String,
    /// The new text; `-` is standard input
    #[arg(value_name = "FILE|-")]
    file: Option<PathBuf>,
}

impl Edit {
    pub(super) fn run(self, context: &Context) -> Result {
        let before = {
            let vault = context.vault()?;
            vault.read(vault.find(&self.note)?, None)?
        };
        let take_in = |text: &Text| {
            let vault = context.vault()?;
            let folder: Option<&Path> = Some(&text.folder);
            let changed = vault.edit(before.note, &before.heads, &text.source, folder)?;
            Ok((vault, changed))
        };
        let (vault, changed) = if let Some(file) = &self.file {
            take_in(&Text::from(file)?)?
        } else {
            let draft = Draft::write(&before.body.source())?;
            let taken = draft.text().and_then(|text| take_in(&text));
            taken.map_err(|error| draft.keep(error))?
        };
        report_edit(context, &vault, before.note, changed)
    }
}

fn report_edit(context: &Context, vault: &Vault, note: NoteId, changed: bool) -> Result {
    let missing = missing(&vault.read(note, None)?);
    let value = json!({ "note": note, "changed": changed, "missing": missing });
    context.show(&value, |out| {
        let what = if changed { "changed" } else { "nothing to change" };
        writeln!(out, "{note}  {what}")
    })?;
    tell_missing(context, &missing);
    Ok(ExitCode::SUCCESS)
}

/// Local destinations in a note that stand for no image that was taken in.
fn missing(reading: &Reading) -> Vec<String> {
    let source = reading.body.source();
    let embeds: Vec<&Embed> = reading.body.embeds().collect();
    let destinations = markdown::destinations(&source).into_iter();
    let open = destinations.filter(|destination| {
        let written = source.get(destination.range.clone()).unwrap_or_default();
        !embeds.iter().any(|embed| embed.name == written) && is_local(&destination.target)
            // `![[Another note]]` shows a note, not an image.
            && (destination.syntax != Syntax::Wiki || has_extension(&destination.target))
    });
    open.map(|destination| destination.target).collect()
}

fn is_local(target: &str) -> bool {
    let scheme = target.split_once(':').map_or("", |(scheme, _)| scheme);
    let has_scheme = scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric());
    !target.is_empty() && !has_scheme && !target.starts_with("//")
}

fn has_extension(target: &str) -> bool {
    Path::new(target.split('#').next().unwrap_or_default()).extension().is_some()
}

fn tell_missing(context: &Context, missing: &[String]) {
    for destination in missing {
        let name = clean(destination);
        context.tell(format!("note: {name} is no image file here; it stays as it was written"));
    }
}
