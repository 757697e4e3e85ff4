//! Copied vaults, restored backups, and remotes that lost what they had confirmed.

mod cut_off;
mod hidden;

use std::sync::Arc;

use everleaf::{
    event::{Event, RenewReason, ResetReason},
    id::Seq,
    remote::{Call, Failure, Fault, Faulty, Memory, Remote},
    vault::Finding,
};

use crate::{
    image::png,
    world::{Device, copy_folder, origin},
};

struct Scene {
    memory: Memory,
    remote: Arc<dyn Remote>,
}

impl Scene {
    fn new() -> Self {
        let memory = Memory::new();
        Self { remote: Arc::new(memory.clone()), memory }
    }

    /// The remote as somebody reaches it whom the connection leaves: after so many calls of a kind on names that
    /// begin so, all of them fail.
    fn without(&self, call: Call, prefix: &str, skip: u64) -> Arc<dyn Remote> {
        let faulty = Faulty::new(Arc::clone(&self.remote));
        let fault = Fault::next(call, u64::MAX, Failure::Offline);
        faulty.fail(Fault { prefix: prefix.into(), skip, ..fault });
        Arc::new(faulty)
    }

    /// What a device finds wrong with the remote, and itself.
    async fn verify(&self, device: &Device, repair: bool) -> Vec<Finding> {
        let mut found = device.vault().verify().unwrap();
        let remote = &*self.remote;
        device.vault().verify_remote(&origin(), remote, repair, &mut found).await.unwrap();
        found.findings
    }

    /// Syncs everybody until nothing is left to exchange.
    async fn settle(&self, devices: &[&Device]) {
        for _ in 0..10 {
            let mut quiet = true;
            for device in devices {
                device.clock.advance(std::time::Duration::from_hours(2));
                quiet &= device.sync(&self.remote).await.is_quiet();
            }
            if quiet {
                break;
            }
        }
        let expected = devices[0].sources();
        for device in devices {
            assert_eq!(device.sources(), expected);
            device.check();
        }
    }
}

fn renewals(device: &Device) -> Vec<RenewReason> {
    let events = device.vault().events(Seq(1)).map(|recorded| recorded.unwrap().event);
    events
        .filter_map(|event| match event {
            Event::DeviceRenewed { reason, .. } => Some(reason),
            _ => None,
        })
        .collect()
}

