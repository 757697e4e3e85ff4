//! A remote that fails on demand, for tests and simulations.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};

use super::{After, Download, Key, ObjectMeta, Page, Prefix, Remote, RemoteError, Upload, Watch};

/// The kinds of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// [`Remote::get`]
    Get,
    /// [`Remote::head`]
    Head,
    /// [`Remote::put`]
    Put,
    /// [`Remote::list`]
    List,
    /// [`Remote::delete`]
    Delete,
    /// [`Remote::watch`]
    Watch,
}

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

    async fn call<T>(
        &self,
        call: Call,
        name: String,
        effect: impl Future<Output = Result<T, RemoteError>> + Send,
    ) -> Result<T, RemoteError> {
        let Some(fault) = self.faults.meets(call, &name) else { return effect.await };
        let Some(error) = fault.failure.error() else { return effect.await };
        if fault.after_effect {
            effect.await?;
        }
        Err(error)
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
#[deny(clippy::missing_trait_methods)]
impl Remote for Faulty {
    async fn get(&self, key: &Key) -> Result<Download, RemoteError> {
        self.get_from(key, 0).await
    }

    async fn get_from(&self, key: &Key, first: u64) -> Result<Download, RemoteError> {
        let fault = self.faults.meets(Call::Get, &key.to_string());
        match fault.map(|fault| fault.failure) {
            None => self.inner.get_from(key, first).await,
            Some(Failure::Cut(length)) => Ok(cut(self.inner.get_from(key, first).await?, length)),
            Some(failure) => match failure.error() {
                Some(error) => Err(error),
                None => self.inner.get_from(key, first).await,
            },
        }
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        self.call(Call::Head, key.to_string(), self.inner.head(key)).await
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        self.call(Call::Put, key.to_string(), self.inner.put(key, body)).await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        self.call(Call::List, prefix.to_string(), self.inner.list(prefix, after)).await
    }

    async fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        self.call(Call::Delete, key.to_string(), self.inner.delete(key)).await
    }

    async fn watch(&self, seen: Option<&str>) -> Result<Option<Watch>, RemoteError> {
        self.call(Call::Watch, Key::Pulse.to_string(), self.inner.watch(seen)).await
    }
}
