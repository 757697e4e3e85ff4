//! A device and its remotes: what an idle sync costs, addresses that change, clocks that differ.

use std::{fs, sync::Arc};

use everleaf::{
    clock::Clock as _,
    event::RemoteOptions,
    id::Seq,
    remote::{self, Key, RetryPolicy},
    vault::{NewNote, Options, SyncOptions, Vault, VaultError},
};

use super::memory;
use crate::{
    image::png,
    world::{Device, origin},
};

/// With the vault's key, and with as many attempts as are asked for, between which the vault's clock waits.
#[tokio::test]
async fn a_remote_that_is_known_is_opened_by_its_name() {
    let laptop = Device::new("laptop", 1);
    let vault = laptop.vault();
    let unknown = vault.connect(&origin(), RetryPolicy::default()).await;
    assert!(matches!(unknown, Err(VaultError::UnknownRemote(name)) if name == origin()));
    let folder = laptop.folder.path().join("meeting");
    fs::create_dir(&folder).unwrap();
    let url = format!("dir:{}", folder.display());
    let options = RemoteOptions { url, ..RemoteOptions::default() };
    let opened = remote::open(&options, vault.key()).await.unwrap();
    vault.add_remote(origin(), options, opened).await.unwrap();
    laptop.note("# A\n");
    let remote = vault.connect(&origin(), RetryPolicy::default()).await.unwrap();
    assert_eq!(laptop.sync(&remote).await.pushed.segments, 1);
    assert_eq!(fs::read_dir(folder.join("log")).unwrap().count(), 1);

    // A hub at which nobody listens.
    let url = "http://127.0.0.1:1".to_owned();
    let away = RemoteOptions { url, ..RemoteOptions::default() };
    vault.add_remote(origin(), away, memory()).await.unwrap();
    for attempts in [1, 3] {
        let before = laptop.clock.now();
        let remote = vault.connect(&origin(), RetryPolicy::of(attempts)).await.unwrap();
        assert!(remote.head(&Key::Pulse).await.unwrap_err().is_transient());
        assert_eq!(laptop.clock.now() > before, attempts > 1);
    }
}

#[tokio::test]
async fn an_idle_sync_asks_once_however_many_notes_there_are() {
    use everleaf::remote::Requests;
    for notes in [1, 40, 400] {
        let remote = memory();
        let laptop = Device::new("laptop", 1);
        laptop.add(&remote).await;
        for number in 0..notes {
            laptop.note(&format!("# {number}\n"));
        }
        laptop.sync(&remote).await;
        // Whoever pushed looks once whether somebody else did meanwhile.
        laptop.sync(&remote).await;
        let events = laptop.vault().events(Seq(1)).count();
        let idle = laptop.sync(&remote).await.requests;
        assert_eq!(idle, Requests { head: 1, ..Requests::default() }, "{notes} notes");
        assert_eq!(laptop.vault().events(Seq(1)).count(), events);
    }
}

