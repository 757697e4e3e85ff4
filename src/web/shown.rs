//! A note as it reads: sanitised HTML in which every picture is the local file until it has a URL.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

use ammonia::{Builder, UrlRelative};
use maud::{Markup, PreEscaped, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::App;
use crate::{
    id::{ImageId, NoteId},
    note::markdown::{front_matter, to_html},
    vault::{Reading, VaultError},
};

/// What the path of a local image begins with, under the prefix of all pages.
const LOCAL: &str = "image/";

/// Shows a reading.
pub(super) fn shown(app: &App, reading: &Reading) -> Result<Markup, VaultError> {
    let known = app.vault.image_urls(reading.note)?.into_iter();
    let urls: BTreeMap<ImageId, String> =
        known.filter_map(|(image, url)| Some((image, url?))).collect();
    // The hash fits every syntax; what the picture is shown from is decided in the HTML.
    let local = |image: ImageId| format!("{LOCAL}{image}");
    let source = reading.body.render(|embed, syntax| syntax.map(|_| local(embed.image)));
    let front = source.get(front_matter(&source)).unwrap_or_default().trim();
    Ok(html! {
        @if !front.is_empty() {
            details.front { summary { "Properties" } pre tabindex="0" { (front) } }
        }
        (PreEscaped(sanitised(&to_html(&source), reading.note, urls)))
    })
}

/// Leaves of the HTML what can do no harm: no scripts, styles, forms or frames, no attribute that the
/// page itself would act on, and no address that is neither a picture nor a link.
fn sanitised(html: &str, note: NoteId, urls: BTreeMap<ImageId, String>) -> String {
    let schemes = HashSet::from(["http", "https", "mailto", "data"]);
    let filter = move |element: &str, attribute: &str, value: &str| match (element, attribute) {
        ("img", "src") => picture(value, &urls),
        ("a", "href") => link(value, note),
        (_, "src" | "href" | "cite") => None,
        _ => Some(value.to_owned()),
    };
    Builder::default()
        .url_schemes(schemes)
        .url_relative(UrlRelative::PassThrough)
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_value("img", "loading", "lazy")
        .attribute_filter(move |element, attribute, value| {
            filter(element, attribute, value).map(Cow::Owned)
        })
        .clean(html)
        .to_string()
}

/// What a picture is shown from.
fn picture(value: &str, urls: &BTreeMap<ImageId, String>) -> Option<String> {
    if let Some(image) = value.strip_prefix(LOCAL).and_then(|hex| hex.parse::<ImageId>().ok()) {
        let url = urls.get(&image).filter(|url| is_web(url));
        return Some(url.cloned().unwrap_or_else(|| value.to_owned()));
    }
    let kinds = ["png", "jpeg", "gif", "webp", "avif"];
    let inline = |kind: &&str| value.starts_with(&format!("data:image/{kind};base64,"));
    (is_web(value) || kinds.iter().any(inline)).then(|| value.to_owned())
}

/// Where a link leads: elsewhere, or to the note that a relative path or a wiki name means.
fn link(value: &str, note: NoteId) -> Option<String> {
    if is_web(value) || value.starts_with("mailto:") {
        return Some(value.to_owned());
    }
    // No document of this origin is reached by a path that a note gives.
    let scheme = value.split(['/', '?', '#']).next().is_some_and(|start| start.contains(':'));
    if scheme || value.starts_with(['#', '/']) || value.is_empty() {
        return None;
    }
    Some(format!("find?from={note}&to={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
}

/// Whether an address, which another device may have written, leads to the web and nowhere else.
pub(super) fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}
