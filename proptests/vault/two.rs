//! A device with two remotes: what one of them loses, the other one has.

use std::sync::Arc;

use everleaf::{
    event::{RemoteName, RemoteOptions},
    id::{ImageId, Seq},
    remote::{Key, Memory, Remote},
    upload::State,
    vault::{SyncOptions, SyncReport, VaultError},
};

use super::memory;
use crate::{image::png, world::Device};

fn named(name: &str) -> RemoteName {
    name.parse().unwrap()
}

async fn add(device: &Device, name: &str, url: &str, public: bool, remote: &Arc<dyn Remote>) {
    let public_url = public.then(|| format!("https://{url}.example"));
    let options =
        RemoteOptions { url: format!("memory:{url}"), public_url, ..RemoteOptions::default() };
    device.vault().add_remote(named(name), options, Arc::clone(remote)).await.unwrap();
}

async fn sync(device: &Device, name: &str, remote: &Arc<dyn Remote>) -> SyncReport {
    let options = SyncOptions::default();
    device.vault().sync(&named(name), Arc::clone(remote), &options, &|_| ()).await.unwrap()
}

/// A device that has put a note and its picture on two remotes.
async fn two() -> (Device, ImageId, [Memory; 2], [Arc<dyn Remote>; 2]) {
    let laptop = Device::new("laptop", 1);
    let picture = png(3, 4, b"picture");
    laptop.file("p.png", &picture);
    laptop.note("# Bread\n\n![](p.png)\n");
    let stores = [Memory::new(), Memory::new()];
    let remotes = stores.clone().map(|store| Arc::new(store) as Arc<dyn Remote>);
    for (name, remote) in ["one", "two"].into_iter().zip(&remotes) {
        add(&laptop, name, name, false, remote).await;
        sync(&laptop, name, remote).await;
    }
    let image = laptop.vault().image_list().unwrap()[0].image;
    (laptop, image, stores, remotes)
}

fn images(store: &Memory) -> Vec<String> {
    let names = store.snapshot().into_keys();
    names.filter(|name| matches!(name.parse(), Ok(Key::Image { .. }))).collect()
}

/// Each has an address that the other one had before.
#[tokio::test]
async fn remotes_that_take_each_others_place_do_not_rewrite_urls_for_ever() {
    let laptop = Device::new("laptop", 1);
    laptop.file("p.png", &png(3, 4, b"picture"));
    laptop.note("![](p.png)\n");
    let remotes = [memory(), memory()];
    for turn in [["x", "y"], ["y", "x"]] {
        for ((name, url), remote) in ["one", "two"].into_iter().zip(turn).zip(&remotes) {
            add(&laptop, name, url, true, remote).await;
        }
        for (name, remote) in ["one", "two"].into_iter().zip(&remotes) {
            sync(&laptop, name, remote).await;
        }
    }
    let events = laptop.vault().events(Seq(1)).count();
    for (name, remote) in ["one", "two", "one", "two"].into_iter().zip(remotes.iter().cycle()) {
        let report = sync(&laptop, name, remote).await;
        assert_eq!((report.linked, report.pushed.changes), (0, 0), "{name}");
    }
    assert_eq!(laptop.vault().events(Seq(1)).count(), events);
    laptop.check();
}

/// It is put there again once it is here again, which the other remote sees to.
#[tokio::test]
async fn an_image_that_one_remote_lost_comes_back_from_the_other() {
    let (laptop, image, stores, remotes) = two().await;
    laptop.vault().evict(image).unwrap();
    let mut left = stores[0].snapshot();
    let lost = images(&stores[0]);
    left.retain(|name, _| !lost.contains(name));
    left.retain(|name, _| name != "pulse");
    stores[0].restore(left);
    sync(&laptop, "one", &remotes[0]).await;
    assert!(!laptop.vault().image_list().unwrap().iter().any(|image| image.local));
    // What was found to be false lets nobody drop the last copy.
    sync(&laptop, "two", &remotes[1]).await;
    laptop.vault().remove_remote(&named("two")).unwrap();
    assert!(matches!(laptop.vault().evict(image), Err(VaultError::OnlyCopy(_))));
    assert_eq!(sync(&laptop, "one", &remotes[0]).await.uploaded.images, 1);
    assert_eq!(images(&stores[0]), lost);
    laptop.check();
}

