//! `import`, `export`: a folder of Markdown files.

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode};

use clap::Args;
use everleaf::{
    folder::{ExportOptions, Exported, ImportOptions, Imported, Remark, Skipped},
    socket::calls,
};

use super::{
    Context, Result,
    context::path_at,
    hint::in_commands,
    progress::ask,
    text::{clean, count, size},
};

/// How many lines of one kind are told on a terminal.
const READ: usize = 30;

/// Take in a folder of Markdown files with their images
///
/// Importing a folder again takes over what was edited in it since, merged with what happened to the
/// notes. A file that was renamed is its note still, also where it was edited since; that is said. Files that
/// can't be taken in are passed over and listed; those that are gone are listed, and their notes stay.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf import ~/Notes
  everleaf import ~/obsidian --lenient")]
pub(super) struct Import {
    /// The folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Also take images whose names are only nearly what a note says, as in other letter case
    #[arg(long)]
    lenient: bool,
    /// Read all files again, also those that have the size and the times that they had
    #[arg(long)]
    reread: bool,
}

impl Import {
    pub(super) async fn run(self, context: &Context) -> Result {
        let vault = context.vault().await?;
        let options = ImportOptions { lenient: self.lenient, reread: self.reread };
        let call = calls::Import { folder: path_at(&vault, &self.dir)?, options };
        let mut imported = ask(context, &vault, call, "importing").await?;
        for file in &mut imported.skipped {
            file.hint = file.hint.take().map(in_commands);
        }
        context.show(&imported, |out| {
            let Imported { notes, changed, images, others, .. } = &imported;
            writeln!(out, "{} in the folder, {changed} new or changed.", count(*notes, "note"))?;
            let (shown, kept) = (size(images.bytes_referenced), size(images.bytes_stored));
            let distinct = count(images.distinct, "image");
            let references = count(images.references, "time");
            writeln!(out, "{distinct} shown {references}: {shown} in files, {kept} kept.")?;
            if *others > 0 {
                let others = count(*others, "other file");
                writeln!(out, "{others} left out: no notes, and no images that a note shows.")?;
            }
            Ok(())
        })?;
        if !context.json {
            tell_each(context, &imported.missing, |missing| {
                let (note, name) = (clean(&missing.note), clean(&missing.destination));
                let near = missing.hint.as_ref();
                let near = near.map(|file| format!("; --lenient takes {}", clean(file)));
                let why = missing.reason.as_ref().map(|reason| format!(": {reason}"));
                let more = near.or(why).unwrap_or_default();
                format!("{note}: no image {name}{more}")
            });
            tell_skipped(context, &imported.skipped);
            tell_remarks(context, &imported.remarks);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Write all notes and their images into a folder
///
/// Every file is as it was imported, byte for byte, but for what was edited. The folder has to be
/// empty, new, or one that this vault was exported to before; --adopt takes one that was imported, your
/// Obsidian vault say. Files of notes that were moved or thrown away since, and of images that no note
/// shows any more, stay there, and are listed, or are deleted with --delete. What was renamed or deleted
/// in the folder since is for an import to see first; the export after that brings back what was deleted.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf export ~/Notes
  everleaf export ~/Notes --delete
  everleaf export ~/Obsidian --adopt    after an import of it; later it needs no --adopt
  everleaf export site --urls")]
pub(super) struct Export {
    /// The folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Show images by their URLs where they have one
    #[arg(long)]
    urls: bool,
    /// Delete the files, unless somebody changed them, of notes that were moved or thrown away since, and
    /// images that an export wrote, there or elsewhere since, and no note shows any more; the vault keeps all
    /// of it
    #[arg(long)]
    delete: bool,
    /// Write to a folder that was imported, too: all notes of the vault come there, and from then on an import
    /// and an export keep the two in step. What is no note, and what was edited there since, stays
    #[arg(long)]
    adopt: bool,
}

impl Export {
    pub(super) async fn run(self, context: &Context) -> Result {
        let vault = context.vault().await?;
        let options = ExportOptions { urls: self.urls, delete: self.delete, adopt: self.adopt };
        let call = calls::Export { folder: path_at(&vault, &self.dir)?, options };
        let exported = ask(context, &vault, call, "exporting").await?;
        context.show(&exported, |out| {
            let Exported { notes, images, written, deleted, .. } = &exported;
            let deleted = if self.delete { format!(", {deleted} deleted") } else { String::new() };
            let (notes, images) = (count(*notes, "note"), count(*images, "image file"));
            writeln!(
                out,
                "{notes} and {images} in {}; {written} written{deleted}.",
                self.dir.display()
            )
        })?;
        if !context.json {
            tell_each(context, &exported.renamed, |renamed| {
                let (from, to) = (clean(&renamed.from), clean(&renamed.to));
                format!("{from}: written as {to}")
            });
            tell_each(context, &exported.missing, |missing| {
                let (note, name) = (clean(&missing.note), clean(&missing.destination));
                format!("{note}: no image {name}: {}", missing.reason)
            });
            tell_skipped(context, &exported.skipped);
            tell_remarks(context, &exported.left);
            if !self.delete && !exported.left.is_empty() {
                context.tell("--delete deletes those of them that nobody changed");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn tell_remarks(context: &Context, remarks: &[Remark]) {
    tell_each(context, remarks, |Remark { path, what }| {
        format!("note: {}: {}", clean(path), clean(what))
    });
}

fn tell_skipped(context: &Context, skipped: &[Skipped]) {
    tell_each(context, skipped, |file| {
        let hint = file.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{}: passed over: {}{hint}", clean(&file.path), file.reason)
    });
}

/// Tells what there is to say of each; on a terminal of so many as a person reads.
fn tell_each<T>(context: &Context, all: &[T], line: impl Fn(&T) -> String) {
    let most = if std::io::stderr().is_terminal() { READ } else { all.len() };
    let (told, others) = all.split_at(most.min(all.len()));
    for one in told {
        context.tell(line(one));
    }
    if !others.is_empty() {
        context.tell(format!("and {} more like these; --json lists all", others.len()));
    }
}
