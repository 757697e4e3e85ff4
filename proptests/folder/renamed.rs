//! Files that were renamed, and names that are used again.

use std::fs;

use super::{Desk, write};

const TEMPLATE: &str = "# Untitled\n\nTags:\n";

fn rename(desk: &Desk, from: &str, to: &str) {
    fs::create_dir_all(desk.folder.join(to).parent().unwrap()).unwrap();
    fs::rename(desk.folder.join(from), desk.folder.join(to)).unwrap();
}

#[test]
fn a_file_that_says_what_one_said_that_went_long_ago_is_a_note_of_its_own() {
    for trashed in [true, false] {
        let desk = Desk::new();
        desk.write("Untitled.md", TEMPLATE);
        desk.import();
        let old = desk.note("Untitled.md");
        desk.device.edit(old, |text| text + "filled in elsewhere\n");
        desk.device.vault().set_trashed(old, trashed).unwrap();
        fs::remove_file(desk.folder.join("Untitled.md")).unwrap();
        desk.import();
        desk.write("Ideas.md", TEMPLATE);
        assert_eq!(desk.import().changed, 1);
        assert_ne!(desk.note("Ideas.md"), old);
        assert_eq!(desk.source("Ideas.md"), TEMPLATE);
        assert_eq!(desk.note("Untitled.md"), old);
        desk.settled(&desk.folder);
    }
}

/// What moves a file, or carries it, may not be done when an import looks.
#[test]
fn a_file_that_is_gone_for_an_import_takes_its_note_along() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n");
    desk.write("b.md", TEMPLATE);
    desk.write("c.md", TEMPLATE);
    desk.import();
    let notes = ["a.md", "b.md", "c.md"].map(|path| desk.note(path));
    let gone = desk.device.folder.path().join("gone");
    fs::rename(&desk.folder, &gone).unwrap();
    fs::create_dir(&desk.folder).unwrap();
    desk.import();
    fs::rename(&gone, desk.folder.join("sub")).unwrap();
    assert_eq!(desk.import().changed, 3);
    assert_eq!(desk.note("sub/a.md"), notes[0]);
    // Which of two it was can't be told.
    assert_eq!(["b.md", "c.md"].map(|path| desk.note(path)), notes[1..]);
    assert_eq!(desk.device.sources().len(), 5);
    desk.settled(&desk.folder);
    // A copy takes nothing along.
    desk.write("copy.md", "# A\n");
    assert_eq!(desk.import().changed, 1);
    assert_eq!(desk.note("sub/a.md"), notes[0]);
}

#[test]
fn a_renamed_file_is_its_note_whatever_else_has_the_new_name() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n\none\n");
    desk.import();
    let other = desk.device.folder.path().join("other");
    write(&other, "b.md", "# Quite another\n\ntwo\n");
    desk.try_import(&other);
    rename(&desk, "a.md", "b.md");
    let report = desk.import();
    assert_eq!((report.changed, report.remarks), (1, vec![]));
    assert_eq!(desk.device.sources().len(), 2);
    desk.settled(&desk.folder);
    desk.settled(&other);
}

/// It stays in the trash, and that is said.
#[test]
fn a_renamed_file_whose_note_is_in_the_trash_is_told_of() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n");
    desk.import();
    let note = desk.note("a.md");
    desk.device.vault().set_trashed(note, true).unwrap();
    rename(&desk, "a.md", "b.md");
    let report = desk.import();
    assert_eq!((report.changed, report.remarks.len()), (1, 1));
    assert!(report.remarks[0].what.contains("in the trash"), "{}", report.remarks[0].what);
    assert_eq!(desk.note("b.md"), note);
}

/// Whichever of the two names comes first.
#[test]
fn a_note_goes_with_its_file_though_another_has_the_old_name() {
    let old = "# Scratch\n\none\ntwo\nthree\n";
    let new = "# Quite another\n\nfour\nfive\nsix\n";
    for name in ["2024-05.md", "zebra.md"] {
        let desk = Desk::new();
        desk.write("Scratch.md", old);
        desk.import();
        let note = desk.note("Scratch.md");
        desk.device.edit(note, |text| text + "in the vault\n");
        rename(&desk, "Scratch.md", name);
        desk.write("Scratch.md", new);
        let report = desk.import();
        assert_eq!((report.changed, report.remarks), (2, vec![]));
        assert_eq!(desk.note(name), note);
        assert_eq!(desk.source(name), format!("{old}in the vault\n"));
        assert_eq!(desk.source("Scratch.md"), new);
        desk.settled(&desk.folder);
        desk.write("Scratch.md", format!("{new}more\n"));
        assert_eq!(desk.import().changed, 1);
        assert_eq!(desk.source(name), format!("{old}in the vault\n"));
    }
}

