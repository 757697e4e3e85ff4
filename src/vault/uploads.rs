//! The upload projector: performs what [`crate::upload`] decides, and puts URLs into notes once the
//! remote confirmed the bytes.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::{
    Vault, VaultError,
    abreast::abreast,
    error::chain,
    exchange::{Progress, Session},
    lock,
};
use crate::{
    clock::{Timestamp, fraction},
    event::{Event, Origin, RemoteName},
    id::{ImageId, NoteId, Seq},
    image::MediaType,
    images::ImageError,
    mutant::{self, Mutant},
    projection::{
        catalog::{self, ImageRecord},
        outbox, receipts,
    },
    remote::{Key, Remote, RemoteError, Upload, public_url},
    upload::{self, Outcome, PARALLEL, Start, Width, is_to_be_put},
};

/// Images up to this size are sent from memory, which lets the store check their hash.
const IN_MEMORY: u64 = 1 << 20;

impl Session<'_> {
    /// Uploads what is due, through the end of every round that began. Gives whether anything was
    /// confirmed.
    pub(super) async fn upload(&mut self) -> Result<bool, VaultError> {
        let before = self.report.uploaded.images + self.report.uploaded.already_there;
        let (pulse, was_owed) = (self.memory.pulse.clone(), self.memory.pulse_owed);
        let (unreachable, put) = (AtomicBool::new(false), AtomicBool::new(false));
        loop {
            let name = self.name.clone();
            let planned = self.vault.blocking(move |vault| vault.plan_uploads(&name));
            let (due, next_in_round) = planned.await?;
            if !due.is_empty() {
                self.memory.pulse_owed = true;
                self.changed_remote()?;
                self.round(due, &unreachable, &put).await?;
            } else if let Some(next) = next_in_round {
                let clock = &self.vault.0.clock;
                clock.sleep(next.since(clock.now())).await;
            } else {
                break;
            }
            if unreachable.load(Ordering::Relaxed) {
                break;
            }
        }
        let confirmed = self.report.uploaded.images + self.report.uploaded.already_there > before;
        let is_untouched = ![&put, &unreachable].iter().any(|met| met.load(Ordering::Relaxed));
        if !confirmed && is_untouched {
            // There is nothing to tell the others of, nor to miss. A remote that is away is met again by telling.
            (self.memory.pulse, self.memory.pulse_owed) = (pulse, was_owed);
            self.remember()?;
        }
        Ok(confirmed)
    }

    /// Makes one attempt for each of `due`, of so many bytes, several at once.
    async fn round(
        &mut self,
        due: Vec<(u64, Start)>,
        unreachable: &AtomicBool,
        put: &AtomicBool,
    ) -> Result<(), VaultError> {
        (self.progress)(Progress::Uploading(due.len() as u64));
        let (vault, name, remote) = (self.vault, &self.name, &*self.remote);
        // Each is waited for only so long, and all at once would fail again for the same reason.
        let narrow = self.memory.narrow.then_some(PARALLEL);
        let width = Width::new(self.options.parallel.or(narrow));
        let verify_public = self.options.verify_public;
        let broke_off = &AtomicBool::new(false);
        let missed = &self.memory.missed;
        let attempt = |start: Start| async move {
            // What it shows there was asked for, and was not the image, or could not be had.
            let start =
                Start { anyway: start.anyway || missed.contains_key(&start.image), ..start };
            if unreachable.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let _flight = InFlight::begin(vault, name, start.image);
            let outcome = vault.attempt(name, remote, start, verify_public, put).await?;
            match outcome {
                Outcome::Unreachable(_) => unreachable.store(true, Ordering::Relaxed),
                Outcome::BrokeOff(_) => broke_off.store(true, Ordering::Relaxed),
                _ => {}
            }
            let jitter = fraction(&*vault.0.clock);
            let now = vault.0.clock.now();
            let event = upload::record(name.clone(), start, outcome, now, jitter);
            let recorded = event.clone();
            vault.blocking(move |vault| vault.record([recorded])).await?;
            Ok::<_, VaultError>(Some((start.image, event)))
        };
        let attempts = due.into_iter().map(|(bytes, start)| (bytes, attempt(start)));
        let mut attempts = Box::pin(abreast(width, attempts));
        let mut failed = None;
        while let Some(result) = attempts.next().await {
            match result {
                Ok(Some((image, event))) => {
                    if let Event::ImageUploaded { .. } = event {
                        self.memory.last_image = Some(image);
                    }
                    count(self.vault, &mut self.report.uploaded, &event)?;
                    (self.progress)(match event {
                        Event::ImageUploaded { .. } => Progress::Uploaded(image),
                        _ => Progress::NotUploaded(image),
                    });
                }
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        let broken = [unreachable, broke_off];
        self.memory.narrow = broken.iter().any(|broken| broken.load(Ordering::Relaxed));
        failed.map_or(Ok(()), Err)
    }

    /// Notices that the image which was put there last is gone: an old copy of the remote was put in its
    /// place, from before a time in which images came and no segment did. Then every image is asked for again.
    pub(super) async fn miss_images(&mut self) -> Result<(), VaultError> {
        let Some(image) = self.memory.last_image else { return Ok(()) };
        let done = outbox::get(self.vault.db(), &self.name, image)?.is_some_and(|up| up.is_done());
        let record = catalog::image_record(self.vault.db(), image)?.filter(|_| done);
        let Some(record) = record else { return Ok(()) };
        let key = self.vault.key_of(image, &record)?;
        let there = self.remote.head(&key).await.map_err(self.error())?;
        if there.is_some_and(|meta| meta.size == record.bytes) {
            return Ok(());
        }
        tracing::warn!(remote = %self.name, "the remote has lost images that it had confirmed");
        let name = self.name.clone();
        self.vault.blocking(move |vault| vault.doubt_images(&name)).await?;
        self.memory.last_image = None;
        self.remember()
    }

    /// Puts URLs into the notes that show uploaded images. Gives whether any was put.
    pub(super) async fn link(&mut self) -> Result<bool, VaultError> {
        let (name, looked) = (self.name.clone(), self.memory.linked);
        let linked = self.vault.blocking(move |vault| vault.link(&name, looked)).await?;
        if linked.unreadable.is_empty() {
            self.memory.linked = linked.through;
        }
        for error in linked.unreadable {
            self.problem(&error);
        }
        self.report.linked += linked.put;
        Ok(linked.put > 0)
    }
}

/// What is due, and when the next of a round is.
type PlannedUploads = (Vec<(u64, Start)>, Option<Timestamp>);

fn count(vault: &Vault, totals: &mut super::Totals, event: &Event) -> Result<(), VaultError> {
    match event {
        Event::ImageUploaded { already_there: true, .. } => totals.already_there += 1,
        Event::ImageUploaded { image, .. } => {
            totals.images += 1;
            totals.bytes += catalog::image_record(vault.db(), *image)?.map_or(0, |r| r.bytes);
        }
        Event::UploadBlocked { .. } => totals.blocked += 1,
        _ => totals.failed += 1,
    }
    Ok(())
}

/// Says, while it lives, that this process is uploading an image.
struct InFlight<'a>(&'a Vault, (RemoteName, ImageId));

