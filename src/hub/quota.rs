//! What a vault may use, and what it has used.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{lock, problem::Problem};
use crate::{
    clock::Timestamp,
    remote::{Key, Prefix, Remote, RemoteError, RemoteExt as _, hub::Reason},
};

/// What each vault may use; `None` for as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quotas {
    /// Bytes of objects.
    pub bytes: Option<u64>,
    /// Objects.
    pub objects: Option<u64>,
    /// Requests a second, over some seconds.
    pub requests: Option<u32>,
}

impl Quotas {
    /// Whether a vault that has this much has more than it may.
    fn are_passed(self, used: Used) -> bool {
        let over = |limit: Option<u64>, value| limit.is_some_and(|limit| value > limit);
        over(self.bytes, used.bytes) || over(self.objects, used.objects)
    }
}

/// After so long, what a vault has is counted anew: another hub may have taken something for it.
const RECOUNT: Duration = Duration::from_mins(5);
/// So many seconds' worth of requests may come at once.
const BURST: f64 = 5.0;

/// What a vault has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Used {
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

/// The count of one vault, made by listing it when it is first needed, and what is on its way besides.
#[derive(Debug, Default)]
pub(super) struct Account {
    count: tokio::sync::Mutex<Count>,
    /// What is being put. A listing may show it or not, so it is no part of the count.
    pending: Mutex<Used>,
    /// Whether something went, or may have come, that was not counted.
    stale: AtomicBool,
}

#[derive(Debug, Default)]
struct Count {
    /// What a listing showed, and what was put since.
    known: Option<(Timestamp, Used)>,
    /// How often it was counted.
    times: u64,
    /// Whether something was on its way when it was counted, and has been added since: the listing may have shown it,
    /// so that there may be more room than it seems.
    at_most: bool,
}

/// How a put changes what a vault has.
#[derive(Debug, Clone, Copy)]
struct Growth {
    objects: u64,
    more: u64,
    less: u64,
}

/// Room for an object that is being put. Dropped, it is given back.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    account: &'a Account,
    growth: Growth,
    /// By which count there was room.
    times: u64,
    /// Whether it may have been put, and has not been counted.
    in_doubt: bool,
}

impl Account {
    pub(super) async fn used(
        &self,
        remote: &Arc<dyn Remote>,
        now: Timestamp,
    ) -> Result<Used, RemoteError> {
        let mut count = self.count.lock().await;
        if count.at_most {
            count.known = None;
        }
        self.counted(&mut count, remote, now).await
    }

    /// Reserves room for an object of a vault, which may have no place yet.
    pub(super) async fn reserve(
        &self,
        quotas: Quotas,
        remote: Option<&Arc<dyn Remote>>,
        key: &Key,
        size: u64,
        now: Timestamp,
    ) -> Result<Reserved<'_>, Problem> {
        let mut count = self.count.lock().await;
        let (mut used, there) = match remote {
            Some(remote) => {
                let used = self.counted(&mut count, remote, now).await?;
                (used, remote.head(key).await?.map(|meta| meta.size))
            }
            None => (Used::default(), None),
        };
        let growth = Growth {
            objects: u64::from(there.is_none()),
            more: size.saturating_sub(there.unwrap_or(0)),
            less: there.unwrap_or(0).saturating_sub(size),
        };
        // What makes a vault smaller, or leaves it as it is, is always taken.
        let grows = growth.objects > 0 || growth.more > 0;
        let is_full = |used: Used, pending: Used| {
            let after = used.plus(pending).plus(growth.reserved());
            grows && quotas.are_passed(after)
        };
        let on_its_way = *lock(&self.pending);
        if count.at_most
            && is_full(used, on_its_way)
            && let Some(remote) = remote
        {
            count.known = None;
            used = self.counted(&mut count, remote, now).await?;
        }
        let mut pending = lock(&self.pending);
        if is_full(used, *pending) {
            let detail = format!("it has {} objects of {} bytes in all", used.objects, used.bytes);
            return Err(Problem::new(Reason::Quota, detail));
        }
        *pending = pending.plus(growth.reserved());
        Ok(Reserved { account: self, growth, times: count.times, in_doubt: false })
    }

    /// Has all be counted anew before the count is used again.
    pub(super) fn recount(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    async fn counted(
        &self,
        count: &mut Count,
        remote: &Arc<dyn Remote>,
        now: Timestamp,
    ) -> Result<Used, RemoteError> {
        if self.stale.swap(false, Ordering::Relaxed) {
            count.known = None;
        }
        if let Some((at, used)) = count.known
            && now.since(at) < RECOUNT
        {
            return Ok(used);
        }
        let used = list(remote).await?;
        count.known = Some((now, used));
        count.times += 1;
        count.at_most = false;
        Ok(used)
    }
}

impl Reserved<'_> {
    /// The object is about to be put.
    pub(super) const fn begin(&mut self) {
        self.in_doubt = true;
    }

    /// The object was put.
    pub(super) async fn keep(mut self) {
        let account = self.account;
        let mut count = account.count.lock().await;
        // It was on its way when all was counted: nobody can tell whether that count has it.
        let is_certain = count.times == self.times;
        count.at_most |= !is_certain;
        if let Some((_, used)) = &mut count.known {
            *used = used.plus(self.growth.reserved());
            if is_certain {
                used.bytes = used.bytes.saturating_sub(self.growth.less);
            }
        }
        self.in_doubt = false;
        // While nobody else can look at both.
        drop(self);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut pending = lock(&self.account.pending);
        *pending = pending.less(self.growth.reserved());
        // A put that failed, or that nobody waited for any more, may have taken effect all the same.
        if self.in_doubt {
            self.account.recount();
        }
    }
}

/// Counts what a vault has.
async fn list(remote: &Arc<dyn Remote>) -> Result<Used, RemoteError> {
    let mut used = Used::default();
    for prefix in [Prefix::Heads, Prefix::Logs, Prefix::Checkpoints, Prefix::Images] {
        for listed in remote.list_all(&prefix, None).await? {
            used = used.plus(Used { objects: 1, bytes: listed.size });
        }
    }
    for key in [Key::Vault, Key::Pulse] {
        if let Some(meta) = remote.head(&key).await? {
            used = used.plus(Used { objects: 1, bytes: meta.size });
        }
    }
    Ok(used)
}

impl Used {
    const fn plus(self, more: Self) -> Self {
        Self { objects: self.objects + more.objects, bytes: self.bytes.saturating_add(more.bytes) }
    }

    const fn less(self, less: Self) -> Self {
        Self {
            objects: self.objects.saturating_sub(less.objects),
            bytes: self.bytes.saturating_sub(less.bytes),
        }
    }
}

impl Growth {
    /// What has to be free for it.
    const fn reserved(self) -> Used {
        Used { objects: self.objects, bytes: self.more }
    }
}

/// A bucket of tokens: as many requests as come in at some rate, and a burst.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// Requests that were made and not yet made up for.
    spent: f64,
    at: Timestamp,
}

impl Rate {
    /// Counts a request, or says how long to wait for the next.
    pub(super) fn take(&mut self, rate: u32, now: Timestamp) -> Result<(), Duration> {
        let rate = f64::from(rate.max(1));
        self.spent = (self.spent - now.since(self.at).as_secs_f64() * rate).max(0.0);
        self.at = now;
        let most = (rate * BURST).max(1.0);
        if self.spent + 1.0 > most {
            return Err(Duration::from_secs_f64((self.spent + 1.0 - most) / rate));
        }
        self.spent += 1.0;
        Ok(())
    }
}
