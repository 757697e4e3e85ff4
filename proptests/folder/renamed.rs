//! Files that were renamed, and names that are used again.

use std::fs;

use super::{Desk, id, stamps::until_known, write};
use crate::image::png;

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

/// A note that is moved by an app that keeps its links right: they are relative.
#[test]
fn a_file_that_was_moved_and_edited_is_the_same_note() {
    let picture = png(2, 2, b"one");
    let text = |up: &str| {
        format!(
            "# Trip\n\n![]({up}img/a.png)\nthere and [back]({up}home.md) or [[{up}home|home]]\n\
             <img src=\"{up}img/a.png\"> [it][1]\n\n[1]: {up}img/a.png\n"
        )
    };
    let desk = Desk::new();
    desk.write("img/a.png", &picture);
    desk.write("trip.md", text(""));
    desk.write("home.md", "# Home\n\n[trip](trip.md)\n");
    desk.import();
    let note = desk.note("trip.md");
    desk.device.edit(note, |source| source + "written elsewhere\n");
    rename(&desk, "trip.md", "old/trip.md");
    desk.write("old/trip.md", text("../"));
    desk.write("home.md", "# Home\n\n[trip](old/trip.md)\n");
    let report = desk.import();
    let remarks: Vec<_> = report.remarks.iter().map(|remark| remark.path.as_str()).collect();
    assert_eq!((report.changed, remarks), (2, vec!["old/trip.md"]));
    assert!(report.remarks[0].what.contains("taken for trip.md, renamed"), "{:?}", report.remarks);
    assert_eq!(desk.note("old/trip.md"), note);
    assert_eq!(desk.source("old/trip.md"), text("../") + "written elsewhere\n");
    assert_eq!(desk.images("old/trip.md"), [id(&picture)]);
    assert_eq!(desk.device.sources().len(), 2);
    desk.settled(&desk.folder);
}

/// An app that moves and renames a note writes its links anew, and little else may be in it.
#[test]
fn a_file_of_links_that_was_moved_renamed_and_written_in_place_keeps_its_note() {
    let text = |to: &str| {
        let image = |n: u8| format!("![]({to}att/{n}.png)\n\n");
        format!("# Trip\n\n{}", (1..4).map(image).collect::<String>())
    };
    let desk = Desk::new();
    for n in 1..4 {
        desk.write(&format!("att/{n}.png"), png(2, 2, &[n]));
    }
    desk.write("d/Trip.md", text("../"));
    desk.import();
    let note = desk.note("d/Trip.md");
    rename(&desk, "d/Trip.md", "x/y/Rome.md");
    desk.write("x/y/Rome.md", text("../../"));
    assert_eq!(desk.import().changed, 1);
    assert_eq!((desk.note("x/y/Rome.md"), desk.device.sources().len()), (note, 1));
    desk.settled(&desk.folder);
}

/// Many at once, some of which say nearly the same.
#[test]
fn a_folder_that_was_renamed_and_edited_keeps_its_notes() {
    let names: Vec<String> =
        (0..30).map(|n| format!("{}/index.md", n % 10 + n / 10 * 100)).collect();
    let text = |name: &str| format!("# Index\n\nof one folder\nof all\n[up](../../{name})\n");
    let desk = Desk::new();
    for name in &names {
        desk.write(&format!("old/{name}"), text(name));
    }
    desk.import();
    let notes: Vec<_> = names.iter().map(|name| desk.note(&format!("old/{name}"))).collect();
    rename(&desk, "old", "new/sub");
    for name in &names {
        desk.write(&format!("new/sub/{name}"), text(name).replace("../", "../../"));
    }
    assert_eq!(desk.import().changed, 30);
    let now: Vec<_> = names.iter().map(|name| desk.note(&format!("new/sub/{name}"))).collect();
    assert_eq!((now, desk.device.sources().len()), (notes, 30));
    desk.settled(&desk.folder);
}

/// What was made of one template, or says a part of the same, is something else.
#[test]
fn a_new_file_is_no_note_that_is_gone_unless_it_is_like_it() {
    let template = |day: u32, more: &str| format!("# Day {day}\n\n## To do\n## Seen\n{more}");
    for (new, text) in [
        ("days/2.md", template(2, "bread\nmilk\n")),
        ("days/1b.md", template(1, "one\ntwo\nthree\nfour\nfive\nsix\nseven\n")),
        ("other/1.md", "# Quite another\n\n## To do\n".to_owned()),
        ("other/1.md", template(1, "rain\nsnow\n")),
    ] {
        let desk = Desk::new();
        desk.write("days/1.md", template(1, "rain\nsun\n"));
        desk.import();
        let old = desk.note("days/1.md");
        fs::remove_file(desk.folder.join("days/1.md")).unwrap();
        desk.write(new, &text);
        let report = desk.import();
        assert_eq!((report.changed, report.remarks.len()), (1, 1), "{:?}", report.remarks);
        assert!(report.remarks[0].what.contains("the file is gone"), "{:?}", report.remarks);
        assert_ne!(desk.note(new), old);
        assert_eq!(desk.source("days/1.md"), template(1, "rain\nsun\n"));
        assert_eq!(desk.source(new), text);
    }
}

/// Which of two it is can't be told, so it is neither.
#[test]
fn a_new_file_that_is_as_like_one_as_another_is_a_note_of_its_own() {
    let text = |link: &str| format!("# Index\n\none\ntwo\n[link]({link})\n");
    let desk = Desk::new();
    let old = ["a/index.md", "b/index.md"];
    for path in old {
        desk.write(path, text(path));
    }
    desk.import();
    let notes = old.map(|path| desk.note(path));
    for path in old {
        fs::remove_file(desk.folder.join(path)).unwrap();
    }
    desk.write("c/index.md", text("c"));
    assert_eq!(desk.import().changed, 1);
    assert_eq!(old.map(|path| desk.note(path)), notes);
    assert!(!notes.contains(&desk.note("c/index.md")));
    assert_eq!(desk.device.sources().len(), 3);
}

