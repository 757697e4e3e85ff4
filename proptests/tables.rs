//! What is read of the tables is what was written, whatever was read before: against a map.

use std::{collections::BTreeMap, time::Duration};

use everleaf::{
    db::{Db, Durability, Read as _, Row, Table},
    id::{NoteId, Seq},
    projection::documents,
};
use proptest::{collection::vec, prelude::*, sample::select};

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    /// Writes rows, or takes them away where there is no value, in one batch.
    Write(Vec<(Table, Vec<u8>, Option<u8>)>),
    Scan(Table, Vec<u8>),
    Clear,
}

/// Those of which what was read is remembered, and another.
fn table() -> impl Strategy<Value = Table> {
    select(vec![Table::Stale, Table::Active, Table::Unlinked, Table::Wanted, Table::Sizes])
}

fn prefix() -> impl Strategy<Value = Vec<u8>> {
    select(vec![vec![], vec![b'a'], vec![b'a', 0], vec![b'b', 0], vec![0xff]])
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    // More rows than are remembered, with the keys of two remotes.
    (select(vec![b'a', b'b', 0xff]), 0..12_u8).prop_map(|(remote, number)| vec![remote, 0, number])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => vec((table(), key(), proptest::option::of(any::<u8>())), 1..30).prop_map(Step::Write),
        6 => (table(), prefix()).prop_map(|(table, prefix)| Step::Scan(table, prefix)),
        1 => Just(Step::Clear),
    ]
}

fn expected(model: &Model, table: Table, prefix: &[u8]) -> Vec<Row> {
    let rows = model.iter().filter(|((of, key), _)| *of == table && key.starts_with(prefix));
    rows.map(|((_, key), value)| (key.clone(), value.clone())).collect()
}

proptest! {
    #![proptest_config(crate::regressions::kept_of(module_path!(), 48))]

    #[test]
    fn a_scan_gives_what_was_written(steps in vec(step(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path(), Duration::ZERO).unwrap();
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Write(rows) => {
                    let mut draft = db.draft();
                    for (table, key, value) in rows {
                        if let Some(value) = value {
                            draft.put(table, &key, vec![value]);
                            model.insert((table, key), vec![value]);
                        } else {
                            draft.delete(table, &key);
                            model.remove(&(table, key));
                        }
                        prop_assert_eq!(draft.scan(table, &[]).unwrap(), expected(&model, table, &[]));
                    }
                    let mut batch = db.batch();
                    batch.apply(draft.into_changes());
                    batch.commit(Durability::Buffered).unwrap();
                }
                Step::Scan(table, prefix) => {
                    prop_assert_eq!(db.scan(table, &prefix).unwrap(), expected(&model, table, &prefix));
                }
                Step::Clear => {
                    db.clear_state().unwrap();
                    model.clear();
                }
            }
        }
        for table in Table::ALL {
            prop_assert_eq!(db.scan(table, &[]).unwrap(), expected(&model, table, &[]));
        }
    }

    /// From wherever it is asked for, and of one note alone.
    #[test]
    fn a_tail_is_what_came_after(
        rows in vec((0..3_u8, 1..400_u64), 0..60),
        after in 0..401_u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path(), Duration::ZERO).unwrap();
        let id = |note: u8| NoteId::from_bytes([if note == 2 { 0xff } else { note }; 16]);
        let mut draft = db.draft();
        for (note, seq) in &rows {
            draft.put(Table::Tails, &[&id(*note).as_bytes()[..], &seq.to_be_bytes()].concat(), vec![]);
        }
        let tail = |note: u8| {
            let mut seqs: Vec<Seq> =
                rows.iter().filter(|(of, seq)| *of == note && *seq > after).map(|(_, seq)| Seq(*seq)).collect();
            seqs.sort_unstable();
            seqs.dedup();
            seqs
        };
        for note in 0..3 {
            prop_assert_eq!(documents::tail(&draft, id(note), Seq(after)).unwrap(), tail(note));
        }
        let mut batch = db.batch();
        batch.apply(draft.into_changes());
        batch.commit(Durability::Buffered).unwrap();
        for note in 0..3 {
            prop_assert_eq!(documents::tail(&db, id(note), Seq(after)).unwrap(), tail(note));
            prop_assert_eq!(documents::tail(&db, id(note), Seq(u64::MAX)).unwrap(), vec![]);
        }
    }
}
