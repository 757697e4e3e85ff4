//! What a vault may use, and what it has used.

use std::{sync::Arc, time::Duration};

use super::problem::Problem;
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

/// The count of one vault, made by listing it when it is first needed.
#[derive(Debug, Default)]
pub(super) struct Account(tokio::sync::Mutex<Option<(Timestamp, Used)>>);

/// How a put changes what a vault has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth {
    objects: u64,
    more: u64,
    less: u64,
}

impl Account {
    pub(super) async fn used(
        &self,
        remote: &Arc<dyn Remote>,
        now: Timestamp,
    ) -> Result<Used, RemoteError> {
        let mut account = self.0.lock().await;
        counted(&mut account, remote, now).await
    }

    /// Reserves room for an object; gives what to take back where it is not put after all.
    pub(super) async fn reserve(
        &self,
        quotas: Quotas,
        remote: &Arc<dyn Remote>,
        key: &Key,
        size: u64,
        now: Timestamp,
    ) -> Result<Option<Growth>, Problem> {
        if quotas.bytes.is_none() && quotas.objects.is_none() {
            return Ok(None);
        }
        let mut account = self.0.lock().await;
        let used = counted(&mut account, remote, now).await?;
        let there = remote.head(key).await?.map(|meta| meta.size);
        let growth = Growth {
            objects: u64::from(there.is_none()),
            more: size.saturating_sub(there.unwrap_or(0)),
            less: there.unwrap_or(0).saturating_sub(size),
        };
        let after = used.after(growth);
        let over = |limit: Option<u64>, value| limit.is_some_and(|limit| value > limit);
        // What makes a vault smaller, or leaves it as it is, is always taken.
        let grows = growth.objects > 0 || growth.more > 0;
        if grows && (over(quotas.bytes, after.bytes) || over(quotas.objects, after.objects)) {
            let detail = format!("it has {} objects of {} bytes in all", used.objects, used.bytes);
            return Err(Problem::new(Reason::Quota, detail));
        }
        if let Some((_, used)) = account.as_mut() {
            *used = after;
        }
        Ok(Some(growth))
    }

    /// Takes back what was reserved.
    pub(super) async fn release(&self, growth: Growth) {
        if let Some((_, used)) = self.0.lock().await.as_mut() {
            used.objects = used.objects.saturating_sub(growth.objects);
            used.bytes = used.bytes.saturating_sub(growth.more).saturating_add(growth.less);
        }
    }

    /// Forgets the count: something went.
    pub(super) async fn recount(&self) {
        *self.0.lock().await = None;
    }
}

async fn counted(
    account: &mut Option<(Timestamp, Used)>,
    remote: &Arc<dyn Remote>,
    now: Timestamp,
) -> Result<Used, RemoteError> {
    if let Some((at, used)) = account
        && now.since(*at) < RECOUNT
    {
        return Ok(*used);
    }
    let mut used = Used::default();
    for prefix in [Prefix::Heads, Prefix::Logs, Prefix::Checkpoints, Prefix::Images] {
        for listed in remote.list_all(&prefix, None).await? {
            used.objects += 1;
            used.bytes = used.bytes.saturating_add(listed.size);
        }
    }
    for key in [Key::Vault, Key::Pulse] {
        if let Some(meta) = remote.head(&key).await? {
            used.objects += 1;
            used.bytes = used.bytes.saturating_add(meta.size);
        }
    }
    *account = Some((now, used));
    Ok(used)
}

impl Used {
    fn after(self, growth: Growth) -> Self {
        Self {
            objects: self.objects + growth.objects,
            bytes: self.bytes.saturating_add(growth.more).saturating_sub(growth.less),
        }
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
