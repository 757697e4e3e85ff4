//! The S3 store inside this process, which can be made to fail.

mod answers;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use everleaf::{
    clock::{SimulatedClock, Timestamp},
    event::RemoteOptions,
    image::MediaType,
    loopback::{Loopback, Trouble},
    remote::{
        Call, Fault, Key, Prefix, Remote, RemoteError, RemoteExt as _, S3, S3Credentials,
        S3Options, Upload, open, public_url,
    },
};

use crate::remote::{conforms, image, lists_page_after_page, put};

fn clock() -> Arc<SimulatedClock> {
    Arc::new(SimulatedClock::new(Timestamp(1_800_000_000_000), 1))
}

pub(crate) async fn store() -> Loopback {
    Loopback::start(clock()).await.unwrap()
}

pub(crate) async fn connect(options: S3Options) -> S3 {
    S3::open(options).await.unwrap()
}

fn answer(status: u16, code: &'static str) -> Trouble {
    Trouble::Answer { status, code }
}

#[tokio::test]
async fn a_store_conforms() {
    let store = store().await;
    conforms(Arc::new(connect(store.s3_options("")).await)).await;
    let mut options = store.s3_options("a/b");
    options.page = Some(2);
    conforms(Arc::new(connect(options).await)).await;
    assert_eq!(store.objects(), []);
    assert_eq!(store.unfinished_uploads(), 0);
}

#[tokio::test]
async fn a_store_lists_page_after_page() {
    let store = store().await;
    lists_page_after_page(Arc::new(connect(store.s3_options("p")).await), 1003).await;
    assert_eq!(store.requests().list, 2);
}

#[tokio::test]
async fn objects_are_stored_with_what_browsers_and_caches_need() {
    let store = store().await;
    let remote = connect(store.s3_options("p")).await;
    let key = image(1, MediaType::Webp);
    put(&remote, &key, "picture").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    let size = 17 * 1024 * 1024;
    std::fs::write(&path, vec![7; size]).unwrap();
    let large = image(2, MediaType::Tiff);
    remote.put(&large, Upload::File { path, size: size as u64 }).await.unwrap();
    for (key, mime) in [(key, "image/webp"), (large, "image/tiff")] {
        let object = store.object(&format!("p/{key}")).unwrap();
        assert_eq!(object.media_type.as_deref(), Some(mime));
        let cached = "public, max-age=31536000, immutable";
        assert_eq!(object.cache_control.as_deref(), Some(cached));
        assert_eq!(store.puts(&format!("p/{key}")), 1);
    }
    // One for the small one; begin, three parts and end for the large one.
    assert_eq!(store.requests().put, 6);
    put(&remote, &Key::Pulse, "x").await;
    let pulse = store.object("p/pulse").unwrap();
    assert_eq!((pulse.cache_control, pulse.content_disposition), (None, None));
    // An SVG may carry scripts: opened by itself, it is a download and no page.
    let (webp, svg) = (image(1, MediaType::Webp), image(3, MediaType::Svg));
    put(&remote, &svg, "<svg/>").await;
    let disposition = |key: &Key| store.object(&format!("p/{key}")).unwrap().content_disposition;
    assert_eq!(disposition(&svg).as_deref(), Some("attachment"));
    assert_eq!(disposition(&webp), None);
}

#[tokio::test]
async fn foreign_objects_in_a_bucket_are_passed_over() {
    let store = store().await;
    let mut options = store.s3_options("");
    options.page = Some(1);
    let remote = connect(options).await;
    // What is under `images/` of this bucket by way of another prefix.
    let nested = connect(store.s3_options("images")).await;
    put(&nested, &Key::Vault, "x").await;
    put(&nested, &Key::Pulse, "x").await;
    put(&nested, &image(1, MediaType::Png), "x").await;
    put(&remote, &image(1, MediaType::Png), "x").await;
    let listed = remote.list_all(&Prefix::Images, None).await.unwrap();
    let keys: Vec<_> = listed.iter().map(|listed| listed.key).collect();
    assert_eq!(keys, [image(1, MediaType::Png)]);
}

