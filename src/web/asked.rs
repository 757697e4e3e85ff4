//! What an address asks for; where that is nothing that is here, the answer is a page like all others.

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use super::{guard, problem::Problem};

/// A part of the path, as `axum` has it.
pub(super) struct Path<T>(pub(super) T);

/// What stands behind the `?`, as `axum` has it.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let asked = axum::extract::Path::from_request_parts(parts, state).await;
        asked.map(|axum::extract::Path(asked)| Self(asked)).map_err(|_| guard::nothing())
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let asked = axum::extract::Query::from_request_parts(parts, state).await;
        asked.map(|axum::extract::Query(asked)| Self(asked)).map_err(|_| {
            let message = "The address asks for something that this page can't show.";
            Problem::refused(StatusCode::BAD_REQUEST, message)
        })
    }
}
