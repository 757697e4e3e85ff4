//! The same storm with a hub in between: devices talk HTTP, and the hostile remote is the hub's storage.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::TcpListener;

use super::{Check, device::Device};
use crate::{
    hub::{Data, Options, Server},
    id::VaultId,
    remote::{Hub, HubOptions, Remote, RemoteError},
    seal::VaultKey,
};

/// A hub whose every vault is one remote.
#[derive(Debug)]
pub(super) struct Behind(Server);

#[derive(Debug)]
struct Storage(Arc<dyn Remote>);

#[async_trait]
impl Data for Storage {
    async fn vault(&self, _: VaultId, _: bool) -> Result<Option<Arc<dyn Remote>>, RemoteError> {
        Ok(Some(Arc::clone(&self.0)))
    }

    async fn check(&self) -> Result<(), RemoteError> {
        Ok(())
    }
}

impl Behind {
    pub(super) async fn new(remote: Arc<dyn Remote>) -> Check<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let options = Options { allow_new: true, ..Options::default() };
        Ok(Self(Server::start(listener, Arc::new(Storage(remote)), options)?))
    }

    /// What a device talks to, by its own clock, wrong as that may be.
    pub(super) fn handle(&self, device: &Device, key: &VaultKey) -> Check<Arc<dyn Remote>> {
        let clock = device.clock();
        let options = HubOptions { clock, ..HubOptions::new(vec![self.0.url()], key) };
        Ok(Arc::new(Hub::open(options)?))
    }
}
