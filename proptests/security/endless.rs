//! A remote that goes on for ever, keeps nothing, or has other images; and what a person sees of lies.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use everleaf::remote::{
    After, Download, Key, Layer, Memory, Page, Prefix, Remote, RemoteError, Upload,
};
use futures_util::{StreamExt as _, stream};

use super::liars::{says, told, verified};
use crate::{
    image::png,
    machine::Machine,
    world::{Device, origin},
};

#[tokio::test]
async fn an_image_with_other_bytes_is_refused_found_and_put_again() {
    let memory = Memory::new();
    let remote: Arc<dyn Remote> = Arc::new(memory.clone());
    let laptop = Device::new("laptop", 1);
    laptop.add(&remote).await;
    laptop.file("a.png", &png(3, 4, b"a"));
    laptop.note("![a](a.png)\n");
    laptop.sync(&remote).await;
    // Of the same size, so nobody sees it who only asks for that.
    let mut objects = memory.snapshot();
    let image = objects.keys().find(|name| name.starts_with("images/")).unwrap().clone();
    objects.insert(image.clone(), png(3, 4, b"b").into());
    memory.restore(objects);
    assert_eq!(verified(&laptop, &remote).await, "");
    let phone = Device::join("phone", 2, &laptop);
    phone.add(&remote).await;
    let report = phone.try_sync(&remote).await.unwrap();
    assert_eq!((report.fetched.failed, report.fetched.images), (1, 0));
    assert!(report.problems[0].contains("was sent bytes that hash to"), "{:?}", report.problems);
    assert_eq!(phone.sources(), laptop.sources());

    for (repair, wrong) in [(false, 1), (true, 1), (false, 0)] {
        let mut found = laptop.vault().verify().unwrap();
        let vault = laptop.vault();
        vault.verify_remote_images(&origin(), &*remote, repair, &mut found).await.unwrap();
        let problems: Vec<_> = found.findings.iter().map(|one| one.problem.as_str()).collect();
        assert_eq!(problems, vec!["its bytes are not those of the image"; wrong]);
        if repair {
            laptop.sync(&remote).await;
        }
    }
    assert_eq!(memory.snapshot()[&image], png(3, 4, b"a"));
    assert_eq!(phone.sync(&remote).await.fetched.images, 1);
}

/// What has no end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Endless {
    /// The bodies of objects whose names begin so.
    Body(&'static str),
    /// Listings, page by page, with no key of ours on any.
    List,
    /// None: it takes every segment, and keeps none.
    Swallows,
}

#[derive(Debug)]
struct Liar {
    inner: Memory,
    endless: Endless,
    pages: AtomicU64,
}

impl Liar {
    fn over(inner: &Memory, endless: Endless) -> Arc<dyn Remote> {
        Arc::new(Self { inner: inner.clone(), endless, pages: AtomicU64::new(0) })
    }
}

#[async_trait]
impl Layer for Liar {
    fn inner(&self) -> &dyn Remote {
        &self.inner
    }

    async fn get_from(&self, key: &Key, first: u64) -> Result<Download, RemoteError> {
        match self.endless {
            Endless::Body(prefix) if key.to_string().starts_with(prefix) => {
                let piece = Bytes::from(vec![0; 1 << 20]);
                Ok(Download {
                    size: None,
                    body: stream::repeat_with(move || Ok(piece.clone())).boxed(),
                })
            }
            _ => self.inner.get_from(key, first).await,
        }
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        if self.endless == Endless::Swallows && matches!(key, Key::Segment { .. }) {
            return Ok(());
        }
        self.inner.put(key, body).await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        if self.endless != Endless::List {
            return self.inner.list(prefix, after).await;
        }
        // Each page ends behind the one before it, as an honest one does.
        let device = everleaf::id::DeviceId::from_bytes([0xff; 16]);
        let page = self.pages.fetch_add(1, Ordering::Relaxed);
        Ok(Page { keys: Vec::new(), next: Some(After::before_segment(device, page)) })
    }
}

