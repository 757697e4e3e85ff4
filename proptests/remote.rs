//! One conformance suite for every remote.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use everleaf::{
    clock::{SimulatedClock, Timestamp},
    id::{DeviceId, ImageId, SegmentHash},
    image::MediaType,
    remote::{
        After, Call, Counted, Dir, Download, Faulty, Key, Layer, Made, Memory, Prefix, Remote,
        RemoteError, RemoteExt as _, Retry, RetryPolicy, Upload,
    },
};
use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use proptest::prelude::*;

const MIB: usize = 1024 * 1024;

pub(crate) fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

/// A segment whose content is [`bytes`]`(n)`.
pub(crate) fn segment(of: u8, seq: u64, n: u8) -> Key {
    let hash = SegmentHash::from_bytes(*blake3::hash(&bytes(n)).as_bytes());
    Key::Segment { device: device(of), seq, hash }
}

/// An image whose content is [`bytes`]`(n)`.
pub(crate) fn image(n: u8, media_type: MediaType) -> Key {
    Key::Image { image: image_id(&bytes(n)), media_type }
}

fn image_id(content: &[u8]) -> ImageId {
    ImageId::from_bytes(*blake3::hash(content).as_bytes())
}

fn bytes(n: u8) -> Vec<u8> {
    vec![n; 20 + usize::from(n)]
}

/// What belongs under a key: what its name is the hash of, where it is one; some remotes check that.
pub(crate) fn content(key: &Key) -> Bytes {
    let is_named = |n: &u8| {
        let hash = blake3::hash(&bytes(*n));
        match key {
            Key::Segment { hash: named, .. } | Key::Checkpoint { hash: named, .. } => {
                named.as_bytes() == hash.as_bytes()
            }
            Key::Image { image, .. } => image.as_bytes() == hash.as_bytes(),
            Key::Vault | Key::Pulse | Key::Head(_) => false,
        }
    };
    (0..=255).find(is_named).map_or_else(|| key.to_string().into(), |n| bytes(n).into())
}

pub(crate) async fn put(remote: &dyn Remote, key: &Key, bytes: impl Into<Bytes>) {
    remote.put(key, Upload::Bytes(bytes.into())).await.unwrap();
}

pub(crate) async fn keys(remote: &dyn Remote, prefix: Prefix, after: Option<After>) -> Vec<Key> {
    let listed = remote.list_all(&prefix, after).await.unwrap();
    listed.into_iter().map(|listed| listed.key).collect()
}

/// What every remote promises. It has to be empty, and is left empty.
pub(crate) async fn conforms(remote: Arc<dyn Remote>) {
    let remote = &*remote;
    keeps_objects_of_every_kind(remote).await;
    overwrites(remote).await;
    bounds_what_is_read(remote).await;
    takes_files(remote).await;
    lists_in_order(remote).await;
    one_of_concurrent_puts_stays(remote).await;
}

async fn keeps_objects_of_every_kind(remote: &dyn Remote) {
    let keys = [
        Key::Vault,
        Key::Pulse,
        Key::Head(device(1)),
        segment(1, 1, 9),
        image(1, MediaType::Png),
        image(2, MediaType::Svg),
    ];
    for key in &keys {
        assert_eq!(remote.head(key).await.unwrap(), None);
        let missing = remote.get(key).await.unwrap_err();
        assert!(matches!(missing, RemoteError::NotFound { key: k } if k == *key), "{missing:?}");
        remote.delete(key).await.unwrap();
        let bytes = content(key);
        put(remote, key, bytes.clone()).await;
        put(remote, key, bytes.clone()).await;
        assert_eq!(remote.get_bytes(key, 1000).await.unwrap(), bytes);
        for first in [0, 1, bytes.len() - 1, bytes.len(), bytes.len() + 1] {
            let Download { size, body } = remote.get_from(key, first as u64).await.unwrap();
            let rest = bytes.get(first..).unwrap_or_default();
            assert!(size.is_none_or(|size| size == rest.len() as u64), "{size:?} from {first}");
            let pieces: Vec<Bytes> = body.try_collect().await.unwrap();
            assert_eq!(pieces.concat(), rest);
        }
        let meta = remote.head(key).await.unwrap().unwrap();
        assert_eq!(meta.size, bytes.len() as u64);
        if let Some(media_type) = meta.media_type {
            assert_eq!(media_type, key.content_type());
        }
    }
    for key in &keys {
        assert_eq!(remote.get_bytes(key, 1000).await.unwrap(), content(key));
        remote.delete(key).await.unwrap();
        assert_eq!(remote.head(key).await.unwrap(), None);
        remote.delete(key).await.unwrap();
    }
}

