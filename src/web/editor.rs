//! The editor: a draft is saved at the version that its author saw, and what others did meanwhile comes
//! back as splices, so that the text merges in place and the cursor stays.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, body::Body, extract::State};
use futures_util::TryStreamExt as _;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{
    Answer, Shared,
    asked::{Path, Query},
    lock,
};
use crate::{
    id::{ImageId, NoteId},
    images::Stored,
    note::{Body as Text, Heads, Target, markdown::destinations, splices_closely},
    resolve::decoded,
    vault::{Reading, VaultError},
};

/// What a person who writes sees, beside the note as it reads.
pub(super) fn pane(reading: &Reading) -> Markup {
    let Plain { text, .. } = Plain::of(&reading.body.source());
    html! {
        section.editor aria-label="Editor" {
            label.unseen for="text" { "Text of the note, in Markdown" }
            // A first line break would be the browser's, not the text's.
            textarea #text spellcheck="true" autocomplete="off" data-note=(reading.note)
                data-heads=(reading.heads) { "\n" (text) }
            div.bar {
                label.button for="file" { "Add pictures" }
                input #file.unseen type="file" accept="image/*" multiple;
                span.hint { "or paste or drop them" }
                span #told.hint role="status" {}
                span #saved { "Saved" }
            }
        }
    }
}

/// A draft as a page has it.
#[derive(Deserialize)]
pub(super) struct Draft {
    heads: String,
    text: String,
}

/// What came of a draft.
#[derive(Serialize)]
pub(super) struct Saved {
    /// The version that shows just the draft.
    at: String,
    /// The present version, in which what others did is merged.
    heads: String,
    /// What makes the present text of the draft.
    splices: Vec<Change>,
    /// How far the log was: events up to here are no news to this page.
    seq: u64,
}

/// A passage of a text, in UTF-16 units, and what comes in its place.
#[derive(Serialize)]
struct Change {
    start: usize,
    end: usize,
    text: String,
}

pub(super) async fn edit(
    State(app): Shared,
    Path(note): Path<NoteId>,
    Json(draft): Json<Draft>,
) -> Answer<Json<Saved>> {
    app.ask(move |app| {
        let unknown = || VaultError::UnknownNote(note.to_string());
        let base: Heads = draft.heads.parse().map_err(|_| unknown())?;
        let before = app.vault.read(note, Some(&base))?.body.source();
        let source = Plain::of(&before).edited(&before, &draft.text);
        let pictures = lock(&app.pictures).get(&note).cloned().unwrap_or_default();
        let at = app.vault.save_draft(note, &base, &source, &pictures)?.heads;
        let seq = *app.vault.follow().borrow();
        let now = app.vault.read(note, None)?;
        let merged = Plain::of(&now.body.source()).text;
        let saved = Saved {
            at: at.to_string(),
            heads: now.heads.to_string(),
            splices: changes(&draft.text, &merged),
            seq: seq.0,
        };
        Ok(Json(saved))
    })
    .await
}

/// What makes `after` of `before`, counted as browsers do.
fn changes(before: &str, after: &str) -> Vec<Change> {
    let mut units = Vec::with_capacity(before.len() + 1);
    let mut unit = 0;
    for c in before.chars() {
        units.push(unit);
        unit += c.len_utf16();
    }
    units.push(unit);
    let at = |index: usize| units.get(index).copied().unwrap_or(unit);
    let changes = splices_closely(before, after).into_iter();
    changes
        .map(|splice| Change {
            start: at(splice.range.start),
            end: at(splice.range.end),
            text: splice.text,
        })
        .collect()
}

/// A source as a text area has it: line breaks of all kinds are `\n` there, and it knows no NUL.
struct Plain {
    text: String,
    /// Where each character of the text begins in the source, in bytes, and where the last ends.
    places: Vec<usize>,
}

impl Plain {
    fn of(source: &str) -> Self {
        let (mut text, mut places) = (String::with_capacity(source.len()), Vec::new());
        let mut chars = source.char_indices().peekable();
        while let Some((place, c)) = chars.next() {
            if c == '\r' {
                chars.next_if(|(_, next)| *next == '\n');
            }
            text.push(match c {
                '\r' => '\n',
                '\0' => char::REPLACEMENT_CHARACTER,
                c => c,
            });
            places.push(place);
        }
        places.push(source.len());
        Self { text, places }
    }

    /// The source after an edit of this text to `draft`: what was not touched stays byte for byte.
    fn edited(&self, source: &str, draft: &str) -> String {
        if self.text == source {
            return draft.to_owned();
        }
        let crlf = source.contains("\r\n");
        let at = |index: usize| self.places.get(index).copied().unwrap_or(source.len());
        let (mut edited, mut end) = (String::with_capacity(draft.len()), 0);
        for splice in splices_closely(&self.text, draft) {
            join(&mut edited, source.get(end..at(splice.range.start)).unwrap_or_default());
            let text = if crlf { splice.text.replace('\n', "\r\n") } else { splice.text };
            join(&mut edited, &text);
            end = at(splice.range.end);
        }
        join(&mut edited, source.get(end..).unwrap_or_default());
        edited
    }
}

