//! The tables of `state`: read in rows, changed in drafts.

use std::{cell::RefCell, collections::BTreeMap, ops::Bound};

use super::{Db, DbError, Row};

/// Where in `state` a row is. Numbered by the first byte of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Number of a way to fold → event: how far the log has been folded so.
    Cursors = 0,
    /// Change hash → the event that brought it.
    Changes = 1,
    /// Note → its heads, and how many changes it has.
    Documents = 2,
    /// Note, event → nothing: the changes of a note, in the order of the log.
    Tails = 3,
    /// Note → what `list` shows of it.
    Catalog = 4,
    /// Note → nothing: its row in the catalog is to be made again.
    Stale = 5,
    /// Image, note → nothing: which notes show an image.
    Shown = 6,
    /// Image → its size, type, and where it is.
    Images = 7,
    /// Remote → how to reach it and what we pushed there.
    Remotes = 8,
    /// Remote, device → how far that device was read there.
    Peers = 9,
    /// Remote, event → the note that it changed, or nothing: what a remote has yet to be told.
    Unpushed = 10,
    /// Remote, image → how its upload stands.
    Outbox = 11,
    /// Remote, image → nothing: uploads that are not done.
    Active = 12,
    /// Device → the name that people gave it.
    Devices = 13,
    /// Nothing → this device and its vault.
    Identity = 14,
    /// Image, note → nothing: notes that show an image for which they have no URL.
    Unlinked = 15,
    /// Image → nothing: images that a note shows and this device does not hold.
    Wanted = 16,
    /// Path or title, note → nothing: which notes are called so.
    Called = 17,
    /// Remote that was removed → the public addresses that it had.
    Former = 18,
    /// Size in bytes → nothing: some image that is known has it.
    Sizes = 19,
    /// Remote, device → the segments of that device that were read or put there last.
    Recent = 20,
}

impl Table {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 21] = [
        Self::Cursors,
        Self::Changes,
        Self::Documents,
        Self::Tails,
        Self::Catalog,
        Self::Stale,
        Self::Shown,
        Self::Images,
        Self::Remotes,
        Self::Peers,
        Self::Unpushed,
        Self::Outbox,
        Self::Active,
        Self::Devices,
        Self::Identity,
        Self::Unlinked,
        Self::Wanted,
        Self::Called,
        Self::Former,
        Self::Sizes,
        Self::Recent,
    ];

    pub(super) fn key(self, key: &[u8]) -> Vec<u8> {
        let mut full = Vec::with_capacity(1 + key.len());
        full.push(self as u8);
        full.extend_from_slice(key);
        full
    }
}

/// The keys of a table that begin with `prefix`, and of which the rest is not before `first`, nor behind
/// `last`.
pub(super) fn span(
    table: Table,
    prefix: &[u8],
    first: &[u8],
    last: Option<&[u8]>,
) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let mut end = table.key(prefix);
    let start = [end.as_slice(), first].concat();
    if let Some(last) = last {
        end.extend_from_slice(last);
        // An empty range is no range.
        let end = end.max(start.clone());
        return (Bound::Included(start), Bound::Included(end));
    }
    // The first key that does not begin so. The numbers of tables are below the highest byte.
    while end.pop_if(|last| *last == u8::MAX).is_some() {}
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    (Bound::Included(start), Bound::Excluded(end))
}

/// What a row can be read from: the database, or a draft over it.
pub trait Read {
    /// The value under a key.
    ///
    /// # Errors
    ///
    /// What the engine said.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DbError>;

    /// The rows whose keys begin with `prefix`, by key.
    ///
    /// # Errors
    ///
    /// What the engine said.
    fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, DbError> {
        self.scan_between(table, prefix, &[], None)
    }

    /// Those of them of which the rest of the key is not before `first`, nor behind `last`.
    ///
    /// # Errors
    ///
    /// What the engine said.
    fn scan_between(
        &self,
        table: Table,
        prefix: &[u8],
        first: &[u8],
        last: Option<&[u8]>,
    ) -> Result<Vec<Row>, DbError>;