async fn overwrites(remote: &dyn Remote) {
    let mut tags = Vec::new();
    for round in 0..4_u8 {
        put(remote, &Key::Pulse, vec![round; 16]).await;
        assert_eq!(remote.get_bytes(&Key::Pulse, 16).await.unwrap(), vec![round; 16]);
        let tag = remote.head(&Key::Pulse).await.unwrap().unwrap().tag;
        assert_eq!(remote.head(&Key::Pulse).await.unwrap().unwrap().tag, tag);
        tags.push(tag.expect("small objects have a tag"));
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4, "equal tags for different content");
    remote.delete(&Key::Pulse).await.unwrap();
}

async fn bounds_what_is_read(remote: &dyn Remote) {
    put(remote, &Key::Vault, vec![1; 300_000]).await;
    assert_eq!(remote.get_bytes(&Key::Vault, 300_000).await.unwrap().len(), 300_000);
    let error = remote.get_bytes(&Key::Vault, 299_999).await.unwrap_err();
    assert!(matches!(error, RemoteError::Oversized { limit: 299_999, .. }), "{error:?}");
    put(remote, &Key::Vault, "").await;
    assert_eq!(remote.get_bytes(&Key::Vault, 0).await.unwrap().len(), 0);
    assert_eq!(remote.head(&Key::Vault).await.unwrap().unwrap().size, 0);
    remote.delete(&Key::Vault).await.unwrap();
}

async fn takes_files(remote: &dyn Remote) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let mut key = image(3, MediaType::Webp);
    for size in [0, 1, MIB, MIB + 1, 20 * MIB] {
        let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
        std::fs::write(&path, &bytes).unwrap();
        remote.delete(&key).await.unwrap();
        key = Key::Image { image: image_id(&bytes), media_type: MediaType::Webp };
        let upload = Upload::File { path: path.clone(), size: size as u64 };
        remote.put(&key, upload).await.unwrap();
        let size = size as u64;
        assert_eq!(remote.head(&key).await.unwrap().unwrap().size, size);
        assert!(remote.get_bytes(&key, size).await.unwrap() == bytes, "{size} bytes differ");
    }
    let before = remote.head(&key).await.unwrap();
    for size in [0, 5, 2 * MIB, 20 * MIB - 1, 20 * MIB + 1] {
        let upload = Upload::File { path: path.clone(), size: size as u64 };
        let error = remote.put(&key, upload).await.unwrap_err();
        assert!(matches!(error, RemoteError::Io { .. }), "{error:?}");
    }
    let missing = Upload::File { path: folder.path().join("missing"), size: 1 };
    let error = remote.put(&key, missing).await.unwrap_err();
    assert!(matches!(error, RemoteError::Io { .. }), "{error:?}");
    assert_eq!(remote.head(&key).await.unwrap(), before);
    remote.delete(&key).await.unwrap();
}

