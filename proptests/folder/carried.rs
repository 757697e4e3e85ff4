//! One folder that something carries to several devices, each of which imports it.

use std::{fmt::Write as _, fs, sync::Arc};

use everleaf::{
    clock::Timestamp,
    note::{Body, Heads, Note},
    remote::{Memory, Remote},
};
use proptest::prelude::*;

use super::{Desk, date, id, write};
use crate::{
    golden::golden,
    image::png,
    note::body,
    world::{Device, copy_folder},
};

/// In seconds since 1970: some day in 2023.
const WRITTEN: u64 = 1_700_000_001;

/// Two devices of one vault, each with the folder, and where they meet.
struct Carried {
    desks: [Desk; 2],
    remote: Arc<dyn Remote>,
}

impl Carried {
    async fn new() -> Self {
        let remote: Arc<dyn Remote> = Arc::new(Memory::new());
        let laptop = Device::new("laptop", 1);
        let phone = Device::join("phone", 2, &laptop);
        let carried = Self { desks: [Desk::of(laptop), Desk::of(phone)], remote };
        for desk in &carried.desks {
            desk.device.add_public(&carried.remote, Some("https://img.example")).await;
        }
        carried
    }

    /// Writes a file, which is carried to all, with its time.
    fn write(&self, path: &str, bytes: impl AsRef<[u8]>, seconds: u64) {
        for desk in &self.desks {
            desk.write(path, bytes.as_ref());
            date(&desk.folder.join(path), seconds);
        }
    }

    fn import(&self) {
        for desk in &self.desks {
            desk.import();
        }
    }

    async fn sync(&self) {
        for desk in self.desks.iter().chain(&self.desks) {
            desk.device.sync(&self.remote).await;
            desk.device.check();
        }
    }

    async fn meet(&self) {
        self.sync().await;
        assert_eq!(self.desks[0].device.sources(), self.desks[1].device.sources());
        for desk in &self.desks {
            desk.settled(&desk.folder);
        }
    }
}

#[tokio::test]
async fn a_file_that_two_devices_import_is_one_note() {
    let carried = Carried::new().await;
    carried.write("a.png", png(3, 4, b"a"), WRITTEN);
    carried.write("sub/One.md", "one\r\n\n![[a.png]] \u{1f642} é\n", WRITTEN);
    carried.write("empty.md", "", WRITTEN + 5);
    carried.import();
    carried.meet().await;
    let [laptop, phone] = &carried.desks;
    assert_eq!(laptop.device.sources().len(), 2);
    assert_eq!(phone.source("sub/One.md"), "one\r\n\n![[a.png]] \u{1f642} é\n");
    // It was written when the file was, to two seconds.
    let row = laptop.device.vault().list().unwrap();
    let row = row.iter().find(|row| row.path.as_deref() == Some("sub/One.md")).unwrap();
    assert_eq!(row.note.created_millis(), (WRITTEN - 1) * 1000);
    assert_eq!(row.updated, Timestamp(i64::try_from((WRITTEN - 1) * 1000).unwrap()));
}

#[tokio::test]
async fn an_edit_that_two_devices_import_is_made_once() {
    let carried = Carried::new().await;
    carried.write("a.png", png(3, 4, b"a"), WRITTEN);
    carried.write("Todo.md", "- [ ] bread\n- [ ] milk\n", WRITTEN);
    carried.import();
    carried.meet().await;
    carried.write("Todo.md", "- [x] bread\n- [ ] milk\n\n![](a.png)\n", WRITTEN + 60);
    carried.import();
    carried.meet().await;
    let [laptop, phone] = &carried.desks;
    assert_eq!(phone.source("Todo.md"), "- [x] bread\n- [ ] milk\n\n![](a.png)\n");
    // Whatever one of them knows besides.
    laptop.device.edit(laptop.note("Todo.md"), |text| text + "\nfrom the laptop\n");
    carried.write("Todo.md", "- [x] bread\n- [x] milk\n\n![](a.png)\n", WRITTEN + 120);
    carried.import();
    carried.meet().await;
    let both = "- [x] bread\n- [x] milk\n\n![](a.png)\n\nfrom the laptop\n";
    assert_eq!(phone.source("Todo.md"), both);
    assert_eq!(laptop.device.sources().len(), 1);
}

