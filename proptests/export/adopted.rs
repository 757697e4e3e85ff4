//! A folder that was imported, and is exported to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use everleaf::{
    folder::{ExportOptions, Exported, export},
    vault::VaultError,
};
use proptest::{collection::vec, prelude::*};

use crate::{
    folder::{Desk, id, read, reasons, write},
    image::png,
    vaults::hashes,
};

const MOVED: &str = "it was moved or deleted since it was exported; import the folder, and the next export brings \
                     back what is gone";

fn adopt(desk: &Desk) -> Result<Exported, VaultError> {
    let options = ExportOptions { adopt: true, ..ExportOptions::default() };
    export(desk.device.vault(), &desk.folder, &options, &|_| ())
}

fn again(desk: &Desk) -> Exported {
    export(desk.device.vault(), &desk.folder, &ExportOptions::default(), &|_| ()).unwrap()
}

/// Whoever keeps notes in a folder wants them there, not in a copy; but says so.
#[test]
fn an_imported_folder_is_exported_to_if_it_is_to_be_adopted() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n\n![](a.png)\n");
    desk.write("a.png", png(2, 2, b"a"));
    desk.write("edited.md", "# Edited\n");
    desk.write("paper.pdf", "%PDF-1.7");
    desk.write(".obsidian/app.json", "{}");
    // One that was never imported is somebody else's.
    assert!(matches!(adopt(&desk).unwrap_err(), VaultError::NotAsImported(_)));
    desk.import();
    let refused = export(desk.device.vault(), &desk.folder, &ExportOptions::default(), &|_| ());
    let refused = refused.unwrap_err();
    assert!(matches!(&refused, VaultError::OnlyImported(_)), "{refused}");
    let before = hashes(&desk.folder);

    let note = desk.device.note("# New\n");
    desk.device.vault().set_path(note, Some("sub/new.md")).unwrap();
    desk.device.edit(desk.note("a.md"), |text| text + "in the vault\n");
    desk.device.edit(desk.note("edited.md"), |text| text + "in the vault\n");
    desk.write("edited.md", "# Edited in the folder\n");
    let report = adopt(&desk).unwrap();
    let reason = "it was edited since it was exported; import the folder first";
    assert_eq!(reasons(&report.skipped), [("edited.md", reason)]);
    assert_eq!((report.written, report.images), (2, 1));
    assert_eq!(read(&desk.folder, "a.md"), "# A\n\n![](a.png)\nin the vault\n");
    assert_eq!(read(&desk.folder, "edited.md"), "# Edited in the folder\n");
    assert_eq!(read(&desk.folder, "sub/new.md"), "# New\n");
    let after = hashes(&desk.folder);
    for kept in ["a.png", "paper.pdf"] {
        assert_eq!(after[kept], before[kept]);
    }
    assert_eq!(read(&desk.folder, ".obsidian/app.json"), "{}");
    // From now on it is one of its exports.
    assert_eq!(desk.import().changed, 1);
    assert_eq!(again(&desk).skipped, vec![]);
    assert_eq!(read(&desk.folder, "edited.md"), "# Edited in the folder\nin the vault\n");
    desk.settled(&desk.folder);
}

/// However odd its names are: what nobody edited is not touched, and nothing is there twice.
#[test]
fn adopting_alone_changes_no_file() {
    let desk = Desk::new();
    let picture = png(2, 2, b"picture");
    let odd = [
        "Acme Inc./plan.md",
        "CON/aux.md",
        "sub /a .md",
        "back\\slash.md",
        "new\nline.md",
        "MIXED.MARKDOWN",
    ];
    for path in odd {
        desk.write(path, format!("# {path:?}\n\n![](<pic.png>) ![[other.png]] ![[Pic.PNG]]\n"));
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        desk.write(&format!("{folder}/pic.png"), &picture);
    }
    desk.write("Acme Inc./lpt1.png", png(3, 3, b"lpt1"));
    desk.write("Acme Inc./b.md", "![](lpt1.png)\n");
    // Two of one name, one of which no note shows; and one that is no picture.
    desk.write("z/other.png", png(4, 4, b"shown"));
    desk.write("zz/other.png", png(4, 4, b"not shown"));
    desk.write("zz/pic.png", "no picture");
    desk.import();
    let before = hashes(&desk.folder);
    let report = adopt(&desk).unwrap();
    assert_eq!((report.written, &report.renamed, &report.skipped), (0, &vec![], &vec![]));
    assert_eq!(hashes(&desk.folder), before);
    assert_eq!(again(&desk).written, 0);
    desk.settled(&desk.folder);
    // What is new in a folder that has such a name goes into that.
    let note = desk.device.note("# New\n");
    desk.device.vault().set_path(note, Some("Acme Inc./new.md")).unwrap();
    assert_eq!(
        (again(&desk).written, read(&desk.folder, "Acme Inc./new.md").as_str()),
        (1, "# New\n")
    );
    assert_eq!(hashes(&desk.folder).len(), before.len() + 1);
}

