//! The events as they come.

use std::collections::BTreeMap;

use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    Answer, App, Shared,
    asked::Query,
    layout::{self, Page, Tab, time},
    live::{Topic, touched},
    shown::is_web,
};
use crate::{
    event::{Event, Origin, Recorded},
    id::{DeviceId, ImageId, NoteId, Seq},
    units,
    vault::VaultError,
};

/// Events that the page shows at most.
const MOST: usize = 200;
/// Events that are read at once, from the end of the log to its beginning.
const PAGE: u64 = 1000;

/// A kind of event that people look for.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    All,
    Notes,
    Images,
    Troubles,
    Sync,
}

impl Kind {
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::All, "all", "Everything"),
        (Self::Notes, "notes", "Notes"),
        (Self::Images, "images", "Images"),
        (Self::Troubles, "troubles", "Troubles"),
        (Self::Sync, "sync", "Sync and devices"),
    ];

    fn has(self, event: &Event) -> bool {
        self == Self::All || Self::of(event).contains(&self)
    }

    /// What an event is looked for as, beside everything.
    const fn of(event: &Event) -> &'static [Self] {
        match event {
            Event::NoteChanged { .. } | Event::NoteReceived { .. } => &[Self::Notes],
            Event::ImageStored { .. }
            | Event::ImageAnnounced { .. }
            | Event::UploadStarted { .. }
            | Event::UploadRetried { .. }
            | Event::ImageUploaded { .. }
            | Event::ImageFetched { .. }
            | Event::ImageEvicted { .. } => &[Self::Images],
            Event::UploadFailed { .. } | Event::UploadBlocked { .. } => {
                &[Self::Images, Self::Troubles]
            }
            Event::RemoteReset { .. } | Event::DeviceRenewed { .. } => {
                &[Self::Sync, Self::Troubles]
            }
            Event::LogBegun { .. }
            | Event::SegmentPushed { .. }
            | Event::SegmentPulled { .. }
            | Event::CheckpointRead { .. }
            | Event::NoteIndexed { .. }
            | Event::RemoteConfigured { .. }
            | Event::RemoteRemoved { .. }
            | Event::DeviceSeen { .. } => &[Self::Sync],
        }
    }
}

/// Which events are shown.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Wanted {
    kind: Kind,
    /// A part of what is said of it, in any case.
    q: String,
}

pub(super) async fn page(State(app): Shared, Query(wanted): Query<Wanted>) -> Answer<Markup> {
    layout::page(&app, move |app| {
        let body = html! {
            main #main.wide tabindex="-1" {
                h1 { "Log" }
                form #filter.filters action="log" role="search" {
                    label { "Show "
                        select #kind name="kind" autocomplete="off" hx-get="log/events" hx-target="#rows" hx-include="#filter"
                            hx-sync="#rows:replace" {
                            @for (kind, value, name) in Kind::ALL {
                                option value=(value) selected[kind == wanted.kind] { (name) }
                            }
                        }
                    }
                    label { "with "
                        input #with type="search" name="q" value=(wanted.q) autocomplete="off"
                            hx-get="log/events" hx-target="#rows" hx-include="#filter"
                            hx-trigger="input changed delay:150ms, search" hx-sync="#rows:replace";
                    }
                }
                div #rows hx-get="log/events" hx-include="#filter" hx-trigger="sse:log" {
                    (table(app, &latest(app, &wanted)?)?)
                }
            }
        };
        Ok(Page { tab: Tab::Log, title: "Log".to_owned(), here: "log".to_owned(), body })
    })
    .await
}

pub(super) async fn rows(State(app): Shared, Query(wanted): Query<Wanted>) -> Answer<Markup> {
    app.ask(move |app| table(app, &latest(app, &wanted)?)).await
}

/// The last events that are wanted, the latest first.
fn latest(app: &App, wanted: &Wanted) -> Answer<Vec<Recorded>> {
    let names = Names::of(app)?;
    let text = wanted.q.trim().to_lowercase();
    let mut end = app.vault.follow().borrow().0 + 1;
    let mut found = Vec::new();
    while found.len() < MOST && end > 1 {
        let start = end.saturating_sub(PAGE).max(1);
        let page = app
            .vault
            .events(Seq(start))
            .take_while(|recorded| recorded.as_ref().map_or(true, |recorded| recorded.seq.0 < end));
        let mut page = page.collect::<Result<Vec<_>, _>>()?;
        page.retain(|recorded| {
            wanted.kind.has(&recorded.event)
                && (text.is_empty()
                    || names.described(app, recorded).into_string().to_lowercase().contains(&text))
        });
        found.extend(page.into_iter().rev());
        end = start;
    }
    found.truncate(MOST);
    Ok(found)
}

/// The events of an image's life, the first first: all that is about it, and the changes that the upload
/// projector made to the notes that show it.
pub(super) fn of_image(app: &App, image: ImageId, notes: &[NoteId]) -> Answer<Vec<Recorded>> {
    let mut found = Vec::new();
    for recorded in app.vault.events(Seq(1)) {
        let recorded = recorded?;
        let linked = matches!(&recorded.event, Event::NoteChanged { note, .. }
            if recorded.origin.is_projector() && notes.contains(note));
        if linked || touched(&recorded).contains(&Topic::Image(image)) {
            found.push(recorded);
        }
    }
    Ok(found)
}

