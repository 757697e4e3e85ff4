//! The command: parses what was asked, does it by way of the library, and says what came of it.
//!
//! Results go to stdout, for people or, with `--json`, for programs; progress, logs and errors go to
//! stderr. The exit code is 0, 1 where something went wrong, and 2 where the command line makes no
//! sense.

#![expect(clippy::doc_markdown, reason = "comments on arguments are what --help prints")]

mod attach;
mod check;
mod context;
mod demo;
mod editor;
mod error;
mod folder;
mod generate;
mod hint;
mod hub;
mod images;
mod log;
mod notes;
mod progress;
mod remote;
mod search;
mod signal;
#[cfg(feature = "sim")]
mod sim;
mod status;
mod sync;
mod text;
mod vault;
mod web;
mod write;

use std::{env, ffi::OsStr, io, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use tracing_subscriber::EnvFilter;

use self::{context::Context, error::CliError};
use crate::config::Config;

/// What came of a command.
type Result<T = ExitCode, E = CliError> = std::result::Result<T, E>;

const LOG: &str = "EVERLEAF_LOG";

/// Keeps your notes, with the images in them, on several devices that are often offline.
///
/// Notes are Markdown. Everything works offline; `everleaf sync` exchanges what is new by way of a
/// folder or an S3 bucket, and merges what was written on several devices.
#[derive(Parser)]
#[command(
    name = "everleaf",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = EXAMPLES,
    after_long_help = EXAMPLES_AND_ENVIRONMENT
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

macro_rules! examples {
    () => {
        "\
Examples:
  everleaf init                                   make a vault, and show its key
  everleaf new bread.md                           take in a note with its images
  everleaf remote add origin dir:/media/stick     meet the other devices on a USB stick
  everleaf sync                                   exchange what is new
  everleaf join dir:/media/stick --key -          the same vault, on another device
  everleaf hub --data dir:/srv/everleaf           a remote of your own, over HTTP"
    };
}

const EXAMPLES: &str = examples!();

const EXAMPLES_AND_ENVIRONMENT: &str = concat!(
    examples!(),
    "\n
NOTE is a unique start of a note's id, its path, or its exact title.

Environment:
  EVERLEAF_VAULT        folder of the vault, where --vault does not name one
  EVERLEAF_KEY          key of the vault that `join` joins
  EVERLEAF_IMAGE_LIMIT  largest image that is taken in, as in 512M; otherwise 256M
  EVERLEAF_PARALLEL     how many images are on their way at once; otherwise 8, or up to 32 small ones
  EVERLEAF_LOG          what is logged, as in `everleaf=debug`
  VISUAL, EDITOR        what `new` and `edit` open
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE and ~/.aws: credentials of S3 stores

Exit codes: 0 done; 1 something went wrong; 2 the command line makes no sense."
);

#[derive(Args)]
struct Global {
    /// Folder of the vault [default: $EVERLEAF_VAULT, else everleaf in your data folder]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Options for all commands")]
    vault: Option<PathBuf>,
    /// Answer in JSON; errors too
    #[arg(long, global = true, help_heading = "Options for all commands")]
    json: bool,
    /// Say more of what happens; twice for still more
    #[arg(
        short,
        long,
        global = true,
        action = clap::ArgAction::Count,
        help_heading = "Options for all commands"
    )]
    verbose: u8,
    /// Show neither progress nor warnings
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Options for all commands"
    )]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    Init(vault::Init),
    Join(vault::Join),
    Key(vault::Key),
    New(write::New),
    List(notes::List),
    Search(search::Search),
    Show(notes::Show),
    Edit(write::Edit),
    Attach(attach::Attach),
    Trash(notes::Trash),
    Restore(notes::Restore),
    Import(folder::Import),
    Export(folder::Export),
    Status(status::Status),
    Images(images::Images),
    Retry(images::Retry),
    #[command(subcommand)]
    Remote(remote::Remote),
    Sync(sync::Sync),
    Log(log::Log),
    Web(web::Web),
    Verify(check::Verify),
    Rebuild(check::Rebuild),
    Hub(hub::Hub),
    Demo(demo::Demo),
    #[cfg(feature = "sim")]
    Sim(sim::Sim),
    Completions(generate::Completions),
    Man(generate::Man),
}