async fn lists_in_order(remote: &dyn Remote) {
    let of_one: Vec<_> = [0, 1, 2, 9, 10, 16, 255, 256, u64::MAX].map(|n| segment(1, n, 5)).into();
    let twin = segment(1, 9, 6);
    let of_two = [segment(2, 0, 1), segment(2, 7, 1)];
    let heads = [Key::Head(device(1)), Key::Head(device(2))];
    let mut images =
        [image(1, MediaType::Gif), image(1, MediaType::Png), image(8, MediaType::Avif)];
    images.sort_by_key(ToString::to_string);
    let mut all: Vec<Key> = [Key::Vault, Key::Pulse, twin].into();
    all.extend(of_one.iter().chain(&of_two).chain(&heads).chain(&images).rev());
    for key in &all {
        put(remote, key, content(key)).await;
    }
    let log = Prefix::Log(device(1));
    let mut expected = of_one.clone();
    expected.push(twin);
    expected.sort_by_key(ToString::to_string);
    assert_eq!(keys(remote, log, None).await, expected);
    assert_eq!(keys(remote, Prefix::Log(device(2)), None).await, of_two);
    assert_eq!(keys(remote, Prefix::Log(device(3)), None).await, []);
    assert_eq!(keys(remote, Prefix::Logs, None).await, [&expected[..], &of_two].concat());
    assert_eq!(keys(remote, Prefix::Heads, None).await, heads);
    assert_eq!(keys(remote, Prefix::Images, None).await, images);
    let of_image = Prefix::Image(image_id(&bytes(1)));
    let both = [image(1, MediaType::Gif), image(1, MediaType::Png)];
    assert_eq!(keys(remote, of_image, None).await, both);
    for (place, key) in expected.iter().enumerate() {
        let after = Some(After::from(key));
        assert_eq!(keys(remote, log, after).await, expected[place + 1..]);
    }
    for (seq, place) in [(0, 0), (1, 1), (3, 3), (9, 3), (10, 5), (257, 9), (u64::MAX, 9)] {
        let after = Some(After::before_segment(device(1), seq));
        assert_eq!(keys(remote, log, after).await, expected[place..]);
    }
    assert_eq!(keys(remote, log, Some(After::from(&of_two[0]))).await, []);
    assert_eq!(keys(remote, log, Some(After::from(&heads[0]))).await, expected);
    for listed in remote.list_all(&Prefix::Logs, None).await.unwrap() {
        assert_eq!(listed.size, content(&listed.key).len() as u64);
    }
    for key in &all {
        remote.delete(key).await.unwrap();
    }
    for prefix in [Prefix::Heads, Prefix::Logs, Prefix::Checkpoints, Prefix::Images] {
        assert_eq!(keys(remote, prefix, None).await, []);
    }
}

async fn one_of_concurrent_puts_stays(remote: &dyn Remote) {
    let body = |n: u8| Bytes::from(vec![n; 70_000 + usize::from(n)]);
    let puts = (0..8).map(|n| remote.put(&Key::Pulse, Upload::Bytes(body(n))));
    for put in join_all(puts).await {
        put.unwrap();
    }
    let left = remote.get_bytes(&Key::Pulse, 100_000).await.unwrap();
    assert_eq!(left, body(left[0]));
    remote.delete(&Key::Pulse).await.unwrap();
}

/// More keys than one page holds come in order, once each.
pub(crate) async fn lists_page_after_page(remote: Arc<dyn Remote>, number: u64) {
    let puts = (0..number).map(|seq| {
        let remote = Arc::clone(&remote);
        async move { put(&*remote, &segment(1, seq, 1), bytes(1)).await }
    });
    stream::iter(puts).buffer_unordered(16).collect::<Vec<()>>().await;
    let expected: Vec<_> = (0..number).map(|seq| segment(1, seq, 1)).collect();
    assert_eq!(keys(&*remote, Prefix::Log(device(1)), None).await, expected);
}

fn clock() -> Arc<SimulatedClock> {
    Arc::new(SimulatedClock::new(Timestamp(0), 1))
}

pub(crate) fn retry(inner: Arc<dyn Remote>, attempts: u32) -> Retry {
    let (base, cap) = (Duration::from_micros(1), Duration::from_micros(10));
    Retry::new(inner, RetryPolicy { attempts, base, cap }, clock())
}

#[tokio::test]
async fn memory_conforms() {
    conforms(Arc::new(Memory::new())).await;
    conforms(Arc::new(Memory::with_page(3))).await;
    lists_page_after_page(Arc::new(Memory::new()), 2503).await;
}

#[tokio::test]
async fn a_directory_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conforms(Arc::new(Dir::open(folder.path()).await.unwrap())).await;
    lists_page_after_page(Arc::new(Dir::open(folder.path()).await.unwrap()), 30).await;
}

#[tokio::test]
async fn wrappers_conform() {
    conforms(Arc::new(Counted::new(Arc::new(Memory::new())))).await;
    conforms(Arc::new(retry(Arc::new(Memory::new()), 3))).await;
    conforms(Arc::new(Faulty::new(Arc::new(Memory::new())))).await;
    conforms(Arc::new(retry(Arc::new(Flaky::default()), 100))).await;
}

/// Fails two calls of every three, whatever they are: one before and one after it took effect.
#[derive(Debug, Default)]
struct Flaky(Memory, AtomicU64);

