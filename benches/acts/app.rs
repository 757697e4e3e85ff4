//! What an app asks of a vault that it has open, beside as many images as notes.

use std::{fs, sync::Arc};

use everleaf::{
    event::RemoteOptions,
    folder::{ImportOptions, import},
    id::NoteId,
    remote::{self, Remote},
    vault::{NewNote, Options, SyncOptions, Vault},
};

use crate::{
    measure::{Bench, Figure, Target, median, millis, timed},
    vault::{self, Dice, edited, origin, runtime},
};

const NEW: &str = "open vault: a new note";
const READ: &str = "open vault: a note is read first";
const EDIT: &str = "open vault: a note is loaded and edited";
const ATTACH: &str = "open vault: an image is attached";
const STATUS: &str = "open vault: how a note and its images stand";
const FIND: &str = "open vault: a note is found by its path";
const SYNC: &str = "open vault: a sync of one edited note";
const ROUNDS: usize = 21;

pub fn run(bench: &mut Bench) {
    for notes in bench.sizes.clone() {
        if bench.wants(&[NEW, READ, EDIT, ATTACH, STATUS, FIND, SYNC]) {
            acts(bench, notes);
        }
    }
}

/// The notes of the first files that have a plain name: the same in each size.
fn chosen(vault: &Vault) -> Vec<NoteId> {
    let numbers = (1..).filter(|number| number % 20 != 0).take(ROUNDS);
    numbers.map(|number| vault.find(&format!("Note {number}.md")).unwrap()).collect()
}

fn path(vault: &Vault, note: NoteId) -> String {
    vault.listed(note).unwrap().unwrap().path.unwrap()
}

fn acts(bench: &mut Bench, notes: usize) {
    let folder = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let (source, at) = (folder.path().join("source"), folder.path().join("remote"));
    vault::folder(&source, notes, notes, notes, 300);
    let vault = folder.path().join("vault");
    let vault = Vault::create(&vault, "bench", None, Options::default()).unwrap();
    import(&vault, &source, &ImportOptions::default(), &|_| ()).unwrap();
    fs::create_dir(&at).unwrap();
    let url = format!("dir:{}", at.display());
    let options = RemoteOptions { url, ..RemoteOptions::default() };
    let runtime = runtime();
    let remote = runtime.block_on(remote::open(&options, vault.key())).unwrap();
    runtime.block_on(vault.add_remote(origin(), options, Arc::clone(&remote))).unwrap();
    let sync = || {
        let (remote, options): (Arc<dyn Remote>, _) = (Arc::clone(&remote), SyncOptions::default());
        runtime.block_on(vault.sync(&origin(), remote, &options, &|_| ())).unwrap();
    };
    sync();

    let chosen = chosen(&vault);
    let mut dice = Dice::new(1);
    let mut each = |act, work: &mut dyn FnMut(usize, NoteId)| {
        let times = chosen.iter().enumerate();
        let times = times.map(|(round, note)| millis(timed(|| work(round, *note))));
        let (measured, size) = (median(times.collect()), Some(notes));
        let target = Target::Shown;
        bench.figure(Figure { act, size, unit: "ms", measured, floor: None, target });
    };
    let paths: Vec<_> = chosen.iter().map(|note| path(&vault, *note)).collect();
    each(FIND, &mut |round, note| assert_eq!(vault.find(&paths[round]).unwrap(), note));
    each(READ, &mut |_, note| drop(vault.read(note, None).unwrap()));
    let mut texts: Vec<_> = chosen.iter().map(|note| vault.read(*note, None).unwrap()).collect();
    let after: Vec<_> = texts.iter().map(|seen| edited(&seen.body.source(), &mut dice)).collect();
    each(EDIT, &mut |round, note| {
        assert!(vault.edit(note, &texts[round].heads, &after[round], None).unwrap().changed);
    });
    texts.clear();
    let pictures: Vec<_> =
        (0..ROUNDS).map(|round| folder.path().join(format!("{round}.png"))).collect();
    for (round, picture) in pictures.iter().enumerate() {
        fs::write(picture, vault::image(notes + round, 2000)).unwrap();
    }
    each(ATTACH, &mut |round, note| {
        assert_eq!(vault.attach(note, &pictures[round..=round], None).unwrap().len(), 1);
    });
    each(STATUS, &mut |_, note| assert!(vault.note_status(note).unwrap().has_unsynced_images));
    each(NEW, &mut |round, _| {
        let source = vault::source(notes + round);
        vault.new_note(&NewNote { source, ..NewNote::default() }).unwrap();
    });
    sync();
    let times = chosen.iter().map(|note| {
        let seen = vault.read(*note, None).unwrap();
        let source = edited(&seen.body.source(), &mut dice);
        vault.edit(*note, &seen.heads, &source, None).unwrap();
        millis(timed(sync))
    });
    let (measured, size) = (median(times.collect()), Some(notes));
    let target = Target::Shown;
    bench.figure(Figure { act: SYNC, size, unit: "ms", measured, floor: None, target });
}
