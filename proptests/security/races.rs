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
