//! An everleaf hub as a remote: `https://HUB[/PATH]`.
//!
//! Every request is signed with a key that the vault key derives (see [`signature`]); the vault's id
//! is the public half, so a hub needs no accounts. Where several hubs serve the same data, the client
//! goes on at the next one when one fails.

mod answer;
mod events;
mod place;
pub mod signature;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

#[cfg(feature = "hub")]
pub(crate) use self::answer::REASON_HEADER;
pub use self::answer::{Problem, Reason};
pub(crate) use self::events::NO_PULSE;
pub(super) use self::place::is_hub_url;
use self::signature::{Authorization, Call};
use self::{
    answer::{NO_ROOM, Refused},
    place::{Place, is_loopback},
};
use super::{
    After, Download, Key, ListedKey, ObjectMeta, Page, Prefix, Remote, RemoteError, Upload, Watch,
    resized,
};
use crate::{
    clock::{Clock, SystemClock, fraction, random},
    seal::{Signer, VaultKey},
};

/// More than any page of a listing takes, in bytes.
const PAGE: u64 = 4 << 20;
const CHUNK: usize = 128 * 1024;
/// The slowest line that an upload is waited for, in bytes a second.
const SLOWEST: u64 = 16 * 1024;
/// How often a hub that asks for less haste is obeyed before that counts as an error.
const PATIENCE: u32 = 8;
/// A hub says more often than this that it is there.
const SILENCE: Duration = Duration::from_secs(40);

/// How to reach a hub.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// Base URLs of hubs that serve the same data, without slashes at their ends. At least one.
    pub urls: Vec<String>,
    /// Signs as the vault that is meant.
    pub signer: Signer,
    /// Where time and randomness come from. Default: the machine.
    pub clock: Arc<dyn Clock>,
    /// How long to wait for a connection. Default: 10 s.
    pub connect_timeout: Duration,
    /// How long to wait for an answer, or for more of it; uploads get more by their size. Default: 30 s.
    pub read_timeout: Duration,
}

impl HubOptions {
    /// Hubs at `urls`, with all else at its default.
    #[must_use]
    pub fn new(urls: Vec<String>, key: &VaultKey) -> Self {
        Self {
            urls,
            signer: key.signer(),
            clock: Arc::new(SystemClock),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
        }
    }
}

/// A vault on a hub, or on several that serve the same data.
pub struct Hub {
    client: Client,
    places: Vec<Place>,
    /// Which of them answered last.
    current: AtomicUsize,
    signer: Signer,
    clock: Arc<dyn Clock>,
    read_timeout: Duration,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<&str> = self.places.iter().map(|place| place.url.as_str()).collect();
        write!(f, "Hub({})", urls.join(" "))
    }
}

/// A page of a listing, as a hub writes it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WirePage {
    pub(crate) keys: Vec<WireListed>,
    pub(crate) next: Option<String>,
}

/// A row of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireListed {
    pub(crate) key: String,
    pub(crate) size: u64,
}

/// What a vault has on a hub, and may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The most objects; `None` without a limit.
    pub most_objects: Option<u64>,
    /// The most bytes; `None` without a limit.
    pub most_bytes: Option<u64>,
    /// The largest image, in bytes.
    pub largest: u64,
}

impl Usage {
    /// Whether there is room for another object of so many bytes.
    fn has_room(&self, size: u64) -> bool {
        let fits = |most: Option<u64>, value: u64| most.is_none_or(|most| value <= most);
        fits(self.most_objects, self.objects.saturating_add(1))
            && fits(self.most_bytes, self.bytes.saturating_add(size))
    }
}

/// A request, as often as it may have to be made.
struct Ask<'a> {
    method: Method,
    /// Behind the base URL.
    target: String,
    body: Option<&'a Upload>,
    /// The hash of the body.
    hash: [u8; 32],
    /// What it is about, where it is about one object.
    key: Option<&'a Key>,
    seen: Option<&'a str>,
}

/// Why one hub did not do it.
enum Failure {
    /// It could not be reached, or broke off.
    Unreachable(RemoteError),
    /// It refused.
    Refused(Refused),
    /// The request could not be made.
    Ours(RemoteError),
}

