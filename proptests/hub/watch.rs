//! Hearing of changes: streams of events, devices that watch, several hubs over one storage.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use everleaf::{
    clock::{Clock, SimulatedClock, SystemClock, Timestamp},
    event::RemoteOptions,
    hub::{Bucket, Options},
    remote::{
        Call, Counted, Failure, Fault, Faulty, Hub, HubOptions, Key, Memory, Remote,
        RemoteExt as _, Retry, RetryPolicy,
    },
    vault::{self, NewNote, SyncOptions, SyncReport, Vault, VaultError},
};
use futures_util::StreamExt as _;
use reqwest::Method;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{Notify, watch},
};

use super::{
    Rooms, Serving,
    access::{ask, send},
    key, options, serve, serve_with,
};
use crate::{
    image::png,
    remote::{put, retry},
    world::origin,
};

/// A device by the machine's clock, which the hub's is too.
pub(super) struct Device {
    pub(super) vault: Vault,
    pub(super) remote: Arc<dyn Remote>,
    pub(super) folder: TempDir,
    /// How many syncs came to an end.
    pub(super) syncs: watch::Sender<u64>,
    /// What syncs met.
    problems: Mutex<Vec<String>>,
    stop: Notify,
}

impl Device {
    /// A device of vault `n`, which has met the others at these hubs.
    pub(super) async fn new(name: &str, n: u64, urls: &[String]) -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault");
        let vault = Vault::create(&path, name, Some(key(n)), vault::Options::default()).unwrap();
        let hub = Hub::open(HubOptions::new(urls.to_vec(), &key(n))).unwrap();
        let policy = RetryPolicy { attempts: 2, ..RetryPolicy::default() };
        let clock = Arc::new(everleaf::clock::SystemClock);
        let remote: Arc<dyn Remote> = Arc::new(Retry::new(Arc::new(hub), policy, clock));
        let described = RemoteOptions { url: urls.join(" "), ..RemoteOptions::default() };
        vault.add_remote(origin(), described, Arc::clone(&remote)).await.unwrap();
        let (syncs, stop) = (watch::channel(0).0, Notify::new());
        Arc::new(Self { vault, remote, folder, syncs, problems: Mutex::default(), stop })
    }

    pub(super) async fn sync(&self) -> SyncReport {
        let options = SyncOptions::default();
        let remote = Arc::clone(&self.remote);
        self.vault.sync(&origin(), remote, &options, &|_| ()).await.unwrap()
    }

    /// Watches until it is told to stop.
    pub(super) async fn watch(&self) {
        let options = SyncOptions::default();
        let each = |result: Result<&SyncReport, &VaultError>| {
            match result {
                Ok(report) => self.problems.lock().unwrap().extend(report.problems.clone()),
                Err(error) => self.problems.lock().unwrap().push(everleaf::vault::chain(&error)),
            }
            self.syncs.send_modify(|syncs| *syncs += 1);
        };
        let remote = Arc::clone(&self.remote);
        self.vault.watch(&origin(), remote, &options, &|_| (), &each, self.stop.notified()).await;
    }

    pub(super) fn watching(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let device = Arc::clone(self);
        tokio::spawn(async move { device.watch().await })
    }

    pub(super) fn stop(&self) {
        self.stop.notify_one();
    }

    pub(super) fn problems(&self) -> Vec<String> {
        self.problems.lock().unwrap().clone()
    }

    pub(super) fn note(&self, source: &str) -> everleaf::id::NoteId {
        let folder = Some(self.folder.path().to_owned());
        self.vault.new_note(&NewNote { source: source.into(), path: None, folder }).unwrap()
    }

    /// Waits until a sync has come to an end after which `holds` does.
    pub(super) async fn until(&self, holds: impl Fn(&Vault) -> bool) {
        let mut syncs = self.syncs.subscribe();
        while !holds(&self.vault) {
            syncs.changed().await.unwrap();
        }
    }

    pub(super) fn notes(&self) -> usize {
        self.vault.list().unwrap().len()
    }
}

async fn next(tags: &mut everleaf::remote::Watch) -> String {
    tags.next().await.unwrap().unwrap()
}

#[tokio::test]
async fn a_pulse_is_told_at_once_and_again_to_who_missed_it() {
    let hub = serve(Rooms::new()).await;
    let remote = hub.remote(1);
    let mut tags = remote.watch(None).await.unwrap().unwrap();
    assert_eq!(next(&mut tags).await, "");
    let mut told = Vec::new();
    for n in 0..3_u8 {
        put(&remote, &Key::Pulse, vec![n]).await;
        told.push(next(&mut tags).await);
        let head = remote.head(&Key::Pulse).await.unwrap().unwrap();
        assert_eq!(told.last(), head.tag.as_ref());
    }
    // One that comes back hears what it missed, and nothing that it has seen.
    let mut late = remote.watch(Some(&told[0])).await.unwrap().unwrap();
    assert_eq!(next(&mut late).await, told[2]);
    let mut current = remote.watch(Some(&told[2])).await.unwrap().unwrap();
    put(&remote, &Key::Pulse, vec![9]).await;
    let newest = next(&mut current).await;
    assert!(!told.contains(&newest));
    assert_eq!(next(&mut late).await, newest);
    // Others are told nothing of it; what is removed is told too.
    let mut other = hub.remote(2).watch(None).await.unwrap().unwrap();
    assert_eq!(next(&mut other).await, "");
    remote.delete(&Key::Pulse).await.unwrap();
    assert_eq!(next(&mut current).await, "");
    put(&hub.remote(2), &Key::Pulse, "x").await;
    assert_ne!(next(&mut other).await, "");
    // A hub that stops says so to nobody by keeping silent.
    hub.0.stop().await;
    assert!(current.next().await.is_none_or(|last| last.is_err()));
}

