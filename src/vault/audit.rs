//! Whether a remote holds what it should, and tells the truth: segments, heads, and the bytes of images.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::StreamExt as _;

use super::{Vault, VaultError, Verification, error::chain, exchange::Session};
use crate::{
    event::{Event, RemoteName, RenewReason, ResetReason},
    id::{DeviceId, ImageId, Seq},
    projection::{
        catalog::{self, ImageRecord},
        outbox,
        receipts::{self, Chain},
    },
    remote::{Key, Prefix, Remote, RemoteError, RemoteExt as _},
    segment::{self, HEAD_LIMIT, Head},
};

impl Vault {
    /// Checks that a remote holds what its receipts say: every segment is read, images are asked
    /// after. With `repair`, segments that this device wrote are put there again as they were; what else is
    /// not there counts as not confirmed any more, so that the next sync puts it again.
    ///
    /// # Errors
    ///
    /// Where the remote can't be asked.
    pub async fn verify_remote(
        &self,
        name: &RemoteName,
        remote: &dyn Remote,
        repair: bool,
        found: &mut Verification,
    ) -> Result<(), VaultError> {
        // A sync would put, beside this, what is being looked for, and take for proved what is given up.
        let _one_at_a_time = self.exchange().await;
        let error = |source| VaultError::Remote { remote: name.clone(), source };
        self.check_owner(name, remote, found).await?;
        let before = found.findings.len();
        let mut keys: BTreeSet<String> = BTreeSet::new();
        let mut bad = HashSet::new();
        let covered = self.covered_segments(name, remote, found).await?;
        let of = name.clone();
        let receipted = self.blocking(move |vault| vault.receipted_segments(&of)).await?;
        for key in receipted.into_iter().chain(covered) {
            if !keys.insert(key.to_string()) {
                continue;
            }
            found.receipts += 1;
            let Key::Segment { hash, .. } = key else { continue };
            match remote.get_bytes(&key, segment::LIMIT as u64).await {
                Ok(bytes) if blake3::hash(&bytes).as_bytes() == hash.as_bytes() => {}
                Ok(_) | Err(RemoteError::Oversized { .. }) => {
                    found.find(key.to_string(), "it is damaged there");
                    bad.insert(key);
                }
                Err(RemoteError::NotFound { .. }) => {
                    found.find(key.to_string(), "the remote confirmed it and does not hold it now");
                    bad.insert(key);
                }
                Err(source) => return Err(error(source)),
            }
        }
        let mut events = Vec::new();
        let mut repair_log = repair && found.findings.len() > before;
        if repair_log {
            let there = self.put_again(name, remote, bad).await?;
            let findings = found.findings.iter_mut().skip(before);
            for finding in findings.filter(|finding| there.contains(&finding.what)) {
                finding.problem.push_str("; it was put there again");
            }
            repair_log = there.len() < found.findings.len() - before;
        }
        self.verify_checkpoints(name, remote, repair, found).await?;
        self.verify_heads(name, remote, repair, found).await?;
        if repair_log {
            events.push(Event::RemoteReset {
                remote: name.clone(),
                reason: ResetReason::SegmentGone,
            });
        }
        let listed = remote.list_all(&Prefix::Images, None).await.map_err(error)?;
        let sizes: BTreeMap<String, u64> =
            listed.into_iter().map(|listed| (listed.key.to_string(), listed.size)).collect();
        let of = name.clone();
        for (image, record) in self.blocking(move |vault| vault.receipted_images(&of)).await? {
            found.receipts += 1;
            let key = Key::Image { image, media_type: record.media_type }.to_string();
            match sizes.get(&key) {
                Some(size) if *size == record.bytes => continue,
                Some(size) => {
                    found.find(key, format!("it has {size} bytes there, not {}", record.bytes));
                }
                None => found.find(key, "the remote confirmed it and does not hold it now"),
            }
            if repair {
                events.push(Event::UploadRetried { image, remote: name.clone() });
            }
        }
        if events.is_empty() {
            return Ok(());
        }
        let name = name.clone();
        self.blocking(move |vault| vault.distrust(&name, events)).await
    }

    /// Takes back receipts that turned out not to be true any more.
    fn distrust(&self, name: &RemoteName, mut events: Vec<Event>) -> Result<(), VaultError> {
        if matches!(events.first(), Some(Event::RemoteReset { .. })) {
            // With it all receipts are gone, those of images too.
            self.renew_after(Some(events.swap_remove(0)), RenewReason::RemoteReset)?;
        } else {
            self.record(events)?;
        }
        self.forget_pulse(name)
    }

