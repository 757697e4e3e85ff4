//! What could not be done, as a page says it.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{guard, layout};
use crate::{
    db::DbError,
    images::ImageError,
    log::LogError,
    note::NoteError,
    vault::{VaultError, chain},
};

/// What could not be done.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    message: String,
    hint: Option<String>,
}

impl Problem {
    pub(super) fn refused(status: StatusCode, message: &str) -> Self {
        Self { status, message: message.to_owned(), hint: None }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        let status = match &error {
            VaultError::UnknownNote(_)
            | VaultError::UnknownImage(_)
            | VaultError::UnknownRemote(_)
            | VaultError::Image(ImageError::Missing { .. })
            | VaultError::Note { source: NoteError::UnknownHeads { .. }, .. } => {
                StatusCode::NOT_FOUND
            }
            VaultError::TooLong { .. } | VaultError::Image(ImageError::TooLarge { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            VaultError::Image(ImageError::NotAnImage { .. } | ImageError::Empty) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, message: chain(&error), hint: error.hint() }
    }
}

impl From<ImageError> for Problem {
    fn from(error: ImageError) -> Self {
        VaultError::from(error).into()
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        VaultError::from(error).into()
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        VaultError::from(error).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, message, hint } = self;
        if status.is_server_error() {
            tracing::warn!("{message}");
        }
        (status, layout::problem(status, &message, hint.as_deref())).into_response()
    }
}

pub(super) async fn nothing_here() -> Problem {
    guard::nothing()
}
