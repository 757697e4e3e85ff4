//! How a process is killed while it syncs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use everleaf::remote::{
    After, Download, Key, ObjectMeta, Page, Prefix, Remote, RemoteError, Upload,
};
use tokio::sync::Notify;

/// A remote that answers so many calls, and then never again.
#[derive(Debug)]
pub(super) struct Fuse {
    pub(super) inner: Arc<dyn Remote>,
    pub(super) calls: AtomicU64,
    pub(super) spent: Arc<Notify>,
}

impl Fuse {
    async fn burn(&self) {
        let left =
            self.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if left.is_err() {
            self.spent.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Remote for Fuse {
    async fn get(&self, key: &Key) -> Result<Download, RemoteError> {
        self.burn().await;
        self.inner.get(key).await
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        self.burn().await;
        self.inner.head(key).await
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        self.burn().await;
        self.inner.put(key, body).await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        self.burn().await;
        self.inner.list(prefix, after).await
    }

    async fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        self.burn().await;
        self.inner.delete(key).await
    }
}
