//! What only some remotes have: directories, wrappers, and the URLs that open them.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use everleaf::{
    event::RemoteOptions,
    image::MediaType,
    remote::{
        Call, Counted, Dir, Failure, Fault, Faulty, Key, Location, Memory, Prefix, Remote,
        RemoteError, RemoteExt as _, Requests, Upload, open,
    },
};
use futures_util::StreamExt as _;

use crate::remote::{device, image, keys, put, retry};

#[tokio::test]
async fn foreign_objects_are_passed_over() {
    let memory = Memory::with_page(1);
    let mut objects = BTreeMap::new();
    let real = image(5, MediaType::Png).to_string();
    for name in ["images/.DS_Store", "images/a.png", &real, "images/zzz", "x", "log/y/z"] {
        objects.insert(name.to_owned(), Bytes::from("x"));
    }
    memory.restore(objects.clone());
    assert_eq!(keys(&memory, Prefix::Images, None).await, [image(5, MediaType::Png)]);
    assert_eq!(keys(&memory, Prefix::Logs, None).await, []);

    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in &objects {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let dir = Dir::open(folder.path()).await.unwrap();
    std::fs::create_dir(folder.path().join(image(6, MediaType::Png).to_string())).unwrap();
    std::fs::create_dir(folder.path().join("log/0")).unwrap();
    assert_eq!(keys(&dir, Prefix::Images, None).await, [image(5, MediaType::Png)]);
    assert_eq!(keys(&dir, Prefix::Logs, None).await, []);
    assert_eq!(dir.head(&image(6, MediaType::Png)).await.unwrap(), None);
}

#[tokio::test]
async fn a_missing_directory_is_said_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let is_no_directory =
        |error| assert!(matches!(error, RemoteError::NoDirectory { .. }), "{error:?}");
    is_no_directory(Dir::open(&path).await.unwrap_err());
    let dir = Dir::create(&path).await.unwrap();
    put(&dir, &Key::Pulse, "x").await;
    std::fs::remove_dir_all(&path).unwrap();
    is_no_directory(dir.get(&Key::Pulse).await.unwrap_err());
    is_no_directory(dir.head(&Key::Pulse).await.unwrap_err());
    is_no_directory(dir.put(&Key::Head(device(1)), Bytes::from("x").into()).await.unwrap_err());
    is_no_directory(dir.list(&Prefix::Heads, None).await.unwrap_err());
    is_no_directory(dir.delete(&Key::Pulse).await.unwrap_err());
    assert!(!path.exists());
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_directory_loses_its_stale_temporary_files_only() {
    let folder = tempfile::tempdir().unwrap();
    let old = std::time::SystemTime::now() - Duration::from_hours(72);
    for (name, is_old) in [
        ("~syncthing~everleaf-new.tmp", false),
        ("~syncthing~everleaf-old.tmp", true),
        ("~syncthing~notes.md.tmp", true),
        ("thesis.doc", true),
    ] {
        let file = std::fs::File::create(folder.path().join(name)).unwrap();
        if is_old {
            file.set_modified(old).unwrap();
        }
    }
    let dir = Dir::open(folder.path()).await.unwrap();
    put(&dir, &Key::Pulse, "x").await;
    let left = ["pulse", "thesis.doc", "~syncthing~everleaf-new.tmp", "~syncthing~notes.md.tmp"];
    assert_eq!(names(folder.path()), left);
}

#[tokio::test]
async fn calls_are_counted() {
    let counted = Counted::new(Arc::new(Memory::new()));
    put(&counted, &Key::Pulse, "x").await;
    counted.head(&Key::Pulse).await.unwrap();
    counted.head(&Key::Vault).await.unwrap();
    counted.get(&Key::Vault).await.unwrap_err();
    keys(&counted, Prefix::Heads, None).await;
    counted.delete(&Key::Pulse).await.unwrap();
    let expected = Requests { get: 1, head: 2, put: 1, list: 1, delete: 1 };
    assert_eq!(counted.requests(), expected);
}

#[tokio::test]
async fn faults_hit_what_they_name() {
    let memory = Memory::new();
    let faulty = Faulty::new(Arc::new(memory.clone()));
    let x = || Upload::Bytes("x".into());
    let heads = Key::Head(device(1));

    let mut fault = Fault::next(Call::Put, 1, Failure::Busy);
    fault.prefix = "heads/".to_owned();
    fault.skip = 1;
    faulty.fail(fault);
    faulty.put(&Key::Pulse, x()).await.unwrap();
    faulty.put(&heads, x()).await.unwrap();
    let error = faulty.put(&heads, x()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Busy { .. }) && error.is_transient());
    faulty.put(&heads, x()).await.unwrap();

    memory.restore(BTreeMap::new());
    faulty.fail(Fault { after_effect: true, ..Fault::next(Call::Put, 1, Failure::Offline) });
    assert!(faulty.put(&Key::Vault, x()).await.unwrap_err().is_transient());
    assert_eq!(faulty.get_bytes(&Key::Vault, 1).await.unwrap(), "x");

    faulty.fail(Fault::always(Failure::Denied));
    assert!(!faulty.put(&Key::Pulse, x()).await.unwrap_err().is_transient());
    assert!(faulty.list(&Prefix::Heads, None).await.is_err());
    assert!(faulty.delete(&Key::Vault).await.is_err());
    faulty.heal();
    assert_eq!(memory.snapshot().len(), 1);

    faulty.fail(Fault::next(Call::Get, 2, Failure::Cut(3)));
    put(&memory, &Key::Vault, "abcdef").await;
    let mut body = faulty.get(&Key::Vault).await.unwrap().body;
    assert_eq!(body.next().await.unwrap().unwrap(), "abc");
    assert!(body.next().await.unwrap().unwrap_err().is_transient());
    assert!(body.next().await.is_none());
    assert!(faulty.get_bytes(&Key::Vault, 9).await.unwrap_err().is_transient());
    assert_eq!(faulty.get_bytes(&Key::Vault, 9).await.unwrap(), "abcdef");
}

