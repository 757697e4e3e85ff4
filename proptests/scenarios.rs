//! The scenarios of the app that everleaf replaces, each told in its own words. It had a
//! `PendingImageUpload` table, a queue, retries and a shadow cache; here the log has it all.
//!
//! Each takes place in a bucket, of this process or of the store that the environment names, and again
//! on a hub before that bucket.

mod ground;
mod leftovers;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use everleaf::{
    clock::Clock as _,
    event::Event,
    id::{ImageId, NoteId, Seq},
    image::MediaType,
    loopback::Trouble,
    remote::{Call, Fault, Key, Layer, Remote, RemoteError, Upload, public_url},
    upload::State,
    vault::{Progress, SyncOptions, VaultError},
};
use tokio::sync::Notify;

use self::ground::{Bucket, Ground};
use crate::{
    image::png,
    world::{Device, copy_folder, origin},
};

/// A remote, and a device that syncs with it.
struct Scene {
    ground: Ground,
    remote: Arc<dyn Remote>,
    phone: Device,
}

/// Tells a scenario in a bucket, and on a hub.
async fn everywhere(scenario: impl AsyncFn(Scene)) {
    for on_hub in [false, true] {
        eprintln!("{}", if on_hub { "on a hub" } else { "in a bucket" });
        scenario(Scene::new(on_hub).await).await;
    }
}

impl Scene {
    async fn new(on_hub: bool) -> Self {
        let phone = Device::new("phone", 1);
        let bucket = Bucket::find().await;
        let (ground, remote) = if on_hub {
            Ground::behind_a_hub(bucket, phone.vault().key()).await
        } else {
            Ground::in_a_bucket(bucket).await
        };
        phone.add_public(&remote, Some(&ground.public_url)).await;
        Self { ground, remote, phone }
    }

    /// Every request fails as if the server were not there.
    fn outage(&self) {
        self.ground.fail(Fault::always(Trouble::Drop));
    }

    /// Puts of images are answered with 503.
    fn image_trouble(&self, times: u64) {
        let trouble = Trouble::Answer { status: 503, code: "ServiceUnavailable" };
        let fault = Fault { prefix: "images/".into(), ..Fault::next(Call::Put, times, trouble) };
        self.ground.fail(fault);
    }

    fn states(&self) -> Vec<State> {
        let images = self.phone.vault().image_list().unwrap();
        images.iter().filter_map(|image| image.state).collect()
    }

    fn url(&self, image: ImageId) -> String {
        public_url(&self.ground.public_url, &Key::Image { image, media_type: MediaType::Png })
    }

    fn shown(&self, note: NoteId) -> String {
        shown(&self.phone, note)
    }
}

fn shown(device: &Device, note: NoteId) -> String {
    let vault = device.vault();
    vault.markdown(&vault.read(note, None).unwrap()).unwrap()
}

fn picture(device: &Device, name: &str) -> ImageId {
    let bytes = png(64, 48, name.as_bytes());
    device.file(name, &bytes);
    ImageId::from_bytes(*blake3::hash(&bytes).as_bytes())
}

fn events(device: &Device) -> Vec<Event> {
    device.vault().events(Seq(1)).map(|recorded| recorded.unwrap().event).collect()
}

/// "I write a note with two pictures on the train. At home it syncs, and the pictures are on the web."
#[tokio::test]
async fn a_note_with_images_is_written_offline_and_synced_later() {
    everywhere(async |scene: Scene| {
        let crumb = picture(&scene.phone, "crumb.png");
        let crust = picture(&scene.phone, "crust.png");
        scene.outage();
        let source = "# Bread\n\n![Crumb](crumb.png) and ![Crust](crust.png \"dark\")\n";
        let note = scene.phone.note(source);
        let failed = scene.phone.try_sync(&scene.remote).await.unwrap_err();
        assert!(matches!(failed, VaultError::Remote { source: RemoteError::Offline { .. }, .. }));
        let status = scene.phone.vault().note_status(note).unwrap();
        assert!(status.has_pending_image_uploads && status.has_unsynced_images);
        assert_eq!((status.pending_image_count, status.local_only_image_paths.len()), (2, 2));
        assert!(status.local_only_image_paths.iter().all(|path| Path::new(path).is_file()));
        assert_eq!(scene.states(), [State::Waiting, State::Waiting]);

        scene.ground.heal();
        let report = scene.phone.sync(&scene.remote).await;
        assert_eq!((report.uploaded.images, report.linked), (2, 2));
        let expected = format!(
            "# Bread\n\n![Crumb]({}) and ![Crust]({} \"dark\")\n",
            scene.url(crumb),
            scene.url(crust)
        );
        assert_eq!(scene.shown(note), expected);
        assert_eq!(scene.phone.source(note), source, "an upload never edits text");
        let status = scene.phone.vault().note_status(note).unwrap();
        assert!(!status.has_pending_image_uploads && !status.has_unsynced_images);
        assert_eq!(status.synced_image_urls.len(), 2);
        scene.phone.check();
    })
    .await;
}

