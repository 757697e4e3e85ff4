//! A store of three nodes that keep three copies, of which some die during a sync and come back.
//!
//! `EVERLEAF_S3_NODES` has their endpoints, and `EVERLEAF_S3_CONTROL` is a command that takes
//! `kill N` and `revive N`, and comes back when that is done.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use everleaf::{
    remote::{Call, Key, Layer, Made, Remote, RemoteError, Requests, S3Options},
    upload::State,
    vault::{SyncOptions, VaultError},
};

use crate::{
    image::png,
    outside::{needed, variable},
    s3::connect,
    world::{Device, origin},
};

/// An image of so many bytes goes in parts.
const IN_PARTS: usize = 17_000_000;

/// The nodes, and what kills and revives them.
#[derive(Debug, Clone)]
struct Nodes {
    endpoints: Vec<String>,
    control: String,
}

impl Nodes {
    fn find() -> Option<Self> {
        let (Some(nodes), Some(control)) = (variable("NODES"), variable("CONTROL")) else {
            eprintln!("left out: EVERLEAF_S3_NODES names no nodes");
            return None;
        };
        Some(Self { endpoints: nodes.split_whitespace().map(str::to_owned).collect(), control })
    }

    async fn all(&self, what: &'static str, nodes: &[usize]) {
        for node in nodes {
            let (mut command, node) = (Command::new(&self.control), node.to_string());
            let run = move || command.args([what, &node]).output().unwrap();
            let output = tokio::task::spawn_blocking(run).await.unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{what}: {said}");
        }
    }

    /// What is kept under `place`, by way of one node.
    async fn by(&self, node: usize, place: &S3Options) -> Arc<dyn Remote> {
        let mut options = place.clone();
        options.endpoint = Some(self.endpoints[node].clone());
        options.backoff = Duration::from_millis(20);
        // Nodes without a majority may take their time to say so.
        options.attempts = 2;
        options.read_timeout = Duration::from_secs(10);
        Arc::new(connect(options).await)
    }
}

/// A remote some of whose nodes die right before one of its calls.
#[derive(Debug)]
struct Dying {
    inner: Arc<dyn Remote>,
    nodes: Nodes,
    victims: &'static [usize],
    left: AtomicI64,
}

#[async_trait]
impl Layer for Dying {
    fn inner(&self) -> &dyn Remote {
        &*self.inner
    }

    async fn around<T: Send + 'static>(
        &self,
        _: Call,
        _: &str,
        made: &Made<'_, T>,
    ) -> Result<T, RemoteError> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.nodes.all("kill", self.victims).await;
        }
        made().await
    }
}

/// Twelve notes with an image each, one of which has `largest` bytes.
fn write(device: &Device, round: u64, largest: usize) {
    for n in 0..12 {
        let (name, size) = (format!("{round}-{n}.png"), if n == 5 { largest } else { 50_000 });
        let seed = format!("{round} {n}").into_bytes();
        device.file(
            &name,
            &png(40, 30, &seed.iter().copied().cycle().take(size).collect::<Vec<_>>()),
        );
        device.note(&format!("# Note {n} of round {round}\n\n![]({name})\n"));
    }
}

/// How many images wait, and that all that count as uploaded are there.
async fn waiting(device: &Device, remote: &dyn Remote) -> usize {
    let images = device.vault().image_list().unwrap();
    for image in images.iter().filter(|image| image.state == Some(State::Uploaded)) {
        let key = Key::Image { image: image.image, media_type: image.media_type };
        assert!(remote.head(&key).await.unwrap().is_some(), "{key} is not there");
    }
    images.iter().filter(|image| image.state != Some(State::Uploaded)).count()
}

/// A device that has synced, and has much to sync again.
async fn about_to_sync(remote: &Arc<dyn Remote>, largest: usize) -> Device {
    let laptop = Device::new("laptop", 1);
    laptop.add(remote).await;
    write(&laptop, 0, 50_000);
    laptop.sync(remote).await;
    write(&laptop, 1, largest);
    laptop
}