/// One of them imports each state of a file, the other only the last, which came to it by a sync before.
#[tokio::test]
async fn what_came_by_a_sync_is_not_made_again_of_a_file() {
    let carried = Carried::new().await;
    carried.write("a.md", "one\n", WRITTEN);
    carried.import();
    carried.meet().await;
    let [laptop, phone] = &carried.desks;
    carried.write("a.md", "one\ntwo\n", WRITTEN + 60);
    laptop.import();
    carried.write("a.md", "one\ntwo\nthree\n", WRITTEN + 120);
    laptop.import();
    laptop.device.sync(&carried.remote).await;
    phone.device.sync(&carried.remote).await;
    // Of what the file added, somebody changes a part before it is imported here.
    phone.device.edit(phone.note("a.md"), |text| text.replace("two", "deux") + "four\n");
    phone.import();
    carried.meet().await;
    assert_eq!(laptop.source("a.md"), "one\ndeux\nthree\nfour\n");
}

/// `.everleaf-export` is small, and comes before the files that it tells of.
#[tokio::test]
async fn what_a_folder_says_of_files_that_have_yet_to_come_undoes_nothing() {
    let carried = Carried::new().await;
    let [laptop, phone] = &carried.desks;
    laptop.write("a.png", png(3, 4, b"old"));
    laptop.write("picture.md", "# Picture\n![](a.png)\n");
    laptop.write("edited.md", "# Edited\n");
    laptop.write("moved.md", "# Moved\n");
    laptop.import();
    carried.sync().await;
    let (ours, _) = laptop.export("export");
    let theirs = phone.device.folder.path().join("export");
    copy_folder(&ours, &theirs);
    phone.settled(&theirs);
    write(&ours, "a.png", png(3, 4, b"new"));
    write(&ours, "edited.md", "# Edited\nmore\n");
    fs::rename(ours.join("moved.md"), ours.join("elsewhere.md")).unwrap();
    assert_eq!(laptop.try_import(&ours).changed, 3);
    carried.sync().await;
    let carry = |name: &str| fs::copy(ours.join(name), theirs.join(name)).unwrap();
    let said = [".everleaf-export", "edited.md", "elsewhere.md", "a.png"];
    for name in said {
        carry(name);
        phone.settled(&theirs);
    }
    fs::remove_file(theirs.join("moved.md")).unwrap();
    phone.settled(&theirs);
    carried.sync().await;
    assert_eq!(laptop.device.sources(), phone.device.sources());
    assert_eq!(phone.source("edited.md"), "# Edited\nmore\n");
    assert_eq!(phone.source("elsewhere.md"), "# Moved\n");
    assert_eq!(phone.images("picture.md"), [id(&png(3, 4, b"new"))]);
    laptop.settled(&ours);
}

/// That it did not come to one device yet is nothing to those that have it.
#[tokio::test]
async fn a_file_that_another_device_waits_for_takes_its_note_along() {
    let carried = Carried::new().await;
    let [laptop, phone] = &carried.desks;
    laptop.write("x.md", "# X\n");
    laptop.import();
    carried.sync().await;
    let (ours, _) = laptop.export("export");
    let theirs = phone.device.folder.path().join("export");
    fs::create_dir(&theirs).unwrap();
    fs::copy(ours.join(".everleaf-export"), theirs.join(".everleaf-export")).unwrap();
    phone.try_import(&theirs);
    fs::copy(theirs.join(".everleaf-export"), ours.join(".everleaf-export")).unwrap();
    let note = laptop.note("x.md");
    laptop.device.edit(note, |text| text + "in the vault\n");
    fs::rename(ours.join("x.md"), ours.join("y.md")).unwrap();
    assert_eq!(laptop.try_import(&ours).changed, 1);
    assert_eq!(laptop.note("y.md"), note);
    assert_eq!(laptop.source("y.md"), "# X\nin the vault\n");
    assert_eq!(laptop.device.sources().len(), 1);
    laptop.settled(&ours);
}

