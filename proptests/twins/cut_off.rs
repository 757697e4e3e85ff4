//! Pushes that were cut off, segments that are gone for ever, and remotes that took another's place.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use everleaf::{
    event::{RenewReason, ResetReason},
    remote::{Call, Remote, Requests},
};

use super::{Scene, renewals, resets};
use crate::world::Device;

/// A laptop with a note, and a phone that joined it and has it too.
async fn two_devices(scene: &Scene) -> (Device, Device) {
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    laptop.note("one\n");
    let phone = Device::join("phone", 2, &laptop);
    phone.add(&scene.remote).await;
    scene.settle(&[&laptop, &phone]).await;
    (laptop, phone)
}

#[tokio::test]
async fn what_was_put_but_not_told_of_is_told_of_later() {
    let scene = Scene::new();
    let (laptop, phone) = two_devices(&scene).await;
    let before = scene.memory.snapshot();
    laptop.note("two, from the laptop\n");
    let remote = scene.without(Call::Put, "pulse", 0);
    laptop.try_sync(&remote).await.unwrap_err();
    let put = scene.memory.snapshot();
    // Between what the laptop read and what it put, the phone put, told, and read all there was.
    scene.memory.restore(before.clone());
    phone.note("three, from the phone\n");
    phone.sync(&scene.remote).await;
    let mut all = scene.memory.snapshot();
    all.extend(put.into_iter().filter(|(name, bytes)| before.get(name) != Some(bytes)));
    scene.memory.restore(all);

    laptop.sync(&scene.remote).await;
    phone.sync(&scene.remote).await;
    assert_eq!(phone.sources().len(), 3);
    assert_eq!(phone.sources(), laptop.sources());
}

/// Two devices, and a third that was cut off when it had put its first segment, before it could say so.
struct CutOff {
    laptop: Device,
    phone: Device,
    tablet: Device,
    /// The remote, as the tablet reaches it: it says for the tablet that there will be segments, no more.
    broken: Arc<dyn Remote>,
    /// The segment that it put.
    put: BTreeMap<String, Bytes>,
}

impl CutOff {
    async fn of(scene: &Scene) -> Self {
        let (laptop, phone) = two_devices(scene).await;
        let tablet = Device::join("tablet", 3, &laptop);
        tablet.add(&scene.remote).await;
        tablet.note("two, from the tablet\n");
        let broken = scene.without(Call::Put, "heads/", 1);
        let before = scene.memory.snapshot();
        tablet.try_sync(&broken).await.unwrap_err();
        let mut put = scene.memory.snapshot();
        put.retain(|name, _| name.starts_with("log/") && !before.contains_key(name));
        assert_eq!(put.len(), 1, "{put:?}");
        Self { laptop, phone, tablet, broken, put }
    }
}

#[tokio::test]
async fn what_a_device_put_before_it_was_gone_for_ever_is_read_with_the_next_news() {
    let scene = Scene::new();
    let CutOff { laptop, phone, .. } = CutOff::of(&scene).await;
    laptop.note("three, from the laptop\n");
    scene.settle(&[&laptop, &phone]).await;
    assert_eq!(laptop.sources().len(), 3);
}

#[tokio::test]
async fn what_a_device_put_before_it_was_gone_for_ever_is_read_by_all_or_by_none() {
    let scene = Scene::new();
    let CutOff { laptop, phone, .. } = CutOff::of(&scene).await;
    let watch = Device::join("watch", 4, &laptop);
    watch.add(&scene.remote).await;
    watch.note("three, from the watch\n");
    scene.settle(&[&watch, &laptop, &phone]).await;
    assert_eq!(laptop.sources().len(), 3);
}

/// It reads what it put itself, and has nothing to put that would bring a new head.
#[tokio::test]
async fn what_a_device_put_before_it_was_cut_off_its_head_leads_to() {
    let scene = Scene::new();
    let CutOff { phone, tablet, .. } = CutOff::of(&scene).await;
    phone.note("three, from the phone\n");
    scene.settle(&[&phone, &tablet]).await;
    for device in [&phone, &tablet] {
        assert_eq!(scene.verify(device, false).await, []);
    }
}

/// A tablet whose segment no head leads to: the remote was emptied between its head and its segment, and the
/// others filled it anew.
async fn without_head(scene: &Scene) -> CutOff {
    let cut_off = CutOff::of(scene).await;
    scene.memory.restore(BTreeMap::new());
    scene.settle(&[&cut_off.laptop, &cut_off.phone]).await;
    let mut all = scene.memory.snapshot();
    all.extend(cut_off.put.clone());
    scene.memory.restore(all);
    cut_off
}

