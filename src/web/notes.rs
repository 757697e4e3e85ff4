//! The list of notes, and a note.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    extract::State,
    http::StatusCode,
    http::header::LOCATION,
    response::{IntoResponse as _, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    Answer, App, Problem, Shared,
    asked::{Path, Query},
    editor, guard, history,
    images::badge,
    layout::{self, Page, Tab, time},
};
use crate::{
    id::NoteId,
    projection::catalog::Entry,
    resolve,
    search::{Excerpt, Piece},
    units::count,
    upload::State as UploadState,
    vault::{Listed, NewNote, VaultError},
};

/// Notes that the list shows at most; who has more, types.
const MOST: usize = 300;

/// Which notes the list shows.
#[derive(Deserialize, Default, Clone)]
#[serde(default)]
pub(super) struct Wanted {
    /// A part of the title or the path, in any case, or what is looked for in the text.
    q: String,
    /// Whether those in the trash are meant.
    trash: bool,
    /// The note that is open.
    open: Option<NoteId>,
    /// Whether it is being edited.
    edit: bool,
}

impl Wanted {
    /// What an address has to say for the list to stay as it is.
    fn query(&self) -> String {
        let q = percent_encoding::utf8_percent_encode(&self.q, percent_encoding::NON_ALPHANUMERIC);
        match (self.q.is_empty(), self.trash) {
            (true, false) => String::new(),
            (false, false) => format!("?q={q}"),
            (true, true) => "?trash=true".to_owned(),
            (false, true) => format!("?q={q}&trash=true"),
        }
    }

    fn has(&self, listed: &Listed) -> bool {
        let wanted = self.q.trim().to_lowercase();
        let holds = |text: &str| text.to_lowercase().contains(&wanted);
        listed.trashed == self.trash
            && (holds(&listed.title) || listed.path.as_deref().is_some_and(holds))
    }
}

pub(super) async fn index(State(app): Shared, Query(wanted): Query<Wanted>) -> Answer<Markup> {
    layout::page(&app, move |app| {
        let body = html! {
            main #main.notes.nothing-open tabindex="-1" {
                h1.unseen { "Notes" }
                (sidebar(app, &wanted)?)
                p.placeholder { "Choose a note, or begin a new one." }
            }
        };
        Ok(Page { tab: Tab::Notes, title: "Notes".to_owned(), here: "./".to_owned(), body })
    })
    .await
}

pub(super) async fn list(State(app): Shared, Query(wanted): Query<Wanted>) -> Answer<Markup> {
    app.ask(move |app| rows(app, &wanted)).await
}

/// The list with what it is filtered by.
fn sidebar(app: &App, wanted: &Wanted) -> Answer<Markup> {
    Ok(html! {
        div.sidebar {
            div.tools {
                form #sought role="search" action="./" {
                    label.unseen for="q" { "Search notes by title, path or text" }
                    input #q type="search" name="q" value=(wanted.q) placeholder="Search" autocomplete="off"
                        aria-controls="list" hx-get="list" hx-include="#sought, #kept" hx-target="#list"
                        hx-trigger="input changed delay:120ms, search" hx-sync="#list:replace";
                    @if wanted.trash { input type="hidden" name="trash" value="true"; }
                }
                form method="post" action="notes" {
                    button.primary { "New note" }
                }
            }
            div #kept hidden {
                @if let Some(open) = wanted.open { input type="hidden" name="open" value=(open); }
            }
            nav #list aria-label=(if wanted.trash { "Notes in the trash" } else { "Notes" })
                hx-get="list" hx-trigger="sse:notes" hx-include="#sought, #kept" {
                (rows(app, wanted)?)
            }
        }
    })
}

fn rows(app: &App, wanted: &Wanted) -> Answer<Markup> {
    let unsynced = app.vault.unsynced_notes()?;
    let all = app.vault.list()?;
    let trashed = all.iter().filter(|note| note.trashed).count();
    let said = said(app, wanted)?;
    let is_found = |note: &&Listed| wanted.has(note) || said.contains_key(&note.note);
    let mut found: Vec<&Listed> = all.iter().filter(is_found).collect();
    found.sort_by_key(|note| (!wanted.has(note), Reverse((note.updated, note.note))));
    let query = wanted.query();
    Ok(html! {
        @if found.is_empty() {
            p.empty {
                @if !wanted.q.is_empty() { "No note says that." }
                @else if wanted.trash { "The trash is empty." }
                @else { "No notes yet." }
            }
        }
        ul.rows {
            @for note in found.iter().take(MOST) {
                li {
                    a id={ "to-" (note.note) } href={ "note/" (note.note) (query) }
                        aria-current=[(wanted.open == Some(note.note)).then_some("page")] {
                        span.title { (called(&note.title)) }
                        @if let Some(Some(excerpt)) = said.get(&note.note).filter(|_| !wanted.has(note)) {
                            span.said { (marked(excerpt)) }
                        }
                        span.meta { (time(note.updated)) (badges(note, &unsynced)) }
                    }
                }
            }
        }
        @if found.len() > MOST {
            p.more {
                // How many say what is looked for was not counted.
                @if wanted.q.is_empty() { "and " (count(found.len() - MOST, "more note")) ": type to search" }
                @else { "and more notes: type more" }
            }
        }
        @if wanted.trash {
            p.more { a href="./" { "Back to all notes" } }
        } @else if trashed > 0 {
            p.more { a href="./?trash=true" { "Trash (" (trashed) ")" } }
        }
    })
}

