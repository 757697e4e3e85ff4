//! Markdown as HTML, for whoever shows it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, html};

use super::{front_matter, options};

/// What the name in a wiki link has to hide from an address.
const NAME: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'#').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The HTML of a source, without its front matter. What the source says in HTML is passed on as it is,
/// so whoever shows this has to sanitise it.
///
/// Wiki embeds are images here, and wiki links are links to the names in them, percent-encoded.
#[must_use]
pub fn to_html(source: &str) -> String {
    let text = source.get(front_matter(source).end..).unwrap_or_default();
    // A source may come from anybody; a panic of the parser must not take the page with it.
    std::panic::catch_unwind(|| rendered(text)).unwrap_or_default()
}

fn rendered(text: &str) -> String {
    let options = options()
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_WIKILINKS;
    let mut parser = Parser::new_ext(text, options);
    let mut events = Vec::new();
    while let Some(event) = parser.next() {
        match event {
            Event::Start(Tag::Image {
                link_type: LinkType::WikiLink { has_pothole },
                dest_url,
                ..
            }) => {
                let label = label(&mut parser);
                events.push(Event::InlineHtml(embed(&dest_url, &label, has_pothole).into()));
            }
            Event::Start(Tag::Link {
                link_type: link_type @ LinkType::WikiLink { .. },
                dest_url,
                title,
                id,
            }) => {
                // A name, in which `:` begins no address.
                let dest_url = utf8_percent_encode(&dest_url, NAME).to_string().into();
                events.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
            }
            Event::TaskListMarker(done) => {
                events.push(Event::Text(CowStr::from(if done { "☑ " } else { "☐ " })));
            }
            event => events.push(event),
        }
    }
    let mut out = String::with_capacity(text.len() * 3 / 2);
    html::push_html(&mut out, events.into_iter());
    out
}

/// The text up to the end of the image that was begun.
fn label(parser: &mut Parser<'_>) -> String {
    let (mut text, mut depth) = (String::new(), 1);
    for event in parser {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(end) => {
                depth -= 1;
                if depth == 0 && end == TagEnd::Image {
                    break;
                }
            }
            Event::Text(part) | Event::Code(part) => text.push_str(&part),
            _ => {}
        }
    }
    text
}

/// A wiki embed as an image; behind `|` stands its width, its size, or what it shows.
fn embed(destination: &str, label: &str, labelled: bool) -> String {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (width, height) = label.split_once('x').map_or((label, None), |(w, h)| (w, Some(h)));
    let sized = labelled && is_number(width) && height.is_none_or(is_number);
    let size = |name, value| format!(" {name}=\"{value}\"");
    let size = match height {
        Some(height) if sized => size("width", width) + &size("height", height),
        None if sized => size("width", width),
        _ => String::new(),
    };
    let alt = if labelled && !sized { label } else { "" };
    format!("<img src=\"{}\"{size} alt=\"{}\">", escaped(destination), escaped(alt))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}
