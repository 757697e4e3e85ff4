//! What twins put where nobody reads: behind what is lost, and beside what others have read past.

use everleaf::{
    event::{RenewReason, ResetReason},
    remote::Call,
};

use super::{Scene, renewals, resets};
use crate::world::Device;

/// A laptop and a copy of it, which write to folders that nothing has carried to each other yet, and a phone
/// that reads what the laptop writes.
struct Apart {
    here: Scene,
    there: Scene,
    laptop: Device,
    copy: Device,
    phone: Device,
}

impl Apart {
    /// `laptop` and `copy` are how many segments each has put since it was copied.
    async fn after(laptop: usize, copy: usize) -> Self {
        let [here, there] = [(); 2].map(|()| Scene::new());
        let (writes, copy_writes) = (laptop, copy);
        let mut laptop = Device::new("laptop", 1);
        laptop.add(&here.remote).await;
        laptop.note("base\n");
        laptop.sync(&here.remote).await;
        let copy = laptop.copy(50);
        let phone = Device::join("phone", 2, &laptop);
        phone.add(&here.remote).await;
        there.memory.restore(here.memory.snapshot());
        for number in 0..copy_writes {
            copy.note(&format!("copy {number}\n"));
            copy.sync(&there.remote).await;
        }
        for number in 0..writes {
            laptop.note(&format!("laptop {number}\n"));
            laptop.sync(&here.remote).await;
            phone.sync(&here.remote).await;
        }
        Self { here, there, laptop, copy, phone }
    }
}

fn carry(from: &Scene, to: &Scene) {
    let mut all = from.memory.snapshot();
    all.extend(to.memory.snapshot());
    all.extend(from.memory.snapshot().into_iter().filter(|(name, _)| name == "pulse"));
    to.memory.restore(all);
}

/// A copy that is gone for ever, of which the folder is carried when the others have read past its numbers.
#[tokio::test]
async fn what_a_twin_that_is_gone_put_is_found_by_the_other() {
    let Apart { here, there, laptop, copy, phone } = Apart::after(5, 2).await;
    drop(copy);
    carry(&there, &here);
    laptop.sync(&here.remote).await;
    assert_eq!(renewals(&laptop), [RenewReason::Diverged]);
    let tablet = Device::join("tablet", 3, &laptop);
    tablet.add(&here.remote).await;
    here.settle(&[&laptop, &phone, &tablet]).await;
    for device in [&laptop, &phone, &tablet] {
        assert_eq!(device.sources().len(), 1 + 5 + 2);
        device.check();
    }
    assert_eq!(renewals(&laptop).len(), 1);
}

/// The same where the other is gone as well: whoever finds it tells those who look no further back.
#[tokio::test]
async fn what_twins_that_are_gone_put_is_found_by_others() {
    let Apart { here, there, laptop, copy, phone } = Apart::after(5, 2).await;
    drop((laptop, copy));
    carry(&there, &here);
    phone.sync(&here.remote).await;
    assert_eq!(phone.sources().len(), 1 + 5 + 2);
    assert!(phone.sync(&here.remote).await.is_quiet());
    let own = format!("log/{}/", phone.vault().device().unwrap());
    let told = here.memory.snapshot().into_keys().filter(|name| name.starts_with(&own)).count();
    assert_eq!(told, 1);
}

/// A hole in the line of a twin, or a damaged segment, does not keep anybody from reading the other, nor is it
/// passed over in silence.
#[tokio::test]
async fn a_late_line_that_cannot_be_read_keeps_nobody_from_reading_on() {
    for is_hole in [true, false] {
        let Apart { here, there, laptop, copy, phone } = Apart::after(5, 3).await;
        let mut late = there.memory.snapshot();
        late.retain(|name, _| {
            name.starts_with("log/") && !here.memory.snapshot().contains_key(name)
        });
        assert_eq!(late.len(), 3);
        if is_hole {
            late.pop_first();
        } else {
            for bytes in late.values_mut() {
                *bytes = bytes.slice(..bytes.len() / 2);
            }
        }
        drop(copy);
        let mut all = here.memory.snapshot();
        all.extend(late);
        here.memory.restore(all);
        laptop.note("one more\n");
        laptop.try_sync(&here.remote).await.unwrap();
        let report = phone.try_sync(&here.remote).await.unwrap();
        assert!(!report.problems.is_empty());
        assert_eq!(phone.sources().len(), 1 + 5 + 1);
    }
}