/// Appends a text, so that two line breaks that come to stand together stay two.
fn join(text: &mut String, more: &str) {
    if more.starts_with('\n') && text.ends_with('\r') {
        text.push('\r');
    }
    text.push_str(more);
}

#[derive(Deserialize)]
pub(super) struct Named {
    #[serde(default)]
    name: String,
}

/// A picture that was taken in, and what the text is to say for it to show.
#[derive(Serialize)]
pub(super) struct Taken {
    markdown: String,
}

/// Takes in the bytes of a picture. It is part of the note once the text that names it is saved.
pub(super) async fn picture(
    State(app): Shared,
    Path(note): Path<NoteId>,
    Query(named): Query<Named>,
    body: Body,
) -> Answer<Json<Taken>> {
    let stream = body.into_data_stream().map_err(std::io::Error::other);
    let mut reader = SyncIoBridge::new(StreamReader::new(Box::pin(stream)));
    app.ask(move |app| {
        let reading = app.vault.read(note, None)?;
        let stored = app.vault.images().ingest(&mut reader)?;
        let mut all = lock(&app.pictures);
        let pictures = all.entry(note).or_default();
        let name = free_name(&named.name, &stored, |name| {
            called(name, &reading, pictures).is_none_or(|image| image == stored.image)
        });
        pictures.insert(name.clone(), stored);
        let alt = alt(&named.name);
        Ok(Json(Taken { markdown: format!("![{alt}]({name})") }))
    })
    .await
}

/// A part of a note's text that is pasted into another.
#[derive(Deserialize)]
pub(super) struct Copied {
    /// The note that it was copied out of.
    from: NoteId,
    text: String,
}

/// Takes over the pictures of a text that was copied out of another note. They are part of this one once the text that
/// names them is saved.
pub(super) async fn paste(
    State(app): Shared,
    Path(note): Path<NoteId>,
    Json(Copied { from, text }): Json<Copied>,
) -> Answer<Json<Taken>> {
    app.ask(move |app| {
        let copied = app.vault.pictures_of(from, &text)?;
        let reading = app.vault.read(note, None)?;
        let standing = named(&reading.body.written());
        let mut all = lock(&app.pictures);
        // What was pasted there may not be saved yet.
        let unsaved = all.get(&from).cloned().unwrap_or_default();
        let pictures = all.entry(note).or_default();
        let mut targets = BTreeMap::new();
        for name in named(&text) {
            let Some(stored) = copied.get(&name).or_else(|| unsaved.get(&name)) else { continue };
            // What stands there as text would become this picture.
            let is_free = |name: &str| match called(name, &reading, pictures) {
                Some(image) => image == stored.image,
                None => standing.iter().all(|other| decoded(other) != decoded(name)),
            };
            let free =
                if is_free(&name) { name.clone() } else { free_name(&name, stored, is_free) };
            pictures.insert(free.clone(), *stored);
            targets.insert(name, Target { image: stored.image, path: None, name: Some(free) });
        }
        let text = Text::parse(&text, |destination| targets.get(&destination.target).cloned());
        Ok(Json(Taken { markdown: text.written().into_owned() }))
    })
    .await
}

/// The name of a file without its ending; empty where it says nothing, as that of a pasted picture.
fn stem(name: &str) -> &str {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    if stem.eq_ignore_ascii_case("image") { "" } else { stem }
}

/// What a picture shows, as far as its name says.
fn alt(name: &str) -> String {
    let plain = |c: char| if c.is_control() || "[]\\`<>".contains(c) { ' ' } else { c };
    stem(name).chars().take(80).map(plain).collect::<String>().trim().to_owned()
}

/// A name that is free, and needs no escape in any syntax.
fn free_name(name: &str, stored: &Stored, is_free: impl Fn(&str) -> bool) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let short: String = stem(name).chars().take(60).map(plain).collect();
    let short = short.trim_matches('-');
    let (extension, hash) = (stored.media_type.extension(), stored.image.short());
    let wanted = format!("{short}.{extension}");
    if !short.is_empty() && is_free(&wanted) {
        return wanted;
    }
    let short = if short.is_empty() { "picture" } else { short };
    format!("{short}-{hash}.{extension}")
}

/// The picture that a name stands for in a note, or in what is being written there.
fn called(name: &str, reading: &Reading, pictures: &BTreeMap<String, Stored>) -> Option<ImageId> {
    let before = pictures.get(name).map(|picture| picture.image);
    before.or_else(|| {
        let found = reading.body.embeds().find(|embed| decoded(&embed.name) == decoded(name));
        found.map(|embed| embed.image)
    })
}

/// All that a text names as images.
fn named(text: &str) -> BTreeSet<String> {
    destinations(text).into_iter().map(|destination| destination.target).collect()
}
