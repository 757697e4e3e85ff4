//! `images`, `retry`: how uploads stand.

use std::process::ExitCode;

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use everleaf::{socket::calls, upload::State, vault::ImageStatus};
use serde_json::json;

use super::{
    Context, Result,
    text::{Table, count, digits, short, size, time},
};

/// List the images, and how their uploads stand
///
/// An image is waiting until a note that shows it is on the remote; then pending, uploading, and
/// uploaded. A failed one is tried again by itself, a blocked one needs you.
#[derive(Args)]
pub(super) struct Images {
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = state())]
    state: Option<State>,
    /// Only those of the queue: not uploaded, or uploaded in the last seven days
    #[arg(long)]
    queue: bool,
}

fn state() -> impl TypedValueParser<Value = State> {
    PossibleValuesParser::new(State::ALL.map(State::name)).try_map(|name| {
        let state = State::ALL.into_iter().find(|state| state.name() == name);
        state.ok_or("there is no such state")
    })
}

impl Images {
    pub(super) async fn run(self, context: &Context) -> Result {
        let mut images = context.vault().await?.ask(calls::Images {}).await?;
        let digits = digits(images.iter().map(|image| image.image.to_string()));
        images.retain(|image| {
            self.state.is_none_or(|state| image.state == Some(state))
                && (!self.queue || image.in_queue)
        });
        context.show(&images, |out| {
            let mut table = Table::default();
            for image in &images {
                let dimensions = match (image.width, image.height) {
                    (Some(width), Some(height)) => format!("{width} × {height}"),
                    _ => String::new(),
                };
                let state = image.state.map_or("not here".to_owned(), |state| state.to_string());
                table.row([
                    short(&image.image, digits),
                    state,
                    image.media_type.mime().to_owned(),
                    size(image.bytes),
                    dimensions,
                    format!("in {}", count(image.notes.len() as u64, "note")),
                    detail(image),
                ]);
            }
            table.write(out)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is most worth knowing of an image: what went wrong, where it is, or its URL.
fn detail(image: &ImageStatus) -> String {
    let unfinished = image.state.is_some_and(|state| state != State::Uploaded);
    match &image.error {
        Some(error) if unfinished => {
            let again = image.retry_at.map(|at| format!("; again at {}", time(at)));
            format!("{error}{}", again.unwrap_or_default())
        }
        _ if !image.local && !image.holders.is_empty() => {
            format!("on {}", image.holders.join(", "))
        }
        _ => image.url.clone().unwrap_or_default(),
    }
}

/// Make failed and blocked uploads due now
///
/// The next sync tries them. Without IMAGE, all of them.
#[derive(Args)]
pub(super) struct Retry {
    /// Unique start of an image's id
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

impl Retry {
    pub(super) async fn run(self, context: &Context) -> Result {
        let vault = context.vault().await?;
        let images = Some(self.images).filter(|images| !images.is_empty());
        let retried = vault.ask(calls::Retry { images }).await?;
        context.show(&json!({ "retried": retried }), |out| match retried {
            0 => writeln!(out, "No upload has failed or is blocked."),
            some => {
                let uploads = count(some as u64, "upload");
                writeln!(out, "{uploads} will be tried by the next `everleaf sync`.")
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
