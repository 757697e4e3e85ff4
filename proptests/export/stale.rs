//! Files that nothing needs any more: an export tells of them, or deletes them when it is asked to.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path};

use everleaf::{
    folder::{ExportOptions, Exported, export},
    vault::VaultError,
};
use proptest::{collection::vec, prelude::*};

use crate::{
    folder::{Desk, id, read, write},
    image::png,
    vaults::hashes,
};

fn deleting(desk: &Desk, folder: &Path) -> Exported {
    let options = ExportOptions { delete: true, ..ExportOptions::default() };
    export(desk.device.vault(), folder, &options, &|_| ()).unwrap()
}

/// What is in a folder, but for what exports say of it.
fn names(folder: &Path) -> BTreeSet<String> {
    hashes(folder).into_keys().collect()
}

fn is_note(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "md")
}

#[test]
fn files_of_notes_that_are_elsewhere_are_deleted_if_that_is_asked_for() {
    let desk = Desk::new();
    desk.write("a/deep/one.md", "# One\n\n![](one.png)\n");
    desk.write("a/deep/one.png", png(2, 2, b"one"));
    desk.write("two.md", "# Two\n");
    desk.write("three.md", "# Three\n\n![](a/deep/one.png)\n");
    desk.import();
    let [one, two, three] = ["a/deep/one.md", "two.md", "three.md"].map(|path| desk.note(path));
    let (folder, _) = desk.export("export");
    write(&folder, "mine.txt", "mine");
    let vault = desk.device.vault();
    vault.set_path(one, Some("b/one.md")).unwrap();
    vault.set_trashed(two, true).unwrap();
    let (_, told) = desk.export("export");
    assert_eq!((told.left.len(), told.deleted), (2, 0));
    let before = names(&folder);
    assert!(before.contains("a/deep/one.md") && before.contains("two.md"), "{before:?}");

    let report = deleting(&desk, &folder);
    assert_eq!((report.left, report.deleted, report.skipped), (vec![], 2, vec![]));
    let left = ["a/deep/one.png", "b/one.md", "b/one.png", "mine.txt", "three.md"];
    assert_eq!(names(&folder), left.map(str::to_owned).into());
    desk.settled(&folder);
    // Whoever shows a picture has it; after that it goes, and so do its folders.
    for note in [one, three] {
        vault.set_trashed(note, true).unwrap();
    }
    let report = deleting(&desk, &folder);
    assert_eq!((report.notes, report.left, report.deleted), (0, vec![], 4));
    assert_eq!(names(&folder), BTreeSet::from(["mine.txt".to_owned()]));
    assert!(!folder.join("a").exists() && !folder.join("b").exists());
    // All of it is in the vault.
    for note in [one, two, three] {
        vault.set_trashed(note, false).unwrap();
    }
    assert_eq!(desk.try_import(&folder).changed, 0);
    assert_eq!(deleting(&desk, &folder).written, 5);
    assert_eq!(read(&folder, "b/one.md"), desk.device.source(one));
    assert_eq!(desk.device.body(three).images(), [id(&png(2, 2, b"one"))]);
    desk.settled(&folder);
}

