//! What an export leaves alone in a folder, and what becomes of it.

use std::fs;

use everleaf::{
    folder::{ExportOptions, export},
    vault::Vault,
};

use crate::{
    folder::{Desk, id, read, reasons, write},
    image::png,
    vaults::hashes,
    world::{Device, copy_folder, options},
};

#[test]
fn a_file_that_shows_what_the_vault_lacks_is_left_alone() {
    let desk = Desk::new();
    desk.write("a.md", "old\n");
    desk.import();
    let (folder, _) = desk.export("export");
    // A vault of before, put back under a folder of after.
    let before = desk.device.folder.path().join("before");
    copy_folder(&desk.device.path(), &before);
    desk.device.edit(desk.note("a.md"), |text| text + "and newer\n");
    desk.export("export");
    let restored = Vault::open(&before, options(&desk.device.clock)).unwrap();
    let report = export(&restored, &folder, &ExportOptions::default(), &|_| ()).unwrap();
    assert_eq!(report.skipped.len(), 1);
    assert!(report.skipped[0].reason.contains("sync first"), "{}", report.skipped[0].reason);
    assert_eq!(read(&folder, "a.md"), "old\nand newer\n");
}

#[test]
fn an_image_that_is_written_beside_a_file_that_is_left_is_nobodys_edit() {
    let desk = Desk::new();
    let pictures = [png(2, 2, b"old"), png(3, 3, b"new")];
    desk.write("a.md", "a ![](a.png)\n");
    desk.write("a.png", &pictures[0]);
    desk.import();
    let (folder, _) = desk.export("export");
    desk.write("a.png", &pictures[1]);
    desk.import();
    write(&folder, "a.md", "a ![](a.png)\nin the file\n");
    assert_eq!(desk.export("export").1.skipped.len(), 1);
    assert_eq!(fs::read(folder.join("a.png")).unwrap(), pictures[1]);
    assert_eq!(desk.try_import(&folder).changed, 1);
    assert_eq!(desk.source("a.md"), "a ![](a.png)\nin the file\n");
    assert_eq!(desk.images("a.md"), [id(&pictures[1])]);
    let body = desk.device.body(desk.note("a.md"));
    assert_eq!(body.embeds().count(), 1);
}

#[test]
fn a_pipe_where_an_image_should_be_stops_no_export() {
    let desk = Desk::new();
    desk.write("a.md", "a ![](a.png)\n");
    desk.write("a.png", png(2, 2, b"a"));
    desk.import();
    let (folder, _) = desk.export("export");
    fs::remove_file(folder.join("a.png")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.join("a.png")).status().unwrap();
    assert!(made.success());
    assert_eq!(desk.export("export").1.skipped.len(), 1);
}

