//! How the vault stands with its remotes, the switch that holds syncs back, and a picture over time.

use axum::{extract::State as Of, response::Redirect};
use maud::{Markup, html};

use super::{
    Answer, App, Shared, chart,
    layout::{self, Page, Tab},
    lock,
    standing::Exchange,
};
use crate::{
    remote::Requests,
    units::{count, size, time},
    upload::State,
    vault::RemoteStatus,
};

/// Spans of time that the picture shows at most.
const SPANS: i64 = 48;

/// How things stand with all remotes, in a few words.
struct Word {
    class: &'static str,
    text: String,
}

fn word(app: &App, remotes: &[RemoteStatus]) -> Answer<Word> {
    let states = app.vault.unfinished_states()?;
    let in_state = |state| states.values().filter(|known| **known == state).count();
    let (failed, blocked) = (in_state(State::Failed), in_state(State::Blocked));
    let held = app.standing.is_held();
    let owed: usize = remotes.iter().map(|remote| remote.unpushed_changes).sum();
    let mut exchanges = remotes.iter().map(|remote| app.standing.of(&remote.name));
    let word = |class, text: String| Word { class, text };
    Ok(if remotes.is_empty() {
        word("none", "No remote".to_owned())
    } else if held && owed == 0 {
        word("held", "Offline".to_owned())
    } else if held {
        word("held", format!("Offline, {} held", count(owed as u64, "change")))
    } else if exchanges.clone().any(|now| now.trouble.is_some()) {
        word("bad", "Can't sync".to_owned())
    } else if let Some(doing) = exchanges.find_map(|now| now.doing) {
        word("busy", capital(&doing))
    } else if blocked > 0 {
        word("bad", format!("{} blocked", count(blocked as u64, "upload")))
    } else if failed > 0 {
        word("held", format!("{} to be retried", count(failed as u64, "upload")))
    } else if owed > 0 {
        word("busy", format!("{} to send", count(owed as u64, "change")))
    } else {
        word("well", "In step".to_owned())
    })
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// What the head of every page says of it.
pub(super) fn pill(app: &App) -> Answer<Markup> {
    let Word { class, text } = word(app, &app.vault.remotes()?)?;
    let held = app.standing.is_held();
    Ok(html! {
        a.pill.(class) href="sync" { span.dot {} span role="status" { (text) } }
        button.switch #offline role="switch" aria-checked=(held) hx-post="sync/offline"
            hx-target="#standing" title="Hold uploads and syncs back" { "Offline" }
    })
}

pub(super) async fn standing(Of(app): Shared) -> Answer<Markup> {
    app.ask(pill).await
}

pub(super) async fn offline(Of(app): Shared) -> Answer<Markup> {
    app.standing.toggle();
    app.tell_sync();
    app.ask(pill).await
}

pub(super) async fn now(Of(app): Shared) -> Answer<Redirect> {
    app.standing.ask();
    Ok(Redirect::to(&app.place("sync")))
}

pub(super) async fn page(Of(app): Shared) -> Answer<Markup> {
    layout::page(&app, |app| {
        let body = html! {
            main #main.wide tabindex="-1" {
                h1 { "Sync" }
                div #state hx-get="sync/state" hx-trigger="sse:sync, sse:images" { (state_of(app)?) }
            }
        };
        Ok(Page { tab: Tab::Sync, title: "Sync".to_owned(), here: "sync".to_owned(), body })
    })
    .await
}

pub(super) async fn state(Of(app): Shared) -> Answer<Markup> {
    app.ask(state_of).await
}

fn state_of(app: &App) -> Answer<Markup> {
    let status = app.vault.status()?;
    let held = app.standing.is_held();
    let spans = lock(&app.tally).spans(SPANS);
    let images = status.images;
    let failing = images.failed + images.blocked;
    Ok(html! {
        dl.figures {
            (figure("Notes", &status.notes.to_string(), &format!("{} not synced", status.unsynced_notes)))
            (figure("Images", &images.distinct.to_string(), &size(images.bytes)))
            (figure("Uploaded", &images.uploaded.to_string(), &match failing {
                0 => format!("{} to go", images.waiting + images.pending + images.uploading),
                some => format!("{some} failed or blocked"),
            }))
            (figure("Stored once", &size(repeated(app)?), "not stored again, however often shown"))
        }
        @if status.remotes.is_empty() {
            p.empty { "There is no remote yet: " code { "everleaf remote add" } " adds one." }
        }
        @for remote in &status.remotes { (of_remote(remote, &app.standing.of(&remote.name), held)) }
        section aria-labelledby="over-time" {
            h2 #over-time { "Over time" }
            (chart::draw(&spans))
        }
    })
}

fn figure(name: &str, value: &str, note: &str) -> Markup {
    html! { div { dt { (name) } dd { strong { (value) } span { (note) } } } }
}

/// Bytes that the notes would take besides, did each keep its own copy of the images that it shows.
fn repeated(app: &App) -> Answer<u64> {
    let images = app.vault.image_list()?;
    let again = |shown: usize| u64::try_from(shown.saturating_sub(1)).unwrap_or(u64::MAX);
    Ok(images.iter().map(|image| image.bytes.saturating_mul(again(image.notes.len()))).sum())
}

fn of_remote(remote: &RemoteStatus, now: &Exchange, held: bool) -> Markup {
    let Requests { get, head, put, list, delete } = now.requests();
    let asked = get + head + put + list + delete;
    html! {
        section.remote aria-label={ "Remote " (remote.name) } {
            div.bar {
                h2 { (remote.name) }
                form method="post" action="sync/now" { button disabled[held] { "Sync now" } }
            }
            p.meta { code { (remote.url) } @if let Some(endpoint) = &remote.endpoint { " at " code { (endpoint) } } }
            dl {
                dt { "Now" }
                dd {
                    @if held { "offline: syncs and uploads are held back" }
                    @else if let Some(doing) = &now.doing { (doing) }
                    @else if remote.unpushed_changes > 0 { "about to send" }
                    @else { "nothing to do" }
                }
                dt { "Last sync" }
                dd { (remote.last_sync.map_or_else(|| "never".to_owned(), time)) }
                dt { "To send" } dd { (count(remote.unpushed_changes as u64, "change")) }
                @if let Some(public) = &remote.public_url { dt { "Public at" } dd { (public) } }
                dt { "Requests" }
                dd {
                    (asked) " in " (count(now.syncs, "sync")) " since this page was started: "
                    (get) " GET, " (head) " HEAD, " (put) " PUT, " (list) " LIST, " (delete) " DELETE"
                }
            }
            @if let Some(trouble) = &now.trouble { p.error { (trouble) } }
            @for problem in &now.problems { p.error { (problem) } }
        }
    }
}
