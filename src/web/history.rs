//! A note as it is and as it was, and the slider between the two.

use axum::{
    extract::State,
    http::{HeaderName, HeaderValue},
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    Answer, App, Shared,
    asked::{Path, Query},
    guard,
    layout::time,
    shown::shown as rendered,
};
use crate::{
    clock::Timestamp,
    id::NoteId,
    vault::{Reading, Version},
};

/// Where the slider stands.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Position {
    /// A version, counted from 1; without one, the present.
    step: Option<usize>,
    /// How many there were when the slider was drawn.
    of: Option<usize>,
}

/// The versions that people made: what the upload projector does changes no text, and how a note begins, which is
/// the same everywhere and has no time, shows none.
fn versions(app: &App, note: NoteId) -> Answer<Vec<Version>> {
    let mut versions = app.vault.history(note)?;
    versions.retain(|version| !version.origin.is_projector() && version.at != Timestamp(0));
    Ok(versions)
}

/// The note as it is.
pub(super) fn pane(app: &App, reading: &Reading) -> Answer<Markup> {
    Ok(rendered(app, reading)?)
}

/// The slider, at the present.
pub(super) fn slider(app: &App, note: NoteId) -> Answer<Markup> {
    Ok(form(note, &versions(app, note)?, false))
}

fn form(note: NoteId, versions: &[Version], swapped: bool) -> Markup {
    let number = versions.len();
    html! {
        form #history aria-label="History" hx-swap-oob=[swapped.then_some("true")] {
            @if number > 1 {
                label for="step" { "History" }
                input #step type="range" name="step" autocomplete="off" min="1" max=(number) value=(number)
                    hx-get={ "note/" (note) "/shown" } hx-target="#shown" hx-include="#history"
                    hx-trigger="input delay:40ms" hx-sync="#shown:replace" aria-describedby="version";
            }
            input type="hidden" name="of" value=(number) autocomplete="off";
            (label(versions, number, false))
        }
    }
}

/// What is said of a version beside the slider.
fn label(versions: &[Version], step: usize, swapped: bool) -> Markup {
    let version = step.checked_sub(1).and_then(|index| versions.get(index));
    html! {
        output #version for="step" hx-swap-oob=[swapped.then_some("true")] {
            @if let Some(version) = version {
                @if step == versions.len() { "now, " } @else { (step) " of " (versions.len()) ", " }
                (time(version.at)) " on " (version.device)
            }
        }
    }
}

pub(super) async fn shown(
    State(app): Shared,
    Path(note): Path<NoteId>,
    Query(position): Query<Position>,
) -> Answer<Markup> {
    app.ask(move |app| {
        let versions = versions(app, note)?;
        let step = position.step.unwrap_or(versions.len());
        // At the end of the slider it goes on with the note.
        if step >= position.of.unwrap_or(versions.len()) {
            let grown = position.of != Some(versions.len());
            return Ok(html! {
                (pane(app, &app.vault.read(note, None)?)?)
                @if grown { (form(note, &versions, true)) }
                @else { (label(&versions, versions.len(), true)) }
            });
        }
        let version = step.checked_sub(1).and_then(|index| versions.get(index));
        let version = version.ok_or_else(guard::nothing)?;
        let reading = app.vault.read(note, Some(&version.heads))?;
        Ok(html! {
            div.banner role="status" {
                p { "This is how it was. " }
                button hx-post={ "note/" (note) "/go-back?step=" (step) } hx-swap="none" {
                    "Go back to this"
                }
            }
            (rendered(app, &reading)?)
            (label(&versions, step, true))
        })
    })
    .await
}

/// Gives the note the text that it had.
pub(super) async fn go_back(
    State(app): Shared,
    Path(note): Path<NoteId>,
    Query(position): Query<Position>,
) -> Answer<Response> {
    app.ask(move |app| {
        let index = position.step.and_then(|step| step.checked_sub(1));
        let versions = versions(app, note)?;
        let version = index.and_then(|index| versions.get(index)).ok_or_else(guard::nothing)?;
        Ok(app.vault.go_back(note, &version.heads)?)
    })
    .await?;
    let place = HeaderValue::try_from(app.place(&format!("note/{note}")));
    let place = place.map_err(|_| guard::nothing())?;
    Ok(([(HeaderName::from_static("hx-redirect"), place)], "").into_response())
}
