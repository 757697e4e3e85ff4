//! What was written anew: lines, and words, of which no more than half stays.

use super::{super::embed::FOREIGN, Hunk, Token, common};

/// Whether no word ends between two tokens.
pub(super) fn is_within_word(one: Token, next: Token) -> bool {
    let is_mark = |token: Token| matches!(token.id, 0x300..=0x36f);
    let in_word = |token: Token| is_letter(token) && !is_word(token);
    (in_word(one) || is_mark(one)) && (in_word(next) || is_mark(next))
}

fn is_letter(token: Token) -> bool {
    char::from_u32(token.id).is_some_and(char::is_alphanumeric)
}

/// Whether it is of a script that puts no spaces between words.
fn is_word(token: Token) -> bool {
    matches!(
        token.id,
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x2e80..=0x9fff | 0xf900..=0xfaff
            | 0x2_0000..=0x3_ffff
    )
}

fn weight(tokens: &[Token]) -> usize {
    tokens.iter().filter(|token| is_letter(**token)).count()
}

/// How many tokens two lines begin and end with, in whole words; `None` where that is no more than half of
/// one of them.
pub(super) fn same_ends(before: &[Token], after: &[Token]) -> Option<(usize, usize)> {
    let (mut prefix, mut suffix) = common(before, after);
    let is_one = |line: &[Token]| {
        line.iter().position(|token| token.is_end()).is_none_or(|at| at + 1 == line.len())
    };
    let ends = before.get(..prefix).into_iter().chain(before.get(before.len() - suffix..));
    let stays = ends.map(weight).sum::<usize>();
    if !is_one(before) || !is_one(after) || 2 * stays <= weight(before).max(weight(after)) {
        return None;
    }
    let is_torn = |tokens: &[Token], at: usize| {
        let one = at.checked_sub(1).and_then(|last| tokens.get(last));
        one.zip(tokens.get(at)).is_some_and(|(one, next)| is_within_word(*one, *next))
    };
    while is_torn(before, prefix) || is_torn(after, prefix) {
        prefix -= 1;
    }
    while is_torn(before, before.len() - suffix) || is_torn(after, after.len() - suffix) {
        suffix -= 1;
    }
    Some((prefix, suffix))
}

/// Of the words that differ, as `hunks` of words have it, all of a line of which no more than half of the
/// letters stays: it was written anew, and so was the line that has taken its place. One that keeps an
/// embed, or what surrounds one, is still that line.
pub(super) fn whole_lines(before: &[&[Token]], after: &[&[Token]], hunks: &[Hunk]) -> Vec<Hunk> {
    let (mut old, mut new) = (Lines::of(before), Lines::of(after));
    let mut kept = Vec::new();
    let (mut one, mut other) = (0, 0);
    for hunk in hunks.iter().map(Some).chain([None]) {
        let end = hunk.map_or(before.len(), |hunk| hunk.before.start);
        kept.extend((one..end).zip(other..));
        if let Some(hunk) = hunk {
            (one, other) = (hunk.before.end, hunk.after.end);
        }
    }
    loop {
        old.stay(before, kept.iter().map(|(one, _)| *one));
        new.stay(after, kept.iter().map(|(_, other)| *other));
        let count = kept.len();
        kept.retain(|(one, other)| old.mostly_stays(*one) && new.mostly_stays(*other));
        if kept.len() == count {
            break;
        }
    }
    let (mut changed, mut one, mut other) = (Vec::new(), 0, 0);
    for (next_one, next_other) in kept.into_iter().chain([(before.len(), after.len())]) {
        if one < next_one || other < next_other {
            changed.push(Hunk { before: one..next_one, after: other..next_other });
        }
        (one, other) = (next_one + 1, next_other + 1);
    }
    changed
}

/// Whether it is more than a character, or surrounds what is.
fn holds(token: Token) -> bool {
    token.is_embed() || token.of != 0 || token.id == u32::from(FOREIGN)
}

/// The lines of some words, and how much of each stays.
struct Lines {
    /// The line of each word.
    of: Vec<usize>,
    lines: Vec<Line>,
}

#[derive(Default, Clone)]
struct Line {
    letters: usize,
    stay: usize,
    /// Whether an embed stays, or what surrounds one.
    has_embed: bool,
}

impl Lines {
    fn of(words: &[&[Token]]) -> Self {
        let mut lines = Self { of: Vec::with_capacity(words.len()), lines: vec![Line::default()] };
        for word in words {
            lines.of.push(lines.lines.len() - 1);
            if let Some(line) = lines.lines.last_mut() {
                line.letters += weight(word);
            }
            if word.last().is_some_and(|token| token.is_end()) {
                lines.lines.push(Line::default());
            }
        }
        lines
    }

    /// Notes which words stay.
    fn stay(&mut self, words: &[&[Token]], kept: impl Iterator<Item = usize>) {
        for line in &mut self.lines {
            (line.stay, line.has_embed) = (0, false);
        }
        for at in kept {
            let Some(word) = words.get(at) else { continue };
            if let Some(line) = self.of.get(at).and_then(|line| self.lines.get_mut(*line)) {
                line.stay += weight(word);
                line.has_embed |= word.iter().any(|token| holds(*token));
            }
        }
    }

    fn mostly_stays(&self, word: usize) -> bool {
        let line = self.of.get(word).and_then(|line| self.lines.get(*line));
        line.is_some_and(|line| line.has_embed || line.letters == 0 || 2 * line.stay > line.letters)
    }
}