/// As Obsidian moves a picture whose name alone leads to it.
#[test]
fn a_picture_that_was_moved_stays_where_it_went() {
    let desk = Desk::new();
    let picture = png(2, 2, b"picture");
    desk.write("notes/a.md", "# A\n\n![[pic.png]]\n");
    desk.write("old/pic.png", &picture);
    desk.import();
    adopt(&desk).unwrap();
    fs::create_dir(desk.folder.join("new")).unwrap();
    fs::rename(desk.folder.join("old/pic.png"), desk.folder.join("new/pic.png")).unwrap();
    // Before an import has seen it, nobody knows that it is no other.
    let report = again(&desk);
    assert_eq!((report.written, reasons(&report.skipped)), (0, vec![("old/pic.png", MOVED)]));
    let report = desk.import();
    assert_eq!((report.changed, report.remarks), (0, vec![]));
    desk.device.edit(desk.note("notes/a.md"), |text| text + "more\n");
    let report = again(&desk);
    assert_eq!((report.written, reasons(&report.skipped)), (1, vec![]));
    assert_eq!(read(&desk.folder, "notes/a.md"), "# A\n\n![[pic.png]]\nmore\n");
    assert!(!desk.folder.join("old/pic.png").exists());
    desk.settled(&desk.folder);
    assert_eq!(desk.images("notes/a.md"), [id(&picture)]);
}

#[test]
fn a_picture_that_was_deleted_is_told_of_once_and_comes_back() {
    let desk = Desk::new();
    desk.write("a.md", "![](gone.png)\n");
    desk.write("gone.png", png(2, 2, b"gone"));
    desk.import();
    adopt(&desk).unwrap();
    fs::remove_file(desk.folder.join("gone.png")).unwrap();
    assert_eq!(reasons(&again(&desk).skipped), [("gone.png", MOVED)]);
    let remarks = desk.import().remarks;
    let what = "the image is gone, and notes show it as before; an export writes the file again";
    assert_eq!((remarks.len(), &*remarks[0].path, &*remarks[0].what), (1, "gone.png", what));
    assert_eq!(desk.import().remarks, vec![]);
    assert_eq!(again(&desk).written, 1);
    desk.settled(&desk.folder);
}

/// Wherever it stands among others.
#[test]
fn a_picture_that_is_shown_behind_one_that_is_shown_twice_may_be_moved_too() {
    let desk = Desk::new();
    let text = "![[p.png]] ![[p.png]] ![[q.png]]\n";
    desk.write("a.md", text);
    desk.write("old/p.png", png(2, 2, b"p"));
    desk.write("old/q.png", png(2, 2, b"q"));
    desk.import();
    adopt(&desk).unwrap();
    fs::rename(desk.folder.join("old"), desk.folder.join("new")).unwrap();
    assert_eq!(desk.import().remarks, vec![]);
    assert_eq!((again(&desk).written, read(&desk.folder, "a.md").as_str()), (0, text));
    assert_eq!(hashes(&desk.folder).len(), 3);
}

#[test]
fn names_that_are_written_alike_here_stay_what_they_are_there() {
    let desk = Desk::new();
    let text = "![](Acme%20Inc./p.png)\n\n![](<Acme Inc./p.png>)\n\n![](Acme%20Inc./p.png)\n";
    desk.write("n.md", text);
    desk.write("Acme Inc./p.png", png(2, 2, b"p"));
    desk.import();
    adopt(&desk).unwrap();
    let (folder, _) = desk.export("elsewhere");
    write(&folder, "n.md", read(&folder, "n.md") + "more\n");
    assert_eq!(desk.try_import(&folder).changed, 1);
    assert_eq!(desk.source("n.md"), format!("{text}more\n"));
}

