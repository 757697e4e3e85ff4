//! Large bodies, in parts: all equal but the last, as R2 wants them.

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use super::{Key, Remote as _, RemoteError, S3, Upload, part};

const PART: u64 = 8 * 1024 * 1024;

impl S3 {
    /// Puts `body` in parts; if that fails, takes back those that went up, since they would be paid for.
    pub(super) async fn put_in_parts(&self, key: &Key, body: &Upload) -> Result<(), RemoteError> {
        let request = self.client.create_multipart_upload().bucket(&self.bucket);
        let created = request
            .key(self.name(key))
            .content_type(key.content_type())
            .set_cache_control(key.cache_control().map(str::to_owned))
            .set_content_disposition(key.content_disposition().map(str::to_owned))
            .send()
            .await
            .map_err(|error| self.translate(error))?;
        let Some(upload) = created.upload_id() else {
            let what = "an upload in parts got no id".to_owned();
            return Err(RemoteError::Damaged { what });
        };
        let mut done = self.put_parts(key, body, upload).await;
        if matches!(&done, Err(error) if error.is_transient() && key.is_immutable()) {
            // Only the answer may have been lost, and with it the right to complete the upload again.
            let there = self.head(key).await.ok().flatten();
            if there.is_some_and(|there| there.size == body.size()) {
                done = Ok(());
            }
        }
        if done.is_err() {
            let abort = self.client.abort_multipart_upload().bucket(&self.bucket);
            if let Err(error) = abort.key(self.name(key)).upload_id(upload).send().await {
                tracing::warn!(%key, %error, "parts of a failed upload stay until the store drops them");
            }
        }
        done
    }

    async fn put_parts(&self, key: &Key, body: &Upload, upload: &str) -> Result<(), RemoteError> {
        let mut parts = Vec::new();
        let mut offset = 0;
        for number in 1.. {
            let length = PART.min(body.size() - offset);
            let request = self.client.upload_part().bucket(&self.bucket).key(self.name(key));
            let sent = request
                .upload_id(upload)
                .part_number(number)
                .body(part(body, offset, length).await?)
                .customize()
                .config_override(self.patient(length))
                .send()
                .await
                .map_err(|error| self.translate(error))?;
            parts.push(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build());
            offset += length;
            if offset >= body.size() {
                break;
            }
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.client.complete_multipart_upload().bucket(&self.bucket);
        let request = request.key(self.name(key)).upload_id(upload).multipart_upload(parts);
        request.send().await.map(|_| ()).map_err(|error| self.translate(error))
    }
}