/// "I add a picture to a note that is synced, with a good connection: its URL is there at once."
#[tokio::test]
async fn an_image_added_to_a_synced_note_while_online_has_its_url_at_once() {
    everywhere(async |scene: Scene| {
        let note = scene.phone.note("# Bread\n");
        scene.phone.sync(&scene.remote).await;
        let crumb = picture(&scene.phone, "crumb.png");
        let file = scene.phone.folder.path().join("crumb.png");
        let attached = scene.phone.vault().attach(note, &[file], Some("Crumb")).unwrap();
        assert_eq!((attached[0].image, attached[0].already_stored), (crumb, false));
        scene.phone.sync(&scene.remote).await;
        assert_eq!(scene.shown(note), format!("# Bread\n\n![Crumb]({})\n", scene.url(crumb)));
        assert_eq!(scene.phone.source(note), "# Bread\n\n![Crumb](crumb.png)\n");
    })
    .await;
}

/// "The connection comes and goes. What went through stays through, the rest goes next time, and
/// nothing goes twice."
#[tokio::test]
async fn with_mixed_connectivity_every_image_goes_once() {
    everywhere(async |scene: Scene| {
        let images: Vec<ImageId> =
            (0..4).map(|n| picture(&scene.phone, &format!("{n}.png"))).collect();
        let source = "![0](0.png)\n\n![1](1.png)\n\n![2](2.png)\n\n![3](3.png)\n\n";
        let note = scene.phone.note(source);
        let two_go_well = Fault {
            prefix: "images/".into(),
            skip: 2,
            ..Fault::next(Call::Put, u64::MAX, Trouble::Drop)
        };
        scene.ground.fail(two_go_well);
        let options = SyncOptions { parallel: Some(1), ..SyncOptions::default() };
        let report = scene.phone.sync_with(&scene.remote, &options).await.unwrap();
        assert_eq!(report.uploaded.images, 2);
        let uploaded = scene.states().iter().filter(|state| **state == State::Uploaded).count();
        assert_eq!(uploaded, 2);
        assert_eq!(scene.shown(note).matches("http://").count(), 2);

        scene.ground.heal();
        scene.phone.clock.advance(Duration::from_mins(1));
        scene.phone.sync(&scene.remote).await;
        assert_eq!(scene.ground.image_puts(), [1, 1, 1, 1]);
        assert!(images.iter().all(|image| scene.shown(note).contains(&scene.url(*image))));
    })
    .await;
}

/// "The server has a bad day. The app tries three times, then leaves it for a while; the picture
/// stays on my phone, and one day it is up."
#[tokio::test]
async fn an_upload_that_fails_is_tried_three_times_a_round_and_keeps_the_image() {
    everywhere(async |scene: Scene| {
        let crumb = picture(&scene.phone, "crumb.png");
        let note = scene.phone.note("![Crumb](crumb.png)\n");
        scene.image_trouble(u64::MAX);
        let started = scene.phone.clock.now();
        let report = scene.phone.sync(&scene.remote).await;
        assert_eq!((report.uploaded.images, report.uploaded.failed), (0, 3));
        let attempts: Vec<u32> = events(&scene.phone)
            .iter()
            .filter_map(|event| match event {
                Event::UploadFailed { attempt, .. } => Some(*attempt),
                _ => None,
            })
            .collect();
        assert_eq!(attempts, [1, 2, 3]);
        assert!(scene.phone.clock.now().since(started) <= Duration::from_secs(6));
        let image = scene.phone.vault().image_list().unwrap().remove(0);
        assert_eq!((image.state, image.attempts), (Some(State::Failed), 3));
        assert!(image.retry_at.unwrap() > scene.phone.clock.now());
        assert!(image.error.unwrap().contains("busy"));
        let local = scene.phone.vault().local_file(crumb).unwrap().unwrap();
        assert!(scene.shown(note).contains(&local.display().to_string()));

        // Before its time nothing is tried; after it, a new round.
        let report = scene.phone.sync(&scene.remote).await;
        assert_eq!(report.uploaded.failed, 0);
        scene.phone.clock.advance(Duration::from_hours(1));
        let report = scene.phone.sync(&scene.remote).await;
        assert_eq!(report.uploaded.failed, 3);
        scene.ground.heal();
        scene.phone.clock.advance(Duration::from_hours(1));
        let report = scene.phone.sync(&scene.remote).await;
        assert_eq!(report.uploaded.images, 1);
        assert!(scene.shown(note).contains(&scene.url(crumb)));
    })
    .await;
}

