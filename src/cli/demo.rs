//! `demo`: the main job, on this machine alone.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use everleaf::demo::{self, DemoError, Story};
use serde_json::json;

use super::{CliError, Context, Result, signal::stopped};

/// Show what this is for, with two devices and a server inside this process
///
/// Writes notes on both devices offline, lets uploads fail, recovers, and syncs until both have the
/// same. Checks each of its claims, and exits with 1 if one does not hold. Your vault is not touched.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf demo
  everleaf demo --web                          then look at both devices in the browser
  everleaf demo --dir /tmp/everleaf-demo       keeps the two vaults, to look around in")]
pub(super) struct Demo {
    /// Keep the devices in this folder, which has to be empty or new
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Go on with a page for each of the two devices, until Ctrl-C
    #[arg(long)]
    web: bool,
}

impl Demo {
    pub(super) async fn run(self, context: &Context) -> Result {
        let mut out: Box<dyn Write + Send> =
            if context.json { Box::new(io::sink()) } else { Box::new(io::stdout()) };
        let failed = |error| match error {
            DemoError::Output(source) => CliError::Output(source),
            error => CliError::Demo(error),
        };
        if self.web {
            let told = demo::run_and_stay(self.dir.as_deref(), &mut *out).await;
            let (story, stay) = told.map_err(failed)?;
            let urls: BTreeMap<_, _> = stay.urls().collect();
            context.show(&json!({ "story": story, "pages": urls }), |out| {
                writeln!(
                    out,
                    "\nLook at both of them; write on one, and watch the other. Ctrl-C ends it."
                )?;
                urls.iter().try_for_each(|(name, url)| writeln!(out, "  {name:6} {url}"))
            })?;
            stay.run(stopped()).await;
            return Ok(exit(&story));
        }
        let story = demo::run(self.dir.as_deref(), &mut *out).await.map_err(failed)?;
        if context.json {
            context.show(&story, |_| Ok(()))?;
        }
        Ok(exit(&story))
    }
}

fn exit(story: &Story) -> ExitCode {
    if story.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
