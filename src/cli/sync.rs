//! `sync`: exchanging what is new.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use everleaf::{
    clock::Timestamp,
    event::RemoteName,
    id::ImageId,
    remote::RemoteError,
    upload::State,
    vault::{SyncImages, SyncOptions, SyncReport, Vault, VaultError},
};
use serde::{Serialize, Serializer};

use super::{
    Context, Result,
    context::connect,
    error::{self, chain},
    progress::Shown,
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
    /// Being offline is no error
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

/// Nothing here can mend a remote; whoever has the notes can fill another.
const PROBLEMS_HINT: &str = "\
hint: sync again later; if this stays, add an empty remote on a device that has what is missing, and \
let all devices use that";

#[derive(Clone, Copy, ValueEnum)]
enum Images {
    /// All that notes show
    All,
    /// None
    None,
}

impl Sync {
    pub(super) async fn run(self, context: &Context) -> Result {
        let vault = context.vault()?;
        let (name, options) = vault.remote(self.name.as_ref())?;
        let remote = connect(&name, &options, vault.key()).await?;
        let options = SyncOptions {
            images: match self.images {
                Images::All => SyncImages::All,
                Images::None => SyncImages::None,
            },
            verify_public: self.verify_public,
            ..context.sync_options()
        };
        let shown = Shown::new(context);
        if self.watch {
            let each = |result: std::result::Result<&SyncReport, &VaultError>| {
                shown.clear();
                tell(context, &vault, &name, result);
            };
            let step = |step| shown.sync(step);
            vault.watch(&name, remote, &options, &step, &each, stopped()).await;
            return Ok(ExitCode::SUCCESS);
        }
        let synced = vault.sync(&name, remote, &options, &|step| shown.sync(step)).await;
        shown.clear();
        let outcome = match synced {
            Err(VaultError::Remote { source: RemoteError::Offline { .. }, .. })
                if self.offline_ok =>
            {
                Outcome::offline(&name)
            }
            synced => Outcome::new(&vault, &name, synced?)?,
        };
        context.show(&outcome, |out| outcome.write(out))?;
        Ok(outcome.warn(context))
    }
}

/// Tells of one sync among many: what came of it, unless that is nothing.
fn tell(
    context: &Context,
    vault: &Vault,
    name: &RemoteName,
    result: std::result::Result<&SyncReport, &VaultError>,
) {
    let outcome = match result {
        Ok(report) if report.is_quiet() => return,
        Ok(report) => Outcome::new(vault, name, report.clone()),
        Err(problem) if context.json => {
            return error::write_json(&chain(problem), problem.hint().as_deref());
        }
        Err(problem) => return context.tell(format!("not synced: {}", chain(problem))),
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
    #[serde(serialize_with = "as_text")]
    retry_at: Option<Timestamp>,
}

#[expect(clippy::ref_option, reason = "what serde hands over")]
fn as_text<S: Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    at.map(|at| at.to_string()).serialize(serializer)
}

impl Outcome {
    pub(super) fn new(vault: &Vault, name: &RemoteName, report: SyncReport) -> Result<Self> {
        let counts = vault.status()?.images;
        let mut stuck = Vec::new();
        if counts.failed + counts.blocked > 0 {
            for image in vault.image_list()? {
                if let Some(state @ (State::Failed | State::Blocked)) = image.state {
                    let (error, retry_at) = (image.error, image.retry_at);
                    stuck.push(Stuck { image: image.image, state, error, retry_at });
                }
            }
        }
        Ok(Self { remote: name.to_string(), offline: false, report, stuck })
    }

    fn offline(name: &RemoteName) -> Self {
        let report = SyncReport::default();
        Self { remote: name.to_string(), offline: true, report, stuck: Vec::new() }
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