#[tokio::test]
async fn a_receipt_that_a_check_found_false_is_taken_back_though_the_image_is_not_here() {
    let (laptop, image, stores, remotes) = two().await;
    laptop.vault().evict(image).unwrap();
    let lost = images(&stores[0]);
    let mut left = stores[0].snapshot();
    left.retain(|name, _| !lost.contains(name));
    stores[0].restore(left);
    let mut found = laptop.vault().verify().unwrap();
    laptop.vault().verify_remote(&named("one"), &*remotes[0], true, &mut found).await.unwrap();
    assert_eq!(found.findings.len(), 1);
    for (name, remote) in ["one", "two", "one"].into_iter().zip([0, 1, 0]) {
        sync(&laptop, name, &remotes[remote]).await;
    }
    assert_eq!(images(&stores[0]), lost);
}

/// Of the right size, so that asking for it alone shows nothing.
#[tokio::test]
async fn an_image_that_was_found_damaged_there_is_put_there_whole() {
    let (laptop, image, stores, remotes) = two().await;
    let [name] = images(&stores[0]).try_into().unwrap();
    let whole = stores[0].snapshot()[&name].clone();
    let mut objects = stores[0].snapshot();
    objects.insert(name.clone(), vec![0; whole.len()].into());
    stores[0].restore(objects);
    let phone = Device::join("phone", 2, &laptop);
    add(&phone, "one", "one", false, &remotes[0]).await;
    add(&phone, "two", "two", false, &remotes[1]).await;
    assert_eq!(sync(&phone, "one", &remotes[0]).await.problems.len(), 1);
    assert_eq!(sync(&phone, "two", &remotes[1]).await.fetched.images, 1);
    assert_eq!(sync(&phone, "one", &remotes[0]).await.uploaded.images, 1);
    assert_eq!(stores[0].snapshot()[&name], whole);
    assert!(phone.vault().local_file(image).unwrap().is_some());
}

#[tokio::test]
async fn an_image_that_is_not_here_waits_to_be_put_until_it_is() {
    let laptop = Device::new("laptop", 1);
    laptop.file("p.png", &png(3, 4, b"picture"));
    laptop.note("![](p.png)\n");
    let (one, two) = (memory(), memory());
    add(&laptop, "one", "one", false, &one).await;
    add(&laptop, "two", "two", false, &two).await;
    sync(&laptop, "one", &one).await;
    let image = laptop.vault().image_list().unwrap()[0].image;
    laptop.vault().evict(image).unwrap();
    let report = sync(&laptop, "two", &two).await;
    assert_eq!((report.uploaded.blocked, report.uploaded.failed), (0, 0));
    assert_eq!(sync(&laptop, "one", &one).await.fetched.images, 1);
    assert_eq!(sync(&laptop, "two", &two).await.uploaded.images, 1);
    let all = laptop.vault().image_list().unwrap();
    assert!(all.iter().all(|image| image.state == Some(State::Uploaded)));
}

/// What it was filled with again is read before anything is put there once more.
#[tokio::test]
async fn what_one_device_puts_on_an_emptied_remote_the_others_do_not() {
    let (laptop, _, stores, remotes) = two().await;
    let phone = Device::join("phone", 2, &laptop);
    add(&phone, "two", "two", false, &remotes[1]).await;
    let mut objects = stores[1].snapshot();
    objects.retain(|name, _| !name.starts_with("checkpoints/"));
    stores[1].restore(objects);
    sync(&phone, "two", &remotes[1]).await;
    stores[1].restore(std::collections::BTreeMap::new());
    assert!(sync(&laptop, "two", &remotes[1]).await.pushed.changes > 0);
    assert_eq!(sync(&phone, "two", &remotes[1]).await.pushed.changes, 0);
    phone.check();
}

/// What `remote` led to when it began is not what is called so any more.
#[tokio::test]
async fn a_watch_ends_when_its_remote_is_another() {
    let laptop = Device::new("laptop", 1);
    laptop.note("# A\n");
    let (here, there) = (Memory::new(), Memory::new());
    let [before, after] = [&here, &there].map(|store| Arc::new(store.clone()) as Arc<dyn Remote>);
    add(&laptop, "one", "here", false, &before).await;
    let (options, name) = (SyncOptions::default(), named("one"));
    let (synced, mut first) = tokio::sync::mpsc::unbounded_channel();
    let each = move |result: Result<&SyncReport, &VaultError>| {
        let _ = synced.send(result.is_ok());
    };
    let watch = laptop.vault().watch(
        &name,
        Arc::clone(&before),
        &options,
        &|_| (),
        &each,
        std::future::pending(),
    );
    let moved = async {
        assert_eq!(first.recv().await, Some(true));
        add(&laptop, "one", "there", false, &after).await;
        laptop.note("# B\n");
    };
    tokio::join!(watch, moved);
    // Nothing of the new place was said to be there.
    assert_eq!(sync(&laptop, "one", &after).await.pushed.changes, 4);
    laptop.check();
}
