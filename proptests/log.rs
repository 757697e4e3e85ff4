//! What is acknowledged is on disk, and a log that lost something says so.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use everleaf::{
    clock::Timestamp,
    db::{Db, DbError, Durability, Table},
    event::{Event, Origin, RenewReason},
    id::{DeviceId, ImageId, Seq, VaultId},
    log::{Log, LogError, New},
    projection::Projections,
    remote::{Memory, Remote},
    vault::{Vault, VaultError},
};

use crate::world::{Device, copy_folder, options};

fn open(folder: &Path) -> Log {
    let db = Arc::new(Db::open(folder, Duration::ZERO).unwrap());
    Log::open(folder, db, Box::new(Projections)).unwrap().log
}

fn seen(n: u8) -> New {
    let event = Event::DeviceSeen { device: DeviceId::from_bytes([n; 16]), name: n.to_string() };
    New { at: Timestamp(0), origin: Origin::Here, event }
}

fn long(n: u8) -> New {
    let event = Event::DeviceSeen {
        device: DeviceId::from_bytes([n; 16]),
        name: n.to_string().repeat(20_000),
    };
    New { at: Timestamp(0), origin: Origin::Here, event }
}

/// Appends more than is left in a journal.
fn grow(log: &Log, numbers: Range<u8>) {
    for n in numbers {
        log.append(vec![long(n)], None).unwrap();
    }
}

/// How long the journal in a folder is.
fn journal(folder: &Path) -> u64 {
    fs::metadata(folder.join("db/0.jnl")).unwrap().len()
}

#[test]
fn appends_from_many_threads_are_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    std::thread::scope(|scope| {
        for n in 0..32 {
            let log = &log;
            scope.spawn(move || {
                for _ in 0..8 {
                    let recorded = log.append(vec![seen(n), seen(n)], None).unwrap();
                    assert_eq!(recorded[1].seq, recorded[0].seq.next());
                }
            });
        }
    });
    drop(log);
    let log = open(folder.path());
    assert_eq!(log.last().unwrap(), Seq(512));
    assert_eq!(log.read(Seq(1)).map(Result::unwrap).count(), 512);
}

#[test]
fn after_a_panic_whoever_waits_is_told_and_nobody_waits_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let acknowledged: usize = std::thread::scope(|scope| {
        let append = |n: u8| {
            let log = &log;
            move || (0..16).filter(|_| log.append(vec![seen(n)], None).is_ok()).count()
        };
        let threads: Vec<_> = (0..8).map(|n| scope.spawn(append(n))).collect();
        let bad = log.alone(|_| -> Result<(), LogError> { panic!("a bad end, on purpose") });
        assert!(matches!(bad, Err(LogError::Closed)), "{bad:?}");
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(matches!(log.append(vec![seen(1)], None), Err(LogError::Closed)));
    drop(log);
    assert!(open(folder.path()).last().unwrap() >= Seq(acknowledged as u64));
}

#[test]
fn what_is_refused_leaves_no_trace_in_what_is_appended_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let broken = Event::NoteChanged {
        note: everleaf::id::NoteId::from_bytes([1; 16]),
        change: everleaf::event::ChangeBytes(b"no change".to_vec()),
    };
    let broken = New { event: broken, ..seen(1) };
    let refused = log.append(vec![seen(1), broken, seen(2)], None).unwrap_err();
    assert!(matches!(refused, LogError::Refused(_)), "{refused}");
    assert_eq!(log.last().unwrap(), Seq(0));
    log.append(vec![seen(3)], None).unwrap();
    assert_eq!(log.read(Seq(1)).count(), 1);
}

#[test]
fn after_a_failed_write_nothing_is_acknowledged_until_the_vault_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let db = Arc::new(Db::open(folder.path(), Duration::ZERO).unwrap());
    let log = Log::open(folder.path(), Arc::clone(&db), Box::new(Projections)).unwrap().log;
    log.append(vec![seen(1)], None).unwrap();
    db.poison_for_test();
    for _ in 0..2 {
        let error = log.append(vec![seen(2)], None).unwrap_err();
        assert!(matches!(error, LogError::Db(DbError::Poisoned)), "{error}");
    }
    drop((log, db));
    let log = open(folder.path());
    assert_eq!(log.last().unwrap(), Seq(1));
    log.append(vec![seen(2)], None).unwrap();
}

