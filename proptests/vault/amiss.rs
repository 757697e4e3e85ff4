//! What goes amiss on a remote for one image, or for a moment, and not for all and for good.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use everleaf::{
    clock::Clock as _,
    event::{Event, RemoteOptions},
    id::{ImageId, Seq},
    remote::{Call, Failure, Fault, Faulty, Memory, Remote, RemoteError, Requests},
    upload::State,
    vault::{SyncOptions, SyncReport, Totals, VaultError},
};
use tokio::sync::Notify;

use crate::{
    image::png,
    world::{Device, origin},
};

/// A remote that can be made to fail, and what it holds.
struct Scene {
    memory: Memory,
    faulty: Arc<Faulty>,
    remote: Arc<dyn Remote>,
}

impl Scene {
    fn new() -> Self {
        let memory = Memory::new();
        let faulty = Arc::new(Faulty::new(Arc::new(memory.clone())));
        let remote = Arc::clone(&faulty) as _;
        Self { memory, faulty, remote }
    }

    /// A device that shows two pictures in a note, of which the first is smaller.
    async fn laptop(&self) -> (Device, [ImageId; 2]) {
        self.first(1).await
    }

    /// The same of the vault that a seed determines.
    async fn first(&self, seed: u64) -> (Device, [ImageId; 2]) {
        let laptop = Device::new("laptop", seed);
        laptop.add(&self.remote).await;
        let images =
            [("small.png", vec![1]), ("large.png", vec![2; 1000])].map(|(name, pixels)| {
                let bytes = png(4, 3, &pixels);
                laptop.file(name, &bytes);
                ImageId::from_bytes(*blake3::hash(&bytes).as_bytes())
            });
        laptop.note("![](small.png) and ![](large.png)\n");
        (laptop, images)
    }

    /// Another device, which has only added the remote.
    async fn phone(&self, laptop: &Device) -> Device {
        let phone = Device::join("phone", 2, laptop);
        phone.add(&self.remote).await;
        phone
    }

    /// Every call of one kind about an image fails.
    fn withhold(&self, call: Call, image: ImageId, failure: Failure) {
        let prefix = format!("images/{image}");
        self.faulty.fail(Fault { prefix, ..Fault::next(call, u64::MAX, failure) });
    }

    /// Changes the bytes of what the remote holds, of which nothing tells.
    fn alter(&self, prefix: &str, change: impl Fn(&[u8]) -> Vec<u8>) {
        let mut objects = self.memory.snapshot();
        for (_, bytes) in objects.iter_mut().filter(|(name, _)| name.starts_with(prefix)) {
            *bytes = change(bytes).into();
        }
        self.memory.restore(objects);
    }

    fn images(&self) -> usize {
        self.memory.snapshot().keys().filter(|name| name.starts_with("images/")).count()
    }
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ 1).collect()
}

/// What a sync asks that finds that nothing is new.
fn idle() -> Requests {
    Requests { head: 1, ..Requests::default() }
}

fn is_reset(device: &Device) -> bool {
    let mut events = device.vault().events(Seq(1)).map(|recorded| recorded.unwrap().event);
    events.any(|event| matches!(event, Event::RemoteReset { .. }))
}

/// Each is doubted before it goes: whatever ends the repair, nothing says then that the remote holds it.
#[tokio::test]
async fn a_repair_that_is_cut_off_claims_nothing_that_it_took_away() {
    let scene = Scene::new();
    let (laptop, images) = scene.laptop().await;
    laptop.sync(&scene.remote).await;
    scene.alter("images/", flipped);
    let fault = Fault::next(Call::Get, 1, Failure::Offline);
    scene.faulty.fail(Fault { prefix: "images/".into(), skip: 1, ..fault });
    let vault = laptop.vault();
    let mut found = vault.verify().unwrap();
    let repaired = vault.verify_remote_images(&origin(), &*scene.remote, true, &mut found).await;
    repaired.unwrap_err();
    assert_eq!(scene.images(), 1);
    let is_there = |image| scene.memory.snapshot().contains_key(&format!("images/{image}.png"));
    let gone = images.into_iter().find(|image| !is_there(*image)).unwrap();
    assert!(matches!(vault.evict(gone), Err(VaultError::OnlyCopy(_))));
    assert_eq!(laptop.sync(&scene.remote).await.uploaded.images, 1);
    assert_eq!(scene.images(), 2);
}

