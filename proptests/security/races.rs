//! What happens in between: proofs that go, and syncs that are dropped half-way.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use everleaf::{
    clock::{Clock, SimulatedClock, Timestamp},
    event::RemoteOptions,
    remote::{Memory, Remote},
    vault::{NewNote, Options, SyncOptions, Vault, VaultError},
};

use crate::{
    image::png,
    world::{NOW, origin},
};

type Hook = Box<dyn FnOnce() + Send>;

/// A clock at which something happens once, when it is looked at.
struct Hooked(SimulatedClock, Mutex<Option<Hook>>);

impl Hooked {
    fn new() -> Arc<Self> {
        Arc::new(Self(SimulatedClock::new(NOW, 1), Mutex::new(None)))
    }

    fn next(&self, hook: impl FnOnce() + Send + 'static) {
        *self.1.lock().unwrap() = Some(Box::new(hook));
    }

    /// The same, the time after.
    fn next_but_one(self: &Arc<Self>, hook: impl FnOnce() + Send + 'static) {
        let clock = Arc::clone(self);
        self.next(move || clock.next(hook));
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Clock for Hooked {
    fn now(&self) -> Timestamp {
        let hook = self.1.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        self.0.now()
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.0.sleep(duration)
    }
}

async fn vault(clock: &Arc<Hooked>) -> (tempfile::TempDir, Vault, Arc<dyn Remote>) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { clock: Arc::clone(clock) as _, ..Options::default() };
    let vault = Vault::create(&folder.path().join("vault"), "laptop", None, options).unwrap();
    let remote: Arc<dyn Remote> = Arc::new(Memory::new());
    let described = RemoteOptions { url: "memory".into(), ..RemoteOptions::default() };
    vault.add_remote(origin(), described, Arc::clone(&remote)).await.unwrap();
    std::fs::write(folder.path().join("a.png"), png(3, 4, b"a")).unwrap();
    let source = "![a](a.png)\n".to_owned();
    let folder_of_note = Some(folder.path().to_owned());
    vault.new_note(&NewNote { source, path: None, folder: folder_of_note }).unwrap();
    (folder, vault, remote)
}

#[tokio::test]
async fn a_proof_that_goes_while_an_image_is_let_go_of_keeps_the_image() {
    let clock = Hooked::new();
    let (_folder, vault, remote) = vault(&clock).await;
    vault.sync(&origin(), remote, &SyncOptions::default(), &|_| ()).await.unwrap();
    let image = vault.image_list().unwrap()[0].image;
    let file = vault.local_file(image).unwrap().unwrap();
    // The time of an event is asked for when all that was to be checked before it was.
    let meanwhile = vault.clone();
    clock.next(move || meanwhile.remove_remote(&origin()).unwrap());
    let refused = vault.evict(image).unwrap_err();
    assert!(matches!(refused, VaultError::OnlyCopy(_)), "{refused}");
    assert!(file.is_file());
    assert_eq!(vault.verify().unwrap().findings, vec![]);
}

#[tokio::test]
async fn a_sync_that_is_dropped_holds_the_others_off_until_its_append_is_done() {
    let clock = Hooked::new();
    let (_folder, vault, remote) = vault(&clock).await;
    let (begun, has_begun): (SyncSender<()>, Receiver<()>) = sync_channel(0);
    let (go_on, may_go_on): (SyncSender<()>, Receiver<()>) = sync_channel(0);
    clock.next(move || {
        begun.send(()).unwrap();
        may_go_on.recv().unwrap();
    });
    let (name, options) = (origin(), SyncOptions::default());
    tokio::select! {
        _ = vault.sync(&name, Arc::clone(&remote), &options, &|_| ()) => panic!("nobody let it go on"),
        begun = tokio::task::spawn_blocking(move || has_begun.recv().unwrap()) => begun.unwrap(),
    }
    let refused = vault.remove_remote(&origin()).unwrap_err();
    assert!(matches!(refused, VaultError::Syncing), "{refused}");
    go_on.send(()).unwrap();
    // What comes next waits for it, and finds all of it done.
    vault.sync(&origin(), remote, &SyncOptions::default(), &|_| ()).await.unwrap();
    assert_eq!(vault.status().unwrap().unsynced_notes, 0);
    assert_eq!(vault.verify().unwrap().findings, vec![]);
    vault.remove_remote(&origin()).unwrap();
}

#[tokio::test]
async fn an_image_whose_file_goes_before_it_is_recorded_is_not_said_to_be_here() {
    let clock = Hooked::new();
    let (folder, vault, _) = vault(&clock).await;
    std::fs::write(folder.path().join("b.png"), png(3, 4, b"b")).unwrap();
    let new = NewNote {
        source: "![b](b.png)\n".to_owned(),
        path: None,
        folder: Some(folder.path().to_owned()),
    };
    let images = vault.folder().join("images");
    let listed = || vault.image_list().unwrap().len();
    let before = listed();
    // A note asks for the time when it is made, and again when it is appended.
    clock.next_but_one(move || {
        let all = walkdir::WalkDir::new(images).into_iter().map(Result::unwrap);
        all.filter(|entry| entry.file_type().is_file())
            .for_each(|entry| std::fs::remove_file(entry.path()).unwrap());
    });
    let refused = vault.new_note(&new).unwrap_err();
    assert!(everleaf::vault::chain(&refused).ends_with("went meanwhile"), "{refused}");
    assert_eq!((listed(), vault.list().unwrap().len()), (before, 1));
    vault.new_note(&new).unwrap();
    assert_eq!((listed(), vault.list().unwrap().len()), (before + 1, 2));
}

#[tokio::test]
async fn an_edit_that_ends_in_a_panic_is_not_what_the_next_one_builds_on() {
    let clock = Hooked::new();
    let (_folder, vault, _) = vault(&clock).await;
    let note = vault.list().unwrap()[0].note;
    let before = vault.read(note, None).unwrap();
    let source = before.body.source();
    // The change is made then, and not yet in the log.
    clock.next_but_one(|| panic!("a bad end, on purpose"));
    let edit = || vault.edit(note, &before.heads, &format!("{source}lost\n"), None);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(edit)).unwrap_err();
    assert_eq!(vault.read(note, None).unwrap(), before);
    vault.edit(note, &before.heads, &format!("{source}kept\n"), None).unwrap();
    let path = vault.folder().to_owned();
    drop(vault);
    let again = Vault::open(&path, Options::default()).unwrap();
    assert_eq!(again.read(note, None).unwrap().body.source(), format!("{source}kept\n"));
    assert_eq!(again.verify().unwrap().findings, vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_is_written_to_is_verified_all_the_same() {
    let clock = Hooked::new();
    let (_folder, vault, remote) = vault(&clock).await;
    let writer = vault.clone();
    let writing = tokio::task::spawn_blocking(move || {
        for number in 0..60 {
            let source = format!("# {number}\n");
            writer.new_note(&NewNote { source, ..NewNote::default() }).unwrap();
        }
    });
    let syncing = vault.clone();
    let syncing = tokio::spawn(async move {
        let options = SyncOptions::default();
        for _ in 0..10 {
            syncing.sync(&origin(), Arc::clone(&remote), &options, &|_| ()).await.unwrap();
        }
    });
    let wrong = |finding: &everleaf::vault::Finding| !finding.problem.contains("all the time");
    while !writing.is_finished() {
        let checked = vault.clone();
        let found = tokio::task::spawn_blocking(move || checked.verify().unwrap()).await.unwrap();
        assert_eq!(found.findings.iter().filter(|one| wrong(one)).count(), 0, "{found:?}");
    }
    writing.await.unwrap();
    syncing.await.unwrap();
    assert_eq!(vault.verify().unwrap().findings, vec![]);
}

#[test]
fn whoever_follows_is_never_told_of_an_earlier_event_again() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::create(&folder.path().join("vault"), "laptop", None, Options::default());
    let vault = vault.unwrap();
    let follower = vault.follow();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..20 {
                        vault.new_note(&NewNote::default()).unwrap();
                    }
                })
            })
            .collect();
        let mut last = *follower.borrow();
        while !threads.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let now = *follower.borrow();
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
    });
    let last = vault.events(everleaf::id::Seq(1)).last().unwrap().unwrap().seq;
    assert_eq!(*follower.borrow(), last);
}
