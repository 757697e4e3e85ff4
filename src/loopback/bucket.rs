//! One bucket in memory.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use hyper::StatusCode;
use s3s::{
    Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        self, AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
        DeleteObjectInput, DeleteObjectOutput, ETag, GetObjectInput, GetObjectOutput,
        HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, PutObjectInput,
        PutObjectOutput, StreamingBlob, UploadPartInput, UploadPartOutput,
    },
    s3_error,
};

use super::BUCKET;
use crate::clock::{Clock, Timestamp, random};

/// The largest body, in bytes, that is kept.
const LARGEST: usize = 1 << 30;
/// The smallest part, in bytes, that is no last one.
const SMALLEST_PART: usize = 5 << 20;
const ONE_WRITE_IN: Duration = Duration::from_secs(1);

/// What was put under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// All of it.
    pub bytes: Bytes,
    /// What the one who put it said it is.
    pub media_type: Option<String>,
    /// What the one who put it wants caches to be told.
    pub cache_control: Option<String>,
    /// What the one who put it wants browsers to do with it.
    pub content_disposition: Option<String>,
    /// The entity tag, without its quotes.
    pub tag: String,
    /// When it was put.
    pub modified: Timestamp,
}

/// A copy of everything in a bucket.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(pub(super) BTreeMap<String, Object>);

pub(super) struct Bucket {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) puts: HashMap<String, u64>,
    pub(super) public: bool,
    pub(super) limited: bool,
    written: HashMap<String, Timestamp>,
    pub(super) uploads: HashMap<String, Multipart>,
}

/// An upload in parts that is under way.
pub(super) struct Multipart {
    name: String,
    media_type: Option<String>,
    cache_control: Option<String>,
    content_disposition: Option<String>,
    parts: BTreeMap<i32, Bytes>,
}

impl Bucket {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self, bucket: &str, name: &str) -> S3Result<Object> {
        check(bucket)?;
        self.lock().objects.get(name).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }
}

impl State {
    fn write(&mut self, name: String, object: Object) -> S3Result<()> {
        let now = object.modified;
        let last = self.written.get(&name);
        if self.limited && last.is_some_and(|last| now.since(*last) < ONE_WRITE_IN) {
            let mut error = S3Error::new(S3ErrorCode::Custom("TooManyRequests".into()));
            error.set_message("Reduce your concurrent request rate for the same object.");
            error.set_status_code(StatusCode::TOO_MANY_REQUESTS);
            return Err(error);
        }
        self.written.insert(name.clone(), now);
        *self.puts.entry(name.clone()).or_default() += 1;
        self.objects.insert(name, object);
        Ok(())
    }
}

