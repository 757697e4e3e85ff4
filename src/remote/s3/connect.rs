//! The client: whom it is, where it asks, how long it waits and what it repeats.

use std::{fmt, time::Duration};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::{
    Client,
    config::{
        Builder, Credentials, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig,
        interceptors::InterceptorContext,
        retry::{ClassifyRetry, RetryAction, RetryConfig},
        timeout::TimeoutConfig,
    },
};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use zeroize::Zeroizing;

use super::{super::Location, RemoteError};
use crate::event::RemoteOptions;

/// How to reach a bucket.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// The bucket, which has to exist.
    pub bucket: String,
    /// What all names in it begin with; may be empty.
    pub prefix: String,
    /// The server's URL. Default = AWS, or what its environment variables say.
    pub endpoint: Option<String>,
    /// Default = `auto`; at AWS, what its environment variables say, or `us-east-1`.
    pub region: Option<String>,
    /// Default = what the AWS tools use.
    pub credentials: S3Credentials,
    /// How often a request is made before its error counts. Default = 3.
    pub attempts: u32,
    /// The longest wait before the first repetition; it doubles with each. Default = 0.5 s.
    pub backoff: Duration,
    /// How long to wait for a connection. Default = 10 s.
    pub connect_timeout: Duration,
    /// How long to wait for an answer, and for more of one; uploads get more by their size. Default = 30 s.
    pub read_timeout: Duration,
    /// How many keys to ask for at a time, up to 1000. Default = what the store gives.
    pub page: Option<u16>,
}

impl S3Options {
    /// A bucket, with all else at its default.
    #[must_use]
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: prefix.into(),
            endpoint: None,
            region: None,
            credentials: S3Credentials::Chain { profile: None },
            attempts: 3,
            backoff: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            page: None,
        }
    }

    /// The store that the options of a remote describe, for an app that has the credentials itself: it puts
    /// them into [`credentials`](Self::credentials), and opens the store with [`S3::open`](super::S3::open)
    /// each time that it starts. [`open`](fn@super::super::open) is for those that the environment has.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Misconfigured`] where they describe none.
    pub fn described(options: &RemoteOptions) -> Result<Self, RemoteError> {
        let Location::S3 { bucket, prefix } = options.url.parse()? else {
            return Err(RemoteError::misconfigured(
                "this is no bucket: write `s3://BUCKET[/PREFIX]`",
            ));
        };
        Ok(Self {
            endpoint: options.endpoint.clone(),
            region: options.region.clone(),
            credentials: S3Credentials::Chain { profile: options.profile.clone() },
            ..Self::new(bucket, prefix)
        })
    }
}

/// By what a store knows us.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum S3Credentials {
    /// Environment variables, else the files in `~/.aws`, else what the machine is given.
    Chain {
        /// Which profile of those files; `None` for the default one.
        profile: Option<String>,
    },
    /// These.
    Key {
        /// The id of the access key.
        id: String,
        /// Its secret.
        secret: Secret,
    },
}

/// A text that nothing shows; overwritten in memory when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

pub(super) async fn client(options: &S3Options) -> Result<Client, RemoteError> {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let endpoint = options.endpoint.as_deref().map(endpoint).transpose()?;
    let region = options.region.clone().or_else(|| endpoint.as_ref().map(|_| "auto".to_owned()));
    let region = region.map(Region::new);
    // AWS has no region `auto`; of a bucket in another it says so.
    let fallback = Region::new("us-east-1");
    let builder = match &options.credentials {
        S3Credentials::Key { id, secret } => Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(region.unwrap_or(fallback))
            .credentials_provider(Credentials::new(id, secret.0.as_str(), None, None, "everleaf")),
        S3Credentials::Chain { profile } => {
            let mut chain =
                aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
            if let Some(profile) = profile {
                chain = chain.profile_name(profile);
            }
            if let Some(region) = region {
                chain = chain.region(region);
            }
            let found = chain.load().await;
            let region = found.region().cloned().unwrap_or(fallback);
            Builder::from(&found).region(region)
        }
    };
    let builder = match endpoint {
        Some(endpoint) => builder.endpoint_url(endpoint),
        None => builder,
    };
    let config = builder
        .http_client(http)
        .force_path_style(true)
        // With checksums "when supported" bodies are framed in a way that several stores keep as content.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(options.connect_timeout)
                .read_timeout(options.read_timeout)
                .build(),
        )
        // By default the SDK gives up a line that pauses for 5 s, however long one is ready to wait. How long an
        // upload may take is told by its size.
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled()
                .upload_enabled(false)
                .grace_period(options.read_timeout)
                .build(),
        )
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(options.attempts.max(1))
                .with_initial_backoff(options.backoff),
        )
        .retry_classifier(TooManyRequests)
        .build();
    Ok(Client::from_conf(config))
}

/// The URL of a server, with the slash at its end that the SDK needs.
fn endpoint(url: &str) -> Result<String, RemoteError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(['@', '?', '#', ' ']) => {
            Ok(format!("{}/", url.trim_end_matches('/')))
        }
        _ => Err(RemoteError::misconfigured(
            "the endpoint is no URL of a server: write `https://HOST`, without name and password",
        )),
    }
}

/// R2's answer to more than one write of a key in a second, which the SDK does not repeat by itself.
#[derive(Debug)]
struct TooManyRequests;

impl ClassifyRetry for TooManyRequests {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match context.response() {
            Some(response) if response.status().as_u16() == 429 => RetryAction::throttling_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "too many requests"
    }
}
