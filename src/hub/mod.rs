//! A server that is a remote for any number of vaults, over a folder or a bucket.
//!
//! A hub keeps no state of its own: what it is given lies in its [`Data`], under each vault's id, in
//! the layout that any remote has. So several hubs may serve the same data, and one may be replaced by
//! another. It can read no note. It has no accounts either: a vault's id is a public key, and whoever
//! signs with its other half has the vault (see [`signature`](crate::remote::hub::signature)).
//!
//! ```text
//! GET HEAD PUT DELETE  /v1/vaults/<vault>/objects/<key>      an object
//! GET                  /v1/vaults/<vault>/objects?prefix=    a page of names
//! GET                  /v1/vaults/<vault>/watch              the pulse, as server-sent events
//! POST                 /v1/vaults/<vault>/token              a token that reads for some minutes
//! GET                  /v1/vaults/<vault>                    what the vault has here
//! GET HEAD             /i/<vault>/<64 hex>.<extension>       an image, for anybody
//! GET                  /healthz /readyz /metrics
//! ```
//!
//! **What a replay can do.** Nonces are remembered by one hub, for as long as it takes their times. A
//! request that somebody took down behind the TLS can be sent again within that minute to another
//! process that goes by the same host name. A segment or an image is then put where it is. An old head
//! is put back, which costs readers nothing, since they list all segments once anything changed. An
//! old pulse is put back, which hides news until the next push from a device that had read that very
//! pulse. An object that was removed and put again within the minute is removed again, which the next
//! `verify --remote` finds. None of it shows or changes a note.

mod access;
mod body;
mod data;
mod metrics;
mod objects;
mod problem;
mod quota;
mod range;
mod room;
mod routes;
mod token;
mod watch;

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{net::TcpListener, task::JoinHandle};

#[cfg(feature = "s3")]
pub use self::data::Bucket;
pub use self::{
    access::{Presented, Proof, WINDOW, authenticate},
    data::{Data, Folder, open_data},
    quota::Quotas,
    routes::{Operation, operations},
};
use self::{metrics::Metrics, room::Rooms, routes::router, token::Tokens};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    id::VaultId,
    serving::{self, Limits},
};

/// How a hub serves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The vaults that it serves.
    pub allow: BTreeSet<VaultId>,
    /// Whether it serves any other vault as well. Default: no.
    pub allow_new: bool,
    /// What each vault may use. Default: as much as there is.
    pub quotas: Quotas,
    /// The largest image, in bytes. Default: 256 MiB.
    pub image_limit: u64,
    /// Connections at once; others wait until one ends. Default: 1024.
    pub connections: usize,
    /// How long a request may take to say what it wants, and how long a peer may neither read nor
    /// write in the middle of something. Default: 30 s.
    pub patience: Duration,
    /// How long requests in flight have to end once the hub is told to stop. Default: 20 s.
    pub grace: Duration,
    /// How often the pulse of a vault that is watched is looked up, for changes that another hub made.
    /// Default: 1 s.
    pub poll: Duration,
    /// Where time and randomness come from. Default: the machine.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow: BTreeSet::new(),
            allow_new: false,
            quotas: Quotas::default(),
            image_limit: 256 << 20,
            connections: 1024,
            patience: Duration::from_secs(30),
            grace: Duration::from_secs(20),
            poll: Duration::from_secs(1),
            clock: Arc::new(SystemClock),
        }
    }
}

/// All that requests share.
struct Hub {
    options: Options,
    data: Arc<dyn Data>,
    rooms: Rooms,
    tokens: Tokens,
    metrics: Metrics,
    /// No signature from before is taken: what this hub had seen by then, it has forgotten.
    started: Timestamp,
    stopping: tokio::sync::watch::Sender<bool>,
    /// Whether the data could be used, and when that was asked.
    ready: tokio::sync::Mutex<Option<(Timestamp, bool)>>,
}

impl Hub {
    fn serves(&self, vault: VaultId) -> bool {
        self.options.allow_new || self.options.allow.contains(&vault)
    }
}

/// A hub that serves. Dropped, it stops at once.
pub struct Server {
    address: SocketAddr,
    hub: Arc<Hub>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `data` to whoever connects to `listener`.
    ///
    /// # Errors
    ///
    /// Where the listener has no address.
    pub fn start(
        listener: TcpListener,
        data: Arc<dyn Data>,
        options: Options,
    ) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let hub = Arc::new(Hub {
            data,
            rooms: Rooms::default(),
            tokens: Tokens::new(&*options.clock),
            metrics: Metrics::default(),
            started: options.clock.now(),
            stopping: tokio::sync::watch::channel(false).0,
            ready: tokio::sync::Mutex::new(None),
            options,
        });
        let Options { connections, patience, grace, .. } = hub.options;
        let limits = Limits { connections, patience, grace };
        let (mut stopping, counting) = (hub.stopping.subscribe(), Arc::clone(&hub));
        let stop = async move {
            // Where nobody can say so any more, it is over as well.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        let connected = move |by| counting.metrics.connected(by);
        let serving = serving::serve(listener, router(Arc::clone(&hub)), limits, stop, connected);
        let task = tokio::spawn(serving);
        Ok(Self { address, hub, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, for clients on this machine.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes no more connections, lets requests in flight end for as long as
    /// [`grace`](Options::grace) says, and then ends what is left.
    pub async fn stop(mut self) {
        self.hub.stopping.send_replace(true);
        // A panic there was logged, and there is nothing left to stop.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.hub.stopping.send_replace(true);
        self.task.abort();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

/// Locks what no panic leaves half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
