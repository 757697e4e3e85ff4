//! From Markdown to a body: of its own, or as an edit of another.

use std::{collections::HashMap, ops::Range};

use super::{
    diff::{Grain, Hunk, Token},
    embed::{Body, Embed, FOREIGN, Piece, Target},
    layout::{Layout, Show},
    markdown::{self, Destination, Syntax},
};

impl Body {
    /// Reads Markdown. `find` says which image a destination names; where it names none it stays text.
    #[must_use]
    pub fn parse(source: &str, mut find: impl FnMut(&Destination) -> Option<Target>) -> Self {
        let parts = Kept::default().parts(source, |destination, _| find(destination));
        composed(source, &parts).0
    }

    /// Reads Markdown that somebody made of `base`: embeds stay where they stood.
    ///
    /// An embed stays while its name stands where it stood, be that in code now or in broken markup. A
    /// destination that became another one by what was typed beside the name is no longer that embed,
    /// and a name elsewhere is none. `spelling` says, as for [`Body::render`], what the author may have
    /// seen in place of a name.
    ///
    /// For what is a destination, `find` decides: first for those that stand where an embed stood, which
    /// it is given and which stays where the answer is `None`; then for the others.
    ///
    /// Shows as `source`, but that an image is repeated for embeds that came to stand side by side in it,
    /// and that other spellings give way to names. It is `base` where nothing changed.
    #[must_use]
    pub fn parse_edit(
        base: &Self,
        source: &str,
        mut spelling: impl FnMut(&Embed, Option<Syntax>) -> Option<String>,
        find: impl FnMut(&Destination, Option<&Embed>) -> Option<Target>,
    ) -> Self {
        if let Some(text) = base.plain() {
            // There is nothing that could stay, so nothing need be compared.
            let parts = Kept::default().parts(source, find);
            return if text == source && parts.is_empty() {
                base.clone()
            } else {
                without_bare(source, parts)
            };
        }
        let layout = Layout::of(base, true);
        let after: Vec<Token> = source.chars().map(Token::plain).collect();
        let named = View::of(&layout, |_, _| None);
        let spelled = View::of(&layout, &mut spelling);
        let mut hunks = Grain::Close.diff(&named.tokens, &after);
        let mut seen = &named;
        if spelled.tokens != named.tokens {
            let others = Grain::Close.diff(&spelled.tokens, &after);
            if weight(&others) < weight(&hunks) {
                (hunks, seen) = (others, &spelled);
            }
        }
        let kept = Kept::of(seen, &hunks, source);
        let parts = kept.parts(source, find);
        let as_before = |(part, old): (&Part, &Standing<'_>)| {
            part.range == old.range && part.embed == *old.embed
        };
        let all_stand = parts.len() == seen.places.len() && kept.standing.len() == parts.len();
        if hunks.is_empty() && all_stand && parts.iter().zip(&kept.standing).all(as_before) {
            return base.clone();
        }
        without_bare(source, parts)
    }
}

/// The body of `source` without embeds that stand bare: their author took the markup away, and what is
/// left is a word.
fn without_bare(source: &str, parts: Vec<Part>) -> Body {
    let (body, places) = composed(source, &parts);
    let gone = Layout::of(&body, false).bare();
    if gone.is_empty() {
        return body;
    }
    let stays = |(_, place): &(Part, usize)| !gone.contains(place);
    let parts: Vec<_> = parts.into_iter().zip(places).filter(stays).map(|(part, _)| part).collect();
    composed(source, &parts).0
}

/// How much hunks change.
fn weight(hunks: &[Hunk]) -> usize {
    hunks.iter().map(|hunk| hunk.before.len() + hunk.after.len()).sum()
}

/// What an author saw, and the code points of it that stand for embeds.
#[derive(Debug, Default)]
struct View<'a> {
    tokens: Vec<Token>,
    places: Vec<(Range<usize>, &'a Embed)>,
}

