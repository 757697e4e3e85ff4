//! What people call a note.

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::{front_matter, options};

/// The longest title, in code points.
const LONGEST: usize = 200;

/// The front matter's `title`, else the first heading, else the first line with text.
///
/// Without markup, at most 200 code points.
#[must_use]
pub fn title(source: &str) -> Option<String> {
    title_by(source, heading_or_line)
}

/// What [`title`] finds, in a source that is always read to its end; for tests.
#[doc(hidden)]
#[must_use]
pub fn title_read(source: &str) -> Option<String> {
    title_by(source, first_line)
}

fn title_by(source: &str, find: fn(&str) -> Option<String>) -> Option<String> {
    let front = front_matter(source);
    let named = source.get(front.clone()).and_then(yaml_title);
    let found = named.or_else(|| {
        let text = source.get(front.end..)?;
        // A source may come from anybody; a panic of the parser must not take the note with it.
        std::panic::catch_unwind(|| find(text)).ok().flatten()
    })?;
    Some(found.chars().take(LONGEST).collect::<String>().trim_end().to_owned())
}

/// The value of a plain or quoted `title:` at the top level.
fn yaml_title(front: &str) -> Option<String> {
    let value = front.lines().find_map(|line| line.strip_prefix("title:"))?.trim();
    let quoted = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote)));
    let title = quoted.unwrap_or(value).trim();
    let structured =
        quoted.is_none() && title.starts_with(['|', '>', '[', '{', '&', '*', '!', '#']);
    (!title.is_empty() && !structured).then(|| title.to_owned())
}

fn heading_or_line(text: &str) -> Option<String> {
    // The whole text would be taken apart into blocks before the first is told.
    opening_heading(text).and_then(first_line).or_else(|| first_line(text))
}

/// The line of a `# heading` with which a text begins, if nothing else in the text has a say in what it
/// is: a label in brackets may be defined anywhere.
fn opening_heading(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(['\n', '\r']);
    let line = text.get(..text.find(['\n', '\r'])?)?;
    let content = line.trim_start_matches('#');
    let is_heading = (1..=6).contains(&(line.len() - content.len()))
        && content.starts_with(' ')
        && !content.contains('[');
    is_heading.then_some(line)
}

fn first_line(text: &str) -> Option<String> {
    let (mut line, mut first, mut heading) = (String::new(), None, false);
    for event in Parser::new_ext(text, options()) {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                heading = true;
                line.clear();
            }
            Event::Text(text) | Event::Code(text) if line.len() < 4 * LONGEST => {
                line.push_str(&text);
            }
            Event::SoftBreak | Event::HardBreak if heading => line.push(' '),
            Event::SoftBreak | Event::HardBreak => keep(&mut first, &mut line),
            Event::End(TagEnd::Heading(_)) => {
                heading = false;
                if !line.trim().is_empty() {
                    return Some(line.trim().to_owned());
                }
            }
            Event::End(
                TagEnd::Paragraph | TagEnd::Item | TagEnd::TableCell | TagEnd::CodeBlock,
            ) => {
                keep(&mut first, &mut line);
            }
            _ => {}
        }
    }
    keep(&mut first, &mut line);
    first
}

/// Takes `line` for the first with text, if there is none yet.
fn keep(first: &mut Option<String>, line: &mut String) {
    if first.is_none() {
        *first = line.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    }
    line.clear();
}