/// A Mac may spell a name with its accents apart, and whatever carries a file with them in the letters.
#[tokio::test]
async fn a_file_is_the_same_however_its_accents_are_spelled() {
    let carried = Carried::new().await;
    let [laptop, phone] = &carried.desks;
    let [apart, in_one] = ["cafe\u{301}/Resume\u{301}.md", "caf\u{e9}/Resum\u{e9}.md"];
    laptop.write(apart, "# Resume\n\none\n");
    laptop.import();
    carried.sync().await;
    phone.write(in_one, "# Resume\n\none\n");
    phone.settled(&phone.folder);
    phone.write(in_one, "# Resume\n\none\ntwo\n");
    assert_eq!(phone.import().changed, 1);
    carried.sync().await;
    // So it is where the bookmarks come with the folder.
    let (folder, _) = laptop.export("export");
    fs::rename(folder.join("caf\u{e9}"), folder.join("cafe\u{301}")).unwrap();
    fs::rename(folder.join("cafe\u{301}/Resum\u{e9}.md"), folder.join(apart)).unwrap();
    write(&folder, apart, "# Resume\n\none\ntwo\nthree\n");
    let report = laptop.try_import(&folder);
    assert_eq!((report.changed, report.remarks), (1, vec![]));
    let (_, report) = laptop.export("export");
    assert_eq!((report.written, report.skipped, report.renamed), (0, vec![], vec![]));
    assert_eq!(laptop.source(apart), "# Resume\n\none\ntwo\nthree\n");
    assert_eq!(laptop.device.sources().len(), 1);
}

/// Neither knows of the other's note when it makes its own.
#[tokio::test]
async fn a_new_file_is_one_note_however_its_accents_are_spelled() {
    let carried = Carried::new().await;
    let paths = ["cafe\u{301}/Resume\u{301}.md", "caf\u{e9}/Resum\u{e9}.md"];
    for (desk, path) in carried.desks.iter().zip(paths) {
        desk.write(path, "# Resume\n");
        date(&desk.folder.join(path), WRITTEN);
    }
    carried.import();
    carried.meet().await;
    assert_eq!(carried.desks[0].device.sources().len(), 1);
}

/// Two folders with another README each make two notes of one path, whoever imports them.
#[tokio::test]
async fn a_path_that_several_notes_have_makes_no_more_of_them() {
    let carried = Carried::new().await;
    let [laptop, phone] = &carried.desks;
    for desk in &carried.desks {
        for (name, text) in [("x", "# X\n\none\n"), ("y", "# Y\n\ntwo\n"), ("z", "# Z\n\nthree\n")]
        {
            let folder = desk.device.folder.path().join(name);
            write(&folder, "README.md", text);
            date(&folder.join("README.md"), WRITTEN);
        }
    }
    for desk in [laptop, phone] {
        for name in ["x", "y", "z"] {
            let report = desk.try_import(&desk.device.folder.path().join(name));
            let is_new = u64::from(desk.device.folder.path() == laptop.device.folder.path());
            assert_eq!(report.changed, is_new, "{name}");
        }
        carried.sync().await;
    }
    assert_eq!(laptop.device.sources().len(), 3);
    assert_eq!(laptop.device.sources(), phone.device.sources());
}

#[tokio::test]
async fn files_that_differ_are_notes_of_their_own() {
    let carried = Carried::new().await;
    let [laptop, phone] = &carried.desks;
    carried.write("text.md", "the same\n", WRITTEN);
    carried.write("time.md", "the same\n", WRITTEN);
    carried.write("image.md", "![](a.png)\n", WRITTEN);
    date(&phone.folder.join("time.md"), WRITTEN + 2);
    phone.write("text.md", "another\n");
    date(&phone.folder.join("text.md"), WRITTEN);
    for (desk, bytes) in carried.desks.iter().zip([b"a", b"b"]) {
        desk.write("a.png", png(3, 4, bytes));
    }
    carried.import();
    laptop.device.sync(&carried.remote).await;
    phone.device.sync(&carried.remote).await;
    laptop.device.sync(&carried.remote).await;
    assert_eq!(laptop.device.sources().len(), 6);
    assert_eq!(laptop.device.sources(), phone.device.sources());
}

