//! What once broke something, and what is near to it: the targets of `fuzz/`, as plain tests.
//!
//! `fixtures/crashers/<target>/` holds inputs that fuzzing found, and some that were made by hand.
//! `EVERLEAF_CORPUS=DIR cargo test crashers::every_seed_holds` writes what fuzzing begins with.

mod checkpoint;
mod event;
mod hub_request;
mod markdown;
mod measured;
mod note;
mod seeds;
mod segment;
mod vault_json;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use proptest::{collection::vec, prelude::*, sample::Index};

pub(crate) use measured::within;

type Attack = fn(&[u8]);

const TARGETS: [(&str, Attack); 7] = [
    ("checkpoint", checkpoint::attack),
    ("event", event::attack),
    ("hub_request", hub_request::attack),
    ("markdown", markdown::attack),
    ("note", note::attack),
    ("segment", segment::attack),
    ("vault_json", vault_json::attack),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn attack_of(target: &str) -> Attack {
    TARGETS.iter().find(|(name, _)| *name == target).unwrap().1
}

/// Attacks with each, and names those that broke something.
fn all_hold(attacks: impl IntoIterator<Item = (String, Attack, Vec<u8>)>) {
    let mut broken = Vec::new();
    for (name, attack, bytes) in attacks {
        if catch_unwind(AssertUnwindSafe(|| attack(&bytes))).is_err() {
            broken.push(name);
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn what_once_broke_something_holds() {
    let mut crashers = Vec::new();
    for (target, attack) in TARGETS {
        let folder = root().join("fixtures/crashers").join(target);
        for file in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let name = format!("{target}/{}", file.file_name().display());
            crashers.push((name, attack, fs::read(file.path()).unwrap()));
        }
    }
    let folders = fs::read_dir(root().join("fixtures/crashers")).unwrap().count();
    assert_eq!(folders, TARGETS.len(), "a folder that no target reads");
    all_hold(crashers);
}

#[test]
fn every_seed_holds() {
    let corpus = std::env::var_os("EVERLEAF_CORPUS");
    let mut attacks = Vec::new();
    for (target, seeds) in seeds::all(root()) {
        assert!(!seeds.is_empty());
        for (number, bytes) in seeds.into_iter().enumerate() {
            if let Some(corpus) = &corpus {
                let folder = Path::new(corpus).join(target);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(format!("seed-{number}")), &bytes).unwrap();
            }
            attacks.push((format!("{target} {number}"), attack_of(target), bytes));
        }
    }
    all_hold(attacks);
}

/// Shown in one line.
struct Bytes(Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// A seed of the target with some stretches replaced by others, of its own or of none.
fn near(target: &'static str) -> impl Strategy<Value = Bytes> {
    let seeds = seeds::all(root()).into_iter().find(|(name, _)| *name == target).unwrap().1;
    let insert = prop_oneof![
        vec(any::<u8>(), 0..4),
        Just(vec![0xff; 9]),
        vec(Just(0x80), 1..9),
        prop::sample::select(seeds.clone()).prop_map(|seed| seed[..seed.len() / 2].to_vec()),
    ];
    let splice = (any::<Index>(), 0..6_usize, insert);
    (prop::sample::select(seeds), vec(splice, 0..4)).prop_map(|(mut bytes, splices)| {
        for (place, length, insert) in splices {
            let at = place.index(bytes.len() + 1);
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, insert);
        }
        Bytes(bytes)
    })
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    #[test]
    fn near_events_hold(bytes in near("event")) {
        event::attack(&bytes.0);
    }

    #[test]
    fn near_requests_hold(bytes in near("hub_request")) {
        hub_request::attack(&bytes.0);
    }

    #[test]
    fn near_markdown_holds(bytes in near("markdown")) {
        markdown::attack(&bytes.0);
    }

    #[test]
    fn near_segments_hold(bytes in near("segment")) {
        segment::attack(&bytes.0);
    }

    #[test]
    fn near_vault_files_hold(bytes in near("vault_json")) {
        vault_json::attack(&bytes.0);
    }
}

proptest! {
    // Each loads several documents, or has several devices join.
    #![proptest_config(crate::regressions::kept_of(module_path!(), 32))]

    #[test]
    fn near_notes_hold(bytes in near("note")) {
        note::attack(&bytes.0);
    }

    #[test]
    fn near_checkpoints_hold(bytes in near("checkpoint")) {
        checkpoint::attack(&bytes.0);
    }
}
