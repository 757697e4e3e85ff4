//! What differs between two sequences of tokens: lines first, then the words of changed lines, then the
//! ends of changed words.
//!
//! What an edit wrote must hang together, since it is merged with what others did: were the letters kept
//! that happen to stand in a line and in another that took its place, somebody who takes the old line away
//! would take them out of the new one. So a line of which less than half stays is replaced as a whole,
//! and a word of which no more does.

mod anew;

use std::{collections::HashMap, hash::Hash, ops::Range};

use imara_diff::{Algorithm, Diff};

/// One of the things that a body is a sequence of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Token {
    /// A code point, or a number above all of them.
    pub(super) id: u32,
    /// What it belongs to, 0 for nothing: it is no token that belongs to something else.
    pub(super) of: u32,
}

impl Token {
    /// The token of a number that belongs to nothing.
    pub(super) fn plain(id: impl Into<u32>) -> Self {
        Self { id: id.into(), of: 0 }
    }

    /// Whether a line ends with it.
    fn is_end(self) -> bool {
        self.id == u32::from('\n')
    }

    /// Whether it is no code point.
    pub(super) fn is_embed(self) -> bool {
        char::from_u32(self.id).is_none()
    }
}

/// A passage of a text that another takes the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// What goes, in code points of the text before.
    pub range: Range<usize>,
    /// What comes in its place.
    pub text: String,
}

/// How many bytes two texts have in common, in whole lines: at the beginning, but for the last line break
/// there, and behind that at the end.
fn shared(before: &str, after: &str) -> (usize, usize) {
    let (start, end) = shared_characters(before, after);
    let (first, last) = (before.get(..start), before.get(before.len() - end..));
    let line = first.and_then(|same| same.rfind('\n')).unwrap_or(0);
    (line, last.and_then(|same| same.find('\n')).map_or(0, |at| end - at - 1))
}

fn shared_characters(before: &str, after: &str) -> (usize, usize) {
    const STEP: usize = 64;
    let (one, other) = (before.as_bytes(), after.as_bytes());
    let blocks = one.chunks_exact(STEP).zip(other.chunks_exact(STEP));
    let mut start = STEP * blocks.take_while(|(one, other)| one == other).count();
    let same = |(one, other): &(&u8, &u8)| one == other;
    start += one.iter().zip(other).skip(start).take_while(same).count();
    while !before.is_char_boundary(start) {
        start -= 1;
    }
    let (one, other) = (one.split_at(start).1, other.split_at(start).1);
    let blocks = one.rchunks_exact(STEP).zip(other.rchunks_exact(STEP));
    let mut end = STEP * blocks.take_while(|(one, other)| one == other).count();
    end += one.iter().rev().zip(other.iter().rev()).skip(end).take_while(same).count();
    while !before.is_char_boundary(before.len() - end) {
        end -= 1;
    }
    (start, end)
}

/// The splices that make `after` of `before`, in order and apart from one another, as people would name them:
/// what is merged with what others did.
#[must_use]
pub fn splices(before: &str, after: &str) -> Vec<Splice> {
    Grain::Meant.splices(before, after)
}

/// The same where as many characters as can be stay: for a text that is on somebody's screen.
#[must_use]
pub fn splices_closely(before: &str, after: &str) -> Vec<Splice> {
    Grain::Close.splices(before, after)
}

/// What [`splices`] finds, without leaving anything out first; for tests.
#[doc(hidden)]
#[must_use]
pub fn splices_whole(before: &str, after: &str) -> Vec<Splice> {
    Grain::Meant.splices_whole(before, after)
}

/// How closely two sides are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// As people would name what they did: for what is merged with what others did.
    Meant,
    /// As many characters as can be stay: for whoever asks what became of each.
    Close,
}

impl Grain {
    pub(super) fn splices(self, before: &str, after: &str) -> Vec<Splice> {
        // What both begin and end with is left out before anything else is done, so it need not be taken
        // apart.
        let (start, end) = shared(before, after);
        let passed = before.get(..start).map_or(0, |same| same.chars().count());
        let before = before.get(start..before.len() - end).unwrap_or_default();
        let after = after.get(start..after.len() - end).unwrap_or_default();
        let moved = |Splice { range, text }: Splice| {
            let range = passed + range.start..passed + range.end;
            Splice { range, text }
        };
        self.splices_whole(before, after).into_iter().map(moved).collect()
    }

    fn splices_whole(self, before: &str, after: &str) -> Vec<Splice> {
        let tokens = |text: &str| text.chars().map(Token::plain).collect::<Vec<_>>();
        let (before, after) = (tokens(before), tokens(after));
        let spliced = |hunk: Hunk| {
            let tokens = after.get(hunk.after).unwrap_or_default();
            let text = tokens.iter().filter_map(|token| char::from_u32(token.id)).collect();
            Splice { range: hunk.before, text }
        };
        self.diff(&before, &after).into_iter().map(spliced).collect()
    }