#[test]
fn what_was_thrown_away_does_not_come_back_as_what_is_imported_anew() {
    let desk = Desk::new();
    desk.write("a.md", "one\n");
    date(&desk.folder.join("a.md"), WRITTEN);
    desk.import();
    let first = desk.note("a.md");
    desk.device.vault().set_trashed(first, true).unwrap();
    let other = desk.device.folder.path().join("other");
    write(&other, "a.md", "one\n");
    date(&other.join("a.md"), WRITTEN);
    assert_eq!(desk.try_import(&other).changed, 1);
    assert_ne!(desk.note("a.md"), first);
    assert_eq!(desk.device.sources().len(), 2);
    // Any other device that knows of that makes the same of it.
    let body = body("one\n");
    let at = Timestamp(i64::try_from((WRITTEN - 1) * 1000).unwrap());
    let vault = desk.device.vault().id().unwrap();
    assert_eq!(desk.note("a.md"), Note::of_file(vault, "a.md", &body, at, 1).0);
}

#[test]
fn a_time_that_nothing_was_written_at_is_not_believed() {
    for seconds in [0, 1_795_000_000 + 86_400] {
        let desk = Desk::new();
        desk.write("a.md", "one\n");
        date(&desk.folder.join("a.md"), seconds);
        desk.import();
        assert_eq!(desk.device.vault().list().unwrap()[0].updated, crate::world::NOW);
    }
}

/// What other devices make of a file has to be this, whichever everleaf they have.
#[test]
fn the_note_of_a_file_is_the_same_for_ever() {
    let vault = everleaf::id::VaultId::from_bytes([7; 32]);
    let at = Timestamp(1_700_000_000_000);
    let mut told = String::new();
    for (path, source) in [
        ("a.md", "text\n"),
        ("Ordner/é.md", "\u{feff}a\r\n![x](a.png \"t\") ![[b.png|300]]\u{1f642}\n"),
        ("empty.md", ""),
    ] {
        let body = body(source);
        let (id, actor) = Note::of_file(vault, path, &body, at, 0);
        let (changes, _) = Note::begin(id, actor, Some(path), &body, at).unwrap();
        let changes: Vec<String> = changes.iter().map(|change| change.hash.to_string()).collect();
        writeln!(told, "{path}: {id} {}", changes.join(" ")).unwrap();
    }
    assert_eq!(told.as_bytes(), golden("files-v1.txt", told.as_bytes()), "see Note::of_file");
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    /// Devices that know different things of a note make the same change of the same edit of a version that both
    /// have; it does what any edit does, and merged, it is there once.
    #[test]
    fn an_edit_is_the_same_change_wherever_it_is_made(
        base in "[ab\n]{0,20}",
        others in proptest::collection::vec("[cd\n]{0,20}", 0..3),
        edited in "[abx\n]{0,20}",
    ) {
        let at = Timestamp(1_700_000_000_000);
        let (mut one, _) = crate::note::note(&base, 1);
        let heads: Heads = one.heads();
        let mut other = crate::note::copy(&one, 2);
        let mut plain = crate::note::copy(&one, 3);
        for text in others {
            let (now, later) = (other.heads(), Timestamp(at.0 + 60_000));
            other.edit_body(&now, &body(&text), later).unwrap();
        }
        let new: Body = body(&edited);
        let (version, made) = one.edit_alike(&heads, &new, at).unwrap();
        prop_assert_eq!(other.edit_alike(&heads, &new, at).unwrap(), (version.clone(), made.clone()));
        prop_assert_eq!(one.edit_alike(&heads, &new, at).unwrap(), (version, vec![]));
        prop_assert_eq!(plain.edit_body(&heads, &new, at).unwrap().is_some(), !made.is_empty());
        prop_assert_eq!(one.body(), &new);
        prop_assert_eq!(plain.body(), &new);
        let told: Vec<_> = other.changes();
        let told: Vec<&[u8]> = told.iter().map(|change| change.bytes.as_slice()).collect();
        one.apply(&told).unwrap();
        prop_assert_eq!(one.body(), other.body());
        prop_assert_eq!(one.heads(), other.heads());
    }
}
