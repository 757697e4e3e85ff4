//! What twins put where nobody reads: behind what is lost, and beside what others have read past.

use std::sync::Arc;

use bytes::Bytes;
use everleaf::{
    event::{Event, Recorded, RenewReason, ResetReason},
    id::Seq,
    remote::{Call, Key, Requests},
    vault::{Progress, SyncOptions},
};

use super::{Scene, renewals, resets};
use crate::world::{Device, origin};

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
    /// How many segments there are before the laptop is copied, and how many each of the two has put since then.
    async fn after(before: usize, of_laptop: usize, of_copy: usize) -> Self {
        let [here, there] = [(); 2].map(|()| Scene::new());
        let mut laptop = Device::new("laptop", 1);
        laptop.add(&here.remote).await;
        write(&laptop, before, "base", &here).await;
        let copy = laptop.copy(50);
        let phone = Device::joined("phone", 2, &laptop, &here.remote).await;
        there.memory.restore(here.memory.snapshot());
        write(&copy, of_copy, "copy", &there).await;
        for _ in 0..of_laptop {
            write(&laptop, 1, "laptop", &here).await;
            phone.sync(&here.remote).await;
        }
        Self { here, there, laptop, copy, phone }
    }

    /// The copy is gone for ever, and what it put is carried here: all of it, but for what `damage` makes of it,
    /// given the number of a segment.
    fn carry_late(&self, damage: impl Fn(u64, Bytes) -> Option<Bytes>) {
        let here = self.here.memory.snapshot();
        let mut there = self.there.memory.snapshot();
        there.retain(|name, bytes| name.starts_with("log/") && here.get(name) != Some(bytes));
        let late = there.into_iter().filter_map(|(name, bytes)| {
            let Ok(Key::Segment { seq, .. }) = name.parse() else { return None };
            Some((name, damage(seq, bytes)?))
        });
        let mut pulse = here.get("pulse").map(|pulse| pulse.to_vec()).unwrap_or_default();
        pulse.push(0);
        let pulse = ("pulse".to_owned(), Bytes::from(pulse));
        self.here.memory.restore(here.clone().into_iter().chain(late).chain([pulse]).collect());
    }

    /// Whether the segment that the copy put with this number is here, and is not as it was put.
    fn is_damaged(&self, number: u64) -> bool {
        let (here, there) = (self.here.memory.snapshot(), self.there.memory.snapshot());
        there.iter().any(|(name, bytes)| {
            is_segment(name, number) && here.get(name).is_some_and(|here| here != bytes)
        })
    }

    /// What the phone asks once it has nothing more to do.
    async fn idle(&self) -> Requests {
        for _ in 0..8 {
            self.phone.try_sync(&self.here.remote).await.unwrap();
        }
        self.phone.try_sync(&self.here.remote).await.unwrap().requests
    }

    /// Carries all that the copy put here as it is, after which the phone has so many notes, and nothing to do.
    async fn put_right(&self, notes: usize) {
        self.carry_late(|_, bytes| Some(bytes));
        assert_eq!(self.idle().await, IDLE);
        assert_eq!(self.phone.sources().len(), notes);
    }
}

const IDLE: Requests = Requests { head: 1, put: 0, get: 0, list: 0, delete: 0 };

/// Has a device write notes, and sync after each.
async fn write(device: &Device, notes: usize, name: &str, scene: &Scene) {
    for number in 0..notes {
        device.note(&format!("{name} {number} of {notes}\n"));
        device.sync(&scene.remote).await;
    }
}

fn carry(from: &Scene, to: &Scene) {
    let mut all = from.memory.snapshot();
    all.extend(to.memory.snapshot());
    all.extend(from.memory.snapshot().into_iter().filter(|(name, _)| name == "pulse"));
    to.memory.restore(all);
}

/// Whether a name is that of a segment with this number.
fn is_segment(name: &str, number: u64) -> bool {
    matches!(name.parse(), Ok(Key::Segment { seq, .. }) if seq == number)
}

fn half(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len() / 2)
}

