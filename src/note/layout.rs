//! How a body is shown: as it is, but for embeds side by side and embeds that stand bare.
//!
//! The first of embeds side by side stands in the markup that is there. For each other one the image
//! around it is repeated behind it; for a reference definition, an inline image behind each of its uses.
//! An embed whose markup a merge took away (see `bare`) gets that of a plain image. Such repeated text has
//! no place in the document: whatever edits a body must know which text is which.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ops::Range,
};

use super::{
    bare,
    embed::{Body, Embed, FOREIGN, Piece},
    markdown::{self, Destination, Syntax},
};

/// Repeated text of a body is bounded by this and four times its size; what goes beyond is repeated bare.
const REPEATED: usize = 64 * 1024;

/// What is shown, in order.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) segments: Vec<Segment<'a>>,
}

/// A stretch of what is shown.
#[derive(Debug, Clone)]
pub(super) struct Segment<'a> {
    pub(super) show: Show<'a>,
    /// Its place in the body, counted in code points and embeds; `None` where it is repeated text.
    pub(super) origin: Option<usize>,
    /// The repeated image that it belongs to.
    pub(super) copy: Option<Copy>,
}

/// What markup was repeated for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copy {
    /// The place in the body of the embed.
    pub(super) embed: usize,
    /// Whether it is shown where it stands in the body, because it stands bare.
    pub(super) in_place: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Show<'a> {
    Text(Cow<'a, str>),
    Embed(&'a Embed, Option<Syntax>),
    Foreign,
}

impl Show<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Embed(embed, _) => embed.name.len(),
            Self::Foreign => FOREIGN.len_utf8(),
        }
    }
}

impl<'a> Layout<'a> {
    /// Lays `body` out. Only `with_syntax` are embeds sure to know what they stand in.
    pub(super) fn of(body: &'a Body, with_syntax: bool) -> Self {
        let flow = Flow::of(body, &HashSet::new());
        let suspects = flow.suspects();
        let has_embeds = flow.embeds().next().is_some();
        if flow.others.is_empty() && suspects.is_empty() && !(with_syntax && has_embeds) {
            return Self { segments: flow.segments };
        }
        let names = flow.text();
        let found = markdown::destinations(&names);
        let bare = &suspects - &flow.images(&found);
        if bare.is_empty() {
            return flow.laid_out(&names, &found);
        }
        // In code, in a comment or behind a backslash no markup would make an image of it.
        let trial = Flow::of(body, &bare);
        let found = markdown::destinations(&trial.text());
        let flow = Flow::of(body, &(&bare & &trial.images(&found)));
        let names = flow.text();
        flow.laid_out(&names, &markdown::destinations(&names))
    }

    /// The places in the body of the embeds that stand bare.
    pub(super) fn bare(&self) -> HashSet<usize> {
        let copies = self.segments.iter().filter_map(|segment| segment.copy);
        copies.filter(|copy| copy.in_place).map(|copy| copy.embed).collect()
    }

    pub(super) fn shows(&self) -> impl Iterator<Item = &Show<'a>> {
        self.segments.iter().map(|segment| &segment.show)
    }

    /// The text that shows it, with the destinations that `destination` puts for names.
    pub(super) fn text(
        &self,
        mut destination: impl FnMut(&Embed, Option<Syntax>) -> Option<String>,
    ) -> String {
        let mut text = String::new();
        for show in self.shows() {
            match show {
                Show::Embed(embed, syntax) => match destination(embed, *syntax) {
                    Some(other) => text.push_str(&other),
                    None => text.push_str(&embed.name),
                },
                other => text.push_str(other.name()),
            }
        }
        text
    }
}

impl Show<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Embed(embed, _) => &embed.name,
            Self::Foreign => "\u{fffc}",
        }
    }
}

/// A body without the second and following of embeds side by side.
struct Flow<'a> {
    segments: Vec<Segment<'a>>,
    /// Where each segment begins in the text of all.
    starts: Vec<usize>,
    length: usize,
    /// The other embeds, by the index of the segment whose place they share.
    others: Vec<(usize, Vec<Other<'a>>)>,
}

#[derive(Clone, Copy)]
struct Other<'a> {
    embed: &'a Embed,
    origin: usize,
}

/// What is shown behind a place of the text.
struct Insertion<'a> {
    at: usize,
    segments: Vec<Segment<'a>>,
}

