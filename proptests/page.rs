//! A page that is served in this process, and requests to it as bytes on the wire, so that a test says
//! exactly what an attacker would.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use everleaf::{
    clock::SystemClock,
    event::{RemoteName, RemoteOptions},
    loopback::Loopback,
    remote::{Dir, Remote, S3},
    vault::{Options, SyncOptions, Vault, VaultError},
    web::{self, Connect, Limits, Server},
};
use futures_util::FutureExt as _;
use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Every value of a header, joined.
    pub(crate) fn header(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(known, _)| known == name);
        values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Sends a request with exactly these headers, and reads the answer to its end.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = BufReader::new(open(address, method, path, headers, body));
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let status = line().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = std::iter::from_fn(|| Some(line()))
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let mut answer = Answer { status, headers, body: Vec::new() };
    // Not every server closes the connection, though it is asked to.
    match answer.header("content-length").parse() {
        Ok(length) => {
            answer.body.resize(length, 0);
            stream.read_exact(&mut answer.body).unwrap();
        }
        Err(_) => drop(stream.read_to_end(&mut answer.body).unwrap()),
    }
    answer
}

/// Sends a request and leaves the answer to be read.
fn open(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    // No test waits for this: it ends one that would wait for ever.
    stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    write!(request, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    // One that is refused may be so before it was read.
    let _ = stream.write_all(body);
    stream
}

/// The remote of the pages.
pub(crate) fn origin() -> RemoteName {
    "origin".parse().unwrap()
}

/// Whoever opened a page.
pub(crate) struct Session {
    pub(crate) address: SocketAddr,
    pub(crate) prefix: String,
    pub(crate) cookie: String,
}

/// A device whose page is served, with a store that it meets others at.
pub(crate) struct Page {
    pub(crate) vault: Vault,
    pub(crate) url: String,
    session: Session,
    pub(crate) store: Arc<Loopback>,
    limits: Limits,
    serving: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    runtime: Option<Runtime>,
    _home: tempfile::TempDir,
}

impl Page {
    /// A page over a new vault that has a public store for its remote.
    pub(crate) fn new() -> Self {
        Self::limited(Limits::default())
    }

    /// The same, with other limits than people have.
    pub(crate) fn limited(limits: Limits) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
        let home = tempfile::tempdir().unwrap();
        let options = Options { image_limit: 1 << 20, ..Options::default() };
        let vault = Vault::create(&home.path().join("vault"), "laptop", None, options).unwrap();
        let (server, store) = runtime.block_on(async {
            let store = Arc::new(Loopback::start(Arc::new(SystemClock)).await.unwrap());
            store.set_public(true);
            add_remote(&vault, &store).await;
            (bind(&vault, &store, 0, limits).await, store)
        });
        let (url, address) = (server.url(), server.address());
        let serving = Some(serve(&runtime, server));
        let session = Session::open(&url);
        assert_eq!(session.address, address);
        let runtime = Some(runtime);
        Self { vault, url, session, store, limits, serving, runtime, _home: home }
    }

    /// Has it end as Ctrl-C does, and waits for that.
    pub(crate) fn stop(&mut self) {
        let (stop, serving) = self.serving.take().unwrap();
        stop.send(()).unwrap();
        self.run(serving).unwrap();
    }

    /// Ends, and is started again at the same port.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let server = self.run(bind(&self.vault, &self.store, self.address.port(), self.limits));
        self.url = server.url();
        self.serving = Some(serve(self.runtime.as_ref().unwrap(), server));
        self.session = Session::open(&self.url);
    }

    /// Another device of the vault, which is no page.
    pub(crate) fn phone(&self) -> Phone<'_> {
        let home = tempfile::tempdir().unwrap();
        let key = Some(self.vault.key().clone());
        let folder = home.path().join("phone");
        let vault = Vault::create(&folder, "phone", key, Options::default()).unwrap();
        self.run(add_remote(&vault, &self.store));
        Phone { page: self, vault, _home: home }
    }

    /// Has the vault meet others in a folder as well.
    pub(crate) fn add_folder(&self, name: &RemoteName, path: &Path, public_url: &str) {
        self.run(async {
            let remote = Arc::new(Dir::create(path).await.unwrap());
            let described = RemoteOptions {
                url: format!("dir:{}", path.display()),
                public_url: Some(public_url.to_owned()),
                ..RemoteOptions::default()
            };
            self.vault.add_remote(name.clone(), described, remote).await.unwrap();
        });
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.as_ref().unwrap().block_on(future)
    }
}