/// Its name can't be made anew on some systems, and here it was.
#[test]
fn what_was_in_a_folder_of_an_odd_name_that_is_gone_is_missed_like_any_other() {
    let desk = Desk::new();
    let text = "# B\n\n![[pic.png]]\n";
    desk.write("b.md", text);
    desk.write("Acme Inc./c.md", "# C\n");
    desk.write("Acme Inc./pic.png", png(2, 2, b"pic"));
    desk.import();
    adopt(&desk).unwrap();
    let before = hashes(&desk.folder);
    fs::rename(desk.folder.join("Acme Inc."), desk.folder.join("Acme")).unwrap();
    let report = again(&desk);
    assert_eq!(report.written, 0);
    assert_eq!(reasons(&report.skipped), [("Acme Inc./c.md", MOVED), ("Acme Inc./pic.png", MOVED)]);
    assert!(!desk.folder.join("Acme Inc.").exists());
    desk.import();
    assert_eq!((again(&desk).written, read(&desk.folder, "b.md").as_str()), (0, text));
    // What was deleted comes back under its name.
    fs::rename(desk.folder.join("Acme"), desk.folder.join("Acme Inc.")).unwrap();
    desk.import();
    fs::remove_dir_all(desk.folder.join("Acme Inc.")).unwrap();
    desk.import();
    assert_eq!(again(&desk).written, 2);
    assert_eq!(hashes(&desk.folder), before);
}

/// No import takes it in, and nobody edited the note.
#[test]
fn a_picture_of_a_name_that_is_there_already_changes_no_note() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n\n![[pic.png]]\n");
    desk.write("img/pic.png", png(2, 2, b"one"));
    desk.import();
    desk.write("pic.png", png(2, 2, b"two"));
    let before = hashes(&desk.folder);
    adopt(&desk).unwrap();
    desk.import();
    again(&desk);
    assert_eq!(hashes(&desk.folder), before);
}

/// On another device, which has it where it was.
#[test]
fn a_picture_that_was_moved_here_and_replaced_there_is_replaced_where_it_went() {
    let desk = Desk::new();
    let text = "![[pic.png]]\n";
    desk.write("a.md", text);
    desk.write("sub/b.md", text);
    desk.write("img/pic.png", png(2, 2, b"one"));
    desk.import();
    adopt(&desk).unwrap();
    let (there, _) = desk.export("there");
    fs::rename(desk.folder.join("img"), desk.folder.join("z")).unwrap();
    desk.import();
    let picture = png(3, 3, b"two");
    write(&there, "img/pic.png", &picture);
    assert_eq!(desk.try_import(&there).changed, 2);
    assert_eq!(again(&desk).written, 1);
    assert_eq!(fs::read(desk.folder.join("z/pic.png")).unwrap(), picture);
    // Another note of it, and one that went elsewhere, need no copy of it.
    write(&there, "new.md", "# New\n\n![[pic.png]]\n");
    fs::rename(there.join("sub/b.md"), there.join("sub/renamed.md")).unwrap();
    assert_eq!(desk.try_import(&there).changed, 2);
    assert_eq!(again(&desk).written, 2);
    for path in ["a.md", "sub/renamed.md"] {
        assert_eq!(read(&desk.folder, path), text);
    }
    assert_eq!(read(&desk.folder, "new.md"), "# New\n\n![[pic.png]]\n");
    assert!(!desk.folder.join("img").exists());
    desk.settled(&desk.folder);
}

/// As a Mac spells them.
#[test]
fn a_picture_whose_accents_are_spelled_otherwise_is_no_other() {
    let desk = Desk::new();
    let text = "![[\u{e9}.png]] ![](\u{e9}.png)\n";
    desk.write("a.md", text);
    desk.write("\u{e9}.png", png(2, 2, b"e"));
    desk.import();
    adopt(&desk).unwrap();
    let [composed, apart] = ["\u{e9}.png", "e\u{301}.png"].map(|name| desk.folder.join(name));
    fs::rename(composed, apart).unwrap();
    let report = desk.import();
    assert_eq!((report.remarks, report.images.distinct), (vec![], 1));
    assert_eq!((again(&desk).written, read(&desk.folder, "a.md").as_str()), (0, text));
    assert_eq!(hashes(&desk.folder).len(), 2);
}

