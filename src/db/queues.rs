//! Tables that are mostly empty, and what was last read of them.
//!
//! What came and went leaves a trace in the engine until it is compacted, and a scan steps over every one
//! of them: after ten thousand uploads, ten thousand to find that nothing is left to do. So what little such
//! a table holds is remembered until somebody writes to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{DbError, Row, Table};

const QUEUES: [Table; 4] = [Table::Stale, Table::Active, Table::Unlinked, Table::Wanted];
/// More rows are read again.
const FEW: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Queues(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How often each table was written, by its number.
    writes: BTreeMap<u8, u64>,
    /// Rows by what their keys begin with, and how often their table had been written before they were read.
    rows: BTreeMap<Vec<u8>, (u64, Vec<Row>)>,
}

impl Known {
    fn writes(&self, table: u8) -> u64 {
        self.writes.get(&table).copied().unwrap_or_default()
    }
}

impl Queues {
    /// The rows of a table that begin with `prefix`, which `scan` gives where they are not known.
    pub(super) fn rows(
        &self,
        table: Table,
        prefix: &[u8],
        scan: impl FnOnce() -> Result<Vec<Row>, DbError>,
    ) -> Result<Vec<Row>, DbError> {
        if !QUEUES.contains(&table) {
            return scan();
        }
        let key = table.key(prefix);
        let writes = {
            let known = self.lock();
            let writes = known.writes(table as u8);
            match known.rows.get(&key) {
                Some((read_at, rows)) if *read_at == writes => return Ok(rows.clone()),
                _ => writes,
            }
        };
        let rows = scan()?;
        if rows.len() <= FEW {
            self.lock().rows.insert(key, (writes, rows.clone()));
        }
        Ok(rows)
    }

    /// Notes that tables with these numbers were written. To be called once that can be read: whoever reads
    /// before may see what was.
    pub(super) fn written(&self, tables: &BTreeSet<u8>) {
        if tables.is_empty() {
            return;
        }
        let mut known = self.lock();
        for table in tables {
            *known.writes.entry(*table).or_default() += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The numbers of all such tables.
pub(super) fn all() -> BTreeSet<u8> {
    QUEUES.iter().map(|table| *table as u8).collect()
}

/// The number of the table that a key belongs to, if that is such a table.
pub(super) fn of(key: &[u8]) -> Option<u8> {
    key.first().copied().filter(|first| QUEUES.iter().any(|table| *table as u8 == *first))
}