/// Where notes say in their texts what is looked for.
fn said(app: &App, wanted: &Wanted) -> Answer<BTreeMap<NoteId, Option<Excerpt>>> {
    let is_meant = |entry: &Entry| entry.digest.trashed == wanted.trash;
    // One more than is shown says that there are more.
    let found = match app.vault.search_in(&wanted.q, Some(MOST + 1), is_meant) {
        // With nothing to look for all are listed.
        Err(VaultError::Query(_)) => Vec::new(),
        found => found?,
    };
    Ok(found.into_iter().map(|found| (found.listed.note, found.excerpt)).collect())
}

fn marked(excerpt: &Excerpt) -> Markup {
    html! {
        @for Piece { text, found } in &excerpt.pieces {
            @if *found { mark { (text) } } @else { (text) }
        }
    }
}

fn called(title: &str) -> &str {
    if title.is_empty() { "Untitled" } else { title }
}

fn badges(note: &Listed, unsynced: &BTreeSet<NoteId>) -> Markup {
    html! {
        @if unsynced.contains(&note.note) { span.badge.unsynced { "not synced" } }
        @if note.pending_images > 0 {
            span.badge.waiting { (count(note.pending_images as u64, "image")) " waiting" }
        }
    }
}

pub(super) async fn page(
    State(app): Shared,
    Path(note): Path<NoteId>,
    Query(wanted): Query<Wanted>,
) -> Answer<Markup> {
    layout::page(&app, move |app| {
        let reading = app.vault.read(note, None)?;
        let wanted = Wanted { open: Some(note), ..wanted };
        let here = format!("note/{note}");
        let listed = listed(app, note)?;
        let query = Wanted { trash: listed.trashed, ..wanted.clone() }.query();
        let body = html! {
            div.notes {
                (sidebar(app, &wanted)?)
                main #main tabindex="-1" {
                    article.note.editing[wanted.edit] aria-labelledby="note-title" {
                        div.bar {
                            a.back href={ "./" (query) } { "‹ Notes" }
                            div #head hx-get={ (here) "/head" } hx-trigger="sse:notes, sse:images" {
                                (head_of(app, &listed)?)
                            }
                            div #actions.actions hx-get={ (here) "/actions?edit=" (wanted.edit) }
                                hx-trigger={ "sse:note-" (note) } { (actions(&listed, wanted.edit)) }
                        }
                        div.panes {
                            @if wanted.edit { (editor::pane(&reading)) }
                            div.reading {
                                section #shown.prose aria-label="The note as it reads" hx-disinherit="*"
                                    hx-get={ (here) "/shown" } hx-include="#history"
                                    hx-trigger={ "sse:note-" (note) ", sse:images" } {
                                    (history::pane(app, &reading)?)
                                }
                            }
                        }
                        (history::slider(app, note)?)
                    }
                }
            }
        };
        Ok(Page { tab: Tab::Notes, title: called(&listed.title).to_owned(), here, body })
    })
    .await
}

pub(super) async fn head(State(app): Shared, Path(note): Path<NoteId>) -> Answer<Markup> {
    app.ask(move |app| {
        let listed = listed(app, note)?;
        Ok(html! {
            title { (layout::title_of(called(&listed.title), &app.vault.device_name()?)) }
            (head_of(app, &listed)?)
        })
    })
    .await
}

/// What can be done with a note, which another window or device may have thrown away meanwhile.
pub(super) async fn acts(
    State(app): Shared,
    Path(note): Path<NoteId>,
    Query(wanted): Query<Wanted>,
) -> Answer<Markup> {
    app.ask(move |app| Ok(actions(&listed(app, note)?, wanted.edit))).await
}

fn listed(app: &App, note: NoteId) -> Answer<Listed> {
    let found = app.vault.listed(note)?;
    found.ok_or_else(|| VaultError::UnknownNote(note.to_string()).into())
}

