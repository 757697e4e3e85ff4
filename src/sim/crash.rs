//! How a process is killed: between two calls to a remote, or at a step of its own.

use std::{
    io::ErrorKind,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::Check;
use crate::{
    crash,
    remote::{Call, Layer, Made, Remote, RemoteError},
};

/// A remote that answers so many calls, and then never again; nor once the process is dead.
#[derive(Debug)]
pub(super) struct Severed {
    inner: Arc<dyn Remote>,
    calls: AtomicU64,
    /// Whether only what puts something counts.
    puts: bool,
    over: Arc<Notify>,
}

impl Severed {
    pub(super) fn new(inner: Arc<dyn Remote>, calls: u64, puts: bool, over: Arc<Notify>) -> Self {
        Self { inner, calls: AtomicU64::new(calls), puts, over }
    }
}

#[async_trait]
impl Layer for Severed {
    fn inner(&self) -> &dyn Remote {
        &*self.inner
    }

    async fn around<T: Send + 'static>(
        &self,
        call: Call,
        _: &str,
        made: &Made<'_, T>,
    ) -> Result<T, RemoteError> {
        if !self.puts || call == Call::Put || crash::is_spent() {
            let left =
                self.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
            if left.is_err() || crash::is_spent() {
                self.over.notify_one();
                std::future::pending::<()>().await;
            }
        }
        made().await
    }
}

/// What a kill that was prepared did.
pub(super) struct Death {
    copied: Arc<Mutex<std::io::Result<()>>>,
}

impl Death {
    /// Has the process die after so many steps of its own: what lies in `from` then goes to `grave`.
    pub(super) fn after(steps: u64, from: &Path, grave: &Path) -> Self {
        let copied = Arc::new(Mutex::new(Ok(())));
        let (from, grave) = (from.to_path_buf(), grave.to_path_buf());
        let result = Arc::clone(&copied);
        let copy = move || {
            *result.lock().unwrap_or_else(PoisonError::into_inner) = copy_folder(&from, &grave);
        };
        crash::light(steps, Box::new(copy));
        Self { copied }
    }

    /// Whether the process died before this.
    pub(super) fn came(self) -> Check<bool> {
        let came = crash::extinguish();
        std::mem::replace(
            &mut *self.copied.lock().unwrap_or_else(PoisonError::into_inner),
            Ok(()),
        )?;
        Ok(came)
    }
}

/// Copies a folder as it is.
pub(super) fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in walkdir::WalkDir::new(from) {
        let entry = match entry.map_err(std::io::Error::from) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entry => entry?,
        };
        let Ok(below) = entry.path().strip_prefix(from) else { continue };
        let target = to.join(below);
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(&target)?;
            std::fs::set_permissions(&target, entry.path().metadata()?.permissions())?;
        } else {
            match std::fs::copy(entry.path(), &target) {
                // A thread of the database cleared it away meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                copied => drop(copied?),
            }
        }
    }
    Ok(())
}