#[tokio::test]
async fn a_new_public_address_is_put_into_notes_once() {
    use everleaf::remote::Requests;
    let remote = memory();
    let laptop = Device::new("laptop", 1);
    laptop.add_public(&remote, Some("https://old.example")).await;
    laptop.file("a.png", &png(3, 4, b"a"));
    let notes = ["one ![](a.png)\n", "two ![](a.png)\n"].map(|source| laptop.note(source));
    laptop.sync(&remote).await;
    let shown = |note| {
        let reading = laptop.vault().read(note, None).unwrap();
        (laptop.vault().markdown(&reading).unwrap(), reading.body.source())
    };
    assert!(notes.iter().all(|note| shown(*note).0.contains("https://old.example/images/")));
    laptop.vault().remove_remote(&crate::world::origin()).unwrap();
    laptop.add_public(&remote, Some("https://new.example")).await;
    assert_eq!(laptop.sync(&remote).await.linked, 2);
    for (note, source) in notes.into_iter().zip(["one ![](a.png)\n", "two ![](a.png)\n"]) {
        let (markdown, now) = shown(note);
        assert!(markdown.contains("https://new.example/images/"), "{markdown}");
        assert_eq!(now, source);
    }
    // One that comes with the old address later gets the new one, too.
    laptop.sync(&remote).await;
    let phone = Device::join("phone", 2, &laptop);
    phone.add_public(&remote, Some("https://old.example")).await;
    phone.sync(&remote).await;
    phone.file("a.png", &png(3, 4, b"a"));
    let late = phone.note("three ![](a.png)\n");
    phone.sync(&remote).await;
    laptop.sync(&remote).await;
    assert!(shown(late).0.contains("https://new.example/images/"));
    laptop.sync(&remote).await;
    let events = laptop.vault().events(Seq(1)).count();
    let idle = laptop.sync(&remote).await;
    assert_eq!(idle.requests, Requests { head: 1, ..Requests::default() });
    assert_eq!((idle.linked, laptop.vault().events(Seq(1)).count()), (0, events));
    laptop.check();
}

#[tokio::test]
async fn what_was_confirmed_at_another_place_is_not_missed_at_this_one() {
    use everleaf::event::RemoteOptions;
    let laptop = Device::new("laptop", 1);
    laptop.file("a.png", &png(3, 4, b"a"));
    laptop.note("![](a.png)\n");
    let name = crate::world::origin();
    for url in ["memory:one", "memory:two"] {
        let remote = memory();
        let options = RemoteOptions { url: url.to_owned(), ..RemoteOptions::default() };
        laptop.vault().add_remote(name.clone(), options, Arc::clone(&remote)).await.unwrap();
        laptop.sync(&remote).await;
        let mut found = laptop.vault().verify().unwrap();
        laptop.vault().verify_remote(&name, &*remote, false, &mut found).await.unwrap();
        assert_eq!(found.findings, vec![], "{url}");
        assert!(found.receipts > 0);
    }
}

