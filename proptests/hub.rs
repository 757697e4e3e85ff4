//! The hub: a remote over HTTP, held to what every remote promises, and to its own promises.

mod access;
mod api;
mod load;
mod operations;
mod places;
mod watch;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use everleaf::{
    clock::SystemClock,
    hub::{Data, Folder, Options, Server},
    id::VaultId,
    remote::{Hub, HubOptions, Memory, Remote, RemoteError, RetryPolicy},
    seal::VaultKey,
};
use tokio::net::TcpListener;

use crate::remote::{conforms, lists_page_after_page};

/// A client that knows nothing of hubs.
fn client() -> reqwest::Client {
    // The library does so for its own clients; here it may be the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// What a hub serves, in memory.
#[derive(Debug, Clone)]
pub(crate) struct Rooms {
    vaults: Arc<Mutex<BTreeMap<VaultId, Memory>>>,
    page: usize,
}

impl Rooms {
    pub(crate) fn new() -> Self {
        Self::paged(1000)
    }

    pub(crate) fn paged(page: usize) -> Self {
        Self { vaults: Arc::default(), page }
    }

    pub(crate) fn of(&self, vault: VaultId) -> Memory {
        let mut vaults = self.vaults.lock().unwrap();
        vaults.entry(vault).or_insert_with(|| Memory::with_page(self.page)).clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.vaults.lock().unwrap().len()
    }
}

#[async_trait]
impl Data for Rooms {
    async fn vault(
        &self,
        vault: VaultId,
        make: bool,
    ) -> Result<Option<Arc<dyn Remote>>, RemoteError> {
        let there = self.vaults.lock().unwrap().contains_key(&vault);
        Ok((make || there).then(|| Arc::new(self.of(vault)) as _))
    }

    async fn check(&self) -> Result<(), RemoteError> {
        Ok(())
    }
}

/// The key of one of many vaults.
pub(crate) fn key(n: u64) -> VaultKey {
    let now = everleaf::clock::Timestamp(0);
    VaultKey::generate(&everleaf::clock::SimulatedClock::new(now, n))
}

/// A hub on a free port.
#[derive(Debug)]
pub(crate) struct Serving(pub(crate) Server);

impl Serving {
    /// What a device of vault `n` has.
    pub(crate) fn remote(&self, n: u64) -> Hub {
        Hub::open(HubOptions::new(vec![self.0.url()], &key(n))).unwrap()
    }

    /// The same, with repetitions as the command has them.
    pub(crate) fn patient(&self, n: u64) -> Arc<dyn Remote> {
        let inner = Arc::new(self.remote(n));
        let policy = RetryPolicy { attempts: 2, ..RetryPolicy::default() };
        Arc::new(everleaf::remote::Retry::new(inner, policy, Arc::new(SystemClock)))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.url())
    }
}

/// Serves anybody.
pub(crate) async fn serve(data: impl Data + 'static) -> Serving {
    serve_with(data, options()).await
}

pub(crate) fn options() -> Options {
    Options { allow_new: true, poll: Duration::from_millis(20), ..Options::default() }
}

pub(crate) async fn serve_with(data: impl Data + 'static, options: Options) -> Serving {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Serving(Server::start(listener, Arc::new(data), options).unwrap())
}

#[tokio::test]
async fn a_hub_over_a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let data = Folder::open(folder.path().join("data")).await.unwrap();
    let hub = serve(data).await;
    conforms(Arc::new(hub.remote(1))).await;
    conforms(Arc::new(hub.remote(2))).await;
    lists_page_after_page(Arc::new(hub.remote(3)), 30).await;
}

#[tokio::test]
async fn a_hub_over_a_bucket_conforms() {
    let store = crate::s3::store().await;
    let data = everleaf::hub::Bucket::open(store.s3_options("hubs/one")).await.unwrap();
    let hub = serve(data).await;
    conforms(Arc::new(hub.remote(1))).await;
    lists_page_after_page(Arc::new(hub.remote(2)), 1003).await;
    let other = everleaf::hub::Bucket::open(store.s3_options("hubs/one")).await.unwrap();
    let other = serve(other).await;
    conforms(Arc::new(other.remote(1))).await;
    // Each vault lies under its own id.
    let vault = key(2).vault_id();
    let prefix = format!("hubs/one/{vault}/log/");
    assert_eq!(store.objects().iter().filter(|(name, _)| name.starts_with(&prefix)).count(), 1003);
}

#[tokio::test]
async fn a_hub_in_memory_conforms() {
    let hub = serve(Rooms::paged(3)).await;
    conforms(Arc::new(hub.remote(1))).await;
    conforms(hub.patient(2)).await;
}
