//! How this process stands with its remotes, beside what the log says.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::sync::watch;

use super::lock;
use crate::{
    event::RemoteName,
    remote::{Counted, Requests},
};

/// How this process stands with its remotes.
#[derive(Default)]
pub(super) struct Standing {
    /// Whether a person holds syncs and uploads back.
    held: watch::Sender<bool>,
    /// Moved on where a sync is to begin at once.
    asked: watch::Sender<u64>,
    /// Moved on where a remote came, changed or went.
    described: watch::Sender<u64>,
    remotes: Mutex<BTreeMap<RemoteName, Exchange>>,
}

/// What came of exchanges with one remote.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange {
    /// What is being done.
    pub(super) doing: Option<String>,
    /// Why the last sync did not come to its end.
    pub(super) trouble: Option<String>,
    /// What the last sync could not read.
    pub(super) problems: Vec<String>,
    /// Syncs that came to their end.
    pub(super) syncs: u64,
    /// What connections that were given up have asked.
    before: Requests,
    connection: Option<Arc<Counted>>,
}

impl Exchange {
    /// What the remote was asked since the page was opened.
    pub(super) fn requests(&self) -> Requests {
        let now = self.connection.as_ref().map(|counted| counted.requests()).unwrap_or_default();
        let Requests { get, head, put, list, delete } = self.before;
        Requests {
            get: get + now.get,
            head: head + now.head,
            put: put + now.put,
            list: list + now.list,
            delete: delete + now.delete,
        }
    }

    pub(super) fn connected(&mut self, counted: Arc<Counted>) {
        self.before = self.requests();
        self.connection = Some(counted);
    }
}

impl Standing {
    /// Whether a person holds syncs and uploads back.
    pub(super) fn is_held(&self) -> bool {
        *self.held.borrow()
    }

    /// Holds syncs and uploads back, or lets them go on.
    pub(super) fn toggle(&self) {
        self.held.send_modify(|held| *held = !*held);
    }

    /// Has every remote be synced with at once.
    pub(super) fn ask(&self) {
        self.asked.send_modify(|asked| *asked += 1);
    }

    /// Has what a remote is be looked at again.
    pub(super) fn describe(&self) {
        self.described.send_modify(|described| *described += 1);
    }

    /// Tells when a remote came, changed or went.
    pub(super) fn described(&self) -> watch::Receiver<u64> {
        self.described.subscribe()
    }

    pub(super) fn of(&self, remote: &str) -> Exchange {
        let name = remote.parse::<RemoteName>().ok();
        name.and_then(|name| lock(&self.remotes).get(&name).cloned()).unwrap_or_default()
    }

    pub(super) fn change(&self, remote: &RemoteName, change: impl FnOnce(&mut Exchange)) {
        change(lock(&self.remotes).entry(remote.clone()).or_default());
    }

    /// Ends once nobody holds syncs back.
    pub(super) async fn free(&self) {
        // The sender lives as long as this.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
    }

    /// Ends once somebody holds syncs back, or asks for one.
    pub(super) fn interrupted(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut held, mut asked) = (self.held.subscribe(), self.asked.subscribe());
        asked.mark_unchanged();
        async move {
            tokio::select! {
                _ = held.wait_for(|held| *held) => {}
                _ = asked.changed() => {}
            }
        }
    }
}
