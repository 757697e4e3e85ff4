//! A folder of Markdown files: what was edited in it is merged, and nothing else is touched.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use everleaf::{
    folder::{
        ExportOptions, Exported, ImportOptions, Imported, ImportedImages, Progress, export, import,
    },
    id::{ImageId, NoteId},
    note::Heads,
    remote::{Memory, Remote},
    vault::VaultError,
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{image::png, vaults::hashes, world::Device};

/// A device, and a folder beside its vault.
struct Desk {
    device: Device,
    folder: PathBuf,
}

impl Desk {
    fn new() -> Self {
        Self::of(Device::new("laptop", 1))
    }

    fn of(device: Device) -> Self {
        let folder = device.folder.path().join("notes");
        fs::create_dir(&folder).unwrap();
        Self { device, folder }
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        write(&self.folder, path, bytes);
    }

    fn try_import(&self, folder: &Path) -> Imported {
        import(self.device.vault(), folder, &ImportOptions::default(), &|_| ()).unwrap()
    }

    /// Imports the folder, in which everything can be used.
    fn import(&self) -> Imported {
        let report = self.try_import(&self.folder);
        assert_eq!(report.skipped, vec![]);
        report
    }

    fn export(&self, name: &str) -> (PathBuf, Exported) {
        let folder = self.device.folder.path().join(name);
        let options = ExportOptions::default();
        let report = export(self.device.vault(), &folder, &options, &|_| ()).unwrap();
        (folder, report)
    }

    fn note(&self, path: &str) -> NoteId {
        self.device.vault().find(path).unwrap()
    }

    fn source(&self, path: &str) -> String {
        self.device.source(self.note(path))
    }

    fn heads(&self, path: &str) -> Heads {
        self.device.vault().read(self.note(path), None).unwrap().heads
    }

    fn images(&self, path: &str) -> Vec<ImageId> {
        self.device.vault().read(self.note(path), None).unwrap().body.images()
    }

    fn last(&self) -> everleaf::id::Seq {
        *self.device.vault().follow().borrow()
    }

    /// That an import of `folder` changes nothing.
    fn settled(&self, folder: &Path) {
        let last = self.last();
        assert_eq!(self.try_import(folder).changed, 0);
        assert_eq!(self.last(), last);
    }
}

