//! What differs between two sequences of tokens: lines first, then the words of changed lines, then the
//! tokens of changed words.

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

/// How many bytes two texts have in common, in whole code points: at the beginning, and behind that at the
/// end. Where more than a part of a line differs these are whole lines, and no more of them than
/// [`trimmed_lines`] leaves out.
fn shared(before: &str, after: &str) -> (usize, usize) {
    let (start, end) = shared_characters(before, after);
    let differs =
        |text: &str| text.get(start..text.len() - end).is_some_and(|rest| rest.contains('\n'));
    if !differs(before) && !differs(after) {
        return (start, end);
    }
    let (first, last) = (before.get(..start), before.get(before.len() - end..));
    let start = first.and_then(|same| same.rfind('\n')).map_or(0, |at| at + 1);
    (start, last.and_then(|same| same.find('\n')).map_or(0, |at| end - at - 1))
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

/// The splices that make `after` of `before`, in order and apart from one another.
#[must_use]
pub fn splices(before: &str, after: &str) -> Vec<Splice> {
    // What both begin and end with is left out before anything else is done, so it need not be taken apart.
    let (start, end) = shared(before, after);
    let passed = before.get(..start).map_or(0, |same| same.chars().count());
    let before = before.get(start..before.len() - end).unwrap_or_default();
    let after = after.get(start..after.len() - end).unwrap_or_default();
    let splices = splices_whole(before, after).into_iter();
    splices
        .map(|Splice { range, text }| Splice {
            range: passed + range.start..passed + range.end,
            text,
        })
        .collect()
}

/// What [`splices`] finds, without leaving anything out first; for tests.
#[doc(hidden)]
#[must_use]
pub fn splices_whole(before: &str, after: &str) -> Vec<Splice> {
    let tokens = |text: &str| text.chars().map(Token::plain).collect::<Vec<_>>();
    let (before, after) = (tokens(before), tokens(after));
    let spliced = |hunk: Hunk| {
        let tokens = after.get(hunk.after).unwrap_or_default();
        let text = tokens.iter().filter_map(|token| char::from_u32(token.id)).collect();
        Splice { range: hunk.before, text }
    };
    diff(&before, &after).into_iter().map(spliced).collect()
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

/// The hunks that make `after` of `before`, in order and apart from one another.
///
/// Not always the least: the time is bounded instead.
pub(super) fn diff(before: &[Token], after: &[Token]) -> Vec<Hunk> {
    let mut hunks = Vec::new();
    let (before, after) = (Side { tokens: before, at: 0 }, Side { tokens: after, at: 0 });
    let mut budget = BUDGET;
    refine(Unit::Line, before, after, &mut budget, &mut hunks);
    hunks
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
            Unit::Line => tokens.split_inclusive(|token| token.id == u32::from('\n')).collect(),
            Unit::Word => tokens.chunk_by(|one, next| in_word(*one) && in_word(*next)).collect(),
            Unit::Token => tokens.chunks(1).collect(),
        }
    }
}

fn in_word(token: Token) -> bool {
    char::from_u32(token.id).is_some_and(char::is_alphanumeric)
}

/// Without what both begin and end with, in whole lines where more than a part of a line differs.
///
/// Lines often begin with the same characters: of two tasks one below the other, `- [ ] bread` and
/// `- [ ] salt`, the first goes without the mark of the second.
fn trimmed_lines<'a>(before: Side<'a>, after: Side<'a>) -> (Side<'a>, Side<'a>) {
    let is_end = |token: &Token| token.id == u32::from('\n');
    let (old, new) = trimmed(before, after);
    if !old.tokens.iter().chain(new.tokens).any(is_end) {
        return (old, new);
    }
    let prefix = old.at - before.at;
    let same = before.tokens.get(..prefix).unwrap_or_default();
    let prefix = same.iter().rposition(is_end).map_or(0, |at| at + 1);
    let before = before.part(prefix..before.tokens.len());
    let after = after.part(prefix..after.tokens.len());
    let suffix = common_end(before.tokens, after.tokens);
    let begins = |side: Side<'_>| {
        let rest = side.tokens.get(..side.tokens.len() - suffix).unwrap_or_default();
        rest.last().is_none_or(is_end)
    };
    let suffix = if begins(before) && begins(after) {
        suffix
    } else {
        let same = before.tokens.get(before.tokens.len() - suffix..).unwrap_or_default();
        same.iter().position(is_end).map_or(0, |at| same.len() - at - 1)
    };
    (before.part(0..before.tokens.len() - suffix), after.part(0..after.tokens.len() - suffix))
}

fn common_end(before: &[Token], after: &[Token]) -> usize {
    let pairs = before.iter().rev().zip(after.iter().rev());
    pairs.take_while(|(one, other)| one == other).count()
}

/// Without what both begin and end with.
fn trimmed<'a>(before: Side<'a>, after: Side<'a>) -> (Side<'a>, Side<'a>) {
    let same = |(one, other): &(&Token, &Token)| one == other;
    let prefix = before.tokens.iter().zip(after.tokens).take_while(same).count();
    let before = before.part(prefix..before.tokens.len());
    let after = after.part(prefix..after.tokens.len());
    let suffix = common_end(before.tokens, after.tokens);
    (before.part(0..before.tokens.len() - suffix), after.part(0..after.tokens.len() - suffix))
}

fn refine(
    unit: Unit,
    before: Side<'_>,
    after: Side<'_>,
    budget: &mut usize,
    hunks: &mut Vec<Hunk>,
) {
    let (before, after) = match unit {
        Unit::Line => trimmed_lines(before, after),
        Unit::Word | Unit::Token => trimmed(before, after),
    };
    if before.tokens.is_empty() || after.tokens.is_empty() {
        push(before, after, hunks);
        return;
    }
    let (old, new) = (before.split(unit), after.split(unit));
    let items = old.len() + new.len();
    if items > unit.most().min(*budget) {
        keep_embeds(before, after, hunks);
        return;
    }
    *budget -= items;
    let (old_starts, new_starts) = (starts(&old), starts(&new));
    for hunk in compare(unit.algorithm(), &old, &new) {
        let before = before.part(span(&old_starts, &hunk.before));
        let after = after.part(span(&new_starts, &hunk.after));
        match unit {
            Unit::Line => refine(Unit::Word, before, after, budget, hunks),
            Unit::Word => refine(Unit::Token, before, after, budget, hunks),
            Unit::Token => push(before, after, hunks),
        }
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
