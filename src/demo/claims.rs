//! What is claimed, and where it is looked up.

use std::collections::BTreeMap;

use super::{
    Before, Claim, DemoError, FIRST, OUTAGE_LINE, Stage,
    device::{Device, Page, Picture},
};
use crate::{
    id::{ImageId, NoteId},
    remote::Requests,
};

/// What was seen after the last sync.
pub(super) struct Witness {
    pub(super) laptop: Seen,
    pub(super) phone: Seen,
    /// A device that came later, with the key and the store alone; `None` where it could not join.
    tablet: Option<Seen>,
    /// The images on the store.
    pub(super) objects: Vec<Object>,
    pub(super) idle_sync: Requests,
    /// Whether that sync recorded nothing.
    idle_is_silent: bool,
    /// Whether what a URL in a note gives hashes to the image that it is for.
    urls_work: bool,
}

/// What was seen of a device.
pub(super) struct Seen {
    pub(super) notes: BTreeMap<NoteId, Page>,
    pub(super) pictures: BTreeMap<ImageId, Picture>,
    pub(super) projector_changes: u64,
    /// Image files.
    stored: usize,
    /// What `everleaf verify` found.
    findings: usize,
    /// Uploads that are not done.
    unfinished: u64,
    unsynced: u64,
}

/// What was seen of an object on the store.
pub(super) struct Object {
    pub(super) bytes: u64,
    pub(super) puts: u64,
}

impl Seen {
    fn of(device: &Device) -> Result<Self, DemoError> {
        let found = device.vault.verify()?;
        let status = device.vault.status()?;
        let images = status.images;
        Ok(Self {
            notes: device.notes()?,
            pictures: device.pictures()?,
            projector_changes: found.projector_changes,
            stored: device.stored(),
            findings: found.findings.len(),
            unfinished: images.distinct - images.uploaded,
            unsynced: status.unsynced_notes,
        })
    }

    /// Whether notes, images and URLs are the same, and all images are here.
    fn equals(&self, other: &Self) -> bool {
        let whole = self.pictures.values().all(|picture| picture.bytes.is_some());
        whole && self.notes == other.notes && self.pictures == other.pictures
    }
}

impl Witness {
    pub(super) async fn question(stage: &Stage) -> Result<Self, DemoError> {
        let Stage { store, laptop, phone, .. } = stage;
        let events = laptop.last_event();
        let idle_sync = laptop.sync().await.map(|report| report.requests).unwrap_or_default();
        let idle_is_silent = laptop.last_event() == events;
        let laptop = Seen::of(laptop)?;
        let objects = store.objects().into_iter().filter(|(name, _)| name.starts_with("images/"));
        let objects: Vec<Object> = objects
            .map(|(name, object)| Object {
                bytes: object.bytes.len() as u64,
                puts: store.puts(&name),
            })
            .collect();
        Ok(Self {
            urls_work: urls_work(&laptop.pictures).await,
            phone: Seen::of(phone)?,
            tablet: tablet(stage).await.ok(),
            laptop,
            objects,
            idle_sync,
            idle_is_silent,
        })
    }

    pub(super) fn claims(&self, stage: &Stage, before: &Before) -> Vec<Claim> {
        let Self { laptop, phone, .. } = self;
        let text = laptop.notes.get(&stage.sourdough).map(|page| page.source.as_str());
        let text = text.unwrap_or_default();
        let bake_day = laptop.notes.get(&stage.bake_day).map(|page| page.source.as_str());
        let distinct = laptop.pictures.len();
        let one_head = Requests { head: 1, ..Requests::default() };
        let both = |test: fn(&Seen) -> bool| test(laptop) && test(phone);
        let claims = [
            ("both devices have the same notes and images, byte for byte", laptop.equals(phone)),
            (
                "both edits of the one paragraph are in it",
                text.starts_with(&FIRST.replace("once", "twice").replace("kitchen", "fridge")),
            ),
            (
                "what was written during the outage is there, and was never said to be synced",
                bake_day.is_some_and(|text| text.contains(OUTAGE_LINE)) && before.unsynced > 0,
            ),
            (
                "an image that two devices and two notes have is one object, as is every other",
                distinct > 0 && self.objects.len() == distinct,
            ),
            (
                "every one of them was put once, by one device",
                !self.objects.is_empty() && self.objects.iter().all(|object| object.puts == 1),
            ),
            (
                "each device stores an image once",
                laptop.stored == distinct && phone.stored == distinct,
            ),
            ("uploading changed no text of any note", laptop.notes == before.notes),
            (
                "every change that the upload projector made puts URLs and touches nothing else",
                laptop.projector_changes + phone.projector_changes > 0
                    && both(|device| device.findings == 0),
            ),
            ("the URL of every image gives its bytes to anybody", self.urls_work),
            (
                "once the store was well, everything that was pending went up by itself",
                both(|device| device.unfinished == 0 && device.unsynced == 0),
            ),
            (
                "a sync without news costs one HEAD request and records nothing",
                self.idle_sync == one_head && self.idle_is_silent,
            ),
            (
                "a third device has the same notes and images from the store and the key alone",
                self.tablet.as_ref().is_some_and(|tablet| tablet.equals(laptop)),
            ),
        ];
        claims.into_iter().map(|(claim, holds)| Claim { claim, holds }).collect()
    }
}

/// A new device, after its first sync.
async fn tablet(stage: &Stage) -> Result<Seen, DemoError> {
    let key = stage.laptop.vault.key().clone();
    let tablet = Device::new("tablet", Some(key), &stage.home, &stage.store, &stage.clock).await?;
    tablet.sync().await?;
    Seen::of(&tablet)
}

/// Asks for every URL as a browser would, without any key.
async fn urls_work(pictures: &BTreeMap<ImageId, Picture>) -> bool {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Ok(client) = reqwest::Client::builder().no_proxy().build() else { return false };
    for (image, picture) in pictures {
        let Some(url) = &picture.url else { return false };
        let Ok(answer) = client.get(url).send().await else { return false };
        if !answer.status().is_success() {
            return false;
        }
        match answer.bytes().await {
            Ok(bytes) if blake3::hash(&bytes).as_bytes() == image.as_bytes() => {}
            _ => return false,
        }
    }
    !pictures.is_empty()
}
