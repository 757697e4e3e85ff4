//! Automerge's own test vectors, each as the table beside them says: what it took and what it refused.

use std::{collections::BTreeSet, fs, path::Path};

use automerge::Automerge;
use everleaf::{
    id::NoteId,
    note::{Note, NoteError, inspect, touches_only_images},
};
use serde_json::Value;

use crate::crashers::within;

/// Hundreds of thousands of changes each: minutes where nothing is optimised.
const LONG: [&str; 3] = ["essay.amrg", "moby-dick.automerge", "text-doc.amrg"];

fn id() -> NoteId {
    NoteId::new(1_700_000_000_000, [7; 10])
}

/// The rows of the table, with the bytes of their files.
fn rows(of: impl Fn(&Path) -> bool) -> Vec<(Value, Vec<u8>)> {
    let Some(folder) = crate::shared::path("automerge-fixtures") else { return Vec::new() };
    let table = fs::read_to_string(folder.join("probe-automerge-0.12.0.jsonl")).unwrap();
    let rows: Vec<Value> = table.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(rows.len(), 26);
    let with_bytes = rows.into_iter().filter_map(|row| {
        let path = folder.join(row["file"].as_str().unwrap());
        of(&path).then(|| (row, fs::read(&path).unwrap()))
    });
    with_bytes.collect()
}

/// No other program's document is a note; its changes can be in one, and are what they were.
fn holds(row: &Value, bytes: &[u8]) {
    let file = row["file"].as_str().unwrap();
    let limit = (64 << 20) + 4096 * bytes.len();
    let _ = within(limit, || inspect(bytes));
    let _ = within(limit, || touches_only_images(id(), bytes));
    let error = within(limit, || Note::load(id(), [1; 8], Some(bytes), &[])).unwrap_err();
    if row["load"] != "ok" {
        assert!(matches!(error, NoteError::Damaged { .. }), "{file}: {error}");
        assert!(Note::load(id(), [1; 8], None, &[bytes]).is_err(), "{file}");
        return;
    }
    assert!(matches!(error, NoteError::NotThisNote { .. }), "{file}: {error}");

    let document = Automerge::load(bytes).unwrap();
    let changes = document.get_changes(&[]);
    assert_eq!(changes.len() as u64, row["changes"].as_u64().unwrap(), "{file}");
    let changes: Vec<&[u8]> = changes.iter().map(automerge::Change::raw_bytes).collect();
    let note = within(limit, || Note::load(id(), [1; 8], None, &changes)).unwrap();
    let mut heads: BTreeSet<String> = serde_json::from_value(row["heads"].clone()).unwrap();
    heads.insert(Note::genesis(id()).hash.to_string());
    let found: BTreeSet<String> = note.heads().as_slice().iter().map(ToString::to_string).collect();
    assert_eq!(found, heads, "{file}");
    assert_eq!((note.missing(), note.body().source()), (vec![], String::new()), "{file}");
    let again = Note::load(id(), [2; 8], Some(&note.save()), &[]).unwrap();
    assert_eq!(again.heads(), note.heads(), "{file}");
}

#[test]
fn automerge_files_load_or_fail_as_listed() {
    for (row, bytes) in rows(|path| !LONG.iter().any(|long| path.ends_with(long))) {
        holds(&row, &bytes);
    }
}

#[test]
#[ignore = "takes minutes where nothing is optimised"]
fn long_automerge_files_load_as_listed() {
    for (row, bytes) in rows(|path| LONG.iter().any(|long| path.ends_with(long))) {
        holds(&row, &bytes);
    }
}