    /// The hunks that make `after` of `before`, in order and apart from one another.
    ///
    /// Not always the least: the time is bounded instead.
    pub(super) fn diff(self, before: &[Token], after: &[Token]) -> Vec<Hunk> {
        let (before, after) = (Side { tokens: before, at: 0 }, Side { tokens: after, at: 0 });
        let mut differ = Differ { grain: self, budget: BUDGET, hunks: Vec::new() };
        differ.lines(before, after);
        if self == Self::Meant {
            with_line_break(before.tokens, after.tokens, &mut differ.hunks);
        }
        differ.hunks
    }
}

/// Tokens of the one side that those of the other side take the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hunk {
    pub(super) before: Range<usize>,
    pub(super) after: Range<usize>,
}

/// The most words or tokens of both sides, and eight times as many lines, that are compared with one
/// another: the time grows faster than their number. Beyond, all is taken for changed but the embeds.
const MOST: usize = 1 << 13;
/// The most lines, words and tokens that are compared in all.
const BUDGET: usize = 1 << 18;

/// What is compared with what.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Line,
    Word,
    Token,
}

impl Unit {
    fn most(self) -> usize {
        match self {
            Self::Line => 8 * MOST,
            Self::Word | Self::Token => MOST,
        }
    }

    /// Histogram finds what people see as unchanged, but not among the few different characters of a text.
    fn algorithm(self) -> Algorithm {
        match self {
            Self::Line | Self::Word => Algorithm::Histogram,
            Self::Token => Algorithm::Myers,
        }
    }
}

/// Where the last line is replaced, and no line break ends it, the one before it is replaced with it: else two
/// lines that take its place, or a line that does while the old one is taken away, would be glued together.
fn with_line_break(before: &[Token], after: &[Token], hunks: &mut Vec<Hunk>) {
    let Some(Hunk { before: old, after: new }) = hunks.last().cloned() else { return };
    let is_last = old.end == before.len() && new.end == after.len();
    let ends = |tokens: &[Token]| tokens.last().is_some_and(|token| token.is_end());
    if !is_last || old.is_empty() || new.is_empty() || ends(before) && ends(after) {
        return;
    }
    let breaks = |tokens: &[Token], at: usize| {
        at.checked_sub(1).and_then(|at| tokens.get(at)).is_some_and(|token| token.is_end())
    };
    if !breaks(before, old.start) || !breaks(after, new.start) {
        return;
    }
    hunks.pop();
    let (mut old, mut new) = (old.start - 1..old.end, new.start - 1..new.end);
    // It may have been the one that this one touched already.
    if let Some(touching) =
        hunks.pop_if(|last| last.before.end >= old.start || last.after.end >= new.start)
    {
        (old.start, new.start) = (touching.before.start, touching.after.start);
    } else {
        // By itself: what another puts before it is no part of the last line.
        hunks.push(Hunk { before: old.start..old.start + 1, after: new.start..new.start });
        old.start += 1;
    }
    hunks.push(Hunk { before: old, after: new });
}

/// Some tokens, and where they stand among all of their side.
#[derive(Debug, Clone, Copy)]
struct Side<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl<'a> Side<'a> {
    fn part(self, range: Range<usize>) -> Self {
        let at = self.at + range.start;
        Self { tokens: self.tokens.get(range).unwrap_or_default(), at }
    }

    fn range(self) -> Range<usize> {
        self.at..self.at + self.tokens.len()
    }

    /// Splits it into `unit`s.
    fn split(self, unit: Unit) -> Vec<&'a [Token]> {
        let tokens = self.tokens;
        match unit {
            Unit::Line => tokens.split_inclusive(|token| token.is_end()).collect(),
            Unit::Word => tokens.chunk_by(|one, next| anew::is_within_word(*one, *next)).collect(),
            Unit::Token => tokens.chunks(1).collect(),
        }
    }
}

/// How many tokens both begin with, and how many they end with behind that.
fn common(before: &[Token], after: &[Token]) -> (usize, usize) {
    let prefix = before.iter().zip(after).take_while(|(one, other)| one == other).count();
    let rest = |tokens: &[Token]| tokens.len() - prefix;
    let pairs = before.iter().rev().zip(after.iter().rev());
    let pairs = pairs.take(rest(before).min(rest(after)));
    (prefix, pairs.take_while(|(one, other)| one == other).count())
}

/// Without so many tokens at the beginning and at the end.
fn without<'a>(
    before: Side<'a>,
    after: Side<'a>,
    (prefix, suffix): (usize, usize),
) -> (Side<'a>, Side<'a>) {
    let inner = |side: Side<'a>| side.part(prefix..side.tokens.len() - suffix);
    (inner(before), inner(after))
}