impl Hub {
    /// The hubs that `options` describe. None is asked before the first call.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Misconfigured`] where a URL is none, or there are none.
    pub fn open(options: HubOptions) -> Result<Self, RemoteError> {
        let places = options.urls.iter().map(|url| Place::new(url));
        let places: Vec<Place> = places.collect::<Result<_, _>>()?;
        if places.is_empty() {
            return Err(RemoteError::misconfigured("the hub's URL is missing"));
        }
        // Another part of the program may have chosen one, which then stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .connect_timeout(options.connect_timeout)
            // Shorter than hubs keep idle connections.
            .pool_idle_timeout(Duration::from_secs(10))
            // A hub has only so many for all of its devices.
            .pool_max_idle_per_host(2)
            .tcp_nodelay(true)
            // What is signed is for one place.
            .redirect(reqwest::redirect::Policy::none());
        if options.urls.iter().all(|url| is_loopback(url)) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| RemoteError::Misconfigured {
            advice: "no HTTPS client could be made".to_owned(),
            source: Some(error.into()),
        })?;
        Ok(Self {
            client,
            places,
            current: AtomicUsize::new(0),
            signer: options.signer,
            clock: options.clock,
            read_timeout: options.read_timeout,
        })
    }

    /// What the vault has on the hub, and may have.
    ///
    /// # Errors
    ///
    /// As those of the calls of [`Remote`].
    pub async fn usage(&self) -> Result<Usage, RemoteError> {
        let answer = self.ask(&Ask::new(Method::GET, self.path(""))).await?;
        self.read_json(answer).await
    }

    fn path(&self, below: &str) -> String {
        format!("/v1/vaults/{}{below}", self.signer.vault())
    }

    fn object<'a>(&self, method: Method, key: &'a Key) -> Ask<'a> {
        Ask { key: Some(key), ..Ask::new(method, self.path(&format!("/objects/{key}"))) }
    }

    /// Asks the hub that answered last, and the others where it fails.
    async fn ask(&self, ask: &Ask<'_>) -> Result<Response, RemoteError> {
        let (first, count) = (self.current.load(Ordering::Relaxed), self.places.len());
        let mut failed = None;
        for (index, place) in (first..first + count)
            .map(|at| at % count)
            .filter_map(|index| self.places.get(index).map(|place| (index, place)))
        {
            let error = match self.ask_one(place, ask).await {
                Ok(response) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(response);
                }
                Err(Failure::Ours(error)) => return Err(error),
                Err(Failure::Refused(refused)) if !refused.may_work_elsewhere() => {
                    return Err(refused.error(ask.key));
                }
                Err(Failure::Refused(refused)) => refused.error(ask.key),
                Err(Failure::Unreachable(error)) => error,
            };
            tracing::debug!(hub = place.url, %error, "a hub failed");
            failed = Some(error);
        }
        Err(failed.unwrap_or_else(|| RemoteError::misconfigured("the hub's URL is missing")))
    }

    /// Asks one hub: again where only our clock was off, and where it asks for less haste.
    async fn ask_one(&self, place: &Place, ask: &Ask<'_>) -> Result<Response, Failure> {
        let (mut corrected, mut waited) = (false, 0);
        loop {
            let response = self.send(place, ask).await?;
            let was_ahead = place.learn(&response, self.clock.now());
            if response.status().is_success() {
                return Ok(response);
            }
            let refused = Refused::read(response, self.read_timeout).await;
            match refused.reason {
                Some(Reason::Clock) if !corrected && was_ahead => corrected = true,
                // The answer to the first one may have been lost by something between us.
                Some(Reason::Replayed) if !corrected => corrected = true,
                _ if refused.status == StatusCode::TOO_MANY_REQUESTS && waited < PATIENCE => {
                    waited += 1;
                    let asked = refused.retry_after.unwrap_or(Duration::from_secs(1));
                    // Those that were refused together do not come back together.
                    let wait = asked.mul_f64(1.0 + fraction(&*self.clock) / 2.0);
                    self.clock.sleep(wait).await;
                }
                _ => return Err(Failure::Refused(refused)),
            }
        }
    }

    async fn send(&self, place: &Place, ask: &Ask<'_>) -> Result<Response, Failure> {
        let time = place.time(self.clock.now());
        let call = Call { method: ask.method.as_str(), host: &place.host, target: &ask.target };
        let signed = Authorization::sign(&self.signer, call, ask.hash, time, random(&*self.clock));
        let url = format!("{}{}", place.url, ask.target);
        let mut request = self
            .client
            .request(ask.method.clone(), url)
            .header(header::AUTHORIZATION, signed.to_string());
        if let Some(seen) = ask.seen {
            request = request.header("last-event-id", seen);
        }
        let mut patience = self.read_timeout;
        if let Some(body) = ask.body {
            patience += Duration::from_secs(body.size() / SLOWEST);
            request = request.header(header::CONTENT_LENGTH, body.size());
            request = request.body(body_of(body).await.map_err(Failure::Ours)?);
        }
        let offline = |source| Failure::Unreachable(RemoteError::Offline { source });
        match tokio::time::timeout(patience, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_builder() => {
                let advice = "no request could be made: check the hub's URL".to_owned();
                let source = Some(error.without_url().into());
                Err(Failure::Ours(RemoteError::Misconfigured { advice, source }))
            }
            Ok(Err(error)) => Err(offline(error.without_url().into())),
            Err(elapsed) => Err(offline(elapsed.into())),
        }
    }

    /// The body of an answer, with no long silence in it.
    fn body(&self, response: Response) -> Watched {
        let patience = self.read_timeout;
        let pieces = Box::pin(response.bytes_stream());
        stream::unfold(Some(pieces), move |pieces| async move {
            let mut pieces = pieces?;
            let piece: Result<_, RemoteError> =
                match tokio::time::timeout(patience, pieces.next()).await {
                    Ok(None) => return None,
                    Ok(Some(Ok(piece))) => Ok(piece),
                    Ok(Some(Err(error))) => Err(broken(error)),
                    Err(elapsed) => Err(RemoteError::Offline { source: elapsed.into() }),
                };
            let rest = piece.is_ok().then_some(pieces);
            Some((piece, rest))
        })
        .boxed()
    }

    async fn read_json<T: for<'de> Deserialize<'de>>(
        &self,
        response: Response,
    ) -> Result<T, RemoteError> {
        let mut body = self.body(response);
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await.transpose()? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > PAGE {
                return Err(RemoteError::Damaged { what: "a page is too long".to_owned() });
            }
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| RemoteError::Damaged { what: error.to_string() })
    }

    /// Why a large body broke off: a hub that takes no more of it closes the connection.
    async fn why_broken(&self, key: &Key, size: u64, error: RemoteError) -> RemoteError {
        match self.usage().await {
            Ok(usage) if matches!(key, Key::Image { .. }) && size > usage.largest => {
                let what = format!("the hub takes images of up to {} bytes", usage.largest);
                RemoteError::TooLarge { source: what.into() }
            }
            Ok(usage) if !usage.has_room(size) => {
                RemoteError::NoRoom { advice: NO_ROOM, source: None }
            }
            _ => error,
        }
    }
}

