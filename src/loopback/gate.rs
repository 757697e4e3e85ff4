//! What stands before the bucket: counts every request, and fails those that are to fail.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use hyper::{Method, Request, StatusCode, body::Incoming};
use percent_encoding::percent_decode_str;
use s3s::{
    Body, HttpError, HttpRequest, HttpResponse, S3Error, S3ErrorCode, dto::StreamingBlob,
    service::S3Service,
};

use super::{BUCKET, bucket::Bucket};
use crate::remote::{Call, Faults, Requests};

/// In which way a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It gets this answer.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The code that S3 has for it, such as `SlowDown`.
        code: &'static str,
    },
    /// The connection is closed without an answer.
    Drop,
}

pub(super) struct Gate {
    service: S3Service,
    pub(super) bucket: Arc<Bucket>,
    pub(super) faults: Faults<Trouble>,
    requests: Mutex<Requests>,
}

impl Gate {
    pub(super) fn new(service: S3Service, bucket: Arc<Bucket>) -> Self {
        Self { service, bucket, faults: Faults::new(), requests: Mutex::default() }
    }

    pub(super) fn requests(&self) -> Requests {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<HttpResponse, HttpError> {
        let (call, name) = classify(&request);
        self.count(call);
        if has_trailer(&request) {
            return refuse(request.map(Body::from), 501, "NotImplemented").await;
        }
        let request = request.map(Body::from);
        let Some(fault) = self.faults.meets(call, &name) else {
            return self.service.call(request).await;
        };
        match (fault.after_effect, fault.failure) {
            (true, Trouble::Answer { status, code }) => {
                self.service.call(request).await?;
                refuse(HttpRequest::default(), status, code).await
            }
            (false, Trouble::Answer { status, code }) => refuse(request, status, code).await,
            (after_effect, Trouble::Drop) => {
                if after_effect {
                    self.service.call(request).await?;
                }
                Err(HttpError::new("told to drop the connection".into()))
            }
        }
    }

    fn count(&self, call: Call) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = match call {
            Call::Get => &mut requests.get,
            Call::Head => &mut requests.head,
            Call::Put => &mut requests.put,
            Call::List => &mut requests.list,
            Call::Delete => &mut requests.delete,
            // S3 has no such request.
            Call::Watch => return,
        };
        *counter += 1;
    }
}

/// Whether a checksum follows the body: R2 takes no such requests.
fn has_trailer(request: &Request<Incoming>) -> bool {
    let payload = request.headers().get("x-amz-content-sha256");
    payload.and_then(|value| value.to_str().ok()).is_some_and(|value| value.ends_with("-TRAILER"))
}

/// The answer to a request that is not done.
async fn refuse(
    request: HttpRequest,
    status: u16,
    code: &'static str,
) -> Result<HttpResponse, HttpError> {
    // An answer before the whole request was read looks like a broken connection.
    let mut body = StreamingBlob::from(request.into_body());
    while let Some(Ok(_)) = body.next().await {}
    let mut error = S3Error::new(S3ErrorCode::Custom(code.into()));
    error.set_message("refused");
    error.set_status_code(StatusCode::from_u16(status).unwrap_or_default());
    error.to_http_response().map_err(|error| HttpError::new(error.into()))
}

/// Which call of the contract a request belongs to, and what it is about: an object's name, or the
/// prefix that it lists.
fn classify(request: &Request<Incoming>) -> (Call, String) {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let query = request.uri().query().unwrap_or_default();
    let path = request.uri().path().trim_start_matches('/');
    let name = path.strip_prefix(BUCKET).unwrap_or(path).trim_start_matches('/');
    let call = match *request.method() {
        Method::GET if name.is_empty() => {
            let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix="));
            return (Call::List, decode(prefix.unwrap_or_default()));
        }
        Method::GET => Call::Get,
        Method::HEAD => Call::Head,
        Method::DELETE => Call::Delete,
        _ => Call::Put,
    };
    (call, decode(name))
}
