//! `new`, `edit`: writing notes.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, builder::NonEmptyStringValueParser};
use everleaf::{
    id::NoteId,
    note::{
        Heads,
        markdown::{self, Syntax},
    },
    socket::{Door, calls},
    vault::{Edited, NewNote},
};
use serde_json::json;

use super::{
    CliError, Context, Result,
    context::path_at,
    editor::{Draft, Text},
    notes::heads,
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
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    path: Option<String>,
}

impl New {
    pub(super) async fn run(self, context: &Context) -> Result {
        let Self { file, path } = self;
        let make = async |text: Text| {
            let vault = context.vault().await?;
            let folder = Some(path_at(&vault, &text.folder)?);
            let note = NewNote { source: text.source, path, folder };
            let note = vault.ask(calls::New { note }).await?;
            Ok((vault, note))
        };
        let (vault, note) = match file {
            Some(file) => {
                let text = Text::from(&file)?;
                // As where what should have written it failed. An empty file is meant.
                if text.source.is_empty() && file == Path::new("-") {
                    return Err(CliError::NothingWritten);
                }
                make(text).await?
            }
            None if !io::stdin().is_terminal() => {
                let text = Text::from_stdin()?;
                if text.source.is_empty() {
                    return Err(CliError::NothingWritten);
                }
                make(text).await?
            }
            None => {
                let draft = Draft::write("")?;
                let written = match draft.text() {
                    Ok(text) if text.source.is_empty() => return Err(CliError::NothingWritten),
                    Ok(text) => make(text).await,
                    Err(error) => Err(error),
                };
                written.map_err(|error| draft.keep(error))?
            }
        };
        let missing = missing(&vault.ask(calls::Read { note, heads: None }).await?);
        context
            .show(&json!({ "note": note, "missing": missing }), |out| writeln!(out, "{note}"))?;
        tell_missing(context, &missing);
        Ok(ExitCode::SUCCESS)
    }
}

/// Change a note
///
/// What happened to the note while it was edited, here or elsewhere, is merged with the edit. Without
/// FILE, the note opens in $VISUAL or $EDITOR; the vault is not held open meanwhile. Images that the new
/// text names and the old one did not are taken in, as by `new`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf edit Bread
  everleaf show Bread --source | sed 's/rye/spelt/' | everleaf edit Bread -
  everleaf edit Bread bread.md --at HEADS   bread.md was made of that version: what came since is merged")]
pub(super) struct Edit {
    /// Unique start of an id, a path, or an exact title
    note: String,
    /// The new text; `-` is standard input
    #[arg(value_name = "FILE|-")]
    file: Option<PathBuf>,
    /// The version that FILE was made of, as `show --json` gave it; without, the present one
    #[arg(long, value_name = "HEADS", value_parser = heads, requires = "file")]
    at: Option<Heads>,
}

impl Edit {
    pub(super) async fn run(self, context: &Context) -> Result {
        let calls::Text { note, heads, source, .. } = {
            let vault = context.vault().await?;
            let note = vault.ask(calls::Find { query: self.note }).await?;
            vault.ask(calls::Read { note, heads: self.at }).await?
        };
        let take_in = async |text: Text| {
            let vault = context.vault().await?;
            let folder = Some(path_at(&vault, &text.folder)?);
            let edited =
                vault.ask(calls::Edit { note, heads, source: text.source, folder }).await?;
            Ok((vault, edited))
        };
        let (vault, edited) = if let Some(file) = &self.file {
            let text = Text::from(file)?;
            if text.source.trim().is_empty() && !source.trim().is_empty() {
                return Err(CliError::Emptied);
            }
            take_in(text).await?
        } else {
            let draft = Draft::write(&source)?;
            let taken = match draft.text() {
                Ok(text) => take_in(text).await,
                Err(error) => Err(error),
            };
            taken.map_err(|error| draft.keep(error))?
        };
        report_edit(context, &vault, note, &edited).await
    }
}

async fn report_edit(context: &Context, vault: &Door, note: NoteId, edited: &Edited) -> Result {
    let missing = missing(&vault.ask(calls::Read { note, heads: None }).await?);
    let Edited { heads, changed } = edited;
    let heads = heads.to_string();
    let value = json!({ "note": note, "heads": heads, "changed": changed, "missing": missing });
    context.show(&value, |out| {
        let what = if *changed { "changed" } else { "nothing to change" };
        writeln!(out, "{note}  {what}")
    })?;
    tell_missing(context, &missing);
    Ok(ExitCode::SUCCESS)
}

/// Local destinations in a note that stand for no image that was taken in.
fn missing(text: &calls::Text) -> Vec<String> {
    let calls::Text { source, embeds, .. } = text;
    let destinations = markdown::destinations(source).into_iter();
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
