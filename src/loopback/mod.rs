//! An S3 server inside this process, for the demonstration and for tests.
//!
//! It listens on 127.0.0.1 only, keeps its one bucket in memory, checks signatures, and answers as
//! Cloudflare R2 does. It can be made to fail on demand, and everything it was asked is counted.

mod access;
mod bucket;
mod gate;

use std::{fmt, io, net::SocketAddr, sync::Arc};

use hyper_util::rt::TokioIo;
use s3s::service::S3ServiceBuilder;
use tokio::{
    net::TcpListener,
    task::{AbortHandle, JoinSet},
};

use self::gate::Gate;
pub use self::{
    bucket::{Object, Snapshot},
    gate::Trouble,
};
use crate::{
    clock::Clock,
    remote::{Fault, Requests},
};

const BUCKET: &str = "everleaf";
const ACCESS_KEY: &str = "LOOPBACKACCESSKEY";
const SECRET_KEY: &str = "loopback-secret-key";

/// An S3 server inside this process. It stops when this is dropped.
pub struct Loopback {
    address: SocketAddr,
    gate: Arc<Gate>,
    server: AbortHandle,
}

impl Loopback {
    /// Starts a server with one empty, private bucket on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// Where no port can be had.
    pub async fn start(clock: Arc<dyn Clock>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let bucket = Arc::new(bucket::Bucket::new(clock));
        let mut service = S3ServiceBuilder::new(bucket::Service(Arc::clone(&bucket)));
        service.set_auth(access::OneKey);
        service.set_access(access::PublicImages(Arc::clone(&bucket)));
        let gate = Arc::new(Gate::new(service.build(), bucket));
        let server = tokio::spawn(serve(listener, Arc::clone(&gate))).abort_handle();
        Ok(Self { address, gate, server })
    }

    /// The server's URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The public base URL of the bucket: [`Self::set_public`] lets anybody read its images there.
    #[must_use]
    pub fn public_url(&self) -> String {
        format!("http://{}/{BUCKET}", self.address)
    }

    /// The name of the one bucket.
    #[must_use]
    pub const fn bucket() -> &'static str {
        BUCKET
    }

    /// The id of the one access key.
    #[must_use]
    pub const fn access_key() -> &'static str {
        ACCESS_KEY
    }

    /// The secret of the one access key.
    #[must_use]
    pub const fn secret_key() -> &'static str {
        SECRET_KEY
    }

    /// How to reach the bucket, with repetitions that hardly wait.
    #[cfg(feature = "s3")]
    #[must_use]
    pub fn s3_options(&self, prefix: &str) -> crate::remote::S3Options {
        let mut options = crate::remote::S3Options::new(BUCKET, prefix);
        options.endpoint = Some(self.endpoint());
        options.credentials = crate::remote::S3Credentials::Key {
            id: ACCESS_KEY.to_owned(),
            secret: SECRET_KEY.to_owned().into(),
        };
        options.backoff = std::time::Duration::from_millis(1);
        options
    }

    /// Sets whether anybody may read what is under `images/`, whatever prefix comes before it.
    pub fn set_public(&self, public: bool) {
        self.gate.bucket.lock().public = public;
    }

    /// Sets whether a second write of one key within a second is refused, as R2 does.
    pub fn set_write_limit(&self, limited: bool) {
        self.gate.bucket.lock().limited = limited;
    }

    /// Adds to what is to fail. Uploads in parts are puts; names are those in the bucket.
    pub fn fail(&self, fault: Fault<Trouble>) {
        self.gate.faults.add(fault);
    }

    /// Forgets all that was to fail.
    pub fn heal(&self) {
        self.gate.faults.clear();
    }

    /// All requests so far, refused ones too; each request of an upload in parts is a put.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.gate.requests()
    }

    /// How often the object of this name was written.
    #[must_use]
    pub fn puts(&self, name: &str) -> u64 {
        self.gate.bucket.lock().puts.get(name).copied().unwrap_or(0)
    }

    /// How many uploads in parts were begun and neither completed nor aborted.
    #[must_use]
    pub fn unfinished_uploads(&self) -> usize {
        self.gate.bucket.lock().uploads.len()
    }

    /// Everything in the bucket, by name.
    #[must_use]
    pub fn objects(&self) -> Vec<(String, Object)> {
        self.snapshot().0.into_iter().collect()
    }

    /// One object.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<Object> {
        self.gate.bucket.lock().objects.get(name).cloned()
    }

    /// Empties the bucket.
    pub fn wipe(&self) {
        self.gate.bucket.lock().objects.clear();
    }

    /// A copy of everything in the bucket.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.gate.bucket.lock().objects.clone())
    }

    /// Puts everything back as it was.
    pub fn restore(&self, snapshot: Snapshot) {
        self.gate.bucket.lock().objects = snapshot.0;
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loopback({})", self.address)
    }
}

async fn serve(listener: TcpListener, gate: Arc<Gate>) {
    // Connections end with the set, and the set with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let gate = Arc::clone(&gate);
                let service = hyper::service::service_fn(move |request| {
                    let gate = Arc::clone(&gate);
                    async move { gate.answer(request).await }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move {
                    // A client that goes away, or that was told to be dropped, is no concern here.
                    let _ = connection.await;
                });
            }
        }
    }
}
