//! One device, and two that meet.

mod abreast;
mod amiss;
mod asked;
mod remotes;
mod sizes;
mod texts;
mod two;

use std::{path::PathBuf, sync::Arc};

use everleaf::{
    clock::SimulatedClock,
    id::{ImageId, NoteId},
    remote::{Memory, Remote},
    vault::{NewNote, SyncOptions, Vault},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tempfile::TempDir;

use crate::{
    image::png,
    world::{Device, NOW, options, origin},
};

fn memory() -> Arc<dyn Remote> {
    Arc::new(Memory::new())
}

#[tokio::test]
async fn two_devices_that_edit_one_paragraph_offline_end_up_the_same() {
    let remote = memory();
    let laptop = Device::new("laptop", 1);
    laptop.add_public(&remote, Some("https://img.example")).await;
    laptop.file("crumb.png", &png(40, 30, b"crumb"));
    let bread = laptop.note("# Bread\n\nFlour and water.\n\n![Crumb](crumb.png)\n");
    laptop.sync(&remote).await;

    let phone = Device::joined("phone", 2, &laptop, &remote).await;
    assert_eq!(phone.source(bread), laptop.source(bread));

    laptop.edit(bread, |text| text.replace("Flour", "Rye flour"));
    phone.edit(bread, |text| text.replace("water.", "water, salt."));
    let walk = phone.note("# Walk\n");
    laptop.sync(&remote).await;
    phone.sync(&remote).await;
    laptop.sync(&remote).await;
    assert_eq!(
        laptop.source(bread),
        "# Bread\n\nRye flour and water, salt.\n\n![Crumb](crumb.png)\n"
    );
    assert_eq!(laptop.sources(), phone.sources());
    assert_eq!(phone.source(walk), "# Walk\n");
    let idle = laptop.sync(&remote).await;
    assert_eq!((idle.requests.head, idle.requests.list, idle.requests.get), (1, 0, 0));
    laptop.check();
    phone.check();
}

/// A shopping list: both tick what is bought, one of them more, and one unticks what is not.
#[tokio::test]
async fn a_task_that_two_devices_tick_offline_is_ticked() {
    let remote = memory();
    let laptop = Device::new("laptop", 1);
    laptop.add(&remote).await;
    let list = laptop.note("- [ ] milk\n- [ ] bread\n- [x] salt\n");
    laptop.sync(&remote).await;
    let phone = Device::joined("phone", 2, &laptop, &remote).await;

    laptop.edit(list, |text| text.replace("[ ] milk", "[x] milk"));
    laptop.edit(list, |text| text.replace("[x] salt", "[ ] sea salt"));
    phone.edit(list, |text| text.replace("[ ] milk", "[x] milk").replace("[ ] bread", "[x] bread"));
    laptop.sync(&remote).await;
    phone.sync(&remote).await;
    laptop.sync(&remote).await;
    assert_eq!(laptop.source(list), "- [x] milk\n- [x] bread\n- [ ] sea salt\n");
    assert_eq!(laptop.sources(), phone.sources());
    // Both ticks of the milk are gone with one space.
    phone.edit(list, |text| text.replace("[x] milk", "[ ] milk"));
    phone.sync(&remote).await;
    laptop.sync(&remote).await;
    assert_eq!(laptop.source(list), "- [ ] milk\n- [x] bread\n- [ ] sea salt\n");
    laptop.check();
    phone.check();
}

/// A program that embeds the library syncs beside what else it does.
#[tokio::test(flavor = "multi_thread")]
async fn what_talks_to_a_remote_can_be_spawned() {
    let (remote, laptop) = (memory(), Arc::new(Device::new("laptop", 1)));
    laptop.note("# Bread\n");
    let (device, there) = (Arc::clone(&laptop), Arc::clone(&remote));
    let spawned = tokio::spawn(async move {
        device.add(&there).await;
        device.sync(&there).await;
        let (how, mut found) = (SyncOptions::default(), device.vault().verify().unwrap());
        device.vault().verify_remote(&origin(), &*there, false, &mut found).await.unwrap();
        let stop = std::future::ready(());
        device.vault().watch(&origin(), there, &how, &|_| (), &|_| (), stop).await;
        found.findings
    });
    assert_eq!(spawned.await.unwrap(), Vec::new());
    assert_eq!(laptop.sync(&remote).await.requests.put, 0);
}

/// A vault in a folder whose path needs care wherever it is written, with images beside it.
struct Odd {
    folder: TempDir,
    vault: Vault,
}

impl Odd {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SimulatedClock::new(NOW, 1));
        let path = folder.path().join("my (\"old\") 'no,tes' 100% a&b;");
        std::fs::create_dir_all(folder.path().join("x")).unwrap();
        let vault = Vault::create(&path, "odd", None, options(&clock)).unwrap();
        for (name, bytes) in [("a.png", "a"), ("b.png", "b"), ("x/a.png", "x"), ("x/b.png", "a")] {
            std::fs::write(folder.path().join(name), png(4, 3, bytes.as_bytes())).unwrap();
        }
        Self { folder, vault }
    }

    fn note(&self, source: &str) -> NoteId {
        let folder = Some(self.folder.path().to_path_buf());
        self.vault.new_note(&NewNote { source: source.into(), path: None, folder }).unwrap()
    }

    fn edit(&self, note: NoteId, source: &str, folder: &str) -> bool {
        let heads = self.vault.read(note, None).unwrap().heads;
        let folder = self.folder.path().join(folder);
        self.vault.edit(note, &heads, source, Some(&folder)).unwrap().changed
    }

    fn source(&self, note: NoteId) -> String {
        self.vault.read(note, None).unwrap().body.source()
    }

    fn shown(&self, note: NoteId) -> String {
        self.vault.markdown(&self.vault.read(note, None).unwrap()).unwrap()
    }

    fn images(&self, note: NoteId) -> Vec<ImageId> {
        let body = self.vault.read(note, None).unwrap().body;
        body.embeds().map(|embed| embed.image).collect()
    }

    fn local(&self, image: ImageId) -> PathBuf {
        self.vault.local_file(image).unwrap().unwrap()
    }
}