#[test]
fn a_file_that_no_note_shows_is_left_and_the_image_goes_elsewhere() {
    let desk = Desk::new();
    let (old, mine) = (png(2, 2, b"old"), png(3, 3, b"mine"));
    desk.device.file("a.png", &old);
    let note = desk.device.note("![](a.png)\n");
    let (folder, _) = desk.export("export");
    let shows = desk.device.source(note);
    desk.device.edit(note, |_| "nothing\n".to_owned());
    desk.export("export");
    // No import would take this in: no file shows it.
    write(&folder, "a.png", &mine);
    assert_eq!(desk.try_import(&folder).changed, 0);
    desk.device.edit(note, |_| shows.clone());
    for _ in 0..2 {
        let (_, report) = desk.export("export");
        assert_eq!((report.images, reasons(&report.skipped)), (1, vec![]));
        assert_eq!(fs::read(folder.join("a.png")).unwrap(), mine);
        desk.settled(&folder);
    }
    assert_eq!(desk.device.body(note).images(), [id(&old)]);
    let elsewhere = folder.join(format!("a-{}.png", id(&old).short()));
    assert_eq!(fs::read(&elsewhere).unwrap(), old);
    // What is shown from there is replaced there.
    fs::write(&elsewhere, &mine).unwrap();
    let skipped = desk.export("export").1.skipped;
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert_eq!(desk.try_import(&folder).changed, 1);
    assert_eq!(desk.device.body(note).images(), [id(&mine)]);
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
fn a_file_that_an_export_leaves_keeps_its_image() {
    let desk = Desk::new();
    let pictures = [png(2, 2, b"one"), png(3, 3, b"two")];
    let [thrown_away, kept] = [0, 1].map(|n| {
        desk.device.file("shared.png", &pictures[n]);
        desk.device.note(&format!("{n}\n\n![](shared.png)\n"))
    });
    let (folder, _) = desk.export("export");
    desk.device.vault().set_trashed(thrown_away, true).unwrap();
    desk.export("export");
    assert_eq!(desk.try_import(&folder).changed, 0);
    for (note, picture) in [(thrown_away, &pictures[0]), (kept, &pictures[1])] {
        let body = desk.device.body(note);
        assert_eq!(body.images(), [id(picture)]);
    }
}

#[test]
fn files_of_notes_that_went_elsewhere_are_left_and_told_of() {
    let desk = Desk::new();
    for name in ["moved.md", "thrown away.md", "stays.md"] {
        desk.write(name, name);
    }
    desk.import();
    let (folder, report) = desk.export("export");
    assert_eq!(report.left, vec![]);
    let vault = desk.device.vault();
    vault.set_path(desk.note("moved.md"), Some("elsewhere.md")).unwrap();
    vault.set_trashed(desk.note("thrown away.md"), true).unwrap();
    let left = desk.export("export").1.left;
    let told: Vec<_> = left.iter().map(|left| (left.path.as_str(), left.what.as_str())).collect();
    let moved = "the note is elsewhere.md now; this file is as it was";
    let thrown_away = "the note is in the trash, or gone; this file is as it was";
    assert_eq!(told, [("moved.md", moved), ("thrown away.md", thrown_away)]);
    assert_eq!(read(&folder, "moved.md"), "moved.md");
}

#[test]
fn an_exported_folder_is_not_passed_over_in_silence_by_who_lacks_its_notes() {
    let desk = Desk::new();
    desk.write("a.md", "only here\n");
    desk.import();
    let (folder, _) = desk.export("export");
    let other = Desk::of(crate::world::Device::join("phone", 2, &desk.device));
    let report = other.try_import(&folder);
    assert_eq!((report.changed, report.skipped.len()), (0, 1));
    assert!(report.skipped[0].reason.contains("sync"), "{}", report.skipped[0].reason);
}

#[test]
fn what_was_moved_or_deleted_in_a_folder_is_not_written_again_before_an_import_saw_it() {
    let desk = Desk::new();
    let (mine, other) = (png(2, 2, b"mine"), png(3, 3, b"other"));
    desk.write("sub/moved.md", "# Moved\n![](a.png)\n");
    desk.write("sub/a.png", &mine);
    for name in ["deleted.md", "moved in the vault.md", "stays.md"] {
        desk.write(name, format!("# {name}\n"));
    }
    desk.import();
    let (folder, _) = desk.export("export");
    let moved = desk.note("sub/moved.md");
    fs::rename(folder.join("sub/moved.md"), folder.join("sub/renamed.md")).unwrap();
    fs::remove_file(folder.join("deleted.md")).unwrap();
    fs::remove_file(folder.join("moved in the vault.md")).unwrap();
    let vault = desk.device.vault();
    vault.set_path(desk.note("moved in the vault.md"), Some("elsewhere.md")).unwrap();
    // Another note's picture does not come to the place of one that the moved file shows.
    desk.write("sub/new.md", "# New\n![](a.png)\n");
    desk.write("sub/a.png", &other);
    desk.import();
    let (_, report) = desk.export("export");
    let mut names: Vec<&str> = report.skipped.iter().map(|one| one.path.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["deleted.md", "moved in the vault.md", "sub/moved.md"]);
    assert!(report.skipped.iter().all(|one| one.reason.contains("moved or deleted")));
    assert_eq!(report.notes, 2);
    let files: Vec<String> = hashes(&folder).into_keys().collect();
    let beside = format!("sub/a-{}.png", &id(&other).to_string()[..8]);
    assert_eq!(files, ["stays.md", &beside, "sub/a.png", "sub/new.md", "sub/renamed.md"]);
    assert_eq!(fs::read(folder.join("sub/a.png")).unwrap(), mine);
    // An import sees what was moved, and tells of what is gone, once.
    let report = desk.try_import(&folder);
    let told: Vec<&str> = report.remarks.iter().map(|remark| remark.path.as_str()).collect();
    assert_eq!((report.changed, told), (1, vec!["deleted.md", "moved in the vault.md"]));
    assert!(report.remarks[0].what.contains("into the trash"), "{}", report.remarks[0].what);
    assert_eq!(desk.note("sub/renamed.md"), moved);
    assert_eq!(desk.try_import(&folder).remarks, vec![]);
    assert_eq!(desk.device.vault().list().unwrap().len(), 5);
    // What was deleted by accident comes back.
    assert_eq!(desk.export("export").1.skipped, vec![]);
    assert_eq!(read(&folder, "deleted.md"), "# deleted.md\n");
    assert_eq!(read(&folder, "elsewhere.md"), "# moved in the vault.md\n");
    assert_eq!(fs::read(folder.join("sub/a.png")).unwrap(), other);
    desk.settled(&folder);
}

/// A file that was left since its note has another is nobody's any more.
#[test]
fn whoever_clears_away_what_an_export_left_is_told_nothing() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n");
    desk.write("b.md", "# B\n");
    desk.import();
    let (folder, _) = desk.export("export");
    desk.device.vault().set_path(desk.note("a.md"), Some("c.md")).unwrap();
    desk.device.vault().set_trashed(desk.note("b.md"), true).unwrap();
    assert_eq!(desk.export("export").1.left.len(), 2);
    for name in ["a.md", "b.md"] {
        fs::remove_file(folder.join(name)).unwrap();
    }
    assert_eq!(desk.export("export").1.skipped, vec![]);
    assert_eq!(desk.try_import(&folder).remarks, vec![]);
}