/// What somebody changed, put there or put a link in the place of is nobody's to delete.
#[test]
fn what_somebody_touched_is_not_deleted() {
    let desk = Desk::new();
    for name in ["edited", "linked", "shown"] {
        desk.write(&format!("{name}.md"), format!("# {name}\n\n![]({name}.png)\n"));
        desk.write(&format!("{name}.png"), png(3, 3, name.as_bytes()));
    }
    desk.import();
    let (folder, _) = desk.export("export");
    let vault = desk.device.vault();
    for name in ["edited", "linked", "shown"] {
        vault.set_trashed(desk.note(&format!("{name}.md")), true).unwrap();
    }
    let edited = read(&folder, "edited.md") + "more\n";
    write(&folder, "edited.md", &edited);
    fs::rename(folder.join("linked.md"), folder.join("linked.txt")).unwrap();
    std::os::unix::fs::symlink("linked.txt", folder.join("linked.md")).unwrap();
    write(&folder, "shown.png", png(3, 4, b"another"));
    write(&folder, "mine.png", png(1, 1, b"mine"));
    write(&folder, "mine.md", "# Mine\n");
    let report = deleting(&desk, &folder);
    assert_eq!(report.deleted, 1, "the file shown.md");
    let left: Vec<&str> = report.left.iter().map(|left| left.path.as_str()).collect();
    assert_eq!(left, ["edited.md", "linked.md", "edited.md"]);
    assert!(report.left[0].what.contains("it was edited since"), "{:?}", report.left);
    assert!(report.left[2].what.contains("images that no note shows stay, 1"), "{:?}", report.left);
    let all = ["edited.png", "linked.png", "linked.txt", "mine.md", "mine.png", "shown.png"];
    let mut all: BTreeSet<String> = all.map(str::to_owned).into();
    all.insert("edited.md".into());
    let mut there = names(&folder);
    there.remove("linked.md");
    assert_eq!(there, all);
    assert_eq!(read(&folder, "edited.md"), edited);
    assert_eq!(read(&folder, "linked.txt"), "# linked\n\n![](linked.png)\n");
}

/// What nobody imported yet may show a picture that the notes in the vault show no more.
#[test]
fn a_picture_that_a_new_file_shows_is_not_deleted() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n\n![](a.png)\n");
    desk.write("a.png", png(2, 2, b"a"));
    desk.import();
    let (folder, _) = desk.export("export");
    fs::copy(folder.join("a.md"), folder.join("copy.md")).unwrap();
    desk.device.vault().set_trashed(desk.note("a.md"), true).unwrap();
    let report = deleting(&desk, &folder);
    let left: Vec<&str> = report.left.iter().map(|left| left.path.as_str()).collect();
    assert_eq!((report.deleted, left), (1, vec!["copy.md"]));
    assert_eq!(desk.try_import(&folder).missing, vec![]);
    assert_eq!(desk.images("copy.md"), [id(&png(2, 2, b"a"))]);
    assert_eq!(deleting(&desk, &folder).deleted, 0);
    desk.device.vault().set_trashed(desk.note("copy.md"), true).unwrap();
    assert_eq!(deleting(&desk, &folder).deleted, 2);
    assert_eq!(names(&folder), BTreeSet::new());
}

/// Whoever begins another note under the name of one that was thrown away means another.
#[test]
fn a_new_file_of_an_old_name_is_not_in_the_trash() {
    let desk = Desk::new();
    desk.write("Untitled.md", "# Untitled\n");
    desk.import();
    let old = desk.note("Untitled.md");
    let (folder, _) = desk.export("export");
    desk.device.vault().set_trashed(old, true).unwrap();
    assert_eq!(deleting(&desk, &folder).deleted, 1);
    write(&folder, "Untitled.md", "# Untitled\n");
    assert_eq!(desk.try_import(&folder).changed, 1);
    write(&folder, "Untitled.md", "# Untitled\n\nAnd all that I have to say.\n");
    let report = desk.try_import(&folder);
    assert_eq!((report.changed, report.remarks), (1, vec![]));
    assert_ne!(desk.note("Untitled.md"), old);
    assert_eq!(deleting(&desk, &folder).deleted, 0);
}

/// A picture that somebody put into the folder is theirs, also where no note shows it any more.
#[test]
fn a_picture_of_somebody_else_gives_way_to_no_other() {
    let (mine, other) = (png(2, 2, b"mine"), png(3, 3, b"other"));
    let desk = Desk::new();
    desk.device.note("# First\n");
    let (folder, _) = desk.export("export");
    write(&folder, "c.md", "# C\n\n![](image.png)\n");
    write(&folder, "image.png", &mine);
    desk.try_import(&folder);
    write(&folder, "c.md", "# C\n\n[a photo](image.png)\n");
    desk.try_import(&folder);
    desk.device.file("image.png", &other);
    let note = desk.device.note("# B\n\n![](image.png)\n");
    let report = deleting(&desk, &folder);
    assert_eq!((report.images, report.skipped), (1, vec![]));
    assert_eq!(fs::read(folder.join("image.png")).unwrap(), mine);
    desk.settled(&folder);
    assert_eq!(desk.device.body(note).images(), [id(&other)]);
    desk.device.vault().set_trashed(note, true).unwrap();
    deleting(&desk, &folder);
    assert_eq!(fs::read(folder.join("image.png")).unwrap(), mine);
}