#[test]
fn a_local_file_is_shown_as_its_place_needs() {
    let odd = Odd::new();
    let source = "![](a.png) ![](<a.png> 't') <img src='a.png' srcset=\"a.png 2x\"> ![[a.png|3]]";
    let note = odd.note(source);
    let file = odd.local(odd.images(note)[0]);
    let file = file.to_str().unwrap();
    let shown = odd.shown(note);
    let encoded = shown.strip_prefix("![](").unwrap().split_once(") ").unwrap().0;
    let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8().unwrap();
    assert_eq!(decoded, file);
    let (plain, _) = source.split_once("![[").unwrap();
    assert_eq!(shown, format!("{}![[{file}|3]]", plain.replace("a.png", encoded)));
    assert_eq!(everleaf::note::markdown::destinations(&shown).len(), 5);
    // Copied to where it never stood, it is that image still.
    odd.edit(note, &format!("{source}\n\n![]({encoded})\n"), "");
    assert_eq!(odd.source(note), format!("{source}\n\n![](a.png)\n"));
}

#[test]
fn an_image_that_was_fenced_and_let_go_of_comes_back() {
    let odd = Odd::new();
    let note = odd.note("# T\n\n![k](a.png)\n");
    let image = odd.images(note);
    let fenced = "# T\n\n```\n![k](a.png)\n```\n";
    // The folder has other images by now, or none.
    for (source, folder) in [
        (fenced, "x"),
        ("# T\n\n![k](a.png)\n", "x"),
        ("# T\n\n![k](a.png\n", "none"),
        ("# T\n\n![k](a.png)!\n", "none"),
    ] {
        assert!(odd.edit(note, source, folder));
        assert_eq!((odd.source(note), odd.images(note)), (source.to_owned(), image.clone()));
    }
    assert!(odd.edit(note, fenced, "none"));
    assert_eq!(odd.shown(note), fenced);
}

#[test]
fn two_images_of_one_name_are_told_apart() {
    let odd = Odd::new();
    let note = odd.note("one\n\ntwo\n");
    let heads = odd.vault.read(note, None).unwrap().heads;
    // Two devices, each with a file of that name.
    for (source, folder) in [("one ![](a.png)\n\ntwo\n", ""), ("one\n\ntwo ![](a.png)\n", "x")] {
        odd.vault.edit(note, &heads, source, Some(&odd.folder.path().join(folder))).unwrap();
    }
    assert_eq!(odd.source(note), "one ![](a.png)\n\ntwo ![](a.png)\n");
    let images = odd.images(note);
    assert_ne!(images[0], images[1]);
    for (source, order) in [
        ("new\n\none ![](a.png)\n\ntwo ![x](a.png)\n", &[0, 1][..]),
        ("one ![](a.png)\n\nnew\n\n- two\n  ![[a.png]]\n", &[0, 1]),
        ("- two\n  ![[a.png]]\n", &[1]),
    ] {
        assert!(odd.edit(note, source, "none"));
        assert_eq!(odd.source(note), source);
        let expected: Vec<_> = order.iter().map(|at| images[*at]).collect();
        assert_eq!(odd.images(note), expected, "{source}");
    }
}