    /// The value under a key, decoded.
    ///
    /// # Errors
    ///
    /// [`DbError::Row`] where it is not what this version writes.
    fn row<T: serde::de::DeserializeOwned>(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<T>, DbError> {
        self.get(table, key)?.map(|value| decode_row(table, &value)).transpose()
    }
}

/// Decodes the value of a row.
///
/// # Errors
///
/// [`DbError::Row`] where it is not what this version writes.
pub fn decode_row<T: serde::de::DeserializeOwned>(
    table: Table,
    value: &[u8],
) -> Result<T, DbError> {
    postcard::from_bytes(value).map_err(|source| DbError::Row { table, source })
}

/// A new value, or `None` for a row that goes.
type Written = Option<Vec<u8>>;

/// Changes to `state` that were not committed yet; reads see them.
#[derive(Debug)]
pub struct Draft<'a> {
    pub(super) db: &'a Db,
    pub(super) writes: BTreeMap<Vec<u8>, Written>,
    /// What each key was to hold before, since the last savepoint.
    pub(super) undo: Vec<(Vec<u8>, Option<Written>)>,
    /// Small tables as the database has them. Nobody else writes while there is a draft.
    pub(super) small: RefCell<BTreeMap<Table, Vec<Row>>>,
}

/// How many rows a small table has.
const SMALL: usize = 16;

impl Draft<'_> {
    /// Puts a row.
    pub fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) {
        self.write(table.key(key), Some(value));
    }

    /// Puts a row, encoded.
    ///
    /// # Errors
    ///
    /// Only where the codec fails, which it does for no row that this library makes.
    pub fn put_row<T: serde::Serialize>(
        &mut self,
        table: Table,
        key: &[u8],
        row: &T,
    ) -> Result<(), DbError> {
        let value = postcard::to_allocvec(row).map_err(|source| DbError::Row { table, source })?;
        self.put(table, key, value);
        Ok(())
    }

    /// Takes a row away. One that the database does not hold leaves no trace: what scans a table that is
    /// mostly empty would step over the traces of all that was ever in it.
    pub fn delete(&mut self, table: Table, key: &[u8]) {
        let key = table.key(key);
        if self.db.state.contains_key(&key).is_ok_and(|there| !there) {
            if let Some(before) = self.writes.remove(&key) {
                self.undo.push((key, Some(before)));
            }
        } else {
            self.write(key, None);
        }
    }

    /// Notes how far it has come, so that [`Draft::rollback`] can take back what comes after.
    pub fn savepoint(&mut self) {
        self.undo.clear();
    }

    /// Takes back what was drafted since the last savepoint.
    pub fn rollback(&mut self) {
        for (key, before) in self.undo.drain(..).rev() {
            match before {
                Some(before) => self.writes.insert(key, before),
                None => self.writes.remove(&key),
            };
        }
    }

    fn write(&mut self, key: Vec<u8>, value: Written) {
        let before = self.writes.insert(key.clone(), value);
        self.undo.push((key, before));
    }

    /// Ends the draft; [`Batch::apply`](super::Batch::apply) takes what comes out.
    #[must_use]
    pub fn into_changes(self) -> Changes {
        Changes(self.writes)
    }
}

/// What a draft would change.
#[derive(Debug)]
pub struct Changes(pub(super) BTreeMap<Vec<u8>, Written>);

impl Changes {
    /// What `Mutant::CursorApart` commits later: all but the cursors.
    pub(crate) fn apart_from_cursors(&mut self) -> Self {
        let tables = self.0.split_off(&Table::Changes.key(&[]));
        Self(tables)
    }
}

impl Draft<'_> {
    /// The rows that the database has.
    fn beneath(
        &self,
        table: Table,
        prefix: &[u8],
        first: &[u8],
        last: Option<&[u8]>,
    ) -> Result<Vec<Row>, DbError> {
        if !prefix.is_empty() || !first.is_empty() || last.is_some() {
            return self.db.scan_between(table, prefix, first, last);
        }
        if let Some(rows) = self.small.borrow().get(&table) {
            return Ok(rows.clone());
        }
        let rows = self.db.scan(table, prefix)?;
        if rows.len() <= SMALL {
            self.small.borrow_mut().insert(table, rows.clone());
        }
        Ok(rows)
    }
}

impl Read for Draft<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        match self.writes.get(&table.key(key)) {
            Some(written) => Ok(written.clone()),
            None => self.db.get(table, key),
        }
    }

    fn scan_between(
        &self,
        table: Table,
        prefix: &[u8],
        first: &[u8],
        last: Option<&[u8]>,
    ) -> Result<Vec<Row>, DbError> {
        let rows = self.beneath(table, prefix, first, last)?;
        let mut written = self.writes.range(span(table, prefix, first, last)).peekable();
        if written.peek().is_none() {
            return Ok(rows);
        }
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = rows.into_iter().collect();
        for (key, value) in written {
            let key = key.get(1..).unwrap_or_default().to_vec();
            match value {
                Some(value) => rows.insert(key, value.clone()),
                None => rows.remove(&key),
            };
        }
        Ok(rows.into_iter().collect())
    }
}