#[tokio::test]
async fn wrappers_pass_on_what_is_told() {
    let hub = serve(Rooms::new()).await;
    let faulty = Arc::new(Faulty::new(Arc::new(hub.remote(1))));
    let wrapped = retry(Arc::new(Counted::new(Arc::clone(&faulty) as _)), 2);
    faulty.fail(Fault::next(Call::Watch, 1, Failure::Offline));
    let mut tags = wrapped.watch(None).await.unwrap().unwrap();
    assert_eq!(next(&mut tags).await, "");
    assert!(Memory::new().watch(None).await.unwrap().is_none());
}

#[tokio::test]
async fn a_poll_sees_what_came_another_way() {
    let rooms = Rooms::new();
    let (one, two) = (serve(rooms.clone()).await, serve(rooms.clone()).await);
    let mut tags = one.remote(1).watch(None).await.unwrap().unwrap();
    assert_eq!(next(&mut tags).await, "");
    put(&two.remote(1), &Key::Pulse, "two").await;
    let told = next(&mut tags).await;
    // Tags are the same at every hub, so a device may go from one to the other.
    let mut tags = two.remote(1).watch(Some(&told)).await.unwrap().unwrap();
    put(&rooms.of(key(1).vault_id()), &Key::Pulse, "three").await;
    assert_ne!(next(&mut tags).await, told);
}

/// A clock that a test moves; who waits, waits by the machine's.
#[derive(Debug)]
struct Moved(SimulatedClock);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move { SystemClock.sleep(duration).await })
    }
}

#[tokio::test]
async fn who_watches_by_a_token_is_told_nothing_once_it_is_over() {
    let clock = Arc::new(Moved(SimulatedClock::new(SystemClock.now(), 1)));
    let options = Options { clock: Arc::clone(&clock) as _, ..options() };
    let hub = serve_with(Rooms::new(), options).await;
    let vault = format!("/v1/vaults/{}", key(1).vault_id());
    let given = ask(&hub, 1, Method::POST, &format!("{vault}/token")).await.bytes().await.unwrap();
    let given: serde_json::Value = serde_json::from_slice(&given).unwrap();
    let token = format!("Bearer {}", given["token"].as_str().unwrap());
    let mut by_token = send(&hub, Method::GET, &format!("{vault}/watch"), &token, "").await;
    let mut told = String::new();
    while !told.ends_with("data: none\n\n") {
        told.push_str(std::str::from_utf8(&by_token.chunk().await.unwrap().unwrap()).unwrap());
    }
    let mut signed = hub.remote(1).watch(None).await.unwrap().unwrap();
    assert_eq!(next(&mut signed).await, "");
    clock.0.advance(Duration::from_mins(11));
    put(&hub.remote(1), &Key::Pulse, "x").await;
    assert_ne!(next(&mut signed).await, "");
    assert_eq!(by_token.chunk().await.unwrap(), None);
}

