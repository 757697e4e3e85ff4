//! What was written anew: lines of which less than half stays.

use super::{super::embed::FOREIGN, Hunk, Token, common};

/// Whether no word ends between two tokens.
pub(super) fn is_within_word(one: Token, next: Token) -> bool {
    let is_accent = |token: Token| matches!(token.id, 0x300..=0x36f);
    let in_word = |token: Token| is_letter(token) && !stands_alone(token);
    (in_word(one) || is_accent(one)) && (in_word(next) || is_accent(next))
}

fn is_space(token: Token) -> bool {
    char::from_u32(token.id).is_some_and(char::is_whitespace)
}

/// Whether it is neither a letter nor a space. What is of private use is none: each stands for something else.
fn is_mark(token: Token) -> bool {
    let is_private = matches!(token.id, 0xe000..=0xf8ff | 0xf_0000..=0x10_ffff);
    !is_private && !token.is_embed() && !is_letter(token) && !is_space(token)
}

fn is_letter(token: Token) -> bool {
    char::from_u32(token.id).is_some_and(char::is_alphanumeric)
}

/// Whether it is of a script that puts no spaces between words.
fn stands_alone(token: Token) -> bool {
    matches!(
        token.id,
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x2e80..=0x9fff | 0xf900..=0xfaff
            | 0x2_0000..=0x3_ffff
    )
}

/// How much there is of something.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    letters: usize,
    marks: usize,
    /// All but spaces, so what is neither a letter nor a mark, too.
    all: usize,
}

impl Weight {
    fn of(tokens: &[Token]) -> Self {
        let number = |is: fn(Token) -> bool| tokens.iter().filter(|token| is(**token)).count();
        let all = number(|token| !is_space(token));
        Self { letters: number(is_letter), marks: number(is_mark), all }
    }

    fn and(self, other: Self) -> Self {
        Self {
            letters: self.letters + other.letters,
            marks: self.marks + other.marks,
            all: self.all + other.all,
        }
    }

    /// Whether it is half of `all` or more: half of its letters, or of its marks where there are none.
    fn is_half(self, all: Self) -> bool {
        if all.letters > 0 { 2 * self.letters >= all.letters } else { 2 * self.marks >= all.marks }
    }

    fn is_nothing(self) -> bool {
        self.all == 0
    }
}

/// Whether a blank line was filled. What somebody writes there takes its place: else it would be glued to a line that
/// another puts before it, or to what another writes there.
pub(super) fn is_filled(before: &[Token], after: &[Token]) -> bool {
    let ends = |tokens: &[Token]| tokens.last().is_some_and(|token| token.is_end());
    let is_blank = |tokens: &[Token]| Weight::of(tokens).is_nothing();
    ends(before) && ends(after) && is_blank(before) && !is_blank(after)
}