type Watched = stream::BoxStream<'static, Result<Bytes, RemoteError>>;

impl Ask<'_> {
    fn new(method: Method, target: String) -> Self {
        let hash = *blake3::hash(b"").as_bytes();
        Self { method, target, body: None, hash, key: None, seen: None }
    }
}

fn broken(error: reqwest::Error) -> RemoteError {
    RemoteError::Offline { source: error.without_url().into() }
}

async fn body_of(body: &Upload) -> Result<reqwest::Body, RemoteError> {
    match body {
        Upload::Bytes(bytes) => Ok(bytes.clone().into()),
        Upload::File { path, size } => {
            let file = tokio::fs::File::open(path).await.map_err(RemoteError::io(path))?;
            Ok(reqwest::Body::wrap_stream(ReaderStream::with_capacity(file.take(*size), CHUNK)))
        }
    }
}

/// The hash of what is to be put: where the name is one, that; the hub checks it.
async fn hash_of(key: &Key, body: &Upload) -> Result<[u8; 32], RemoteError> {
    match (key, body) {
        (_, Upload::Bytes(bytes)) => Ok(*blake3::hash(bytes).as_bytes()),
        (Key::Image { image, .. }, Upload::File { path, size }) => {
            let found = tokio::fs::metadata(path).await.map_err(RemoteError::io(path))?.len();
            if found != *size {
                return Err(resized(path.clone(), *size, found));
            }
            Ok(*image.as_bytes())
        }
        (_, body) => Ok(*blake3::hash(&body.clone().read().await?).as_bytes()),
    }
}

#[async_trait]
impl Remote for Hub {
    async fn get(&self, key: &Key) -> Result<Download, RemoteError> {
        let response = self.ask(&self.object(Method::GET, key)).await?;
        let size = response.content_length();
        Ok(Download { size, body: self.body(response) })
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        let response = match self.ask(&self.object(Method::HEAD, key)).await {
            Ok(response) => response,
            Err(RemoteError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let size = text(header::CONTENT_LENGTH).and_then(|size| size.parse().ok());
        let lacks_size = || RemoteError::Damaged { what: "an object has no size".to_owned() };
        Ok(Some(ObjectMeta {
            size: size.ok_or_else(lacks_size)?,
            tag: text(header::ETAG).map(|tag| tag.trim_matches('"').to_owned()),
            media_type: text(header::CONTENT_TYPE).map(str::to_owned),
        }))
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        let hash = hash_of(key, &body).await?;
        let ask = Ask { body: Some(&body), hash, ..self.object(Method::PUT, key) };
        match self.ask(&ask).await {
            Ok(_) => Ok(()),
            Err(error @ RemoteError::Offline { .. }) if body.size() > PAGE => {
                Err(self.why_broken(key, body.size(), error).await)
            }
            Err(error) => Err(error),
        }
    }

    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut target = self.path(&format!("/objects?prefix={}", encoded(&prefix.to_string())));
        if let Some(after) = after {
            target = format!("{target}&after={}", encoded(after.as_str()));
        }
        let page: WirePage =
            self.read_json(self.ask(&Ask::new(Method::GET, target)).await?).await?;
        let mut keys = Vec::with_capacity(page.keys.len());
        for WireListed { key, size } in page.keys {
            keys.extend(key.parse().ok().map(|key| ListedKey { key, size }));
        }
        Ok(Page { keys, next: page.next.map(After::name) })
    }

    async fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        match self.ask(&self.object(Method::DELETE, key)).await {
            Ok(_) | Err(RemoteError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn watch(&self, seen: Option<&str>) -> Result<Option<Watch>, RemoteError> {
        let seen = seen.map(|seen| if seen.is_empty() { NO_PULSE } else { seen });
        let ask = Ask { seen, ..Ask::new(Method::GET, self.path("/watch")) };
        let response = self.ask(&ask).await?;
        Ok(Some(events::tags(response.bytes_stream().map_err(broken).boxed(), SILENCE)))
    }
}