/// What a note calls by its name alone must not lead to a picture that was never taken in.
#[test]
fn a_new_picture_is_led_to_past_one_that_no_note_shows() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n");
    desk.write("p/pic.png", png(2, 2, b"theirs"));
    desk.import();
    let picture = png(3, 3, b"ours");
    desk.device.file("pic.png", &picture);
    let note = desk.device.note("# New\n\n![[pic.png]]\n");
    desk.device.vault().set_path(note, Some("p/new.md")).unwrap();
    adopt(&desk).unwrap();
    desk.settled(&desk.folder);
    assert_eq!(desk.images("p/new.md"), [id(&picture)]);
    assert_eq!(fs::read(desk.folder.join("p/pic.png")).unwrap(), png(2, 2, b"theirs"));
}

/// A disk of another name may be mounted there.
#[test]
fn another_folder_at_the_same_path_is_not_adopted() {
    let desk = Desk::new();
    for n in 0..4 {
        desk.write(&format!("{n}.md"), format!("# {n}\n"));
    }
    desk.import();
    for n in 0..3 {
        desk.write(&format!("{n}.md"), format!("another {n}\n"));
    }
    let refused = adopt(&desk).unwrap_err();
    assert!(matches!(refused, VaultError::NotAsImported(_)), "{refused}");
    desk.import();
    adopt(&desk).unwrap();
}

/// An import of the outer one leaves out what was exported, and would take its notes for gone.
#[test]
fn a_folder_within_another_is_not_adopted() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n");
    desk.write("sub/b.md", "# B\n");
    desk.import();
    let sub = desk.folder.join("sub");
    desk.try_import(&sub);
    let options = ExportOptions { adopt: true, ..ExportOptions::default() };
    for folder in [&sub, &desk.folder] {
        let refused = export(desk.device.vault(), folder, &options, &|_| ()).unwrap_err();
        assert!(matches!(refused, VaultError::FolderWithin { .. }), "{refused}");
    }
    // One that is gone is in nobody's way.
    fs::remove_dir_all(&sub).unwrap();
    desk.import();
    adopt(&desk).unwrap();
    write(&desk.folder, "sub/b.md", "# B\n");
}

#[derive(Debug, Clone)]
enum Step {
    Edit {
        note: usize,
        in_vault: bool,
    },
    /// To another folder; the one that is called by its name alone.
    MovePicture {
        to: usize,
    },
    MoveNote {
        note: usize,
        to: usize,
    },
    DeletePicture {
        named: bool,
    },
    ReplacePicture {
        named: bool,
    },
    Import,
    Export {
        delete: bool,
    },
}

const FOLDERS: [&str; 4] = ["", "Acme Inc./", "CON/deep/", "z/"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize, any::<bool>()).prop_map(|(note, in_vault)| Step::Edit { note, in_vault }),
        2 => (0..4_usize).prop_map(|to| Step::MovePicture { to }),
        1 => (0..3_usize, 0..4_usize).prop_map(|(note, to)| Step::MoveNote { note, to }),
        1 => any::<bool>().prop_map(|named| Step::DeletePicture { named }),
        1 => any::<bool>().prop_map(|named| Step::ReplacePicture { named }),
        3 => Just(Step::Import),
        3 => any::<bool>().prop_map(|delete| Step::Export { delete }),
    ]
}

/// The path of the file of this name, wherever it is.
fn find(desk: &Desk, name: &str) -> Option<String> {
    let paths = FOLDERS.map(|folder| format!("{folder}{name}"));
    paths.into_iter().find(|path| desk.folder.join(path).is_file())
}

fn go(desk: &Desk, from: &str, to: &str) {
    if from == to {
        return;
    }
    let to = desk.folder.join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(desk.folder.join(from), to).unwrap();
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split_whitespace().filter(|word| word.starts_with('w')).collect()
}