#[tokio::test]
async fn a_failed_upload_in_parts_leaves_nothing() {
    let store = store().await;
    let remote = connect(store.s3_options("")).await;
    let key = image(1, MediaType::Png);
    let body = || Upload::Bytes(Bytes::from(vec![1; 17 * 1024 * 1024]));
    let mut fault = Fault::next(Call::Put, 1, answer(403, "AccessDenied"));
    fault.skip = 2;
    store.fail(fault);
    let error = remote.put(&key, body()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Denied { .. }), "{error:?}");
    assert_eq!((store.objects(), store.unfinished_uploads()), (vec![], 0));
    // A lost answer in the middle is made good by asking again.
    let mut fault = Fault::next(Call::Put, 1, Trouble::Drop);
    (fault.skip, fault.after_effect) = (1, true);
    store.fail(fault);
    remote.put(&key, body()).await.unwrap();
    assert_eq!(store.object(&key.to_string()).unwrap().bytes.len(), 17 * 1024 * 1024);
    assert_eq!(store.unfinished_uploads(), 0);
}

#[tokio::test]
async fn a_lost_answer_to_the_end_of_an_upload_in_parts_is_no_failure() {
    let store = store().await;
    let remote = connect(store.s3_options("")).await;
    let key = image(1, MediaType::Png);
    let mut fault = Fault::next(Call::Put, 1, Trouble::Drop);
    (fault.skip, fault.after_effect) = (4, true);
    store.fail(fault);
    put(&remote, &key, vec![1; 17 * 1024 * 1024]).await;
    assert_eq!(store.puts(&key.to_string()), 1);
    assert_eq!(store.requests().put, 6, "begin, three parts, and the end twice");
}

/// What each call makes of one trouble.
pub(crate) async fn every_error(remote: &dyn Remote) -> Vec<RemoteError> {
    vec![
        remote.get(&Key::Pulse).await.unwrap_err(),
        remote.head(&Key::Pulse).await.unwrap_err(),
        remote.put(&Key::Pulse, Bytes::from("x").into()).await.unwrap_err(),
        remote.list(&Prefix::Heads, None).await.unwrap_err(),
        remote.delete(&Key::Pulse).await.unwrap_err(),
    ]
}

pub(crate) fn chain(error: &RemoteError) -> String {
    let first: Option<&dyn std::error::Error> = Some(error);
    let errors = std::iter::successors(first, |error| error.source());
    let texts: Vec<_> = errors.map(|error| format!("{error}: {error:?}")).collect();
    texts.join("\n")
}

type Case = (Trouble, fn(&RemoteError) -> bool);

#[tokio::test]
async fn a_stores_refusals_are_told_apart() {
    let store = store().await;
    let mut options = store.s3_options("");
    options.attempts = 1;
    let remote = connect(options).await;
    let cases: [Case; 13] = [
        (answer(401, "Unauthorized"), |e| matches!(e, RemoteError::Denied { .. })),
        (answer(403, "AccessDenied"), |e| matches!(e, RemoteError::Denied { .. })),
        (answer(403, "SignatureDoesNotMatch"), |e| matches!(e, RemoteError::Denied { .. })),
        (answer(413, "EntityTooLarge"), |e| matches!(e, RemoteError::TooLarge { .. })),
        (answer(429, "TooManyRequests"), |e| matches!(e, RemoteError::Busy { .. })),
        (answer(429, "SlowDown"), |e| matches!(e, RemoteError::Busy { .. })),
        (answer(500, "InternalError"), |e| matches!(e, RemoteError::Busy { .. })),
        (answer(503, "SlowDown"), |e| matches!(e, RemoteError::Busy { .. })),
        (answer(502, "BadGateway"), |e| matches!(e, RemoteError::Busy { .. })),
        (answer(400, "InvalidRequest"), |e| matches!(e, RemoteError::Misconfigured { .. })),
        (answer(301, "PermanentRedirect"), |e| matches!(e, RemoteError::Misconfigured { .. })),
        (answer(501, "NotImplemented"), |e| matches!(e, RemoteError::Misconfigured { .. })),
        (Trouble::Drop, |e| matches!(e, RemoteError::Offline { .. })),
    ];
    for (trouble, is_expected) in cases {
        store.fail(Fault::always(trouble));
        for error in every_error(&remote).await {
            assert!(is_expected(&error), "{trouble:?}: {}", chain(&error));
        }
        store.heal();
    }
    put(&remote, &Key::Pulse, "x").await;
}

/// With this key every call is denied, and the secret stands nowhere.
pub(crate) async fn denied(mut options: S3Options, id: String, secret: &str) {
    options.credentials = S3Credentials::Key { id, secret: secret.to_owned().into() };
    assert!(!format!("{options:?}").contains(secret));
    let remote = connect(options).await;
    assert!(!format!("{remote:?}").contains(secret));
    for error in every_error(&remote).await {
        assert!(matches!(error, RemoteError::Denied { .. }), "{}", chain(&error));
        assert!(!chain(&error).contains(secret));
    }
}

