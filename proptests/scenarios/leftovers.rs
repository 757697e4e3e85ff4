//! A store that keeps an image in several places, of which a put that is cut off reaches only some.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use everleaf::{
    event::Event,
    image::MediaType,
    remote::{Call, Failure, Fault, Faulty, Key, Layer, Memory, Remote, RemoteError, Upload},
    upload::State,
};

use tokio::sync::Notify;

use super::{Killer, events, picture, rise};
use crate::{outside::Tally, world::Device};

/// A store of two places. The first is the one that is asked.
#[derive(Debug, Default)]
struct Places {
    asked: Memory,
    other: Memory,
    /// Whether a put of an image reaches the first place, and is not answered.
    cuts_off: AtomicBool,
}

#[async_trait]
impl Layer for Places {
    fn inner(&self) -> &dyn Remote {
        &self.asked
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        self.asked.put(key, body.clone()).await?;
        if matches!(key, Key::Image { .. }) && self.cuts_off.load(Ordering::Relaxed) {
            return Err(RemoteError::Offline { source: "cut off".into() });
        }
        self.other.put(key, body).await
    }

    async fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        self.asked.delete(key).await?;
        self.other.delete(key).await
    }
}

impl Places {
    fn cut_off(&self, whether: bool) {
        self.cuts_off.store(whether, Ordering::Relaxed);
    }

    /// How many images are in both places.
    fn whole(&self) -> usize {
        let other = self.other.snapshot();
        let both =
            self.asked.snapshot().into_iter().filter(|(name, bytes)| {
                name.starts_with("images/") && other.get(name) == Some(bytes)
            });
        both.count()
    }
}

/// A phone with a note and a picture, before such a store, and how often that was written to.
async fn phone() -> (Device, Arc<Places>, Arc<Tally>, Arc<dyn Remote>) {
    let phone = Device::new("phone", 1);
    let places = Arc::new(Places::default());
    let tally = Arc::new(Tally::new(Arc::clone(&places) as _));
    let remote = Arc::clone(&tally) as Arc<dyn Remote>;
    phone.add(&remote).await;
    picture(&phone, "crumb.png");
    phone.note("![Crumb](crumb.png)\n");
    (phone, places, tally, remote)
}

fn state(device: &Device) -> Option<State> {
    device.vault().image_list().unwrap()[0].state
}

#[tokio::test]
async fn what_a_put_that_was_cut_off_left_is_not_taken_for_the_image() {
    let (mut phone, places, tally, remote) = phone().await;
    places.cut_off(true);
    assert_eq!(phone.sync(&remote).await.uploaded.failed, 3);
    assert_ne!(state(&phone), Some(State::Uploaded));
    // Neither a retry that somebody asks for nor a new process forgets it.
    phone.vault().retry(None).unwrap();
    phone.reopen();
    phone.clock.advance(std::time::Duration::from_mins(1));
    assert_eq!(phone.sync(&remote).await.uploaded.failed, 3);
    places.cut_off(false);
    phone.clock.advance(std::time::Duration::from_mins(1));
    let report = phone.sync(&remote).await;
    assert_eq!((report.uploaded.images, report.uploaded.already_there), (1, 0));
    assert_eq!((places.whole(), tally.images().into_values().collect()), (1, vec![7]));
    assert!(phone.sync(&remote).await.is_quiet());
    phone.check();
}

#[tokio::test]
async fn a_put_that_a_kill_cut_off_is_made_again() {
    let (mut phone, places, tally, remote) = phone().await;
    let grave = phone.folder.path().join("grave");
    let killed = Arc::new(Notify::new());
    let deadly: Arc<dyn Remote> = Arc::new(Killer {
        inner: Arc::new(places.asked.clone()),
        vault: phone.path(),
        grave: grave.clone(),
        killed: Arc::clone(&killed),
    });
    tokio::select! {
        _ = phone.try_sync(&deadly) => panic!("the sync survived"),
        () = killed.notified() => {}
    }
    rise(&mut phone, &grave);
    assert_eq!((state(&phone), places.whole()), (Some(State::Pending), 0));
    let report = phone.sync(&remote).await;
    assert_eq!((report.uploaded.images, report.uploaded.already_there), (1, 0));
    assert_eq!((places.whole(), tally.images().into_values().collect()), (1, vec![1]));
    phone.check();
}

/// Whoever has put nothing asks, and believes what it is told.
#[tokio::test]
async fn where_nothing_was_put_what_is_there_is_not_put_again() {
    let (phone, places, tally, remote) = phone().await;
    let laptop = Device::join("laptop", 2, &phone);
    laptop.add(&remote).await;
    picture(&laptop, "crumb.png");
    laptop.note("Again: ![Crumb](crumb.png)\n");
    // The phone loses its connection when it asks for the image, and has not begun to put it.
    let faulty = Arc::new(Faulty::new(Arc::clone(&remote)));
    faulty.fail(Fault {
        prefix: "images/".into(),
        ..Fault::next(Call::Head, u64::MAX, Failure::Offline)
    });
    let before = Arc::clone(&faulty) as Arc<dyn Remote>;
    assert_eq!(phone.sync(&before).await.uploaded.failed, 1);
    assert!(!events(&phone).iter().any(|event| matches!(event, Event::UploadStarted { .. })));
    assert_eq!(laptop.sync(&remote).await.uploaded.images, 1);
    faulty.heal();
    phone.clock.advance(std::time::Duration::from_mins(1));
    let report = phone.sync(&before).await;
    assert_eq!((report.uploaded.images, report.uploaded.already_there), (0, 1));
    assert_eq!((places.whole(), tally.images().into_values().collect()), (1, vec![1]));
}

/// A URL in a note says that another device has a receipt: what it put whole need not go again.
#[tokio::test]
async fn what_another_device_has_a_receipt_for_is_not_put_again() {
    let (phone, places, tally, remote) = phone().await;
    phone.add_public(&remote, Some("https://pictures.example")).await;
    places.cut_off(true);
    assert_eq!(phone.sync(&remote).await.uploaded.failed, 3);
    places.cut_off(false);
    // It asks, and sees what is left of the phone's put; where it has put nothing itself it may be misled.
    // So what is there is gone, as where another place of the store answers.
    let image = phone.vault().image_list().unwrap()[0].image;
    let key = Key::Image { image, media_type: MediaType::Png };
    remote.delete(&key).await.unwrap();
    let laptop = Device::join("laptop", 2, &phone);
    laptop.add_public(&remote, Some("https://pictures.example")).await;
    picture(&laptop, "crumb.png");
    laptop.note("Again: ![Crumb](crumb.png)\n");
    let report = laptop.sync(&remote).await;
    assert_eq!((report.uploaded.images, report.linked), (1, 2));
    phone.clock.advance(std::time::Duration::from_mins(1));
    let report = phone.sync(&remote).await;
    assert_eq!((report.uploaded.images, report.uploaded.already_there), (0, 1));
    assert_eq!((places.whole(), tally.images().into_values().collect()), (1, vec![4]));
}
