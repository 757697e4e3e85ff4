//! Finding notes by what they say.
//!
//! The texts of notes are kept in the cache, packed, each with the last event that it holds. A search reads them,
//! and those notes alone that were changed here since the last one; what it read is written behind, as is what a
//! sync read.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{Listed, Vault, VaultError};
use crate::{
    clock::Timestamp,
    id::{NoteId, Seq},
    projection::{
        catalog::{self, Entry},
        documents,
    },
    search::{Excerpt, Query},
};

/// How many notes are looked through in one go.
const AT_ONCE: usize = 1024;
/// How hard a text is packed: it is read as often as somebody looks for something.
const LEVEL: i32 = 1;
/// No text takes more, in bytes; see [`NOTE_LIMIT`](super::NOTE_LIMIT) for what a note may.
const LONGEST: usize = 64 << 20;

/// How a search is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct SearchOptions {
    /// Whether notes in the trash are looked through, too.
    pub trashed: bool,
    /// At most so many notes; `None` for all.
    pub limit: Option<usize>,
}

/// A note that says what was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Found {
    /// The note.
    #[serde(flatten)]
    pub listed: Listed,
    /// The line that says most of it; `None` where only its title or its path does.
    pub excerpt: Option<Excerpt>,
}

/// A note, and where it stands among those that were found.
struct Ranked {
    note: NoteId,
    is_called_so: bool,
    updated: Timestamp,
}

impl Vault {
    /// The notes that say each word and phrase of a query in their titles, paths or texts: first those that are
    /// called so, then those that were changed last. How it is written stands in [`search`](crate::search).
    ///
    /// The first search of all reads each note, and each later one those that were changed since.
    ///
    /// # Errors
    ///
    /// [`VaultError::Query`], or what the database said. A note that can't be read is found by its title and path.
    pub fn search(&self, query: &str, options: &SearchOptions) -> Result<Vec<Found>, VaultError> {
        self.search_in(query, options.limit, |entry| options.trashed || !entry.digest.trashed)
    }

    /// The same in those notes alone that are `meant`.
    pub(crate) fn search_in(
        &self,
        query: &str,
        limit: Option<usize>,
        meant: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<Found>, VaultError> {
        let query = Query::parse(query)?;
        let mut rows = catalog::list(self.db())?;
        rows.retain(|(_, entry)| meant(entry));
        let mut found = Vec::new();
        for rows in rows.chunks(AT_ONCE) {
            for ranked in self.divided(rows, |(note, entry)| self.look(&query, *note, entry)) {
                found.extend(ranked?);
            }
        }
        // Else a search that comes soon would read them once more.
        self.0.log.write_behind();
        found.sort_by_key(|found| (!found.is_called_so, Reverse(found.updated), found.note));
        found.truncate(limit.unwrap_or(usize::MAX));
        let mut all = Vec::with_capacity(found.len());
        for Ranked { note, .. } in found {
            let Some(listed) = self.listed(note)? else { continue };
            let text = self.text(note)?;
            all.push(Found { listed, excerpt: text.and_then(|text| query.excerpt(&text)) });
        }
        Ok(all)
    }

    /// Reads what a [search](Self::search) would have to read first, one note after the other, as long as it may go
    /// on: after that, searches are quick. Blocks; meant for a thread that nobody waits for.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn prepare_search(&self, may_go_on: impl Fn() -> bool) -> Result<(), VaultError> {
        let rows = catalog::list(self.db())?;
        for (note, _) in rows.into_iter().take_while(|_| may_go_on()) {
            self.text(note)?;
        }
        self.0.log.write_behind();
        Ok(())
    }

    /// Where a note stands among those that say what is looked for, if it does.
    fn look(
        &self,
        query: &Query,
        note: NoteId,
        entry: &Entry,
    ) -> Result<Option<Ranked>, VaultError> {
        let (title, path) =
            (entry.digest.title.as_str(), entry.digest.path.as_deref().unwrap_or_default());
        let text = self.text(note)?.unwrap_or_default();
        let is_called_so = query.is_in(&[title, path]);
        let is_found = is_called_so || query.is_in(&[title, path, &text]);
        Ok(is_found.then_some(Ranked { note, is_called_so, updated: entry.updated }))
    }

    /// What a note says; `None` where it can't be read.
    fn text(&self, note: NoteId) -> Result<Option<String>, VaultError> {
        let Some(document) = documents::get(self.db(), note)? else { return Ok(None) };
        let kept = self.db().cached(&key(note))?;
        if let Some(text) = kept.and_then(|row| unpacked(&row, document.last)) {
            return Ok(Some(text));
        }
        let through = self.settled(note)?;
        let text = match self.read(note, None) {
            Ok(reading) => reading.body.source(),
            Err(VaultError::Note { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.keep_text(note, through, &text);
        Ok(Some(text))
    }

    /// The last event of a note, all of which whoever reads it from now on sees. `None` where that is not sure: the
    /// rows of a batch come to be seen one after the other.
    pub(super) fn settled(&self, note: NoteId) -> Result<Option<Seq>, VaultError> {
        let Some(document) = documents::get(self.db(), note)? else { return Ok(None) };
        let before = Seq(document.last.0.saturating_sub(1));
        let is_there = documents::tail(self.db(), note, before)?.contains(&document.last);
        Ok(is_there.then_some(document.last))
    }

    /// Keeps what a note says that was read after it had [settled](Self::settled) through an event. What came
    /// meanwhile makes it be read once more.
    pub(super) fn keep_text(&self, note: NoteId, through: Option<Seq>, text: &str) {
        if let Some(row) = through.and_then(|through| packed(text, through)) {
            self.0.log.keep(key(note), row);
        }
    }
}

fn key(note: NoteId) -> Vec<u8> {
    [b"text/".as_slice(), note.as_bytes()].concat()
}

/// What a text is kept as: the last event that it holds (8 bytes, big-endian) · its length in bytes (4, likewise) ·
/// the text, packed by zstd. `None` where it is too long to be kept.
fn packed(text: &str, through: Seq) -> Option<Vec<u8>> {
    let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= LONGEST)?;
    let packed = zstd::bulk::compress(text.as_bytes(), LEVEL).ok()?;
    Some([through.0.to_be_bytes().as_slice(), &length.to_be_bytes(), &packed].concat())
}

/// The text of a row; `None` where it is of another time, or damaged.
fn unpacked(row: &[u8], through: Seq) -> Option<String> {
    let (at, rest) = row.split_first_chunk::<8>()?;
    let (length, packed) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if u64::from_be_bytes(*at) != through.0 || length > LONGEST {
        return None;
    }
    let text = zstd::bulk::decompress(packed, length).ok()?;
    String::from_utf8(text).ok().filter(|text| text.len() == length)
}