fn write(folder: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn read(folder: &Path, path: &str) -> String {
    fs::read_to_string(folder.join(path)).unwrap()
}

fn id(bytes: &[u8]) -> ImageId {
    ImageId::from_bytes(*blake3::hash(bytes).as_bytes())
}

fn reasons(skipped: &[everleaf::folder::Skipped]) -> Vec<(&str, &str)> {
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
    long.set_len((16 << 20) + 1).unwrap();
    let report = desk.try_import(&desk.folder);
    assert_eq!((report.notes, report.changed), (1, 1));
    let expected = [
        ("latin.md", "it is not UTF-8 text"),
        ("long.md", "a note of 16777217 bytes is larger than the limit of 16777216"),
    ];
    assert_eq!(reasons(&report.skipped), expected);
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
        assert_eq!(desk.images("one.md"), desk.images("two/two.md"));
        desk.settled(folder);
    }
    // Each was a replacement of the first, so both are seen.
    assert_eq!(desk.images("one.md").len(), 2);
    desk.device.check();
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

#[test]
fn a_folder_with_anything_else_in_it_is_not_exported_to() {
    let desk = Desk::new();
    desk.device.note("# A\n");
    desk.write("mine.txt", "precious");
    let options = ExportOptions::default();
    let refused = export(desk.device.vault(), &desk.folder, &options, &|_| ()).unwrap_err();
    assert!(matches!(&refused, VaultError::NotExported(_)), "{refused}");
    assert!(refused.hint().is_some());
    assert_eq!(hashes(&desk.folder).len(), 1);
    // An export of another vault is as precious.
    let (folder, _) = desk.export("export");
    let other = Device::new("other", 9);
    assert!(export(other.vault(), &folder, &options, &|_| ()).is_err());
    let report = import(other.vault(), &folder, &ImportOptions::default(), &|_| ()).unwrap();
    assert_eq!(report.changed, 1);
    let reason = "it belongs to another vault, so it was not used";
    assert_eq!(reasons(&report.skipped), [(".everleaf-export", reason)]);
    desk.settled(&folder);
}

#[test]
fn what_was_edited_since_the_export_is_left_alone() {
    let desk = Desk::new();
    desk.write("a.md", "a ![](a.png)\n");
    desk.write("b.md", "b\n");
    desk.write("a.png", png(2, 2, b"a"));
    desk.import();
    let (folder, _) = desk.export("export");
    for note in ["a.md", "b.md"] {
        desk.device.edit(desk.note(note), |text| format!("in the vault\n{text}"));
    }
    write(&folder, "a.md", "a ![](a.png)\nin the file\n");
    write(&folder, "a.png", png(3, 3, b"mine"));
    let (_, report) = desk.export("export");
    let edited = "it was edited since it was exported; import the folder first";
    let replaced = "it was replaced since it was exported; import the folder first";
    assert_eq!(reasons(&report.skipped), [("a.png", replaced), ("a.md", edited)]);
    assert_eq!(read(&folder, "a.md"), "a ![](a.png)\nin the file\n");
    assert_eq!(read(&folder, "b.md"), "in the vault\nb\n");
    assert_eq!(desk.try_import(&folder).changed, 1);
    assert_eq!(desk.source("a.md"), "in the vault\na ![](a.png)\nin the file\n");
    assert_eq!(desk.images("a.md"), [id(&png(3, 3, b"mine"))]);
    assert_eq!(desk.export("export").1.skipped, vec![]);
    assert_eq!(read(&folder, "a.md"), desk.source("a.md"));
}

#[test]
fn damaged_bookmarks_lose_nothing() {
    let desk = Desk::new();
    desk.write("a.md", "a\n");
    desk.import();
    let (folder, _) = desk.export("export");
    desk.device.edit(desk.note("a.md"), |text| text + "in the vault\n");
    for damage in ["", "{", "[]", "{\"format\":1,\"vault\":\"x\"}", "{\"format\":1}"] {
        fs::write(folder.join(".everleaf-export"), damage).unwrap();
        let report = desk.try_import(&folder);
        assert_eq!(report.changed, 0);
        let reason = "it is damaged, so it was not used";
        assert_eq!(reasons(&report.skipped), [(".everleaf-export", reason)]);
    }
    assert_eq!(desk.source("a.md"), "a\nin the vault\n");
    assert_eq!(desk.export("export").1.written, 1);
    let mended = read(&folder, ".everleaf-export");
    let newer = mended.replace("\"format\": 1", "\"format\": 2");
    assert_ne!(newer, mended);
    fs::write(folder.join(".everleaf-export"), newer).unwrap();
    let report = desk.try_import(&folder);
    assert_eq!((report.changed, report.skipped.len()), (0, 1));
    // Those in the vault may be damaged as well: then only the paths are left.
    for entry in fs::read_dir(desk.device.path().join("folders")).unwrap() {
        fs::write(entry.unwrap().path(), "{").unwrap();
    }
    assert_eq!(desk.try_import(&folder).changed, 0);
    assert_eq!(desk.device.vault().list().unwrap().len(), 1);
}

#[test]
fn names_that_clash_or_lead_away_are_told_apart_and_come_back() {
    let desk = Desk::new();
    let vault = desk.device.vault();
    let note = |path: Option<&str>, source: &str, pictures: &str| {
        let folder = Some(desk.device.folder.path().join(pictures));
        let new = everleaf::vault::NewNote {
            source: source.into(),
            path: path.map(str::to_owned),
            folder,
        };
        vault.new_note(&new).unwrap()
    };
    for (pictures, content) in [("one", b"1"), ("two", b"2")] {
        let folder = desk.device.folder.path().join(pictures);
        write(&folder, "same.png", png(1, 1, content));
        write(&folder, "a b&c.png", png(2, 2, content));
    }
    write(desk.device.folder.path(), "above.png", png(3, 3, b"above"));
    let source =
        "![](same.png) <img src='same.png'> ![](<a b&amp;c.png#only-dark>) ![](../above.png)";
    let made = [
        note(Some("x/a.md"), source, "one"),
        note(Some("x/a.md"), source, "two"),
        note(Some("x/a.md/b.md"), "below", "one"),
        note(Some("../../etc/passwd"), "up", "one"),
        note(Some("/abs/.git/config"), "hidden", "one"),
        note(Some("nul.md"), "device ![](../above.png)", "one"),
        note(Some("end. /t\0x.md"), "dot ![](same.png)", "two"),
        note(Some(".everleaf-export"), "ours", "one"),
        note(None, "# A / title: *?*\n\n![](same.png)\n", "one"),
        note(None, "# A / title: *?*\n", "two"),
        note(None, "", "one"),
    ];
    let (folder, report) = desk.export("export");
    assert_eq!((report.skipped.clone(), report.missing.clone()), (vec![], vec![]));
    assert_eq!(report.notes, made.len() as u64);
    let files = hashes(&folder);
    for name in ["x/a.md", "etc/passwd.md", "abs/_git/config.md", "_nul.md", "end._/t_x.md"] {
        assert!(files.contains_key(name), "{name}: {files:#?}");
    }
    assert!(files.contains_key("A - title- -.md"), "{files:#?}");
    assert_eq!(files.keys().filter(|name| name.starts_with("x/a-")).count(), 1);
    assert!(!desk.device.folder.path().join("etc").exists());
    // Every image can be found from its note by somebody who knows nothing of bookmarks.
    let stranger = Desk::of(Device::new("stranger", 3));
    let copy = stranger.folder.join("copy");
    for (path, _) in &files {
        write(&copy, path, fs::read(folder.join(path)).unwrap());
    }
    let seen = stranger.try_import(&copy);
    assert_eq!(seen.missing, vec![]);
    assert_eq!((seen.images.references, seen.images.distinct), (11, 5));

    let before = desk.device.sources();
    desk.settled(&folder);
    // An edit does not make the names of the folder those of the note.
    for note in &files {
        if note.0.ends_with(".md") {
            write(&folder, note.0, read(&folder, note.0) + "\nmore");
        }
    }
    assert_eq!(desk.try_import(&folder).changed, made.len() as u64);
    for ((note, _, old), (_, _, new)) in before.into_iter().zip(desk.device.sources()) {
        assert_eq!(new, format!("{old}\nmore"), "{note}");
    }
    desk.settled(&folder);
    assert_eq!(desk.export("export").1.written, 0);
    desk.device.check();
}

#[cfg(unix)]
#[test]
fn nothing_is_read_or_written_through_a_symbolic_link() {
    use std::os::unix::fs::symlink;

    let desk = Desk::new();
    let outside = desk.device.folder.path().join("outside");
    write(&outside, "secret.md", "secret");
    write(&outside, "secret.png", png(1, 1, b"secret"));
    desk.write("a/a.md", "![](secret.png) ![](../linked/secret.png)\n");
    desk.write("b.md", "b\n");
    symlink(&outside, desk.folder.join("linked")).unwrap();
    symlink(outside.join("secret.png"), desk.folder.join("a/secret.png")).unwrap();
    symlink(outside.join("secret.md"), desk.folder.join("secret.md")).unwrap();
    let report = desk.try_import(&desk.folder);
    assert_eq!((report.notes, report.images), (1 + 1, ImportedImages::default()));
    let paths: Vec<_> = report.skipped.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["a/secret.png", "linked", "secret.md"]);

    let (folder, _) = desk.export("export");
    desk.device.edit(desk.note("a/a.md"), |text| text + "more\n");
    desk.device.edit(desk.note("b.md"), |text| text + "more\n");
    fs::remove_dir_all(folder.join("a")).unwrap();
    symlink(&outside, folder.join("a")).unwrap();
    fs::remove_file(folder.join("b.md")).unwrap();
    symlink(outside.join("b.md"), folder.join("b.md")).unwrap();
    let (_, report) = desk.export("export");
    let reason = "a symbolic link is there";
    let mut skipped = reasons(&report.skipped);
    skipped.sort_unstable();
    assert_eq!(skipped, [("a/a.md", reason), ("b.md", reason)]);
    assert_eq!(hashes(&outside).len(), 2);
}