/// Texts that show the images of [`Odd`] in every way, in code too.
fn shows() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a.png", "b.png", "x/a.png", "x/b.png", "no.png"]);
    let part = (name, 0..9_u8).prop_map(|(name, kind)| match kind {
        0 => format!("![k]({name}) "),
        1 => format!("![k](<{name}> \"t\")\n"),
        2 => format!("<img src='{name}' alt=x> "),
        3 => format!("<img src={name} srcset=\"{name} 2x, b.png 3x\">\n\n"),
        4 => format!("![[{name}|300]] "),
        5 => format!("![k][{name}] ![{name}]\n\n[{name}]: {name}\n\n"),
        6 => format!("```\n![k]({name})\n```\n"),
        7 => format!("![k]({name}\n\n"),
        _ => "word `code` ".to_owned(),
    });
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

#[test]
fn what_was_shown_and_comes_back_changes_nothing() {
    let odd = Odd::new();
    let mut runner = TestRunner::new(Config { cases: 48, ..Config::default() });
    let texts = (shows(), shows(), prop::sample::select(vec!["a.png", "b.png"]), any::<bool>());
    let run = runner.run(&texts, |(before, after, name, fence)| {
        let note = odd.note(&format!("{before}\n\n![k](x/a.png)\n\n{after}"));
        let heads = odd.vault.read(note, None).unwrap().heads;
        // Replaced twice at once, so that two stand side by side, and fenced thereafter.
        for name in [name, "x/b.png"] {
            let source = format!("{before}\n\n![k]({name})\n\n{after}");
            odd.vault.edit(note, &heads, &source, Some(odd.folder.path())).unwrap();
        }
        if fence {
            let fenced = odd.source(note).replace("\n\n![k](", "\n\n~~~\n![k](");
            odd.edit(note, &fenced, "none");
        }
        let (source, shown, images) = (odd.source(note), odd.shown(note), odd.images(note));
        for folder in ["", "x", "none"] {
            prop_assert!(!odd.edit(note, &shown, folder));
            prop_assert!(!odd.edit(note, &source, folder));
        }
        // With something else edited, all of it is still what it was.
        odd.edit(note, &format!("{shown}\n\n."), "none");
        prop_assert_eq!(odd.source(note), format!("{source}\n\n."));
        prop_assert_eq!(odd.images(note), images);
        Ok(())
    });
    run.unwrap();
}

