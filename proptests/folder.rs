//! A folder of Markdown files: what was edited in it is merged, and nothing else is touched.

mod carried;
mod pictures;
mod renamed;
mod several;
mod stamps;

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use everleaf::{
    folder::{ExportOptions, Exported, ImportOptions, Imported, Progress, export, import},
    id::{ImageId, NoteId},
    note::Heads,
    remote::{Memory, Remote},
    vault::hint,
};

use crate::{image::png, vaults::hashes, world::Device};

/// A device, and a folder beside its vault.
pub(crate) struct Desk {
    pub(crate) device: Device,
    pub(crate) folder: PathBuf,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::of(Device::new("laptop", 1))
    }

    pub(crate) fn of(device: Device) -> Self {
        let folder = device.folder.path().join("notes");
        fs::create_dir(&folder).unwrap();
        Self { device, folder }
    }

    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        write(&self.folder, path, bytes);
    }

    pub(crate) fn try_import(&self, folder: &Path) -> Imported {
        import(self.device.vault(), folder, &ImportOptions::default(), &|_| ()).unwrap()
    }

    /// Imports the folder, in which everything can be used.
    pub(crate) fn import(&self) -> Imported {
        let report = self.try_import(&self.folder);
        assert_eq!(report.skipped, vec![]);
        report
    }

    pub(crate) fn export(&self, name: &str) -> (PathBuf, Exported) {
        let folder = self.device.folder.path().join(name);
        let options = ExportOptions::default();
        let report = export(self.device.vault(), &folder, &options, &|_| ()).unwrap();
        (folder, report)
    }

    pub(crate) fn note(&self, path: &str) -> NoteId {
        self.device.vault().find(path).unwrap()
    }

    pub(crate) fn source(&self, path: &str) -> String {
        self.device.source(self.note(path))
    }

    pub(crate) fn heads(&self, path: &str) -> Heads {
        self.device.vault().read(self.note(path), None).unwrap().heads
    }

    pub(crate) fn images(&self, path: &str) -> Vec<ImageId> {
        self.device.body(self.note(path)).images()
    }

    pub(crate) fn last(&self) -> everleaf::id::Seq {
        *self.device.vault().follow().borrow()
    }

    /// That an import of `folder` changes nothing.
    pub(crate) fn settled(&self, folder: &Path) {
        let last = self.last();
        assert_eq!(self.try_import(folder).changed, 0);
        assert_eq!(self.last(), last);
    }
}

