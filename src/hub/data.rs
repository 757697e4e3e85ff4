//! Where a hub keeps what it is given: a folder or a bucket, with a place for each vault.

use std::{fmt, path::PathBuf, sync::Arc};

use async_trait::async_trait;

#[cfg(feature = "s3")]
use crate::remote::{Prefix, S3, S3Credentials, S3Options};
use crate::{
    event::RemoteOptions,
    id::VaultId,
    remote::{Dir, Location, Remote, RemoteError},
};

/// Where a hub keeps vaults. No two of them share an object.
#[async_trait]
pub trait Data: fmt::Debug + Send + Sync {
    /// The place of a vault; `None` where it has none yet and none is to be made.
    async fn vault(
        &self,
        vault: VaultId,
        make: bool,
    ) -> Result<Option<Arc<dyn Remote>>, RemoteError>;

    /// Asks whether it can be used at all.
    async fn check(&self) -> Result<(), RemoteError>;
}

/// A folder, with a folder for each vault in it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, which is made where only its last part is missing: more missing means
    /// that a disk is not there.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NoDirectory`] or [`RemoteError::Io`] where it can't be had.
    pub async fn open(path: PathBuf) -> Result<Self, RemoteError> {
        let path = std::path::absolute(&path).unwrap_or(path);
        if let Some(parent) = path.parent()
            && parent.is_dir()
        {
            Dir::create(&path).await?;
        }
        Dir::open(&path).await?;
        Ok(Self(path))
    }
}

#[async_trait]
impl Data for Folder {
    async fn vault(
        &self,
        vault: VaultId,
        make: bool,
    ) -> Result<Option<Arc<dyn Remote>>, RemoteError> {
        let path = self.0.join(vault.to_string());
        if make {
            // Never the folder of all vaults: its disk may not be connected.
            self.check().await?;
            return Ok(Some(Arc::new(Dir::create(path).await?)));
        }
        match Dir::open(path).await {
            Ok(dir) => Ok(Some(Arc::new(dir))),
            Err(RemoteError::NoDirectory { .. }) => self.check().await.map(|()| None),
            Err(error) => Err(error),
        }
    }

    async fn check(&self) -> Result<(), RemoteError> {
        Dir::open(&self.0).await.map(drop)
    }
}

/// A bucket, or what begins with some prefix in it, with a prefix for each vault.
#[cfg(feature = "s3")]
#[derive(Debug)]
pub struct Bucket(S3);

#[cfg(feature = "s3")]
impl Bucket {
    /// The bucket that `options` describe.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Misconfigured`] where the endpoint is no URL.
    pub async fn open(options: S3Options) -> Result<Self, RemoteError> {
        Ok(Self(S3::open(options).await?))
    }
}

#[cfg(feature = "s3")]
#[async_trait]
impl Data for Bucket {
    async fn vault(&self, vault: VaultId, _: bool) -> Result<Option<Arc<dyn Remote>>, RemoteError> {
        Ok(Some(Arc::new(self.0.below(&vault.to_string()))))
    }

    async fn check(&self) -> Result<(), RemoteError> {
        self.0.list(&Prefix::Heads, None).await.map(drop)
    }
}

/// The data that `options` describe, as those of a remote do.
///
/// # Errors
///
/// Where they make no sense, or describe what can't be used.
pub async fn open_data(options: &RemoteOptions) -> Result<Arc<dyn Data>, RemoteError> {
    let data: Arc<dyn Data> = match options.url.parse()? {
        Location::Dir(path) => Arc::new(Folder::open(path).await?),
        #[cfg(feature = "s3")]
        Location::S3 { bucket, prefix } => {
            let mut s3 = S3Options::new(bucket, prefix);
            s3.endpoint.clone_from(&options.endpoint);
            s3.region.clone_from(&options.region);
            s3.credentials = S3Credentials::Chain { profile: options.profile.clone() };
            Arc::new(Bucket::open(s3).await?)
        }
        _ => {
            let advice = "a hub keeps its data in `dir:PATH` or `s3://BUCKET[/PREFIX]`".to_owned();
            return Err(RemoteError::Misconfigured { advice, source: None });
        }
    };
    data.check().await?;
    Ok(data)
}
