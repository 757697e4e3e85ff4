//! `sync`: exchanging what is new.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use everleaf::{
    clock::{Timestamp, as_text},
    event::RemoteName,
    id::ImageId,
    remote::RetryPolicy,
    socket::{
        self, Door,
        calls::{self, Synced},
    },
    upload::State,
    vault::{SyncImages, SyncOptions, SyncReport, Vault, VaultError, chain},
};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    CliError, Context, Result, error,
    hint::in_commands,
    progress::{Shown, ask},
    signal::stopped,
    text::{count, size, time},
};

/// Exchange what is new with a remote
///
/// Brings what other devices wrote, sends what was written here, uploads images, puts their URLs into
/// the notes, and fetches images that are not here. What was cut off goes on the next time.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf sync
  everleaf sync stick --images none
  everleaf sync --watch                  goes on until Ctrl-C")]
pub(super) struct Sync {
    /// What the remote is called; not needed where there is only one
    name: Option<RemoteName>,
    /// Which images to bring here
    #[arg(long, value_enum, default_value_t = Images::All)]
    images: Images,
    /// Being offline is no error, nor is a folder whose disk is not connected
    #[arg(long)]
    offline_ok: bool,
    /// Ask the public URL of an image before it counts as uploaded
    #[arg(long)]
    verify_public: bool,
    /// Go on: at once when something changes here, or elsewhere where a hub tells of it, else every 2
    /// to 60 seconds
    #[arg(long)]
    watch: bool,
}

/// Whoever wrote it can put it there again; whoever has the notes can fill another remote.
const PROBLEMS_HINT: &str = "\
hint: sync again later; if this stays, run `everleaf verify --remote NAME --repair` on the device that \
wrote it; without that, add an empty remote on a device that has what is missing, and let all use that";

#[derive(Clone, Copy, ValueEnum)]
enum Images {
    /// All that notes show
    All,
    /// None
    None,
}

impl Sync {
    pub(super) async fn run(self, context: &Context) -> Result {
        let vault = context.vault().await?;
        let options = SyncOptions {
            images: match self.images {
                Images::All => SyncImages::All,
                Images::None => SyncImages::None,
            },
            verify_public: self.verify_public,
            ..context.sync_options()
        };
        if self.watch {
            return match vault {
                Door::Here(vault) => Box::pin(watch(context, &vault, self.name, options)).await,
                Door::There(_) => Err(CliError::Served {
                    process: vault.process().await.unwrap_or_default(),
                    hint: "`everleaf sync` asks it to sync at once",
                }),
            };
        }
        let call = calls::Sync { remote: self.name.clone(), options, hasty: false };
        let outcome = match ask(context, &vault, call, "syncing").await {
            Err(error) if self.offline_ok && error.is_offline() => {
                Outcome::offline(&name_of(&vault, self.name).await?)
            }
            synced => Outcome::new(&vault, synced?).await?,
        };
        context.show(&outcome, |out| outcome.write(out))?;
        Ok(outcome.warn(context))
    }
}

/// What the remote is called that a sync means.
async fn name_of(vault: &Door, named: Option<RemoteName>) -> Result<String> {
    let remotes = vault.ask(calls::Remotes {}).await?;
    let only = remotes.into_iter().next().map(|remote| remote.name);
    Ok(named.map(String::from).or(only).unwrap_or_default())
}