impl<'a> View<'a> {
    fn of(
        layout: &'a Layout<'_>,
        mut spelling: impl FnMut(&Embed, Option<Syntax>) -> Option<String>,
    ) -> Self {
        let mut view = Self::default();
        for show in layout.shows() {
            match show {
                Show::Text(text) => view.tokens.extend(text.chars().map(Token::plain)),
                Show::Foreign => view.tokens.push(Token::plain(FOREIGN)),
                Show::Embed(embed, syntax) => {
                    let other = spelling(embed, *syntax);
                    let start = view.tokens.len();
                    let written = other.as_ref().unwrap_or(&embed.name);
                    view.tokens.extend(written.chars().map(Token::plain));
                    view.places.push((start..view.tokens.len(), embed));
                }
            }
        }
        view
    }
}

/// An embed whose name was kept.
#[derive(Debug)]
struct Standing<'a> {
    /// Where it stands in the new source, in bytes.
    range: Range<usize>,
    embed: &'a Embed,
    /// Whether what stood beside it still does, on one side at least: else it is a word among others.
    anchored: bool,
}

/// What an edit left of a base.
#[derive(Debug, Default)]
struct Kept<'a> {
    /// In order, none overlapping another.
    standing: Vec<Standing<'a>>,
    /// The bytes of the new source that are new, in order and apart from one another.
    inserted: Vec<Range<usize>>,
}

/// An embed of the new body, and the bytes of the source that it takes the place of.
#[derive(Debug)]
struct Part {
    range: Range<usize>,
    embed: Embed,
    /// Whether it is there because it stood there.
    stood: bool,
}

impl<'a> Kept<'a> {
    fn of(view: &View<'a>, hunks: &[Hunk], source: &str) -> Self {
        let mut kept = Self::default();
        let mut bytes = Bytes::of(source);
        for hunk in hunks {
            kept.inserted.push(bytes.of_range(&hunk.after));
        }
        let mut bytes = Bytes::of(source);
        let mut next = 0;
        for (place, embed) in &view.places {
            while hunks.get(next).is_some_and(|hunk| hunk.before.end < place.start) {
                next += 1;
            }
            // Those that touch the place: one before it, one in it, one behind it.
            let (mut whole, mut before, mut behind) = (true, true, true);
            let mut last = next.checked_sub(1).and_then(|last| hunks.get(last));
            for hunk in hunks.get(next..).unwrap_or_default() {
                if hunk.before.start > place.end {
                    break;
                }
                before &= hunk.before.end != place.start;
                behind &= hunk.before.start != place.end;
                whole &= hunk.before.end <= place.start || hunk.before.start >= place.end;
                if hunk.before.end <= place.start {
                    last = Some(hunk);
                }
            }
            // An empty name is where it was while nothing beside it changed.
            if !whole || place.is_empty() && !(before && behind) {
                continue;
            }
            let (old, new) = last.map_or((0, 0), |hunk| (hunk.before.end, hunk.after.end));
            let start = new + (place.start - old);
            kept.standing.push(Standing {
                range: bytes.of_range(&(start..start + place.len())),
                embed,
                anchored: before || behind,
            });
        }
        kept
    }

    /// The embeds of a body of `source`, in order; only those that stood may touch one another.
    fn parts(
        &self,
        source: &str,
        mut find: impl FnMut(&Destination, Option<&Embed>) -> Option<Target>,
    ) -> Vec<Part> {
        let found = markdown::destinations(source);
        let mut stood: HashMap<(usize, usize), &Embed> = HashMap::new();
        for one in &self.standing {
            stood.entry((one.range.start, one.range.end)).or_insert(one.embed);
        }
        let stood = |one: &Destination| stood.get(&(one.range.start, one.range.end)).copied();
        let mut answers: Vec<Option<Target>> =
            found.iter().map(|one| stood(one).and_then(|embed| find(one, Some(embed)))).collect();
        for (one, answer) in found.iter().zip(&mut answers) {
            if stood(one).is_none() {
                *answer = find(one, None);
            }
        }
        let mut parts = Vec::new();
        let mut standing = self.standing.as_slice();
        for (Destination { range, .. }, answer) in found.into_iter().zip(answers) {
            let before =
                split(&mut standing, |one| one.range.end <= range.start && one.range != range);
            push_standing(&mut parts, before, false);
            let inside =
                split(&mut standing, |one| one.range.start < range.end || one.range == range);
            if let Some(target) = answer {
                let name = || source.get(range.clone()).unwrap_or_default().to_owned();
                let Target { image, path, name: other } = target;
                let embed = Embed { image, name: other.unwrap_or_else(name), path };
                push(&mut parts, Part { range, embed, stood: false });
                continue;
            }
            let mut rest = gaps(&range, inside).peekable();
            let covered = rest.peek().is_none();
            if covered || !rest.all(|gap| self.is_inserted(&gap)) {
                push_standing(&mut parts, inside, covered);
            }
        }
        push_standing(&mut parts, standing, false);
        parts
    }

