//! A remote that fails on demand, for tests and simulations.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};

use super::{Call, Download, Key, Layer, Made, Remote, RemoteError};

/// In which way a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The remote cannot be reached.
    Offline,
    /// The remote asks to come back later.
    Busy,
    /// The remote denies access.
    Denied,
    /// The connection breaks after this many bytes of a body; calls other than `get` go well.
    Cut(usize),
}

/// Calls that are to fail.
#[derive(Debug, Clone)]
pub struct Fault<F = Failure> {
    /// Of this kind; `None` for any.
    pub call: Option<Call>,
    /// About a key, or a listed prefix, whose name begins with this.
    pub prefix: String,
    /// So many of them go well before.
    pub skip: u64,
    /// So many of them fail; `u64::MAX` for all until the remote is healed.
    pub times: u64,
    /// In this way.
    pub failure: F,
    /// Whether the call takes effect first, so that only the answer is lost.
    pub after_effect: bool,
}

impl<F> Fault<F> {
    /// Every call fails in this way, before it takes effect.
    #[must_use]
    pub fn always(failure: F) -> Self {
        let prefix = String::new();
        Self { call: None, prefix, skip: 0, times: u64::MAX, failure, after_effect: false }
    }

    /// The next `times` calls of one kind fail in this way, before they take effect.
    #[must_use]
    pub fn next(call: Call, times: u64, failure: F) -> Self {
        Self { call: Some(call), times, ..Self::always(failure) }
    }
}

/// All that is to fail.
#[derive(Debug)]
pub(crate) struct Faults<F>(Mutex<Vec<Fault<F>>>);

impl<F: Clone> Faults<F> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    pub(crate) fn add(&self, fault: Fault<F>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The fault that a call meets, if any: the oldest that is left and fits.
    pub(crate) fn meets(&self, call: Call, name: &str) -> Option<Fault<F>> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = faults.iter_mut().find(|fault| {
            fault.times > 0
                && fault.call.is_none_or(|wanted| wanted == call)
                && name.starts_with(&fault.prefix)
        })?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        if fault.times < u64::MAX {
            fault.times -= 1;
        }
        Some(fault.clone())
    }
}

/// A remote that fails on demand.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Remote>,
    faults: Faults<Failure>,
}

impl Faulty {
    /// A remote that is well, until it is told to fail.
    #[must_use]
    pub fn new(inner: Arc<dyn Remote>) -> Self {
        Self { inner, faults: Faults::new() }
    }

    /// Adds to what is to fail; where several faults meet one call, the oldest has it.
    pub fn fail(&self, fault: Fault) {
        self.faults.add(fault);
    }

    /// Forgets all that was to fail.
    pub fn heal(&self) {
        self.faults.clear();
    }
}

impl Failure {
    fn error(self) -> Option<RemoteError> {
        let source = "told to fail".into();
        match self {
            Self::Offline => Some(RemoteError::Offline { source }),
            Self::Busy => Some(RemoteError::Busy { retry_after: None, source }),
            Self::Denied => Some(RemoteError::Denied { source }),
            Self::Cut(_) => None,
        }
    }
}

/// Makes a call that meets this fault.
async fn suffer<T>(fault: Option<Fault>, made: &Made<'_, T>) -> Result<T, RemoteError> {
    let Some(fault) = fault else { return made().await };
    let Some(error) = fault.failure.error() else { return made().await };
    if fault.after_effect {
        made().await?;
    }
    Err(error)
}

/// `download` with all behind its first `length` bytes replaced by an error.
fn cut(download: Download, length: usize) -> Download {
    let body = stream::unfold((download.body, Some(length)), |(mut body, left)| async move {
        let left = left?;
        match body.next().await {
            Some(Ok(piece)) if piece.len() <= left => {
                let left = left - piece.len();
                Some((Ok(piece), (body, Some(left))))
            }
            Some(Ok(piece)) if left > 0 => Some((Ok(piece.slice(..left)), (body, Some(0)))),
            Some(Err(error)) => Some((Err(error), (body, None))),
            _ => {
                let source = "told to break off".into();
                Some((Err(RemoteError::Offline { source }), (body, None)))
            }
        }
    });
    Download { size: download.size, body: body.boxed() }
}

#[async_trait]
impl Layer for Faulty {
    fn inner(&self) -> &dyn Remote {
        &*self.inner
    }

    async fn around<T: Send + 'static>(
        &self,
        call: Call,
        name: &str,
        made: &Made<'_, T>,
    ) -> Result<T, RemoteError> {
        suffer(self.faults.meets(call, name), made).await
    }

    async fn get_from(&self, key: &Key, first: u64) -> Result<Download, RemoteError> {
        let got = || self.inner.get_from(key, first);
        match self.faults.meets(Call::Get, &key.to_string()) {
            Some(Fault { failure: Failure::Cut(length), .. }) => Ok(cut(got().await?, length)),
            fault => suffer(fault, &got).await,
        }
    }
}