/// How many tokens two lines begin and end with, in whole words; `None` where that is less than half of the
/// first of them.
pub(super) fn same_ends(before: &[Token], after: &[Token]) -> Option<(usize, usize)> {
    let (mut prefix, mut suffix) = common(before, after);
    let is_one = |line: &[Token]| {
        line.iter().position(|token| token.is_end()).is_none_or(|at| at + 1 == line.len())
    };
    let ends = before.get(..prefix).into_iter().chain(before.get(before.len() - suffix..));
    let stays = ends.map(Weight::of).fold(Weight::default(), Weight::and);
    if !is_one(before) || !is_one(after) || !stays.is_half(Weight::of(before)) {
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

/// Of the words that differ, as `hunks` of words have it, all of a line of which less than half of the letters
/// stays: what stands there now was written anew. A line that keeps an embed, or what surrounds one, is still
/// that line.
pub(super) fn whole_lines(before: &[&[Token]], after: &[&[Token]], hunks: &[Hunk]) -> Vec<Hunk> {
    let (mut lines, new) = (Lines::of(before), Lines::of(after));
    let mut kept = Vec::new();
    let (mut one, mut other) = (0, 0);
    for hunk in hunks.iter().map(Some).chain([None]) {
        let end = hunk.map_or(before.len(), |hunk| hunk.before.start);
        kept.extend((one..end).zip(other..));
        if let Some(hunk) = hunk {
            (one, other) = (hunk.before.end, hunk.after.end);
        }
    }
    for (one, _) in &kept {
        lines.stays(*one, before.get(*one).copied().unwrap_or_default());
    }
    kept.retain(|(one, other)| {
        let is_filled = lines.is_blank(*one) && !new.is_blank(*other);
        lines.mostly_stays(*one) && !is_filled
    });
    let (mut changed, mut one, mut other) = (Vec::new(), 0, 0);
    for (next_one, next_other) in kept.into_iter().chain([(before.len(), after.len())]) {
        if one < next_one || other < next_other {
            let hunk = Hunk { before: one..next_one, after: other..next_other };
            changed.extend(apart(before, after, hunk));
        }
        (one, other) = (next_one + 1, next_other + 1);
    }
    changed
}

/// A hunk without the ends of lines that stay: what became of those is no part of what was written anew beside
/// them. The line break of a line that stays, too, does.
fn apart(before: &[&[Token]], after: &[&[Token]], hunk: Hunk) -> Vec<Hunk> {
    let breaks = |words: &[&[Token]], at: usize| {
        words.get(at).and_then(|word| word.last()).is_some_and(|token| token.is_end())
    };
    let begins = |words: &[&[Token]], at: usize| at == 0 || breaks(words, at - 1);
    let (mut old, mut new) = (hunk.before, hunk.after);
    let same =
        |one: usize, other: usize| before.get(one) == after.get(other) && !breaks(before, one);
    // Words that both lines have there may have been paired with those of a line that was written anew.
    if !begins(before, old.start) && !begins(after, new.start) {
        while !old.is_empty() && !new.is_empty() && same(old.start, new.start) {
            (old.start, new.start) = (old.start + 1, new.start + 1);
        }
    }
    if !begins(before, old.end) && !begins(after, new.end) {
        while !old.is_empty() && !new.is_empty() && same(old.end - 1, new.end - 1) {
            (old.end, new.end) = (old.end - 1, new.end - 1);
        }
    }
    let mut hunks = Vec::new();
    if !begins(before, old.start)
        && !begins(after, new.start)
        && let Some(one) = old.clone().find(|at| breaks(before, *at))
        && let Some(other) = new.clone().find(|at| breaks(after, *at))
    {
        hunks.push(Hunk { before: old.start..one, after: new.start..other });
        (old.start, new.start) = (one + 1, other + 1);
    }
    let mut last = None;
    if !begins(before, old.end)
        && !begins(after, new.end)
        && let Some(one) = old.clone().rfind(|at| breaks(before, *at))
        && let Some(other) = new.clone().rfind(|at| breaks(after, *at))
    {
        last = Some(Hunk { before: one + 1..old.end, after: other + 1..new.end });
        (old.end, new.end) = (one + 1, other + 1);
    }
    hunks.push(Hunk { before: old, after: new });
    hunks.extend(last);
    hunks.retain(|hunk| !hunk.before.is_empty() || !hunk.after.is_empty());
    hunks
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

#[derive(Default)]
struct Line {
    all: Weight,
    stays: Weight,
    /// Whether an embed stays, or what surrounds one.
    has_embed: bool,
}

impl Lines {
    fn of(words: &[&[Token]]) -> Self {
        let mut lines = Self { of: Vec::with_capacity(words.len()), lines: vec![Line::default()] };
        for word in words {
            lines.of.push(lines.lines.len() - 1);
            if let Some(line) = lines.lines.last_mut() {
                line.all = line.all.and(Weight::of(word));
            }
            if word.last().is_some_and(|token| token.is_end()) {
                lines.lines.push(Line::default());
            }
        }
        lines
    }

    /// Notes that a word stays.
    fn stays(&mut self, at: usize, word: &[Token]) {
        if let Some(line) = self.of.get(at).and_then(|line| self.lines.get_mut(*line)) {
            line.stays = line.stays.and(Weight::of(word));
            line.has_embed |= word.iter().any(|token| holds(*token));
        }
    }

    fn line(&self, word: usize) -> Option<&Line> {
        self.of.get(word).and_then(|line| self.lines.get(*line))
    }

    fn mostly_stays(&self, word: usize) -> bool {
        self.line(word).is_some_and(|line| line.has_embed || line.stays.is_half(line.all))
    }

    fn is_blank(&self, word: usize) -> bool {
        self.line(word).is_some_and(|line| line.all.is_nothing())
    }
}
