//! What a store's refusal means.

use std::{error::Error, time::Duration};

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use super::super::{RemoteError, Source};

/// What a store answered, in short. The rest of the answer may hold what was signed.
#[derive(Debug, thiserror::Error)]
#[error("the store answered {status} {code}{message}")]
struct Answer {
    status: u16,
    code: String,
    message: String,
}

/// An error of the SDK that can be told by what the caller can do.
pub(super) trait Problem {
    fn translate(self, bucket: &str) -> RemoteError;
}

/// Whether an object, and not its bucket, is missing. Answers to `head` do not tell which.
pub(super) fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    status == Some(404) && code != Some("NoSuchBucket")
}

impl<E> Problem for SdkError<E, HttpResponse>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn translate(self, bucket: &str) -> RemoteError {
        let Some(response) = self.raw_response() else { return unanswered(self) };
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|text| text.parse().ok());
        let retry_after = retry_after.map(Duration::from_secs);
        let short = |text: &str| text.chars().take(200).collect::<String>();
        let meta = self.as_service_error();
        let code = short(meta.and_then(ProvideErrorMetadata::code).unwrap_or_default());
        let message = meta.and_then(ProvideErrorMetadata::message);
        let message = message.map(|text| format!(": {}", short(text))).unwrap_or_default();
        answered(Answer { status, code, message }, retry_after, bucket)
    }
}

fn answered(answer: Answer, retry_after: Option<Duration>, bucket: &str) -> RemoteError {
    let (status, code) = (answer.status, answer.code.clone());
    let source: Source = answer.into();
    match (status, code.as_str()) {
        (_, "NoSuchBucket") => RemoteError::NoBucket { what: format!("the bucket `{bucket}`") },
        (_, "EntityTooLarge") | (413, _) => RemoteError::TooLarge { source },
        (_, "SlowDown" | "TooManyRequests" | "RequestTimeout" | "NoSuchUpload")
        | (408 | 409 | 425 | 429 | 500 | 502..=599, _)
        // Answered well, but what came of it was cut short or made no sense.
        | (200..=299, _) => RemoteError::Busy { retry_after, source },
        (401 | 403, _) => RemoteError::Denied { source },
        (300..=399, _) | (_, "AuthorizationHeaderMalformed" | "InvalidRegionName") => {
            RemoteError::Misconfigured {
                advice: "the bucket is in another region: set the region and the endpoint".into(),
                source: Some(source),
            }
        }
        _ => RemoteError::Misconfigured {
            advice: "the server does not take our requests: check that the endpoint is an S3 store's"
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
    let of_network = match &error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => !failure.is_user() && !failure.is_other(),
        _ => false,
    };
    let source = error.into_source().unwrap_or_else(Into::into);
    if of_network {
        RemoteError::Offline { source }
    } else {
        RemoteError::Misconfigured {
            advice:
                "no request could be made: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                     name a profile of ~/.aws"
                    .into(),
            source: Some(source),
        }
    }
}