impl<'a> InFlight<'a> {
    fn begin(vault: &'a Vault, remote: &RemoteName, image: ImageId) -> Self {
        let flight = (remote.clone(), image);
        lock(&vault.0.in_flight).insert(flight.clone());
        Self(vault, flight)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        lock(&self.0.0.in_flight).remove(&self.1);
    }
}

impl Vault {
    /// What is due, and how many bytes it has; and when the next of a round that was begun is.
    fn plan_uploads(&self, remote: &RemoteName) -> Result<PlannedUploads, VaultError> {
        let mut here = Vec::new();
        for (image, upload) in outbox::active(self.db(), remote)? {
            // What is not here is put once it is.
            if self.image_record(image)?.is_some_and(|record| record.local) {
                here.push((image, upload));
            }
        }
        let candidates = self.candidates(remote, here)?;
        let plan = upload::plan(&candidates, self.0.clock.now());
        Ok((self.by_size(plan.due, |start| start.image)?, plan.next_in_round))
    }

    /// Sees to it that the remote holds an image: asks first, puts what is missing, and asks again. Where
    /// a put of this device was cut off, what the remote shows proves nothing before it took a whole one. `put` says
    /// whether anything may be there now.
    async fn attempt(
        &self,
        name: &RemoteName,
        remote: &dyn Remote,
        Start { image, attempt, anyway, .. }: Start,
        verify_public: bool,
        put: &AtomicBool,
    ) -> Result<Outcome, VaultError> {
        let Some(record) = catalog::image_record(self.db(), image)? else {
            return Ok(Outcome::Blocked("nothing is known of the image".to_owned()));
        };
        let key = self.key_of(image, &record)?;
        let confirmed = if anyway || mutant::is(Mutant::PutsWithoutAsking) {
            false
        } else {
            match remote.head(&key).await {
                Ok(meta) => meta.is_some_and(|meta| meta.size == record.bytes),
                Err(error) => return Ok(outcome(&error)),
            }
        };
        if !confirmed {
            let body = self.blocking(move |vault| Ok(vault.body(image, record.media_type))).await?;
            let body = match body {
                Ok(body) => body,
                Err(error) => return Ok(unreadable(&error)),
            };
            let begun = Event::UploadStarted { image, remote: name.clone(), attempt };
            self.blocking(move |vault| vault.record([begun])).await?;
            if let Err(error) = remote.put(&key, body).await {
                // What answers at once is not away: something on the way does not let this image through.
                if !error.is_away() {
                    return Ok(outcome(&error));
                }
                let Ok(meta) = remote.head(&key).await else { return Ok(outcome(&error)) };
                put.fetch_or(meta.is_some(), Ordering::Relaxed);
                return Ok(Outcome::BrokeOff(chain(&error)));
            }
            put.store(true, Ordering::Relaxed);
            match remote.head(&key).await {
                Ok(Some(meta)) if meta.size == record.bytes => {}
                Ok(_) => {
                    let reason = "the remote does not show what was put".to_owned();
                    return Ok(Outcome::Failed { reason, wait: None });
                }
                Err(error) => return Ok(outcome(&error)),
            }
        }
        let known = receipts::get(self.db(), name)?;
        let url = match known {
            Some(known) => self.public_url(&known, image)?,
            None => None,
        };
        if verify_public
            && let Some(url) = &url
            && let Err(reason) = is_public(url).await
        {
            return Ok(Outcome::Failed { reason, wait: None });
        }
        Ok(Outcome::Confirmed { url, already_there: confirmed })
    }