#[tokio::test]
async fn a_repair_takes_nothing_from_a_remote_of_another_vault() {
    let scene = Scene::new();
    let (laptop, _) = scene.laptop().await;
    laptop.sync(&scene.remote).await;
    let stranger = Scene::new();
    let (other, _) = stranger.first(2).await;
    other.sync(&stranger.remote).await;
    stranger.alter("images/", flipped);
    let mut found = laptop.vault().verify().unwrap();
    let vault = laptop.vault();
    let repaired = vault.verify_remote_images(&origin(), &*stranger.remote, true, &mut found).await;
    assert!(matches!(repaired, Err(VaultError::WrongVault { .. })), "{repaired:?}");
    assert_eq!(stranger.images(), 2);
    let unknown = "unknown".parse().unwrap();
    let repaired = vault.verify_remote_images(&unknown, &*scene.remote, true, &mut found).await;
    assert!(matches!(repaired, Err(VaultError::UnknownRemote(_))), "{repaired:?}");
}

/// A proxy that takes no bodies of its size, for one.
#[tokio::test]
async fn an_upload_that_always_breaks_off_has_failed_and_holds_nobody_up() {
    let scene = Scene::new();
    let (laptop, [small, large]) = scene.laptop().await;
    scene.withhold(Call::Put, small, Failure::Offline);
    let options = SyncOptions { parallel: Some(1), ..SyncOptions::default() };
    let sync = async || laptop.sync_with(&scene.remote, &options).await.unwrap();
    let report = sync().await;
    assert_eq!((report.uploaded.images, report.uploaded.failed), (1, 3));
    let states = laptop.vault().image_list().unwrap();
    let state = |image| states.iter().find(|status| status.image == image).unwrap().state;
    assert_eq!([small, large].map(state), [State::Failed, State::Uploaded].map(Some));
    let stuck = laptop.vault().stuck_images().unwrap().remove(0);
    assert!(stuck.error.unwrap().contains("cannot be reached"));

    // Nobody is told of what nobody put, and nothing is asked before it is tried again.
    let pulse = scene.memory.snapshot()["pulse"].clone();
    sync().await;
    laptop.clock.advance(Duration::from_hours(1));
    assert_eq!(sync().await.uploaded.failed, 3);
    assert_eq!(sync().await.requests, idle());
    assert_eq!(scene.memory.snapshot()["pulse"], pulse);
    scene.faulty.heal();
    laptop.clock.advance(Duration::from_hours(1));
    assert_eq!(sync().await.uploaded.images, 1);
    assert_ne!(scene.memory.snapshot()["pulse"], pulse);
}

/// While nothing goes up, a watch asks once a minute, though each try is something that it did.
#[tokio::test]
async fn a_watch_whose_uploads_fail_takes_its_time() {
    let scene = Scene::new();
    let (laptop, _) = scene.laptop().await;
    scene.faulty.fail(Fault { prefix: "images/".into(), ..Fault::always(Failure::Busy) });
    let stop = Notify::new();
    let syncs = Mutex::new(Vec::new());
    let each = |report: Result<&SyncReport, &VaultError>| {
        let mut syncs = syncs.lock().unwrap();
        syncs.push((laptop.clock.now(), report.unwrap().uploaded.failed));
        if syncs.len() == 30 {
            stop.notify_one();
        }
    };
    let (vault, options) = (laptop.vault(), SyncOptions::default());
    let remote = Arc::clone(&scene.remote);
    vault.watch(&origin(), remote, &options, &|_| (), &each, stop.notified()).await;
    let later = syncs.into_inner().unwrap().split_off(8);
    assert!(later.iter().any(|(_, failed)| *failed > 0));
    for pair in later.windows(2) {
        assert!(pair[1].0.since(pair[0].0) >= Duration::from_mins(1), "{later:?}");
    }
}

#[tokio::test]
async fn what_fails_at_one_of_two_remotes_shows_while_the_other_is_away() {
    for (failure, state) in [(Failure::Denied, State::Blocked), (Failure::Busy, State::Failed)] {
        let scene = Scene::new();
        let (laptop, [small, large]) = scene.laptop().await;
        let (stick, options) = (super::memory(), RemoteOptions::default());
        laptop.vault().add_remote("stick".parse().unwrap(), options, stick).await.unwrap();
        scene.withhold(Call::Put, large, failure);
        laptop.sync(&scene.remote).await;
        let failed = laptop.vault().stuck_images().unwrap();
        let told: Vec<_> = failed.iter().map(|status| (status.image, status.state)).collect();
        assert_eq!(told, [(large, Some(state))]);
        assert!(failed[0].error.as_deref().unwrap().contains("told to fail"));
        let counts = laptop.vault().status().unwrap().images;
        assert_eq!(counts.blocked + counts.failed, 1);
        // The other waits for the stick.
        let other = laptop.vault().image_list().unwrap();
        let other = other.iter().find(|status| status.image == small).unwrap();
        assert_eq!(other.state, Some(State::Waiting));
    }
}