/// What is emptied is filled again, also where what an export hides there stays.
#[test]
fn a_folder_that_was_emptied_is_written_anew() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n");
    desk.write("b/b.md", "# B\n");
    desk.import();
    let (folder, _) = desk.export("export");
    fs::remove_file(folder.join("a.md")).unwrap();
    fs::remove_dir_all(folder.join("b")).unwrap();
    let (_, report) = desk.export("export");
    assert_eq!((report.written, report.skipped), (2, vec![]));
    fs::remove_dir_all(&folder).unwrap();
    let (_, report) = desk.export("export");
    assert_eq!((report.written, report.skipped), (2, vec![]));
}

/// `![[A.png]]` is looked for everywhere, and the shortest path wins: for Obsidian, and for an import into
/// another vault.
#[test]
fn a_wiki_name_leads_nobody_to_another_picture_of_its_name() {
    let (wiki, plain) = (png(2, 2, b"wiki"), png(3, 3, b"plain"));
    let imported = |folders: [&str; 2]| {
        let desk = Desk::new();
        let all = desk.device.folder.path().to_owned();
        write(&all, "one/sub/A.png", &wiki);
        write(&all, "one/sub/n.md", "# Wiki\n![[A.png]]\n");
        write(&all, "two/o/A.png", &plain);
        write(&all, "two/o/m.md", "# Plain\n![](A.png)\n");
        for folder in folders {
            assert_eq!(desk.try_import(&all.join(folder)).skipped, vec![]);
        }
        desk
    };
    for folders in [["one", "two"], ["two", "one"]] {
        let desk = imported(folders);
        let (folder, _) = desk.export("export");
        desk.settled(&folder);
        // Exported again it is the same, and a stranger sees what is meant.
        assert_eq!(desk.export("export").1.written, 0);
        let stranger = Desk::of(Device::new("other", 9));
        assert_eq!(stranger.try_import(&folder).missing, vec![]);
        for (note, image) in [("Wiki", &wiki), ("Plain", &plain)] {
            assert_eq!(stranger.images(note), [id(image)], "{folders:?}: {note}");
        }
    }
}