#[tokio::test]
async fn what_has_no_end_is_read_to_a_bound() {
    let laptop = Device::new("laptop", 1);
    laptop.file("a.png", &png(3, 4, b"a"));
    let inner = Memory::new();
    let remote: Arc<dyn Remote> = Arc::new(inner.clone());
    laptop.add(&remote).await;
    laptop.note("![a](a.png)\n");
    laptop.sync(&remote).await;
    for (endless, expected) in [
        (
            Endless::Body("vault.json"),
            "`vault.json` has more than the 65536 bytes that it may have",
        ),
        (Endless::Body("heads/"), "has more than the 4096 bytes that it may have"),
        (Endless::Body("log/"), "has more than the 68157440 bytes that it may have"),
        (Endless::Body("images/"), "it is larger than the limit of 268435456 bytes"),
        (Endless::List, "a listing does not end"),
    ] {
        let phone = Device::join("phone", 2, &laptop);
        phone.add(&remote).await;
        let liar = Liar::over(&inner, endless);
        says(&told(&phone, &liar).await, expected, "a newcomer", &format!("{endless:?}"));
        phone.sync(&remote).await;
        assert_eq!(phone.sources(), laptop.sources());
        assert_eq!(phone.sync(&remote).await.fetched.failed, 0);
    }
}

#[tokio::test]
async fn what_a_remote_takes_and_does_not_keep_gets_no_receipt() {
    let laptop = Device::new("laptop", 1);
    let inner = Memory::new();
    let remote: Arc<dyn Remote> = Arc::new(inner.clone());
    let liar = Liar::over(&inner, Endless::Swallows);
    laptop.add(&remote).await;
    laptop.note("one\n");
    let said = told(&laptop, &liar).await;
    assert!(said.contains("and does not show it whole"), "{said}");
    assert_eq!(laptop.vault().status().unwrap().unsynced_notes, 1);
    laptop.sync(&remote).await;
    assert_eq!(laptop.vault().status().unwrap().unsynced_notes, 0);
}

/// What a person sees of it who runs the command.
#[test]
fn the_command_says_what_a_remote_hides() {
    let machine = Machine::with_vault();
    machine.run(&["remote", "add", "origin", "dir:meeting"]).ok();
    machine.run_with("vault", &["new"], b"# A\n").ok();
    machine.run(&["sync"]).ok();
    let key = machine.run(&["key"]).ok();
    let join = ["join", "dir:meeting", "--key", "-", "--name", "phone"];
    machine.run_with("phone", &join, key.as_bytes()).ok();
    let only = |folder: &str| {
        let files = walkdir::WalkDir::new(machine.path(folder)).into_iter().map(Result::unwrap);
        let mut files: Vec<_> = files.filter(|entry| entry.file_type().is_file()).collect();
        assert_eq!(files.len(), 1);
        files.remove(0).into_path()
    };
    let head = only("meeting/heads");
    let old = std::fs::read(&head).unwrap();
    std::fs::remove_file(&head).unwrap();
    machine.run_with("vault", &["new"], b"# B\n").ok();
    std::fs::write(machine.path("meeting/pulse"), "another").unwrap();
    let said = machine.said(&machine.run_on("phone", &["sync"]));
    assert!(
        said.contains("problem: the head of device <hex> named segment 1, and is gone now"),
        "{said}"
    );
    let said = machine.said(&machine.run_on("phone", &["verify", "--remote", "origin"]));
    assert!(said.starts_with("exit 1\nheads/<hex>: it is gone"), "{said}");
    std::fs::write(&head, old).unwrap();
    machine.run_on("phone", &["verify", "--remote", "origin", "--images"]).ok();
    assert_eq!(machine.run(&["verify", "--images"]).code, 2);

    machine.run(&["sync"]).ok();
    let segment = machine.path("meeting/log");
    let mut segments: Vec<_> =
        walkdir::WalkDir::new(segment).into_iter().map(Result::unwrap).collect();
    segments.sort_by_key(|entry| entry.path().to_owned());
    std::fs::remove_file(segments.last().unwrap().path()).unwrap();
    let ran = machine.run_on("phone", &["sync"]);
    assert_eq!(ran.code, 0);
    let said = machine.said(&ran);
    let expected =
        "note: device <hex> (laptop) says that it put segment 2, and the remote shows 1 so far";
    assert!(said.contains(expected), "{said}");
}