/// An editor, or whatever carries the folder, may have had it open.
#[test]
fn a_deleted_file_that_is_saved_again_is_an_edit() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n\none\ntwo\n");
    desk.import();
    let note = desk.note("a.md");
    let (folder, _) = desk.export("export");
    desk.device.vault().set_path(note, Some("b.md")).unwrap();
    assert_eq!(deleting(&desk, &folder).deleted, 1);
    assert_eq!(names(&folder), BTreeSet::from(["b.md".to_owned()]));
    write(&folder, "a.md", "# A\n\none\ntwo\nthree\n");
    desk.try_import(&folder);
    assert_eq!(desk.device.sources().len(), 1);
    assert_eq!(desk.device.source(note), "# A\n\none\ntwo\nthree\n");
    assert_eq!(deleting(&desk, &folder).deleted, 1);
    assert_eq!(read(&folder, "b.md"), "# A\n\none\ntwo\nthree\n");
    desk.settled(&folder);
}

#[test]
fn what_can_not_be_deleted_keeps_nothing_else() {
    let desk = Desk::new();
    for path in ["a.md", "sub/b.md", "z.md"] {
        desk.write(path, format!("# {path}\n"));
    }
    desk.import();
    let (folder, _) = desk.export("export");
    for path in ["a.md", "sub/b.md", "z.md"] {
        desk.device.vault().set_trashed(desk.note(path), true).unwrap();
    }
    let mode = |mode| fs::set_permissions(folder.join("sub"), fs::Permissions::from_mode(mode));
    mode(0o555).unwrap();
    // Whoever may write everywhere is kept from nothing.
    let is_allowed = fs::write(folder.join("sub/test"), "").is_ok();
    let report = deleting(&desk, &folder);
    mode(0o755).unwrap();
    if is_allowed {
        eprintln!("left out: this user may write to any folder");
        return;
    }
    let left: Vec<&str> = report.left.iter().map(|left| left.path.as_str()).collect();
    assert_eq!((report.deleted, left), (2, vec!["sub/b.md"]));
    assert_eq!(deleting(&desk, &folder).deleted, 1);
}

/// A version that is not here may be nowhere else.
#[test]
fn a_file_of_another_vault_is_never_deleted() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n");
    desk.import();
    let (folder, _) = desk.export("export");
    let other = Desk::of(crate::world::Device::new("other", 9));
    other.device.note("# B\n");
    let options = ExportOptions { delete: true, ..ExportOptions::default() };
    let refused = export(other.device.vault(), &folder, &options, &|_| ()).unwrap_err();
    assert!(matches!(refused, VaultError::NotExported(_)), "{refused}");
    assert_eq!(names(&folder), BTreeSet::from(["a.md".to_owned()]));
}

#[derive(Debug, Clone)]
enum Step {
    Edit { note: usize, in_vault: bool },
    Move { note: usize, to: usize },
    Rename { file: usize, to: usize },
    Trash { note: usize, trashed: bool },
    Import,
    Export { delete: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_usize, any::<bool>()).prop_map(|(note, in_vault)| Step::Edit { note, in_vault }),
        2 => (0..3_usize, 0..6_usize).prop_map(|(note, to)| Step::Move { note, to }),
        1 => (0..3_usize, 6..9_usize).prop_map(|(file, to)| Step::Rename { file, to }),
        1 => (0..3_usize, any::<bool>()).prop_map(|(note, trashed)| Step::Trash { note, trashed }),
        2 => Just(Step::Import),
        3 => any::<bool>().prop_map(|delete| Step::Export { delete }),
    ]
}