/// Without what both begin and end with.
fn trimmed<'a>(before: Side<'a>, after: Side<'a>) -> (Side<'a>, Side<'a>) {
    without(before, after, common(before.tokens, after.tokens))
}

/// Without the lines that both begin and end with.
///
/// Lines often begin with the same characters: of two tasks one below the other, `- [ ] bread` and
/// `- [ ] salt`, the first goes without the mark of the second.
fn trimmed_lines<'a>(before: Side<'a>, after: Side<'a>) -> (Side<'a>, Side<'a>) {
    let (prefix, _) = common(before.tokens, after.tokens);
    let same = before.tokens.get(..prefix).unwrap_or_default();
    let prefix = same.iter().rposition(|token| token.is_end()).map_or(0, |at| at + 1);
    let (before, after) = without(before, after, (prefix, 0));
    let pairs = before.tokens.iter().rev().zip(after.tokens.iter().rev());
    let suffix = pairs.take_while(|(one, other)| one == other).count();
    let begins = |side: Side<'_>| {
        let rest = side.tokens.get(..side.tokens.len() - suffix).unwrap_or_default();
        rest.last().is_none_or(|token| token.is_end())
    };
    let suffix = if begins(before) && begins(after) {
        suffix
    } else {
        let same = before.tokens.get(before.tokens.len() - suffix..).unwrap_or_default();
        same.iter().position(|token| token.is_end()).map_or(0, |at| same.len() - at - 1)
    };
    without(before, after, (0, suffix))
}

/// The lines of both sides in pairs, where they are as many and have more words than are compared with one another:
/// those of a table that was laid out anew.
fn paired<'a>(before: Side<'a>, after: Side<'a>) -> Option<Vec<(Side<'a>, Side<'a>)>> {
    let lines = |side: Side<'a>| {
        let starts = starts(&side.split(Unit::Line));
        let lines = starts.iter().zip(starts.iter().skip(1));
        lines.map(|(start, end)| side.part(*start..*end)).collect::<Vec<_>>()
    };
    let items = |side: Side<'_>| side.split(Unit::Word).len();
    let most = Unit::Word.most();
    // Taken apart only where there may be too many.
    if before.tokens.len() + after.tokens.len() <= most || items(before) + items(after) <= most {
        return None;
    }
    let (old, new) = (lines(before), lines(after));
    (old.len() > 1 && old.len() == new.len()).then(|| old.into_iter().zip(new).collect())
}

struct Differ {
    grain: Grain,
    budget: usize,
    hunks: Vec<Hunk>,
}

impl Differ {
    fn lines(&mut self, before: Side<'_>, after: Side<'_>) {
        let (old, new) = trimmed(before, after);
        let is_within_line = !old.tokens.iter().chain(new.tokens).any(|token| token.is_end());
        let (before, after) = if self.grain == Grain::Close && is_within_line {
            (old, new)
        } else {
            trimmed_lines(before, after)
        };
        for (before, after) in self.changed(Unit::Line, before, after, |_, _, hunks| hunks) {
            self.words(before, after);
        }
    }

    fn words(&mut self, before: Side<'_>, after: Side<'_>) {
        let (old, new) = trimmed(before, after);
        if self.grain == Grain::Meant && anew::is_filled(before.tokens, after.tokens) {
            self.push(before, after);
            return;
        }
        if self.grain == Grain::Close {
            for (before, after) in self.changed(Unit::Word, old, new, |_, _, hunks| hunks) {
                let (old, new) = trimmed(before, after);
                for (before, after) in self.changed(Unit::Token, old, new, |_, _, hunks| hunks) {
                    self.push(before, after);
                }
            }
            return;
        }
        if old.tokens.is_empty() || new.tokens.is_empty() {
            // Nothing takes the place of anything.
            self.push(old, new);
            return;
        }
        if let Some(lines) = paired(before, after) {
            for (before, after) in lines {
                self.words(before, after);
            }
            return;
        }
        let changed = match anew::same_ends(before.tokens, after.tokens) {
            // Of a long line, what is between them is compared alone.
            Some(ends) => {
                let (old, new) = without(before, after, ends);
                self.changed(Unit::Word, old, new, |_, _, hunks| hunks)
            }
            None => self.changed(Unit::Word, before, after, |old, new, hunks| {
                anew::whole_lines(old, new, &hunks)
            }),
        };
        for (before, after) in changed {
            self.word(before, after);
        }
    }

    /// What became of a word: where more than half of it stays, that is how it begins and ends.
    fn word(&mut self, before: Side<'_>, after: Side<'_>) {
        let is_one = |side: Side<'_>| side.split(Unit::Word).len() == 1;
        let (old, new) = trimmed(before, after);
        let stays = before.tokens.len() - old.tokens.len();
        let is_part = old.tokens.is_empty() || new.tokens.is_empty();
        let mostly = 2 * stays > before.tokens.len().max(after.tokens.len());
        if is_one(before) && is_one(after) && (is_part || mostly) {
            self.push(old, new);
        } else {
            self.push(before, after);
        }
    }

