//! Traces as they lie in their files, and what must come of them.

use std::{fs::File, io::BufReader};

use automerge::{ActorId, Automerge, ObjType, ROOT, ReadDoc as _, transaction::Transactable as _};
use flate2::read::GzDecoder;
use serde::Deserialize;

use crate::shared;

/// In how many devices the author of a sequential trace types in turn.
const DEVICES: usize = 3;
/// How many transactions they type before they take the next one.
const SITTING: usize = 300;
/// What somebody types in a second, at most, where the trace has no times.
const A_SECOND: usize = 10;

/// At a place, how many code points go, and what comes instead.
pub(super) type Patch = (usize, usize, String);

/// What was recorded of people who typed.
pub(super) struct Recorded {
    pub(super) authors: usize,
    pub(super) transactions: Vec<Transaction>,
    /// What they ended with.
    pub(super) end: String,
    is_timed: bool,
}

/// What somebody did at once, mostly one keystroke.
pub(super) struct Transaction {
    pub(super) author: usize,
    second: String,
    pub(super) patches: Vec<Patch>,
    /// For each author, the last of their transactions that this one builds on.
    pub(super) sees: Vec<Option<usize>>,
    /// Whether it is the last of its author's that somebody else builds on.
    pub(super) is_seen: bool,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "endContent")]
    end: String,
    #[serde(rename = "numAgents")]
    authors: Option<usize>,
    txns: Vec<StoredTransaction>,
}

#[derive(Deserialize)]
struct StoredTransaction {
    parents: Option<Vec<usize>>,
    #[serde(default)]
    agent: usize,
    time: String,
    patches: Vec<Patch>,
}

impl Recorded {
    /// Reads a trace; `None` where it is not there.
    pub(super) fn read(name: &str) -> Option<Self> {
        let file = File::open(shared::path(&format!("traces/{name}.json.gz"))?).unwrap();
        let stored: Stored =
            serde_json::from_reader(BufReader::new(GzDecoder::new(BufReader::new(file)))).unwrap();
        let authors = stored.authors.unwrap_or(DEVICES);
        let mut transactions: Vec<Transaction> = Vec::with_capacity(stored.txns.len());
        for (index, txn) in stored.txns.into_iter().enumerate() {
            let author = if txn.parents.is_some() { txn.agent } else { index / SITTING % authors };
            let parents = txn.parents.unwrap_or_else(|| index.checked_sub(1).into_iter().collect());
            let mut sees = vec![None; authors];
            for parent in parents {
                let before = &transactions[parent];
                for (seen, also) in sees.iter_mut().zip(&before.sees) {
                    *seen = (*seen).max(*also);
                }
                sees[before.author] = sees[before.author].max(Some(parent));
            }
            let second = txn.time.get(..19).unwrap_or_default().to_owned();
            let patches = txn.patches;
            transactions.push(Transaction { author, second, patches, sees, is_seen: false });
        }
        let is_timed = transactions.iter().any(|txn| txn.second != transactions[0].second);
        let mut trace = Self { authors, transactions, end: stored.end, is_timed };
        trace.find_seen();
        Some(trace)
    }

    /// Finds what others built on: after these their authors have to tell them.
    fn find_seen(&mut self) {
        let mut knows = vec![vec![None; self.authors]; self.authors];
        for index in 0..self.transactions.len() {
            let (author, sees) =
                (self.transactions[index].author, self.transactions[index].sees.clone());
            for (other, seen) in sees.iter().enumerate().filter(|(other, _)| *other != author) {
                if let Some(seen) = seen.filter(|_| *seen != knows[author][other]) {
                    self.transactions[seen].is_seen = true;
                }
            }
            knows[author] = sees;
        }
    }

    /// Takes the beginning alone.
    pub(super) fn truncate(&mut self, transactions: usize) {
        self.transactions.truncate(transactions);
        self.transactions.iter_mut().for_each(|transaction| transaction.is_seen = false);
        self.find_seen();
    }

    /// Whether an author goes on typing without a pause to save in.
    pub(super) fn is_same_pause(&self, last: usize, next: usize, typed: usize) -> bool {
        if !self.is_timed {
            return typed < A_SECOND;
        }
        self.transactions[last].second == self.transactions[next].second
    }

    /// The text that Automerge itself makes of the very keystrokes, each a change of its own.
    pub(super) fn merged(&self) -> String {
        let mut first = Automerge::new();
        let mut transaction = first.transaction();
        let text = transaction.put_object(ROOT, "text", ObjType::Text).unwrap();
        transaction.commit();
        let authors = 0..self.authors;
        let fork = |author: usize| first.fork().with_actor(ActorId::from(author.to_be_bytes()));
        let mut documents: Vec<Automerge> = authors.map(fork).collect();
        let mut knows = vec![vec![None; self.authors]; self.authors];
        let mut changes: Vec<automerge::Change> = Vec::with_capacity(self.transactions.len());
        for Transaction { author, patches, sees, .. } in &self.transactions {
            let document = &mut documents[*author];
            for other in (0..self.authors).filter(|other| other != author) {
                if knows[*author][other] != sees[other] {
                    let from = knows[*author][other].map_or(0, |known: usize| known + 1);
                    let theirs = from..=sees[other].unwrap();
                    let theirs = theirs.filter(|index| self.transactions[*index].author == other);
                    let theirs: Vec<automerge::Change> =
                        theirs.map(|index: usize| changes[index].clone()).collect();
                    document.apply_changes(theirs).unwrap();
                    knows[*author][other] = sees[other];
                }
            }
            let mut transaction = document.transaction();
            for (at, delete, insert) in patches {
                transaction
                    .splice_text(&text, *at, isize::try_from(*delete).unwrap(), insert)
                    .unwrap();
            }
            transaction.commit();
            changes.push(document.get_last_local_change().unwrap());
        }
        let mut all = documents.swap_remove(0);
        all.apply_changes(changes).unwrap();
        all.text(&text).unwrap()
    }
}

/// Applies patches to a text.
pub(super) fn apply(text: &mut Vec<char>, patches: &[Patch]) {
    for (at, delete, insert) in patches {
        text.splice(*at..at + delete, insert.chars());
    }
}
