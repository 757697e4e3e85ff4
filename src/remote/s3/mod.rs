//! A bucket of Cloudflare R2, or of any other S3 store, as a remote.

mod answer;
mod connect;
mod multipart;

use std::{fmt, path::Path, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    config::{Builder, timeout::TimeoutConfig},
    primitives::{ByteStream, Length},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use self::answer::{Problem, has_status, is_missing};
pub use self::connect::{S3Credentials, S3Options, Secret};
use super::{
    After, Download, Key, ListedKey, ObjectMeta, Page, Prefix, Remote, RemoteError, Upload, resized,
};

/// Files up to this size, in bytes, are read into memory, and so are signed with their hash.
const IN_MEMORY: u64 = 1024 * 1024;
/// Larger bodies go in parts.
const ONE_REQUEST: u64 = 16 * 1024 * 1024;
/// The slowest line that an upload is waited for, in bytes a second.
const SLOWEST: u64 = 16 * 1024;

/// A bucket, or what begins with some prefix in it, as a remote.
pub struct S3 {
    client: Client,
    bucket: String,
    /// What all names begin with: empty, or with a slash at its end.
    root: String,
    page: Option<i32>,
    read_timeout: Duration,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3(s3://{}/{})", self.bucket, self.root)
    }
}

impl S3 {
    /// The remote that `options` describe. The store is not asked before the first call.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Misconfigured`] where the endpoint is no URL.
    pub async fn open(options: S3Options) -> Result<Self, RemoteError> {
        let client = connect::client(&options).await?;
        let prefix = options.prefix.trim_matches('/');
        Ok(Self {
            client,
            bucket: options.bucket,
            root: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            page: options.page.map(|page| page.clamp(1, 1000).into()),
            read_timeout: options.read_timeout,
        })
    }

    /// What begins with `name` and a slash in this.
    #[cfg(feature = "hub")]
    pub(crate) fn below(&self, name: &str) -> Self {
        Self {
            client: self.client.clone(),
            bucket: self.bucket.clone(),
            root: format!("{}{name}/", self.root),
            page: self.page,
            read_timeout: self.read_timeout,
        }
    }

    fn name(&self, key: &Key) -> String {
        format!("{}{key}", self.root)
    }

    fn translate<E: Problem>(&self, error: E) -> RemoteError {
        error.translate(&self.bucket)
    }

    /// Asks after an object as `head` does, by a request whose refusal says why: the SDK learns from it how far
    /// the clock here is off, and people learn what is wrong with their key.
    async fn head_by_get(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.name(key));
        match request.send().await {
            // The body is not read.
            Ok(found) => meta(found.content_length, found.e_tag, found.content_type).map(Some),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.translate(error)),
        }
    }

    /// Time enough for `size` bytes to go up a slow line before the answer is waited for.
    fn patient(&self, size: u64) -> Builder {
        let patience = self.read_timeout + Duration::from_secs(size / SLOWEST);
        let timeouts = TimeoutConfig::builder().read_timeout(patience).build();
        aws_sdk_s3::Config::builder().timeout_config(timeouts)
    }

    async fn put_whole(&self, key: &Key, body: ByteStream, size: u64) -> Result<(), RemoteError> {
        let request = self.client.put_object().bucket(&self.bucket).key(self.name(key));
        request
            .content_type(key.content_type())
            .set_cache_control(key.cache_control().map(str::to_owned))
            .set_content_disposition(key.content_disposition().map(str::to_owned))
            .body(body)
            .customize()
            .config_override(self.patient(size))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| self.translate(error))
    }
}