/// Syncs until Ctrl-C. Whoever wants something of the vault meanwhile asks at its socket.
async fn watch(
    context: &Context,
    vault: &Vault,
    name: Option<RemoteName>,
    options: SyncOptions,
) -> Result {
    let shown = Shown::new(context);
    let (name, _) = vault.remote(name.as_ref())?;
    let mut remote = vault.connect(&name, RetryPolicy::of(2)).await?;
    // In the order in which they came: a sync is told of before the next one begins.
    let (reports, mut reported) = mpsc::unbounded_channel();
    let each = |result: std::result::Result<&SyncReport, &VaultError>| {
        let told = result.cloned().map_err(|error| (chain(error), error.hint().map(in_commands)));
        // The other end lasts as long as this function.
        let _ = reports.send(told);
    };
    let (interrupted, end) = (stopped(), CancellationToken::new());
    let step = |step| shown.sync(step);
    let door = Door::Here(vault.clone());
    let telling = async {
        while let Some(told) = reported.recv().await {
            shown.clear();
            tell(context, &door, &name, told).await;
        }
    };
    let serving = async {
        if let Err(error) = socket::serve(vault.clone(), end.cancelled()).await {
            context.tell(format!("note: other commands have to wait: {}", chain(&error)));
        }
    };
    let syncing = async {
        let ended = loop {
            vault.watch(&name, remote, &options, &step, &each, end.cancelled()).await;
            if end.is_cancelled() {
                break Ok(());
            }
            // Somebody said that it is elsewhere, or that there is none.
            remote = match vault.connect(&name, RetryPolicy::of(2)).await {
                Ok(remote) => remote,
                Err(error) => break Err(error),
            };
        };
        end.cancel();
        ended
    };
    tokio::select! {
        (ended, ()) = async { tokio::join!(syncing, serving) } => ended?,
        () = telling => {}
        () = async {
            interrupted.await;
            end.cancel();
            std::future::pending::<()>().await;
        } => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What came of one sync: what it did, or what was wrong and what to do.
type Told = std::result::Result<SyncReport, (String, Option<String>)>;

/// Tells of one sync among many: what came of it, unless that is nothing.
async fn tell(context: &Context, vault: &Door, remote: &RemoteName, told: Told) {
    let outcome = match told {
        Ok(report) if report.is_quiet() => return,
        Ok(report) => Outcome::new(vault, Synced { remote: remote.clone(), report }).await,
        Err((problem, hint)) if context.json => {
            return error::write_json(&problem, hint.as_deref());
        }
        Err((problem, _)) => return context.tell(format!("not synced: {problem}")),
    };
    let shown = outcome.and_then(|outcome| {
        context.show(&outcome, |out| outcome.write(out))?;
        outcome.warn(context);
        Ok(())
    });
    if let Err(error) = shown {
        error::report(&error, context.json);
    }
}

/// What came of a sync, and which uploads are stuck after it.
#[derive(Serialize)]
pub(super) struct Outcome {
    remote: String,
    /// The remote could not be reached, and that was to be no error.
    offline: bool,
    #[serde(flatten)]
    report: SyncReport,
    /// Uploads that will be tried again, or need a person.
    stuck: Vec<Stuck>,
}

#[derive(Serialize)]
struct Stuck {
    image: ImageId,
    state: State,
    error: Option<String>,
    #[serde(serialize_with = "as_text::optional::serialize")]
    retry_at: Option<Timestamp>,
}

impl Outcome {
    pub(super) async fn new(vault: &Door, synced: Synced) -> Result<Self> {
        let Synced { remote, report } = synced;
        let mut stuck = Vec::new();
        for image in vault.ask(calls::Stuck {}).await? {
            if let Some(state) = image.state {
                let (error, retry_at) = (image.error, image.retry_at);
                stuck.push(Stuck { image: image.image, state, error, retry_at });
            }
        }
        Ok(Self { remote: remote.into(), offline: false, report, stuck })
    }

    fn offline(name: &str) -> Self {
        let report = SyncReport::default();
        Self { remote: name.to_owned(), offline: true, report, stuck: Vec::new() }
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { remote, report, .. } = self;
        if self.offline {
            return writeln!(out, "Offline: {remote} could not be reached; nothing is lost.");
        }
        if report.is_quiet() {
            return writeln!(out, "In step with {remote}: nothing was new.");
        }
        let part = if report.problems.is_empty() { "" } else { " in part" };
        writeln!(out, "Synced with {remote}{part}:")?;
        for (what, pass) in [("pulled", report.pulled), ("pushed", report.pushed)] {
            if pass.segments > 0 {
                let (changes, bytes) = (count(pass.changes, "change"), size(pass.bytes));
                writeln!(out, "  {what:9} {changes} in {bytes}")?;
            }
        }
        for (what, images) in [("uploaded", report.uploaded), ("fetched", report.fetched)] {
            let mut parts = Vec::new();
            if images.images > 0 {
                parts.push(format!("{} of {}", count(images.images, "image"), size(images.bytes)));
            }
            if images.already_there > 0 {
                parts.push(format!("{} there already", images.already_there));
            }
            if images.failed > 0 {
                parts.push(format!("{} failed", images.failed));
            }
            if images.blocked > 0 {
                parts.push(format!("{} blocked", images.blocked));
            }
            if !parts.is_empty() {
                writeln!(out, "  {what:9} {}", parts.join(", "))?;
            }
        }
        if report.linked > 0 {
            writeln!(out, "  {:9} {} put into notes", "linked", count(report.linked, "URL"))?;
        }
        Ok(())
    }

    /// Says on stderr what did not go well; the exit code tells whether anything did not.
    pub(super) fn warn(&self, context: &Context) -> ExitCode {
        if !context.json {
            for problem in &self.report.problems {
                context.tell(format!("problem: {problem}"));
            }
            for awaited in &self.report.awaited {
                context.tell(format!("note: {awaited}"));
            }
            for stuck in &self.stuck {
                context.tell(stuck.describe());
            }
            if !self.report.problems.is_empty() {
                context.tell(PROBLEMS_HINT);
            }
        }
        let well = self.report.problems.is_empty()
            && self.stuck.is_empty()
            && self.report.fetched.failed == 0;
        if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Stuck {
    fn describe(&self) -> String {
        let image = self.image.short();
        let error = self.error.as_deref().unwrap_or("no reason is known");
        let what_to_do = match (self.state, self.retry_at) {
            (State::Blocked, _) => format!("once that is mended, run `everleaf retry {image}`"),
            (_, Some(at)) => {
                format!("a sync after {} tries again, or `everleaf retry` at once", time(at))
            }
            (_, None) => "the next sync tries again".to_owned(),
        };
        format!("{}: image {image}: {error}; {what_to_do}", self.state)
    }
}
