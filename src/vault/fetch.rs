//! Bringing images here that notes show.

use std::collections::HashSet;

use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::{
    Vault, VaultError,
    abreast::abreast,
    exchange::{Progress, Session, SyncImages},
};
use crate::{
    clock::{Timestamp, fraction},
    event::{Event, RemoteName},
    id::ImageId,
    image::MediaType,
    images::{ImageError, Stored},
    mutant::{self, Mutant},
    projection::{
        catalog,
        outbox::{self, ROUND},
    },
    remote::{Key, Prefix, Remote, RemoteError},
    upload::{self, Width},
};

/// What came of asking for an image.
enum Fetched {
    Here(Stored),
    NotThere,
    /// What was sent is not the image.
    Refused(ImageError),
    /// The remote did not give it.
    Withheld(ImageId, RemoteError),
}

/// An image that the remote holds, or may hold, and did not give.
#[derive(Debug, thiserror::Error)]
#[error("image {} could not be fetched", image.short())]
struct Unfetched {
    image: ImageId,
    source: RemoteError,
}

/// How often in a row an image could not be had, and when it is asked for again though nothing tells of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Missed {
    times: u32,
    until: Timestamp,
    /// The opening of the vault that waits so long. Another asks at once: whoever mended it runs a sync.
    by: [u8; 8],
}

impl Missed {
    fn once_more(before: Option<&Self>, vault: &Vault) -> Self {
        let (clock, by) = (&*vault.0.clock, vault.0.actor);
        let times = before.map_or(0, |missed| missed.times.saturating_add(1));
        let until = clock.now().plus(upload::backoff(ROUND, times, fraction(clock)));
        Self { times, until, by }
    }

    fn is_due(self, vault: &Vault) -> bool {
        let now = vault.0.clock.now();
        self.by != vault.0.actor || upload::at_last(self.until, now) <= now
    }
}

impl Session<'_> {
    /// Brings here what notes show and this device lacks, as far as the remote holds it. One that can't be had is
    /// a problem, and is asked for again after a while, or when there is news.
    pub(super) async fn fetch(&mut self) -> Result<(), VaultError> {
        let mut wanted = catalog::wanted(self.vault.db())?;
        if !self.memory.missed.is_empty() {
            let wanted: HashSet<&ImageId> = wanted.iter().collect();
            self.memory.missed.retain(|image, _| wanted.contains(image));
        }
        if !self.memory.fetch_owed {
            // There is no news, but what the remote is proved to hold can be had at any time.
            let (db, name) = (self.vault.db(), &self.name);
            let held = |image: &ImageId| {
                outbox::get(db, name, *image).is_ok_and(|up| up.is_some_and(|up| up.is_done()))
            };
            let missed = &self.memory.missed;
            wanted.retain(|image| match missed.get(image) {
                Some(missed) => missed.is_due(self.vault),
                None => held(image),
            });
        }
        if self.options.images == SyncImages::None || wanted.is_empty() {
            return self.remember();
        }
        // Remembered before, so that a sync that is cut off here asks again next time.
        self.remember()?;
        (self.progress)(Progress::Fetching(wanted.len() as u64));
        let (vault, name, remote) = (self.vault, &self.name, &*self.remote);
        let fetch = |image| async move { (image, vault.fetch(name, remote, image).await) };
        let wanted = vault.by_size(wanted, |image| *image)?;
        let fetches = wanted.into_iter().map(|(bytes, image)| (bytes, fetch(image)));
        let mut fetches = Box::pin(abreast(Width::new(self.options.parallel), fetches));
        let mut failed = None;
        let (mut refused, mut withheld, mut missed) = (Vec::new(), Vec::new(), Vec::new());
        while let Some((image, fetched)) = fetches.next().await {
            (self.progress)(Progress::Fetched(image));
            let before = self.memory.missed.remove(&image);
            if matches!(fetched, Ok(Fetched::Refused(_) | Fetched::Withheld(..))) {
                missed.push((image, Missed::once_more(before.as_ref(), vault)));
            }
            match fetched {
                Ok(Fetched::Here(stored)) => {
                    self.report.fetched.images += 1;
                    self.report.fetched.bytes += stored.bytes;
                }
                Ok(Fetched::NotThere) => {}
                Ok(Fetched::Refused(error)) => refused.push(error),
                Ok(Fetched::Withheld(image, source)) => withheld.push(Unfetched { image, source }),
                Err(error) => failed = Some(error),
            }
        }
        drop(fetches);
        if let Some(error) = failed {
            return Err(error);
        }
        // What answers at once is not away: only these images could not be had.
        if withheld.iter().any(|image| image.source.is_away()) {
            self.remote.head(&Key::Pulse).await.map_err(self.error())?;
        }
        for error in &refused {
            self.problem(error);
        }
        for error in &withheld {
            self.problem(error);
        }
        self.report.fetched.failed += missed.len() as u64;
        // What was not whole may become so with nothing that tells of it.
        self.memory.missed.extend(missed);
        self.memory.fetch_owed = false;
        self.remember()
    }
}

