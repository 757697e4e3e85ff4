//! Several folders of one vault, folders that moved, and imports that run at once.

use super::{Desk, id, write};
use crate::image::png;

/// What all notes say, sorted.
fn texts(desk: &Desk) -> Vec<String> {
    let mut texts: Vec<String> =
        desk.device.sources().into_iter().map(|(_, _, source)| source).collect();
    texts.sort();
    texts
}

#[test]
fn another_folders_file_of_the_same_name_is_a_note_of_its_own() {
    let desk = Desk::new();
    desk.write("README.md", "# Work\n\nimportant\n");
    desk.import();
    let home = desk.device.folder.path().join("home");
    write(&home, "README.md", "# Home\n\nother\n");
    let report = desk.try_import(&home);
    assert_eq!((report.changed, report.remarks.len()), (1, 1));
    let sources = texts(&desk);
    assert_eq!(sources, ["# Home\n\nother\n", "# Work\n\nimportant\n"]);
    // Each folder goes on with its own.
    write(&home, "README.md", "# Home\n\nother, edited\n");
    desk.write("README.md", "# Work\n\nimportant, edited\n");
    assert_eq!((desk.try_import(&home).changed, desk.import().changed), (1, 1));
    let sources = texts(&desk);
    assert_eq!(sources, ["# Home\n\nother, edited\n", "# Work\n\nimportant, edited\n"]);
}

/// Both were made of one template, which is most of what they say.
#[test]
fn a_file_like_one_of_another_folder_takes_nothing_out_of_its_note() {
    let template = ["## Slept\n\n", "## Ate\n\n", "## Met\n\n", "## Learned\n\n"].concat();
    let text =
        |what: &str| template.clone() + what + " one\n" + what + " two\n" + what + " three\n";
    let desk = Desk::new();
    desk.write("Daily/2024-05-01.md", text("home"));
    desk.import();
    let work = desk.device.folder.path().join("work");
    write(&work, "Daily/2024-05-01.md", text("work"));
    let report = desk.try_import(&work);
    assert_eq!((report.changed, report.remarks.len()), (1, 1));
    assert!(report.remarks[0].what.contains("another folder"), "{}", report.remarks[0].what);
    assert_eq!(texts(&desk), [text("home"), text("work")]);
    desk.settled(&desk.folder);
    desk.settled(&work);
    // A copy that lacks nothing is the same note.
    let copy = desk.device.folder.path().join("copy");
    write(&copy, "Daily/2024-05-01.md", text("home") + "and more\n");
    assert_eq!(desk.try_import(&copy).remarks, vec![]);
    assert_eq!(texts(&desk), [text("home") + "and more\n", text("work")]);
}

/// Else it would be all there twice, and twice as much each time.
#[test]
fn an_export_inside_of_an_imported_folder_is_left_out_and_named() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n");
    desk.write("sub/b.md", "# B\n");
    desk.import();
    let (exported, _) = desk.export("notes/Backup");
    for _ in 0..2 {
        let report = desk.try_import(&desk.folder);
        assert_eq!((report.notes, report.changed), (2, 0));
        assert_eq!(report.skipped.len(), 1);
        assert_eq!(report.skipped[0].path, "Backup");
        assert!(report.skipped[0].reason.contains("export of this vault"), "{report:?}");
        desk.export("notes/Backup");
    }
    assert_eq!(desk.device.sources().len(), 2);
    // By itself it is imported, and so is one of another vault wherever it is.
    write(&exported, "a.md", "# A\nmore\n");
    assert_eq!(desk.try_import(&exported).changed, 1);
    let other = Desk::of(crate::world::Device::new("other", 9));
    crate::world::copy_folder(&desk.folder, &other.folder);
    assert_eq!(other.import().changed, 4);
}

#[test]
fn a_stub_that_is_one_line_of_a_note_is_a_note_of_its_own() {
    let desk = Desk::new();
    desk.write("README.md", "# Notes\n\none\n\ntwo\n");
    desk.import();
    let other = desk.device.folder.path().join("other");
    write(&other, "README.md", "# Notes\n");
    assert_eq!(desk.try_import(&other).remarks.len(), 1);
    assert_eq!(texts(&desk), ["# Notes\n", "# Notes\n\none\n\ntwo\n"]);
}

