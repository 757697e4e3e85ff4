//! Files that are as they were are not read again, and none that is not is taken for one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use everleaf::{
    folder::{ImportOptions, Imported, import, is_settled},
    vault::{NewNote, Vault},
};

use super::{Desk, id, reasons, write};
use crate::{
    image::png,
    world::{copy_folder, options},
};

/// Imports a folder until it reads no more than so many files: until a file's time tells that nobody wrote it
/// meanwhile, some more are read.
pub(super) fn until_known(desk: &Desk, folder: &Path, reads: u64) {
    let is_known = |_: &u32| desk.try_import(folder).read == reads;
    assert!((0..20_000).any(|round| is_known(&round)), "files are read again and again");
    assert_eq!(desk.try_import(folder).read, reads);
}

/// Writes a file, and gives it the time that it had.
fn unnoticed(path: &Path, bytes: &[u8]) {
    let before = fs::metadata(path).unwrap();
    assert_eq!(bytes.len() as u64, before.len());
    fs::write(path, bytes).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
}

/// Puts another file in the place of one, of the same size and time.
fn exchanged(path: &Path, bytes: &[u8]) {
    let other = path.with_extension("other");
    let time = fs::metadata(path).unwrap().modified().unwrap();
    fs::write(&other, bytes).unwrap();
    fs::File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
    fs::rename(other, path).unwrap();
}

fn stamps(desk: &Desk) -> PathBuf {
    let files = fs::read_dir(desk.device.path().join("folders")).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    paths.find(|path| path.extension().is_some_and(|extension| extension == "stamps")).unwrap()
}

/// Two notes without images, one with two.
fn filled() -> Desk {
    let desk = Desk::new();
    desk.write("a.md", "# A\n\n[b](b.md) one\n");
    desk.write("sub/b.md", "# B\n");
    desk.write("c.md", "![](c.png)\n\n![[d.png]]\n");
    desk.write("c.png", png(2, 2, b"one"));
    desk.write("d.png", png(3, 3, b"one"));
    let all = desk.import();
    assert_eq!((all.notes, all.changed, all.read), (3, 3, 5));
    // A note with images is read each time: they may lead to another file.
    until_known(&desk, &desk.folder, 1);
    desk
}

#[test]
fn what_nobody_touched_is_not_read() {
    let desk = filled();
    let before = desk.import();
    desk.settled(&desk.folder);
    let options = ImportOptions { reread: true, ..ImportOptions::default() };
    let all = import(desk.device.vault(), &desk.folder, &options, &|_| ()).unwrap();
    assert_eq!(all, Imported { read: 5, ..before });
    // A file that comes or goes has no other read.
    desk.write("e.md", "e\n");
    fs::remove_file(desk.folder.join("a.md")).unwrap();
    let report = desk.import();
    assert_eq!((report.notes, report.changed, report.read), (3, 1, 2));
    // One that was moved is another place, and is read there.
    fs::rename(desk.folder.join("sub/b.md"), desk.folder.join("sub/f.md")).unwrap();
    assert_eq!(desk.import().changed, 1);
    assert_eq!(desk.source("sub/f.md"), "# B\n");
}

#[test]
fn an_edit_that_kept_size_and_time_is_taken_in() {
    for touch in [unnoticed as fn(&Path, &[u8]), exchanged] {
        let desk = filled();
        touch(&desk.folder.join("a.md"), b"# A\n\n[b](b.md) two\n");
        let report = desk.import();
        assert_eq!((report.changed, report.read), (1, 2));
        assert_eq!(desk.source("a.md"), "# A\n\n[b](b.md) two\n");

        let (before, after) = (png(2, 2, b"one"), png(2, 2, b"two"));
        assert_eq!(desk.images("c.md")[0], id(&before));
        until_known(&desk, &desk.folder, 1);
        touch(&desk.folder.join("c.png"), &after);
        let report = desk.import();
        assert_eq!((report.changed, report.read), (1, 2));
        assert_eq!(desk.images("c.md")[0], id(&after));
        until_known(&desk, &desk.folder, 1);
        desk.device.check();
    }
}

/// Two files change their names: each has all that it had but its place.
#[test]
fn files_that_took_each_others_place_are_read() {
    let desk = filled();
    desk.write("b.md", "# B\n\n[b](b.md) two\n");
    desk.import();
    until_known(&desk, &desk.folder, 1);
    let [a, b, c] = ["a.md", "b.md", "c"].map(|name| desk.folder.join(name));
    for (from, to) in [(&a, &c), (&b, &a), (&c, &b)] {
        fs::rename(from, to).unwrap();
    }
    assert_eq!(desk.import().changed, 2);
    assert_eq!(desk.source("a.md"), "# B\n\n[b](b.md) two\n");
    assert_eq!(desk.source("b.md"), "# A\n\n[b](b.md) one\n");
}