#[tokio::test]
async fn a_damaged_or_lost_image_is_given_up_and_fetched_again() {
    let remote = memory();
    let laptop = Device::new("laptop", 1);
    laptop.add(&remote).await;
    for name in ["damaged.png", "lost.png", "alone.png"] {
        laptop.file(name, &png(40, 30, name.as_bytes()));
    }
    let note = laptop.note("![a](damaged.png) ![b](lost.png)\n");
    laptop.sync(&remote).await;
    laptop.note("![c](alone.png)\n");
    let images = laptop.body(note).images();
    let paths: Vec<_> =
        images.iter().map(|image| laptop.vault().local_file(*image).unwrap().unwrap()).collect();
    let replace = |path: &std::path::Path, bytes: &[u8]| {
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    replace(&paths[0], b"damage");
    std::fs::remove_file(&paths[1]).unwrap();
    // The only copy there is: nothing may take it away, damaged as it is.
    let alone = laptop.vault().image_list().unwrap();
    let alone = alone.iter().find(|image| !images.contains(&image.image)).unwrap().image;
    let alone = laptop.vault().local_file(alone).unwrap().unwrap();
    replace(&alone, b"more damage");
    let given_up = laptop.vault().repair_images().unwrap();
    assert_eq!(given_up.len(), 2);
    assert!(images.iter().all(|image| given_up.contains(image)));
    assert_eq!(std::fs::read(&alone).unwrap(), b"more damage");

    let report = laptop.sync(&remote).await;
    assert_eq!(report.fetched.images, 2);
    assert!(paths.iter().all(|path| path.is_file()));
    assert_eq!(laptop.vault().verify().unwrap().findings.len(), 1);
}

#[tokio::test]
async fn watching_pushes_what_is_written_and_pulls_what_others_write() {
    let remote = memory();
    let laptop = Device::new("laptop", 1);
    laptop.add(&remote).await;
    laptop.note("# One\n");
    let phone = Device::join("phone", 2, &laptop);
    phone.add(&remote).await;
    let news = tokio::sync::Notify::new();
    let stop = tokio::sync::Notify::new();
    let name = crate::world::origin();
    let options = everleaf::vault::SyncOptions::default();
    let each = |report: Result<&everleaf::vault::SyncReport, &everleaf::vault::VaultError>| {
        if !report.unwrap().is_quiet() {
            news.notify_one();
        }
    };
    let watch =
        laptop.vault().watch(&name, Arc::clone(&remote), &options, &|_| (), &each, stop.notified());
    let others = async {
        news.notified().await;
        phone.sync(&remote).await;
        assert_eq!(phone.sources(), laptop.sources());
        let two = laptop.note("# Two\n");
        news.notified().await;
        phone.sync(&remote).await;
        assert_eq!(phone.source(two), "# Two\n");
        phone.edit(two, |text| text + "from the phone\n");
        phone.sync(&remote).await;
        news.notified().await;
        assert_eq!(laptop.source(two), "# Two\nfrom the phone\n");
        stop.notify_one();
    };
    tokio::join!(watch, others);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_made_while_a_sync_takes_in_others_edits_of_the_note_lose_neither() {
    let remote = memory();
    let laptop = Device::new("laptop", 1);
    laptop.add(&remote).await;
    let note = laptop.note("start\n");
    laptop.sync(&remote).await;
    let phone = Device::joined("phone", 2, &laptop, &remote).await;
    for round in 0..15 {
        for n in 0..5 {
            phone.edit(note, |text| format!("{text}phone {round} {n}\n"));
        }
        phone.sync(&remote).await;
        let vault = laptop.vault().clone();
        let editing = tokio::task::spawn_blocking(move || {
            for n in 0..8 {
                let reading = vault.read(note, None).unwrap();
                let source = format!("laptop {round} {n}\n{}", reading.body.source());
                vault.edit(note, &reading.heads, &source, None).unwrap();
            }
        });
        laptop.sync(&remote).await;
        editing.await.unwrap();
        let text = laptop.source(note);
        assert_eq!(text.matches(&format!("phone {round} ")).count(), 5, "{text}");
        assert_eq!(text.matches(&format!("laptop {round} ")).count(), 8, "{text}");
    }
    laptop.sync(&remote).await;
    phone.sync(&remote).await;
    assert_eq!(laptop.source(note), phone.source(note));
    laptop.check();
}

#[tokio::test]
async fn the_vaults_own_folder_is_no_place_for_a_remote_or_an_export() {
    use everleaf::{event::RemoteOptions, folder, vault::VaultError};
    let laptop = Device::new("laptop", 1);
    laptop.note("# One\n");
    let inside = laptop.path().join("images");
    let url = format!("dir:{}", inside.display());
    let options = RemoteOptions { url, ..RemoteOptions::default() };
    let added = laptop.vault().add_remote(crate::world::origin(), options, memory()).await;
    assert!(matches!(added, Err(VaultError::InsideVault(_))), "{added:?}");
    let export = folder::ExportOptions::default();
    let exported = folder::export(laptop.vault(), &inside, &export, &|_| ());
    assert!(matches!(exported, Err(VaultError::InsideVault(_))), "{exported:?}");
    laptop.check();
}

#[tokio::test]
async fn a_local_image_goes_only_when_a_receipt_proves_that_a_remote_holds_it() {
    let remote = memory();
    let laptop = Device::new("laptop", 1);
    laptop.add(&remote).await;
    laptop.file("a.png", &png(3, 4, b"a"));
    let note = laptop.note("![a](a.png)\n");
    let image = laptop.body(note).images()[0];
    let refused = laptop.vault().evict(image).unwrap_err();
    assert!(matches!(refused, everleaf::vault::VaultError::OnlyCopy(_)), "{refused}");
    let file = laptop.vault().local_file(image).unwrap().unwrap();
    assert!(file.is_file());
    laptop.sync(&remote).await;
    laptop.vault().evict(image).unwrap();
    assert!(!file.exists());
    laptop.check();
    assert_eq!(laptop.sync(&remote).await.fetched.images, 1);
    assert!(file.is_file());
}
