//! `status`: how the vault, or a note, stands.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;
use everleaf::{
    id::NoteId,
    socket::calls,
    vault::{ImageCounts, NoteStatus, VaultStatus},
};
use serde::Serialize;

use super::{
    Context, Result,
    notes::elsewhere,
    text::{Table, clean, count, size, time},
};

/// Show what is synced and what is not
#[derive(Args)]
pub(super) struct Status {
    /// Of this note: unique start of an id, a path, or an exact title
    note: Option<String>,
}

#[derive(Serialize)]
struct OfNote {
    note: NoteId,
    #[serde(flatten)]
    status: NoteStatus,
}

impl Status {
    pub(super) async fn run(self, context: &Context) -> Result {
        let vault = context.vault().await?;
        if let Some(query) = self.note {
            let note = vault.ask(calls::Find { query }).await?;
            let status = OfNote { note, status: vault.ask(calls::OfNote { note }).await? };
            context.show(&status, |out| status.write(out))?;
        } else {
            let standing = vault.ask(calls::Status {}).await?;
            context.show(&standing, |out| write(&standing, out))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write(standing: &calls::Standing, out: &mut dyn Write) -> io::Result<()> {
    let calls::Standing { folder, device, status, .. } = standing;
    let VaultStatus { notes, unsynced_notes, images, remotes } = status;
    let mut table = Table::default();
    table.row(["vault".into(), format!("{folder} on device {device}")]);
    let unsynced = match unsynced_notes {
        0 if *notes > 0 => ", all synced".to_owned(),
        0 => String::new(),
        some => format!(", {some} not synced"),
    };
    table.row(["notes".into(), format!("{notes}{unsynced}")]);
    let states = states(images);
    let states = if states.is_empty() { states } else { format!(": {states}") };
    let bytes = size(images.bytes);
    table.row(["images".into(), format!("{} of {bytes}{states}", images.distinct)]);
    for remote in remotes {
        let last = remote.last_sync.map_or("never".into(), time);
        let owed = match remote.unpushed_changes {
            0 => String::new(),
            changes => format!(", {} to push", count(changes as u64, "change")),
        };
        let text = format!("{}  {}  last sync {last}{owed}", remote.name, remote.url);
        table.row(["remote".into(), text]);
    }
    if remotes.is_empty() {
        table.row(["remote".into(), "none; `everleaf remote add` adds one".into()]);
    }
    table.write(out)?;
    if images.blocked > 0 {
        writeln!(out, "\nUploads are blocked: `everleaf images --state blocked` says why.")?;
    }
    Ok(())
}

fn states(images: &ImageCounts) -> String {
    let states = [
        (images.waiting, "waiting"),
        (images.pending, "pending"),
        (images.uploading, "uploading"),
        (images.failed, "failed"),
        (images.blocked, "blocked"),
        (images.uploaded, "uploaded"),
    ];
    let some = states.into_iter().filter(|(number, _)| *number > 0);
    some.map(|(number, state)| format!("{number} {state}")).collect::<Vec<_>>().join(", ")
}

impl OfNote {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let NoteStatus { has_unsynced_images, pending_image_count, .. } = &self.status;
        writeln!(out, "{}", self.note)?;
        match (pending_image_count, has_unsynced_images) {
            (0, false) => writeln!(out, "no image is pending")?,
            (0, true) => writeln!(out, "no image is pending; the note itself is not synced")?,
            (some, _) => writeln!(out, "{} to upload", count(*some as u64, "image"))?,
        }
        for url in &self.status.synced_image_urls {
            writeln!(out, "  {}", clean(url))?;
        }
        for path in &self.status.local_only_image_paths {
            writeln!(out, "  {} (on this device only)", clean(path))?;
        }
        for place in &self.status.elsewhere {
            writeln!(out, "  {}", elsewhere(place))?;
        }
        Ok(())
    }
}
