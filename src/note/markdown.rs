//! Finds where Markdown source names an image.
//!
//! `CommonMark` with tables, strikethrough and footnotes, HTML images, and Obsidian's `![[…]]`. Nothing is
//! normalised: a [`Destination`] says which bytes of the source name the image.

mod front_matter;
mod html;
#[cfg(feature = "html")]
mod render;
mod title;
mod wiki;

use std::{collections::BTreeMap, ops::Range};

use pulldown_cmark::{Event, LinkType, OffsetIter, Options, Parser, Tag, TagEnd};

pub use front_matter::front_matter;
#[cfg(feature = "html")]
pub use render::to_html;
pub use title::{title, title_read};

/// How an image is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Syntax {
    /// `![alt](destination)`
    Inline,
    /// `[label]: destination`, which `![alt][label]` uses.
    Reference,
    /// `<img src="destination">`
    HtmlSrc,
    /// One candidate of `srcset="destination 2x, …"` in an `<img>` or a `<source>`.
    HtmlSrcset,
    /// `![[destination|size]]`
    Wiki,
}

/// The bytes of a source that name an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Where it stands, in bytes: the destination as written, without brackets, quotes or size.
    pub range: Range<usize>,
    /// What it says: without escapes and entities, not percent-decoded; a wiki name keeps its `#…`.
    pub target: String,
    /// How it is written.
    pub syntax: Syntax,
    /// The images that show it, each from its first to its last byte, in the order of the source.
    /// There is one, except for a reference definition.
    pub uses: Vec<Range<usize>>,
}

impl Destination {
    fn once(range: Range<usize>, target: String, syntax: Syntax, shown: Range<usize>) -> Self {
        Self { range, target, syntax, uses: vec![shown] }
    }

    fn moved(mut self, by: usize) -> Self {
        for range in self.uses.iter_mut().chain([&mut self.range]) {
            *range = range.start + by..range.end + by;
        }
        self
    }
}

/// Every image destination of `source`, by its place; none overlaps another.
///
/// What stands in code, HTML comments or front matter names no image. A destination whose bytes can't
/// be told for certain (one broken over lines, say) is left out. Takes time in proportion to the source.
#[must_use]
pub fn destinations(source: &str) -> Vec<Destination> {
    if names_none(source) {
        return Vec::new();
    }
    destinations_read(source)
}

/// What [`destinations`] finds, in a source that is always read, whatever stands in it; for tests.
#[doc(hidden)]
#[must_use]
pub fn destinations_read(source: &str) -> Vec<Destination> {
    let start = front_matter(source).end;
    let text = source.get(start..).unwrap_or_default();
    // A source may come from anybody; a panic of the parser must not take the note with it.
    let found = std::panic::catch_unwind(|| Scan::new(text).run()).unwrap_or_default();
    found.into_iter().map(|destination| destination.moved(start)).collect()
}

/// Whether a glance shows that a source names no image: every one begins with `![`, `<img` or `<source`.
fn names_none(source: &str) -> bool {
    let is_tag = |name: &[u8], rest: &[u8]| {
        rest.get(..name.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(name))
    };
    let mut tags = source.match_indices('<').filter_map(|(at, _)| source.as_bytes().get(at + 1..));
    !source.contains("![") && !tags.any(|rest| is_tag(b"img", rest) || is_tag(b"source", rest))
}

fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES
}

/// One pass over the events of a text without front matter.
struct Scan<'a> {
    text: &'a str,
    found: Vec<Destination>,
    /// Reference definitions that an image uses, by the start of the definition.
    references: BTreeMap<usize, Destination>,
    /// The image around the current event; an image inside an image's alt text is not shown.
    image: Option<Image>,
    depth: usize,
    /// The HTML block around the current event.
    html: Option<html::Fragment>,
    code: bool,
    autolink: bool,
    wiki: wiki::Places,
}

