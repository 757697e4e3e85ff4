//! Who may do what.

use std::sync::Arc;

use s3s::{
    S3Error, S3ErrorCode, S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    s3_error,
};

use super::{ACCESS_KEY, SECRET_KEY, bucket::Bucket};

/// The one access key.
pub(super) struct OneKey;

#[async_trait::async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        if id == ACCESS_KEY {
            return Ok(SecretKey::from(SECRET_KEY));
        }
        let mut error = S3Error::new(S3ErrorCode::Custom("Unauthorized".into()));
        error.set_status_code(hyper::StatusCode::UNAUTHORIZED);
        Err(error)
    }
}

/// Whoever has signed may do everything; anybody may read images while the bucket is public.
pub(super) struct PublicImages(pub(super) Arc<Bucket>);

#[async_trait::async_trait]
impl S3Access for PublicImages {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let reads = matches!(context.s3_op().name(), "GetObject" | "HeadObject");
        let is_image = |name: &str| name.starts_with("images/") || name.contains("/images/");
        let image = context.s3_path().get_object_key().is_some_and(is_image);
        if context.credentials().is_some() || (reads && image && self.0.lock().public) {
            Ok(())
        } else {
            Err(s3_error!(AccessDenied, "a signature is needed"))
        }
    }
}