#[async_trait]
impl Layer for Flaky {
    fn inner(&self) -> &dyn Remote {
        &self.0
    }

    async fn around<T: Send + 'static>(
        &self,
        _: Call,
        _: &str,
        made: &Made<'_, T>,
    ) -> Result<T, RemoteError> {
        match self.1.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => Err(RemoteError::Offline { source: "flaky".into() }),
            1 => made()
                .await
                .and(Err(RemoteError::Busy { retry_after: None, source: "flaky".into() })),
            _ => made().await,
        }
    }
}

/// One step of a random history, over a small universe of keys.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Put(usize, Vec<u8>),
    Delete(usize),
    Read(usize),
    List(usize, Option<usize>),
}

fn universe() -> Vec<Key> {
    let segments = (0..6).map(|n| segment(1 + n % 2, n.into(), n));
    let images = (0..3).map(|n| image(n, MediaType::Png));
    let heads = (1..3).map(|n| Key::Head(device(n)));
    segments.chain(images).chain(heads).chain([Key::Vault, Key::Pulse]).collect()
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let key = 0..universe().len();
    prop_oneof![
        (key.clone(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(k, b)| Step::Put(k, b)),
        key.clone().prop_map(Step::Delete),
        key.clone().prop_map(Step::Read),
        (0..4_usize, prop::option::of(key)).prop_map(|(p, k)| Step::List(p, k)),
    ]
}

/// Does the steps on a remote and on a map, and compares all that shows.
pub(crate) async fn behaves_as_a_map(remote: &dyn Remote, steps: &[Step]) {
    let universe = universe();
    let mut model = BTreeMap::<String, Vec<u8>>::new();
    for step in steps {
        match step {
            Step::Put(at, bytes) => {
                let key = &universe[*at];
                let bytes = if key.is_immutable() { content(key) } else { bytes.clone().into() };
                put(remote, key, bytes.clone()).await;
                model.insert(key.to_string(), bytes.into());
            }
            Step::Delete(at) => {
                remote.delete(&universe[*at]).await.unwrap();
                model.remove(&universe[*at].to_string());
            }
            Step::Read(at) => {
                let key = &universe[*at];
                let expected = model.get(&key.to_string());
                let meta = remote.head(key).await.unwrap();
                assert_eq!(meta.map(|meta| meta.size), expected.map(|bytes| bytes.len() as u64));
                match remote.get_bytes(key, 300).await {
                    Ok(bytes) => assert_eq!(Some(&bytes.to_vec()), expected),
                    Err(RemoteError::NotFound { .. }) => assert_eq!(expected, None),
                    Err(error) => panic!("{error:?}"),
                }
            }
            Step::List(prefix, after) => {
                let prefixes =
                    [Prefix::Heads, Prefix::Logs, Prefix::Log(device(1)), Prefix::Images];
                let prefix = prefixes[*prefix];
                let after = after.map(|at| &universe[at]);
                let expected: Vec<Key> = model
                    .keys()
                    .filter(|name| after.is_none_or(|after| **name > after.to_string()))
                    .map(|name| name.parse().unwrap())
                    .filter(|key| prefix.contains(key))
                    .collect();
                assert_eq!(keys(remote, prefix, after.map(After::from)).await, expected);
            }
        }
    }
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    #[test]
    fn memory_behaves_as_a_map(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            behaves_as_a_map(&Memory::with_page(2), &steps).await;
        });
    }
}

proptest! {
    // Waits, synced writes and signed requests take their time: fewer cases.
    #![proptest_config(crate::regressions::kept_of(module_path!(), 12))]

    #[test]
    fn every_remote_behaves_as_a_map(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            behaves_as_a_map(&retry(Arc::new(Flaky::default()), 3), &steps).await;
            let folder = tempfile::tempdir().unwrap();
            behaves_as_a_map(&Dir::open(folder.path()).await.unwrap(), &steps).await;
            let store = crate::s3::store().await;
            let mut options = store.s3_options("");
            options.page = Some(2);
            behaves_as_a_map(&everleaf::remote::S3::open(options).await.unwrap(), &steps).await;
            let hub = crate::hub::serve(crate::hub::Rooms::paged(2)).await;
            behaves_as_a_map(&hub.remote(1), &steps).await;
        });
    }
}