impl<'a> Flow<'a> {
    /// The flow of `body`, with markup around the embeds at the places `bare`.
    fn of(body: &'a Body, bare: &HashSet<usize>) -> Self {
        let mut flow =
            Self { segments: Vec::new(), starts: Vec::new(), length: 0, others: Vec::new() };
        let (mut origin, mut first) = (0, None);
        for piece in body.pieces() {
            let show = match (piece, first) {
                (Piece::Embed(embed), Some(first)) => {
                    flow.share(first, Other { embed, origin });
                    origin += 1;
                    continue;
                }
                (Piece::Embed(embed), None) => Show::Embed(embed, None),
                (Piece::Text(text), _) => Show::Text(Cow::Borrowed(text)),
                (Piece::Foreign, _) => Show::Foreign,
            };
            let units = units(&show);
            first = match show {
                Show::Embed(embed, _) if bare.contains(&origin) => {
                    Some(flow.push_bare(embed, origin))
                }
                Show::Embed(..) => Some(flow.push(show, Some(origin), None)),
                _ => {
                    flow.push(show, Some(origin), None);
                    None
                }
            };
            origin += units;
        }
        flow
    }

    /// Appends a segment and gives its index.
    fn push(&mut self, show: Show<'a>, origin: Option<usize>, copy: Option<Copy>) -> usize {
        self.starts.push(self.length);
        self.length += show.len();
        self.segments.push(Segment { show, origin, copy });
        self.segments.len() - 1
    }

    fn push_bare(&mut self, embed: &'a Embed, origin: usize) -> usize {
        let (open, close) = bare::markup(&embed.name);
        let copy = Some(Copy { embed: origin, in_place: true });
        self.push(Show::Text(Cow::Owned(open.to_owned())), None, copy);
        let index = self.push(Show::Embed(embed, None), Some(origin), copy);
        self.push(Show::Text(Cow::Owned(close.to_owned())), None, copy);
        index
    }

    fn share(&mut self, first: usize, other: Other<'a>) {
        match self.others.last_mut() {
            Some((of, others)) if *of == first => others.push(other),
            _ => self.others.push((first, vec![other])),
        }
    }

    fn text(&self) -> String {
        self.segments.iter().map(|segment| segment.show.name()).collect()
    }

    /// The embeds, each with where it begins in the text and its place in the body.
    fn embeds(&self) -> impl Iterator<Item = (&'a Embed, usize, usize)> {
        self.segments.iter().zip(&self.starts).filter_map(|(segment, start)| match segment {
            Segment { show: Show::Embed(embed, _), origin: Some(origin), .. } => {
                Some((*embed, *start, *origin))
            }
            _ => None,
        })
    }

    /// The places in the body of the embeds that no destination seems to begin before.
    fn suspects(&self) -> HashSet<usize> {
        if self.segments.iter().all(|segment| !matches!(segment.show, Show::Embed(..))) {
            return HashSet::new();
        }
        let text = self.text();
        let embeds = self.embeds().filter(|(_, start, _)| {
            text.get(..*start).is_some_and(|before| !bare::begins_destination(before))
        });
        embeds.map(|(_, _, origin)| origin).collect()
    }

    /// The places in the body of the embeds that are among the destinations `found`.
    fn images(&self, found: &[Destination]) -> HashSet<usize> {
        let found: HashSet<_> = found.iter().map(|one| (one.range.start, one.range.end)).collect();
        let embeds = self
            .embeds()
            .filter(|(embed, start, _)| found.contains(&(*start, start + embed.name.len())));
        embeds.map(|(_, _, origin)| origin).collect()
    }

