//! What a device claims at any time: that a note is synced, that a URL works, that it is the only one
//! of its name.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Wrong, device::PUBLIC, world::World};
use crate::{
    event::{Event, Origin},
    id::{DeviceId, ImageId, SegmentHash, Seq},
    image::MediaType,
    note,
    remote::Key,
    segment::{Item, Segment},
    vault::Listed,
};

impl World {
    /// Holds what a device says against what the remote saw.
    pub(super) fn check_claims(&mut self, n: usize) -> Check {
        self.listen()?;
        self.check_keys()?;
        let vault = self.device(n)?.vault()?;
        let unsynced = vault.unsynced_notes()?;
        let acknowledged = self.device(n)?.acknowledged().filter(|_| unsynced.is_empty());
        for (note, heads) in acknowledged {
            if let Some(change) = heads.as_slice().iter().find(|change| !self.told.contains(change))
            {
                let what = format!(
                    "d{n} says that all is synced, but change {} of note {} is on no remote",
                    change.short(),
                    note.short()
                );
                return Err(Wrong::promise(7, what));
            }
        }
        let mut rows = vault.list()?;
        rows.retain(|row| row.images > 0);
        let has_unsynced = |row: &Listed| row.pending_images > 0 || unsynced.contains(&row.note);
        // Asking for each costs more than all else together.
        if let Some(row) = rows.get(self.outcome.steps % rows.len().max(1))
            && vault.note_status(row.note)?.has_unsynced_images != has_unsynced(row)
        {
            let what = format!("d{n} says two things of the images of note {}", row.note.short());
            return Err(Wrong::promise(7, what));
        }
        for row in rows {
            for (image, url) in vault.image_urls(row.note)? {
                if let Some(name) = url.as_deref().and_then(named)
                    && !self.remote.ever_held(name)
                {
                    let what = format!(
                        "note {} on d{n} shows {name}, which the remote never held",
                        row.note.short()
                    );
                    return Err(Wrong::promise(5, what));
                }
                if !has_unsynced(&row)
                    && !self.ever_held(image)
                    && vault.local_file(image)?.is_some()
                {
                    let what = format!(
                        "d{n} says that the images of note {} are synced, but the remote never held {}",
                        row.note.short(),
                        image.short()
                    );
                    return Err(Wrong::promise(7, what));
                }
            }
        }
        Ok(())
    }

    /// An image that a device was allowed to drop must have been somewhere else.
    pub(super) fn check_evicted(&self, image: ImageId) -> Check {
        if self.ever_held(image) {
            return Ok(());
        }
        let what = format!("a local copy of {} was dropped; no remote ever held it", image.short());
        Err(Wrong::promise(6, what))
    }

    fn ever_held(&self, image: ImageId) -> bool {
        let key = |media_type| Key::Image { image, media_type }.to_string();
        MediaType::ALL.into_iter().any(|media_type| self.remote.ever_held(&key(media_type)))
    }

    /// Whether any image has two names on the remote.
    fn check_keys(&self) -> Check {
        let mut images = BTreeSet::new();
        for name in self.remote.objects().into_keys() {
            if let Ok(Key::Image { image, .. }) = name.parse()
                && !images.insert(image)
            {
                let what = format!("image {} is on the remote more than once", image.short());
                return Err(Wrong::promise(4, what));
            }
        }
        Ok(())
    }

    /// Whether the last put that a device made of an image came after one that it never heard of to the
    /// end. A hub puts for all of them.
    pub(super) fn was_cut_off(&self, n: usize, image: ImageId) -> Check<bool> {
        let by = if n < self.devices.len() { vec![n] } else { self.here() };
        for n in by {
            if self.was_put_again(n, image)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn was_put_again(&self, n: usize, image: ImageId) -> Check<bool> {
        let (mut begun, mut again) = (false, false);
        for event in self.device(n)?.vault()?.events(Seq(1)) {
            match event?.event {
                Event::UploadStarted { image: of, .. } if of == image => {
                    (again, begun) = (begun, true);
                }
                Event::ImageUploaded { image: of, .. } if of == image => begun = false,
                _ => {}
            }
        }
        Ok(again)
    }

    /// Reads what was put on the remote.
    fn listen(&mut self) -> Check {
        for (key, bytes) in self.remote.new_segments() {
            let Key::Segment { device, seq, hash } = key else { continue };
            for item in Segment::open(&self.sealer, device, seq, hash, &bytes)?.items {
                if let Item::Change { change, .. } = item {
                    self.told.insert(note::inspect(&change.0)?.hash);
                }
            }
        }
        Ok(())
    }

    /// No two changes have one author and number, and, in the end, no two devices push under one name.
    pub(super) fn check_identities(&self) -> Check {
        let mut authored = BTreeMap::new();
        let mut pushed: BTreeMap<DeviceId, (usize, BTreeSet<(u64, SegmentHash)>)> = BTreeMap::new();
        for n in self.here() {
            let vault = self.device(n)?.vault()?;
            let own = vault.device()?;
            let (mut segments, mut news) = (BTreeSet::new(), BTreeSet::new());
            let mut id = None;
            for event in vault.events(Seq(1)) {
                let recorded = event?;
                match recorded.event {
                    Event::NoteChanged { note, change } => {
                        if let Origin::Device { device, seq, .. } = recorded.origin {
                            news.insert((device, seq));
                        }
                        let info = note::inspect(&change.0)?;
                        let first =
                            authored.entry((note, info.actor, info.seq)).or_insert(info.hash);
                        if *first != info.hash {
                            let what = format!(
                                "note {} has two changes of one author and number, {} and {}",
                                note.short(),
                                first.short(),
                                info.hash.short()
                            );
                            return Err(Wrong::promise(10, what));
                        }
                    }
                    Event::LogBegun { device, .. } | Event::DeviceRenewed { to: device, .. } => {
                        id = Some(device);
                    }
                    Event::RemoteReset { .. } => segments.clear(),
                    Event::SegmentPushed { seq, hash, .. } if id == Some(own) => {
                        segments.insert((seq, hash));
                    }
                    // Put before a kill, or by a twin that knew no more.
                    Event::SegmentPulled { device, seq, hash, .. }
                        if device == own && !news.contains(&(own, seq)) =>
                    {
                        segments.insert((seq, hash));
                    }
                    _ => {}
                }
            }
            if let Some((other, before)) = pushed.insert(own, (n, segments.clone()))
                && self.is_calm
                && !before.is_subset(&segments)
                && !segments.is_subset(&before)
            {
                let what = format!("d{other} and d{n} push under one name, and nobody noticed");
                return Err(Wrong::promise(10, what));
            }
        }
        Ok(())
    }
}

/// What a URL names on the remote.
pub(super) fn named(url: &str) -> Option<&str> {
    url.strip_prefix(PUBLIC)?.strip_prefix('/')
}