#[tokio::test]
async fn clocks_that_are_twenty_years_apart_order_nothing() {
    use everleaf::{
        clock::{SimulatedClock, Timestamp},
        event::RemoteOptions,
        vault::{NewNote, SyncOptions, Vault},
    };
    const TEN_YEARS: i64 = 10 * 365 * 24 * 3600 * 1000;
    let mut outcomes = Vec::new();
    for skews in [[0, 0], [TEN_YEARS, -TEN_YEARS], [-TEN_YEARS, TEN_YEARS]] {
        let (remote, name) = (memory(), crate::world::origin());
        let home = tempfile::tempdir().unwrap();
        let mut devices: Vec<Vault> = Vec::new();
        for (number, skew) in skews.into_iter().enumerate() {
            let now = Timestamp(crate::world::NOW.0 + skew);
            let clock = Arc::new(SimulatedClock::new(now, number as u64 + 1));
            let key = devices.first().map(|first| first.key().clone());
            let folder = home.path().join(number.to_string());
            let device =
                Vault::create(&folder, "a device", key, crate::world::options(&clock)).unwrap();
            let options = RemoteOptions { url: "memory".into(), ..RemoteOptions::default() };
            device.add_remote(name.clone(), options, Arc::clone(&remote)).await.unwrap();
            devices.push(device);
        }
        let options = SyncOptions::default();
        let source = "first\nlast\n".to_owned();
        let note = devices[0].new_note(&NewNote { source, ..NewNote::default() }).unwrap();
        for device in &devices {
            device.sync(&name, Arc::clone(&remote), &options, &|_| ()).await.unwrap();
        }
        // Each goes on from what the other wrote, and both write at once in between.
        for (number, device) in devices.iter().enumerate() {
            let seen = device.read(note, None).unwrap();
            let new = seen.body.source().replace("last", &format!("by {number}\nlast"));
            device.edit(note, &seen.heads, &new, None).unwrap();
        }
        for device in devices.iter().chain(&devices) {
            device.sync(&name, Arc::clone(&remote), &options, &|_| ()).await.unwrap();
        }
        let seen = devices[1].read(note, None).unwrap();
        let new = seen.body.source().replace("first\n", "");
        devices[1].edit(note, &seen.heads, &new, None).unwrap();
        for device in devices.iter().rev() {
            device.sync(&name, Arc::clone(&remote), &options, &|_| ()).await.unwrap();
        }
        let texts = devices.iter().map(|device| device.read(note, None).unwrap().body.source());
        let texts: Vec<String> = texts.collect();
        assert_eq!(texts[0], texts[1]);
        assert!(devices.iter().all(|device| device.status().unwrap().unsynced_notes == 0));
        outcomes.push(texts[0].clone());
    }
    assert_eq!(outcomes[0].lines().count(), 3, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
}

/// An app may add its remote whenever it starts.
#[tokio::test]
async fn a_remote_that_is_added_as_it_is_leaves_no_trace() {
    let remote = memory();
    let laptop = Device::new("laptop", 1);
    laptop.add_public(&remote, Some("https://img.example")).await;
    let events = laptop.vault().events(Seq(1)).count();
    laptop.add_public(&remote, Some("https://img.example")).await;
    assert_eq!(laptop.vault().events(Seq(1)).count(), events);
    laptop.add_public(&remote, None).await;
    assert_eq!(laptop.vault().events(Seq(1)).count(), events + 1);
}

/// Somebody writes whenever something is put: each sync ends all the same, and the next puts the rest.
#[tokio::test]
async fn a_sync_ends_while_somebody_writes_all_the_while() {
    let remote = memory();
    let laptop = Device::new("laptop", 1);
    laptop.add(&remote).await;
    laptop.note("# One\n");
    let vault = laptop.vault();
    let written = std::sync::atomic::AtomicUsize::new(0);
    let writes = |_| {
        if written.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 10_000 {
            vault.new_note(&NewNote { source: "# More\n".into(), ..NewNote::default() }).unwrap();
        }
    };
    let options = SyncOptions::default();
    let origin = crate::world::origin();
    vault.sync(&origin, Arc::clone(&remote), &options, &writes).await.unwrap();
    assert!(written.load(std::sync::atomic::Ordering::Relaxed) < 1000);
    laptop.sync(&remote).await;
    let phone = Device::joined("phone", 2, &laptop, &remote).await;
    assert_eq!(phone.sources(), laptop.sources());
}

/// Whoever embeds a vault may go to another directory while it is open.
#[test]
fn a_vault_knows_where_it_is_from_anywhere() {
    let name = format!("target/relative-{}", std::process::id());
    let vault = Vault::create(std::path::Path::new(&name), "laptop", None, Options::default());
    let vault = vault.unwrap();
    assert!(vault.folder().is_absolute(), "{}", vault.folder().display());
    let folder = vault.folder().to_owned();
    drop(vault);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Nothing of a sync that was dropped half-way has the vault open any more.
#[tokio::test]
async fn a_vault_that_was_closed_can_be_opened_at_once() {
    let remote = memory();
    let mut laptop = Device::new("laptop", 1);
    laptop.add(&remote).await;
    for round in 0..20_u64 {
        let note = laptop.note("# One\n");
        let vault = laptop.vault.take().unwrap();
        let (syncing, other) = (vault.clone(), vault.clone());
        let (origin, to) = (crate::world::origin(), Arc::clone(&remote));
        let task = tokio::spawn(async move {
            syncing.sync(&origin, to, &SyncOptions::default(), &|_| ()).await
        });
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        task.abort();
        let closing = tokio::spawn(vault.close());
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(!closing.is_finished(), "another handle has it open");
        drop(other);
        closing.await.unwrap();
        laptop.reopen();
        assert_eq!(laptop.source(note), "# One\n");
    }
    laptop.sync(&remote).await;
    laptop.check();
}
