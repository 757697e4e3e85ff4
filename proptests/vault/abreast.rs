//! How many images are on their way at the same time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use everleaf::{
    remote::{Download, Key, Layer, Memory, ObjectMeta, Remote, RemoteError, Upload},
    upload::{PARALLEL, PARALLEL_SMALL},
    vault::{Options, SyncOptions, Vault},
};

use crate::{
    image::png,
    world::{Device, options},
};

/// A remote that sees how many ask it for images at once.
#[derive(Debug, Default)]
struct Crowd {
    inner: Memory,
    now: AtomicUsize,
    most: AtomicUsize,
    /// Whether no image gets there.
    is_slow: AtomicBool,
}

impl Crowd {
    /// Stands in the crowd until all others who can come have come.
    async fn stand(&self, key: &Key) {
        if !matches!(key, Key::Image { .. }) {
            return;
        }
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.now.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Layer for Crowd {
    fn inner(&self) -> &dyn Remote {
        &self.inner
    }

    async fn get_from(&self, key: &Key, first: u64) -> Result<Download, RemoteError> {
        self.stand(key).await;
        self.inner.get_from(key, first).await
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        self.stand(key).await;
        self.inner.head(key).await
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        self.stand(key).await;
        if self.is_slow.load(Ordering::Relaxed) && matches!(key, Key::Image { .. }) {
            return Err(RemoteError::Offline { source: "it took too long".into() });
        }
        self.inner.put(key, body).await
    }
}

/// Has a device do its work where it is called, so that what comes at once is no matter of luck.
fn inline(device: &mut Device) {
    device.vault = None;
    let options = Options { inline: true, ..options(&device.clock) };
    device.vault = Some(Vault::open(&device.path(), options).unwrap());
}

/// The most that were on their way at once while `images` of `bytes` went up, and came down elsewhere.
async fn crowds(images: u8, bytes: usize, parallel: Option<usize>) -> [usize; 2] {
    let crowd = Arc::new(Crowd::default());
    let remote: Arc<dyn Remote> = Arc::clone(&crowd) as _;
    let sync = SyncOptions { parallel, ..SyncOptions::default() };
    let mut laptop = Device::new("laptop", 1);
    laptop.add(&remote).await;
    let shown = (0..images).map(|number| {
        laptop.file(&format!("{number}.png"), &png(4, 3, &vec![number; bytes]));
        format!("![]({number}.png)\n\n")
    });
    laptop.note(&shown.collect::<String>());
    let mut phone = Device::join("phone", 2, &laptop);
    phone.add(&remote).await;
    let mut most = [0; 2];
    for (device, most) in [&mut laptop, &mut phone].into_iter().zip(&mut most) {
        inline(device);
        let report = device.sync_with(&remote, &sync).await.unwrap();
        assert_eq!(report.uploaded.images + report.fetched.images, u64::from(images));
        *most = crowd.most.swap(0, Ordering::Relaxed);
    }
    most
}

#[tokio::test]
async fn a_line_that_did_not_carry_many_is_given_fewer() {
    let crowd = Arc::new(Crowd::default());
    let remote: Arc<dyn Remote> = Arc::clone(&crowd) as _;
    let mut laptop = Device::new("laptop", 1);
    laptop.add(&remote).await;
    inline(&mut laptop);
    let mut most = Vec::new();
    for (round, is_slow) in [true, false, false].into_iter().enumerate() {
        crowd.is_slow.store(is_slow, Ordering::Relaxed);
        for number in 0..40 {
            let name = format!("{round}-{number}.png");
            laptop.file(&name, &png(4, 3, name.as_bytes()));
            laptop.note(&format!("![]({name})\n"));
        }
        let report = laptop.try_sync(&remote).await.unwrap();
        assert_eq!(report.uploaded.images == 0, is_slow);
        most.push(crowd.most.swap(0, Ordering::Relaxed));
    }
    assert_eq!(most, [PARALLEL_SMALL, PARALLEL, PARALLEL_SMALL]);
}

#[tokio::test]
async fn many_small_images_are_on_their_way_at_once_and_few_large_ones() {
    assert_eq!(crowds(40, 10_000, None).await, [PARALLEL_SMALL; 2]);
    assert_eq!(crowds(12, 500_000, None).await, [PARALLEL; 2]);
    for parallel in [1, 3, 40] {
        assert_eq!(crowds(44, 100, Some(parallel)).await, [parallel; 2]);
    }
}
