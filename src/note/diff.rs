//! What differs between two sequences of tokens: lines first, then the tokens of changed lines.

use std::{collections::HashMap, hash::Hash, ops::Range};

use imara_diff::{Algorithm, Diff, Token};

/// Tokens of the one side that those of the other side take the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hunk {
    pub(super) before: Range<usize>,
    pub(super) after: Range<usize>,
}

/// The token that ends a line.
const LINE_END: u32 = '\n' as u32;

/// The hunks that make `after` of `before`, in order and apart from one another.
///
/// Not always the least: the time is bounded instead.
pub(super) fn diff(before: &[u32], after: &[u32]) -> Vec<Hunk> {
    let same = |(one, other): &(&u32, &u32)| one == other;
    let prefix = before.iter().zip(after).take_while(same).count();
    let (before, after) = (tail(before, prefix), tail(after, prefix));
    let suffix = before.iter().rev().zip(after.iter().rev()).take_while(same).count();
    let (before, after) = (head(before, suffix), head(after, suffix));
    let mut hunks = Vec::new();
    let (old, new) = (lines(before), lines(after));
    let (old_starts, new_starts) = (starts(&old), starts(&new));
    for lines in compare(Algorithm::Histogram, &old, &new) {
        let (old, new) = (span(&old_starts, &lines.before), span(&new_starts, &lines.after));
        let refined = compare(
            Algorithm::Myers,
            before.get(old.clone()).unwrap_or_default(),
            after.get(new.clone()).unwrap_or_default(),
        );
        hunks.extend(refined.into_iter().map(|hunk| Hunk {
            before: shifted(&hunk.before, prefix + old.start),
            after: shifted(&hunk.after, prefix + new.start),
        }));
    }
    hunks
}

fn tail(tokens: &[u32], from: usize) -> &[u32] {
    tokens.get(from..).unwrap_or_default()
}

fn head(tokens: &[u32], without: usize) -> &[u32] {
    tokens.get(..tokens.len() - without).unwrap_or_default()
}

fn lines(tokens: &[u32]) -> Vec<&[u32]> {
    tokens.split_inclusive(|token| *token == LINE_END).collect()
}

fn shifted(range: &Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

/// Where each line starts, and at last where they end.
fn starts(lines: &[&[u32]]) -> Vec<usize> {
    let mut end = 0;
    let ends = lines.iter().map(|line| {
        end += line.len();
        end
    });
    std::iter::once(0).chain(ends).collect()
}

/// The tokens of some lines.
fn span(starts: &[usize], lines: &Range<usize>) -> Range<usize> {
    let start = |line: usize| starts.get(line).copied().unwrap_or_default();
    start(lines.start)..start(lines.end)
}

fn compare<T: Hash + Eq>(algorithm: Algorithm, before: &[T], after: &[T]) -> Vec<Hunk> {
    let mut known: HashMap<&T, u32> = HashMap::new();
    let mut tokens = Vec::with_capacity(before.len() + after.len());
    for item in before.iter().chain(after) {
        let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
        tokens.push(Token(*known.entry(item).or_insert(next)));
    }
    let (before, after) = tokens.split_at(before.len());
    let mut diff = Diff::default();
    diff.compute_with(algorithm, before, after, u32::try_from(known.len()).unwrap_or(u32::MAX));
    let range = |range: Range<u32>| range.start as usize..range.end as usize;
    diff.hunks().map(|hunk| Hunk { before: range(hunk.before), after: range(hunk.after) }).collect()
}