    /// What differs between two sides, compared unit by unit; `as_meant` says what of that is meant.
    fn changed<'a>(
        &mut self,
        unit: Unit,
        before: Side<'a>,
        after: Side<'a>,
        as_meant: impl FnOnce(&[&[Token]], &[&[Token]], Vec<Hunk>) -> Vec<Hunk>,
    ) -> Vec<(Side<'a>, Side<'a>)> {
        if before.tokens.is_empty() || after.tokens.is_empty() {
            self.push(before, after);
            return Vec::new();
        }
        let (old, new) = (before.split(unit), after.split(unit));
        let items = old.len() + new.len();
        if items > unit.most().min(self.budget) {
            keep_embeds(before, after, &mut self.hunks);
            return Vec::new();
        }
        self.budget -= items;
        let hunks = as_meant(&old, &new, compare(unit.algorithm(), &old, &new));
        let (old, new) = (starts(&old), starts(&new));
        let sides = |hunk: Hunk| {
            (before.part(span(&old, &hunk.before)), after.part(span(&new, &hunk.after)))
        };
        hunks.into_iter().map(sides).collect()
    }

    fn push(&mut self, before: Side<'_>, after: Side<'_>) {
        push(before, after, &mut self.hunks);
    }
}

fn push(before: Side<'_>, after: Side<'_>, hunks: &mut Vec<Hunk>) {
    if !before.tokens.is_empty() || !after.tokens.is_empty() {
        hunks.push(Hunk { before: before.range(), after: after.range() });
    }
}

/// Takes all for changed but the embeds that both have.
fn keep_embeds(before: Side<'_>, after: Side<'_>, hunks: &mut Vec<Hunk>) {
    let (old, new) = (embeds(before.tokens), embeds(after.tokens));
    let (mut at_old, mut at_new) = (0, 0);
    if old.len() + new.len() <= MOST {
        let tokens =
            |embeds: &[(usize, Token)]| embeds.iter().map(|(_, token)| *token).collect::<Vec<_>>();
        let changed = compare(Algorithm::Histogram, &tokens(&old), &tokens(&new));
        let (mut one, mut other) = (0, 0);
        for hunk in changed.iter().map(Some).chain([None]) {
            let kept = hunk.map_or(old.len(), |hunk| hunk.before.start) - one;
            let pairs = old.iter().skip(one).zip(new.iter().skip(other)).take(kept);
            for ((old, _), (new, _)) in pairs {
                let (before, after) = (before.part(at_old..*old), after.part(at_new..*new));
                let (before, after) = trimmed(before, after);
                push(before, after, hunks);
                (at_old, at_new) = (old + 1, new + 1);
            }
            (one, other) = hunk.map_or((one, other), |hunk| (hunk.before.end, hunk.after.end));
        }
    }
    let (before, after) =
        trimmed(before.part(at_old..before.tokens.len()), after.part(at_new..after.tokens.len()));
    push(before, after, hunks);
}

/// The tokens that are no code points, and their places.
fn embeds(tokens: &[Token]) -> Vec<(usize, Token)> {
    let places = tokens.iter().copied().enumerate();
    places.filter(|(_, token)| token.is_embed()).collect()
}

/// Where each part starts, and at last where they end.
fn starts(parts: &[&[Token]]) -> Vec<usize> {
    let mut end = 0;
    let ends = parts.iter().map(|part| {
        end += part.len();
        end
    });
    std::iter::once(0).chain(ends).collect()
}

/// The tokens of some parts.
fn span(starts: &[usize], parts: &Range<usize>) -> Range<usize> {
    let start = |part: usize| starts.get(part).copied().unwrap_or_default();
    start(parts.start)..start(parts.end)
}

fn compare<T: Hash + Eq>(algorithm: Algorithm, before: &[T], after: &[T]) -> Vec<Hunk> {
    let mut known: HashMap<&T, u32> = HashMap::new();
    let mut tokens = Vec::with_capacity(before.len() + after.len());
    for item in before.iter().chain(after) {
        let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
        tokens.push(imara_diff::Token(*known.entry(item).or_insert(next)));
    }
    let (before, after) = tokens.split_at(before.len());
    let mut diff = Diff::default();
    diff.compute_with(algorithm, before, after, u32::try_from(known.len()).unwrap_or(u32::MAX));
    let range = |range: Range<u32>| range.start as usize..range.end as usize;
    diff.hunks().map(|hunk| Hunk { before: range(hunk.before), after: range(hunk.after) }).collect()
}