#[tokio::test]
async fn what_may_pass_is_retried_a_bounded_number_of_times() {
    let faulty = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let counted = Arc::new(Counted::new(Arc::clone(&faulty) as _));
    let retry = retry(Arc::clone(&counted) as _, 3);
    faulty.fail(Fault::next(Call::Put, 2, Failure::Offline));
    put(&retry, &Key::Pulse, "x").await;
    assert_eq!(counted.requests().put, 3);
    faulty.fail(Fault::next(Call::Head, u64::MAX, Failure::Busy));
    assert!(retry.head(&Key::Pulse).await.unwrap_err().is_transient());
    assert_eq!(counted.requests().head, 3);
    faulty.fail(Fault::next(Call::Delete, u64::MAX, Failure::Denied));
    assert!(retry.delete(&Key::Pulse).await.is_err());
    assert_eq!(counted.requests().delete, 1);
    retry.get(&Key::Vault).await.unwrap_err();
    assert_eq!(counted.requests().get, 1);
}

#[test]
fn urls_of_remotes_are_read() {
    let s3 = |bucket: &str, prefix: &str| Location::S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    };
    let hubs = |urls: &[&str]| Location::Hub(urls.iter().map(|url| (*url).to_owned()).collect());
    let good = [
        ("https://hub.example.org", hubs(&["https://hub.example.org"])),
        ("https://hub.example.org:8443/notes/", hubs(&["https://hub.example.org:8443/notes"])),
        ("https://a https://b", hubs(&["https://a", "https://b"])),
        ("http://127.0.0.1:4681", hubs(&["http://127.0.0.1:4681"])),
        ("http://[::1]:4681", hubs(&["http://[::1]:4681"])),
        ("dir:/mnt/disk", Location::Dir("/mnt/disk".into())),
        ("dir:notes", Location::Dir("notes".into())),
        ("s3://bucket", s3("bucket", "")),
        ("s3://bucket/", s3("bucket", "")),
        ("s3://my.bucket-1/a/b_c", s3("my.bucket-1", "a/b_c")),
    ];
    for (url, location) in good {
        let read: Location = url.parse().unwrap();
        assert_eq!(read, location);
        assert_eq!(read.to_string().parse::<Location>().unwrap(), location);
    }
    let bad = ["", "dir:", "s3://", "s3:///x", "s3://b//x", "s3://b/../x", "s3://me:pw@b", "/mnt"];
    for url in bad.iter().chain(&[
        "https://me:pw@host/",
        "https://",
        "https://host?pw",
        "https://host#pw",
        "https://a  https://b",
        "https://a dir:x",
        "http://hub.example.org",
        "http://127.0.0.1.example.org",
        "s3://b/ä",
        "s3://b/x?y",
    ]) {
        let error = url.parse::<Location>().unwrap_err();
        assert!(matches!(error, RemoteError::Misconfigured { .. }), "{url}");
        assert!(!format!("{error}{error:?}").contains("pw"), "{error:?}");
    }
}

#[tokio::test]
async fn a_remote_is_opened_by_its_url() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("dir:{}", folder.path().display());
    let remote = open(&RemoteOptions { url, ..RemoteOptions::default() }, &crate::hub::key(1))
        .await
        .unwrap();
    put(&*remote, &Key::Pulse, "x").await;
    assert_eq!(std::fs::read(folder.path().join("pulse")).unwrap(), b"x");
    let url = format!("dir:{}/missing", folder.path().display());
    // A disk may be away when it is opened, and back when it is used.
    let missing = open(&RemoteOptions { url, ..RemoteOptions::default() }, &crate::hub::key(1))
        .await
        .unwrap();
    let error = missing.head(&Key::Pulse).await.unwrap_err();
    assert!(matches!(error, RemoteError::NoDirectory { .. }));
    std::fs::create_dir(folder.path().join("missing")).unwrap();
    assert_eq!(missing.head(&Key::Pulse).await.unwrap(), None);
}
