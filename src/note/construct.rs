//! What differs between two bodies, image by image.
//!
//! To a diff of characters all images look alike: it takes the `![](` of one for that of another put in
//! before it. Were the first taken away on another device meanwhile, half of the second would go with
//! it. So what surrounds an embed is only ever the same as what surrounds that embed, or the one that
//! took its place: an image comes and goes as a whole.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use super::{
    diff::{Grain, Hunk, Token},
    markdown::{self, Destination, Syntax},
};

/// The hunks that make the tokens `after` of `before`; `name` is what an embed's token shows as.
pub(super) fn hunks<'n>(
    before: &[u32],
    after: &[u32],
    grain: Grain,
    name: impl Fn(u32) -> Option<&'n str>,
) -> Vec<Hunk> {
    let plain = |ids: &[u32]| ids.iter().copied().map(Token::plain).collect::<Vec<_>>();
    let (mut before, mut after) = (plain(before), plain(after));
    let hunks = grain.diff(&before, &after);
    let is_embed = |token: &Token| token.is_embed();
    if hunks.is_empty() || !before.iter().any(is_embed) || !after.iter().any(is_embed) {
        return hunks;
    }
    let pairs = Pairs::of(&before, &after, &hunks);
    let (old, new) = (constructs(&before, &name), constructs(&after, &name));
    let known = |constructs: &[Construct], pairs: &HashMap<usize, u32>| {
        constructs.iter().filter_map(|one| pairs.get(&one.embed).copied()).collect::<HashSet<_>>()
    };
    let both = &known(&old, &pairs.before) & &known(&new, &pairs.after);
    mark(&mut before, &old, &pairs.before, &both);
    mark(&mut after, &new, &pairs.after, &both);
    grain.diff(&before, &after)
}

/// Which embeds are the same, or take one another's place: a number for each, by the place of its token.
#[derive(Debug, Default)]
struct Pairs {
    before: HashMap<usize, u32>,
    after: HashMap<usize, u32>,
    count: u32,
}

impl Pairs {
    fn of(before: &[Token], after: &[Token], hunks: &[Hunk]) -> Self {
        let mut pairs = Self::default();
        let (mut one, mut other) = (0, 0);
        for hunk in hunks {
            pairs.zip(
                embeds(before, one..hunk.before.start),
                embeds(after, other..hunk.after.start),
            );
            (one, other) = (hunk.before.end, hunk.after.end);
        }
        pairs.zip(embeds(before, one..before.len()), embeds(after, other..after.len()));

        let ids = |tokens: &[Token], range: Range<usize>| {
            embeds(tokens, range).map(|(_, id)| id).collect::<Vec<_>>()
        };
        let gone: HashSet<u32> =
            hunks.iter().flat_map(|hunk| ids(before, hunk.before.clone())).collect();
        let come = hunks.iter().flat_map(|hunk| ids(after, hunk.after.clone()));
        let mut moved = HashMap::new();
        for id in come.filter(|id| gone.contains(id)) {
            moved.entry(id).or_insert_with(|| pairs.next());
        }
        for hunk in hunks {
            let stays = |(at, id): (usize, u32)| moved.get(&id).map(|number| (at, *number));
            pairs.before.extend(embeds(before, hunk.before.clone()).filter_map(stays));
            pairs.after.extend(embeds(after, hunk.after.clone()).filter_map(stays));
            let goes = |(_, id): &(usize, u32)| !moved.contains_key(id);
            pairs.zip(
                embeds(before, hunk.before.clone()).filter(goes),
                embeds(after, hunk.after.clone()).filter(goes),
            );
        }
        pairs
    }

    fn next(&mut self) -> u32 {
        self.count = self.count.saturating_add(1);
        self.count
    }

    fn zip(
        &mut self,
        before: impl Iterator<Item = (usize, u32)>,
        after: impl Iterator<Item = (usize, u32)>,
    ) {
        for ((one, _), (other, _)) in before.zip(after) {
            let number = self.next();
            self.before.insert(one, number);
            self.after.insert(other, number);
        }
    }
}

/// The embeds in a range of tokens: their places and ids.
fn embeds(tokens: &[Token], range: Range<usize>) -> impl Iterator<Item = (usize, u32)> {
    let start = range.start;
    let tokens = tokens.get(range).unwrap_or_default().iter().enumerate();
    tokens.filter(|(_, token)| token.is_embed()).map(move |(at, token)| (start + at, token.id))
}

/// What surrounds an embed, with it.
#[derive(Debug)]
struct Construct {
    /// The place of the embed's token.
    embed: usize,
    tokens: Range<usize>,
}

fn constructs<'n>(tokens: &[Token], name: impl Fn(u32) -> Option<&'n str>) -> Vec<Construct> {
    let (mut text, mut starts) = (String::new(), Vec::with_capacity(tokens.len()));
    for token in tokens {
        starts.push(text.len());
        match char::from_u32(token.id) {
            Some(character) => text.push(character),
            None => text.push_str(name(token.id).unwrap_or_default()),
        }
    }
    let place = |byte: usize| starts.partition_point(|start| *start < byte);
    let mut constructs = Vec::new();
    for destination in markdown::destinations(&text) {
        let embed = place(destination.range.start);
        let is_it = |token: &Token| {
            name(token.id).is_some_and(|name| name.len() == destination.range.len())
        };
        if tokens.get(embed).is_some_and(is_it) {
            let range = surroundings(&text, &destination);
            constructs.push(Construct { embed, tokens: place(range.start)..place(range.end) });
        }
    }
    constructs
}

/// The bytes of the image; of a reference its definition, without the title.
fn surroundings(text: &str, destination: &Destination) -> Range<usize> {
    let range = destination.range.clone();
    if destination.syntax != Syntax::Reference {
        return destination.uses.first().cloned().unwrap_or(range);
    }
    let before = text.get(..range.start).unwrap_or_default();
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    let label = before.get(line..).and_then(|line| line.find('['));
    let pointed = before.ends_with('<');
    label.map_or(range.start, |label| line + label)..range.end + usize::from(pointed)
}

/// Says of each token to which of the images in `both` it belongs.
fn mark(
    tokens: &mut [Token],
    constructs: &[Construct],
    pairs: &HashMap<usize, u32>,
    both: &HashSet<u32>,
) {
    for construct in constructs {
        let Some(number) = pairs.get(&construct.embed).filter(|number| both.contains(number))
        else {
            continue;
        };
        let within = tokens.get_mut(construct.tokens.clone()).unwrap_or_default();
        // Several embeds may stand in one HTML tag; it belongs to the first.
        if within.first().is_some_and(|first| first.of == 0) {
            for token in within {
                token.of = *number;
            }
        }
    }
    for (embed, number) in pairs {
        if let Some(token) = tokens.get_mut(*embed) {
            token.of = *number;
        }
    }
}