    fn is_inserted(&self, range: &Range<usize>) -> bool {
        let after = self.inserted.partition_point(|inserted| inserted.start <= range.start);
        let around = after.checked_sub(1).and_then(|last| self.inserted.get(last));
        around.is_some_and(|inserted| range.end <= inserted.end)
    }
}

/// Takes the leading items that are `so`.
fn split<'s, T>(rest: &mut &'s [T], so: impl Fn(&T) -> bool) -> &'s [T] {
    let (taken, left) = rest.split_at(rest.iter().take_while(|item| so(item)).count());
    *rest = left;
    taken
}

/// The stretches of `range` in which no embed stands.
fn gaps(range: &Range<usize>, inside: &[Standing<'_>]) -> impl Iterator<Item = Range<usize>> {
    let starts = std::iter::once(range.start).chain(inside.iter().map(|one| one.range.end));
    let ends = inside.iter().map(|one| one.range.start).chain([range.end]);
    starts.zip(ends).map(|(start, end)| start..end).filter(|gap| !gap.is_empty())
}

fn push_standing(parts: &mut Vec<Part>, standing: &[Standing<'_>], even_alone: bool) {
    for one in standing.iter().filter(|one| even_alone || one.anchored) {
        push(parts, Part { range: one.range.clone(), embed: one.embed.clone(), stood: true });
    }
}

/// Embeds side by side mean one destination: of two that touch, what was found there stays.
fn push(parts: &mut Vec<Part>, part: Part) {
    while let Some(last) = parts.last()
        && last.range.end >= part.range.start
    {
        match (last.stood, part.stood) {
            (true, true) => break,
            (true, false) => drop(parts.pop()),
            (false, _) => return,
        }
    }
    parts.push(part);
}

/// The body with these parts, and for each of them the place in it of the first of the embeds that it
/// stands beside.
fn composed(source: &str, parts: &[Part]) -> (Body, Vec<usize>) {
    let (mut body, mut at) = (Body::default(), 0);
    let (mut places, mut units, mut last) = (Vec::with_capacity(parts.len()), 0, None);
    for Part { range, embed, .. } in parts {
        let text = source.get(at..range.start).unwrap_or_default();
        if !text.is_empty() {
            units += text.chars().count();
            last = None;
        }
        body.push_text(text);
        places.push(*last.get_or_insert(units));
        units += usize::from(body.push(Piece::Embed(embed.clone())).is_none());
        at = range.end;
    }
    body.push_text(source.get(at..).unwrap_or_default());
    (body, places)
}

/// Finds the bytes of code points, from the first to the last.
struct Bytes<'a> {
    rest: std::str::Chars<'a>,
    length: usize,
    passed: usize,
}

impl<'a> Bytes<'a> {
    fn of(source: &'a str) -> Self {
        Self { rest: source.chars(), length: source.len(), passed: 0 }
    }

    fn of_range(&mut self, range: &Range<usize>) -> Range<usize> {
        self.to(range.start)..self.to(range.end)
    }

    fn to(&mut self, place: usize) -> usize {
        for _ in self.passed..place {
            self.rest.next();
        }
        self.passed = place.max(self.passed);
        self.length - self.rest.as_str().len()
    }
}
