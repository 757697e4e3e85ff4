//! Repeats what failed for a reason that may pass.

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{After, Download, Key, ObjectMeta, Page, Prefix, Remote, RemoteError, Upload, Watch};
use crate::clock::{self, Clock};

/// How often a call is made before its error counts, and how long is waited in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Calls in all, the first included.
    pub attempts: u32,
    /// The longest wait after the first failure; it doubles with each.
    pub base: Duration,
    /// The longest wait of all.
    pub cap: Duration,
}

/// Three attempts, waiting up to 0.5 s, then up to 1 s.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 3, base: Duration::from_millis(500), cap: Duration::from_secs(20) }
    }
}

impl RetryPolicy {
    /// How long to wait after `failures` in a row: exponential, with full jitter, so that many
    /// devices that failed together do not come back together.
    fn wait(&self, failures: u32, error: &RemoteError, clock: &dyn Clock) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let longest = self.base.saturating_mul(doubled).min(self.cap);
        let asked = match error {
            RemoteError::Busy { retry_after: Some(asked), .. } => (*asked).min(self.cap),
            _ => Duration::ZERO,
        };
        longest.mul_f64(clock::fraction(clock)).max(asked)
    }
}

/// A remote whose calls are repeated after a transient error.
///
/// A body that breaks off while it is read is not: whoever reads it knows what to do with the half.
#[derive(Debug)]
pub struct Retry {
    inner: Arc<dyn Remote>,
    policy: RetryPolicy,
    clock: Arc<dyn Clock>,
}

impl Retry {
    /// Repeats calls to `inner` as `policy` says.
    #[must_use]
    pub fn new(inner: Arc<dyn Remote>, policy: RetryPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { inner, policy, clock }
    }

    async fn repeat<T, F>(&self, call: impl Fn() -> F + Send) -> Result<T, RemoteError>
    where
        F: Future<Output = Result<T, RemoteError>> + Send,
    {
        let mut failures = 0;
        loop {
            match call().await {
                Err(error) if error.is_transient() && failures + 1 < self.policy.attempts => {
                    failures += 1;
                    let wait = self.policy.wait(failures, &error, &*self.clock);
                    self.clock.sleep(wait).await;
                }
                result => return result,
            }
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Remote for Retry {
    async fn get(&self, key: &Key) -> Result<Download, RemoteError> {
        self.get_from(key, 0).await
    }

    async fn get_from(&self, key: &Key, first: u64) -> Result<Download, RemoteError> {
        self.repeat(|| self.inner.get_from(key, first)).await
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        self.repeat(|| self.inner.head(key)).await
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        self.repeat(|| self.inner.put(key, body.clone())).await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        self.repeat(|| self.inner.list(prefix, after)).await
    }

    async fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        self.repeat(|| self.inner.delete(key)).await
    }

    async fn watch(&self, seen: Option<&str>) -> Result<Option<Watch>, RemoteError> {
        self.repeat(|| self.inner.watch(seen)).await
    }
}
