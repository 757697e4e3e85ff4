//! `log`: what happened.

use std::{pin::pin, process::ExitCode, time::Duration};

use clap::Args;
use everleaf::{
    clock::{Timestamp, as_text},
    event::{Event, Origin, Recorded},
    id::Seq,
    socket::{Door, calls},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    CliError, Context, Result,
    signal::stopped,
    text::{clean, time},
};

/// How often a log that is followed is read.
const POLL: Duration = Duration::from_secs(1);

/// Show the events of this device, one a line
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf log --note Bread
  everleaf log --json --since 120 --follow | jq .event")]
pub(super) struct Log {
    /// From this event on
    #[arg(long, value_name = "SEQ", default_value_t = 1, hide_default_value = true)]
    since: u64,
    /// Only changes of this note: unique start of an id, a path, or an exact title
    #[arg(long, value_name = "NOTE")]
    note: Option<String>,
    /// Go on as events happen, until Ctrl-C; the vault is not held open meanwhile
    #[arg(long)]
    follow: bool,
}

impl Log {
    pub(super) async fn run(self, context: &Context) -> Result {
        let mut next = Seq(self.since.max(1));
        if !self.follow {
            self.print(context, &context.vault().await?, &mut next).await?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut stopped = pin!(stopped());
        loop {
            let printed = tokio::select! {
                printed = self.follow(context, &mut next) => printed,
                () = &mut stopped => return Ok(ExitCode::SUCCESS),
            };
            match printed {
                Err(error) if is_taken(&error) => {}
                printed => printed?,
            }
            tokio::select! {
                () = &mut stopped => return Ok(ExitCode::SUCCESS),
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Prints what there is, and goes on for as long as another process has the vault and tells.
    async fn follow(&self, context: &Context, next: &mut Seq) -> Result<()> {
        let vault = context.vault().await?;
        self.print(context, &vault, next).await?;
        while let Door::There(_) = vault {
            vault.ask(calls::Appended { after: Seq(next.0 - 1) }).await?;
            self.print(context, &vault, next).await?;
        }
        Ok(())
    }

    /// Prints the events from `next` on; it becomes the number of the one to come.
    async fn print(&self, context: &Context, vault: &Door, next: &mut Seq) -> Result<()> {
        let note = match self.note.clone() {
            Some(query) => Some(vault.ask(calls::Find { query }).await?),
            None => None,
        };
        loop {
            let events = vault.ask(calls::Events { first: *next }).await?;
            if events.is_empty() {
                return Ok(());
            }
            for recorded in events {
                *next = recorded.seq.next();
                if note.is_some_and(|note| recorded.event.changed_note() != Some(note)) {
                    continue;
                }
                context.show(&Flat::new(&recorded), |out| writeln!(out, "{}", line(&recorded)))?;
            }
        }
    }
}

/// Whether another process has the vault, or had it until now.
const fn is_taken(error: &CliError) -> bool {
    matches!(error, CliError::Ask(error) if error.is_taken())
}

/// An event as one flat object.
#[derive(Serialize)]
struct Flat {
    seq: Seq,
    #[serde(serialize_with = "as_text::serialize")]
    at: Timestamp,
    origin: Value,
    event: String,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl Flat {
    fn new(recorded: &Recorded) -> Self {
        let mut flat = Self {
            seq: recorded.seq,
            at: recorded.at,
            origin: origin(&recorded.origin),
            event: String::new(),
            fields: Map::new(),
        };
        let event = serde_json::to_value(&recorded.event).unwrap_or_default();
        for (name, fields) in event.as_object().into_iter().flatten() {
            flat.event.clone_from(name);
            for (field, value) in fields.as_object().into_iter().flatten() {
                let (field, value) = match field.as_str() {
                    // `seq` is the number of the event itself.
                    "seq" => ("segment", value.clone()),
                    "retry_at" => ("retry_at", as_time(value)),
                    // What a change holds is a note, not its bytes.
                    "change" => ("change", json!(format!("{} bytes", hex_bytes(value)))),
                    "document" => ("document", json!(format!("{} bytes", hex_bytes(value)))),
                    field => (field, value.clone()),
                };
                flat.fields.insert(field.to_owned(), value);
            }
        }
        flat
    }
}

fn hex_bytes(value: &Value) -> usize {
    value.as_str().map_or(0, |digits| digits.len() / 2)
}

fn as_time(millis: &Value) -> Value {
    millis.as_i64().map_or(Value::Null, |millis| json!(Timestamp(millis).to_string()))
}

fn origin(origin: &Origin) -> Value {
    match origin {
        Origin::Here => json!("here"),
        Origin::Projector => json!("projector"),
        Origin::Device { remote, device, seq, projector } => json!({
            "remote": remote.as_str(),
            "device": device,
            "segment": seq,
            "projector": projector,
        }),
    }
}

fn line(recorded: &Recorded) -> String {
    let Recorded { seq, at, origin, event, .. } = recorded;
    let from = match origin {
        Origin::Here => String::new(),
        Origin::Projector => ", by the upload projector".to_owned(),
        Origin::Device { device, remote, projector: false, .. } => {
            format!(", on device {}, by way of {remote}", device.short())
        }
        Origin::Device { device, remote, .. } => {
            format!(", by the upload projector of device {}, by way of {remote}", device.short())
        }
    };
    format!("{seq:>6}  {}  {}{from}", time(*at), clean(&describe(event)))
}

fn describe(event: &Event) -> String {
    match event {
        Event::LogBegun { vault, name, .. } => {
            format!("log begun of vault {} on device `{name}`", vault.short())
        }
        Event::NoteChanged { note, change } => {
            format!("note {note} changed, {} bytes", change.0.len())
        }
        Event::NoteReceived { note, document, .. } => {
            format!("note {note} received whole, {} bytes", document.0.len())
        }
        Event::NoteIndexed { note, changes } => {
            format!("{} earlier changes of note {note} looked up", changes.len())
        }
        Event::CheckpointRead { remote, device, seq, .. } => {
            format!("checkpoint {seq} of device {} read from {remote}", device.short())
        }
        Event::ImageStored { image, bytes, media_type, .. } => {
            format!("image {} stored, {bytes} bytes of {}", image.short(), media_type.mime())
        }
        Event::ImageAnnounced { image, device, .. } => {
            format!("image {} announced by device {}", image.short(), device.short())
        }
        Event::SegmentPushed { remote, seq, through, .. } => {
            format!("segment {seq} pushed to {remote}, through event {through}")
        }
        Event::SegmentPulled { remote, device, seq, .. } => {
            format!("segment {seq} of device {} pulled from {remote}", device.short())
        }
        Event::UploadStarted { image, remote, attempt } => {
            format!("upload of image {} to {remote} started, attempt {attempt}", image.short())
        }
        Event::UploadFailed { image, remote, reason, retry_at, .. } => format!(
            "upload of image {} to {remote} failed, again at {}: {reason}",
            image.short(),
            time(*retry_at)
        ),
        Event::UploadBlocked { image, remote, reason } => {
            format!("upload of image {} to {remote} blocked: {reason}", image.short())
        }
        Event::UploadRetried { image, remote } => {
            format!("upload of image {} to {remote} asked for again", image.short())
        }
        Event::ImageUploaded { image, remote, already_there, .. } => {
            let how = if *already_there { "was there already" } else { "uploaded" };
            format!("image {} on {remote}: {how}", image.short())
        }
        Event::ImageFetched { image, remote, bytes, .. } => {
            format!("image {} fetched from {remote}, {bytes} bytes", image.short())
        }
        Event::ImageEvicted { image } => format!("local copy of image {} dropped", image.short()),
        Event::RemoteConfigured { remote, options } => {
            format!("remote {remote} is {}", options.url)
        }
        Event::RemoteRemoved { remote } => format!("remote {remote} removed"),
        Event::RemoteReset { remote, reason } => {
            format!("remote {remote} had lost what it confirmed: {reason:?}")
        }
        Event::DeviceSeen { device, name } => {
            format!("device {} is called `{name}`", device.short())
        }
        Event::DeviceRenewed { from, to, reason } => {
            format!("device {} renewed as {}: {reason:?}", from.short(), to.short())
        }
        // There is no other in this version.
        other => format!("{other:?}"),
    }
}
