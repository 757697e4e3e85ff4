//! The images: a grid of all, the life of one, and its bytes.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::{
    Answer, App, Shared,
    asked::{Path, Query},
    guard,
    layout::{self, Page, Tab},
    log,
    shown::is_web,
};
use crate::{
    id::{ImageId, NoteId},
    units::{count, size, time},
    upload::State as UploadState,
    vault::{ImageStatus, VaultError},
};

/// Images that the grid shows at most.
const MOST: usize = 200;

/// How an upload stands, in a word that a colour goes with.
pub(super) fn badge(state: Option<UploadState>) -> Markup {
    let name = state.map_or("elsewhere", UploadState::name);
    html! { span.badge.(name) { (name) } }
}

/// Which images the grid shows.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Wanted {
    /// The name of a state; all where it is none.
    state: String,
}

impl Wanted {
    fn has(&self, image: &ImageStatus) -> bool {
        self.state.is_empty() || image.state.map_or("elsewhere", UploadState::name) == self.state
    }
}

pub(super) async fn page(State(app): Shared, Query(wanted): Query<Wanted>) -> Answer<Markup> {
    layout::page(&app, move |app| {
        let body = html! {
            main #main.wide tabindex="-1" {
                h1 { "Images" }
                div #grid hx-get={ "images/grid?state=" (wanted.state) }
                    hx-trigger="sse:images" { (cards(app, &wanted)?) }
            }
        };
        Ok(Page { tab: Tab::Images, title: "Images".to_owned(), here: "images".to_owned(), body })
    })
    .await
}

pub(super) async fn grid(State(app): Shared, Query(wanted): Query<Wanted>) -> Answer<Markup> {
    app.ask(move |app| cards(app, &wanted)).await
}

fn cards(app: &App, wanted: &Wanted) -> Answer<Markup> {
    let all = app.vault.image_list()?;
    let titles = titles(app)?;
    let bytes: u64 = all.iter().map(|image| image.bytes).sum();
    let in_state = |name: &str| {
        all.iter()
            .filter(|image| image.state.map_or("elsewhere", UploadState::name) == name)
            .count()
    };
    let states = UploadState::ALL.map(UploadState::name).into_iter().chain(["elsewhere"]);
    let stuck = in_state("failed") + in_state("blocked");
    let found: Vec<&ImageStatus> = all.iter().filter(|image| wanted.has(image)).collect();
    Ok(html! {
        div.filters {
            nav aria-label="Images by state" {
                a.chip href="images" aria-current=[wanted.state.is_empty().then_some("true")] {
                    "All " (all.len())
                }
                @for state in states {
                    @if in_state(state) > 0 || wanted.state == state {
                        a.chip.(state) href={ "images?state=" (state) }
                            aria-current=[(wanted.state == state).then_some("true")] {
                            (state) " " (in_state(state))
                        }
                    }
                }
            }
            span.sum { (size(bytes)) " in all" }
            @if stuck > 0 {
                button #retry-all hx-post="images/retry" hx-swap="none" { "Retry " (count(stuck, "upload")) }
            }
        }
        @if found.is_empty() { p.empty { "No images here." } }
        ul.grid {
            @for image in found.iter().take(MOST) { li { (card(image, &titles)) } }
        }
        @if found.len() > MOST {
            p.more { "and " (count(found.len() - MOST, "more image")) }
        }
    })
}

fn card(image: &ImageStatus, titles: &Titles) -> Markup {
    let life = format!("images/{}", image.image);
    let label = format!("Image {}", image.image.short());
    html! {
        article.card aria-label=(label) {
            a.thumb href=(life) tabindex="-1" aria-hidden="true" {
                @if image.local {
                    img src={ "image/" (image.image) } alt="" loading="lazy";
                } @else {
                    span { "not here" }
                }
            }
            div.facts {
                p { a href=(life) { code { (image.image.short()) } } (badge(image.state)) }
                p.meta { (measures(image)) }
                (progress(image))
                (shown_by(&image.notes, titles))
                @if is_stuck(image) {
                    button id={ "retry-" (image.image) } hx-post={ (life) "/retry" } hx-swap="none"
                        aria-label={ "Retry now: image " (image.image.short()) } { "Retry now" }
                }
            }
        }
    }
}

fn measures(image: &ImageStatus) -> String {
    let kind = image.media_type.extension().to_uppercase();
    let bytes = size(image.bytes);
    match (image.width, image.height) {
        (Some(width), Some(height)) => format!("{kind} · {width} × {height} · {bytes}"),
        _ => format!("{kind} · {bytes}"),
    }
}

const fn is_stuck(image: &ImageStatus) -> bool {
    matches!(image.state, Some(UploadState::Failed | UploadState::Blocked))
}

