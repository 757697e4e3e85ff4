//! Finding notes by what they say.
//!
//! The texts of notes are kept in the cache, packed, each with the last event that it holds. A search reads them,
//! and those notes alone that were changed since the last one: nothing that is written waits for this.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{Listed, Vault, VaultError};
use crate::{
    clock::Timestamp,
    db::Durability,
    id::{NoteId, Seq},
    projection::{
        catalog::{self, Entry},
        documents,
    },
    search::{Excerpt, Query},
};

/// How many notes are looked through before the texts of those that were read are kept.
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

/// The text of a note, and what is to be kept of it where that is news.
struct Text {
    text: String,
    row: Option<Vec<u8>>,
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
        let query = Query::parse(query)?;
        let mut rows = catalog::list(self.db())?;
        rows.retain(|(_, entry)| options.trashed || !entry.digest.trashed);
        let mut found = Vec::new();
        for rows in rows.chunks(AT_ONCE) {
            let mut batch = self.db().batch();
            for (row, looked) in rows.iter().zip(self.divided(rows, |row| self.look(&query, row))) {
                let (ranked, text) = looked?;
                found.extend(ranked);
                if let Some(text) = text {
                    batch.cache(text_key(row.0), Some(text));
                }
            }
            batch.commit(Durability::Buffered)?;
        }
        found.sort_by_key(|found| (!found.is_called_so, Reverse(found.updated), found.note));
        found.truncate(options.limit.unwrap_or(usize::MAX));
        let mut all = Vec::with_capacity(found.len());
        for Ranked { note, .. } in found {
            let Some(listed) = self.listed(note)? else { continue };
            let text = self.text(note)?;
            all.push(Found { listed, excerpt: text.and_then(|text| query.excerpt(&text.text)) });
        }
        Ok(all)
    }

    /// Whether a note says what is looked for, and its text where that is to be kept.
    fn look(
        &self,
        query: &Query,
        (note, entry): &(NoteId, Entry),
    ) -> Result<(Option<Ranked>, Option<Vec<u8>>), VaultError> {
        let (title, path) =
            (entry.digest.title.as_str(), entry.digest.path.as_deref().unwrap_or_default());
        let Text { text, row } =
            self.text(*note)?.unwrap_or(Text { text: String::new(), row: None });
        let is_called_so = query.is_in(&[title, path]);
        let is_found = is_called_so || query.is_in(&[title, path, &text]);
        let ranked = Ranked { note: *note, is_called_so, updated: entry.updated };
        Ok((is_found.then_some(ranked), row))
    }

    /// What a note says; `None` where it can't be read.
    fn text(&self, note: NoteId) -> Result<Option<Text>, VaultError> {
        let Some(document) = documents::get(self.db(), note)? else { return Ok(None) };
        let kept = self.db().cached(&text_key(note))?;
        if let Some(text) = kept.and_then(|row| unpacked(&row, document.last)) {
            return Ok(Some(Text { text, row: None }));
        }
        // What comes while it is read makes it be read once more.
        let text = match self.read(note, None) {
            Ok(reading) => reading.body.source(),
            Err(VaultError::Note { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let row = packed(&text, document.last);
        Ok(Some(Text { text, row }))
    }
}

fn text_key(note: NoteId) -> Vec<u8> {
    [b"text/".as_slice(), note.as_bytes()].concat()
}

/// The last event that a text holds (8 bytes, big-endian) · its length in bytes (4, likewise) · the text, packed by
/// zstd. `None` where it is too long to be kept.
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