#[tokio::test]
async fn what_no_head_leads_to_is_announced_by_whoever_reads_it() {
    let scene = Scene::new();
    let CutOff { laptop, phone, .. } = without_head(&scene).await;
    // Only who joins looks for such, and the tablet is gone for ever.
    let watch = Device::join("watch", 4, &laptop);
    watch.add(&scene.remote).await;
    scene.settle(&[&watch, &laptop, &phone]).await;
    assert_eq!(phone.sources().len(), 2);
}

#[tokio::test]
async fn what_no_head_leads_to_is_told_again_by_whoever_put_it() {
    let scene = Scene::new();
    let CutOff { laptop, phone, tablet, broken, .. } = without_head(&scene).await;
    // It notices, and is cut off before it tells all of it again.
    tablet.try_sync(&broken).await.unwrap_err();
    assert_eq!(resets(&tablet), [ResetReason::SegmentGone]);
    scene.settle(&[&tablet, &laptop, &phone]).await;
    assert_eq!(laptop.sources().len(), 2);
    assert_eq!(phone.sources(), laptop.sources());
}

#[tokio::test]
async fn a_segment_that_is_gone_for_ever_does_not_keep_others_looking() {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    for text in ["one\n", "two\n", "three\n"] {
        laptop.note(text);
        laptop.sync(&scene.remote).await;
    }
    let whole = scene.memory.snapshot();
    let segments: Vec<String> =
        whole.keys().filter(|name| name.starts_with("log/")).cloned().collect();
    // Between two that are there, and the last, which the head names.
    for gone in [1, 2] {
        let mut objects = whole.clone();
        objects.remove(&segments[gone]);
        scene.memory.restore(objects);
        let phone = Device::join("phone", 2, &laptop);
        phone.add(&scene.remote).await;
        let report = phone.try_sync(&scene.remote).await.unwrap();
        assert!(report.problems.len() + report.awaited.len() > 0, "{report:?}");
        assert_eq!(phone.sources().len(), gone);
        // Where files are carried, it may yet come.
        for _ in 0..8 {
            phone.try_sync(&scene.remote).await.unwrap();
        }
        let idle = phone.sync(&scene.remote).await.requests;
        assert_eq!(idle, Requests { head: 1, ..Requests::default() });
    }
}

#[tokio::test]
async fn what_was_told_again_under_a_new_name_is_not_missed_under_the_old() {
    let scene = Scene::new();
    let mut laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    laptop.note("one\n");
    laptop.sync(&scene.remote).await;
    let copy = laptop.copy(50);
    // Both push a second segment, and neither sees the other's.
    let before = scene.memory.snapshot();
    laptop.note("from the laptop\n");
    laptop.sync(&scene.remote).await;
    let mut all = scene.memory.snapshot();
    scene.memory.restore(before.clone());
    copy.note("from the copy\n");
    copy.sync(&scene.remote).await;
    all.extend(scene.memory.snapshot());
    scene.memory.restore(all.clone());
    // The laptop notices, tells all of it again, and has no time to read what the copy put.
    let remote = scene.without(Call::Head, "pulse", 1);
    laptop.try_sync(&remote).await.unwrap_err();
    assert_eq!(renewals(&laptop), [RenewReason::Diverged]);
    // Then the remote loses what both had put.
    let mut left = scene.memory.snapshot();
    left.retain(|name, _| {
        !name.starts_with("log/") || before.contains_key(name) || !all.contains_key(name)
    });
    scene.memory.restore(left);
    laptop.try_sync(&scene.remote).await.unwrap();
    assert_eq!(resets(&laptop), []);
    let mut found = laptop.vault().verify().unwrap();
    let name = crate::world::origin();
    laptop.vault().verify_remote(&name, &*scene.remote, false, &mut found).await.unwrap();
    let missed: Vec<_> = found.findings.iter().filter(|f| f.what.starts_with("log/")).collect();
    assert!(missed.is_empty(), "{missed:?}");
    let phone = Device::join("phone", 2, &laptop);
    phone.add(&scene.remote).await;
    phone.try_sync(&scene.remote).await.unwrap();
    assert_eq!(phone.sources(), laptop.sources());
}

#[tokio::test]
async fn a_remote_of_the_same_name_in_another_place_is_another() {
    let (one, other) = (Scene::new(), Scene::new());
    let laptop = Device::new("laptop", 1);
    laptop.add(&one.remote).await;
    laptop.note("one\n");
    laptop.sync(&one.remote).await;
    let phone = Device::joined("phone", 2, &laptop, &one.remote).await;
    phone.vault().remove_remote(&crate::world::origin()).unwrap();
    phone.add(&other.remote).await;
    // Nobody's head is missed there.
    assert_eq!(phone.sync(&other.remote).await.pushed.changes, 2);
}
