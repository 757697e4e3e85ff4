//! What a vault may have on a hub, and where: quotas while puts are on their way, folders that go, parts.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use everleaf::{
    clock::SimulatedClock,
    hub::{Data, Folder, Options, Quotas},
    id::{ImageId, VaultId},
    image::MediaType,
    remote::{
        Dir, Key, Layer, Memory, Prefix, Remote, RemoteError, RemoteExt as _, Upload,
        hub_public_url, public_url,
    },
};
use futures_util::TryStreamExt as _;
use tokio::sync::Semaphore;

use super::{Rooms, Serving, client, key, options, serve, serve_with};
use crate::remote::{content, device, image, keys, put};

async fn told(hub: &Serving, path: &str) -> (u16, String) {
    let answer = client().get(hub.url(path)).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// How many bytes went in or out, as the hub counts.
async fn bytes(hub: &Serving, direction: &str) -> u64 {
    let (_, text) = told(hub, "/metrics").await;
    let name = format!("everleaf_hub_bytes_total{{direction=\"{direction}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

fn is_full(error: &RemoteError) -> bool {
    matches!(error, RemoteError::NoRoom { .. })
}

#[tokio::test]
async fn what_there_is_no_room_for_is_not_taken_in_first() {
    let quotas = Quotas { bytes: Some(1 << 20), ..Quotas::default() };
    let hub = serve_with(Rooms::new(), Options { quotas, ..options() }).await;
    let large = vec![7; 40 << 20];
    let image = ImageId::from_bytes(*blake3::hash(&large).as_bytes());
    let key = Key::Image { image, media_type: MediaType::Png };
    let error = hub.remote(1).put(&key, Upload::Bytes(large.into())).await.unwrap_err();
    assert!(is_full(&error), "{error:?}");
    // Some of it is read all the same, so that whoever sends it sees the answer.
    let read = bytes(&hub, "in").await;
    assert!(read < 16 << 20, "{read}");
}

/// A store in which images wait until they are let in.
#[derive(Debug, Clone)]
struct Slow {
    objects: Memory,
    come: Arc<Semaphore>,
    let_in: Arc<Semaphore>,
}

#[async_trait]
impl Data for Slow {
    async fn vault(&self, _: VaultId, _: bool) -> Result<Option<Arc<dyn Remote>>, RemoteError> {
        Ok(Some(Arc::new(self.clone())))
    }

    async fn check(&self) -> Result<(), RemoteError> {
        Ok(())
    }
}

#[async_trait]
impl Layer for Slow {
    fn inner(&self) -> &dyn Remote {
        &self.objects
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        if matches!(key, Key::Image { .. }) {
            self.come.add_permits(1);
            self.let_in.acquire().await.unwrap().forget();
        }
        self.objects.put(key, body).await
    }
}

#[tokio::test]
async fn what_is_being_put_counts_also_where_all_is_counted_anew() {
    let (come, let_in) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let slow = Slow { objects: Memory::new(), come, let_in };
    let quotas = Quotas { objects: Some(3), ..Quotas::default() };
    let hub = serve_with(slow.clone(), Options { quotas, ..options() }).await;
    let remote = Arc::new(hub.remote(1));
    put(&*remote, &Key::Vault, "v").await;
    put(&*remote, &Key::Pulse, "p").await;
    let putting = tokio::spawn({
        let (remote, image) = (Arc::clone(&remote), image(1, MediaType::Png));
        async move { put(&*remote, &image, content(&image)).await }
    });
    slow.come.acquire().await.unwrap().forget();
    remote.delete(&Key::Pulse).await.unwrap();
    put(&*remote, &Key::Pulse, "p").await;
    let head = async || remote.put(&Key::Head(device(1)), Upload::Bytes("h".into())).await;
    assert!(is_full(&head().await.unwrap_err()));
    slow.let_in.add_permits(1);
    putting.await.unwrap();
    assert_eq!(remote.usage().await.unwrap().objects, 3);
    assert!(is_full(&head().await.unwrap_err()));
    remote.delete(&Key::Pulse).await.unwrap();
    head().await.unwrap();
}

#[tokio::test]
async fn a_vault_whose_folder_went_has_nothing_there_and_gets_another() {
    let home = tempfile::tempdir().unwrap();
    let (data, away) = (home.path().join("data"), home.path().join("away"));
    let hub = serve(Folder::open(data.clone()).await.unwrap()).await;
    let remote = hub.remote(1);
    put(&remote, &Key::Pulse, "one").await;
    std::fs::remove_dir_all(data.join(key(1).vault_id().to_string())).unwrap();
    let error = remote.get_bytes(&Key::Pulse, 9).await.unwrap_err();
    assert!(matches!(error, RemoteError::NotFound { .. }), "{error:?}");
    assert_eq!(remote.head(&Key::Pulse).await.unwrap(), None);
    assert_eq!(keys(&remote, Prefix::Heads, None).await, []);
    put(&remote, &Key::Pulse, "two").await;
    assert_eq!(remote.get_bytes(&Key::Pulse, 9).await.unwrap(), "two");
    // Where the folder of all vaults went, its disk did.
    std::fs::rename(&data, &away).unwrap();
    assert!(remote.head(&Key::Pulse).await.unwrap_err().is_transient());
    assert!(remote.put(&Key::Pulse, Upload::Bytes("x".into())).await.unwrap_err().is_transient());
    assert!(!data.exists());
    std::fs::rename(&away, &data).unwrap();
    assert_eq!(remote.get_bytes(&Key::Pulse, 9).await.unwrap(), "two");
}

#[tokio::test]
async fn a_hub_whose_storage_went_says_so_however_often_it_is_asked() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let now = everleaf::clock::Clock::now(&everleaf::clock::SystemClock);
    let clock = Arc::new(SimulatedClock::new(now, 1));
    let folder = Folder::open(data.clone()).await.unwrap();
    let hub = serve_with(folder, Options { clock: Arc::clone(&clock) as _, ..options() }).await;
    assert_eq!(told(&hub, "/readyz").await.0, 200);
    std::fs::remove_dir(&data).unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        clock.advance(Duration::from_secs(6));
        seen.push(told(&hub, "/readyz").await.0);
    }
    assert_eq!(seen, [200, 503, 503, 503]);
}

#[tokio::test]
async fn a_part_is_all_that_is_read_and_all_that_counts() {
    let folder = tempfile::tempdir().unwrap();
    let hub = serve(Folder::open(folder.path().join("data")).await.unwrap()).await;
    let large: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let image = ImageId::from_bytes(*blake3::hash(&large).as_bytes());
    let picture = Key::Image { image, media_type: MediaType::Png };
    put(&hub.remote(1), &picture, large.clone()).await;
    let url = public_url(&hub_public_url(&hub.0.url(), key(1).vault_id()), &picture);
    let answer = client().get(url).header("range", "bytes=1000000-1000002").send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap(), large[1_000_000..1_000_003]);
    assert_eq!(bytes(&hub, "out").await, 3);
    // A folder is read from there on: what comes first is what was asked for.
    let vault = folder.path().join("data").join(key(1).vault_id().to_string());
    let mut rest =
        Dir::open(vault).await.unwrap().get_from(&picture, 1_000_000).await.unwrap().body;
    let first = rest.try_next().await.unwrap().unwrap();
    assert!(!first.is_empty() && large[1_000_000..].starts_with(&first));
}
