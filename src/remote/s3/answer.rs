//! What a store's refusal means.

use std::{error::Error, iter, time::Duration};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
};

use super::super::{RemoteError, Source};

/// No store is believed that it needs longer than this.
const LONGEST: Duration = Duration::from_hours(1);

/// What a store answered, in short. The rest of the answer may hold what was signed.
#[derive(Debug, thiserror::Error)]
#[error("the store answered {status}{}{code}{message}", if code.is_empty() { "" } else { " " })]
struct Answer {
    status: u16,
    code: String,
    message: String,
    /// What the SDK made of it, where the store gave no code.
    source: Option<Source>,
}

/// An error of the SDK that can be told by what the caller can do.
pub(super) trait Problem {
    fn translate(self, bucket: &str) -> RemoteError;
}

/// Whether an object, and not its bucket, is missing. What answers 404 and does not say so as a store does
/// is something else, such as a proxy.
pub(super) fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    has_status(error, 404) && code == Some("NoSuchKey")
}

/// Whether a store answered with this status.
pub(super) fn has_status<E>(error: &SdkError<E, HttpResponse>, status: u16) -> bool {
    error.raw_response().is_some_and(|response| response.status().as_u16() == status)
}

impl<E> Problem for SdkError<E, HttpResponse>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn translate(self, bucket: &str) -> RemoteError {
        let Some(response) = self.raw_response() else { return unanswered(self) };
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|text| text.parse().ok());
        let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds).min(LONGEST));
        let short = |text: &str| text.chars().take(200).collect::<String>();
        let meta = self.as_service_error();
        let code = short(meta.and_then(ProvideErrorMetadata::code).unwrap_or_default());
        let message = meta.and_then(ProvideErrorMetadata::message);
        let message = message.map(|text| format!(": {}", short(text))).unwrap_or_default();
        let source = if code.is_empty() { self.into_source().ok() } else { None };
        answered(Answer { status, code, message, source }, retry_after, bucket)
    }
}

fn answered(answer: Answer, retry_after: Option<Duration>, bucket: &str) -> RemoteError {
    let (status, code) = (answer.status, answer.code.clone());
    let source: Source = answer.into();
    match (status, code.as_str()) {
        (_, "NoSuchBucket") => RemoteError::NoBucket { bucket: bucket.to_owned() },
        (_, "EntityTooLarge") | (413, _) => RemoteError::TooLarge { source },
        // What was answered well, or was sent, but was cut short or made no sense, may come whole another time;
        // and a token that has expired may have been renewed.
        (
            _,
            "SlowDown" | "TooManyRequests" | "RequestTimeout" | "NoSuchUpload" | "IncompleteBody"
            | "BadDigest" | "ExpiredToken",
        )
        | (200..=299 | 408 | 409 | 425 | 429 | 500 | 502..=599, _) => {
            RemoteError::Busy { retry_after, source }
        }
        (401 | 403, _) => RemoteError::Denied { source },
        (300..=399, _) | (_, "AuthorizationHeaderMalformed" | "InvalidRegionName") => {
            RemoteError::Misconfigured {
                advice: "the bucket is in another region: set the region and the endpoint".into(),
                source: Some(source),
            }
        }
        _ => RemoteError::Misconfigured {
            advice:
                "the server does not take our requests: check that the endpoint is an S3 store's"
                    .into(),
            source: Some(source),
        },
    }
}

/// An error of a request that no answer came to.
fn unanswered<E>(error: SdkError<E, HttpResponse>) -> RemoteError
where
    E: Error + Send + Sync + 'static,
{
    let made = match &error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::DispatchFailure(failure) => !failure.is_user(),
        _ => true,
    };
    let source = error.into_source().unwrap_or_else(Into::into);
    let first: Option<&(dyn Error + 'static)> = Some(&*source);
    let cause = iter::successors(first, |&error| error.source())
        .find_map(|error| error.downcast_ref::<CredentialsError>());
    let advice = match cause {
        Some(CredentialsError::ProviderTimedOut(_)) => return RemoteError::Offline { source },
        Some(cause) => {
            // A page of all the places that were looked in.
            tracing::debug!("no credentials: {}", DisplayErrorContext(cause));
            let advice = "no credentials for the store: set AWS_ACCESS_KEY_ID and \
                          AWS_SECRET_ACCESS_KEY, or name a profile of ~/.aws";
            return RemoteError::Misconfigured { advice: advice.into(), source: None };
        }
        None if made => return RemoteError::Offline { source },
        None => "no request could be made: check the endpoint, the region and the bucket's name",
    };
    RemoteError::Misconfigured { advice: advice.into(), source: Some(source) }
}
