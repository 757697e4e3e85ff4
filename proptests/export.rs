//! A folder that was exported: nothing of anybody's is overwritten, and all of it comes back.

mod adopted;
mod leads;
mod stale;

use std::{fs, sync::Arc};

use everleaf::{
    folder::{ExportOptions, ImportOptions, ImportedImages, export, import},
    note::Heads,
    remote::{Memory, Remote},
    vault::{SyncImages, SyncOptions, VaultError},
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    folder::{Desk, id, read, reasons, write},
    image::png,
    vaults::hashes,
    world::Device,
};

/// Takes an image's bytes away, as on a device that has not fetched it.
fn forget(desk: &Desk, bytes: &[u8]) {
    let media_type = everleaf::image::recognise(bytes).unwrap();
    fs::remove_file(desk.device.vault().images().path(id(bytes), media_type)).unwrap();
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
fn an_image_that_is_not_here_is_not_taken_for_another_of_its_name() {
    let desk = Desk::new();
    let (here, elsewhere) = (png(2, 2, b"here"), png(3, 3, b"elsewhere"));
    desk.device.file("shared.png", &here);
    desk.device.note("here\n\n![](shared.png)\n");
    desk.device.file("shared.png", &elsewhere);
    let note = desk.device.note("elsewhere\n\n![](shared.png)\n");
    forget(&desk, &elsewhere);
    let (folder, report) = desk.export("export");
    assert_eq!((report.images, report.missing.len()), (1, 1));
    desk.settled(&folder);
    assert_eq!(desk.device.body(note).images(), [id(&elsewhere)]);
}

#[test]
fn a_file_that_an_export_leaves_is_shown_no_image_that_comes_later() {
    let desk = Desk::new();
    let (absent, later) = (png(2, 2, b"absent"), png(3, 3, b"later"));
    desk.device.file("shared.png", &absent);
    let thrown_away = desk.device.note("thrown away\n\n![](shared.png)\n");
    forget(&desk, &absent);
    let (folder, _) = desk.export("export");
    desk.device.vault().set_trashed(thrown_away, true).unwrap();
    desk.device.file("shared.png", &later);
    desk.device.note("later\n\n![](shared.png)\n");
    desk.export("export");
    assert_eq!(desk.try_import(&folder).changed, 0);
    let body = desk.device.body(thrown_away);
    assert_eq!(body.images(), [id(&absent)]);
}

#[test]
fn a_link_that_leads_nowhere_is_shown_no_image_that_an_export_puts_there() {
    let desk = Desk::new();
    let dead = desk.device.note("dead\n\n![](a.png)\n");
    desk.device.file("a.png", &png(2, 2, b"a"));
    desk.device.note("alive\n\n![](a.png)\n");
    let (folder, _) = desk.export("export");
    assert!(folder.join("a.png").exists());
    assert_eq!(desk.try_import(&folder).changed, 0);
    desk.settled(&folder);
    assert_eq!(desk.device.body(dead).images(), []);
}

#[test]
fn a_file_that_could_not_be_replaced_is_no_edit() {
    let desk = Desk::new();
    let pictures = [b"before", b"after!", b"newest"].map(|text| png(2, 2, text));
    desk.write("a.md", "a ![](a.png)\n");
    desk.write("a.png", &pictures[0]);
    desk.import();
    let (folder, _) = desk.export("export");
    desk.write("a.png", &pictures[1]);
    desk.import();
    forget(&desk, &pictures[1]);
    assert_eq!(desk.export("export").1.missing.len(), 1);
    assert_eq!(desk.try_import(&folder).changed, 0);
    // Nor is it one where the text around it is edited.
    write(&folder, "a.md", "more ![](a.png)\n");
    assert_eq!(desk.try_import(&folder).changed, 1);
    assert_eq!(desk.images("a.md"), [id(&pictures[1])]);
    // What somebody puts there is.
    write(&folder, "a.png", &pictures[2]);
    assert_eq!(desk.try_import(&folder).changed, 1);
    assert_eq!(desk.images("a.md"), [id(&pictures[2])]);
}

#[test]
fn a_hash_names_no_image_that_took_the_place_of_its_own() {
    let desk = Desk::new();
    let (old, new) = (png(2, 2, b"old"), png(3, 3, b"new"));
    desk.device.file("old.png", &old);
    desk.device.note("![](old.png)\n");
    let by_hash = format!("![](blake3:{})\n", id(&old));
    let note = desk.device.note(&by_hash);
    let (folder, _) = desk.export("export");
    let exported = desk.device.source(note);
    assert_eq!(exported, by_hash);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "png") {
            fs::write(path, &new).unwrap();
        }
    }
    desk.try_import(&folder);
    let images = || desk.device.body(note).images();
    assert_eq!(images(), [id(&new)]);
    desk.device.edit(note, |text| text + &by_hash);
    assert_eq!(images(), [id(&new), id(&old)]);
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
    for path in files.keys() {
        write(&copy, path, fs::read(folder.join(path)).unwrap());
    }
    let seen = stranger.try_import(&copy);
    assert_eq!(seen.missing, vec![]);
    assert_eq!((seen.images.references, seen.images.distinct), (11, 5));

    let before = desk.device.sources();
    desk.settled(&folder);
    // An edit does not make the names of the folder those of the note.
    for note in files.keys().filter(|path| !path.contains(".png")) {
        write(&folder, note, read(&folder, note) + "\nmore");
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
    let options = ExportOptions { urls: true, ..ExportOptions::default() };
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

fn without_images() -> SyncOptions {
    SyncOptions { images: SyncImages::None, ..SyncOptions::default() }
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
    phone.device.sync_with(&remote, &without_images()).await.unwrap();
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

#[tokio::test]
async fn an_image_called_by_its_hash_has_its_place_before_its_bytes_are_here() {
    let remote: Arc<dyn Remote> = Arc::new(Memory::new());
    let desk = Desk::new();
    let picture = png(2, 2, b"a");
    desk.device.file("a.png", &picture);
    desk.device.note("![](a.png)\n");
    let note = desk.device.note(&format!("by its hash\n\n![](blake3:{})\n", id(&picture)));
    let phone = Desk::of(Device::join("phone", 2, &desk.device));
    desk.device.add(&remote).await;
    phone.device.add(&remote).await;
    desk.device.sync(&remote).await;
    phone.device.sync_with(&remote, &without_images()).await.unwrap();
    let (folder, _) = phone.export("export");
    let absent = read(&folder, "by its hash.md");
    phone.settled(&folder);
    phone.device.sync(&remote).await;
    assert_eq!(phone.export("export").1.missing, vec![]);
    assert_eq!(read(&folder, "by its hash.md"), absent);
    let place = absent.split(['(', ')']).nth(1).unwrap();
    assert_eq!(fs::read(folder.join(place)).unwrap(), picture);
    assert_eq!(phone.device.body(note).images(), [id(&picture)]);
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
    #![proptest_config(crate::regressions::kept_of(module_path!(), 12))]

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

    /// Whatever paths notes have: each has a file of its own in the folder, and nothing is beside it.
    #[test]
    fn every_path_has_a_place_in_the_folder(
        paths in vec("([.]{1,2}|[a-b]{0,2}|con|\\.git| |\u{0}|[\\\\:é]){1,3}(/([.]{1,2}|[a-b]{1,2}|nul)){0,3}(\\.md)?", 1..10),
        long in 240..400_usize,
    ) {
        let desk = Desk::new();
        // The vault takes no empty one; see `security::paths` for a stranger's.
        let paths: Vec<String> = paths.into_iter().filter(|path| !path.is_empty()).collect();
        let long = ["l".repeat(long), format!("{}.md", "é/".repeat(2 * long))];
        for path in paths.iter().chain(&long) {
            let new = everleaf::vault::NewNote {
                source: format!("in {path}"),
                path: Some(path.clone()),
                folder: None,
            };
            desk.device.vault().new_note(&new).unwrap();
        }
        let beside = |name: &str| {
            let names = fs::read_dir(desk.device.folder.path()).unwrap();
            names.filter(|entry| entry.as_ref().unwrap().file_name() != name).count()
        };
        let before = beside("export");
        let (folder, report) = desk.export("export");
        prop_assert_eq!(beside("export"), before);
        prop_assert_eq!(report.skipped, vec![]);
        prop_assert_eq!(report.notes, (paths.len() + long.len()) as u64);
        prop_assert_eq!(hashes(&folder).len(), paths.len() + long.len());
        let sources = desk.device.sources();
        desk.settled(&folder);
        prop_assert_eq!(desk.device.sources(), sources);
        prop_assert_eq!(desk.export("export").1.written, 0);
    }
}