/// Twins whose folders are carried to each other so late that the others look no further back. One of them tells
/// what it put again under its new id, and what it reads under the old one meanwhile does not keep it from that.
#[tokio::test]
async fn what_a_twin_put_is_told_again_though_it_was_cut_off_when_it_noticed() {
    let Apart { here, there, laptop: _laptop, copy, phone } = Apart::after(20, 2).await;
    carry(&here, &there);
    let remote = there.without(Call::Put, "log/", 0);
    copy.try_sync(&remote).await.unwrap_err();
    assert_eq!(renewals(&copy), [RenewReason::Diverged]);
    copy.sync(&there.remote).await;
    carry(&there, &here);
    phone.sync(&here.remote).await;
    assert_eq!(phone.sources().len(), 1 + 20 + 2);
    assert_eq!(phone.sources(), copy.sources());
}

/// A copy of a device finds what that device put on a remote that was emptied under its hands: nothing leads
/// there, and nothing that is put behind it is ever read.
#[tokio::test]
async fn what_follows_nothing_is_not_taken_for_ones_own() {
    let scene = Scene::new();
    let mut laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    let mut copy = laptop.copy(50);
    laptop.note("one\n");
    laptop.sync(&scene.remote).await;
    laptop.note("two\n");
    laptop.sync(&scene.remote).await;
    let is_second = |name: &str| name.starts_with("log/") && name.contains("/0000000000000002-");
    let mut stray = scene.memory.snapshot();
    stray.retain(|name, _| is_second(name));
    assert_eq!(stray.len(), 1);
    scene.memory.restore(stray);
    laptop.try_sync(&scene.remote).await.unwrap();
    assert_eq!(resets(&laptop), [ResetReason::Emptied]);

    copy.try_sync(&scene.remote).await.unwrap();
    copy.note("three, from the copy\n");
    copy.try_sync(&scene.remote).await.unwrap();
    copy.note("four, from the copy\n");
    copy.try_sync(&scene.remote).await.unwrap();
    copy.reopen();
    copy.check();
    let phone = Device::join("phone", 2, &laptop);
    phone.add(&scene.remote).await;
    for device in [&laptop, &phone] {
        device.try_sync(&scene.remote).await.unwrap();
        assert_eq!(device.sources(), copy.sources());
        assert_eq!(device.sources().len(), 4);
    }
}

/// What a push left that was cut off follows what is put again, of which there is no receipt yet.
#[tokio::test]
async fn several_segments_that_were_cut_off_are_no_twins() {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    laptop.note("first\n");
    laptop.sync(&scene.remote).await;
    // It has seen all there is, and does not look again.
    assert!(laptop.sync(&scene.remote).await.is_quiet());
    // More than a segment takes, and some.
    for _ in 0..2 {
        laptop.note(&"a line of some length\n".repeat(120_000));
    }
    let remote = scene.without(Call::Put, "heads/", 0);
    laptop.try_sync(&remote).await.unwrap_err();
    let put = scene.memory.snapshot();
    assert_eq!(put.keys().filter(|name| name.starts_with("log/")).count(), 3);
    laptop.note("one more\n");
    laptop.sync(&scene.remote).await;
    assert_eq!(renewals(&laptop), []);
    let phone = Device::join("phone", 2, &laptop);
    phone.add(&scene.remote).await;
    scene.settle(&[&laptop, &phone]).await;
    assert_eq!(phone.sources().len(), 4);
}