    /// Checks that every head can be read and names what is there, and that none is missing. With
    /// `repair`, a missing one is put again, for whoever joins.
    pub(super) async fn verify_heads(
        &self,
        name: &RemoteName,
        remote: &dyn Remote,
        repair: bool,
        found: &mut Verification,
    ) -> Result<(), VaultError> {
        let error = |source| VaultError::Remote { remote: name.clone(), source };
        let mut known = self.known_chains(name)?;
        for listed in remote.list_all(&Prefix::Heads, None).await.map_err(error)? {
            let Key::Head(device) = listed.key else { continue };
            let read = known.remove(&device).unwrap_or_default();
            let bytes = match remote.get_bytes(&listed.key, HEAD_LIMIT as u64).await {
                Ok(bytes) => bytes,
                Err(problem @ RemoteError::Oversized { .. }) => {
                    found.find(listed.key.to_string(), problem);
                    continue;
                }
                Err(RemoteError::NotFound { .. }) => continue,
                Err(source) => return Err(error(source)),
            };
            let head = match Head::open(&self.0.sealer, device, &bytes) {
                Ok(head) => head,
                Err(problem) => {
                    found.find(listed.key.to_string(), chain(&problem));
                    continue;
                }
            };
            if let Some(problem) = self.lie(remote, device, &head, &read).await.map_err(error)? {
                found.find(listed.key.to_string(), problem);
                if repair && head.seq < read.seq {
                    self.put_head(name, remote, device, &read).await?;
                }
            }
        }
        for (device, chain) in known.into_iter().filter(|(_, chain)| chain.seq > 0) {
            let key = Key::Head(device);
            found.find(key.to_string(), "it is gone, though segments of the device are there");
            if repair {
                self.put_head(name, remote, device, &chain).await?;
            }
        }
        Ok(())
    }

    /// What is wrong with a head, if anything, given what was read of its device.
    async fn lie(
        &self,
        remote: &dyn Remote,
        device: DeviceId,
        head: &Head,
        chain: &Chain,
    ) -> Result<Option<String>, RemoteError> {
        let Head { seq, hash, .. } = *head;
        if seq < chain.seq {
            return Ok(Some(format!(
                "it names segment {seq}, and segment {} is there: an old head was put in its place, or \
                 the device stopped before it put the new one",
                chain.seq
            )));
        }
        let Some(hash) = hash.filter(|_| seq > chain.seq) else { return Ok(None) };
        let key = Key::Segment { device, seq, hash };
        let missing = remote.head(&key).await?.is_none();
        Ok(missing.then(|| {
            format!(
                "it names segment {seq}, which is not there; it may come, or the remote has lost it"
            )
        }))
    }

    /// Reads every image that a remote is said to hold, and checks that it is what its name says. With
    /// `repair`, one that is not is removed there, where this device can put it again, and the next sync
    /// does.
    ///
    /// # Errors
    ///
    /// Where the remote can't be asked, is not known or belongs to another vault.
    pub async fn verify_remote_images(
        &self,
        name: &RemoteName,
        remote: &dyn Remote,
        repair: bool,
        found: &mut Verification,
    ) -> Result<(), VaultError> {
        let _one_at_a_time = self.exchange().await;
        let error = |source| VaultError::Remote { remote: name.clone(), source };
        self.check_owner(name, remote, found).await?;
        let of = name.clone();
        for (image, record) in self.blocking(move |vault| vault.receipted_images(&of)).await? {
            let key = Key::Image { image, media_type: record.media_type };
            match is_image(remote, &key, image, record.bytes).await.map_err(error)? {
                // One that is missing is found by asking for its size.
                None | Some(true) => continue,
                Some(false) => found.find(key.to_string(), "its bytes are not those of the image"),
            }
            let media_type = record.media_type;
            let images = self.images().clone();
            let here = move |_: &Vault| Ok(images.verified(image, media_type).is_ok());
            if repair && record.local && self.blocking(here).await? {
                // Before it goes there: whatever ends this, nothing says then that the remote holds it.
                let doubted = Event::UploadRetried { image, remote: name.clone() };
                self.blocking(move |vault| vault.record([doubted])).await?;
                remote.delete(&key).await.map_err(error)?;
            }
        }
        Ok(())
    }

