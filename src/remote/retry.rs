//! Repeats what failed for a reason that may pass.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Call, Layer, Made, Remote, RemoteError};
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
    /// So many calls in all, with the waits of the default.
    #[must_use]
    pub fn of(attempts: u32) -> Self {
        Self { attempts, ..Self::default() }
    }

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
}

#[async_trait]
impl Layer for Retry {
    fn inner(&self) -> &dyn Remote {
        &*self.inner
    }

    async fn around<T: Send + 'static>(
        &self,
        _: Call,
        _: &str,
        made: &Made<'_, T>,
    ) -> Result<T, RemoteError> {
        let mut failures = 0;
        loop {
            match made().await {
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