#[test]
fn a_folder_that_was_moved_and_edited_undoes_no_edit_of_the_vault() {
    let desk = Desk::new();
    desk.write("a.md", "one\ntwo\nthree\nfour\nfive\n");
    desk.import();
    desk.device.edit(desk.note("a.md"), |text| text.replace("one", "one, in the vault"));
    let moved = desk.device.folder.path().join("moved");
    std::fs::rename(&desk.folder, &moved).unwrap();
    write(&moved, "a.md", "one\ntwo\nthree\nfour\nfive, in the file\n");
    assert_eq!(desk.try_import(&moved).changed, 1);
    let merged = "one, in the vault\ntwo\nthree\nfour\nfive, in the file\n";
    assert_eq!(desk.source("a.md"), merged);
    assert_eq!(desk.device.sources().len(), 1);
}

/// An export has whatever the vault has, and is the folder only of what no other folder brought.
#[test]
fn a_folder_that_was_moved_and_edited_keeps_its_notes_beside_an_export() {
    let desk = Desk::new();
    desk.write("a.md", "one\ntwo\nthree\nfour\nfive\n");
    desk.import();
    let (exported, _) = desk.export("export");
    let moved = desk.device.folder.path().join("moved");
    std::fs::rename(&desk.folder, &moved).unwrap();
    let edited = "one\ntwo\nthree\nfour\nfive, edited\n";
    write(&moved, "a.md", edited);
    let report = desk.try_import(&moved);
    assert_eq!((report.changed, report.remarks), (1, vec![]));
    assert_eq!(texts(&desk), [edited]);
    write(&exported, "b.md", "1\n2\n3\n4\n5\n");
    assert_eq!(desk.try_import(&exported).changed, 1);
    let other = desk.device.folder.path().join("other");
    write(&other, "b.md", "1\n2\n3\n4\nof another\n");
    let report = desk.try_import(&other);
    assert_eq!((report.changed, report.remarks.len()), (1, 1));
    assert_eq!(texts(&desk), ["1\n2\n3\n4\n5\n", "1\n2\n3\n4\nof another\n", edited]);
}

/// A version that has a line more has as many lines in common with a file of the one before it.
#[test]
fn a_folder_that_was_moved_and_edited_undoes_no_line_that_came_since() {
    let desk = Desk::new();
    desk.write("a.md", "# Note\n\nalpha\nbeta\ngamma\n");
    desk.import();
    desk.device.edit(desk.note("a.md"), |text| text + "written in the vault\n");
    desk.device.edit(desk.note("a.md"), |text| text.replace("# Note\n", "# Note\n\nat the top\n"));
    let moved = desk.device.folder.path().join("moved");
    write(&moved, "a.md", "# Note\n\nalpha\nbeta\ngamma\nwritten in the file\n");
    assert_eq!(desk.try_import(&moved).changed, 1);
    let source = desk.source("a.md");
    let mut lines: Vec<&str> = source.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    let all = [
        "# Note",
        "alpha",
        "at the top",
        "beta",
        "gamma",
        "written in the file",
        "written in the vault",
    ];
    assert_eq!(lines, all);
}

#[test]
fn two_imports_at_once_take_each_file_in_once() {
    let desk = Desk::new();
    for number in 0..150 {
        desk.write(&format!("{number}.md"), format!("# {number}\n"));
    }
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| desk.import());
        }
    });
    assert_eq!(desk.device.sources().len(), 150);
    for number in 0..150 {
        desk.write(&format!("{number}.md"), format!("# {number}\none\n"));
    }
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| desk.import());
        }
    });
    assert!(texts(&desk).iter().all(|text| text.matches("one").count() == 1));
}

#[test]
fn an_edit_of_a_file_whose_note_is_in_the_trash_is_told_of() {
    let desk = Desk::new();
    desk.write("a.md", "a\n");
    desk.import();
    let note = desk.note("a.md");
    desk.device.vault().set_trashed(note, true).unwrap();
    desk.write("a.md", "a\nand more\n");
    let report = desk.import();
    assert_eq!((report.changed, report.remarks.len()), (1, 1));
    assert!(report.remarks[0].what.contains("in the trash"), "{}", report.remarks[0].what);
    assert_eq!(desk.device.source(note), "a\nand more\n");
}

