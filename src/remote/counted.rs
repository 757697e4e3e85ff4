//! Counts the calls to a remote: what a provider charges for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{After, Download, Key, ObjectMeta, Page, Prefix, Remote, RemoteError, Upload, Watch};

/// How many calls of each kind were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Requests {
    /// Objects read.
    pub get: u64,
    /// Objects asked after.
    pub head: u64,
    /// Objects written.
    pub put: u64,
    /// Pages listed.
    pub list: u64,
    /// Objects removed.
    pub delete: u64,
}

/// A remote whose calls are counted, failed ones too.
#[derive(Debug)]
pub struct Counted {
    inner: Arc<dyn Remote>,
    get: AtomicU64,
    head: AtomicU64,
    put: AtomicU64,
    list: AtomicU64,
    delete: AtomicU64,
}

impl Counted {
    /// Counts from zero the calls to `inner` that are made by way of this.
    #[must_use]
    pub fn new(inner: Arc<dyn Remote>) -> Self {
        let zero = AtomicU64::default;
        Self { inner, get: zero(), head: zero(), put: zero(), list: zero(), delete: zero() }
    }

    /// The calls so far.
    #[must_use]
    pub fn requests(&self) -> Requests {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Requests {
            get: count(&self.get),
            head: count(&self.head),
            put: count(&self.put),
            list: count(&self.list),
            delete: count(&self.delete),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Remote for Counted {
    async fn get(&self, key: &Key) -> Result<Download, RemoteError> {
        self.get_from(key, 0).await
    }

    async fn get_from(&self, key: &Key, first: u64) -> Result<Download, RemoteError> {
        self.get.fetch_add(1, Ordering::Relaxed);
        self.inner.get_from(key, first).await
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        self.head.fetch_add(1, Ordering::Relaxed);
        self.inner.head(key).await
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        self.put.fetch_add(1, Ordering::Relaxed);
        self.inner.put(key, body).await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        self.list.fetch_add(1, Ordering::Relaxed);
        self.inner.list(prefix, after).await
    }

    async fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        self.delete.fetch_add(1, Ordering::Relaxed);
        self.inner.delete(key).await
    }

    /// Not counted: it is one request, however much it tells.
    async fn watch(&self, seen: Option<&str>) -> Result<Option<Watch>, RemoteError> {
        self.inner.watch(seen).await
    }
}
