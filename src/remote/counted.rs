//! Counts the calls to a remote: what a provider charges for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Call, Layer, Made, Remote, RemoteError};

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
impl Layer for Counted {
    fn inner(&self) -> &dyn Remote {
        &*self.inner
    }

    async fn around<T: Send + 'static>(
        &self,
        call: Call,
        _: &str,
        made: &Made<'_, T>,
    ) -> Result<T, RemoteError> {
        let counter = match call {
            Call::Get => &self.get,
            Call::Head => &self.head,
            Call::Put => &self.put,
            Call::List => &self.list,
            Call::Delete => &self.delete,
            // Not counted: it is one request, however much it tells.
            Call::Watch => return made().await,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        made().await
    }
}