/// "The server refuses my key. The app says so, and goes on when I have mended it."
#[tokio::test]
async fn an_upload_that_needs_a_person_waits_for_one() {
    everywhere(async |scene: Scene| {
        picture(&scene.phone, "crumb.png");
        scene.phone.note("![Crumb](crumb.png)\n");
        let trouble = Trouble::Answer { status: 403, code: "AccessDenied" };
        let fault = Fault { prefix: "images/".into(), ..Fault::next(Call::Put, u64::MAX, trouble) };
        scene.ground.fail(fault);
        let report = scene.phone.sync(&scene.remote).await;
        assert_eq!((report.uploaded.blocked, scene.states()), (1, vec![State::Blocked]));
        scene.ground.heal();
        scene.phone.clock.advance(Duration::from_hours(48));
        assert_eq!(scene.phone.sync(&scene.remote).await.uploaded.images, 0);
        assert_eq!(scene.phone.vault().retry(None).unwrap(), 1);
        assert_eq!(scene.phone.sync(&scene.remote).await.uploaded.images, 1);
    })
    .await;
}

/// "While my phone uploads the picture, we both edit the words around it."
#[tokio::test]
async fn edits_around_an_image_whose_upload_finishes_meanwhile_merge() {
    everywhere(async |scene: Scene| {
        let crumb = picture(&scene.phone, "crumb.png");
        let note = scene.phone.note("We baked: ![Crumb](crumb.png) and ate.\n");
        scene.image_trouble(u64::MAX);
        scene.phone.sync(&scene.remote).await;
        let laptop = Device::joined("laptop", 2, &scene.phone, &scene.remote).await;
        let status = laptop.vault().note_status(note).unwrap();
        assert_eq!(status.elsewhere[0].devices, ["phone"]);

        laptop.edit(note, |text| {
            text.replace("We baked", "On Sunday we baked").replace("Crumb", "The crumb")
        });
        scene.phone.edit(note, |text| text.replace("ate", "ate it all"));
        scene.ground.heal();
        scene.phone.clock.advance(Duration::from_hours(1));
        scene.phone.sync(&scene.remote).await;
        laptop.sync(&scene.remote).await;
        scene.phone.sync(&scene.remote).await;
        let source = "On Sunday we baked: ![The crumb](crumb.png) and ate it all.\n";
        assert_eq!((scene.phone.source(note), laptop.source(note)), (source.into(), source.into()));
        assert!(shown(&laptop, note).contains(&scene.url(crumb)));
        assert!(laptop.vault().local_file(crumb).unwrap().is_some());
        laptop.check();
    })
    .await;
}

/// A remote that stops the world at one moment: it copies the vault as a killed process leaves it.
#[derive(Debug)]
struct Killer {
    inner: Arc<dyn Remote>,
    vault: PathBuf,
    grave: PathBuf,
    killed: Arc<Notify>,
}

