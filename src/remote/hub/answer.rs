//! What a hub's refusal means.

use std::time::Duration;

use reqwest::{Response, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::super::{Key, RemoteError, Source};

/// No hub is believed that it needs longer than this.
const LONGEST: Duration = Duration::from_hours(1);
/// The header that says why; answers to `HEAD` have nothing else.
pub(crate) const REASON_HEADER: &str = "everleaf-reason";
/// More than any refusal takes, in bytes.
const PROBLEM: usize = 64 * 1024;

/// What to do where a quota is used up.
pub(super) const NO_ROOM: &str =
    "the vault has used up its room on the hub: ask whoever runs it for more";

/// Why a hub refused, by what the client can do; part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// The request makes no sense.
    BadRequest,
    /// There is no such place on a hub, or not for this method.
    NoRoute,
    /// The object is not there.
    NotFound,
    /// The request is not signed as it should be.
    Unsigned,
    /// The time that was signed is not the hub's.
    Clock,
    /// The request was made before.
    Replayed,
    /// This hub does not serve the vault.
    NotServed,
    /// The bytes are not those that were signed, or not those that the name is the hash of.
    Mismatch,
    /// The object is larger than the hub takes.
    TooLarge,
    /// The part that was asked for is not in the object.
    Range,
    /// The vault has used up its room on this hub.
    Quota,
    /// The vault makes too many requests.
    TooMany,
    /// The request came too slowly.
    TooSlow,
    /// The hub's own storage is in trouble.
    Storage,
    /// The hub is stopping, or has too much to do.
    Stopping,
}

impl Reason {
    /// As it is written, in `code` and in the header.
    #[must_use]
    pub fn code(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|code| Some(code.as_str()?.to_owned()))
            .unwrap_or_default()
    }

    fn parse(code: &str) -> Option<Self> {
        serde_json::from_value(code.into()).ok()
    }
}

/// A refusal as the hub writes it: `application/problem+json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    /// Why.
    pub code: Reason,
    /// The HTTP status.
    pub status: u16,
    /// In short, for people.
    pub title: String,
    /// What to do, for people.
    #[serde(default)]
    pub detail: String,
    /// By which the hub's log knows it.
    #[serde(default)]
    pub request_id: String,
}

/// What a hub answered, in short.
#[derive(Debug, thiserror::Error)]
#[error("the hub answered {status}{text}")]
struct Answer {
    status: u16,
    text: String,
}

/// A call that was refused.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) reason: Option<Reason>,
    problem: Option<Problem>,
    pub(super) retry_after: Option<Duration>,
}

impl Refused {
    /// Reads a refusal; not more of it than it should have, and for no longer than `patience`. What
    /// the header says counts also where the body does not come.
    pub(super) async fn read(mut response: Response, patience: Duration) -> Self {
        let status = response.status();
        let after = response.headers().get(header::RETRY_AFTER);
        let seconds = after.and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST));
        let reason = response.headers().get(REASON_HEADER);
        let reason = reason.and_then(|value| Reason::parse(value.to_str().ok()?));
        let mut body = Vec::new();
        let until = tokio::time::Instant::now() + patience;
        while let Ok(Ok(Some(piece))) = tokio::time::timeout_at(until, response.chunk()).await {
            if body.len() + piece.len() > PROBLEM {
                break;
            }
            body.extend_from_slice(&piece);
        }
        Self { status, reason, problem: serde_json::from_slice(&body).ok(), retry_after }
    }

    /// Whether another hub over the same data may do what this one did not.
    pub(super) fn may_work_elsewhere(&self) -> bool {
        matches!(self.status.as_u16(), 500 | 502..=504)
    }

    /// The error that this is; `key` is what was asked for.
    pub(super) fn error(self, key: Option<&Key>) -> RemoteError {
        let reason = self.reason;
        let text = match &self.problem {
            Some(problem) => {
                let short = |text: &str| text.chars().take(300).collect::<String>();
                let dash = if problem.detail.is_empty() { "" } else { ": " };
                format!(": {}{dash}{}", short(&problem.title), short(&problem.detail))
            }
            None => String::new(),
        };
        let source: Source = Answer { status: self.status.as_u16(), text }.into();
        let misconfigured = |advice: &str| advice.to_owned();
        let advice = match (reason, self.status.as_u16(), key) {
            (Some(Reason::NotFound), _, Some(key)) => return RemoteError::NotFound { key: *key },
            (Some(Reason::TooLarge), _, _) | (None, 413, _) => {
                return RemoteError::TooLarge { source };
            }
            (Some(Reason::NotServed), ..) => {
                misconfigured("the hub does not serve this vault: ask whoever runs it to allow it")
            }
            (Some(Reason::Unsigned), ..) => misconfigured(
                "the hub does not accept our signature: a proxy before it has to pass on the path \
                 and the header `Host` as they are",
            ),
            (Some(Reason::Quota), ..) => {
                return RemoteError::NoRoom { advice: NO_ROOM, source: Some(source) };
            }
            (Some(Reason::Mismatch | Reason::Clock | Reason::Replayed | Reason::TooSlow), ..)
            | (_, 408 | 425 | 429 | 500..=599, _) => {
                return RemoteError::Busy { retry_after: self.retry_after, source };
            }
            _ => misconfigured("there is no everleaf hub at this URL, or it is another version"),
        };
        RemoteError::Misconfigured { advice, source: Some(source) }
    }
}