#[test]
fn a_journal_that_grew_is_empty_after_a_clean_stop_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let opened = open(folder.path());
        assert_eq!(opened.last().unwrap(), Seq(u64::from(round) * 61));
        grow(&opened, round * 60..(round + 1) * 60);
        drop(opened);
        assert_eq!(journal(folder.path()), 0);
        // What is little stays in it.
        open(folder.path()).append(vec![seen(round)], None).unwrap();
        assert_ne!(journal(folder.path()), 0);
    }
    let events = open(folder.path()).read(Seq(1)).map(|event| event.unwrap().event);
    let names = events.map(|event| match event {
        Event::DeviceSeen { name, .. } => name,
        other => panic!("{other:?}"),
    });
    let expected = (0..3_u8).flat_map(|round| {
        let long = (0..60).map(move |n| (round * 60 + n).to_string().repeat(20_000));
        long.chain([round.to_string()])
    });
    assert!(names.eq(expected));
}

#[test]
fn a_journal_that_grew_is_emptied_where_no_stop_is_ever_clean() {
    let folders = [(); 5].map(|()| tempfile::tempdir().unwrap());
    for pair in folders.windows(2) {
        let opened = open(pair[0].path());
        let before = opened.last().unwrap().0;
        grow(&opened, 0..60);
        assert_eq!(opened.last().unwrap(), Seq(before + 60));
        // What a killed process leaves.
        copy_folder(pair[0].path(), pair[1].path());
        assert!(journal(pair[1].path()) > 1 << 20);
        let reopened = open(pair[1].path());
        assert_eq!(journal(pair[1].path()), 0);
        assert_eq!(reopened.read(Seq(1)).map(Result::unwrap).count() as u64, before + 60);
    }
}

