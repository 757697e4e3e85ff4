//! Read models folded from the log.
//!
//! Each projection takes an event in by drafting rows of its own tables. The log writes what was
//! drafted in the same batch as the event, with the cursor, so a projection is never behind and
//! never ahead. Folding an event twice changes nothing the second time, and dropping every table
//! and folding the log from zero gives the same rows ([`rebuild`]).
//!
//! One table needs more than events: a row of the catalog is made from the note itself. Folding
//! marks it stale; whoever has the note at hand puts the row ([`catalog::put`]).

pub mod catalog;
pub mod devices;
pub mod documents;
pub mod outbox;
pub mod receipts;
pub mod recent;

use crate::{
    db::{Batch, Db, DbError, Draft, Durability, Read, Table},
    event::{Recorded, RemoteName},
    id::Seq,
    log::{self, Fold, FoldError, LogError},
};

/// How many events a replay folds between two commits.
const REPLAY: usize = 4096;

/// Which rows folding makes. Raised whenever the same events come to other rows: a vault whose tables were
/// folded under another number is folded anew when it is opened.
pub const FOLD: u8 = 5;

/// All projections, in the order in which they need one another.
#[derive(Debug, Clone, Copy, Default)]
pub struct Projections;

impl Fold for Projections {
    fn fold(&self, event: &Recorded, draft: &mut Draft<'_>) -> Result<(), FoldError> {
        // Some rows count: what the cursor has passed is in them.
        if event.seq <= cursor(draft)? {
            return Ok(());
        }
        devices::fold(event, draft)?;
        documents::fold(event, draft)?;
        catalog::fold(event, draft)?;
        receipts::fold(event, draft)?;
        outbox::fold(event, draft)?;
        draft.put_row(Table::Cursors, &[FOLD], &event.seq)?;
        Ok(())
    }
}

/// How far the log has been folded as [`FOLD`] has it; zero where that was done otherwise.
///
/// # Errors
///
/// What the database said.
pub fn cursor(read: &impl Read) -> Result<Seq, DbError> {
    Ok(read.row(Table::Cursors, &[FOLD])?.unwrap_or_default())
}

/// Folds what `target` has not seen of the log in `source`; the two may be one.
///
/// # Errors
///
/// Where the log can't be read, or an event not folded.
pub fn catch_up(source: &Db, target: &Db) -> Result<(), LogError> {
    catch_up_through(source, target, Seq(u64::MAX))
}

/// Folds what `target` has not seen of the log in `source` up to and with an event.
pub(crate) fn catch_up_through(source: &Db, target: &Db, through: Seq) -> Result<(), LogError> {
    let is_wanted = |event: &Result<Recorded, LogError>| {
        event.as_ref().map_or(true, |event| event.seq <= through)
    };
    let mut events = log::read(source, cursor(target)?.next()).take_while(is_wanted).peekable();
    while events.peek().is_some() {
        let mut draft = target.draft();
        for event in events.by_ref().take(REPLAY) {
            Projections.fold(&event?, &mut draft).map_err(LogError::Refused)?;
            draft.savepoint();
        }
        let mut batch: Batch<'_> = target.batch();
        batch.apply(draft.into_changes());
        batch.commit(Durability::Buffered)?;
    }
    Ok(())
}

/// Whether the tables are, or may be, the work of another everleaf, which folds otherwise.
///
/// # Errors
///
/// What the database said.
pub(crate) fn is_of_other(read: &impl Read) -> Result<bool, DbError> {
    let cursors = read.scan(Table::Cursors, &[])?;
    Ok(cursors.iter().any(|(key, _)| *key != [FOLD]))
}

/// Drops every table and folds the log from zero.
///
/// # Errors
///
/// Where the log can't be read, or an event not folded.
pub(crate) fn fold_anew(db: &Db) -> Result<(), LogError> {
    db.clear_state()?;
    catch_up(db, db)
}

/// Drops every table, and what is cached, and folds the log from zero.
///
/// # Errors
///
/// Where the log can't be read, or an event not folded.
pub fn rebuild(db: &Db) -> Result<(), LogError> {
    db.clear_cache()?;
    fold_anew(db)
}

/// The key of a row about a remote and something else: the name, a zero, the rest.
fn remote_key(remote: &RemoteName, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(remote.as_str().len() + 1 + rest.len());
    key.extend_from_slice(remote.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(rest);
    key
}

/// What follows the name of the remote in a key.
fn after_remote<'a>(remote: &RemoteName, key: &'a [u8]) -> &'a [u8] {
    key.get(remote.as_str().len() + 1..).unwrap_or_default()
}

/// The key of a row about two ids.
fn pair(first: &[u8], second: &[u8]) -> Vec<u8> {
    [first, second].concat()
}
