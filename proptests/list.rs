//! Listing notes in parts, and finding them by what they are called, however many there are.

use std::{fs, sync::Arc};

use everleaf::{
    id::NoteId,
    remote::{Memory, Remote},
    vault::{Listed, NewNote, VaultError},
};
use proptest::{collection::vec, option, prelude::*, sample::Index, sample::select};

use crate::{image::png, machine::Machine, world::Device};

/// What somebody does to the notes.
#[derive(Debug, Clone)]
enum Act {
    New(&'static str, Option<&'static str>),
    Rename(Index, &'static str),
    Move(Index, Option<&'static str>),
    Trash(Index, bool),
}

const NAMES: [&str; 6] = ["Bread", "bread", "", "01", "Brot 🍞", "A/Bread.md"];

fn act() -> impl Strategy<Value = Act> {
    let name = || select(&NAMES[..]);
    // The vault takes no empty path.
    let path = || option::of(name().prop_filter("empty", |name| !name.is_empty()));
    prop_oneof![
        3 => (name(), path()).prop_map(|(title, path)| Act::New(title, path)),
        1 => (any::<Index>(), name()).prop_map(|(note, title)| Act::Rename(note, title)),
        1 => (any::<Index>(), path()).prop_map(|(note, path)| Act::Move(note, path)),
        1 => (any::<Index>(), any::<bool>()).prop_map(|(note, trashed)| Act::Trash(note, trashed)),
    ]
}

fn source(title: &str) -> String {
    format!("# {title}\n\n![](a.png)\n")
}

fn perform(device: &Device, act: &Act) {
    let vault = device.vault();
    let rows = vault.list().unwrap();
    let chosen = |note: &Index| rows.get(note.index(rows.len().max(1))).map(|row| row.note);
    match act {
        Act::New(title, path) => {
            let folder = Some(device.folder.path().to_path_buf());
            let path = path.map(str::to_owned);
            vault.new_note(&NewNote { source: source(title), path, folder }).unwrap();
        }
        Act::Rename(note, title) => {
            if let Some(note) = chosen(note) {
                device.edit(note, |_| source(title));
            }
        }
        Act::Move(note, path) => {
            if let Some(note) = chosen(note) {
                vault.set_path(note, *path).unwrap();
            }
        }
        Act::Trash(note, trashed) => {
            if let Some(note) = chosen(note) {
                vault.set_trashed(note, *trashed).unwrap();
            }
        }
    }
}

/// The notes that `query` may mean, found by looking at every row: those of that path, else those of that
/// title, in the trash only where none is outside it; else those whose ids begin so.
fn meant(rows: &[Listed], query: &str) -> Vec<NoteId> {
    let found = |is: &dyn Fn(&Listed) -> bool| -> Vec<NoteId> {
        let all: Vec<&Listed> = rows.iter().filter(|row| is(row)).collect();
        let live = all.iter().any(|row| !row.trashed);
        all.iter().filter(|row| !live || !row.trashed).map(|row| row.note).collect()
    };
    let by_path = found(&|row| row.path.as_deref() == Some(query));
    let by_title = found(&|row| row.title == query);
    let ids = rows.iter().map(|row| row.note);
    match (by_path.is_empty(), by_title.is_empty()) {
        (false, _) => by_path,
        (true, false) => by_title,
        _ if query.is_empty() => Vec::new(),
        _ => ids.filter(|note| note.to_string().starts_with(query)).collect(),
    }
}

/// That parts of the list are the list, and that what is looked up is what is found by looking at all.
#[track_caller]
fn check(device: &Device, most: usize) {
    let vault = device.vault();
    let rows = vault.list().unwrap();
    let (mut parts, mut last) = (Vec::new(), None);
    loop {
        let part = vault.list_some(last, most).unwrap();
        let Some(row) = part.last() else { break };
        assert!(part.len() <= most);
        last = Some(row.note);
        parts.extend(part);
    }
    assert_eq!(parts, rows);
    for row in &rows {
        assert_eq!(vault.listed(row.note).unwrap().as_ref(), Some(row));
    }
    assert_eq!(vault.listed(NoteId::from_bytes([0xff; 16])).unwrap(), None);
    let ids = rows.iter().map(|row| row.note.to_string());
    let starts = ids.flat_map(|id| [1, 9, 12, 13, 24, 31].map(|length| id[..length].to_owned()));
    let names = NAMES.iter().filter(|name| !name.is_empty()).map(|name| (*name).to_owned());
    for query in names.chain(starts).chain(["no such note".to_owned(), "ff".to_owned()]) {
        let meant = meant(&rows, &query);
        match vault.find(&query) {
            Ok(note) => assert_eq!(meant, [note], "{query}"),
            Err(VaultError::UnknownNote(_)) => assert_eq!(meant, [], "{query}"),
            Err(VaultError::AmbiguousNote { candidates, .. }) => {
                assert!(meant.len() > 1);
                assert_eq!(candidates.into_iter().map(|(note, _)| note).collect::<Vec<_>>(), meant);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

proptest! {
    #![proptest_config(crate::regressions::kept_of(module_path!(), 16))]

    /// In whatever parts the list is asked for, and whatever became of the notes.
    #[test]
    fn parts_and_names_say_what_the_whole_list_says(acts in vec(act(), 1..12), most in 1..5_usize) {
        let device = Device::new("laptop", 1);
        device.file("a.png", &png(3, 4, b"a"));
        for act in &acts {
            perform(&device, act);
        }
        check(&device, most);
        device.check();
    }
}

/// A table that fills more than a screen is written in parts, and is one table all the same.
#[test]
fn a_long_list_is_whole_and_can_be_cut() {
    let machine = Machine::with_vault();
    for number in 0..300 {
        fs::create_dir_all(machine.path(&format!("notes/Folder {number}"))).unwrap();
        machine.file(&format!("notes/Folder {number}/Note.md"), format!("# Note {number}\n"));
    }
    machine.run(&["import", "notes"]).ok();
    machine.run(&["trash", "Note 7"]).ok();
    let all = machine.run(&["--json", "list", "--trashed"]).json();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 300);
    let live: Vec<_> = all.iter().filter(|row| row["title"] != "Note 7").collect();
    let table = machine.run(&["list"]).ok();
    assert_eq!(table.lines().count(), 299);
    for (line, row) in table.lines().zip(&live) {
        let (short, title) = (line.split(' ').next().unwrap(), row["title"].as_str().unwrap());
        let of_id = |row: &&&serde_json::Value| row["note"].as_str().unwrap().starts_with(short);
        assert_eq!(all.iter().filter(|row| of_id(&row)).count(), 1, "{line}");
        assert!(line.contains(title), "{line}");
    }
    let cut = machine.run(&["list", "--limit", "130"]).ok();
    assert_eq!(cut.lines().count(), 130);
    let cut = machine.run(&["--json", "list", "--limit", "2"]).json();
    assert_eq!(cut.as_array().unwrap().iter().collect::<Vec<_>>(), live[..2]);
    let none = machine.run(&["--json", "list", "--limit", "0"]).json();
    assert_eq!(none.as_array().unwrap().len(), 0);
}

/// Neither an upload, nor that it got here, is an edit.
#[tokio::test]
async fn a_note_says_when_somebody_edited_it() {
    use std::{sync::Arc, time::Duration};

    use everleaf::{
        clock::{Clock as _, Timestamp},
        remote::{Memory, Remote},
        vault::SyncOptions,
    };
    const HOUR: Duration = Duration::from_hours(1);
    let remote: Arc<dyn Remote> = Arc::new(Memory::new());
    let laptop = Device::new("laptop", 1);
    laptop.add_public(&remote, Some("https://img.example")).await;
    fs::write(laptop.folder.path().join("a.png"), png(3, 4, b"a")).unwrap();
    let (picture, plain) = (laptop.note("# A\n\n![](a.png)\n"), laptop.note("# B\n"));
    laptop.clock.advance(HOUR);
    let edited = laptop.clock.now();
    for note in [picture, plain] {
        laptop.edit(note, |text| text + "more\n");
    }
    let updated = |device: &Device, note| device.vault().listed(note).unwrap().unwrap().updated;
    let second = Timestamp(edited.0 / 1000 * 1000);
    laptop.clock.advance(24 * HOUR);
    // Longer ago than the checkpoint that the next device reads, too.
    let options = SyncOptions { checkpoint: 1, ..SyncOptions::default() };
    for _ in 0..2 {
        laptop.sync_with(&remote, &options).await.unwrap();
    }
    assert!(laptop.vault().image_urls(picture).unwrap()[0].1.is_some());
    assert_eq!((updated(&laptop, picture), updated(&laptop, plain)), (second, second));
    let phone = Device::join("phone", 2, &laptop);
    phone.clock.advance(100 * HOUR);
    phone.add(&remote).await;
    phone.sync(&remote).await;
    assert_eq!(updated(&phone, plain), second);
    // Of one that came whole, the last change counts, whoever made it.
    assert!(updated(&phone, picture) < phone.clock.now());
    phone.edit(plain, |text| text + "on the phone\n");
    phone.sync(&remote).await;
    laptop.sync(&remote).await;
    // The phone's clock is ahead: nothing was edited later than it got here.
    assert!(updated(&laptop, plain) <= laptop.clock.now());
    assert!(updated(&laptop, plain) > second);
    laptop.check();
    phone.check();
}

/// It was uploaded from here, whoever has its bytes now.
#[tokio::test]
async fn an_image_that_was_let_go_of_is_not_said_to_have_yet_to_be_uploaded() {
    let remote: Arc<dyn Remote> = Arc::new(Memory::new());
    let laptop = Device::new("laptop", 1);
    laptop.add(&remote).await;
    laptop.file("a.png", &png(4, 3, b"a"));
    let note = laptop.note(&source("A"));
    laptop.sync(&remote).await;
    let vault = laptop.vault();
    vault.evict(vault.image_list().unwrap()[0].image).unwrap();
    assert_eq!(vault.list().unwrap()[0].pending_images, 0);
    assert_eq!(vault.listed(note).unwrap().unwrap().pending_images, 0);
    let status = vault.note_status(note).unwrap();
    assert_eq!((status.pending_image_count, status.elsewhere.len()), (0, 1));
}

/// It would read as one that has no image to be uploaded.
#[test]
fn a_note_that_is_not_there_has_no_standing() {
    let laptop = Device::new("laptop", 1);
    let (vault, nobodys) = (laptop.vault(), NoteId::from_bytes([0xff; 16]));
    let unknown =
        |error| matches!(error, Some(VaultError::UnknownNote(id)) if id == nobodys.to_string());
    assert!(unknown(vault.note_status(nobodys).err()));
    assert!(unknown(vault.image_urls(nobodys).err()));
    assert!(unknown(vault.read(nobodys, None).err()));
}