impl Vault {
    async fn fetch(
        &self,
        name: &RemoteName,
        remote: &dyn Remote,
        image: ImageId,
    ) -> Result<Fetched, VaultError> {
        if let Some(stored) = self.blocking(move |vault| vault.adopt(image)).await? {
            return Ok(Fetched::Here(stored));
        }
        let media_type = match self.media_type(image)? {
            Some(media_type) => media_type,
            None => match find(remote, image).await {
                Ok(Some(media_type)) => media_type,
                Ok(None) => return Ok(Fetched::NotThere),
                Err(error) => return Ok(Fetched::Withheld(image, error)),
            },
        };
        let mut body = match remote.get(&Key::Image { image, media_type }).await {
            Ok(download) => download.body,
            Err(RemoteError::NotFound { .. }) => return Ok(Fetched::NotThere),
            Err(error) => return Ok(Fetched::Withheld(image, error)),
        };
        let mut incoming = match self.0.images.receive(image) {
            Ok(incoming) => incoming,
            Err(error) => return refuse(error),
        };
        while let Some(chunk) = body.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => return Ok(Fetched::Withheld(image, error)),
            };
            let written = self.blocking(move |_| {
                let result = incoming.write(&chunk);
                Ok((incoming, result))
            });
            let (back, result) = written.await?;
            incoming = back;
            if let Err(error) = result {
                return refuse(error);
            }
        }
        let remote = name.clone();
        self.blocking(move |vault| {
            if mutant::is(Mutant::EventBeforeBytes) {
                vault.announce_fetched(image, &remote)?;
            }
            let stored = match incoming.finish() {
                Ok(stored) => stored,
                Err(error) => return refuse(error),
            };
            let Stored { image, bytes, media_type, dimensions, .. } = stored;
            vault.record([Event::ImageFetched { image, remote, bytes, media_type, dimensions }])?;
            Ok(Fetched::Here(stored))
        })
        .await
    }

    /// What [`Mutant::EventBeforeBytes`] does.
    fn announce_fetched(&self, image: ImageId, remote: &RemoteName) -> Result<(), VaultError> {
        let Some(known) = catalog::image_record(self.db(), image)? else { return Ok(()) };
        let (bytes, media_type, dimensions) = (known.bytes, known.media_type, known.dimensions);
        let remote = remote.clone();
        self.record([Event::ImageFetched { image, remote, bytes, media_type, dimensions }])
    }

    /// Takes an image in whose file is here though no event says so: its event was lost with the
    /// tail of the log.
    fn adopt(&self, image: ImageId) -> Result<Option<Stored>, VaultError> {
        for media_type in MediaType::ALL {
            if !self.0.images.contains(image, media_type) {
                continue;
            }
            let Ok(verified) = self.0.images.verified(image, media_type) else { continue };
            let stored = self.0.images.ingest_held(&verified.path)?;
            let events = self.stored_events(&[stored])?;
            self.record(events)?;
            return Ok(Some(stored));
        }
        Ok(None)
    }

    /// What an image is, as far as another device or a URL said it.
    fn media_type(&self, image: ImageId) -> Result<Option<MediaType>, VaultError> {
        if let Some(record) = catalog::image_record(self.db(), image)? {
            return Ok(Some(record.media_type));
        }
        for note in catalog::notes_showing(self.db(), image)? {
            let url = self.image_urls(note)?.into_iter().find(|(of, _)| *of == image);
            let extension = url.and_then(|(_, url)| url).and_then(|url| {
                url.rsplit_once('.').and_then(|(_, end)| MediaType::from_extension(end))
            });
            if extension.is_some() {
                return Ok(extension);
            }
        }
        Ok(None)
    }
}

/// What was sent is refused; that the disk here does not take it is for a person to mend.
fn refuse(error: ImageError) -> Result<Fetched, VaultError> {
    match error {
        ImageError::Io { .. } | ImageError::SyncFailed { .. } => Err(error.into()),
        error => Ok(Fetched::Refused(error)),
    }
}

/// Under which media type a remote holds an image.
async fn find(remote: &dyn Remote, image: ImageId) -> Result<Option<MediaType>, RemoteError> {
    let page = remote.list(&Prefix::Image(image), None).await?;
    Ok(page.keys.first().and_then(|listed| match listed.key {
        Key::Image { media_type, .. } => Some(media_type),
        _ => None,
    }))
}