fn actions(listed: &Listed, editing: bool) -> Markup {
    let here = format!("note/{}", listed.note);
    html! {
        @if listed.trashed {
            form method="post" action={ (here) "/restore" } { button { "Take out of the trash" } }
        } @else {
            @if editing { a.button.primary #done href=(here) { "Done" } }
            @else { a.button.primary #edit href={ (here) "?edit=true" } { "Edit" } }
            form method="post" action={ (here) "/trash" } { button { "Move to trash" } }
        }
    }
}

/// The title, how the note stands, and its pictures with how each stands.
fn head_of(app: &App, listed: &Listed) -> Answer<Markup> {
    let unsynced = app.vault.unsynced_notes()?;
    let pictures = app.vault.image_urls(listed.note)?;
    let states = app.vault.states_of(pictures.iter().map(|(image, _)| *image).collect())?;
    Ok(html! {
        h1 #note-title { (called(&listed.title)) }
        p.meta {
            @if let Some(path) = &listed.path { span.path { (path) } }
            span { "Changed " (time(listed.updated)) }
            @if unsynced.contains(&listed.note) { span.badge.unsynced { "not synced" } }
            @else { span.badge.uploaded { "synced" } }
            @if listed.trashed { span.badge.failed { "in the trash" } }
        }
        @if !pictures.is_empty() {
            ul.pictures aria-label="Its pictures" {
                @for (image, url) in &pictures {
                    @let state = states.get(image).copied();
                    // Another device may have put it on the remote, and said so by its URL.
                    @let state = if url.is_some() { Some(UploadState::Uploaded) } else { state };
                    li {
                        a href={ "images/" (image) } title={ "The life of image " (image.short()) } {
                            img src={ "image/" (image) } alt={ "Image " (image.short()) } loading="lazy";
                            (badge(state))
                        }
                    }
                }
            }
        }
    })
}

pub(super) async fn create(State(app): Shared) -> Answer<Redirect> {
    let note = app.ask(|app| Ok(app.vault.new_note(&NewNote::default())?)).await?;
    Ok(Redirect::to(&app.place(&format!("note/{note}?edit=true"))))
}

pub(super) async fn trash(State(app): Shared, Path(note): Path<NoteId>) -> Answer<Redirect> {
    set_trashed(&app, note, true).await
}

pub(super) async fn restore(State(app): Shared, Path(note): Path<NoteId>) -> Answer<Redirect> {
    set_trashed(&app, note, false).await
}

async fn set_trashed(app: &Arc<App>, note: NoteId, trashed: bool) -> Answer<Redirect> {
    app.ask(move |app| Ok(app.vault.set_trashed(note, trashed)?)).await?;
    Ok(Redirect::to(&app.place(&format!("note/{note}"))))
}

#[derive(Deserialize)]
pub(super) struct Link {
    from: NoteId,
    to: String,
}

/// Leads to the note that a link in another one means.
pub(super) async fn find(State(app): Shared, Query(link): Query<Link>) -> Answer<Response> {
    let found = app.ask(move |app| meant(app, &link)).await?;
    let note = found.ok_or_else(|| {
        Problem::refused(
            StatusCode::NOT_FOUND,
            "No note of this vault is called what the link says.",
        )
    })?;
    let location = app.place(&format!("note/{note}"));
    Ok((StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response())
}

fn meant(app: &App, link: &Link) -> Answer<Option<NoteId>> {
    let all = app.vault.list()?;
    let from = all.iter().find(|note| note.note == link.from).ok_or_else(guard::nothing)?;
    let path = resolve::relative(from.path.as_deref().unwrap_or_default(), &link.to);
    // What was thrown away is meant where nothing else is.
    let find = |is_meant: &dyn Fn(&Listed) -> bool| {
        let found = |trashed| all.iter().find(|note| note.trashed == trashed && is_meant(note));
        found(false).or_else(|| found(true)).map(|note| note.note)
    };
    // A wiki name is that of a file anywhere, without its ending, or a title.
    let by_name = |name: &str| {
        let file = format!("{name}.md");
        let ends = |path: &String| path == &file || path.ends_with(&format!("/{file}"));
        find(&|note| note.path.as_ref().is_some_and(ends) || note.title == name)
    };
    let by_path = path.and_then(|path| find(&|note| note.path.as_deref() == Some(&path)));
    let written = resolve::decoded(&link.to);
    // A title may have a `#` in it, which else leads to a part of the note, or to a part of that.
    let ends = std::iter::once(written.len()).chain(written.rmatch_indices('#').map(|(at, _)| at));
    let mut names = ends.filter_map(|end| written.get(..end)).map(str::trim);
    Ok(by_path.or_else(|| names.find_map(|name| by_name(name).filter(|_| !name.is_empty()))))
}
