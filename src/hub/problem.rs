//! Refusals, as `application/problem+json`.

use std::time::Duration;

use axum::{body::Body, response::Response};
use hyper::{StatusCode, header};

use crate::{
    remote::{
        RemoteError,
        hub::{REASON_HEADER, Reason},
    },
    vault::chain,
};

/// A refusal on its way out.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) reason: Reason,
    detail: String,
    retry_after: Option<Duration>,
    status: Option<StatusCode>,
}

impl Problem {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), retry_after: None, status: None }
    }

    /// Says when to come back.
    pub(super) fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The path is one of ours, and the method is not.
    pub(super) fn no_method() -> Self {
        let status = Some(StatusCode::METHOD_NOT_ALLOWED);
        Self { status, ..Reason::NoRoute.into() }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status.unwrap_or(match self.reason {
            Reason::BadRequest => StatusCode::BAD_REQUEST,
            Reason::NoRoute | Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::Unsigned | Reason::Clock | Reason::Replayed => StatusCode::UNAUTHORIZED,
            Reason::NotServed => StatusCode::FORBIDDEN,
            Reason::Mismatch => StatusCode::UNPROCESSABLE_ENTITY,
            Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::Range => StatusCode::RANGE_NOT_SATISFIABLE,
            Reason::Quota => StatusCode::INSUFFICIENT_STORAGE,
            Reason::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Reason::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Reason::Storage => StatusCode::BAD_GATEWAY,
            Reason::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        })
    }

    pub(super) fn into_response(self, request_id: &str) -> Response {
        let status = self.status();
        let problem = crate::remote::hub::Problem {
            code: self.reason,
            status: status.as_u16(),
            title: title(self.reason).to_owned(),
            detail: self.detail,
            request_id: request_id.to_owned(),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/problem+json")
            // Some caches keep what is missing.
            .header(header::CACHE_CONTROL, "no-store")
            .header(REASON_HEADER, self.reason.code());
        if let Some(wait) = self.retry_after {
            // Whole seconds, and not too few.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            response = response.header(header::RETRY_AFTER, seconds.to_string());
        }
        if status == StatusCode::UNAUTHORIZED {
            response = response.header(header::WWW_AUTHENTICATE, "Everleaf");
        }
        response.body(Body::from(body)).unwrap_or_default()
    }
}

fn title(reason: Reason) -> &'static str {
    match reason {
        Reason::BadRequest => "the request makes no sense",
        Reason::NoRoute => "there is nothing of that kind here",
        Reason::NotFound => "there is no such object",
        Reason::Unsigned => "the request is not signed with the vault's key",
        Reason::Clock => "the request was not signed just now, by this hub's clock",
        Reason::Replayed => "the request was made before",
        Reason::NotServed => "this hub does not serve the vault",
        Reason::Mismatch => "the bytes are not those that were announced",
        Reason::TooLarge => "the object is too large",
        Reason::Range => "the object has no such part",
        Reason::Quota => "the vault has used up its room here",
        Reason::TooMany => "the vault makes too many requests",
        Reason::TooSlow => "the request came too slowly",
        Reason::Storage => "the hub's own storage is in trouble",
        Reason::Stopping => "the hub is stopping or has too much to do",
    }
}

impl From<Reason> for Problem {
    fn from(reason: Reason) -> Self {
        Self::new(reason, "")
    }
}

/// What the storage could not do. What it said is for the hub's log alone.
impl From<RemoteError> for Problem {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::NotFound { .. } => Reason::NotFound.into(),
            RemoteError::TooLarge { .. } => Reason::TooLarge.into(),
            error => {
                tracing::warn!(error = chain(&error), "the storage failed");
                match error {
                    RemoteError::Busy { retry_after: Some(wait), .. } => {
                        Self::from(Reason::Storage).after(wait)
                    }
                    _ => Reason::Storage.into(),
                }
            }
        }
    }
}