fn check(bucket: &str) -> S3Result<()> {
    if bucket == BUCKET { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
}

async fn read(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let mut bytes = Vec::new();
    let Some(mut body) = body else { return Ok(Bytes::new()) };
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| s3_error!(error_of(error), IncompleteBody))?;
        if bytes.len() + piece.len() > LARGEST {
            return Err(s3_error!(EntityTooLarge));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

fn error_of(error: s3s::StdError) -> std::io::Error {
    std::io::Error::other(error)
}

/// As long as the MD5 that S3 has there.
fn tag(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().chars().take(32).collect()
}

fn when(time: Timestamp) -> dto::Timestamp {
    (UNIX_EPOCH + Duration::from_millis(time.millis())).into()
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(super) struct Service(pub(super) Arc<Bucket>);

#[async_trait::async_trait]
impl S3 for Service {
    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let bytes = read(input.body).await?;
        check(&input.bucket)?;
        let mut state = self.0.lock();
        let only_new = input.if_none_match.is_some_and(|condition| condition.is_any());
        if only_new && state.objects.contains_key(&input.key) {
            return Err(s3_error!(PreconditionFailed));
        }
        let tag = tag(&bytes);
        let object = Object {
            bytes,
            media_type: input.content_type,
            cache_control: input.cache_control,
            content_disposition: input.content_disposition,
            tag: tag.clone(),
            modified: self.0.clock.now(),
        };
        state.write(input.key, object)?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(tag)),
            ..Default::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let object = self.0.object(&input.bucket, &input.key)?;
        let all = object.bytes.len();
        let (bytes, content_range) = match input.range {
            None => (object.bytes, None),
            Some(range) => {
                let range = range.check(all as u64).map_err(|_| s3_error!(InvalidRange))?;
                let place = |at: u64| usize::try_from(at).unwrap_or(all).min(all);
                let (from, to) = (place(range.start), place(range.end));
                let shown = format!("bytes {from}-{}/{all}", to.saturating_sub(1));
                (object.bytes.slice(from..to), Some(shown))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(length(bytes.len())),
            body: Some(StreamingBlob::from(Body::from(bytes))),
            content_range,
            content_type: object.media_type,
            cache_control: object.cache_control,
            content_disposition: object.content_disposition,
            e_tag: Some(ETag::Strong(object.tag)),
            last_modified: Some(when(object.modified)),
            accept_ranges: Some("bytes".to_owned()),
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let object = self.0.object(&request.input.bucket, &request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(length(object.bytes.len())),
            content_type: object.media_type,
            cache_control: object.cache_control,
            content_disposition: object.content_disposition,
            e_tag: Some(ETag::Strong(object.tag)),
            last_modified: Some(when(object.modified)),
            accept_ranges: Some("bytes".to_owned()),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        check(&request.input.bucket)?;
        self.0.lock().objects.remove(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        check(&input.bucket)?;
        if input.delimiter.is_some() {
            return Err(s3_error!(NotImplemented, "this server knows no delimiters"));
        }
        let most = usize::try_from(input.max_keys.unwrap_or(1000)).unwrap_or(0).min(1000);
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.clone().or(input.start_after.clone());
        let from = match &after {
            // As Garage does: what comes before the prefix leads to an empty page.
            Some(after) => Bound::Excluded(after.as_str()),
            None => Bound::Included(prefix.as_str()),
        };
        let state = self.0.lock();
        let mut rest = state
            .objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(&prefix))
            .peekable();
        let mut contents = Vec::new();
        for (name, object) in rest.by_ref().take(most) {
            contents.push(dto::Object {
                key: Some(name.clone()),
                size: Some(length(object.bytes.len())),
                e_tag: Some(ETag::Strong(object.tag.clone())),
                last_modified: Some(when(object.modified)),
                ..Default::default()
            });
        }
        let last = contents.last().and_then(|last| last.key.clone());
        let next = rest.peek().and(last);
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            start_after: input.start_after,
            continuation_token: input.continuation_token,
            max_keys: i32::try_from(most).ok(),
            key_count: i32::try_from(contents.len()).ok(),
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            contents: Some(contents),
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        check(&input.bucket)?;
        let id = format!("{:032x}", u128::from_le_bytes(random(&*self.0.clock)));
        let upload = Multipart {
            name: input.key.clone(),
            media_type: input.content_type,
            cache_control: input.cache_control,
            content_disposition: input.content_disposition,
            parts: BTreeMap::new(),
        };
        self.0.lock().uploads.insert(id.clone(), upload);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let bytes = read(input.body).await?;
        check(&input.bucket)?;
        let tag = tag(&bytes);
        let mut state = self.0.lock();
        let upload = state.uploads.get_mut(&input.upload_id);
        let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
        upload.parts.insert(input.part_number, bytes);
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(tag)),
            ..Default::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        check(&input.bucket)?;
        let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let mut state = self.0.lock();
        let upload = state.uploads.get(&input.upload_id).filter(|upload| upload.name == input.key);
        let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
        let mut parts = Vec::new();
        for part in &named {
            let bytes = part.part_number.and_then(|number| upload.parts.get(&number));
            let bytes = bytes.ok_or_else(|| s3_error!(InvalidPart))?;
            if part.e_tag.as_ref().is_some_and(|named| named.value() != tag(bytes)) {
                return Err(s3_error!(InvalidPart));
            }
            parts.push(bytes.clone());
        }
        check_parts(&parts)?;
        let bytes = Bytes::from(parts.concat());
        let tag = format!("{}-{}", tag(&bytes), parts.len());
        let object = Object {
            bytes,
            media_type: upload.media_type.clone(),
            cache_control: upload.cache_control.clone(),
            content_disposition: upload.content_disposition.clone(),
            tag: tag.clone(),
            modified: self.0.clock.now(),
        };
        state.write(input.key.clone(), object)?;
        state.uploads.remove(&input.upload_id);
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(tag)),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        check(&request.input.bucket)?;
        let removed = self.0.lock().uploads.remove(&request.input.upload_id);
        removed.ok_or_else(|| s3_error!(NoSuchUpload))?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

/// R2 wants all parts but the last to be equal, and not small.
fn check_parts(parts: &[Bytes]) -> S3Result<()> {
    let Some((last, whole)) = parts.split_last() else { return Err(s3_error!(InvalidPart)) };
    let size = whole.first().map_or(last.len(), Bytes::len);
    if whole.iter().any(|part| part.len() < SMALLEST_PART) {
        return Err(s3_error!(EntityTooSmall));
    }
    if whole.iter().any(|part| part.len() != size) || last.len() > size {
        return Err(s3_error!(InvalidPart, "all parts but the last must have the same length"));
    }
    Ok(())
}
