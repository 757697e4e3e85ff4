//! `list`, `show`, `trash`, `restore`: reading notes, and putting them away.

use std::process::ExitCode;

use clap::Args;
use everleaf::{
    id::NoteId,
    note::Heads,
    socket::{Door, calls},
};
use serde_json::json;

use super::{
    Context, Result,
    context::write_text,
    text::{Table, clean, count, digits, short, time},
};

/// List the notes
#[derive(Args)]
pub(super) struct List {
    /// Those in the trash too
    #[arg(long)]
    trashed: bool,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result {
        let vault = context.vault().await?;
        let mut notes = vault.ask(calls::List {}).await?;
        let digits = digits(notes.iter().map(|row| row.note.to_string()));
        let in_trash = notes.iter().filter(|row| row.trashed).count();
        notes.retain(|row| self.trashed || !row.trashed);
        context.show(&notes, |out| {
            if notes.is_empty() && in_trash > 0 {
                return writeln!(out, "All notes are in the trash; --trashed shows them.");
            } else if notes.is_empty() {
                return writeln!(out, "There are no notes yet; `everleaf new` makes one.");
            }
            let mut table = Table::default();
            for row in &notes {
                let mut badges = Vec::new();
                if row.images > 0 {
                    badges.push(count(row.images as u64, "image"));
                }
                if row.pending_images > 0 {
                    badges.push(format!("{} pending", row.pending_images));
                }
                if row.trashed {
                    badges.push("trashed".to_owned());
                }
                let path = row.path.clone().filter(|path| *path != row.title);
                table.row([
                    short(&row.note, digits),
                    time(row.updated),
                    badges.join(", "),
                    row.title.clone(),
                    path.unwrap_or_default(),
                ]);
            }
            table.write(out)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Print a note as Markdown
///
/// Images show as their URL where they have one, else as the file on this device. What the note's
/// author wrote in their place is what --source prints.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf show Bread
  everleaf show Recipes/Bread.md --source > bread.md
  everleaf show 0198c2f4 --at HEADS        as `show --json` named them earlier")]
pub(super) struct Show {
    /// Unique start of an id, a path, or an exact title
    note: String,
    /// With the names of images as they were written
    #[arg(long)]
    source: bool,
    /// The note as it was at these heads
    #[arg(long, value_name = "HEADS", value_parser = heads)]
    at: Option<Heads>,
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result {
        let vault = context.vault().await?;
        let note = vault.ask(calls::Find { query: self.note }).await?;
        let calls::Text { heads, source, markdown, .. } =
            vault.ask(calls::Read { note, heads: self.at }).await?;
        let text = if self.source { source } else { markdown };
        if !context.json {
            write_text(&text)?;
            for place in vault.ask(calls::OfNote { note }).await?.elsewhere {
                context.tell(elsewhere(&place));
            }
            return Ok(ExitCode::SUCCESS);
        }
        let name = if self.source { "source" } else { "markdown" };
        let value = json!({ "note": note, "heads": heads.to_string(), name: text });
        context.show(&value, |_| Ok(()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Says where an image is that is not here.
pub(super) fn elsewhere(place: &everleaf::vault::Place) -> String {
    let devices: Vec<String> = place.devices.iter().map(|name| clean(name)).collect();
    let on = if devices.is_empty() {
        "no device has said that it holds it".to_owned()
    } else {
        format!("it is on {}", devices.join(", "))
    };
    format!("image {} is not on this device yet; {on}", place.image.short())
}

fn heads(text: &str) -> std::result::Result<Heads, String> {
    let heads: Heads = text.parse().map_err(|error| format!("{error}"))?;
    if heads.as_slice().is_empty() {
        return Err("heads are one or more hashes with commas between them".to_owned());
    }
    Ok(heads)
}

/// Put a note into the trash
///
/// It stays on all devices, and `restore` brings it back.
#[derive(Args)]
pub(super) struct Trash {
    /// Unique start of an id, a path, or an exact title
    note: String,
}

impl Trash {
    pub(super) async fn run(self, context: &Context) -> Result {
        set_trashed(context, self.note, true).await
    }
}

/// Take a note out of the trash
#[derive(Args)]
pub(super) struct Restore {
    /// Unique start of an id, a path, or an exact title
    note: String,
}

impl Restore {
    pub(super) async fn run(self, context: &Context) -> Result {
        set_trashed(context, self.note, false).await
    }
}

async fn set_trashed(context: &Context, query: String, trashed: bool) -> Result {
    let vault = context.vault().await?;
    let note = vault.ask(calls::Find { query }).await?;
    let changed = vault.ask(calls::SetTrashed { note, trashed }).await?;
    let title = title(&vault, note).await?;
    let value = json!({ "note": note, "trashed": trashed, "changed": changed });
    context.show(&value, |out| match (changed, trashed) {
        (true, true) => writeln!(out, "{title} is in the trash."),
        (true, false) => writeln!(out, "{title} is out of the trash."),
        (false, true) => writeln!(out, "{title} was in the trash already."),
        (false, false) => writeln!(out, "{title} was not in the trash."),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What people know a note by: its title, else the start of its id.
async fn title(vault: &Door, note: NoteId) -> Result<String> {
    let notes = vault.ask(calls::List {}).await?;
    let row = notes.into_iter().find(|row| row.note == note && !row.title.is_empty());
    Ok(row.map_or_else(|| note.to_string(), |row| format!("`{}`", clean(&row.title))))
}
