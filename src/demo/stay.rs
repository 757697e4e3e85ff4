//! The devices after the story, for people to look at and to write on.

use std::{fmt, sync::Arc};

use futures_util::FutureExt as _;

use super::{DemoError, Home, Stage};
use crate::{
    loopback::Loopback,
    remote::{Remote, S3},
    vault::{SyncOptions, VaultError},
    web::{self, Connect, Server},
};

/// Both devices, each with a page of its own, over the store in this process.
pub struct Stay {
    pages: [(&'static str, Server); 2],
    // They end after the pages do.
    _store: Arc<Loopback>,
    _home: Home,
}

impl fmt::Debug for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.pages).finish()
    }
}

impl Stay {
    pub(super) async fn new(stage: Stage, home: Home) -> Result<Self, DemoError> {
        let Stage { store, laptop, phone, .. } = stage;
        let store = Arc::new(store);
        let names = [laptop.name, phone.name];
        let [laptop, phone] = [serve(laptop, &store).await?, serve(phone, &store).await?];
        let [first, second] = names;
        Ok(Self { pages: [(first, laptop), (second, phone)], _store: store, _home: home })
    }

    /// What the devices are called, and the URLs that open their pages.
    pub fn urls(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.pages.iter().map(|(name, server)| (*name, server.url()))
    }

    /// Serves both pages until `stop` ends.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) {
        let stop = stop.boxed().shared();
        let [(_, laptop), (_, phone)] = self.pages;
        tokio::join!(laptop.run(stop.clone()), phone.run(stop));
    }
}

async fn serve(device: super::Device, store: &Arc<Loopback>) -> Result<Server, DemoError> {
    let vault = device.wait_for_people()?;
    let store = Arc::clone(store);
    let connect: Connect = Arc::new(move |remote, _| {
        let options = store.s3_options("");
        async move {
            match S3::open(options).await {
                Ok(opened) => Ok(Arc::new(opened) as Arc<dyn Remote>),
                Err(source) => Err(VaultError::Remote { remote, source }),
            }
        }
        .boxed()
    });
    let options = web::Options {
        port: 0,
        sync: SyncOptions::default(),
        connect: Some(connect),
        limits: web::Limits::default(),
    };
    Server::bind(vault, options).await.map_err(DemoError::Web)
}