#[async_trait]
impl Layer for Killer {
    fn inner(&self) -> &dyn Remote {
        &*self.inner
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        self.inner.put(key, body).await?;
        if matches!(key, Key::Image { .. }) {
            copy_folder(&self.vault, &self.grave);
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// "The app is killed right after the picture went up, before it could write that down."
#[tokio::test]
async fn a_kill_between_put_and_receipt_loses_nothing_and_leaves_one_object() {
    everywhere(async |mut scene: Scene| {
        let crumb = picture(&scene.phone, "crumb.png");
        let note = scene.phone.note("![Crumb](crumb.png)\n");
        let grave = scene.phone.folder.path().join("grave");
        let notify = Arc::new(Notify::new());
        let killer: Arc<dyn Remote> = Arc::new(Killer {
            inner: Arc::clone(&scene.remote),
            vault: scene.phone.path(),
            grave: grave.clone(),
            killed: Arc::clone(&notify),
        });
        tokio::select! {
            _ = scene.phone.try_sync(&killer) => panic!("the sync survived"),
            () = notify.notified() => {}
        }
        rise(&mut scene.phone, &grave);
        assert_eq!(scene.states(), [State::Pending], "nothing claims that it is uploaded");
        let report = scene.phone.sync(&scene.remote).await;
        // Nobody heard of the put to its end, so that what is there proves nothing: it is put again, once.
        assert_eq!((report.uploaded.images, report.uploaded.already_there), (1, 0));
        assert_eq!(scene.ground.image_puts(), [2]);
        assert!(scene.shown(note).contains(&scene.url(crumb)));
        assert!(scene.phone.sync(&scene.remote).await.is_quiet());
        scene.phone.check();
    })
    .await;
}

/// "The app is killed right after it wrote that down, before the note got the URL."
#[tokio::test]
async fn a_kill_between_receipt_and_swap_loses_nothing() {
    everywhere(async |mut scene: Scene| {
        let crumb = picture(&scene.phone, "crumb.png");
        let note = scene.phone.note("![Crumb](crumb.png)\n");
        let (living, grave) = (scene.phone.path(), scene.phone.folder.path().join("grave"));
        let copied = Mutex::new(false);
        let progress = |progress: Progress| {
            if matches!(progress, Progress::Uploaded(_)) {
                copy_folder(&living, &grave);
                *copied.lock().unwrap() = true;
            }
        };
        // The dying process is cut off from the server as well, so that it swaps nothing there.
        let options = SyncOptions::default();
        let last_put = Fault {
            prefix: "log/".into(),
            skip: 1,
            ..Fault::next(Call::Put, u64::MAX, Trouble::Drop)
        };
        scene.ground.fail(last_put);
        let name = origin();
        let vault = scene.phone.vault();
        vault.sync(&name, Arc::clone(&scene.remote), &options, &progress).await.unwrap_err();
        assert!(*copied.lock().unwrap());
        scene.ground.heal();
        rise(&mut scene.phone, &grave);
        assert_eq!(scene.states(), [State::Uploaded]);
        assert!(!scene.shown(note).contains("http"));
        let report = scene.phone.sync(&scene.remote).await;
        assert_eq!((report.uploaded.images, report.linked), (0, 1));
        assert!(scene.shown(note).contains(&scene.url(crumb)));
        assert_eq!(scene.ground.image_puts(), [1]);
    })
    .await;
}

/// Puts what the killed process left in the place of the vault, and opens it.
fn rise(device: &mut Device, grave: &Path) {
    device.vault = None;
    std::fs::remove_dir_all(device.path()).unwrap();
    std::fs::rename(grave, device.path()).unwrap();
    device.reopen();
}

/// "A week later the list of uploads is tidy again; that the picture is up is known for ever."
#[tokio::test]
async fn finished_uploads_leave_the_queue_after_seven_days() {
    everywhere(async |scene: Scene| {
        picture(&scene.phone, "crumb.png");
        scene.phone.note("![Crumb](crumb.png)\n");
        scene.phone.sync(&scene.remote).await;
        let queued = || scene.phone.vault().image_list().unwrap()[0].in_queue;
        assert!(queued());
        scene.phone.clock.advance(Duration::from_hours(7 * 24) - Duration::from_mins(1));
        assert!(queued());
        scene.phone.clock.advance(Duration::from_mins(2));
        assert!(!queued());
        assert_eq!(scene.states(), [State::Uploaded]);
    })
    .await;
}

/// "I undo, copy the picture into another note: it has its URL at once, and nothing is sent."
#[tokio::test]
async fn an_uploaded_image_that_is_shown_again_takes_its_url_at_once() {
    everywhere(async |scene: Scene| {
        let crumb = picture(&scene.phone, "crumb.png");
        scene.phone.note("![Crumb](crumb.png)\n");
        scene.phone.sync(&scene.remote).await;
        let copy = scene.phone.note("Again: ![Crumb](crumb.png)\n");
        let report = scene.phone.sync(&scene.remote).await;
        assert_eq!(
            (report.uploaded.images, report.uploaded.already_there, report.linked),
            (0, 0, 1)
        );
        assert!(scene.shown(copy).contains(&scene.url(crumb)));
        assert_eq!(scene.ground.image_puts(), [1]);
    })
    .await;
}

/// "We move the bucket to our own domain: every note shows the new address, no text changes."
#[tokio::test]
async fn when_the_public_base_changes_the_notes_get_new_urls() {
    everywhere(async |scene: Scene| {
        let crumb = picture(&scene.phone, "crumb.png");
        let note = scene.phone.note("![Crumb](crumb.png)\n");
        scene.phone.sync(&scene.remote).await;
        scene.phone.add_public(&scene.remote, Some("https://pictures.example")).await;
        let report = scene.phone.sync(&scene.remote).await;
        assert_eq!((report.linked, report.uploaded.images), (1, 0));
        let url = format!("https://pictures.example/images/{crumb}.png");
        assert_eq!(scene.shown(note), format!("![Crumb]({url})\n"));
        assert!(scene.phone.sync(&scene.remote).await.is_quiet());
        scene.phone.check();
    })
    .await;
}