/// A copy that is gone for ever, of which the folder is carried when the others have read past its numbers.
#[tokio::test]
async fn what_a_twin_that_is_gone_put_is_found_by_the_other() {
    let apart = Apart::after(1, 5, 2).await;
    apart.carry_late(|_, bytes| Some(bytes));
    let Apart { here, laptop, phone, .. } = apart;
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

/// The same where the other is gone as well: whoever finds it tells those who look no further back, and has no
/// more to do. The line may be longer than what is known by name.
#[tokio::test]
async fn what_twins_that_are_gone_put_is_found_by_others() {
    for (before, of_laptop, of_copy) in
        [(1, 5, 2), (1, 2, 5), (3, 25, 20), (3, 25, 25), (3, 20, 30)]
    {
        let apart = Apart::after(before, of_laptop, of_copy).await;
        apart.carry_late(|_, bytes| Some(bytes));
        assert_eq!(apart.idle().await, IDLE);
        let Apart { here, phone, .. } = &apart;
        assert_eq!(phone.sources().len(), before + of_laptop + of_copy);
        let own = format!("log/{}/", phone.vault().device().unwrap());
        let told = here.memory.snapshot().into_keys().filter(|name| name.starts_with(&own)).count();
        assert_eq!(told, 1, "{of_laptop} and {of_copy}");
        phone.check();
    }
}

/// What is wrong with what comes late is said, keeps nobody from reading on, and is not looked at for ever; once
/// it is put right, all of it is read.
#[tokio::test]
async fn a_late_line_that_cannot_be_read_keeps_nobody_from_reading_on() {
    type Damage = fn(u64, Bytes) -> Option<Bytes>;
    let damages: [(Damage, usize); 4] = [
        (|_, bytes| Some(half(&bytes)), 0),
        (|seq, bytes| (seq > 2).then_some(bytes), 0),
        (|seq, bytes| Some(if seq == 2 { half(&bytes) } else { bytes }), 0),
        (|seq, bytes| Some(if seq == 3 { half(&bytes) } else { bytes }), 1),
    ];
    // The flaw is before the last that was read, long before it, and in a line that is longer than that.
    let lengths = [(5, 3), (17, 3), (2, 5)].into_iter();
    for ((of_laptop, of_copy), (damage, found)) in lengths.flat_map(|n| damages.map(|d| (n, d))) {
        let found = if of_laptop == 17 { 0 } else { found };
        let apart = Apart::after(1, of_laptop, of_copy).await;
        write(&apart.laptop, 1, "one more", &apart.here).await;
        apart.carry_late(damage);
        let report = apart.phone.try_sync(&apart.here.remote).await.unwrap();
        assert!(!report.problems.is_empty());
        assert_eq!(apart.phone.sources().len(), 1 + of_laptop + 1 + found);
        // Behind the last that was read, one that is damaged is asked for in every sync.
        let is_last_damaged = of_laptop + 1 < of_copy && apart.is_damaged(5);
        assert_eq!(apart.idle().await == IDLE, !is_last_damaged);
        apart.put_right(1 + of_laptop + 1 + of_copy).await;
    }
}

/// What somebody has not read is not forgotten when both lines go on, however far.
#[tokio::test]
async fn a_hole_in_one_of_two_lines_is_filled_whenever_it_is() {
    for (joins, is_rebuilt) in [(true, false), (false, false), (false, true)] {
        let mut apart = Apart::after(1, 0, 10).await;
        write(&apart.laptop, 30, "laptop", &apart.here).await;
        apart.carry_late(|seq, bytes| (seq != 2).then_some(bytes));
        if joins {
            apart.phone = Device::join("tablet", 3, &apart.laptop);
            apart.phone.add(&apart.here.remote).await;
        }
        for _ in 0..10 {
            apart.phone.try_sync(&apart.here.remote).await.unwrap();
        }
        assert_eq!(apart.phone.sources().len(), 1 + 30);
        if is_rebuilt {
            // What is remembered of remotes is gone with what is cached.
            apart.phone.vault().rebuild().unwrap();
        }
        apart.put_right(1 + 30 + 10).await;
    }
}

/// Nor where a sync is cut off behind it.
#[tokio::test]
async fn a_hole_is_kept_in_mind_before_anything_behind_it_is_read() {
    let apart = Apart::after(1, 19, 19).await;
    write(&apart.laptop, 40, "more", &apart.here).await;
    apart.carry_late(|seq, bytes| (seq == 20).then_some(bytes));
    let remote = apart.here.without(Call::Get, "log/", 30);
    apart.phone.try_sync(&remote).await.unwrap_err();
    let is_far = |recorded: Recorded| matches!(recorded.event, Event::SegmentPulled { seq, .. } if seq > 20 + 16);
    assert!(apart.phone.vault().events(Seq(1)).map(Result::unwrap).any(is_far));
    apart.phone.try_sync(&apart.here.remote).await.unwrap();
    assert_eq!(apart.phone.sources().len(), 1 + 19 + 40);
    apart.put_right(1 + 19 + 40 + 19).await;
}

/// What is wrong is looked at eight times at most for each change of the remote, by a question or two.
#[tokio::test]
async fn a_broken_line_is_not_walked_again() {
    let apart = Apart::after(1, 30, 30).await;
    apart.carry_late(|seq, bytes| (seq != 2).then_some(bytes));
    assert_eq!(apart.idle().await, IDLE);
    // Something changes that has nothing to do with it.
    apart.carry_late(|seq, bytes| (seq != 2).then_some(bytes));
    let requests = apart.phone.try_sync(&apart.here.remote).await.unwrap().requests;
    assert!(requests.get < 4, "{requests:?}");
    apart.put_right(1 + 30 + 30).await;
}

/// What was read, and is damaged since then, is in nobody's way.
#[tokio::test]
async fn a_late_line_is_read_whatever_became_of_what_it_follows() {
    let apart = Apart::after(9, 10, 2).await;
    write(&apart.laptop, 1, "one more", &apart.here).await;
    apart.carry_late(|_, bytes| Some(bytes));
    let mut all = apart.here.memory.snapshot();
    for (name, bytes) in &mut all {
        if is_segment(name, 3) {
            *bytes = half(bytes);
        }
    }
    apart.here.memory.restore(all);
    apart.phone.sync(&apart.here.remote).await;
    assert_eq!(apart.phone.sources().len(), 9 + 10 + 2 + 1);
    assert_eq!(apart.idle().await, IDLE);
}

/// A device that reads what it had in common with a twin from the beginning takes no checkpoint for it, which may
/// stand for less.
#[tokio::test]
async fn no_checkpoint_stands_for_what_a_twin_put() {
    let Apart { here, there, laptop, copy, .. } = Apart::after(1, 5, 2).await;
    drop(copy);
    laptop.note("one more\n");
    let options = SyncOptions { checkpoint: 1, ..SyncOptions::default() };
    laptop.sync_with(&here.remote, &options).await.unwrap();
    assert!(here.memory.snapshot().keys().any(|name| name.starts_with("checkpoints/")));
    carry(&there, &here);
    // It notices, and is cut off before it has told anything under its new id.
    let remote = here.without(Call::Put, "log/", 0);
    laptop.try_sync(&remote).await.unwrap_err();
    assert_eq!(renewals(&laptop), [RenewReason::Diverged]);
    laptop.sync(&here.remote).await;
    assert_eq!(laptop.sources().len(), 1 + 5 + 1 + 2);
}

/// Twins whose folders are carried to each other so late that the others look no further back. One of them tells
/// what it put again under its new id, and what it reads under the old one meanwhile does not keep it from that.
#[tokio::test]
async fn what_a_twin_put_is_told_again_though_it_was_cut_off_when_it_noticed() {
    let Apart { here, there, laptop: _laptop, copy, phone } = Apart::after(1, 20, 2).await;
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

/// Nobody could read on from a segment that is lost while another is put behind it.
#[tokio::test]
async fn a_push_looks_whether_what_it_goes_on_from_is_there() {
    let scene = Scene::new();
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    write(&laptop, 2, "laptop", &scene).await;
    laptop.note("three\n");
    let lose = |progress: Progress| {
        let mut left = scene.memory.snapshot();
        left.retain(|name, _| !matches!(progress, Progress::Pushed) || !is_segment(name, 2));
        scene.memory.restore(left);
    };
    let (vault, options) = (laptop.vault(), SyncOptions::default());
    vault.sync(&origin(), Arc::clone(&scene.remote), &options, &lose).await.unwrap();
    assert_eq!(resets(&laptop), [ResetReason::SegmentGone]);
    let phone = Device::join("phone", 2, &laptop);
    phone.add(&scene.remote).await;
    // What was put behind it is left, and follows nothing.
    phone.try_sync(&scene.remote).await.unwrap();
    assert_eq!(phone.sources().len(), 3);
    assert_eq!(phone.sources(), laptop.sources());
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
    let mut stray = scene.memory.snapshot();
    stray.retain(|name, _| is_segment(name, 2));
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

/// A laptop that has seen all there is, and does not look again.
async fn up_to_date(scene: &Scene) -> Device {
    let laptop = Device::new("laptop", 1);
    laptop.add(&scene.remote).await;
    laptop.note("first\n");
    laptop.sync(&scene.remote).await;
    assert!(laptop.sync(&scene.remote).await.is_quiet());
    laptop
}

/// What a push left that was cut off follows what is put again, of which there is no receipt yet.
#[tokio::test]
async fn several_segments_that_were_cut_off_are_no_twins() {
    let scene = Scene::new();
    let laptop = up_to_date(&scene).await;
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

/// Two in a row that were cut off, with something written between them.
#[tokio::test]
async fn a_push_that_was_cut_off_twice_is_no_twin() {
    let scene = Scene::new();
    let laptop = up_to_date(&scene).await;
    for text in ["second\n", "third\n"] {
        laptop.note(text);
        let remote = scene.without(Call::Put, "heads/", 0);
        laptop.try_sync(&remote).await.unwrap_err();
    }
    laptop.sync(&scene.remote).await;
    assert_eq!(renewals(&laptop), []);
    assert_eq!(scene.verify(&laptop, false).await, []);
}
