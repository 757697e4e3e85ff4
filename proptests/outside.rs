//! A store outside this process, where the environment names one; `proptests/stores.sh` starts several.
//!
//! `EVERLEAF_S3_ENDPOINT`, `EVERLEAF_S3_BUCKET`, `EVERLEAF_S3_KEY` and `EVERLEAF_S3_SECRET` name it, and
//! `EVERLEAF_S3_REGION` where it insists on one. `EVERLEAF_S3_TRUSTS_ANYBODY` says that it takes any
//! credentials. Tests write under `everleaf-test/` there, each under a prefix of its own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use everleaf::{
    clock::{SystemClock, random},
    remote::{Key, Layer, Remote, RemoteError, S3, S3Credentials, S3Options, Upload},
};

/// One of the variables that describe the store.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(format!("EVERLEAF_S3_{name}")).ok().filter(|value| !value.is_empty())
}

/// The id and the secret of the key to the store.
pub(crate) fn key() -> (String, String) {
    (variable("KEY").unwrap(), variable("SECRET").unwrap())
}

/// How to reach an empty place in the store; `None` where there is no store.
pub(crate) fn options(test: &str) -> Option<S3Options> {
    let endpoint = variable("ENDPOINT")?;
    let run = u64::from_le_bytes(random(&SystemClock));
    let mut options =
        S3Options::new(variable("BUCKET").unwrap(), format!("everleaf-test/{test}-{run:016x}"));
    let (id, secret) = key();
    options.endpoint = Some(endpoint);
    options.region = variable("REGION");
    options.credentials = S3Credentials::Key { id, secret: secret.into() };
    Some(options)
}

/// As [`options`], with a word about it where there is no store.
pub(crate) fn needed(test: &str) -> Option<S3Options> {
    let options = options(test);
    if options.is_none() {
        eprintln!("left out: EVERLEAF_S3_ENDPOINT and the rest name no store");
    }
    options
}

/// A remote that knows how often each object was put through it.
#[derive(Debug)]
pub(crate) struct Tally {
    inner: Arc<dyn Remote>,
    puts: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    pub(crate) fn new(inner: Arc<dyn Remote>) -> Self {
        Self { inner, puts: Mutex::default() }
    }

    pub(crate) async fn open(options: S3Options) -> Self {
        Self::new(Arc::new(S3::open(options).await.unwrap()))
    }

    /// How often each image was put.
    pub(crate) fn images(&self) -> BTreeMap<String, u64> {
        let mut puts = self.puts.lock().unwrap().clone();
        puts.retain(|name, _| name.starts_with("images/"));
        puts
    }
}

#[async_trait]
impl Layer for Tally {
    fn inner(&self) -> &dyn Remote {
        &*self.inner
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        *self.puts.lock().unwrap().entry(key.to_string()).or_default() += 1;
        self.inner.put(key, body).await
    }
}