#[test]
fn a_creation_that_was_cut_off_is_begun_anew() {
    let device = Device::new("laptop", 1);
    let whole = device.path();
    let folder = tempfile::tempdir().unwrap();
    // Half a database, under the name that it has until it is whole.
    copy_folder(&whole.join("db"), &folder.path().join("db.new"));
    for entry in fs::read_dir(folder.path().join("db.new")).unwrap().flatten() {
        if entry.path().is_file() && entry.file_name() != "0.jnl" {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let log = open(folder.path());
    log.append(vec![seen(1)], None).unwrap();
    assert!(!folder.path().join("db.new").exists());

    // A whole vault but for the file that makes it one: `create` was cut off before its end.
    let other = tempfile::tempdir().unwrap();
    copy_folder(&whole, &other.path().join("vault"));
    let path = other.path().join("vault");
    fs::remove_file(path.join("vault.json")).unwrap();
    assert!(matches!(Vault::open(&path, options(&device.clock)), Err(VaultError::NoVault(_))));
    let vault = Vault::create(&path, "laptop", None, options(&device.clock)).unwrap();
    assert_eq!(vault.events(Seq(1)).count(), 1);
}

#[test]
fn a_second_process_is_told_who_has_the_vault() {
    let device = Device::new("laptop", 1);
    let error = Vault::open(&device.path(), options(&device.clock)).unwrap_err();
    let process = std::process::id();
    assert_eq!(error.to_string(), format!("the vault is open in process {process}"));
}

/// The vault as a killed process leaves it, with one file of its database changed.
fn crashed(device: &Device, change: impl Fn(&Path)) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault");
    copy_folder(&device.path(), &path);
    let mut journals: Vec<_> = fs::read_dir(path.join("db"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .collect();
    journals.sort();
    change(journals.last().unwrap());
    (folder, path)
}

/// Cuts a journal in the middle of what was written last.
fn cut(journal: &Path) {
    let bytes = fs::read(journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(journal, &bytes[..end - 40]).unwrap();
}

#[test]
fn a_lost_tail_is_noticed_and_its_journals_are_kept() {
    let device = Device::new("laptop", 1);
    let kept = device.note("# Kept\n");
    device.note("# Lost\n");
    let last = device.vault().events(Seq(1)).count() as u64;
    let (_folder, path) = crashed(&device, cut);
    let before = device.vault().device().unwrap();
    let vault = Vault::open(&path, options(&device.clock)).unwrap();
    let renewed = vault.events(Seq(1)).map(Result::unwrap).find_map(|r| match r.event {
        Event::DeviceRenewed { from, reason, .. } => Some((from, reason)),
        _ => None,
    });
    let reason = RenewReason::TailLost { lost: Seq(last) };
    assert_eq!(renewed, Some((before, reason)));
    assert!(vault.read(kept, None).is_ok());
    assert!(path.join("journals/1").read_dir().unwrap().count() > 0);
    assert_eq!(vault.verify().unwrap().findings, []);
}

#[test]
fn a_lost_tail_is_noticed_again_until_something_is_done_about_it() {
    let device = Device::new("laptop", 1);
    device.note("# Kept\n");
    device.note("# Lost\n");
    let last = device.vault().events(Seq(1)).count() as u64;
    let (_folder, path) = crashed(&device, cut);
    // Processes that are stopped before they have taken a new identity.
    for _ in 0..2 {
        let db = Arc::new(Db::open(&path, Duration::ZERO).unwrap());
        let opened = Log::open(&path, db, Box::new(Projections)).unwrap();
        assert_eq!(opened.lost, Some(Seq(last)));
    }
    for _ in 0..2 {
        let vault = Vault::open(&path, options(&device.clock)).unwrap();
        let is_renewal =
            |r: &everleaf::event::Recorded| matches!(r.event, Event::DeviceRenewed { .. });
        assert_eq!(vault.events(Seq(1)).map(Result::unwrap).filter(is_renewal).count(), 1);
    }
}

#[tokio::test]
async fn a_lost_tail_that_was_pushed_comes_back_with_the_next_sync() {
    let remote: Arc<dyn Remote> = Arc::new(Memory::new());
    let device = Device::new("laptop", 1);
    device.add(&remote).await;
    device.note("# Kept\n");
    device.sync(&remote).await;
    let lost = device.note("# Lost\n");
    // The receipt of the push is lost together with the events.
    let (_folder, path) = crashed(&device, cut);
    device.sync(&remote).await;
    let clock = Arc::new(everleaf::clock::SimulatedClock::new(crate::world::NOW, 77));
    let vault = Vault::open(&path, options(&clock)).unwrap();
    assert!(vault.read(lost, None).is_err());
    let sync = everleaf::vault::SyncOptions::default();
    let report = vault.sync(&crate::world::origin(), remote, &sync, &|_| ()).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(vault.read(lost, None).unwrap().body.source(), "# Lost\n");
    assert_eq!(vault.verify().unwrap().findings, []);
}

#[test]
fn an_event_that_is_not_the_acknowledged_one_is_noticed() {
    let device = Device::new("laptop", 1);
    device.note("# One\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault");
    copy_folder(&device.path(), &path);
    // The head of another log: same number, other hash.
    let other = Device::new("other", 2);
    other.note("# Two\n");
    fs::copy(other.path().join("head"), path.join("head")).unwrap();
    let error = Vault::open(&path, options(&device.clock)).unwrap_err();
    assert!(error.to_string().contains("not the one that was acknowledged"), "{error}");
}

#[test]
fn a_rebuild_gives_byte_equal_projections() {
    let device = Device::new("laptop", 1);
    device.file("a.png", &crate::image::png(3, 4, b"a"));
    let note = device.note("# One\n\n![a](a.png)\n");
    device.edit(note, |text| text.replace("One", "Two"));
    device.vault().set_trashed(note, true).unwrap();
    device.note("# Three\n");
    let rows = |device: &Device| -> Vec<usize> {
        Table::ALL.iter().map(|table| device.vault().rows(*table).unwrap()).collect()
    };
    let before = rows(&device);
    device.vault().rebuild().unwrap();
    assert_eq!(rows(&device), before);
    device.check();
    assert_eq!(device.source(note), "# Two\n\n![a](a.png)\n");
}

#[test]
fn a_damaged_row_is_found_and_mended_by_a_rebuild() {
    let device = Device::new("laptop", 1);
    device.note("# One\n");
    let image = ImageId::from_bytes([7; 32]);
    device.vault().damage_for_test(Table::Wanted, image.as_bytes()).unwrap();
    let findings = device.vault().verify().unwrap().findings;
    assert!(findings.iter().any(|finding| finding.what == "projection Wanted"), "{findings:?}");
    device.vault().rebuild().unwrap();
    device.check();
}

#[test]
fn a_vault_without_a_log_or_with_another_key_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let key = everleaf::seal::VaultKey::generate(&everleaf::clock::SystemClock);
    let file = everleaf::segment::VaultFile::new(key.vault_id()).to_bytes();
    fs::write(folder.path().join("vault.json"), file).unwrap();
    fs::write(folder.path().join("key"), key.to_bech32().as_bytes()).unwrap();
    let clock = Arc::new(everleaf::clock::SimulatedClock::new(crate::world::NOW, 5));
    let error = Vault::open(folder.path(), options(&clock)).unwrap_err();
    assert!(matches!(error, VaultError::Incomplete(_)), "{error}");

    let other = everleaf::segment::VaultFile::new(VaultId::from_bytes([1; 32])).to_bytes();
    fs::write(folder.path().join("vault.json"), other).unwrap();
    let error = Vault::open(folder.path(), options(&clock)).unwrap_err();
    assert!(matches!(error, VaultError::DamagedFile(_)), "{error}");
}

#[test]
fn a_log_without_its_beginning_is_not_read_as_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append(vec![seen(1), seen(2), seen(3)], None).unwrap();
    let rows: Vec<_> = {
        let db = {
            drop(log);
            Db::open(folder.path(), Duration::ZERO).unwrap()
        };
        db.events(1).map(Result::unwrap).collect()
    };
    let headless = tempfile::tempdir().unwrap();
    let db = Db::open(headless.path(), Duration::ZERO).unwrap();
    let mut batch = db.batch();
    for (key, value) in rows.into_iter().skip(1) {
        batch.event(u64::from_be_bytes(key.try_into().unwrap()), value);
    }
    batch.commit(Durability::Synced).unwrap();
    assert_eq!(everleaf::log::read(&db, Seq(2)).flatten().count(), 2);
    let error = everleaf::log::read(&db, Seq(1)).next().unwrap().unwrap_err();
    assert!(matches!(error, LogError::Damaged(_)), "{error}");
}

/// Whoever waited for what can't be written would wait for ever.
#[test]
fn a_vault_whose_disk_is_gone_can_still_be_closed_and_makes_nothing_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    grow(&opened, 0..60);
    assert!(journal(folder.path()) > 1 << 20, "there are tables to write");
    fs::remove_dir_all(folder.path()).unwrap();
    drop(opened);
    assert!(!folder.path().exists());
}

#[test]
fn a_vault_that_lost_its_files_is_a_vault_still() {
    // Without its `head`, the log itself tells that more was done than to begin a vault.
    for lost in [&["vault.json"] as &[_], &["vault.json", "head"]] {
        let mut device = Device::new("laptop", 1);
        let note = device.note("# Kept\n");
        let (path, key) = (device.path(), device.vault().key().to_bech32().to_string());
        device.vault = None;
        for file in lost {
            fs::remove_file(path.join(file)).unwrap();
        }
        let refused = Vault::create(&path, "laptop", None, options(&device.clock)).unwrap_err();
        assert!(matches!(refused, VaultError::Exists(_)), "{lost:?}: {refused}");
        device.reopen();
        assert_eq!(device.source(note), "# Kept\n");
        assert_eq!(device.vault().key().to_bech32().to_string(), key);
        assert!(path.join("vault.json").is_file());
    }
}

#[test]
fn a_folder_of_that_name_makes_no_vault_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new("laptop", 1);
    fs::create_dir(folder.path().join("db")).unwrap();
    fs::write(folder.path().join("db/schema.rb"), "create_table").unwrap();
    let opened = Vault::open(folder.path(), options(&device.clock)).unwrap_err();
    assert!(matches!(opened, VaultError::NoVault(_)), "{opened}");
    let made = Vault::create(folder.path(), "laptop", None, options(&device.clock)).unwrap_err();
    assert!(matches!(made, VaultError::NotEmpty(_)), "{made}");
    let all =
        walkdir::WalkDir::new(folder.path()).into_iter().map(|entry| entry.unwrap().into_path());
    let expected = ["", "db", "db/schema.rb"].map(|name| folder.path().join(name));
    assert_eq!(
        all.map(|path| path.join("")).collect::<Vec<_>>(),
        expected.map(|path| path.join(""))
    );
}

#[test]
fn a_remote_in_a_folder_is_no_vault_and_stays_as_it_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new("laptop", 1);
    fs::copy(device.path().join("vault.json"), folder.path().join("vault.json")).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let refused = Vault::open(folder.path(), options(&device.clock)).unwrap_err();
    assert!(matches!(refused, VaultError::NoVault(_)), "{refused}");
    let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}
