//! `list`, `show`, `trash`, `restore`: reading notes, and putting them away.

use std::process::ExitCode;

use clap::Args;
use everleaf::{
    id::NoteId,
    note::Heads,
    socket::{Door, calls},
    vault::Listed,
};
use serde_json::json;

use super::{
    Context, Result,
    context::{say, write_text},
    text::{Table, clean, count, digits as digits_of, short, time},
};

/// How many notes are asked for at first, which fill a screen, and then at once.
const FIRST: usize = 128;
const MORE: usize = 2048;

/// List the notes
#[derive(Args)]
pub(super) struct List {
    /// Those in the trash too
    #[arg(long)]
    trashed: bool,
    /// At most so many, the oldest first
    #[arg(long, value_name = "NOTES")]
    limit: Option<usize>,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result {
        let vault = context.vault().await?;
        let mut left = self.limit.unwrap_or(usize::MAX);
        let (mut last, mut most, mut in_trash) = (None, FIRST, 0);
        let (mut table, mut digits, mut all) = (Table::default(), 0, Vec::new());
        let (mut none_shown, mut is_last) = (true, false);
        while left > 0 && !is_last {
            // One more than is shown: what tells the last from the next.
            let mut notes = vault.ask(calls::ListSome { after: last, most: most + 1 }).await?;
            is_last = notes.len() <= most;
            let ids = last.iter().copied().chain(notes.iter().map(|row| row.note));
            digits = digits_of(ids.map(|id| id.to_string())).max(digits);
            notes.truncate(most);
            (last, most) = (notes.last().map(|row| row.note), MORE);
            in_trash += notes.iter().filter(|row| row.trashed).count();
            notes.retain(|row| self.trashed || !row.trashed);
            notes.truncate(left);
            left -= notes.len();
            none_shown &= notes.is_empty();
            if context.json {
                all.extend(notes);
                continue;
            }
            say(|out| {
                for row in &notes {
                    table.row(cells(row, digits));
                }
                table.write(out)
            })?;
        }
        if context.json {
            context.show(&all, |_| Ok(()))?;
        } else if none_shown && left > 0 {
            say(|out| match in_trash {
                0 => writeln!(out, "There are no notes yet; `everleaf new` makes one."),
                _ => writeln!(out, "All notes are in the trash; --trashed shows them."),
            })?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn cells(row: &Listed, digits: usize) -> [String; 5] {
    let mut badges = Vec::new();
    if row.images > 0 {
        badges.push(count(row.images as u64, "image"));
    }
    if row.pending_images > 0 {
        badges.push(format!("{} to upload", row.pending_images));
    }
    if row.trashed {
        badges.push("trashed".to_owned());
    }
    let path = row.path.clone().filter(|path| *path != row.title);
    [
        short(&row.note, digits),
        time(row.updated),
        badges.join(", "),
        row.title.clone(),
        path.unwrap_or_default(),
    ]
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

pub(super) fn heads(text: &str) -> std::result::Result<Heads, String> {
    let heads: Heads = text.parse().map_err(|error| format!("{error}"))?;
    if heads.as_slice().is_empty() {
        return Err("heads are one or more hashes with commas between them".to_owned());
    }
    Ok(heads)
}

/// Put notes into the trash
///
/// They stay on all devices, and `restore` brings them back. Where one is not found, nothing is done.
#[derive(Args)]
pub(super) struct Trash {
    /// Unique starts of ids, paths, or exact titles
    #[arg(required = true, value_name = "NOTE")]
    notes: Vec<String>,
}

impl Trash {
    pub(super) async fn run(self, context: &Context) -> Result {
        set_trashed(context, self.notes, true).await
    }
}

/// Take notes out of the trash
#[derive(Args)]
pub(super) struct Restore {
    /// Unique starts of ids, paths, or exact titles
    #[arg(required = true, value_name = "NOTE")]
    notes: Vec<String>,
}

impl Restore {
    pub(super) async fn run(self, context: &Context) -> Result {
        set_trashed(context, self.notes, false).await
    }
}

async fn set_trashed(context: &Context, queries: Vec<String>, trashed: bool) -> Result {
    let vault = context.vault().await?;
    let mut notes = Vec::with_capacity(queries.len());
    for query in queries {
        notes.push(vault.ask(calls::Find { query }).await?);
    }
    for note in notes {
        let changed = vault.ask(calls::SetTrashed { note, trashed }).await?;
        let title = title(&vault, note).await?;
        let value = json!({ "note": note, "trashed": trashed, "changed": changed });
        context.show(&value, |out| match (changed, trashed) {
            (true, true) => writeln!(out, "{title} is in the trash."),
            (true, false) => writeln!(out, "{title} is out of the trash."),
            (false, true) => writeln!(out, "{title} was in the trash already."),
            (false, false) => writeln!(out, "{title} was not in the trash."),
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What people know a note by: its title, else the start of its id.
async fn title(vault: &Door, note: NoteId) -> Result<String> {
    let row = vault.ask(calls::OfList { note }).await?.filter(|row| !row.title.is_empty());
    Ok(row.map_or_else(|| note.to_string(), |row| format!("`{}`", clean(&row.title))))
}
