//! A remote in memory, for tests and simulations.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    After, Download, Key, ListedKey, ObjectMeta, Page, Prefix, Remote, RemoteError, Upload,
};

/// A remote in memory. Clones share their objects.
#[derive(Clone)]
pub struct Memory {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    page: usize,
}

impl Memory {
    /// An empty remote, which lists a thousand keys at a time, as S3 does.
    #[must_use]
    pub fn new() -> Self {
        Self::with_page(1000)
    }

    /// An empty remote, which lists at most `page` objects at a time.
    #[must_use]
    pub fn with_page(page: usize) -> Self {
        Self { objects: Arc::default(), page: page.max(1) }
    }

    /// All it holds, by name.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, Bytes> {
        self.lock().clone()
    }

    /// Makes `objects` all it holds; their names need not be keys.
    pub fn restore(&self, objects: BTreeMap<String, Bytes>) {
        *self.lock() = objects;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} objects)", self.lock().len())
    }
}

#[async_trait]
impl Remote for Memory {
    async fn get(&self, key: &Key) -> Result<Download, RemoteError> {
        let found = self.lock().get(&key.to_string()).cloned();
        found.map(Download::from).ok_or(RemoteError::NotFound { key: *key })
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        let found = self.lock().get(&key.to_string()).cloned();
        Ok(found.map(|bytes| ObjectMeta {
            size: bytes.len() as u64,
            tag: Some(blake3::hash(&bytes).to_string()),
            media_type: Some(key.content_type().to_owned()),
        }))
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        let bytes = body.read().await?;
        self.lock().insert(key.to_string(), bytes);
        Ok(())
    }

    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        let prefix = prefix.to_string();
        let from = match after.map(After::as_str) {
            Some(after) if after >= prefix.as_str() => Bound::Excluded(after),
            _ => Bound::Included(prefix.as_str()),
        };
        let objects = self.lock();
        let mut rest = objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(&prefix))
            .peekable();
        let (mut keys, mut last) = (Vec::new(), None);
        for (name, bytes) in rest.by_ref().take(self.page) {
            keys.extend(name.parse().ok().map(|key| ListedKey { key, size: bytes.len() as u64 }));
            last = Some(name);
        }
        let next = rest.peek().and(last).map(After::name);
        Ok(Page { keys, next })
    }

    async fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        self.lock().remove(&key.to_string());
        Ok(())
    }
}