struct Image {
    range: Range<usize>,
    kind: LinkType,
    target: String,
    label: String,
    /// The end of what is known to belong to the alt text.
    alt_end: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            found: Vec::new(),
            references: BTreeMap::new(),
            image: None,
            depth: 0,
            html: None,
            code: false,
            autolink: false,
            wiki: wiki::Places::default(),
        }
    }

    fn run(mut self) -> Vec<Destination> {
        let mut events = Parser::new_ext(self.text, options()).into_offset_iter();
        while let Some((event, range)) = events.next() {
            if let Some(image) = &mut self.image
                && !matches!(event, Event::End(TagEnd::Image))
            {
                image.alt_end = image.alt_end.max(range.end);
            }
            match event {
                Event::Start(tag) => self.start(tag, range),
                Event::End(tag) => self.end(tag, &events),
                Event::Text(_) if !self.code && !self.autolink => self.wiki.text(range),
                Event::Html(html) => {
                    if let Some(block) = &mut self.html {
                        block.push(self.text, &html, range);
                    }
                }
                Event::InlineHtml(html) if self.image.is_none() => {
                    let mut fragment = html::Fragment::default();
                    fragment.push(self.text, &html, range);
                    fragment.destinations(self.text, &mut self.found);
                }
                _ => {}
            }
        }
        self.finish()
    }

    fn start(&mut self, tag: Tag<'_>, range: Range<usize>) {
        match tag {
            Tag::CodeBlock(_) => self.code = true,
            Tag::HtmlBlock => self.html = Some(html::Fragment::default()),
            Tag::Table(_) => self.wiki.table(range),
            Tag::Link { link_type: LinkType::Autolink | LinkType::Email, .. } => {
                self.autolink = true;
            }
            Tag::Link { .. } => self.wiki.text(range.start..range.start + 1),
            Tag::Image { link_type, dest_url, id, .. } => {
                self.wiki.text(range.start..range.start + 2);
                self.depth += 1;
                if self.image.is_none() {
                    self.image = Some(Image {
                        alt_end: range.start + 2,
                        range,
                        kind: link_type,
                        target: dest_url.into_string(),
                        label: id.into_string(),
                    });
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd, events: &OffsetIter<'_>) {
        match tag {
            TagEnd::CodeBlock => self.code = false,
            TagEnd::Link => self.autolink = false,
            TagEnd::HtmlBlock => {
                if let Some(block) = self.html.take() {
                    block.destinations(self.text, &mut self.found);
                }
            }
            TagEnd::Image => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0
                    && let Some(image) = self.image.take()
                {
                    self.wiki.image(image.range.clone());
                    self.shown(image, events);
                }
            }
            _ => {}
        }
    }

    /// Notes the destination of an image that has come to its end.
    fn shown(&mut self, mut image: Image, events: &OffsetIter<'_>) {
        // The parser's range of `![label][]` ends before the empty brackets.
        let rest = self.text.get(image.range.end..).unwrap_or_default();
        if image.kind == LinkType::Collapsed && rest.starts_with("[]") {
            image.range.end += 2;
        }
        if image.kind == LinkType::Inline {
            if let Some(range) = inline_destination(self.text, &image) {
                self.found.push(Destination::once(
                    range,
                    image.target,
                    Syntax::Inline,
                    image.range,
                ));
            }
            return;
        }
        let Some(definition) = events.reference_definitions().get(&image.label) else { return };
        if let Some(known) = self.references.get_mut(&definition.span.start) {
            known.uses.push(image.range);
        } else if let Some(range) =
            defined_destination(self.text, &definition.span, &definition.dest)
        {
            let target = definition.dest.to_string();
            self.references.insert(
                definition.span.start,
                Destination::once(range, target, Syntax::Reference, image.range),
            );
        }
    }

    /// Adds what needed the whole text, and puts all in order.
    fn finish(mut self) -> Vec<Destination> {
        let embeds = self.wiki.embeds(self.text);
        let inside = |range: &Range<usize>| {
            let next = embeds.partition_point(|embed| embed.shown.start <= range.start);
            next.checked_sub(1)
                .and_then(|before| embeds.get(before))
                .is_some_and(|embed| range.start < embed.shown.end)
        };
        self.found.retain(|other| other.uses.first().is_none_or(|shown| !inside(shown)));
        for reference in self.references.values_mut() {
            reference.uses.retain(|shown| !inside(shown));
        }
        self.found.extend(self.references.into_values().filter(|one| !one.uses.is_empty()));
        self.found.extend(
            embeds.into_iter().map(|embed| {
                Destination::once(embed.name, embed.target, Syntax::Wiki, embed.shown)
            }),
        );
        self.found.sort_by_key(|destination| (destination.range.start, destination.range.end));
        let mut end = 0;
        self.found.retain(|destination| {
            let apart = destination.range.start >= end;
            end = end.max(destination.range.end);
            apart
        });
        self.found
    }
}

/// Where the destination of `![…](destination …)` stands.
fn inline_destination(text: &str, image: &Image) -> Option<Range<usize>> {
    let rest = text.get(image.alt_end..image.range.end)?;
    let open = image.alt_end + rest.find("](")? + 2;
    written(text.get(..image.range.end)?, open, &image.target)
}

/// Where the destination of `[label]: destination …` stands.
fn defined_destination(
    text: &str,
    definition: &Range<usize>,
    target: &str,
) -> Option<Range<usize>> {
    let text = text.get(..definition.end)?;
    let open = definition.start + text.get(definition.start..)?.find('[')? + 1;
    let mut label = text.get(open..)?.char_indices();
    while let Some((index, character)) = label.next() {
        match character {
            '\\' => drop(label.next()),
            ']' => {
                let colon = open + index + 1;
                return text
                    .get(colon..)?
                    .starts_with(':')
                    .then(|| colon + 1)
                    .and_then(|at| written(text, at, target));
            }
            _ => {}
        }
    }
    None
}

/// The destination after `at`, where it says `target`: behind white space, of which one line ending may
/// be followed by the marks of the blocks that it stands in.
fn written(text: &str, at: usize, target: &str) -> Option<Range<usize>> {
    let rest = text.get(at..)?;
    let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    let marks = if rest.get(..blank)?.contains(['\n', '\r']) {
        rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n', '>']).len()
    } else {
        blank
    };
    [blank, marks].into_iter().find_map(|skip| {
        let range = link_destination(text, at + skip)?;
        (unescaped(text.get(range.clone())?)? == target).then_some(range)
    })
}

/// The link destination that begins at `at`, by `CommonMark`'s rules, without its pointed brackets.
fn link_destination(text: &str, at: usize) -> Option<Range<usize>> {
    let mut bytes = text.as_bytes().get(at..)?.iter().copied().enumerate().peekable();
    let pointed = bytes.next_if(|(_, byte)| *byte == b'<').is_some();
    let mut open = 0_usize;
    while let Some((index, byte)) = bytes.next() {
        let end = at + index;
        match (byte, pointed) {
            (b'\\', _) => drop(bytes.next_if(|(_, next)| next.is_ascii_punctuation())),
            (b'>', true) => return Some(at + 1..end),
            (b'\n' | b'\r' | b'<', true) => return None,
            (0..=b' ', false) => return Some(at..end),
            (b'(', false) => open += 1,
            (b')', false) if open == 0 => return Some(at..end),
            (b')', false) => open -= 1,
            _ => {}
        }
    }
    (!pointed).then_some(at..text.len())
}

/// What a destination says that is written so: the parser's own answer.
fn unescaped(raw: &str) -> Option<String> {
    if !raw.contains(['\\', '&']) {
        return Some(raw.to_owned());
    }
    // Between pointed brackets all may stand but themselves, which a plain destination may hold.
    let image =
        if raw.contains(['<', '>']) { format!("![]({raw})") } else { format!("![](<{raw}>)") };
    Parser::new(&image).find_map(|event| match event {
        Event::Start(Tag::Image { dest_url, .. }) => Some(dest_url.into_string()),
        _ => None,
    })
}
