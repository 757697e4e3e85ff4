//! `verify`, `rebuild`: the vault against its own log.

use std::process::ExitCode;

use clap::Args;
use everleaf::{
    event::RemoteName,
    socket::calls::{self, Verified},
};
use serde_json::json;

use super::{Context, Result, progress::ask, text::count};

/// Check that nothing is damaged or missing
///
/// Reads every event and every image, compares what the vault shows with a replay of its log, and
/// checks that uploads changed nothing but URLs. Lists what is wrong, and exits with 1 if anything is.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf verify
  everleaf verify --remote origin
  everleaf verify --remote origin --repair; everleaf sync")]
pub(super) struct Verify {
    /// Also check that this remote holds what it confirmed
    #[arg(long, value_name = "NAME")]
    remote: Option<RemoteName>,
    /// Put again what this device put on the remote and is lost or damaged there, here or with the next
    /// sync, and have that fetch local images that are damaged or gone
    #[arg(long)]
    repair: bool,
    /// Also read every image on the remote, rather than only ask for its size
    #[arg(long, requires = "remote")]
    images: bool,
}

impl Verify {
    pub(super) async fn run(self, context: &Context) -> Result {
        let vault = context.vault().await?;
        let call =
            calls::Verify { remote: self.remote.clone(), images: self.images, repair: self.repair };
        let Verified { given_up, found } = ask(context, &vault, call, "checking").await?;
        for image in given_up {
            context.tell(format!("gave up image {image}: `everleaf sync` fetches it again"));
        }
        context.show(&found, |out| {
            for finding in &found.findings {
                writeln!(out, "{}: {}", finding.what, finding.problem)?;
            }
            let mut checked = vec![
                count(found.events, "event"),
                count(found.notes, "note"),
                count(found.images, "image"),
                count(found.projector_changes, "change") + " by upload projectors",
            ];
            if let Some(name) = &self.remote {
                checked.push(format!("{} of {name}", count(found.receipts, "receipt")));
            }
            if found.unused > 0 {
                let left = count(found.unused, "image file");
                writeln!(
                    out,
                    "{left} in no note: left by what was cut off; doing it again takes them in"
                )?;
            }
            let wrong = match found.findings.len() {
                0 => "nothing is wrong".to_owned(),
                some => format!(
                    "{} wrong",
                    if some == 1 { "1 thing is".into() } else { format!("{some} things are") }
                ),
            };
            writeln!(out, "Checked {}: {wrong}.", checked.join(", "))
        })?;
        Ok(if found.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Make what the vault shows again from its log
#[derive(Args)]
pub(super) struct Rebuild {}

impl Rebuild {
    pub(super) async fn run(self, context: &Context) -> Result {
        let notes = context.vault().await?.ask(calls::Rebuild {}).await?;
        context.show(&json!({ "notes": notes }), |out| {
            writeln!(out, "Made again from the log: {}.", count(notes as u64, "note"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