impl Command {
    async fn run(self, context: &Context) -> Result {
        match self {
            Self::Init(command) => command.run(context),
            Self::Join(command) => command.run(context).await,
            Self::Key(command) => command.run(context),
            Self::New(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Search(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Edit(command) => command.run(context).await,
            Self::Attach(command) => command.run(context).await,
            Self::Trash(command) => command.run(context).await,
            Self::Restore(command) => command.run(context).await,
            Self::Import(command) => command.run(context).await,
            Self::Export(command) => command.run(context).await,
            Self::Status(command) => command.run(context).await,
            Self::Images(command) => command.run(context).await,
            Self::Retry(command) => command.run(context).await,
            Self::Remote(command) => command.run(context).await,
            Self::Sync(command) => command.run(context).await,
            Self::Log(command) => command.run(context).await,
            Self::Web(command) => command.run(context).await,
            Self::Verify(command) => command.run(context).await,
            Self::Rebuild(command) => command.run(context).await,
            Self::Hub(command) => command.run(context).await,
            Self::Demo(command) => command.run(context).await,
            #[cfg(feature = "sim")]
            Self::Sim(command) => tokio::task::block_in_place(|| command.run(context)),
            Self::Completions(command) => command.run(context),
            Self::Man(command) => command.run(context),
        }
    }
}

/// Does what the arguments of this process ask.
pub(crate) fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => {
            let json = cli.global.json;
            run(cli).unwrap_or_else(|error| error::report(&error, json))
        }
        Err(error) => usage(&error),
    }
}

fn run(cli: Cli) -> Result {
    let Global { vault, json, verbose, quiet } = cli.global;
    let config = Config::load(vault, |name| env::var_os(name))?;
    match &cli.command {
        Command::Hub(hub) => start_log(verbose.max(1), quiet, hub.log())?,
        _ => start_log(verbose, quiet, Log::Lines)?,
    }
    let context = Context::new(config, json, quiet);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(CliError::Runtime)?.block_on(cli.command.run(&context))
}

/// Shows help, or what is wrong with the command line.
fn usage(error: &clap::Error) -> ExitCode {
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !asked_for && env::args_os().any(|argument| argument == OsStr::new("--json")) {
        let text = error.render().to_string();
        let (message, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
        let message = message.trim().trim_start_matches("error: ");
        error::write_json(message, Some(rest.trim()).filter(|rest| !rest.is_empty()));
    } else {
        // Nobody is left to be told where even this can't be written.
        let _ = error.print();
    }
    ExitCode::from(if asked_for { 0 } else { 2 })
}

/// How logs are written.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Log {
    /// Lines for people.
    #[value(skip)]
    Lines,
    /// Lines for people, with times.
    Text,
    /// A line of JSON for each event.
    Json,
}

/// Sends logs to stderr: warnings, and more where it was asked for.
fn start_log(verbose: u8, quiet: bool, log: Log) -> Result<()> {
    let level = match verbose {
        _ if quiet => "everleaf=error",
        0 => "everleaf=warn",
        1 => "everleaf=info",
        2 => "everleaf=debug",
        _ => "everleaf=trace,info",
    };
    let asked = env::var(LOG).ok().filter(|text| !text.is_empty());
    let filter = EnvFilter::try_new(asked.as_deref().unwrap_or(level));
    let filter = filter.map_err(|source| CliError::LogFilter { name: LOG, source })?;
    let to_stderr = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(verbose > 1);
    match log {
        Log::Lines => to_stderr.without_time().init(),
        Log::Text => to_stderr.init(),
        Log::Json => to_stderr.json().flatten_event(true).init(),
    }
    Ok(())
}