#[tokio::test]
async fn urls_stand_for_images_and_come_back_as_them() {
    let remote: Arc<dyn Remote> = Arc::new(Memory::new());
    let desk = Desk::new();
    let source = "![](a.png) <img src=\"./a.png\"> ![[a.png|30]] ![x][r]\n\n[r]: b.png 'title'\n";
    desk.write("note.md", source);
    desk.write("a.png", png(2, 2, b"a"));
    desk.write("b.png", png(2, 2, b"b"));
    desk.import();
    desk.device.add_public(&remote, Some("https://img.example")).await;
    desk.device.sync(&remote).await;
    let folder = desk.device.folder.path().join("export");
    let options = ExportOptions { urls: true };
    let report = export(desk.device.vault(), &folder, &options, &|_| ()).unwrap();
    // A wiki name can't be a URL.
    assert_eq!((report.images, report.missing), (1, vec![]));
    let (a, b) = (id(&png(2, 2, b"a")), id(&png(2, 2, b"b")));
    let [a, b] = [a, b].map(|image| format!("https://img.example/images/{image}.png"));
    let text = read(&folder, "note.md");
    let shown = format!("![]({a}) <img src=\"{a}\"> ![[a.png|30]] ![x][r]\n\n[r]: {b} 'title'\n");
    assert_eq!(text, shown);
    desk.settled(&folder);
    write(&folder, "note.md", text + "more\n");
    assert_eq!(desk.try_import(&folder).changed, 1);
    assert_eq!(desk.source("note.md"), format!("{source}more\n"));
    assert_eq!(desk.images("note.md").len(), 2);
    desk.settled(&folder);
}

