//! One hub: where it is, and what time it has.

use std::sync::atomic::{AtomicI64, Ordering};

use reqwest::Response;

use super::{super::RemoteError, signature::TIME_HEADER};
use crate::clock::Timestamp;

/// One hub.
pub(super) struct Place {
    /// Without a slash at its end.
    pub(super) url: String,
    /// As the header of that name has it.
    pub(super) host: String,
    /// How far its clock is ahead of ours, in milliseconds.
    ahead: AtomicI64,
}

impl Place {
    pub(super) fn new(url: &str) -> Result<Self, RemoteError> {
        let no_url = || {
            RemoteError::misconfigured(
                "this is no hub's URL: write `https://HOST[/PATH]`; `http:` is for this machine alone",
            )
        };
        let parsed = reqwest::Url::parse(url).map_err(|_| no_url())?;
        let host = parsed.host_str().filter(|_| is_hub_url(url)).ok_or_else(no_url)?;
        let host = match parsed.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { url, host, ahead: AtomicI64::new(0) })
    }

    /// The time there, as far as it is known, when ours is `now`.
    pub(super) fn time(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add(self.ahead.load(Ordering::Relaxed)))
    }

    /// Takes note of the hub's time. Gives whether it was told.
    pub(super) fn learn(&self, response: &Response, now: Timestamp) -> bool {
        let told = response.headers().get(TIME_HEADER).and_then(|value| value.to_str().ok());
        let Some(time) = told.and_then(|text| text.parse::<i64>().ok()) else { return false };
        self.ahead.store(time.saturating_sub(now.0), Ordering::Relaxed);
        true
    }
}

/// Whether a text is the URL of a hub: `https`, or `http` on this machine, and nothing behind the path.
pub(in super::super) fn is_hub_url(url: &str) -> bool {
    let Ok(parsed) = reqwest::Url::parse(url) else { return false };
    let plain = parsed.username().is_empty()
        && parsed.password().is_none()
        && parsed.query().is_none()
        && parsed.fragment().is_none()
        && parsed.host_str().is_some();
    plain && (parsed.scheme() == "https" || is_loopback(url))
}

pub(super) fn is_loopback(url: &str) -> bool {
    let Ok(parsed) = reqwest::Url::parse(url) else { return false };
    let host = parsed.host_str().unwrap_or_default();
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    parsed.scheme() == "http"
        && (host == "localhost" || address.is_some_and(|address| address.is_loopback()))
}