proptest! {
    #![proptest_config(crate::regressions::kept_of(module_path!(), 24))]

    /// Whatever happens on either side: no word is lost, nothing is there twice, what nobody moved is where it was, and
    /// in the end both sides say the same.
    #[test]
    fn an_adopted_folder_and_its_vault_keep_each_other_up_to_date(steps in vec(step(), 1..20)) {
        let desk = Desk::new();
        let name = |note: usize| format!("n{note}.md");
        for (note, folder) in FOLDERS.iter().take(3).enumerate() {
            let text = format!("# {note}\n\n![[named.png]]\n\n![](/z/linked.png)\n\nend\n");
            desk.write(&format!("{folder}{}", name(note)), text);
        }
        desk.write("z/named.png", png(1, 1, b"named"));
        desk.write("z/linked.png", png(1, 1, b"linked"));
        desk.write("paper.pdf", "%PDF-1.7");
        desk.import();
        let options = |delete| ExportOptions { delete, adopt: true, ..ExportOptions::default() };
        let export = |delete| export(desk.device.vault(), &desk.folder, &options(delete), &|_| ()).unwrap();
        export(false);
        let mut said = vec![BTreeSet::new(); 3];
        let mut pictures = BTreeMap::from([("named.png", png(1, 1, b"named")), ("linked.png", png(1, 1, b"linked"))]);
        for (number, step) in steps.into_iter().enumerate() {
            let picture = |named| if named { "named.png" } else { "linked.png" };
            match step {
                Step::Edit { note, in_vault } => {
                    let word = format!("w{number}");
                    let edit = |text: String| text + &word + "\n";
                    if in_vault {
                        let rows = desk.device.vault().list().unwrap();
                        let title = note.to_string();
                        let row = rows.iter().find(|row| row.title == title).unwrap();
                        desk.device.edit(row.note, edit);
                    } else {
                        let path = find(&desk, &name(note)).unwrap();
                        desk.write(&path, edit(read(&desk.folder, &path)));
                    }
                    said[note].insert(word);
                }
                Step::MovePicture { to } => {
                    if let Some(from) = find(&desk, "named.png") {
                        go(&desk, &from, &format!("{}named.png", FOLDERS[to]));
                    }
                }
                Step::MoveNote { note, to } => {
                    go(&desk, &find(&desk, &name(note)).unwrap(), &format!("{}{}", FOLDERS[to], name(note)));
                }
                Step::DeletePicture { named } => {
                    if let Some(path) = find(&desk, picture(named)) {
                        fs::remove_file(desk.folder.join(path)).unwrap();
                    }
                }
                Step::ReplacePicture { named } => {
                    if let Some(path) = find(&desk, picture(named)) {
                        let bytes = png(2, 2, &number.to_be_bytes());
                        desk.write(&path, &bytes);
                        pictures.insert(picture(named), bytes);
                        // Else nobody could tell whether it was moved as well.
                        desk.import();
                    }
                }
                Step::Import => drop(desk.import()),
                Step::Export { delete } => drop(export(delete)),
            }
        }
        desk.import();
        export(true);
        desk.import();
        let report = export(true);
        prop_assert_eq!((report.skipped, report.left), (vec![], vec![]));
        desk.settled(&desk.folder);
        prop_assert_eq!(export(true).written, 0);
        prop_assert_eq!(desk.device.vault().list().unwrap().len(), 3);
        for (note, said) in said.iter().enumerate() {
            let path = find(&desk, &name(note)).unwrap();
            let text = read(&desk.folder, &path);
            prop_assert_eq!(words(&text), said.iter().map(String::as_str).collect::<BTreeSet<_>>());
            prop_assert_eq!(desk.source(&path), text);
            let shown: Vec<_> = ["named.png", "linked.png"].map(|name| id(&pictures[name])).into();
            prop_assert_eq!(desk.images(&path), shown);
        }
        // Three notes, two pictures and a paper, each once.
        prop_assert_eq!(hashes(&desk.folder).len(), 6, "{:?}", hashes(&desk.folder));
        for (name, bytes) in &pictures {
            let path = find(&desk, name).unwrap();
            prop_assert_eq!(&fs::read(desk.folder.join(path)).unwrap(), bytes);
        }
        desk.device.check();
    }
}