fn resets(device: &Device) -> Vec<ResetReason> {
    let events = device.vault().events(Seq(1)).map(|recorded| recorded.unwrap().event);
    events
        .filter_map(|event| match event {
            Event::RemoteReset { reason, .. } => Some(reason),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_copied_vault_is_noticed_and_both_copies_keep_what_they_wrote() {
    let scene = Scene::new();
    let mut laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    let note = laptop.note("one two three\n");
    laptop.sync(&scene.remote).await;
    let copy = laptop.copy(50);
    laptop.edit(note, |text| text.replace("one", "one (laptop)"));
    copy.edit(note, |text| text.replace("three", "three (copy)"));
    let only_copy = copy.note("only on the copy\n");
    laptop.sync(&scene.remote).await;
    copy.sync(&scene.remote).await;
    assert_eq!((renewals(&laptop), renewals(&copy)), (vec![], vec![RenewReason::Twin]));
    assert_ne!(laptop.vault().device().unwrap(), copy.vault().device().unwrap());
    scene.settle(&[&laptop, &copy]).await;
    assert_eq!(laptop.source(note), "one (laptop) two three (copy)\n");
    assert_eq!(laptop.source(only_copy), "only on the copy\n");
}

#[tokio::test]
async fn a_copy_that_pushes_first_does_not_hide_what_the_other_pushes() {
    let scene = Scene::new();
    let mut laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    laptop.sync(&scene.remote).await;
    let copy = laptop.copy(50);
    let phone = Device::join("phone", 2, &laptop);
    phone.add(&scene.remote).await;
    for round in 0..4 {
        copy.note(&format!("copy {round}\n"));
        copy.sync(&scene.remote).await;
        phone.sync(&scene.remote).await;
        laptop.note(&format!("laptop {round}\n"));
        laptop.sync(&scene.remote).await;
    }
    scene.settle(&[&laptop, &copy, &phone]).await;
    assert_eq!(phone.sources().len(), 8);
}

#[tokio::test]
async fn a_restored_backup_reads_its_own_past_and_goes_on_under_a_new_id() {
    let scene = Scene::new();
    let mut laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    let note = laptop.note("before the backup\n");
    laptop.sync(&scene.remote).await;
    let backup = laptop.copy(50);
    laptop.edit(note, |text| text + "after the backup\n");
    laptop.sync(&scene.remote).await;
    laptop.vault = None;
    backup.edit(note, |text| text + "after the restore\n");
    backup.sync(&scene.remote).await;
    assert_eq!(renewals(&backup), [RenewReason::Twin]);
    let phone = Device::join("phone", 2, &backup);
    phone.add(&scene.remote).await;
    scene.settle(&[&backup, &phone]).await;
    let text = phone.source(note);
    assert!(text.contains("after the backup\n") && text.contains("after the restore\n"), "{text}");
}

#[tokio::test]
async fn a_remote_that_was_emptied_is_filled_again_by_any_one_device() {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    laptop.file("a.png", &png(3, 4, b"a"));
    let note = laptop.note("![a](a.png)\n");
    laptop.sync(&scene.remote).await;
    let phone = Device::join("phone", 2, &laptop);
    phone.add(&scene.remote).await;
    phone.note("from the phone\n");
    phone.sync(&scene.remote).await;
    laptop.sync(&scene.remote).await;

    scene.memory.restore(std::collections::BTreeMap::new());
    assert_eq!(laptop.vault().status().unwrap().unsynced_notes, 0, "nobody has looked yet");
    laptop.sync(&scene.remote).await;
    assert_eq!(resets(&laptop), [ResetReason::Emptied]);
    // The laptop alone has put everything back: a third device gets it all.
    let tablet = Device::joined("tablet", 3, &laptop, &scene.remote).await;
    assert_eq!(tablet.sources(), laptop.sources());
    let image = tablet.vault().image_list().unwrap().remove(0);
    assert!(image.local && image.notes == [note]);
    scene.settle(&[&laptop, &phone, &tablet]).await;
}

#[tokio::test]
async fn an_old_copy_of_a_remote_put_back_is_noticed_and_completed() {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    laptop.note("one\n");
    laptop.sync(&scene.remote).await;
    let old = scene.memory.snapshot();
    let phone = Device::joined("phone", 2, &laptop, &scene.remote).await;
    phone.note("two, from the phone\n");
    phone.sync(&scene.remote).await;
    laptop.note("three\n");
    laptop.sync(&scene.remote).await;
    scene.memory.restore(old);
    drop(phone);
    // Only the laptop is left, and it has read what the phone pushed.
    laptop.sync(&scene.remote).await;
    assert_eq!(resets(&laptop), [ResetReason::SegmentGone]);
    let tablet = Device::join("tablet", 3, &laptop);
    tablet.add(&scene.remote).await;
    scene.settle(&[&laptop, &tablet]).await;
    assert_eq!(tablet.sources().len(), 3);
}

#[tokio::test]
async fn a_push_whose_receipt_was_lost_is_no_twin() {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    laptop.sync(&scene.remote).await;
    laptop.note("one\n");
    let before = tempfile::tempdir().unwrap();
    copy_folder(&laptop.path(), &before.path().join("vault"));
    laptop.sync(&scene.remote).await;
    // The vault as it was before it wrote the receipt, and then an edit more.
    let mut laptop = laptop;
    laptop.vault = None;
    std::fs::remove_dir_all(laptop.path()).unwrap();
    copy_folder(&before.path().join("vault"), &laptop.path());
    laptop.reopen();
    laptop.note("two\n");
    laptop.sync(&scene.remote).await;
    assert_eq!(renewals(&laptop), []);
    let phone = Device::join("phone", 2, &laptop);
    phone.add(&scene.remote).await;
    scene.settle(&[&laptop, &phone]).await;
}

#[tokio::test]
async fn two_remotes_carry_everything_from_one_to_the_other() {
    let (home, work) = (Scene::new(), Scene::new());
    let laptop = Device::new("laptop", 1);
    let name = |name: &str| name.parse::<everleaf::event::RemoteName>().unwrap();
    let add = async |device: &Device, remote: &Scene, called: &str| {
        let options = everleaf::event::RemoteOptions { url: called.into(), ..Default::default() };
        device.vault().add_remote(name(called), options, Arc::clone(&remote.remote)).await.unwrap();
    };
    let sync = async |device: &Device, remote: &Scene, called: &str| {
        let options = everleaf::vault::SyncOptions::default();
        let remote = Arc::clone(&remote.remote);
        device.vault().sync(&name(called), remote, &options, &|_| ()).await.unwrap()
    };
    add(&laptop, &home, "home").await;
    add(&laptop, &work, "work").await;
    let desk = Device::join("desk", 2, &laptop);
    add(&desk, &work, "work").await;
    let phone = Device::join("phone", 3, &laptop);
    add(&phone, &home, "home").await;
    let note = phone.note("from the phone\n");
    sync(&phone, &home, "home").await;
    sync(&laptop, &home, "home").await;
    sync(&laptop, &work, "work").await;
    sync(&desk, &work, "work").await;
    assert_eq!(desk.source(note), "from the phone\n");
    // What a remote gave is not sent back to it.
    assert_eq!(sync(&laptop, &home, "home").await.pushed.changes, 0);
    assert_eq!(laptop.vault().status().unwrap().unsynced_notes, 0);
}

#[tokio::test]
async fn a_segment_that_its_head_does_not_name_yet_is_no_loss() {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    laptop.note("one\n");
    laptop.sync(&scene.remote).await;
    let device = laptop.vault().device().unwrap();
    let name = format!("heads/{device}");
    let old_head = scene.memory.snapshot()[&name].clone();
    laptop.note("two\n");
    laptop.sync(&scene.remote).await;
    // As if the laptop had died for good between its second segment and the head that names it.
    let mut objects = scene.memory.snapshot();
    objects.insert(name, old_head);
    scene.memory.restore(objects);
    let phone = Device::joined("phone", 2, &laptop, &scene.remote).await;
    assert_eq!(phone.sources(), laptop.sources());
    for round in 0..3 {
        phone.note(&format!("round {round}\n"));
        phone.sync(&scene.remote).await;
    }
    assert_eq!((resets(&phone), renewals(&phone)), (vec![], vec![]));
}

#[tokio::test]
async fn files_that_arrive_in_any_order_are_read_when_they_are_there() {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    let before = scene.memory.snapshot();
    laptop.file("a.png", &png(3, 4, b"a"));
    laptop.note("![a](a.png)\n");
    laptop.sync(&scene.remote).await;
    let all = scene.memory.snapshot();
    let phone = Device::join("phone", 2, &laptop);
    phone.add(&scene.remote).await;
    // Pulse and heads are here; what they tell of is not.
    let mut some = before;
    let early = all.iter().filter(|(name, _)| !name.starts_with("log/"));
    some.extend(early.map(|(name, bytes)| (name.clone(), bytes.clone())));
    scene.memory.restore(some);
    phone.sync(&scene.remote).await;
    assert_eq!(phone.sources(), []);
    scene.memory.restore(all);
    phone.sync(&scene.remote).await;
    assert_eq!(phone.sources(), laptop.sources());
    assert_eq!(resets(&phone), []);
}

#[tokio::test]
async fn what_a_remote_lost_or_damaged_is_found_and_put_again() {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    for name in ["a.png", "b.png"] {
        laptop.file(name, &png(3, 4, name.as_bytes()));
    }
    laptop.note("![a](a.png) ![b](b.png)\n");
    laptop.sync(&scene.remote).await;
    laptop.note("another segment\n");
    laptop.sync(&scene.remote).await;
    let whole = scene.memory.snapshot();
    let damage: [&dyn Fn(&str) -> bool; 2] =
        [&|name| name.starts_with("images/"), &|name| name.starts_with("log/")];
    for damaged in damage {
        let mut objects = whole.clone();
        let names: Vec<String> = whole.keys().filter(|name| damaged(name)).cloned().collect();
        objects.remove(&names[0]);
        objects.insert(names[1].clone(), bytes::Bytes::from_static(b"damage"));
        scene.memory.restore(objects);
        assert_eq!(scene.verify(&laptop, false).await.len(), 2);
        assert_eq!(scene.verify(&laptop, true).await.len(), 2);
        laptop.sync(&scene.remote).await;
        assert_eq!(scene.verify(&laptop, false).await, []);
    }
    // What it wrote is there again as it was: nobody has to read anything twice.
    assert_eq!(resets(&laptop), []);
    let without_pulse = |mut objects: std::collections::BTreeMap<String, bytes::Bytes>| {
        objects.remove("pulse");
        objects
    };
    assert_eq!(without_pulse(scene.memory.snapshot()), without_pulse(whole));
    let phone = Device::joined("phone", 2, &laptop, &scene.remote).await;
    assert_eq!(phone.sources(), laptop.sources());
}

/// What others had pushed before is among it, and what both knew is not.
#[tokio::test]
async fn a_damaged_segment_is_put_again_by_whoever_wrote_it() {
    let scene = Scene::new();
    let (laptop, phone) = {
        let laptop = Device::new("laptop", 1);
        let phone = Device::join("phone", 2, &laptop);
        (laptop, phone)
    };
    laptop.add(&scene.remote).await;
    phone.add(&scene.remote).await;
    for round in ["one", "two", "three"] {
        for device in [&laptop, &phone] {
            device.note(&format!("{round} of {}\n", device.vault().device().unwrap()));
            device.sync(&scene.remote).await;
        }
    }
    scene.settle(&[&laptop, &phone]).await;
    let whole = scene.memory.snapshot();
    for segment in whole.keys().filter(|name| name.starts_with("log/")) {
        let mut objects = whole.clone();
        objects.insert(segment.clone(), bytes::Bytes::from_static(b"damage"));
        scene.memory.restore(objects);
        for device in [&laptop, &phone] {
            let is_its = segment.contains(&device.vault().device().unwrap().to_string());
            if is_its {
                let found = scene.verify(device, true).await;
                assert_eq!(found.len(), 1, "{found:?}");
            }
        }
        assert_eq!(scene.memory.snapshot()[segment], whole[segment]);
        laptop.sync(&scene.remote).await;
        phone.sync(&scene.remote).await;
    }
    assert_eq!((resets(&laptop), resets(&phone)), (vec![], vec![]));
}

#[tokio::test]
async fn an_old_copy_that_has_the_pulse_that_is_remembered_is_noticed() {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    laptop.note("one\n");
    laptop.sync(&scene.remote).await;
    let old = scene.memory.snapshot();
    laptop.note("two\n");
    // It is pushed, confirmed and told of; then the connection breaks, before the pulse is read again.
    let remote = scene.without(Call::Head, "pulse", 1);
    laptop.try_sync(&remote).await.unwrap_err();
    assert_eq!(laptop.vault().status().unwrap().unsynced_notes, 0);

    scene.memory.restore(old);
    laptop.sync(&scene.remote).await;
    assert_eq!(resets(&laptop), [ResetReason::SegmentGone]);
    let phone = Device::join("phone", 2, &laptop);
    phone.add(&scene.remote).await;
    scene.settle(&[&laptop, &phone]).await;
}

#[tokio::test]
async fn an_old_copy_of_a_remote_that_lacks_only_images_is_completed() {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    for name in ["a.png", "b.png"] {
        laptop.file(name, &crate::image::png(3, 4, name.as_bytes()));
    }
    laptop.note("![](a.png) ![](b.png)\n");
    let without = {
        laptop.sync(&scene.remote).await;
        let mut objects = scene.memory.snapshot();
        objects.retain(|name, _| !name.starts_with("images/"));
        // As it was before they came.
        objects.insert("pulse".into(), bytes::Bytes::from_static(b"earlier"));
        objects
    };
    laptop.sync(&scene.remote).await;
    scene.memory.restore(without);
    laptop.sync(&scene.remote).await;
    let images = |objects: std::collections::BTreeMap<String, bytes::Bytes>| {
        objects.keys().filter(|name| name.starts_with("images/")).count()
    };
    assert_eq!(images(scene.memory.snapshot()), 2);
    laptop.check();
}