/// Notes of one template may differ in a line, and are two for all that.
#[test]
fn a_deleted_note_does_not_become_a_new_one_of_its_template() {
    let text = |line: &str| format!("---\ntags: person\n---\n{line}\n");
    for trashed in [false, true] {
        let desk = Desk::new();
        desk.write("Bob.md", text("Call Bob."));
        desk.write("people/Eve.md", text("Call Eve."));
        desk.import();
        let notes = ["Bob.md", "people/Eve.md"].map(|path| desk.note(path));
        for note in notes {
            desk.device.vault().set_trashed(note, trashed).unwrap();
        }
        fs::remove_file(desk.folder.join("Bob.md")).unwrap();
        fs::remove_file(desk.folder.join("people/Eve.md")).unwrap();
        desk.write("Alice.md", text("Alice was born in May."));
        // In the trash is nothing that anybody goes on with.
        if trashed {
            desk.write("Eve.md", text("Another Eve."));
        }
        assert_eq!(desk.import().changed, 1 + u64::from(trashed));
        assert_eq!(desk.source("Alice.md"), text("Alice was born in May."));
        assert_eq!(desk.device.source(notes[0]), text("Call Bob."));
        assert_eq!(desk.device.source(notes[1]), text("Call Eve."));
        assert!(
            desk.device
                .vault()
                .list()
                .unwrap()
                .iter()
                .all(|row| row.trashed == notes.contains(&row.note) || !trashed)
        );
    }
}

/// What carries a folder deletes a file before it brings it elsewhere, and an import may come between.
#[test]
fn a_file_that_was_gone_for_an_import_and_was_edited_is_the_same_note() {
    let text = |link: &str| format!("# A\n\none\n[two]({link})\n");
    for edited in [false, true] {
        let desk = Desk::new();
        desk.write("a.md", text("b.md"));
        desk.import();
        let note = desk.note("a.md");
        fs::remove_file(desk.folder.join("a.md")).unwrap();
        desk.import();
        // Whoever went on with it had it stay.
        if edited {
            desk.device.edit(note, |text| text + "kept\n");
        }
        desk.write("sub/a.md", text("../b.md"));
        desk.import();
        assert_eq!(desk.note("sub/a.md") == note, !edited);
        assert_eq!(desk.device.sources().len(), 1 + usize::from(edited));
        desk.settled(&desk.folder);
    }
}

/// What an import does not see is not gone.
#[test]
fn a_file_behind_a_link_is_not_gone() {
    let desk = Desk::new();
    let text = |link: &str| format!("# A\n\none\n[two]({link})\n");
    desk.write("sub/a.md", text("b.md"));
    desk.import();
    let note = desk.note("sub/a.md");
    let away = desk.device.folder.path().join("away");
    fs::rename(desk.folder.join("sub"), &away).unwrap();
    std::os::unix::fs::symlink(&away, desk.folder.join("sub")).unwrap();
    desk.write("copy/a.md", text("c.md"));
    desk.try_import(&desk.folder);
    assert_eq!((desk.note("sub/a.md"), desk.source("sub/a.md")), (note, text("b.md")));
    assert_ne!(desk.note("copy/a.md"), note);
}

/// A note that was begun, got its name and was written, all between two imports.
#[test]
fn a_file_that_was_renamed_and_filled_in_is_the_same_note() {
    for begun in ["begun\n", ""] {
        let desk = Desk::new();
        desk.write("Untitled.md", begun);
        if fs::metadata(desk.folder.join("Untitled.md")).unwrap().created().is_err() {
            eprintln!("left out: this file system does not tell when a file was created");
            return;
        }
        desk.import();
        until_known(&desk, &desk.folder, 0);
        let note = desk.note("Untitled.md");
        rename(&desk, "Untitled.md", "sub/Plan.md");
        desk.write("sub/Plan.md", begun.to_owned() + &"and went on\n".repeat(20));
        assert_eq!(desk.import().changed, 1);
        assert_eq!((desk.note("sub/Plan.md"), desk.device.sources().len()), (note, 1));
        // Another that happens to get the same number is another.
        until_known(&desk, &desk.folder, 0);
        fs::remove_file(desk.folder.join("sub/Plan.md")).unwrap();
        for name in 0..20 {
            desk.write(
                &format!("{name}.md"),
                format!("and went on\nbut {name} is another\nby far\n"),
            );
        }
        assert_eq!(desk.import().changed, 20);
        assert_eq!((desk.note("sub/Plan.md"), desk.device.sources().len()), (note, 21));
    }
}

/// The file that is left where a note was moved in the vault is one of two, and takes nothing along.
#[test]
fn a_file_of_a_note_that_has_another_is_deleted_and_not_renamed() {
    let text = "# A\n\none\ntwo\nthree\n";
    let desk = Desk::new();
    desk.write("a.md", text);
    desk.import();
    let note = desk.note("a.md");
    let (folder, _) = desk.export("export");
    desk.device.vault().set_path(note, Some("b.md")).unwrap();
    desk.export("export");
    assert!(folder.join("a.md").is_file() && folder.join("b.md").is_file());
    fs::remove_file(folder.join("a.md")).unwrap();
    write(&folder, "c.md", text.to_owned() + "four\n");
    assert_eq!(desk.try_import(&folder).changed, 1);
    assert_eq!(desk.note("b.md"), note);
    assert_eq!(desk.source("b.md"), text);
    assert_ne!(desk.note("c.md"), note);
}