    /// Takes back the receipts of all images. Those that are not here may be put again once they are.
    fn doubt_images(&self, remote: &RemoteName) -> Result<(), VaultError> {
        let done = outbox::list(self.db(), remote)?.into_iter().filter(|(_, up)| up.is_done());
        self.record(done.map(|(image, _)| Event::UploadRetried { image, remote: remote.clone() }))
    }

    /// The bytes of an image, their hash verified.
    fn body(&self, image: ImageId, media_type: MediaType) -> Result<Upload, ImageError> {
        use std::io::Read as _;
        let mut verified = self.0.images.verified(image, media_type)?;
        if verified.bytes > IN_MEMORY {
            return Ok(Upload::File { path: verified.path, size: verified.bytes });
        }
        let mut bytes = Vec::new();
        verified.file.read_to_end(&mut bytes).map_err(|source| ImageError::Io {
            action: "read",
            path: verified.path,
            source,
        })?;
        Ok(Bytes::from(bytes).into())
    }

    /// Puts URLs into notes: one change for each note, and nothing but URLs in it. `looked` is the event
    /// through which notes were looked through for URLs of former addresses.
    fn link(&self, remote: &RemoteName, looked: Seq) -> Result<Linked, VaultError> {
        let through = self.0.log.last()?;
        let mut linked = Linked { put: 0, unreadable: Vec::new(), through };
        let Some(known) = receipts::get(self.db(), remote)? else { return Ok(linked) };
        if known.options.public_url.is_none() {
            return Ok(linked);
        }
        let former = &self.former_addresses(&known)?;
        let mut due: BTreeMap<NoteId, Vec<(ImageId, String)>> = BTreeMap::new();
        for (image, note, current) in self.link_candidates(&known, looked != through)? {
            let done = mutant::is(Mutant::SwapBeforeReceipt)
                || outbox::get(self.db(), remote, image)?.is_some_and(|up| up.is_done());
            if let Some(url) = self.public_url(&known, image)?.filter(|_| done)
                && is_to_be_put(current.as_deref(), &url, former)
            {
                due.entry(note).or_default().push((image, url));
            }
        }
        let due: Vec<(NoteId, Vec<(ImageId, String)>)> = due.into_iter().collect();
        for result in self.side_by_side(&due, |(note, wanted)| self.put_urls(*note, wanted, former))
        {
            match result {
                Ok(put) => linked.put += put,
                // One note that can't be read must not keep the others from their URLs.
                Err(error @ VaultError::Note { .. }) => linked.unreadable.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(linked)
    }

    /// The public addresses that a remote had, but for those that are some remote's now: what is there leads to
    /// the image, and who has it there puts nothing else in its place.
    fn former_addresses(&self, known: &receipts::Remote) -> Result<Vec<String>, VaultError> {
        let remotes = receipts::list(self.db())?.into_iter();
        let now: Vec<String> =
            remotes.filter_map(|(_, remote)| remote.options.public_url).collect();
        let is_same =
            |one: &str, other: &str| one.trim_end_matches('/') == other.trim_end_matches('/');
        let is_former = |url: &&String| !now.iter().any(|now| is_same(now, url));
        Ok(known.former_public_urls.iter().filter(is_former).cloned().collect())
    }

    /// Puts the URLs of images into a note, where they are to be put; gives how many were.
    fn put_urls(
        &self,
        note: NoteId,
        wanted: &[(ImageId, String)],
        former: &[String],
    ) -> Result<u64, VaultError> {
        let (at, mut count) = (self.0.clock.now(), 0);
        self.change_note(note, &Origin::Projector, Vec::new(), |loaded| {
            let urls = loaded.urls();
            let is_due = |image: &ImageId, url: &str| {
                is_to_be_put(urls.get(image).map(String::as_str), url, former)
            };
            let put: Vec<(ImageId, String)> =
                wanted.iter().filter(|(image, url)| is_due(image, url)).cloned().collect();
            count = put.len() as u64;
            Ok(loaded.put_urls(&put, at)?.into_iter().collect())
        })?;
        Ok(count)
    }

    /// The URL that an image has on a remote with a public base.
    pub(crate) fn public_url(
        &self,
        remote: &receipts::Remote,
        image: ImageId,
    ) -> Result<Option<String>, VaultError> {
        let Some(base) = &remote.options.public_url else { return Ok(None) };
        let record = catalog::image_record(self.db(), image)?;
        let key = record.map(|record| self.key_of(image, &record)).transpose()?;
        Ok(key.map(|key| public_url(base, &key)))
    }

    /// Whether one of these notes has the URL that an image has on a remote.
    pub(super) fn is_linked(
        &self,
        remote: &receipts::Remote,
        image: ImageId,
        notes: &[NoteId],
    ) -> Result<bool, VaultError> {
        let Some(wanted) = self.public_url(remote, image)? else { return Ok(false) };
        for note in notes {
            let shown =
                catalog::get(self.db(), *note)?.into_iter().flat_map(|row| row.digest.images);
            let mut urls = shown.filter(|(of, _)| *of == image).filter_map(|(_, url)| url);
            if urls.any(|url| url == wanted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a remote calls an image.
    fn key_of(&self, image: ImageId, record: &ImageRecord) -> Result<Key, VaultError> {
        let mut media_type = record.media_type;
        if mutant::is(Mutant::KeyByWrittenName) {
            media_type = self.written_type(image)?.unwrap_or(media_type);
        }
        Ok(Key::Image { image, media_type })
    }

    /// What [`Mutant::KeyByWrittenName`] takes an image for.
    fn written_type(&self, image: ImageId) -> Result<Option<MediaType>, VaultError> {
        let Some(note) = catalog::notes_showing(self.db(), image)?.pop() else { return Ok(None) };
        let body = self.read(note, None)?.body;
        let mut names = body.embeds().filter(|embed| embed.image == image).map(|embed| &embed.name);
        let end = names.next().and_then(|name| name.rsplit_once('.'));
        Ok(end.and_then(|(_, end)| MediaType::from_extension(end)))
    }

    /// Images in notes that have no URL there, or, where there is `news` and the remote had other public
    /// addresses, some URL, with that.
    fn link_candidates(
        &self,
        remote: &receipts::Remote,
        news: bool,
    ) -> Result<Vec<(ImageId, NoteId, Option<String>)>, VaultError> {
        let unlinked = catalog::unlinked(self.db())?.into_iter();
        let mut candidates: Vec<_> = unlinked.map(|(image, note)| (image, note, None)).collect();
        if news && !remote.former_public_urls.is_empty() {
            for (note, entry) in catalog::list(self.db())? {
                let linked = entry.digest.images.into_iter().filter(|(_, url)| url.is_some());
                candidates.extend(linked.map(|(image, url)| (image, note, url)));
            }
        }
        Ok(candidates)
    }
}

/// What came of putting URLs into notes.
struct Linked {
    put: u64,
    /// Notes that could not be read.
    unreadable: Vec<VaultError>,
    /// The last event when it began.
    through: Seq,
}

/// What it means for an upload that the local file of an image can't be sent. A system that is short of
/// something, or a disk that is away, may be well another time.
fn unreadable(error: &ImageError) -> Outcome {
    let reason = chain(error);
    match error {
        ImageError::Io { .. } | ImageError::Read(_) => Outcome::Failed { reason, wait: None },
        _ => Outcome::Blocked(reason),
    }
}

/// What an error means for an upload.
fn outcome(error: &RemoteError) -> Outcome {
    let reason = chain(error);
    match error {
        RemoteError::Offline { .. } | RemoteError::NoDirectory { .. } => {
            Outcome::Unreachable(reason)
        }
        RemoteError::Busy { retry_after, .. } => Outcome::Failed { reason, wait: *retry_after },
        // Somebody has to make room, and nobody tells when they have.
        RemoteError::NoRoom { .. } => Outcome::Failed { reason, wait: Some(upload::LONGEST_PAUSE) },
        RemoteError::Denied { .. }
        | RemoteError::TooLarge { .. }
        | RemoteError::NoBucket { .. } => Outcome::Blocked(reason),
        // The remote took what came before: something else may have answered in its place.
        RemoteError::Misconfigured { .. }
        | RemoteError::NotFound { .. }
        | RemoteError::Oversized { .. }
        | RemoteError::Damaged { .. }
        | RemoteError::Io { .. } => Outcome::Failed { reason, wait: None },
    }
}

/// Whether anybody can read what is at `url`.
#[cfg(feature = "https")]
async fn is_public(url: &str) -> Result<(), String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let request = reqwest::Client::new().head(url).timeout(std::time::Duration::from_secs(30));
    let answer = request.send().await;
    match answer.map(|answer| answer.status()) {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) => Err(format!(
            "{url} answers {status}: check the public address and that the bucket may be read there"
        )),
        Err(error) => Err(format!("{url} could not be asked: {error}")),
    }
}

/// Without an HTTP client, nobody can be asked.
#[cfg(not(feature = "https"))]
#[expect(clippy::unused_async, reason = "stands in for the one that asks")]
async fn is_public(url: &str) -> Result<(), String> {
    Err(format!("{url} can't be asked: this build has no HTTP client"))
}
