//! What a hub remembers of a vault while it is in use: nothing that may not be forgotten.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    Hub,
    access::{Nonces, Proof},
    lock,
    problem::Problem,
    quota::{Account, Rate},
};
use crate::{
    clock::Timestamp,
    id::VaultId,
    remote::{Remote, RemoteError, hub::Reason},
};

/// Vaults that are remembered at once; a bound on memory where anybody may bring a vault.
const MOST: usize = 100_000;
/// After so long without a request, a vault is forgotten.
const IDLE: Duration = Duration::from_mins(10);

/// What is remembered of a vault.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) vault: VaultId,
    pub(super) account: Account,
    /// The tag of the pulse as it was last seen; who watches waits for it.
    pub(super) pulse: tokio::sync::watch::Sender<String>,
    pub(super) watchers: AtomicUsize,
    /// Whether somebody looks up the pulse.
    pub(super) polled: Mutex<bool>,
    remote: Mutex<Option<Arc<dyn Remote>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    nonces: Nonces,
    rate: Rate,
    used: Timestamp,
}

impl Room {
    fn new(vault: VaultId) -> Self {
        Self {
            vault,
            account: Account::default(),
            pulse: tokio::sync::watch::channel(String::new()).0,
            watchers: AtomicUsize::new(0),
            polled: Mutex::new(false),
            remote: Mutex::new(None),
            state: Mutex::default(),
        }
    }

    fn is_idle(&self, now: Timestamp) -> bool {
        let mut state = lock(&self.state);
        state.nonces.forget(now);
        state.nonces.is_empty()
            && self.watchers.load(Ordering::Relaxed) == 0
            && now.since(state.used) > IDLE
    }

    /// Where the vault's objects are; `None` where it has no place yet and none is to be made.
    pub(super) async fn remote(
        &self,
        hub: &Hub,
        make: bool,
    ) -> Result<Option<Arc<dyn Remote>>, RemoteError> {
        // Asked each time: what was there may have been taken away.
        let found = hub.data.vault(self.vault, make).await?;
        let mut known = lock(&self.remote);
        if found.is_none() {
            *known = None;
            self.account.recount();
        }
        // The one that is known clears away what crashes left once, not with every request.
        Ok(found.map(|found| Arc::clone(known.get_or_insert(found))))
    }
}

/// All vaults in use.
#[derive(Debug, Default)]
pub(super) struct Rooms(Mutex<HashMap<VaultId, Arc<Room>>>);

impl Rooms {
    /// The room of a vault whose key somebody has shown. Images that anybody may see are had without one, and
    /// so without a limit: what is public is for a proxy to limit, and to cache.
    pub(super) fn enter(&self, vault: VaultId, now: Timestamp) -> Result<Arc<Room>, Problem> {
        let mut rooms = lock(&self.0);
        if let Some(room) = rooms.get(&vault) {
            return Ok(Arc::clone(room));
        }
        if rooms.len() >= MOST {
            rooms.retain(|_, room| Arc::strong_count(room) > 1 || !room.is_idle(now));
        }
        if rooms.len() >= MOST {
            return Err(Problem::from(Reason::Stopping).after(IDLE));
        }
        let room = Arc::new(Room::new(vault));
        rooms.insert(vault, Arc::clone(&room));
        Ok(room)
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.0).len()
    }

    pub(super) fn watchers(&self) -> usize {
        lock(&self.0).values().map(|room| room.watchers.load(Ordering::Relaxed)).sum()
    }
}

impl Room {
    /// Counts a request against the vault's rate, and sees to it that it is made once.
    pub(super) fn admit(
        &self,
        proof: &Proof,
        rate: Option<u32>,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let mut state = lock(&self.state);
        state.used = now;
        if let Some(rate) = rate
            && let Err(wait) = state.rate.take(rate, now)
        {
            return Err(Problem::from(Reason::TooMany).after(wait));
        }
        match proof {
            Proof::Token(_) => Ok(()),
            Proof::Signed(signed) => match state.nonces.spend(signed.nonce, now) {
                Err(Reason::TooMany) => {
                    Err(Problem::from(Reason::TooMany).after(Duration::from_secs(5)))
                }
                spent => spent.map_err(Problem::from),
            },
        }
    }
}