impl std::ops::Deref for Page {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

async fn bind(vault: &Vault, store: &Arc<Loopback>, port: u16, limits: Limits) -> Server {
    let (sync, connect) = (SyncOptions::default(), Some(connect(store)));
    Server::bind(vault.clone(), web::Options { port, sync, connect, limits }).await.unwrap()
}

/// Serves until it is told to stop, or the page is dropped.
fn serve(runtime: &Runtime, server: Server) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = runtime.spawn(server.run(async move {
        let _ = stopped.await;
    }));
    (stop, serving)
}

impl Session {
    /// Opens a page by the address that was printed.
    pub(crate) fn open(url: &str) -> Self {
        let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut session =
            Self { address: host.parse().unwrap(), prefix: String::new(), cookie: String::new() };
        let opened = session.plain("GET", &format!("/{path}"), &[]);
        assert_eq!(opened.status, 200, "{}", opened.text());
        let cookie = opened.header("set-cookie");
        let path = cookie.split("Path=/").nth(1).unwrap();
        path.split('/').next().unwrap().clone_into(&mut session.prefix);
        cookie.split(';').next().unwrap().clone_into(&mut session.cookie);
        session
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// A request that names the right host, and no cookie.
    pub(crate) fn plain(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let host = self.host();
        let headers = [&[("Host", host.as_str())], headers].concat();
        send(self.address, method, path, &headers, b"")
    }

    /// What the page itself would ask for.
    pub(crate) fn get(&self, path: &str) -> Answer {
        let path = format!("/{}/{path}", self.prefix);
        self.plain("GET", &path, &[("Cookie", &self.cookie), ("Sec-Fetch-Site", "same-origin")])
    }

    /// What the page itself would send.
    pub(crate) fn post(&self, path: &str, kind: &str, body: &[u8]) -> Answer {
        let (host, path) = (self.host(), format!("/{}/{path}", self.prefix));
        let headers = [
            ("Host", host.as_str()),
            ("Cookie", &self.cookie),
            ("Origin", &format!("http://{host}")),
            ("Sec-Fetch-Site", "same-origin"),
            ("Content-Type", kind),
        ];
        send(self.address, "POST", &path, &headers, body)
    }

    /// Connects, and says half of what it wants.
    pub(crate) fn half_say(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        // As in `open`.
        stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
        stream
    }

    /// Where the page that is drawn now listens.
    pub(crate) fn stream(&self) -> String {
        let drawn = self.get("").text();
        let (_, stream) = drawn.split_once("sse-connect=\"").unwrap();
        stream.split_once('"').unwrap().0.replace("&amp;", "&")
    }

    /// Listens as a page does that is drawn now.
    pub(crate) fn listen(&self) -> impl Iterator<Item = String> + use<> {
        self.listen_to(&self.stream())
    }

    /// Listens as an open page does; the lines that name events.
    pub(crate) fn listen_to(&self, stream: &str) -> impl Iterator<Item = String> + use<> {
        let (host, path) = (self.host(), format!("/{}/{stream}", self.prefix));
        let headers = [("Host", host.as_str()), ("Cookie", &self.cookie)];
        let mut lines = BufReader::new(open(self.address, "GET", &path, &headers, b"")).lines();
        // The head of the answer comes when somebody listens.
        assert!(lines.next().unwrap().unwrap().contains("200"));
        lines
            .map_while(Result::ok)
            .filter_map(|line| Some(line.strip_prefix("event: ")?.to_owned()))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.serving.take().map(|(stop, _)| stop.send(()));
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Another device.
pub(crate) struct Phone<'a> {
    page: &'a Page,
    pub(crate) vault: Vault,
    _home: tempfile::TempDir,
}

impl Phone<'_> {
    pub(crate) fn sync(&self) {
        self.page.run(async {
            let remote =
                connect(&self.page.store)(origin(), RemoteOptions::default()).await.unwrap();
            let options = SyncOptions::default();
            self.vault.sync(&origin(), remote, &options, &|_| ()).await.unwrap();
        });
    }
}

async fn add_remote(vault: &Vault, store: &Arc<Loopback>) {
    let remote = connect(store)(origin(), RemoteOptions::default()).await.unwrap();
    let described = RemoteOptions {
        url: format!("s3://{}", Loopback::bucket()),
        endpoint: Some(store.endpoint()),
        public_url: Some(store.public_url()),
        ..RemoteOptions::default()
    };
    vault.add_remote(origin(), described, remote).await.unwrap();
}

fn connect(store: &Arc<Loopback>) -> Connect {
    let store = Arc::clone(store);
    Arc::new(move |remote, described| {
        let options = store.s3_options("");
        async move {
            let opened = match described.url.strip_prefix("dir:") {
                Some(path) => Dir::open(path).await.map(|dir| Arc::new(dir) as Arc<dyn Remote>),
                None => S3::open(options).await.map(|bucket| Arc::new(bucket) as _),
            };
            opened.map_err(|source| VaultError::Remote { remote, source })
        }
        .boxed()
    })
}