    fn laid_out(mut self, text: &str, found: &[Destination]) -> Layout<'a> {
        let by_start: HashMap<usize, &Destination> =
            found.iter().map(|destination| (destination.range.start, destination)).collect();
        let starts = std::mem::take(&mut self.starts);
        let mut place = HashMap::new();
        for (index, (segment, start)) in self.segments.iter_mut().zip(&starts).enumerate() {
            if let Show::Embed(embed, syntax) = &mut segment.show
                && let Some(destination) = by_start.get(start)
                && destination.range.len() == embed.name.len()
            {
                *syntax = Some(destination.syntax);
                place.insert(index, *destination);
            }
        }
        self.starts = starts;
        let mut insertions = Vec::new();
        let mut budget = REPEATED + 4 * text.len();
        for (index, others) in std::mem::take(&mut self.others) {
            for other in others {
                match place.get(&index) {
                    Some(destination) => {
                        self.repeat(text, destination, other, &mut budget, &mut insertions);
                    }
                    None => insertions.push(Insertion {
                        at: self.end(index),
                        segments: vec![other.shown(Some(other.origin), None)],
                    }),
                }
            }
        }
        insertions.sort_by_key(|insertion| insertion.at);
        self.with(insertions)
    }

    fn end(&self, index: usize) -> usize {
        self.starts.get(index).copied().unwrap_or_default()
            + self.segments.get(index).map_or(0, |segment| segment.show.len())
    }

    /// Repeats the image of `destination` for `other`.
    fn repeat(
        &self,
        text: &str,
        destination: &Destination,
        other: Other<'a>,
        budget: &mut usize,
        insertions: &mut Vec<Insertion<'a>>,
    ) {
        for (number, shown) in destination.uses.iter().enumerate() {
            let origin = (number == 0).then_some(other.origin);
            let within = *budget >= shown.len();
            if !within && number > 0 {
                return;
            }
            *budget = budget.saturating_sub(shown.len());
            let segments = match destination.syntax {
                Syntax::Reference => {
                    let alt = text.get(shown.clone()).filter(|_| within).map_or("", alt);
                    other.inline(alt, origin)
                }
                syntax if within => {
                    let before = self.slice(shown.start..destination.range.start, other);
                    let after = self.slice(destination.range.end..shown.end, other);
                    [before, vec![other.shown(origin, Some(syntax))], after].concat()
                }
                Syntax::Wiki => other.between("![[", "]]", Syntax::Wiki, origin),
                Syntax::Inline => other.inline("", origin),
                syntax => other.between("<img src=\"", "\">", syntax, origin),
            };
            insertions.push(Insertion { at: shown.end, segments });
        }
    }

    /// What is shown in `range`, as repeated for `other`.
    fn slice(&self, range: Range<usize>, other: Other<'a>) -> Vec<Segment<'a>> {
        let first = self.starts.partition_point(|start| *start <= range.start).saturating_sub(1);
        let mut slice = Vec::new();
        for (segment, start) in self.segments.iter().zip(&self.starts).skip(first) {
            if *start >= range.end {
                break;
            }
            let show = match &segment.show {
                Show::Text(text) => {
                    let from = range.start.saturating_sub(*start);
                    let to = (range.end - start).min(text.len());
                    Show::Text(Cow::Owned(text.get(from..to).unwrap_or_default().to_owned()))
                }
                // A name may be empty, and stand before the range.
                whole if *start >= range.start => whole.clone(),
                _ => continue,
            };
            slice.push(Segment { show, origin: None, copy: Some(other.copy()) });
        }
        slice
    }

    /// All of it with `insertions`, which are in order.
    fn with(self, insertions: Vec<Insertion<'a>>) -> Layout<'a> {
        let mut segments = Vec::new();
        let mut insertions = insertions.into_iter().peekable();
        for (segment, start) in self.segments.into_iter().zip(self.starts) {
            let Segment { show: Show::Text(Cow::Borrowed(text)), origin, .. } = segment else {
                while let Some(due) = insertions.next_if(|due| due.at <= start) {
                    segments.extend(due.segments);
                }
                segments.push(segment);
                continue;
            };
            let (mut rest, mut at, mut origin) = (text, start, origin);
            while let Some(due) = insertions.next_if(|due| due.at < start + text.len()) {
                if let Some((before, after)) = rest.split_at_checked(due.at.saturating_sub(at)) {
                    let units = before.chars().count();
                    push_text(&mut segments, before, origin);
                    (rest, at) = (after, at + before.len());
                    origin = origin.map(|origin| origin + units);
                }
                segments.extend(due.segments);
            }
            push_text(&mut segments, rest, origin);
        }
        segments.extend(insertions.flat_map(|due| due.segments));
        Layout { segments }
    }
}

impl<'a> Other<'a> {
    fn copy(self) -> Copy {
        Copy { embed: self.origin, in_place: false }
    }

    fn shown(self, origin: Option<usize>, syntax: Option<Syntax>) -> Segment<'a> {
        let copy = syntax.is_some().then_some(self.copy());
        Segment { show: Show::Embed(self.embed, syntax), origin, copy }
    }

    fn between(
        self,
        before: &str,
        after: &str,
        syntax: Syntax,
        origin: Option<usize>,
    ) -> Vec<Segment<'a>> {
        let text = |text: &str| Segment {
            show: Show::Text(Cow::Owned(text.to_owned())),
            origin: None,
            copy: Some(self.copy()),
        };
        vec![text(before), self.shown(origin, Some(syntax)), text(after)]
    }

    fn inline(self, alt: &str, origin: Option<usize>) -> Vec<Segment<'a>> {
        let pointed = !self.embed.name.contains(['<', '>']);
        let (open, close) = if pointed { ("<", ">)") } else { ("", ")") };
        self.between(&format!("![{alt}]({open}"), close, Syntax::Inline, origin)
    }
}

fn push_text<'a>(segments: &mut Vec<Segment<'a>>, text: &'a str, origin: Option<usize>) {
    if !text.is_empty() {
        segments.push(Segment { show: Show::Text(Cow::Borrowed(text)), origin, copy: None });
    }
}

fn units(show: &Show<'_>) -> usize {
    match show {
        Show::Text(text) => text.chars().count(),
        Show::Embed(..) | Show::Foreign => 1,
    }
}

/// The alt text of `![alt]`, `![alt][]` or `![alt][label]`; empty where its end can't be told.
fn alt(image: &str) -> &str {
    let (mut depth, mut escaped) = (0_usize, false);
    for (index, byte) in image.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'[' => depth += 1,
            b']' if depth <= 1 => return image.get(2..index).unwrap_or_default(),
            b']' => depth -= 1,
            _ => {}
        }
    }
    ""
}