/// A name is used again for something else; what was there stays what it was.
#[test]
fn a_file_in_the_place_of_one_that_was_gone_is_a_note_of_its_own() {
    let old = "# Old plan\n\nalpha\nbeta\n";
    let new = "# Quite another plan\n\none\ntwo\n";
    for trashed in [true, false] {
        let desk = Desk::new();
        desk.write("plan.md", old);
        desk.import();
        let note = desk.note("plan.md");
        desk.device.vault().set_trashed(note, trashed).unwrap();
        std::fs::remove_file(desk.folder.join("plan.md")).unwrap();
        desk.import();
        // It comes back as it was, or edited: it is that note.
        desk.write("plan.md", format!("{old}gamma\n"));
        assert_eq!(desk.import().changed, 1);
        desk.write("plan.md", old);
        assert_eq!(desk.import().changed, 1);
        std::fs::remove_file(desk.folder.join("plan.md")).unwrap();
        desk.import();
        desk.write("plan.md", new);
        assert_eq!(desk.import().changed, 1);
        assert_eq!(desk.device.source(note), old);
        let notes = desk.device.vault().list().unwrap();
        let live = notes.iter().filter(|row| !row.trashed).count();
        assert_eq!((notes.len(), live), (2, if trashed { 1 } else { 2 }));
        desk.settled(&desk.folder);
    }
}

/// A vault that was put back lacks what its folder got since: each such file is named, with a way out.
#[test]
fn what_a_vault_lacks_since_it_was_put_back_is_named() {
    use crate::world::{copy_folder, options};
    let desk = Desk::new();
    desk.write("a.md", "# A\n\none\n");
    desk.write("b.md", "# B\n");
    desk.import();
    let before = desk.device.folder.path().join("before");
    copy_folder(&desk.device.path(), &before);
    desk.write("a.md", "# A\n\none\n\nafter the backup\n");
    assert_eq!(desk.import().changed, 1);
    // Its bookmarks are in the vault; those of an exported folder go with it.
    let (exported, _) = desk.export("export");
    let vault = everleaf::vault::Vault::open(&before, options(&desk.device.clock)).unwrap();
    let import = |folder: &std::path::Path| {
        let options = everleaf::folder::ImportOptions::default();
        everleaf::folder::import(&vault, folder, &options, &|_| ()).unwrap()
    };
    let report = import(&exported);
    assert_eq!((report.changed, report.skipped.len()), (0, 1));
    assert_eq!(report.skipped[0].path, "a.md");
    assert!(report.skipped[0].reason.contains("under another name"));
    std::fs::copy(exported.join("a.md"), exported.join("a copy.md")).unwrap();
    assert_eq!(import(&exported).changed, 1);
    let copy = vault.find("a copy.md").unwrap();
    let source = vault.read(copy, None).unwrap().body.source();
    assert_eq!(source, "# A\n\none\n\nafter the backup\n");
}

/// More than are made at once, two of which are too large to be edited beside each other.
#[test]
fn many_files_that_were_edited_are_an_edit_each() {
    let desk = Desk::new();
    let names: Vec<String> = (0..302).map(|number| format!("{number:03}.md")).collect();
    let text = |number: usize| {
        let lines = if number < 2 { 40_000 } else { 2 };
        format!("# {number}\n\n{}", "A line of some words.\n".repeat(lines))
    };
    for (number, name) in names.iter().enumerate() {
        desk.write(name, text(number));
    }
    assert_eq!(desk.import().changed, 302);
    // What the vault got meanwhile stays, and a picture that all show is taken in once.
    desk.device.edit(desk.note("150.md"), |text| text.replace("# 150", "# One hundred and fifty"));
    for (number, name) in names.iter().enumerate() {
        desk.write(name, text(number) + "\n![](new.png)\n");
    }
    let picture = png(2, 2, b"new");
    desk.write("new.png", &picture);
    let before = desk.last().0;
    assert_eq!(desk.import().changed, 302);
    assert_eq!(desk.last().0 - before, 303);
    for (number, name) in names.iter().enumerate() {
        let text = text(number) + "\n![](new.png)\n";
        let text = text.replace("# 150", "# One hundred and fifty");
        assert!(desk.source(name) == text, "{name}");
        assert_eq!(desk.images(name), [id(&picture)]);
    }
    desk.settled(&desk.folder);
}