/// A note in which a file of that name would be shown is no note without images.
#[test]
fn a_picture_that_was_missing_is_found_in_a_note_that_nobody_touched() {
    let desk = Desk::new();
    desk.write("a.md", "![](late.png)\n");
    assert_eq!(desk.try_import(&desk.folder).missing.len(), 1);
    until_known(&desk, &desk.folder, 1);
    desk.write("late.png", png(2, 2, b"late"));
    assert_eq!(desk.import().changed, 1);
    assert_eq!(desk.images("a.md"), [id(&png(2, 2, b"late"))]);
}

#[test]
fn what_is_damaged_is_not_believed() {
    let desk = filled();
    let path = stamps(&desk);
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(desk.import().read, 5);
        fs::write(&path, &whole[..at]).unwrap();
        assert_eq!(desk.import().read, 5);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(desk.import().read, 5);
}

/// An exported folder has its bookmarks with it; what is known of its files is in the vault.
#[test]
fn what_an_export_wrote_is_not_taken_for_what_was_there() {
    let desk = filled();
    let (folder, _) = desk.export("export");
    until_known(&desk, &folder, 1);
    desk.device.edit(desk.note("a.md"), |text| text.replace("one", "two"));
    assert_eq!(desk.export("export").1.written, 1);
    desk.settled(&folder);
    until_known(&desk, &folder, 1);
    write(&folder, "a.md", "# A\n\n[b](b.md) six\n");
    assert_eq!(desk.try_import(&folder).changed, 1);
    assert_eq!(desk.source("a.md"), "# A\n\n[b](b.md) six\n");
}

/// What an export finds is believed as well, and a picture that somebody else put there is none of its own.
#[test]
fn an_export_tells_a_picture_that_kept_size_and_time_from_its_own() {
    let desk = filled();
    let (folder, _) = desk.export("export");
    until_known(&desk, &folder, 1);
    for touch in [unnoticed as fn(&Path, &[u8]), exchanged] {
        touch(&folder.join("c.png"), &png(2, 2, b"two"));
        let (_, report) = desk.export("export");
        assert_eq!(reasons(&report.skipped)[0].0, "c.png");
        touch(&folder.join("c.png"), &png(2, 2, b"one"));
        assert_eq!(desk.export("export").1.skipped, vec![]);
    }
}

/// A file is believed to be what it was once nobody could have written it since without a trace.
#[test]
fn what_was_written_a_moment_before_is_not_believed() {
    const S: i64 = 1_000_000_000;
    let fine = 100 * S + 7;
    for (modified, changed, is_far, settled) in [
        (fine, fine, false, fine + S / 10 + 1),
        (fine, fine + 5, false, fine + 5 + S / 10 + 1),
        // Some file systems say when a file was made, or nothing, in the place of when it was changed.
        (fine, 0, false, fine + 3 * S + 1),
        (fine, 5, false, fine + S / 10 + 1),
        // Seconds, of either.
        (100 * S, fine, false, fine + 3 * S + 1),
        (fine, 101 * S, false, 104 * S + 1),
        // Another clock.
        (fine, fine, true, fine + 3600 * S + 1),
    ] {
        assert!(is_settled(modified, changed, settled, is_far));
        assert!(!is_settled(modified, changed, settled - 1, is_far));
    }
    // From the future, and from its end.
    assert!(!is_settled(fine, fine, fine - S, false));
    assert!(!is_settled(i64::MAX, 0, i64::MAX, true));
    assert!(is_settled(i64::MIN, i64::MIN, 0, true));
}

/// What shows pictures of the web alone depends on no file.
#[test]
fn a_note_with_pictures_from_elsewhere_is_not_read_again() {
    let desk = Desk::new();
    desk.write("a.md", "![](https://example.org/a.png) ![](data:image/png;base64,AA) ![]()\n");
    desk.write("b.md", "![[d]]\n");
    desk.write("c.md", "c\n");
    desk.import();
    // It may show an image `d` one day.
    until_known(&desk, &desk.folder, 1);
}

/// What was remembered of a folder outlives a vault of which a backup was put back.
#[test]
fn a_version_that_a_vault_lost_is_named() {
    let desk = filled();
    let before = desk.device.folder.path().join("before");
    copy_folder(&desk.device.path(), &before);
    desk.write("a.md", "# A\n\n[b](b.md) lost\n");
    desk.import();
    until_known(&desk, &desk.folder, 1);
    copy_folder(&desk.device.path().join("folders"), &before.join("folders"));
    let vault = Vault::open(&before, options(&desk.device.clock)).unwrap();
    // It goes on, and has as many events as it had.
    let another = NewNote { source: "another".into(), path: None, folder: None };
    for _ in 0..20 {
        vault.new_note(&another).unwrap();
    }
    let report = import(&vault, &desk.folder, &ImportOptions::default(), &|_| ()).unwrap();
    assert_eq!(
        reasons(&report.skipped).iter().map(|(path, _)| *path).collect::<Vec<_>>(),
        ["a.md"]
    );
}