/// Events as rows of a table.
pub(super) fn table(app: &App, events: &[Recorded]) -> Answer<Markup> {
    let names = Names::of(app)?;
    Ok(html! {
        @if events.is_empty() { p.empty { "No such events." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Events" {
                table.log {
                    thead { tr {
                        th scope="col" { "No." } th scope="col" { "When" } th scope="col" { "What" }
                    } }
                    tbody {
                        @for recorded in events {
                            tr.trouble[Kind::Troubles.has(&recorded.event)] {
                                td { (recorded.seq) }
                                td { (time(recorded.at)) }
                                td { (names.described(app, recorded)) }
                            }
                        }
                    }
                }
            }
        }
    })
}

/// What people call notes.
struct Names(BTreeMap<NoteId, String>);

impl Names {
    fn of(app: &App) -> Result<Self, VaultError> {
        let notes = app.vault.list()?.into_iter();
        Ok(Self(notes.map(|note| (note.note, note.title)).collect()))
    }

    fn note(&self, note: NoteId) -> Markup {
        let title = self.0.get(&note).map(String::as_str).filter(|title| !title.is_empty());
        html! { a href={ "note/" (note) } { "“" (title.unwrap_or("Untitled")) "”" } }
    }

    fn described(&self, app: &App, recorded: &Recorded) -> Markup {
        let by = by(app, &recorded.origin);
        let called = |device: &DeviceId| called(app, *device);
        match &recorded.event {
            Event::NoteChanged { note, .. } if recorded.origin.is_projector() => html! {
                "URLs put into " (self.note(*note)) (by)
            },
            Event::NoteChanged { note, change } => html! {
                (self.note(*note)) " changed, " (units::size(change.0.len() as u64)) (by)
            },
            Event::NoteReceived { note, document, .. } => html! {
                (self.note(*note)) " came whole, " (units::size(document.0.len() as u64)) (by)
            },
            Event::NoteIndexed { .. } => html! { "earlier changes of a note looked up" },
            Event::ImageStored { image, bytes, media_type, .. } => html! {
                (link(*image)) " taken in, " (units::size(*bytes)) " of " (media_type.mime())
            },
            Event::ImageAnnounced { image, device, .. } => html! {
                (called(device)) " says that it holds " (link(*image))
            },
            Event::UploadStarted { image, remote, attempt } => html! {
                "upload of " (link(*image)) " to " (remote) " begun, attempt " (attempt)
            },
            Event::UploadFailed { image, remote, reason, retry_at, .. } => html! {
                "upload of " (link(*image)) " to " (remote) " failed, again at " (units::time(*retry_at)) ": " (reason)
            },
            Event::UploadBlocked { image, remote, reason } => html! {
                "upload of " (link(*image)) " to " (remote) " is blocked: " (reason)
            },
            Event::UploadRetried { image, remote } => html! {
                "upload of " (link(*image)) " to " (remote) " asked for again"
            },
            Event::ImageUploaded { image, remote, already_there, url } => html! {
                (link(*image))
                @if *already_there { " was on " (remote) " already" } @else { " uploaded to " (remote) }
                @if let Some(url) = url.as_ref().filter(|url| is_web(url)) { ": " a href=(url) rel="noopener noreferrer" { "its URL" } }
            },
            Event::ImageFetched { image, remote, bytes, .. } => html! {
                (link(*image)) " fetched from " (remote) ", " (units::size(*bytes))
            },
            Event::ImageEvicted { image } => html! { "local copy of " (link(*image)) " dropped" },
            Event::LogBegun { name, .. } => html! { "log begun on device " (name) },
            Event::SegmentPushed { remote, seq, through, .. } => html! {
                "segment " (seq) " sent to " (remote) ", with all up to event " (through)
            },
            Event::SegmentPulled { remote, device, seq, .. } => html! {
                "segment " (seq) " of " (called(device)) " read from " (remote)
            },
            Event::CheckpointRead { remote, device, .. } => html! {
                "all notes as " (called(device)) " had them read from " (remote)
            },
            Event::RemoteConfigured { remote, options } => html! {
                "remote " (remote) " is " code { (options.url) }
            },
            Event::RemoteRemoved { remote } => html! { "remote " (remote) " removed" },
            Event::RemoteReset { remote, .. } => html! {
                "remote " (remote) " had lost what it confirmed, and is filled again"
            },
            Event::DeviceSeen { name, .. } => html! { "device " (name) " seen" },
            Event::DeviceRenewed { from, to, .. } => html! {
                "this device took a new identity: " (from.short()) " is " (to.short()) " now"
            },
        }
    }
}

fn link(image: ImageId) -> Markup {
    html! { a href={ "images/" (image) } { "image " code { (image.short()) } } }
}

fn by(app: &App, origin: &Origin) -> Markup {
    html! {
        @if let Origin::Device { device, remote, .. } = origin {
            " on " (called(app, *device)) ", by way of " (remote)
        }
    }
}

fn called(app: &App, device: DeviceId) -> String {
    app.vault.device_called(device).unwrap_or_else(|_| device.short())
}
