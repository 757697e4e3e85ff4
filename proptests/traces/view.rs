//! A remote of which somebody sees only so much as has reached them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use everleaf::{
    id::DeviceId,
    remote::{After, Key, Layer, Page, Prefix, Remote, RemoteError},
};

/// Shows segments of some devices up to a number, as a folder does whose files arrive late.
#[derive(Debug)]
pub(super) struct View {
    inner: Arc<dyn Remote>,
    shown: Mutex<BTreeMap<DeviceId, u64>>,
}

impl View {
    pub(super) fn new(inner: Arc<dyn Remote>) -> Self {
        Self { inner, shown: Mutex::default() }
    }

    /// Shows the segments of a device up to this one.
    pub(super) fn show(&self, device: DeviceId, segment: u64) {
        self.shown.lock().unwrap().insert(device, segment);
    }

    pub(super) fn show_all(&self) {
        self.shown.lock().unwrap().clear();
    }

    fn is_shown(&self, key: &Key) -> bool {
        let Key::Segment { device, seq, .. } = key else { return true };
        self.shown.lock().unwrap().get(device).is_none_or(|last| seq <= last)
    }
}

#[async_trait]
impl Layer for View {
    fn inner(&self) -> &dyn Remote {
        &*self.inner
    }

    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        let mut page = self.inner.list(prefix, after).await?;
        page.keys.retain(|listed| self.is_shown(&listed.key));
        Ok(page)
    }
}