/// Nodes die before one of the calls of a sync with the first node, and come back afterwards.
async fn die_and_come_back(nodes: &Nodes, place: &S3Options, victims: &'static [usize], at: i64) {
    let asked = nodes.by(0, place).await;
    // A large body is waited for as long as a slow line may need, which is too long for a test where
    // nobody can take it.
    let largest = if victims.len() == 1 { IN_PARTS } else { 50_000 };
    let laptop = about_to_sync(&asked, largest).await;
    let dying = Arc::new(Dying {
        inner: Arc::clone(&asked),
        nodes: nodes.clone(),
        victims,
        left: AtomicI64::new(at),
    });
    let (name, how) = (origin(), SyncOptions::default());
    let synced = laptop.vault().sync(&name, Arc::clone(&dying) as _, &how, &|_| ()).await;
    assert!(dying.left.load(Ordering::Relaxed) <= 0, "the sync made fewer than {at} calls");
    match &synced {
        Ok(report) => assert_eq!(report.problems, Vec::<String>::new()),
        Err(VaultError::Remote { source, .. }) => assert!(source.is_transient(), "{source:?}"),
        Err(error) => panic!("{error:?}"),
    }
    if victims == [2] {
        // Two of three nodes are as good as three.
        let report = synced.unwrap();
        assert_eq!((report.uploaded.failed, report.uploaded.images), (0, 12));
        assert_eq!(waiting(&laptop, &*asked).await, 0);
        agrees(&Device::join("phone", 2, &laptop), &nodes.by(1, place).await, &laptop).await;
    }
    nodes.all("revive", victims).await;
    // Before anything is tried again: what was claimed meanwhile is true.
    waiting(&laptop, &*asked).await;

    // Nobody does anything, but time passes.
    for _ in 0..3 {
        laptop.clock.advance(Duration::from_hours(1));
        laptop.sync(&asked).await;
    }
    assert_eq!(waiting(&laptop, &*asked).await, 0, "killed before call {at}");
    for node in 0..nodes.endpoints.len() {
        let remote = nodes.by(node, place).await;
        let mut found = laptop.vault().verify().unwrap();
        laptop.vault().verify_remote(&name, &*remote, false, &mut found).await.unwrap();
        assert_eq!(found.findings, Vec::new());
    }
    agrees(&Device::join("tablet", 3, &laptop), &nodes.by(2, place).await, &laptop).await;
}

/// A new device that has nothing but the key and a remote gets all that `other` has.
async fn agrees(device: &Device, remote: &Arc<dyn Remote>, other: &Device) {
    device.add(remote).await;
    device.sync(remote).await;
    assert_eq!(device.sources(), other.sources());
    for image in other.vault().image_list().unwrap() {
        assert!(device.vault().local_file(image.image).unwrap().is_some());
    }
    device.check();
}

/// One test, since all of it happens to the same nodes.
#[tokio::test]
async fn what_dies_during_a_sync_and_comes_back_loses_nothing() {
    let (Some(place), Some(nodes)) = (needed("nodes"), Nodes::find()) else { return };
    let below =
        |name: &str| S3Options { prefix: format!("{}/{name}", place.prefix), ..place.clone() };
    let quiet = nodes.by(0, &below("quiet")).await;
    let Requests { get, head, put, list, delete } =
        about_to_sync(&quiet, 50_000).await.sync(&quiet).await.requests;
    let calls = i64::try_from(get + head + put + list + delete).unwrap();
    for victims in [&[2][..], &[0], &[1, 2]] {
        for at in [2, calls / 2, calls - 2] {
            let began = std::time::Instant::now();
            let place = below(&format!("{victims:?}-{at}").replace([',', '[', ']', ' '], ""));
            die_and_come_back(&nodes, &place, victims, at).await;
            let took = began.elapsed().as_secs();
            eprintln!(
                "nodes {victims:?} died before call {at} of {calls}, and came back ({took} s)"
            );
        }
    }
}
