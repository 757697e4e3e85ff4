//! `demo`: the main job, on this machine alone.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use everleaf::demo::{self, DemoError};

use super::{CliError, Context, Result};

/// Show what this is for, with two devices and a server inside this process
///
/// Writes notes on both devices offline, lets uploads fail, recovers, and syncs until both have the
/// same. Checks each of its claims, and exits with 1 if one does not hold. Your vault is not touched.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf demo
  everleaf demo --dir /tmp/everleaf-demo       keeps the two vaults, to look around in")]
pub(super) struct Demo {
    /// Keep the devices in this folder, which has to be empty or new
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Demo {
    pub(super) async fn run(self, context: &Context) -> Result {
        let mut out: Box<dyn Write + Send> =
            if context.json { Box::new(io::sink()) } else { Box::new(io::stdout()) };
        let story =
            demo::run(self.dir.as_deref(), &mut *out).await.map_err(|error| match error {
                DemoError::Output(source) => CliError::Output(source),
                error => CliError::Demo(error),
            })?;
        if context.json {
            context.show(&story, |_| Ok(()))?;
        }
        Ok(if story.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
