//! A remote in front of another one.

use std::fmt;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

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

/// A call, to be made by whoever is given it.
pub type Made<'a, T> = dyn Fn() -> BoxFuture<'a, Result<T, RemoteError>> + Send + Sync + 'a;

/// A remote in front of another one: what it does not say itself is a call to that.
///
/// What it does about every call is [`around`](Self::around), and what about one kind is the method of
/// that name.
#[async_trait]
pub trait Layer: fmt::Debug + Send + Sync {
    /// The remote behind it.
    fn inner(&self) -> &dyn Remote;

    /// Makes a call, as often as it likes. `name` is that of the key or of the listed prefix.
    async fn around<T: Send + 'static>(
        &self,
        call: Call,
        name: &str,
        made: &Made<'_, T>,
    ) -> Result<T, RemoteError> {
        let _ = (call, name);
        made().await
    }

    /// [`Remote::get_from`], and [`Remote::get`] from the first byte on.
    async fn get_from(&self, key: &Key, first: u64) -> Result<Download, RemoteError> {
        self.around(Call::Get, &key.to_string(), &|| self.inner().get_from(key, first)).await
    }

    /// [`Remote::head`]
    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        self.around(Call::Head, &key.to_string(), &|| self.inner().head(key)).await
    }

    /// [`Remote::put`]
    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        self.around(Call::Put, &key.to_string(), &|| self.inner().put(key, body.clone())).await
    }

    /// [`Remote::list`]
    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        self.around(Call::List, &prefix.to_string(), &|| self.inner().list(prefix, after)).await
    }

    /// [`Remote::delete`]
    async fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        self.around(Call::Delete, &key.to_string(), &|| self.inner().delete(key)).await
    }

    /// [`Remote::watch`]
    async fn watch(&self, seen: Option<&str>) -> Result<Option<Watch>, RemoteError> {
        self.around(Call::Watch, &Key::Pulse.to_string(), &|| self.inner().watch(seen)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Layer> Remote for L {
    async fn get(&self, key: &Key) -> Result<Download, RemoteError> {
        Layer::get_from(self, key, 0).await
    }

    async fn get_from(&self, key: &Key, first: u64) -> Result<Download, RemoteError> {
        Layer::get_from(self, key, first).await
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        Layer::head(self, key).await
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        Layer::put(self, key, body).await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        Layer::list(self, prefix, after).await
    }

    async fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        Layer::delete(self, key).await
    }

    async fn watch(&self, seen: Option<&str>) -> Result<Option<Watch>, RemoteError> {
        Layer::watch(self, seen).await
    }
}
