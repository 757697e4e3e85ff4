//! Images that are on their way at the same time.

use futures_util::{
    Stream, StreamExt as _,
    stream::{FuturesUnordered, unfold},
};

use super::{Vault, VaultError};
use crate::{
    id::ImageId,
    projection::catalog,
    upload::{SMALL_TOGETHER, Width},
};

/// Does what is to be done for images, of which it is told how many bytes each has: in order, as many at
/// once as `width` admits. Gives what came of each, as it is done.
pub(super) fn abreast<F: Future>(
    width: Width,
    work: impl IntoIterator<Item = (u64, F)>,
) -> impl Stream<Item = F::Output> {
    let begun = (work.into_iter().peekable(), FuturesUnordered::new(), 0);
    unfold(begun, move |(mut waiting, mut on_their_way, mut together)| async move {
        // So that no size, which another device may have made up, overflows their sum.
        while let Some(bytes) = waiting.peek().map(|(bytes, _)| (*bytes).min(SMALL_TOGETHER + 1))
            && width.admits(on_their_way.len(), together, bytes)
            && let Some((_, one)) = waiting.next()
        {
            together += bytes;
            on_their_way.push(async move { (bytes, one.await) });
        }
        let (bytes, done) = on_their_way.next().await?;
        together -= bytes;
        Some((done, (waiting, on_their_way, together)))
    })
}

impl Vault {
    /// How many bytes images have, those with the fewest first: most of those can be on their way together.
    /// One of which nobody said so counts as large.
    pub(super) fn by_size<T>(
        &self,
        images: Vec<T>,
        image: impl Fn(&T) -> ImageId,
    ) -> Result<Vec<(u64, T)>, VaultError> {
        let mut sized = Vec::with_capacity(images.len());
        for one in images {
            let record = catalog::image_record(self.db(), image(&one))?;
            sized.push((record.map_or(u64::MAX, |record| record.bytes), one));
        }
        sized.sort_by_key(|(bytes, _)| *bytes);
        Ok(sized)
    }
}