/// How long edits took from one device to the other, sorted.
fn distribution(mut took: Vec<Duration>) -> String {
    took.sort();
    let at = |part: f64| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "few"
        )]
        let index = ((took.len() - 1) as f64 * part) as usize;
        took[index].as_micros()
    };
    format!(
        "n {} min {} p50 {} p90 {} p99 {} max {} µs",
        took.len(),
        at(0.0),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_on_one_device_shows_on_the_other() {
    let hub = serve(Rooms::new()).await;
    let urls = [hub.0.url()];
    let (laptop, phone) =
        (Device::new("laptop", 1, &urls).await, Device::new("phone", 1, &urls).await);
    let note = laptop.note("start\n");
    laptop.sync().await;
    let watching = [laptop.watching(), phone.watching()];
    let shows = |vault: &Vault, text: &str| {
        vault.read(note, None).is_ok_and(|reading| reading.body.source().contains(text))
    };
    phone.until(|vault| shows(vault, "start")).await;
    let mut took = Vec::new();
    for round in 0..20 {
        let (from, to) = if round % 2 == 0 { (&laptop, &phone) } else { (&phone, &laptop) };
        let line = format!("round {round}\n");
        let reading = from.vault.read(note, None).unwrap();
        let began = Instant::now();
        from.vault.edit(note, &reading.heads, &(reading.body.source() + &line), None).unwrap();
        to.until(|vault| shows(vault, &line)).await;
        took.push(began.elapsed());
    }
    eprintln!("from an edit to where it shows: {}", distribution(took));
    for (device, task) in [&laptop, &phone].into_iter().zip(watching) {
        device.stop();
        task.await.unwrap();
        assert_eq!(device.problems(), Vec::<String>::new());
        assert_eq!(device.vault.verify().unwrap().findings, Vec::new());
    }
}

#[tokio::test]
async fn an_image_goes_up_by_itself_and_who_is_stopped_stops() {
    let hub = serve(Rooms::new()).await;
    let (laptop, phone) = (
        Device::new("laptop", 1, &[hub.0.url()]).await,
        Device::new("phone", 1, &[hub.0.url()]).await,
    );
    let watching = [laptop.watching(), phone.watching()];
    let picture = laptop.folder.path().join("a.png");
    std::fs::write(&picture, png(8, 8, b"watched")).unwrap();
    let note = laptop.note("# A\n\n![](a.png)\n");
    laptop.until(|vault| vault.status().unwrap().images.uploaded == 1).await;
    phone.until(|vault| vault.read(note, None).is_ok()).await;
    let image = laptop.vault.image_list().unwrap()[0].image;
    phone.until(|vault| vault.local_file(image).is_ok_and(|file| file.is_some())).await;
    for (device, task) in [&laptop, &phone].into_iter().zip(watching) {
        device.stop();
        task.await.unwrap();
        assert_eq!(device.problems(), Vec::<String>::new());
        let mut found = device.vault.verify().unwrap();
        device.vault.verify_remote(&origin(), &*device.remote, false, &mut found).await.unwrap();
        assert_eq!(found.findings, Vec::new());
        assert!(found.receipts > 0);
    }
}

/// Two hubs over one bucket, a device on each; then one hub is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hubs_serve_the_same_vaults_and_one_of_them_suffices() {
    let store = crate::s3::store().await;
    let hub = async || -> Serving {
        let data = Bucket::open(store.s3_options("hubs")).await.unwrap();
        serve_with(data, options()).await
    };
    let (one, two) = (hub().await, hub().await);
    let urls = [one.0.url(), two.0.url()];
    let laptop = Device::new("laptop", 1, &urls).await;
    let phone = Device::new("phone", 1, &urls[1..]).await;
    let watching = [laptop.watching(), phone.watching()];
    for round in 1..4 {
        let (from, to) = if round % 2 == 0 { (&phone, &laptop) } else { (&laptop, &phone) };
        from.note(&format!("# Note {round}\n"));
        to.until(|vault| vault.list().unwrap().len() == round).await;
    }
    drop(one);
    laptop.note("# After one hub was killed\n");
    phone.until(|vault| vault.list().unwrap().len() == 4).await;
    phone.note("# And the other way\n");
    laptop.until(|vault| vault.list().unwrap().len() == 5).await;
    for (device, task) in [&laptop, &phone].into_iter().zip(watching) {
        device.stop();
        task.await.unwrap();
        assert_eq!((device.notes(), device.vault.status().unwrap().unsynced_notes), (5, 0));
        let mut found = device.vault.verify().unwrap();
        device.vault.verify_remote(&origin(), &*device.remote, false, &mut found).await.unwrap();
        assert_eq!(found.findings, Vec::new());
    }
}

/// One whose disk is full, or that a proxy stands for, may begin to say why and stop there.
#[tokio::test]
async fn a_client_goes_on_where_a_refusal_does_not_come_to_an_end() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stuck = format!("http://{}", listener.local_addr().unwrap());
    let stuck_hub = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        let refusal = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 100\r\n\r\n{";
        stream.write_all(refusal).await.unwrap();
        std::future::pending::<()>().await;
    });
    let hub = serve(Rooms::new()).await;
    let read_timeout = Duration::from_millis(200);
    let urls = vec![stuck, hub.0.url()];
    let options = HubOptions { read_timeout, ..HubOptions::new(urls, &key(1)) };
    put(&Hub::open(options).unwrap(), &Key::Pulse, "x").await;
    assert_eq!(hub.remote(1).get_bytes(&Key::Pulse, 9).await.unwrap(), "x");
    stuck_hub.abort();
}

#[tokio::test]
async fn a_client_goes_on_at_the_next_hub_and_stays_there() {
    let rooms = Rooms::new();
    let (one, two) = (serve(rooms.clone()).await, serve(rooms.clone()).await);
    let urls = vec![one.0.url(), two.0.url()];
    let remote = Hub::open(HubOptions::new(urls, &key(1))).unwrap();
    put(&remote, &Key::Pulse, "one").await;
    drop(one);
    put(&remote, &Key::Pulse, "two").await;
    assert_eq!(remote.get_bytes(&Key::Pulse, 9).await.unwrap(), "two");
    assert!(format!("{remote:?}").starts_with("Hub(http://127.0.0.1:"));
    two.0.stop().await;
    assert!(remote.head(&Key::Pulse).await.unwrap_err().is_transient());
    let limits = Options::default();
    assert!(!limits.allow_new, "nobody is served who was not named");
}