/// A remote that does not take what says whose it is may hold everything all the same.
#[tokio::test]
async fn a_remote_that_takes_nothing_is_not_taken_for_emptied() {
    let scene = Scene::new();
    let (laptop, _) = scene.laptop().await;
    laptop.sync(&scene.remote).await;
    let (device, objects) = (laptop.vault().device().unwrap(), scene.memory.snapshot());
    scene.memory.restore(BTreeMap::new());
    scene.faulty.fail(Fault::next(Call::Put, u64::MAX, Failure::Denied));
    laptop.try_sync(&scene.remote).await.unwrap_err();
    scene.memory.restore(objects);
    scene.faulty.heal();
    laptop.sync(&scene.remote).await;
    assert!(!is_reset(&laptop));
    assert_eq!(laptop.vault().device().unwrap(), device);
}

#[tokio::test]
async fn an_image_that_the_remote_does_not_give_is_named_and_ends_no_sync() {
    for failure in [Failure::Denied, Failure::Offline, Failure::Cut(5)] {
        let scene = Scene::new();
        let (laptop, [small, _]) = scene.laptop().await;
        laptop.sync(&scene.remote).await;
        let mut phone = scene.phone(&laptop).await;
        scene.withhold(Call::Get, small, failure);
        for fetched in [1, 0] {
            let report = phone.try_sync(&scene.remote).await.unwrap();
            assert_eq!((report.fetched.images, report.fetched.failed), (fetched, 1));
            let expected = format!("image {} could not be fetched: ", small.short());
            assert!(report.problems[0].starts_with(&expected), "{:?}", report.problems);
            // It is not asked for at each sync, however many there are.
            assert_eq!(phone.sync(&scene.remote).await.fetched, Totals::default());
            // But by whoever opens the vault anew.
            phone.reopen();
        }
        assert!(phone.vault().remotes().unwrap()[0].last_sync.is_some());
        scene.faulty.heal();
        assert_eq!(phone.sync(&scene.remote).await.fetched.images, 1);
        phone.sync(&scene.remote).await;
        assert_eq!(phone.sync(&scene.remote).await.requests, idle());
    }
}

#[tokio::test]
async fn a_remote_that_goes_away_while_images_come_ends_the_sync() {
    let scene = Scene::new();
    let (laptop, images) = scene.laptop().await;
    laptop.sync(&scene.remote).await;
    let phone = scene.phone(&laptop).await;
    for image in images {
        scene.withhold(Call::Get, image, Failure::Offline);
    }
    let gone = Fault::next(Call::Head, u64::MAX, Failure::Offline);
    scene.faulty.fail(Fault { prefix: "pulse".into(), skip: 1, ..gone });
    let failed = phone.try_sync(&scene.remote).await.unwrap_err();
    assert!(matches!(failed, VaultError::Remote { source: RemoteError::Offline { .. }, .. }));
    scene.faulty.heal();
    assert_eq!(phone.sync(&scene.remote).await.fetched.images, 2);
}

/// Something carried one half of a picture into a folder so far.
#[tokio::test]
async fn an_image_that_was_not_whole_is_asked_for_until_it_is() {
    let scene = Scene::new();
    let (laptop, [_, large]) = scene.laptop().await;
    laptop.sync(&scene.remote).await;
    let whole = scene.memory.snapshot();
    scene.alter(&format!("images/{large}"), |bytes| bytes[..bytes.len() / 2].to_vec());
    let phone = scene.phone(&laptop).await;
    for fetched in [1, 0, 0] {
        let report = phone.try_sync(&scene.remote).await.unwrap();
        assert_eq!((report.fetched.images, report.fetched.failed), (fetched, 1));
        assert_eq!(report.problems.len(), 1);
        phone.clock.advance(Duration::from_hours(1));
    }
    let mut objects = scene.memory.snapshot();
    objects.extend(whole.into_iter().filter(|(name, _)| name.starts_with("images/")));
    scene.memory.restore(objects);
    assert_eq!(phone.sync(&scene.remote).await.fetched.images, 1);
    assert_eq!(phone.sync(&scene.remote).await.requests, idle());
}

/// As where the system has no more files to open.
#[tokio::test]
async fn an_image_that_can_not_be_read_for_now_is_tried_again() {
    let scene = Scene::new();
    let (laptop, [small, _]) = scene.laptop().await;
    let path = laptop.vault().local_file(small).unwrap().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    laptop.sync(&scene.remote).await;
    let stuck = laptop.vault().stuck_images().unwrap().remove(0);
    assert_eq!(stuck.state, Some(State::Failed));
    assert!(stuck.error.as_deref().unwrap().contains("Is a directory"), "{:?}", stuck.error);
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    laptop.clock.advance(Duration::from_hours(1));
    assert_eq!(laptop.sync(&scene.remote).await.uploaded.images, 1);
}
