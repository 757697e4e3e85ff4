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
    vault::{SyncOptions, SyncReport, VaultError},
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
