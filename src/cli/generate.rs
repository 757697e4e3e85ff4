//! `completions`, `man`: what other programs know of this one.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, CliError, Context, Result, context::write};

/// Print completions for a shell
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf completions bash > ~/.local/share/bash-completion/completions/everleaf
  everleaf completions zsh > ~/.zfunc/_everleaf")]
pub(super) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, _: &Context) -> Result {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "everleaf", &mut script);
        write(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Print the manual page, or write one for each command
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf man | man -l -
  everleaf man --dir ~/.local/share/man/man1")]
pub(super) struct Man {
    /// Write a page for each command into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self, _: &Context) -> Result {
        let Some(dir) = self.dir else {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(CliError::Output)?;
            write(&page)?;
            return Ok(ExitCode::SUCCESS);
        };
        fs::create_dir_all(&dir).map_err(CliError::file("create", &dir))?;
        let written = clap_mangen::generate_to(Cli::command(), &dir);
        written.map_err(CliError::file("write pages into", &dir))?;
        Ok(ExitCode::SUCCESS)
    }
}