#[tokio::test]
async fn a_wrong_key_is_denied_and_shown_nowhere() {
    let store = store().await;
    let good = store.s3_options("").credentials;
    let S3Credentials::Key { id, .. } = good else { unreachable!() };
    for id in [id, "NOBODY".to_owned()] {
        denied(store.s3_options(""), id, "wrong-secret-0451").await;
    }
    assert_eq!(store.objects(), []);
}

/// Every call says that the bucket is missing, but `head`: an answer to that does not tell a missing
/// bucket from a missing object.
pub(crate) async fn lacks_its_bucket(mut options: S3Options, bucket: &str) {
    options.bucket = bucket.to_owned();
    let remote = connect(options).await;
    // What was asked before makes no bucket.
    for _ in 0..2 {
        for error in [
            remote.get(&Key::Pulse).await.unwrap_err(),
            remote.put(&Key::Pulse, Bytes::from("x").into()).await.unwrap_err(),
            remote.list(&Prefix::Heads, None).await.unwrap_err(),
            remote.delete(&Key::Pulse).await.unwrap_err(),
        ] {
            assert!(matches!(error, RemoteError::NoBucket { .. }), "{}", chain(&error));
            assert!(error.to_string().contains(&format!("`{bucket}`")), "{error}");
        }
        assert_eq!(remote.head(&Key::Pulse).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_missing_bucket_is_said_and_not_made() {
    let store = store().await;
    let asked = store.requests().put;
    lacks_its_bucket(store.s3_options(""), "missing").await;
    assert_eq!(
        store.requests().put,
        asked + 2,
        "each put is one request, and no other makes a bucket"
    );
}

#[tokio::test]
async fn a_store_that_is_not_there_is_offline() {
    let store = store().await;
    let mut options = store.s3_options("");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    options.endpoint = Some(format!("http://{port}"));
    for error in every_error(&connect(options.clone()).await).await {
        assert!(matches!(error, RemoteError::Offline { .. }), "{}", chain(&error));
    }
    for endpoint in ["", "127.0.0.1:9000", "https://", "https://me:pw@host", "ftp://host"] {
        options.endpoint = Some(endpoint.to_owned());
        let error = S3::open(options.clone()).await.unwrap_err();
        assert!(matches!(error, RemoteError::Misconfigured { .. }), "{}", chain(&error));
        assert!(!chain(&error).contains("pw"));
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = S3Options::new("bucket", "");
    options.endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    options.credentials =
        S3Credentials::Key { id: "id".to_owned(), secret: "secret".to_owned().into() };
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await.unwrap();
    });
    let error = connect(options).await.get_bytes(&Key::Vault, 100).await.unwrap_err();
    assert!(matches!(error, RemoteError::Offline { .. }), "{}", chain(&error));
}

#[tokio::test]
async fn what_a_store_says_is_passing_is_asked_again() {
    let store = store().await;
    let remote = connect(store.s3_options("")).await;
    for trouble in [
        answer(429, "TooManyRequests"),
        answer(429, "SlowDown"),
        answer(500, "InternalError"),
        answer(503, "SlowDown"),
        Trouble::Drop,
    ] {
        for after_effect in [false, true] {
            for call in [Call::Get, Call::Head, Call::Put, Call::List, Call::Delete] {
                put(&remote, &Key::Pulse, "x").await;
                store.fail(Fault { after_effect, ..Fault::next(call, 1, trouble) });
                match call {
                    Call::Get => assert_eq!(remote.get_bytes(&Key::Pulse, 9).await.unwrap(), "x"),
                    Call::Head => assert!(remote.head(&Key::Pulse).await.unwrap().is_some()),
                    Call::Put => put(&remote, &Key::Pulse, "y").await,
                    Call::List => assert!(remote.list(&Prefix::Heads, None).await.is_ok()),
                    Call::Delete => remote.delete(&Key::Pulse).await.unwrap(),
                    Call::Watch => assert!(remote.watch(None).await.unwrap().is_none()),
                }
            }
        }
    }
}

#[tokio::test]
async fn one_write_of_a_key_in_a_second_is_all_that_r2_takes() {
    let clock = clock();
    let store = Loopback::start(Arc::clone(&clock) as _).await.unwrap();
    store.set_write_limit(true);
    let remote = connect(store.s3_options("")).await;
    put(&remote, &Key::Pulse, "a").await;
    put(&remote, &Key::Vault, "a").await;
    let error = remote.put(&Key::Pulse, Bytes::from("b").into()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Busy { .. }), "{}", chain(&error));
    assert_eq!(store.requests().put, 5, "asked three times before giving up");
    assert_eq!(store.object("pulse").unwrap().bytes, "a");
    clock.advance(Duration::from_secs(1));
    put(&remote, &Key::Pulse, "c").await;
    assert_eq!((store.puts("pulse"), store.object("pulse").unwrap().bytes), (2, "c".into()));
}

/// One request without a signature, and its answer.
async fn fetch(method: &str, url: &str, header: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let head = format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    stream.write_all(format!("{head}{header}\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn anybody_reads_images_of_a_public_bucket_and_nothing_else() {
    let store = store().await;
    let key = image(1, MediaType::Png);
    let (base, nested) = (store.public_url(), format!("{}/a/b", store.public_url()));
    for (prefix, base) in [("", base.clone()), ("a/b", nested)] {
        let remote = connect(store.s3_options(prefix)).await;
        put(&remote, &key, "picture").await;
        put(&remote, &Key::Vault, "private").await;
        let url = public_url(&base, &key);
        store.set_public(false);
        assert!(fetch("GET", &url, "").await.starts_with("HTTP/1.1 403 "));
        store.set_public(true);
        let shown = fetch("GET", &url, "").await;
        assert!(shown.starts_with("HTTP/1.1 200 ") && shown.ends_with("\r\n\r\npicture"));
        assert!(shown.contains("content-type: image/png"), "{shown}");
        assert!(shown.contains("cache-control: public, max-age=31536000, immutable"), "{shown}");
        let part = fetch("GET", &url, "range: bytes=1-3\r\n").await;
        assert!(part.starts_with("HTTP/1.1 206 ") && part.ends_with("\r\n\r\nict"), "{part}");
        assert!(fetch("HEAD", &url, "").await.starts_with("HTTP/1.1 200 "));
        for (method, url) in [
            ("DELETE", url.clone()),
            ("GET", public_url(&base, &Key::Vault)),
            ("GET", store.public_url()),
            ("PUT", public_url(&base, &image(2, MediaType::Png))),
        ] {
            let refused = fetch(method, &url, "content-length: 0\r\n").await;
            assert!(refused.starts_with("HTTP/1.1 403 "), "{method} {url}: {refused}");
        }
    }
}

#[tokio::test]
async fn a_bucket_goes_back_to_what_it_was() {
    let store = store().await;
    let remote = connect(store.s3_options("")).await;
    put(&remote, &Key::Pulse, "old").await;
    let before = store.snapshot();
    put(&remote, &Key::Pulse, "new").await;
    store.wipe();
    assert_eq!(remote.head(&Key::Pulse).await.unwrap(), None);
    store.restore(before);
    assert_eq!(remote.get_bytes(&Key::Pulse, 9).await.unwrap(), "old");
}

#[tokio::test]
async fn credentials_come_from_a_profile() {
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_some() {
        eprintln!("left out: the environment has credentials, which come before any profile");
        return;
    }
    let options = RemoteOptions {
        url: "s3://bucket/notes".to_owned(),
        endpoint: Some("http://127.0.0.1:9/with/path".to_owned()),
        profile: Some("everleaf-no-such-profile".to_owned()),
        ..RemoteOptions::default()
    };
    let remote = open(&options, &crate::hub::key(1)).await.unwrap();
    let error = remote.head(&Key::Pulse).await.unwrap_err();
    assert!(matches!(error, RemoteError::Misconfigured { .. }), "{}", chain(&error));
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
}

/// An app with credentials of its own opens what the vault remembers.
#[test]
fn options_of_a_remote_describe_its_bucket() {
    use everleaf::event::RemoteOptions;
    let remote = RemoteOptions {
        url: "s3://bucket/a/b/".into(),
        endpoint: Some("https://s3.example".into()),
        region: Some("here".into()),
        profile: Some("mine".into()),
        ..RemoteOptions::default()
    };
    let described = S3Options::described(&remote).unwrap();
    assert_eq!((described.bucket.as_str(), described.prefix.as_str()), ("bucket", "a/b"));
    assert_eq!((described.endpoint, described.region), (remote.endpoint, remote.region));
    let url = "dir:/somewhere".to_owned();
    let refused = S3Options::described(&RemoteOptions { url, ..RemoteOptions::default() });
    assert!(refused.unwrap_err().to_string().contains("s3://BUCKET"));
}