/// Of two pictures of one name, `![[x.png]]` means the one beside the note; what is moved away, or comes there
/// from elsewhere, changes nothing of that.
#[test]
fn a_wiki_name_means_the_same_picture_in_an_export() {
    let [near, far, other] = [png(2, 2, b"near"), png(3, 3, b"far"), png(4, 4, b"other")];
    let desk = Desk::new();
    desk.write("a/x.png", &far);
    desk.write("trips/rome/x.png", &near);
    desk.write("trips/rome/Day.md", "# Day\n![[x.png]] ![[../../a/x.png]] ![[./x.png]]\n");
    desk.write("trips/oslo/Night.md", "# Night\n![[x.png]]\n");
    desk.import();
    let shown = |desk: &Desk, note: &str| {
        let body = desk.device.body(desk.note(note));
        body.embeds().map(|embed| embed.image).collect::<Vec<_>>()
    };
    assert_eq!(shown(&desk, "Day"), [&near, &far, &near].map(|bytes| id(bytes)));
    assert_eq!(shown(&desk, "Night"), [id(&far)]);
    // A picture that came from another folder would stand beside the second note.
    let elsewhere = desk.device.folder.path().join("elsewhere");
    write(&elsewhere, "trips/oslo/x.png", &other);
    write(&elsewhere, "trips/oslo/Noon.md", "# Noon\n![](x.png)\n");
    desk.try_import(&elsewhere);
    desk.device.vault().set_path(desk.note("Day"), Some("Day.md")).unwrap();
    let (folder, _) = desk.export("export");
    desk.settled(&folder);
    let stranger = Desk::of(Device::new("other", 9));
    assert_eq!(stranger.try_import(&folder).missing, vec![]);
    for note in ["Day", "Night", "Noon"] {
        assert_eq!(shown(&stranger, note), shown(&desk, note), "{note}");
    }
}

/// What somebody wrote in the folder and did not import yet shows their own picture.
#[test]
fn a_note_of_another_device_takes_no_picture_from_its_place() {
    let (theirs, ours) = (png(2, 2, b"theirs"), png(3, 3, b"ours"));
    let desk = Desk::new();
    // Older than what is in the folder: it would come first.
    desk.device.file("a.png", &theirs);
    let other = desk.device.note("# From elsewhere\n![](a.png)\n");
    desk.device.vault().set_trashed(other, true).unwrap();
    let (folder, _) = desk.export("export");
    write(&folder, "a.png", &ours);
    write(&folder, "two.md", "# Two\n![](a.png)\n");
    desk.try_import(&folder);
    desk.device.vault().set_trashed(other, false).unwrap();
    write(&folder, "three.md", "# Three\n![](a.png)\n");
    desk.export("export");
    assert_eq!(std::fs::read(folder.join("a.png")).unwrap(), ours);
    desk.try_import(&folder);
    for (note, image) in [("From elsewhere", &theirs), ("Two", &ours), ("Three", &ours)] {
        assert_eq!(desk.images(note), [id(image)], "{note}");
    }
    desk.settled(&folder);
}

#[test]
fn what_a_killed_export_left_half_written_is_cleared_away() {
    let desk = Desk::new();
    desk.device.note("# A\n");
    let note = desk.device.note("# B\n");
    desk.device.vault().set_path(note, Some("sub/B.md")).unwrap();
    let (folder, _) = desk.export("export");
    for left in [".everleaf-tmp-123456", "sub/.everleaf-tmp-abcdef"] {
        write(&folder, left, "half");
    }
    write(&folder, "sub/.everleaf-mine", "not ours");
    desk.device.edit(note, |text| text + "more\n");
    desk.export("export");
    let left: Vec<String> = hashes(&folder).into_keys().collect();
    assert_eq!(left, ["A.md", "sub/.everleaf-mine", "sub/B.md"]);
    assert!(!folder.join(".everleaf-tmp-123456").exists());
    desk.settled(&folder);
}