/// What was tried, what came of it, and what is next.
fn progress(image: &ImageStatus) -> Markup {
    let unfinished = image.state.is_some_and(|state| state != UploadState::Uploaded);
    html! {
        @if image.attempts > 0 && unfinished {
            p.meta {
                (count(image.attempts, "attempt"))
                @if let Some(at) = image.retry_at { ", the next at " (time(at)) }
            }
        }
        @if let (Some(error), true) = (&image.error, unfinished) { p.error { (error) } }
        @if image.state.is_none() && !image.holders.is_empty() {
            p.meta { "on " (image.holders.join(", ")) }
        }
    }
}

/// The titles of all notes.
type Titles = std::collections::BTreeMap<NoteId, String>;

fn titles(app: &App) -> Answer<Titles> {
    let name = |title: String| if title.is_empty() { "Untitled".to_owned() } else { title };
    Ok(app.vault.list()?.into_iter().map(|note| (note.note, name(note.title))).collect())
}

fn shown_by(notes: &[NoteId], titles: &Titles) -> Markup {
    let named = notes.iter().filter_map(|note| Some((note, titles.get(note)?)));
    html! {
        @if notes.is_empty() { p.meta { "in no note" } }
        @else {
            p.meta {
                "in "
                @for (index, (note, title)) in named.enumerate() {
                    @if index > 0 { ", " }
                    a href={ "note/" (note) } { (title) }
                }
            }
        }
    }
}

pub(super) async fn life(State(app): Shared, Path(image): Path<ImageId>) -> Answer<Markup> {
    layout::page(&app, move |app| {
        let title = format!("Image {}", image.short());
        let here = format!("images/{image}");
        let body = html! {
            main #main.wide tabindex="-1" {
                p { a.back href="images" { "‹ Images" } }
                div #story hx-get={ (here) "/story" } hx-trigger={ "sse:image-" (image) ", sse:images" } {
                    (told(app, image)?)
                }
            }
        };
        Ok(Page { tab: Tab::Images, title, here, body })
    })
    .await
}

pub(super) async fn story(State(app): Shared, Path(image): Path<ImageId>) -> Answer<Markup> {
    app.ask(move |app| told(app, image)).await
}

fn told(app: &App, image: ImageId) -> Answer<Markup> {
    let found = app.vault.image_list()?.into_iter().find(|status| status.image == image);
    let status = found.ok_or_else(|| VaultError::UnknownImage(image.to_string()))?;
    let events = log::of_image(app, image, &status.notes)?;
    Ok(html! {
        div.life {
            figure {
                @if status.local {
                    a href={ "image/" (image) } { img src={ "image/" (image) } alt={ "Image " (image.short()) }; }
                } @else { p.empty { "Its bytes are not on this device." } }
            }
            div {
                h1 { "Image " code { (image.short()) } (badge(status.state)) }
                p.meta { (measures(&status)) }
                (progress(&status))
                (shown_by(&status.notes, &titles(app)?))
                @if let Some(url) = status.url.as_ref().filter(|url| is_web(url)) {
                    p { a href=(url) rel="noopener noreferrer" { (url) } }
                }
                p.meta { code.long { (image) } }
                @if is_stuck(&status) {
                    button #retry hx-post={ "images/" (image) "/retry" } hx-swap="none" { "Retry now" }
                }
            }
        }
        h2 { "Its life" }
        (log::table(app, &events)?)
    })
}

pub(super) async fn retry_all(State(app): Shared) -> Answer<String> {
    retried(&app, None).await
}

pub(super) async fn retry(State(app): Shared, Path(image): Path<ImageId>) -> Answer<String> {
    retried(&app, Some(image)).await
}

async fn retried(app: &Arc<App>, image: Option<ImageId>) -> Answer<String> {
    let images = image.map(|image| [image]);
    let retried =
        app.ask(move |app| Ok(app.vault.retry(images.as_ref().map(<[_; 1]>::as_slice))?)).await?;
    Ok(format!("{} will be tried", count(retried as u64, "upload")))
}

/// The bytes of an image. It is shown by `img` alone: opened by itself, an SVG is a document that runs
/// scripts, so it is shut into a sandbox.
pub(super) async fn file(State(app): Shared, Path(image): Path<ImageId>) -> Answer<Response> {
    let (media_type, verified) = app
        .ask(move |app| {
            let file = app.vault.verified_image(image)?.ok_or_else(guard::nothing)?;
            let extension = file.path.extension().and_then(|end| end.to_str()).unwrap_or_default();
            let media_type = crate::image::MediaType::from_extension(extension);
            Ok((media_type.ok_or_else(guard::nothing)?, file))
        })
        .await?;
    let headers = [
        (CONTENT_TYPE, media_type.mime().to_owned()),
        (CONTENT_LENGTH, verified.bytes.to_string()),
        // Its name is its content.
        (CACHE_CONTROL, "private, max-age=31536000, immutable".to_owned()),
        (
            CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
                .to_owned(),
        ),
    ];
    let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(verified.file)));
    Ok((headers, body).into_response())
}