#[async_trait]
impl Remote for S3 {
    async fn get(&self, key: &Key) -> Result<Download, RemoteError> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.name(key));
        match request.send().await {
            Ok(found) => {
                let size = found.content_length().and_then(|size| u64::try_from(size).ok());
                Ok(Download { size, body: pieces(found.body).boxed() })
            }
            Err(error) if is_missing(&error) => Err(RemoteError::NotFound { key: *key }),
            Err(error) => Err(self.translate(error)),
        }
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        let request = self.client.head_object().bucket(&self.bucket).key(self.name(key));
        match request.send().await {
            Ok(found) => meta(found.content_length, found.e_tag, found.content_type).map(Some),
            // Answers to `head` have no body: they do not tell a missing object from a missing bucket, or why
            // they refuse.
            Err(error) if has_status(&error, 404) => Ok(None),
            Err(error) if has_status(&error, 403) || has_status(&error, 400) => {
                self.head_by_get(key).await
            }
            Err(error) => Err(self.translate(error)),
        }
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        let size = body.size();
        if let Upload::File { path, size } = &body {
            check_size(path, *size).await?;
        }
        if size > ONE_REQUEST {
            return self.put_in_parts(key, &body).await;
        }
        let body = match body {
            Upload::File { size, .. } if size <= IN_MEMORY => body.read().await?.into(),
            body => part(&body, 0, size).await?,
        };
        self.put_whole(key, body, size).await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        let group = prefix.to_string();
        // Some stores begin behind any such name, and end at the first one outside of the group.
        let after = match after.map(After::as_str) {
            Some(after) if after.starts_with(&group) => Some(format!("{}{after}", self.root)),
            Some(after) if *after > *group => return Ok(Page { keys: Vec::new(), next: None }),
            _ => None,
        };
        let request = self.client.list_objects_v2().bucket(&self.bucket);
        let page = request
            .prefix(format!("{}{group}", self.root))
            .set_start_after(after)
            .set_max_keys(self.page)
            .send()
            .await
            .map_err(|error| self.translate(error))?;
        let (mut keys, mut last) = (Vec::new(), None);
        for object in page.contents() {
            let name = object.key().and_then(|name| name.strip_prefix(&self.root));
            let size = object.size().and_then(|size| u64::try_from(size).ok());
            if let (Some(name), Some(size)) = (name, size) {
                let key = name.parse().ok().filter(|key| prefix.contains(key));
                keys.extend(key.map(|key| ListedKey { key, size }));
                last = Some(name);
            }
        }
        match (page.is_truncated(), last) {
            (Some(true), Some(last)) => Ok(Page { keys, next: Some(After::name(last)) }),
            (Some(true), None) => {
                Err(RemoteError::Damaged { what: "a page of a listing is empty".to_owned() })
            }
            _ => Ok(Page { keys, next: None }),
        }
    }

    async fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        let request = self.client.delete_object().bucket(&self.bucket).key(self.name(key));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(self.translate(error)),
        }
    }
}

fn meta(
    size: Option<i64>,
    tag: Option<String>,
    media_type: Option<String>,
) -> Result<ObjectMeta, RemoteError> {
    let size = size.and_then(|size| u64::try_from(size).ok());
    let lacks_size = || RemoteError::Damaged { what: "an object has no size".into() };
    Ok(ObjectMeta { size: size.ok_or_else(lacks_size)?, tag, media_type })
}

fn pieces(body: ByteStream) -> impl stream::Stream<Item = Result<Bytes, RemoteError>> + Send {
    stream::try_unfold(body, |mut body| async move {
        match body.try_next().await {
            Ok(piece) => Ok(piece.map(|piece| (piece, body))),
            Err(error) => Err(RemoteError::Offline { source: error.into() }),
        }
    })
}

/// Some of the bytes of `body`, to be sent, and sent again.
async fn part(body: &Upload, offset: u64, length: u64) -> Result<ByteStream, RemoteError> {
    match body {
        Upload::Bytes(bytes) => {
            let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
            Ok(bytes.slice(at(offset)..at(offset.saturating_add(length))).into())
        }
        Upload::File { path, .. } => {
            let reader = ByteStream::read_from().path(path).offset(offset);
            let built = reader.length(Length::Exact(length)).build().await;
            built.map_err(|error| RemoteError::io(path)(std::io::Error::other(error)))
        }
    }
}

async fn check_size(path: &Path, size: u64) -> Result<(), RemoteError> {
    let found = tokio::fs::metadata(path).await.map_err(RemoteError::io(path))?.len();
    if found == size { Ok(()) } else { Err(resized(path.to_owned(), size, found)) }
}
