//! The page over one's own vault, for people who would rather look than read.
//!
//! It is bound to 127.0.0.1, and answers whoever opened the URL that [`Server::url`] gives; `guard` says
//! what keeps everybody else out. Pages are drawn here and work without a network: htmx swaps parts of
//! them, told by server-sent events what has changed, and a script of our own does what htmx can't
//! (editing a text while others change it, pasting pictures).
//!
//! While it runs, the vault is kept in step with its remotes, as `everleaf sync --watch` does, unless
//! somebody switches that off.

mod asked;
mod assets;
mod chart;
mod editor;
mod events;
mod guard;
mod history;
mod images;
mod layout;
mod live;
mod log;
mod notes;
mod problem;
mod shown;
mod standing;
mod steps;
mod sync;
mod tally;

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use futures_util::future::BoxFuture;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use self::{guard::Guard, live::Live, problem::Problem, standing::Standing, tally::Tally};
pub use crate::serving::Limits;
use crate::{
    event::{RemoteName, RemoteOptions},
    id::NoteId,
    images::Stored,
    remote::Remote,
    serving,
    vault::{NOTE_LIMIT, SyncOptions, Vault, VaultError},
};

/// The port that the page has unless the caller says otherwise.
pub const PORT: u16 = 4680;

/// Opens the remote of this name and these options, each time that it is to be used anew.
pub type Connect = Arc<
    dyn Fn(RemoteName, RemoteOptions) -> BoxFuture<'static, Result<Arc<dyn Remote>, VaultError>>
        + Send
        + Sync,
>;

/// How a page is served.
#[derive(Clone)]
pub struct Options {
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// How syncs are done.
    pub sync: SyncOptions,
    /// How remotes are reached where not as [`Vault::connect`] does, with two calls at most.
    pub connect: Option<Connect>,
    /// How much it puts up with: any user of this machine can connect to it.
    pub limits: Limits,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("port", &self.port).finish_non_exhaustive()
    }
}

/// Why the page could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The port can't be had.
    #[error("port {port} of 127.0.0.1 can't be had")]
    Port {
        /// Which.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The vault can't be read.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// A page that is being served, until this is dropped or [`Server::run`] ends.
pub struct Server {
    app: Arc<App>,
    address: SocketAddr,
    listener: TcpListener,
    limits: Limits,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

/// What every part of the page works with.
struct App {
    vault: Vault,
    guard: Guard,
    live: Live,
    tally: Mutex<Tally>,
    standing: Standing,
    /// Pictures that were pasted, by the names that the texts of their notes call them.
    pictures: Mutex<BTreeMap<NoteId, BTreeMap<String, Stored>>>,
    sync: SyncOptions,
    connect: Option<Connect>,
    /// Whether the page is being closed.
    closing: watch::Sender<bool>,
}

type Shared = axum::extract::State<Arc<App>>;
type Answer<T = axum::response::Response> = Result<T, Problem>;

impl App {
    /// Runs what asks the vault where it may block.
    async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let app = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&app)).await {
            Ok(result) => result,
            Err(error) => Err(VaultError::Interrupted(error.to_string()).into()),
        }
    }
}

/// Locks what no panic leaves half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Takes the port. Nothing is answered, and nothing synced, before [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// [`WebError::Port`], or what the vault said.
    pub async fn bind(vault: Vault, options: Options) -> Result<Self, WebError> {
        let Options { port, sync, connect, limits } = options;
        let error = |source| WebError::Port { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        let guard = Guard::new(address.port(), vault.clock(), &vault.remotes()?);
        let app = App {
            live: Live::new(&vault),
            vault,
            guard,
            tally: Mutex::default(),
            standing: Standing::default(),
            pictures: Mutex::default(),
            sync,
            connect,
            closing: watch::Sender::new(false),
        };
        Ok(Self { app: Arc::new(app), address, listener, limits })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that opens the page. It holds the token that makes whoever opens it the owner of the
    /// vault, so it is for the person alone who started this.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/open?token={}", self.address, self.app.guard.token())
    }

    /// Serves the page, and keeps the vault in step with its remotes, until `stop` ends.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let Self { app, listener, limits, .. } = self;
        // They end with this future: a sync goes on where it was cut off.
        let mut tasks = JoinSet::new();
        tasks.spawn(live::follow(Arc::clone(&app)));
        tasks.spawn(steps::keep_in_step(Arc::clone(&app)));
        let (running, is_running) = watch::channel(());
        let reading = tokio::spawn(prepare_search(Arc::clone(&app), is_running));
        let router = router(&app);
        let stopping = async {
            stop.await;
            // Streams of events have no end of their own.
            app.closing.send_replace(true);
        };
        serving::serve(listener, router, limits, stopping, |_| ()).await;
        drop(running);
        // It holds the vault until it is done with the note that it reads.
        let _ = reading.await;
    }
}

/// Reads, while nobody waits for it, what the first search would have to read.
async fn prepare_search(app: Arc<App>, is_running: watch::Receiver<()>) {
    let read =
        app.ask(move |app| Ok(app.vault.prepare_search(|| is_running.has_changed().is_ok())?));
    if let Err(problem) = read.await {
        tracing::warn!(?problem, "the texts of notes can't be kept for searches");
    }
}

fn router(app: &Arc<App>) -> Router {
    // A text may take several bytes for one in JSON.
    let text = DefaultBodyLimit::max(usize::try_from(NOTE_LIMIT * 4).unwrap_or(usize::MAX));
    let pages = Router::new()
        .route("/list", get(notes::list))
        .route("/notes", post(notes::create))
        .route("/find", get(notes::find))
        .route("/note/{note}", get(notes::page))
        .route("/note/{note}/head", get(notes::head))
        .route("/note/{note}/shown", get(history::shown))
        .route("/note/{note}/edit", post(editor::edit).layer(text))
        .route("/note/{note}/picture", post(editor::picture))
        .route("/note/{note}/paste", post(editor::paste).layer(text))
        .route("/note/{note}/trash", post(notes::trash))
        .route("/note/{note}/restore", post(notes::restore))
        .route("/note/{note}/actions", get(notes::acts))
        .route("/note/{note}/go-back", post(history::go_back))
        .route("/images", get(images::page))
        .route("/images/grid", get(images::grid))
        .route("/images/retry", post(images::retry_all))
        .route("/image/{image}", get(images::file))
        .route("/images/{image}", get(images::life))
        .route("/images/{image}/story", get(images::story))
        .route("/images/{image}/retry", post(images::retry))
        .route("/sync", get(sync::page))
        .route("/sync/state", get(sync::state))
        .route("/sync/now", post(sync::now))
        .route("/sync/offline", post(sync::offline))
        .route("/standing", get(sync::standing))
        .route("/log", get(log::page))
        .route("/log/events", get(log::rows))
        .route("/events", get(events::stream))
        .route("/assets/{name}", get(assets::file));
    Router::new()
        .route("/open", get(guard::open))
        // What is nested has no page at its own root.
        .route(&app.place(""), get(notes::index))
        .nest(&format!("/{}", app.guard.prefix()), pages)
        .fallback(problem::nothing_here)
        .layer(middleware::from_fn_with_state(Arc::clone(app), guard::check))
        .with_state(Arc::clone(app))
}
