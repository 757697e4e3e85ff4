//! Telling who watches: at once of what comes through this hub, within a poll of what comes through
//! others.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::stream;
use hyper::{HeaderMap, header};

use super::{
    Hub,
    access::Proof,
    lock,
    objects::{build, pulse},
    problem::Problem,
    room::Room,
};
use crate::{
    clock::{Clock, Timestamp},
    remote::{Remote, hub::Reason},
};

/// The most that watch one vault at once.
const MOST: usize = 256;
/// How often who watches is told that the hub is there.
const ALIVE: Duration = Duration::from_secs(15);

/// One who watches, while it lives.
struct Watcher(Arc<Room>);

impl Watcher {
    fn new(room: &Arc<Room>) -> Result<Self, Problem> {
        let watcher = Self(Arc::clone(room));
        if room.watchers.fetch_add(1, Ordering::Relaxed) < MOST {
            Ok(watcher)
        } else {
            Err(Problem::from(Reason::TooMany).after(ALIVE))
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a stream of events goes on with.
struct Telling {
    _watcher: Watcher,
    told: Option<String>,
    pulse: tokio::sync::watch::Receiver<String>,
    stopping: tokio::sync::watch::Receiver<bool>,
    /// When the token is over that lets them watch, if it is one.
    until: Option<Timestamp>,
    clock: Arc<dyn Clock>,
    begun: bool,
}

impl Room {
    /// Something was put: has those who watch told.
    pub(super) async fn beat(&self, remote: &Arc<dyn Remote>) {
        if self.watchers.load(Ordering::Relaxed) == 0 {
            return;
        }
        // Where that fails, the next poll sees it.
        if let Ok(tag) = pulse(&**remote).await {
            self.tell(tag);
        }
    }

    fn tell(&self, tag: String) {
        self.pulse.send_if_modified(|told| {
            let is_new = *told != tag;
            *told = tag;
            is_new
        });
    }
}

impl Hub {
    /// The pulse of a vault as server-sent events: the one now, unless the client has seen it, and
    /// each later one, for as long as a token is good where one was shown.
    pub(super) async fn watch(
        self: &Arc<Self>,
        room: &Arc<Room>,
        proof: &Proof,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let watcher = Watcher::new(room)?;
        // Before the pulse is asked for, so that none is missed in between.
        let receiver = room.pulse.subscribe();
        match room.remote(self, false).await? {
            Some(remote) => room.tell(pulse(&*remote).await?),
            None => room.tell(crate::remote::hub::NO_PULSE.to_owned()),
        }
        self.poll(room);
        let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok());
        let telling = Telling {
            _watcher: watcher,
            told: seen.map(str::to_owned),
            pulse: receiver,
            stopping: self.stopping.subscribe(),
            until: match proof {
                Proof::Signed(_) => None,
                Proof::Token(until) => Some(*until),
            },
            clock: Arc::clone(&self.options.clock),
            begun: false,
        };
        let response = Response::builder()
            .header(header::CONTENT_TYPE, "text/event-stream")
            .header(header::CACHE_CONTROL, "no-store")
            // Proxies that keep answers back until they are long enough.
            .header("x-accel-buffering", "no");
        build(response, Body::from_stream(stream::unfold(telling, tell)))
    }

    /// Sees to it that somebody looks up the pulse for as long as anybody watches.
    fn poll(self: &Arc<Self>, room: &Arc<Room>) {
        if std::mem::replace(&mut *lock(&room.polled), true) {
            return;
        }
        let (hub, room) = (Arc::clone(self), Arc::clone(room));
        tokio::spawn(async move {
            let mut stopping = hub.stopping.subscribe();
            loop {
                tokio::select! {
                    () = hub.options.clock.sleep(hub.options.poll) => {}
                    _ = stopping.wait_for(|stopping| *stopping) => return,
                }
                {
                    let mut polled = lock(&room.polled);
                    if room.watchers.load(Ordering::Relaxed) == 0 {
                        *polled = false;
                        return;
                    }
                }
                // What fails now may work the next time.
                if let Ok(Some(remote)) = room.remote(&hub, false).await
                    && let Ok(tag) = pulse(&*remote).await
                {
                    room.tell(tag);
                }
            }
        });
    }
}

/// The next piece of a stream of events.
async fn tell(mut telling: Telling) -> Option<(Result<Bytes, Infallible>, Telling)> {
    if !std::mem::replace(&mut telling.begun, true) {
        // So that the client knows that it is heard.
        return Some((Ok(Bytes::from_static(b": here\n\n")), telling));
    }
    loop {
        // Looked at before anything is told, which is every few seconds.
        if telling.until.is_some_and(|until| telling.clock.now() > until) {
            return None;
        }
        let now = telling.pulse.borrow_and_update().clone();
        if telling.told.as_ref() != Some(&now) {
            let event = format!("id: {now}\nevent: pulse\ndata: {now}\n\n");
            telling.told = Some(now);
            return Some((Ok(event.into()), telling));
        }
        let Telling { pulse, stopping, .. } = &mut telling;
        let is_quiet = tokio::select! {
            changed = pulse.changed() => changed.map(|()| false).ok()?,
            _ = stopping.wait_for(|stopping| *stopping) => return None,
            () = tokio::time::sleep(ALIVE) => true,
        };
        if is_quiet {
            return Some((Ok(Bytes::from_static(b": alive\n\n")), telling));
        }
    }
}
