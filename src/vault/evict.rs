//! Letting go of local images: only of those that a remote is proved to hold.

use super::{Vault, VaultError};
use crate::{
    db::{DbError, Read},
    event::{Event, Origin},
    id::ImageId,
    image::MediaType,
    log::{FoldError, LogError, Then},
    mutant::{self, Mutant},
    projection::{catalog, outbox, receipts},
};

impl Vault {
    /// Whether a receipt proves that a remote holds an image.
    pub(super) fn is_uploaded(&self, image: ImageId) -> Result<bool, VaultError> {
        Ok(is_proved(self.db(), image)?)
    }

    /// Drops local bytes of an image that a remote is proved to hold. A sync that brings all images that notes
    /// show ([`SyncImages::All`](super::SyncImages::All)) brings it back.
    ///
    /// # Errors
    ///
    /// [`VaultError::OnlyCopy`] where no receipt says so.
    pub fn evict(&self, image: ImageId) -> Result<(), VaultError> {
        let record = catalog::image_record(self.db(), image)?
            .ok_or_else(|| VaultError::UnknownImage(image.to_string()))?;
        self.record_evicted(image)?;
        self.remove_file(image, record.media_type)
    }

    /// Removes the file of an image that is said to be gone, unless somebody took it in again since.
    pub(super) fn remove_file(
        &self,
        image: ImageId,
        media_type: MediaType,
    ) -> Result<(), VaultError> {
        let files = self.0.images.clone();
        let removed = self.0.log.alone(move |db| {
            let is_here = catalog::image_record(db, image)?.is_some_and(|record| record.local);
            Ok(if is_here { Ok(false) } else { files.remove(image, media_type) })
        })?;
        removed?;
        Ok(())
    }

    /// Says that a local copy goes, before it does: an image that is said to be here must be here. The
    /// proof is looked at as part of the append, so that no loss of it can come in between.
    pub(super) fn record_evicted(&self, image: ImageId) -> Result<(), VaultError> {
        let proved: Then = Box::new(move |draft| {
            if is_proved(draft, image)? || mutant::is(Mutant::EvictsUnproved) {
                return Ok(());
            }
            Err(FoldError::Unproved(image))
        });
        match self.append([(Origin::Here, Event::ImageEvicted { image })], Some(proved)) {
            Err(VaultError::Log(LogError::Refused(FoldError::Unproved(image)))) => {
                Err(VaultError::OnlyCopy(image))
            }
            appended => appended.map(drop),
        }
    }
}

/// Whether a receipt proves that a remote holds an image.
fn is_proved(read: &impl Read, image: ImageId) -> Result<bool, DbError> {
    for (remote, _) in receipts::list(read)? {
        if outbox::get(read, &remote, image)?.is_some_and(|upload| upload.is_done()) {
            return Ok(true);
        }
    }
    Ok(false)
}