proptest! {
    #![proptest_config(crate::regressions::kept_of(module_path!(), 24))]

    /// Whatever is moved, thrown away and edited on both sides: no word is lost, no note is there twice, and in the
    /// end the folder has one file of each note and the pictures that these show.
    #[test]
    fn an_export_deletes_nothing_that_is_nowhere_else(steps in vec(step(), 1..20)) {
        let desk = Desk::new();
        let vault = desk.device.vault();
        for number in 0..3 {
            let text = format!("# {number}\n\n![]({number}.png)\n\nof {number} alone\nend\n");
            desk.write(&format!("{number}.md"), text);
            desk.write(&format!("{number}.png"), png(1, 1, &[number]));
        }
        desk.import();
        let notes: Vec<_> = (0..3).map(|number| desk.note(&format!("{number}.md"))).collect();
        let (folder, _) = desk.export("export");
        let mut words = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let files = || names(&folder).into_iter().filter(|name| is_note(name));
            match step {
                Step::Edit { note, in_vault: true } => {
                    let word = format!("w{number}w");
                    desk.device.edit(notes[note], |text| format!("{text}{word}\n"));
                    words.push(word);
                }
                Step::Edit { note, in_vault: false } => {
                    let Some(file) = files().nth(note) else { continue };
                    let word = format!("w{number}w");
                    write(&folder, &file, read(&folder, &file) + &word + "\n");
                    words.push(word);
                }
                Step::Move { note, to } => {
                    let path = format!("{}{to}.md", ["", "sub/"][to % 2]);
                    vault.set_path(notes[note], Some(&path)).map(drop).unwrap();
                }
                Step::Rename { file, to } => {
                    // Of a note that has two files, an export writes one again that was renamed: it may be deleted.
                    desk.try_import(&folder);
                    deleting(&desk, &folder);
                    let Some(file) = files().nth(file) else { continue };
                    if !folder.join(format!("{to}.md")).exists() {
                        fs::rename(folder.join(file), folder.join(format!("{to}.md"))).unwrap();
                    }
                }
                Step::Trash { note, trashed } => {
                    // Another may get its name then, and a file that was renamed is not known by that any more.
                    desk.try_import(&folder);
                    vault.set_trashed(notes[note], trashed).map(drop).unwrap();
                }
                Step::Import => drop(desk.try_import(&folder)),
                Step::Export { delete: true } => drop(deleting(&desk, &folder)),
                Step::Export { delete: false } => drop(desk.export("export")),
            }
        }
        desk.try_import(&folder);
        for note in &notes {
            vault.set_trashed(*note, false).unwrap();
        }
        let all = vault.list().unwrap().len();
        prop_assert_eq!(all, 3);
        deleting(&desk, &folder);
        desk.try_import(&folder);
        let report = deleting(&desk, &folder);
        prop_assert_eq!((report.skipped, report.left), (vec![], vec![]));
        desk.settled(&folder);
        let there = names(&folder);
        prop_assert_eq!(there.iter().filter(|name| is_note(name)).count(), 3, "{:?}", there);
        prop_assert_eq!(there.len(), 6, "{:?}", there);
        let texts: String = notes.iter().map(|note| desk.device.source(*note)).collect();
        for word in words {
            prop_assert_eq!(texts.matches(&word).count(), 1, "{} in {}", word, texts);
        }
        desk.device.check();
    }
}