#[tokio::test]
async fn images_that_are_elsewhere_are_named_and_reported() {
    let remote: Arc<dyn Remote> = Arc::new(Memory::new());
    let desk = Desk::new();
    desk.write("note.md", "![](a.png) and\n");
    desk.write("a.png", png(2, 2, b"a"));
    desk.import();
    desk.device.add(&remote).await;
    desk.device.sync(&remote).await;
    let phone = Desk::of(Device::join("phone", 2, &desk.device));
    phone.device.add(&remote).await;
    let options = everleaf::vault::SyncOptions {
        images: everleaf::vault::SyncImages::None,
        ..Default::default()
    };
    let name = crate::world::origin();
    phone.device.vault().sync(&name, Arc::clone(&remote), &options, &|_| ()).await.unwrap();
    let (folder, report) = phone.export("export");
    assert_eq!((report.notes, report.images, report.missing.len()), (1, 0, 1));
    assert_eq!(read(&folder, "note.md"), "![](a.png) and\n");
    phone.settled(&folder);
    write(&folder, "note.md", "![](a.png) and more\n");
    let report = phone.try_import(&folder);
    assert_eq!((report.changed, report.missing), (1, vec![]));
    assert_eq!(phone.images("note.md"), [id(&png(2, 2, b"a"))]);
    phone.device.sync(&remote).await;
    assert_eq!(phone.export("export").1.missing, vec![]);
    assert_eq!(fs::read(folder.join("a.png")).unwrap(), png(2, 2, b"a"));
}

/// What a person may do between two imports.
#[derive(Debug, Clone)]
enum Step {
    /// Adds a word to a line of a file, or of the note of it.
    Edit {
        note: usize,
        line: usize,
        in_vault: bool,
    },
    Replace {
        image: usize,
    },
    Import,
    Export,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize, 0..4_usize, any::<bool>())
            .prop_map(|(note, line, in_vault)| Step::Edit { note, line, in_vault }),
        1 => (0..2_usize).prop_map(|image| Step::Replace { image }),
        2 => Just(Step::Import),
        2 => Just(Step::Export),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whoever edits, and wherever: no word is lost, none comes twice, and in the end the folder and
    /// the vault say the same.
    #[test]
    fn edits_in_a_folder_and_in_its_vault_are_all_kept(
        steps in vec(step(), 1..16),
        crlf in select(vec!["\n", "\r\n"]),
    ) {
        let desk = Desk::new();
        for number in 0..3 {
            let text = format!("# {number}\n\n![](a.png) é\n\n![[b.png]] 🥐\n\nend");
            desk.write(&format!("{number}.md"), text.replace('\n', crlf));
        }
        for image in ["a.png", "b.png"] {
            desk.write(image, png(1, 1, image.as_bytes()));
        }
        desk.import();
        let (folder, _) = desk.export("export");
        let mut words = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Edit { note, line, in_vault } => {
                    let path = format!("{note}.md");
                    let word = format!("w{number}w");
                    let edit = |text: String| {
                        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
                        let line = (2 * line).min(lines.len() - 1);
                        lines[line].insert_str(0, &format!("{word} "));
                        lines.join("\n")
                    };
                    if in_vault {
                        desk.device.edit(desk.note(&path), edit);
                    } else {
                        write(&folder, &path, edit(read(&folder, &path)));
                    }
                    words.push((path, word));
                }
                Step::Replace { image } => {
                    let path = ["a.png", "b.png"][image];
                    write(&folder, path, png(2, 2, &number.to_be_bytes()));
                }
                Step::Import => drop(desk.try_import(&folder)),
                Step::Export => drop(desk.export("export")),
            }
        }
        desk.try_import(&folder);
        desk.settled(&folder);
        let (_, report) = desk.export("export");
        prop_assert_eq!(report.skipped, vec![]);
        for (path, word) in words {
            prop_assert_eq!(desk.source(&path).matches(&word).count(), 1);
        }
        let heads: Vec<Heads> = (0..3).map(|note| desk.heads(&format!("{note}.md"))).collect();
        desk.settled(&folder);
        prop_assert_eq!(desk.export("export").1.written, 0);
        prop_assert_eq!(
            heads,
            (0..3).map(|note| desk.heads(&format!("{note}.md"))).collect::<Vec<_>>()
        );
        desk.device.check();
    }
}