    /// The segments that a remote is said to hold since it last lost anything.
    pub(super) fn receipted_segments(&self, name: &RemoteName) -> Result<Vec<Key>, VaultError> {
        let mut keys = Vec::new();
        let (mut own, mut content) = (None, receipts::Content::of(name));
        for recorded in self.events(Seq(1)) {
            let event = recorded?.event;
            if content.is_forgotten(&event) {
                keys.clear();
            }
            match event {
                Event::LogBegun { device, .. } => own = Some(device),
                Event::DeviceRenewed { from, to, reason } => {
                    if reason == RenewReason::Diverged {
                        // All of it is told again under the new id.
                        keys.retain(
                            |key| !matches!(key, Key::Segment { device, .. } if *device == from),
                        );
                    }
                    own = Some(to);
                }
                Event::SegmentPulled { remote, device, seq, hash, .. } if remote == *name => {
                    keys.push(Key::Segment { device, seq, hash });
                }
                Event::SegmentPushed { remote, seq, hash, .. } if remote == *name => {
                    keys.extend(own.map(|device| Key::Segment { device, seq, hash }));
                }
                _ => {}
            }
        }
        Ok(keys)
    }

    /// The images that a remote is said to hold.
    pub(super) fn receipted_images(
        &self,
        name: &RemoteName,
    ) -> Result<Vec<(ImageId, ImageRecord)>, VaultError> {
        let mut images = Vec::new();
        for (image, upload) in outbox::list(self.db(), name)? {
            let record = catalog::image_record(self.db(), image)?.filter(|_| upload.is_done());
            images.extend(record.map(|record| (image, record)));
        }
        Ok(images)
    }

    /// Checks that a remote is one of this device's, and this vault's; says where it is nobody's.
    pub(super) async fn check_owner(
        &self,
        name: &RemoteName,
        remote: &dyn Remote,
        found: &mut Verification,
    ) -> Result<(), VaultError> {
        self.remote(Some(name))?;
        let (what, problem) = (format!("remote {name}"), "it holds no vault; a sync makes it one");
        let is_said = found.findings.iter().any(|finding| finding.what == what);
        if !self.is_ours(name, remote).await? && !is_said {
            found.find(what, problem);
        }
        Ok(())
    }
}

impl Session<'_> {
    /// Notices heads that went back, or are gone, though what they had named is there.
    pub(super) fn compare_heads(
        &mut self,
        heads: &BTreeMap<DeviceId, Head>,
        unreadable: impl Fn(&DeviceId) -> bool,
    ) -> Result<(), VaultError> {
        let known = self.known_chains()?;
        let before = std::mem::take(&mut self.memory.heads);
        for (device, before) in &before {
            let now = heads.get(device).map(|head| head.seq);
            if now < Some(*before) && !unreadable(device) {
                let (device, before) = (*device, *before);
                self.problem(&HeadWentBack { device, before, now });
            }
        }
        self.memory.heads = before.into_iter().filter(|(device, _)| unreadable(device)).collect();
        for (device, head) in heads {
            let read = known.get(device).map_or(0, |chain| chain.seq);
            let seq = head.seq.min(read);
            if seq > 0 {
                self.memory.heads.insert(*device, seq);
            }
        }
        Ok(())
    }
}

/// A head that names less than it did: nobody takes back what they pushed.
#[derive(Debug, thiserror::Error)]
#[error(
    "the head of device {} named segment {before}, and {}: the remote shows an old one in its place, or has lost it",
    device.short(),
    now.map_or_else(|| "is gone now".to_owned(), |now| format!("names segment {now} now"))
)]
struct HeadWentBack {
    device: DeviceId,
    before: u64,
    now: Option<u64>,
}

/// Whether what a remote gives for an image is that image; `None` where it gives nothing.
async fn is_image(
    remote: &dyn Remote,
    key: &Key,
    image: ImageId,
    bytes: u64,
) -> Result<Option<bool>, RemoteError> {
    let mut body = match remote.get(key).await {
        Ok(download) => download.body,
        Err(RemoteError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut hasher = blake3::Hasher::new();
    while let Some(piece) = body.next().await.transpose()? {
        hasher.update(&piece);
        if hasher.count() > bytes {
            return Ok(Some(false));
        }
    }
    Ok(Some(hasher.finalize().as_bytes() == image.as_bytes()))
}