/// Whoever names a picture has no use for it once it is gone, though no note shows it.
#[test]
fn an_image_that_a_file_names_is_not_deleted() {
    let desk = Desk::new();
    let names = ["canvas.png", "a link.png", "front.png", "none.png"];
    for name in names {
        desk.write(name, png(2, 2, name.as_bytes()));
    }
    desk.write("a.md", names.map(|name| format!("![[{name}]]\n")).concat());
    desk.import();
    let (folder, _) = desk.export("export");
    write(&folder, "board.canvas", r#"{"nodes":[{"file":"canvas.png"}]}"#);
    write(&folder, "b.md", "---\ncover: front.png\n---\n[see](a%20link.png)\n");
    desk.device.edit(desk.note("a.md"), |_| "none\n".to_owned());
    assert_eq!(desk.try_import(&folder).changed, 1);
    let report = deleting(&desk, &folder);
    let left: Vec<(&str, &str)> =
        report.left.iter().map(|left| (left.path.as_str(), left.what.as_str())).collect();
    let by = |file: &str| format!("no note shows it; this file stays: {file} names it");
    let (canvas, note) = (by("board.canvas"), by("b.md"));
    let expected = [("a link.png", &*note), ("canvas.png", &*canvas), ("front.png", &*note)];
    assert_eq!((left, report.deleted), (expected.to_vec(), 1));
    assert!(!folder.join("none.png").exists());
    // One that somebody deleted is no news.
    fs::remove_file(folder.join("canvas.png")).unwrap();
    let left: Vec<String> =
        deleting(&desk, &folder).left.into_iter().map(|left| left.path).collect();
    assert_eq!(left, ["a link.png", "front.png"]);
}

/// However it is written there: a name stands in many a file that no note shows.
#[test]
fn an_image_is_named_in_any_case_and_escape() {
    let desk = Desk::new();
    let named = [
        ("Case.png", "wiki.md", "[[case.PNG]]\n"),
        ("r(1).png", "escaped.md", r"[x](r\(1\).png)"),
        ("a_b.png", "escaped too.md", r"[y](a\_b.png)"),
        ("ent.png", "entity.md", "[e](&#x65;nt.png)"),
        ("\u{e9}1.png", "c.canvas", r#"{"nodes":[{"file":"\u00e91.png"}]}"#),
        ("\u{1f331}.png", "d.canvas", r#"{"nodes":[{"file":"\ud83c\udf31.png"}]}"#),
        ("\u{e9}2.png", "apart.txt", "e\u{301}2.png"),
        ("a&b.png", "page.html", r#"<a href="a&amp;b.png">"#),
        ("percent%20.png", "percent.md", "[p](percent%2520.png)"),
        ("yaml.png", "list.yaml", "cover: yaml.png"),
        ("tex.png", "paper.tex", r"\includegraphics{tex.png}"),
        (
            "svg.png",
            "drawing.svg",
            r#"<svg xmlns="http://www.w3.org/2000/svg"><image href="svg.png"/></svg>"#,
        ),
        ("hidden.png", ".obsidian/snippets/a.css", "body{background:url(hidden.png)}"),
    ];
    desk.write("none.png", png(2, 2, b"none"));
    for (name, ..) in &named {
        desk.write(name, png(2, 2, name.as_bytes()));
    }
    let shown = named.iter().map(|(name, ..)| *name).chain(["none.png"]);
    let shown: Vec<String> = shown.map(|name| format!("![[{name}]]\n")).collect();
    desk.write("a.md", shown.concat());
    assert_eq!(desk.import().images.distinct, 14);
    let (folder, _) = desk.export("export");
    for (_, file, text) in &named {
        write(&folder, file, text);
    }
    desk.device.edit(desk.note("a.md"), |_| "none\n".to_owned());
    desk.try_import(&folder);
    let report = deleting(&desk, &folder);
    assert_eq!(report.deleted, 1, "{:?}", report.left);
    for (name, ..) in named {
        assert!(folder.join(name).exists(), "{name}");
    }
    // What is in the vault itself, should that be here, names all of them.
    fs::remove_file(folder.join("list.yaml")).unwrap();
    assert_eq!(deleting(&desk, &folder).deleted, 1);
}

/// Nothing is deleted that there is no other of.
#[test]
fn an_image_stays_that_is_damaged_in_the_vault() {
    let desk = Desk::new();
    let picture = png(2, 2, b"picture");
    desk.write("a.md", "![](p.png)\n");
    desk.write("p.png", &picture);
    desk.import();
    let (folder, _) = desk.export("export");
    desk.device.edit(desk.note("a.md"), |_| "none\n".to_owned());
    let image = id(&picture);
    let kept = desk.device.vault().local_file(image).unwrap().unwrap();
    let whole = fs::read(&kept).unwrap();
    fs::remove_file(&kept).unwrap();
    fs::write(&kept, b"damaged").unwrap();
    let report = deleting(&desk, &folder);
    assert!(folder.join("p.png").exists());
    let [left] = &*report.left else { panic!("{report:?}") };
    assert!(left.what.contains("the vault has no whole one"), "{}", left.what);
    fs::remove_file(&kept).unwrap();
    assert_eq!(deleting(&desk, &folder).left.len(), 1);
    fs::write(&kept, whole).unwrap();
    assert_eq!(deleting(&desk, &folder).deleted, 1);
}
