//! What a person looks for, and where a text says it. Pure: it knows texts, not notes.
//!
//! A query is words, and phrases in double quotes. A text has to say each of them, in any order; parts of words count,
//! and neither case nor the way in which accents are spelled does.

use std::ops::Range;

use icu_normalizer::DecomposingNormalizerBorrowed;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::resolve::nfc;

/// How many characters a query has at most.
const LONGEST: usize = 1000;
/// How many words and phrases.
const MOST: usize = 32;
/// How many characters of a line are shown, about, and how many of them stand before what was found.
const SHOWN: usize = 160;
const BEFORE: usize = 40;

/// Words and phrases that a text has to say, all of them.
#[derive(Debug, Clone)]
pub struct Query(Vec<Regex>);

/// Why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// It has no words.
    #[error("there is nothing to look for: give a word, or a phrase in quotes")]
    Empty,
    /// It has too many.
    #[error(
        "that is too much to look for: {LONGEST} characters, in {MOST} words and phrases, are the most"
    )]
    TooLong,
}

/// A line of a text that says what was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Excerpt {
    /// Its number, from 1.
    pub line: usize,
    /// What it says, or the part of it around what was found; one after the other.
    pub pieces: Vec<Piece>,
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Piece {
    /// What it says.
    pub text: String,
    /// Whether that is what was looked for.
    pub found: bool,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    ///
    /// [`QueryError`]
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.chars().nth(LONGEST).is_some() {
            return Err(QueryError::TooLong);
        }
        // Every other part stands in quotes; a last one that is left open does, too.
        let parts = text.split('"').enumerate();
        let terms = parts.flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().map(|word| vec![word]).collect(),
            _ => vec![part.split_whitespace().collect::<Vec<_>>()],
        });
        let terms: Vec<_> = terms.filter(|words| !words.is_empty()).collect();
        if terms.is_empty() {
            return Err(QueryError::Empty);
        }
        if terms.len() > MOST {
            return Err(QueryError::TooLong);
        }
        let terms = terms.iter().map(|words| {
            let words = words.iter().map(|word| spelled(word)).collect::<Vec<_>>();
            RegexBuilder::new(&words.join(r"\s+")).case_insensitive(true).build()
        });
        // What is escaped can only be too large.
        let terms: Result<Vec<Regex>, _> = terms.collect();
        terms.map(Self).map_err(|_| QueryError::TooLong)
    }

    /// Whether each word and phrase is in one of `texts`.
    #[must_use]
    pub fn is_in(&self, texts: &[&str]) -> bool {
        self.0.iter().all(|term| texts.iter().any(|text| term.is_match(text)))
    }

    /// The line of a text that says most of it, the first of several; `None` where none says any of it.
    #[must_use]
    pub fn excerpt(&self, text: &str) -> Option<Excerpt> {
        let mut best = None;
        let mut most = 0;
        for (number, line) in text.lines().enumerate() {
            let said = self.0.iter().filter(|term| term.is_match(line)).count();
            if said > most {
                (best, most) = (Some((number, line)), said);
            }
            if most == self.0.len() {
                break;
            }
        }
        // A phrase may go on in the next line.
        let (number, line) = best.or_else(|| self.begins(text))?;
        Some(Excerpt { line: number + 1, pieces: self.pieces(line) })
    }

    /// The line in which the first match of a text begins.
    fn begins<'a>(&self, text: &'a str) -> Option<(usize, &'a str)> {
        let start = self.0.iter().filter_map(|term| Some(term.find(text)?.start())).min()?;
        let number = text.get(..start)?.matches('\n').count();
        Some((number, text.lines().nth(number)?))
    }

    fn pieces(&self, line: &str) -> Vec<Piece> {
        let line = line.trim();
        let mut found: Vec<Range<usize>> = self
            .0
            .iter()
            .flat_map(|term| term.find_iter(line).map(|found| found.range()))
            .collect();
        found.sort_by_key(|range| (range.start, range.end));
        let first = found.first().map_or(0, |range| range.start);
        let window = window(line, first);
        let mut pieces = Vec::new();
        let mut push = |text: &str, found: bool| {
            if !text.is_empty() {
                pieces.push(Piece { text: text.to_owned(), found });
            }
        };
        push(if window.start > 0 { "…" } else { "" }, false);
        let mut at = window.start;
        for range in found {
            let (start, end) = (range.start.max(at), range.end.min(window.end));
            if start < end {
                push(line.get(at..start).unwrap_or_default(), false);
                push(line.get(start..end).unwrap_or_default(), true);
                at = end;
            }
        }
        push(line.get(at..window.end).unwrap_or_default(), false);
        push(if window.end < line.len() { "…" } else { "" }, false);
        pieces
    }
}

/// The pattern of a word, however its accents are spelled.
fn spelled(word: &str) -> String {
    let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(word);
    let (one, other) = (regex::escape(&nfc(word)), regex::escape(&decomposed));
    if one == other { one } else { format!("(?:{one}|{other})") }
}

/// The part of a line that is shown, around what begins at `first`.
fn window(line: &str, first: usize) -> Range<usize> {
    let before = line.get(..first).unwrap_or_default().char_indices().rev();
    let start = before.take(BEFORE).last().map_or(first, |(at, _)| at);
    let rest = line.get(start..).unwrap_or_default();
    let end = rest.char_indices().nth(SHOWN).map_or(line.len(), |(at, _)| start + at);
    start..end
}
