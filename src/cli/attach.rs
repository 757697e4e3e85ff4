//! `attach`: images at the end of a note.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use everleaf::{
    socket::{AskError, Door, calls},
    vault::{AttachedImage, chain},
};
use serde_json::json;

use super::{Context, Result, context::path_at, progress::ask, text::Table};

/// Append images to a note
///
/// Where there is one remote, a sync is tried at once, so that the images have their URLs; offline,
/// they wait for the next one.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf attach Bread crumb.jpg crust.jpg
  everleaf attach Bread crumb.jpg --alt 'The crumb' --offline")]
pub(super) struct Attach {
    /// Unique start of an id, a path, or an exact title
    note: String,
    /// PNG, JPEG, GIF, WebP, AVIF, HEIC, SVG, BMP, TIFF or ICO
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// What the images show, for who can't see them [default: their names]
    #[arg(long, value_name = "TEXT")]
    alt: Option<String>,
    /// Leave the upload to the next sync
    #[arg(long)]
    offline: bool,
}

impl Attach {
    pub(super) async fn run(self, context: &Context) -> Result {
        let vault = context.vault().await?;
        let note = vault.ask(calls::Find { query: self.note }).await?;
        let images =
            self.images.iter().map(|image| path_at(&vault, image)).collect::<Result<_>>()?;
        let mut attached = vault.ask(calls::Attach { note, images, alt: self.alt }).await?;
        if !self.offline && vault.ask(calls::Remotes {}).await?.len() == 1 {
            match sync(context, &vault).await {
                Ok(()) => {}
                Err(error) if error.is_offline() => {
                    context.tell("note: the remote is away; the next `everleaf sync` uploads them");
                }
                // The images are attached all the same.
                Err(error) => context.tell(format!("note: not uploaded yet: {}", chain(&error))),
            }
            refresh(&vault, &mut attached).await?;
        }
        context.show(&json!({ "note": note, "images": attached }), |out| {
            let mut table = Table::default();
            for (file, image) in self.images.iter().zip(&attached) {
                let known = if image.already_stored { "known before" } else { "" };
                let name = file.display().to_string();
                table.row([image.image.short(), image.state.to_string(), name, known.into()]);
            }
            table.write(out)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn sync(context: &Context, vault: &Door) -> Result<(), AskError> {
    let sync = calls::Sync { remote: None, options: context.sync_options(), hasty: true };
    ask(context, vault, sync, "syncing").await.map(drop)
}

async fn refresh(vault: &Door, attached: &mut [AttachedImage]) -> Result<()> {
    let images = vault.ask(calls::Images {}).await?;
    for image in attached {
        let status = images.iter().find(|status| status.image == image.image);
        image.state = status.and_then(|status| status.state).unwrap_or(image.state);
    }
    Ok(())
}