pub(crate) fn write(folder: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Has a file be written at a time, in seconds since 1970.
fn date(path: &Path, seconds: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

pub(crate) fn read(folder: &Path, path: &str) -> String {
    fs::read_to_string(folder.join(path)).unwrap()
}

pub(crate) fn id(bytes: &[u8]) -> ImageId {
    ImageId::from_bytes(*blake3::hash(bytes).as_bytes())
}

pub(crate) fn reasons(skipped: &[everleaf::folder::Skipped]) -> Vec<(&str, &str)> {
    skipped.iter().map(|one| (one.path.as_str(), one.reason.as_str())).collect()
}

#[test]
fn the_sample_vault_comes_in_and_goes_out() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vault");
    let desk = Desk::new();
    let report = desk.try_import(&sample);
    assert_eq!((report.notes, report.changed), (7, 7));
    assert_eq!((report.images.references, report.images.distinct), (8, 4));
    assert!(report.images.bytes_referenced > report.images.bytes_stored);
    assert_eq!(report.missing.len(), 1);
    assert_eq!(report.missing[0].destination, "photos/lost.jpg");
    desk.settled(&sample);
    let (folder, report) = desk.export("export");
    assert_eq!((report.notes, report.images, report.written), (7, 5, 12));
    assert_eq!(hashes(&folder), hashes(&sample));
    desk.settled(&folder);
    assert_eq!(desk.export("export").1.written, 0);
}

#[test]
fn files_that_stay_out_are_counted() {
    let desk = Desk::new();
    desk.write("a.md", "![](shown.png) [paper](paper.pdf)\n");
    desk.write("shown.png", png(2, 2, b"shown"));
    desk.write("unused.png", png(3, 2, b"unused"));
    desk.write("paper.pdf", b"%PDF-1.7");
    desk.write(".hidden/notes.md", "another program's\n");
    for _ in 0..2 {
        assert_eq!(desk.import().others, 2);
    }
}

#[test]
fn progress_counts_every_note() {
    let desk = Desk::new();
    desk.write("a.md", "a");
    desk.write("b.markdown", "b");
    desk.write("bad.md", b"\xff");
    let seen = std::sync::Mutex::new(Vec::new());
    let note = |progress| seen.lock().unwrap().push(progress);
    import(desk.device.vault(), &desk.folder, &ImportOptions::default(), &note).unwrap();
    let expected = [Progress::Notes(3), Progress::Note, Progress::Note, Progress::Note];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn what_cannot_be_taken_in_is_listed_and_the_rest_comes_in() {
    let desk = Desk::new();
    desk.write("good.md", "![](ok.png) ![](text.png) ![](gone.png) ![](OK.PNG) ![](file:///x.png)");
    desk.write("ok.png", png(1, 1, b"ok"));
    desk.write("text.png", "no image at all");
    desk.write("latin.md", b"caf\xe9");
    desk.write(".obsidian/hidden.md", "hidden");
    desk.write("._good.md", "hidden");
    let long = fs::File::create(desk.folder.join("long.md")).unwrap();
    long.set_len((4 << 20) + 1).unwrap();
    let report = desk.try_import(&desk.folder);
    assert_eq!((report.notes, report.changed), (1, 1));
    let expected = [
        ("latin.md", "it is not UTF-8 text"),
        ("long.md", "a note of 4194305 bytes is larger than the limit of 4194304"),
    ];
    assert_eq!(reasons(&report.skipped), expected);
    let hints = report.skipped.iter().map(|one| one.hint.as_deref());
    assert!(hints.eq([Some("save it as UTF-8"), Some("split the note")]));
    let missing: Vec<_> =
        report.missing.iter().map(|one| (one.destination.as_str(), one.hint.as_deref())).collect();
    let expected = [
        ("text.png", None),
        ("gone.png", None),
        ("OK.PNG", Some("ok.png")),
        ("file:///x.png", None),
    ];
    assert_eq!(missing, expected);
    assert_eq!(desk.device.vault().list().unwrap().len(), 1);
}

#[test]
fn an_image_over_the_limit_stays_text() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = crate::world::options(&Arc::new(everleaf::clock::SimulatedClock::new(
        crate::world::NOW,
        1,
    )));
    options.image_limit = 100;
    let vault =
        everleaf::vault::Vault::create(&folder.path().join("v"), "x", None, options).unwrap();
    let notes = folder.path().join("notes");
    write(&notes, "a.md", "![](large.png) ![](small.png)");
    write(&notes, "large.png", png(1, 1, &[7; 200]));
    write(&notes, "small.png", png(1, 1, b"small"));
    let report = import(&vault, &notes, &ImportOptions::default(), &|_| ()).unwrap();
    assert_eq!((report.images.distinct, report.missing.len()), (1, 0));
    assert_eq!(report.skipped.len(), 1);
    assert_eq!(report.skipped[0].path, "large.png");
    assert!(report.skipped[0].reason.contains("limit of 100 bytes"));
    assert_eq!(report.skipped[0].hint.as_deref(), Some(hint::IMAGE_LIMIT));
}

#[test]
fn a_file_that_was_edited_is_an_edit_and_one_that_was_not_is_none() {
    let desk = Desk::new();
    desk.write("bread.md", "# Bread\n\nFlour.\n\n![](crumb.png)\n");
    desk.write("walk.md", "# Walk\n");
    desk.write("crumb.png", png(2, 2, b"crumb"));
    assert_eq!(desk.import().changed, 2);
    let walk = desk.note("walk.md");
    desk.device.edit(walk, |text| text + "\nA long one.\n");
    desk.write("bread.md", "# Bread\n\nRye flour.\n\n![](crumb.png)\n");
    assert_eq!(desk.import().changed, 1);
    assert_eq!(desk.source("bread.md"), "# Bread\n\nRye flour.\n\n![](crumb.png)\n");
    // What the file of the other note lacks was never taken out of it by anybody.
    assert_eq!(desk.source("walk.md"), "# Walk\n\nA long one.\n");
    assert_eq!(desk.images("bread.md"), [id(&png(2, 2, b"crumb"))]);
    desk.settled(&desk.folder);
}

#[test]
fn an_import_merges_at_the_version_that_the_file_shows() {
    let desk = Desk::new();
    desk.write("bread.md", "Flour and water.\n");
    desk.import();
    let bread = desk.note("bread.md");
    desk.device.edit(bread, |text| text.replace("water", "water, salt"));
    desk.write("bread.md", "Rye flour and water.\n");
    desk.import();
    assert_eq!(desk.source("bread.md"), "Rye flour and water, salt.\n");
    // The file still shows the version without salt; the next edit of it is one of that.
    desk.settled(&desk.folder);
    desk.write("bread.md", "Rye flour and cold water.\n");
    desk.import();
    assert_eq!(desk.source("bread.md"), "Rye flour and cold water, salt.\n");
    desk.device.check();
}

#[tokio::test]
async fn an_export_that_was_edited_elsewhere_is_merged() {
    let remote: Arc<dyn Remote> = Arc::new(Memory::new());
    let desk = Desk::new();
    desk.write("bread.md", "Flour and water.\n\n![](crumb.png)\n");
    desk.write("crumb.png", png(2, 2, b"crumb"));
    desk.import();
    desk.device.add(&remote).await;
    desk.device.sync(&remote).await;
    let (folder, _) = desk.export("export");

    let phone = Desk::of(Device::join("phone", 2, &desk.device));
    write(&folder, "bread.md", "Rye flour and water.\n\n![](crumb.png)\n");
    // A device that does not have the note yet makes no second one.
    let early = phone.try_import(&folder);
    assert_eq!((early.changed, early.skipped.len()), (0, 1));
    assert!(early.skipped[0].reason.contains("sync"), "{:?}", early.skipped);
    assert_eq!(phone.device.vault().list().unwrap(), []);

    phone.device.add(&remote).await;
    phone.device.sync(&remote).await;
    desk.device.edit(desk.note("bread.md"), |text| text.replace("water", "water, salt"));
    assert_eq!(phone.try_import(&folder).changed, 1);
    phone.settled(&folder);
    desk.device.sync(&remote).await;
    phone.device.sync(&remote).await;
    desk.device.sync(&remote).await;
    for one in [&desk, &phone] {
        assert_eq!(one.source("bread.md"), "Rye flour and water, salt.\n\n![](crumb.png)\n");
        one.settled(&folder);
    }
    // The file was not edited since the other device saw it: it is brought up to date.
    assert_eq!(desk.export("export").1.written, 1);
    assert_eq!(read(&folder, "bread.md"), "Rye flour and water, salt.\n\n![](crumb.png)\n");
}

#[test]
fn an_edit_is_not_made_twice_when_the_bookmarks_were_not_written() {
    let desk = Desk::new();
    desk.write("a.md", "one\n");
    desk.import();
    let bookmarks = desk.device.path().join("folders");
    let kept = desk.device.folder.path().join("kept");
    fs::create_dir(&kept).unwrap();
    crate::world::copy_folder(&bookmarks, &kept);
    desk.write("a.md", "one\ntwo\n");
    desk.import();
    desk.device.edit(desk.note("a.md"), |text| text + "three\n");
    crate::world::copy_folder(&kept, &bookmarks);
    desk.settled(&desk.folder);
    assert_eq!(desk.source("a.md"), "one\ntwo\nthree\n");
}

#[test]
fn an_edit_that_was_undone_is_made_again_by_whoever_makes_it_in_a_file() {
    let desk = Desk::new();
    let pictures = [png(2, 2, b"one"), png(3, 3, b"other")];
    desk.write("a.md", "- [ ] milk\n\n![](a.png)\n");
    desk.write("a.png", &pictures[0]);
    desk.import();
    let (folder, _) = desk.export("export");
    let note = desk.note("a.md");
    // In the vault it is ticked and its picture replaced, and neither stays so.
    for picture in [&pictures[1], &pictures[0]] {
        desk.write("a.png", picture);
        assert_eq!(desk.import().changed, 1);
    }
    for (from, to) in [("[ ]", "[x]"), ("[x]", "[ ]")] {
        desk.device.edit(note, |text| text.replace(from, to));
    }
    assert_eq!(desk.images("a.md"), [id(&pictures[0])]);
    write(&folder, "a.md", "- [x] milk\n\n![](a.png)\n");
    date(&folder.join("a.md"), 1_790_000_000);
    assert_eq!(desk.try_import(&folder).changed, 1);
    assert_eq!(desk.source("a.md"), "- [x] milk\n\n![](a.png)\n");
    write(&folder, "a.png", &pictures[1]);
    assert_eq!(desk.try_import(&folder).changed, 1);
    assert!(desk.images("a.md").contains(&id(&pictures[1])));
    desk.device.check();
}

#[test]
fn a_file_that_made_a_note_undoes_no_edit_when_the_bookmarks_were_not_written() {
    let desk = Desk::new();
    desk.write("a.md", "a ![](a.png)\n");
    desk.write("a.png", png(1, 1, b"a"));
    desk.import();
    fs::remove_dir_all(desk.device.path().join("folders")).unwrap();
    desk.device.edit(desk.note("a.md"), |text| text + "in the vault\n");
    desk.import();
    assert_eq!(desk.source("a.md"), "a ![](a.png)\nin the vault\n");
    desk.write("a.md", "in the file\na ![](a.png)\n");
    desk.import();
    assert_eq!(desk.source("a.md"), "in the file\na ![](a.png)\nin the vault\n");
    assert_eq!(desk.device.vault().list().unwrap().len(), 1);
}

#[test]
fn a_replaced_image_is_shown_by_every_note_that_shows_the_file() {
    let desk = Desk::new();
    let (old, new) = (png(2, 2, b"old"), png(3, 3, b"new"));
    desk.write("pictures/a.png", &old);
    desk.write("one.md", "![](pictures/a.png)");
    desk.write("two/two.md", "![[a.png|30]] ![](../pictures/a.png)");
    desk.write("other.md", "none");
    desk.import();
    let (folder, _) = desk.export("export");
    for folder in [&desk.folder, &folder] {
        let content = if *folder == desk.folder { &new } else { &png(4, 4, b"newer") };
        write(folder, "pictures/a.png", content);
        assert_eq!(desk.try_import(folder).changed, 2);
        let shown = |path| desk.images(path).into_iter().collect::<HashSet<_>>();
        assert_eq!(shown("one.md"), shown("two/two.md"));
        desk.settled(folder);
    }
    // Each was a replacement of the first, so both are seen.
    assert_eq!(desk.images("one.md").len(), 2);
    desk.device.check();
}

#[test]
fn an_image_may_give_way_to_another_of_the_same_note() {
    let desk = Desk::new();
    let [one, other] = [png(2, 2, b"one"), png(3, 3, b"other")];
    desk.write("a.md", "![](a.png) ![](b.png) ![](c.png)\n");
    desk.write("a.png", &one);
    desk.write("b.png", &other);
    desk.write("c.png", &one);
    desk.import();
    // The note shows no image that it did not show, and none is gone from it.
    desk.write("c.png", &other);
    assert_eq!(desk.import().changed, 1);
    let vault = desk.device.vault();
    let body = vault.read(desk.note("a.md"), None).unwrap().body;
    let shown: Vec<_> = body.embeds().map(|embed| embed.image).collect();
    assert_eq!(shown, [&one, &other, &other].map(|bytes| id(bytes)));
    assert_eq!(desk.import().changed, 0);
}

#[test]
fn a_deleted_image_file_takes_no_image_from_a_note() {
    let desk = Desk::new();
    desk.write("a.png", png(2, 2, b"a"));
    desk.write("a.md", "![](a.png)\n");
    desk.import();
    fs::remove_file(desk.folder.join("a.png")).unwrap();
    assert_eq!(desk.import().missing, vec![]);
    desk.write("a.md", "![](a.png) more\n");
    let report = desk.import();
    assert_eq!((report.changed, report.missing), (1, vec![]));
    assert_eq!(desk.images("a.md"), [id(&png(2, 2, b"a"))]);
    // Nor does one that holds something else now.
    desk.write("a.png", "no image");
    let report = desk.try_import(&desk.folder);
    let reason = "it is no image any more; the notes keep the one that it was";
    assert_eq!((report.changed, reasons(&report.skipped)), (0, vec![("a.png", reason)]));
    fs::remove_file(desk.folder.join("a.png")).unwrap();
    // And one that appears is shown.
    desk.write("b.md", "![](b.png)\n");
    assert_eq!(desk.import().missing.len(), 1);
    desk.write("b.png", png(2, 2, b"b"));
    assert_eq!(desk.import().changed, 1);
    assert_eq!(desk.images("b.md"), [id(&png(2, 2, b"b"))]);
    desk.settled(&desk.folder);
}

#[test]
fn a_file_that_was_moved_is_the_same_note() {
    let desk = Desk::new();
    desk.write("a.md", "text\n");
    desk.import();
    let note = desk.note("a.md");
    fs::create_dir(desk.folder.join("b")).unwrap();
    fs::rename(desk.folder.join("a.md"), desk.folder.join("b/c.md")).unwrap();
    assert_eq!(desk.import().changed, 1);
    assert_eq!(desk.note("b/c.md"), note);
    assert_eq!(desk.device.vault().list().unwrap().len(), 1);
    desk.settled(&desk.folder);
}

#[test]
fn a_note_in_the_trash_stays_there() {
    let desk = Desk::new();
    desk.write("a.md", "text\n");
    desk.import();
    desk.device.vault().set_trashed(desk.note("a.md"), true).unwrap();
    desk.settled(&desk.folder);
    let (folder, report) = desk.export("export");
    assert_eq!((report.notes, hashes(&folder)), (0, BTreeMap::new()));
}

/// In a code block it is shown as code, and it is still there when the block is taken away.
#[test]
fn an_image_that_a_file_puts_into_code_for_a_while_stays_an_image() {
    let desk = Desk::new();
    desk.write("a.png", png(3, 4, b"a"));
    desk.write("Note.md", "![a](a.png)\n");
    desk.import();
    let image = desk.images("Note.md");
    assert_eq!(image.len(), 1);
    fs::remove_file(desk.folder.join("a.png")).unwrap();
    desk.write("Note.md", "```\n![a](a.png)\n```\n");
    desk.import();
    assert_eq!(desk.images("Note.md"), image);
    desk.write("Note.md", "![a](a.png) again\n");
    desk.import();
    assert_eq!(desk.images("Note.md"), image);
    assert_eq!(desk.source("Note.md"), "![a](a.png) again\n");
}