/// What was copied before it was edited, or filled in while another template lies beside it.
#[test]
fn an_edited_file_keeps_its_note_beside_a_copy_of_what_it_was() {
    for old in ["# A\n\none\ntwo\nthree\n", TEMPLATE, ""] {
        for name in ["0 copy.md", "z copy.md"] {
            let desk = Desk::new();
            desk.write("a.md", old);
            desk.import();
            let note = desk.note("a.md");
            desk.write(name, old);
            let edited = format!("{old}alpha\nbeta\ngamma\ndelta\nepsilon\nzeta\neta\n");
            desk.write("a.md", &edited);
            assert_eq!(desk.import().changed, 2);
            assert_eq!(desk.note("a.md"), note);
            assert_eq!((desk.source("a.md"), desk.source(name)), (edited, old.to_owned()));
            desk.settled(&desk.folder);
        }
    }
}

#[test]
fn a_renamed_folder_keeps_its_notes_though_some_of_them_say_the_same() {
    let desk = Desk::new();
    for path in ["old/a.md", "old/b.md", "old/sub/index.md", "old/bus/index.md"] {
        desk.write(path, TEMPLATE);
    }
    desk.import();
    let before = ["a.md", "b.md", "sub/index.md", "bus/index.md"]
        .map(|name| (name, desk.note(&format!("old/{name}"))));
    rename(&desk, "old", "new");
    let report = desk.import();
    assert_eq!((report.changed, report.remarks), (4, vec![]));
    for (name, note) in before {
        assert_eq!(desk.note(&format!("new/{name}")), note);
    }
    desk.settled(&desk.folder);
    // Which of two went where can't be told.
    for (from, to) in [("a", "c"), ("b", "d")] {
        rename(&desk, &format!("new/{from}.md"), &format!("new/{to}.md"));
    }
    let report = desk.import();
    assert_eq!(report.changed, 2);
    let is_told = |path: &str| {
        let told = report.remarks.iter().find(|remark| remark.path == path);
        told.is_some_and(|remark| remark.what.contains("several files"))
    };
    assert!(is_told("new/c.md") && is_told("new/d.md"), "{:?}", report.remarks);
}

/// What somebody wrote elsewhere goes with the note, not with the name.
#[test]
fn files_that_got_each_others_names_keep_their_notes() {
    const NAMES: [&str; 4] = ["a.md", "b.md", "sub/c.md", "d.md"];
    let text = |name: &str| format!("# {name}\n\nall of {name}\nonly in {name}\n");
    for count in 2..=3 {
        let desk = Desk::new();
        for name in NAMES {
            desk.write(name, text(name));
        }
        desk.import();
        let notes = NAMES.map(|name| desk.note(name));
        for note in notes {
            desk.device.edit(note, |source| source + "written elsewhere\n");
        }
        rename(&desk, NAMES[0], "away");
        for number in 1..count {
            rename(&desk, NAMES[number], NAMES[number - 1]);
        }
        rename(&desk, "away", NAMES[count - 1]);
        assert_eq!(desk.import().changed, count as u64);
        for number in 0..count {
            let now = NAMES[(number + count - 1) % count];
            assert_eq!(desk.note(now), notes[number]);
            assert_eq!(desk.source(now), text(NAMES[number]) + "written elsewhere\n");
        }
        assert_eq!(desk.device.sources().len(), NAMES.len());
        assert_eq!(desk.import().changed, 0);
        desk.settled(&desk.folder);
    }
}

/// One that was filled with what another said, which says something new, was edited.
#[test]
fn a_file_that_holds_what_another_held_is_its_note_while_its_own_text_is_nowhere() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n\nall of a\n");
    desk.write("b.md", "# B\n\nnothing of that\n");
    desk.import();
    let notes = ["a.md", "b.md"].map(|path| desk.note(path));
    desk.write("a.md", "# B\n\nnothing of that\n");
    desk.write("b.md", "# C\n\nanother text\n");
    desk.import();
    assert_eq!(["a.md", "b.md"].map(|path| desk.note(path)), notes);
    assert_eq!(desk.device.sources().len(), 2);
}

/// Whether a text is like a note's may be otherwise the other way round.
#[test]
fn files_of_which_one_has_all_of_the_other_make_no_third_note_when_they_swap_names() {
    let few = "# T\n\nall\nof\nit\n";
    for more in [1, 3, 8, 40] {
        let many = format!("{few}{}", "something more\n".repeat(more));
        for names in [["a.md", "b.md"], ["b.md", "a.md"]] {
            let desk = Desk::new();
            desk.write(names[0], few);
            desk.write(names[1], &many);
            desk.import();
            let mut notes = names.map(|name| desk.note(name));
            desk.write(names[0], &many);
            desk.write(names[1], few);
            desk.import();
            let mut now = names.map(|name| desk.note(name));
            notes.sort_unstable();
            now.sort_unstable();
            assert_eq!((now, desk.device.sources().len()), (notes, 2), "{more} {names:?}");
        }
    }
}
