//! Answers that are not the store's own, that pass, or that say less than they could.

use std::{io::BufRead as _, sync::Arc, time::Duration};

use everleaf::{
    id::Seq,
    image::MediaType,
    loopback::{Loopback, Trouble},
    remote::{
        Call, Fault, Key, Prefix, Remote, RemoteError, RemoteExt as _, S3Credentials, S3Options,
        Upload,
    },
    upload::State,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{answer, chain, connect, every_error, put, store};
use crate::{image::png, machine::Machine, remote::image, world::Device};

/// What a proxy says, or whoever else stands where the store was.
fn not_found() -> Trouble {
    answer(404, "Not Found")
}

async fn bucket() -> (Loopback, Arc<dyn Remote>) {
    let store = store().await;
    let remote = Arc::new(connect(store.s3_options("")).await);
    (store, remote)
}

/// More than is on its way at once.
const LARGE: usize = 12 << 20;

/// Answers one request, and takes its time over the body: of the request that has one, else of the answer.
async fn answer_slowly(mut stream: TcpStream) -> std::io::Result<()> {
    const PAUSE: Duration = Duration::from_secs(10);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if head.starts_with(b"PUT ") {
        stream.read_exact(&mut vec![0; 1 << 16]).await?;
        tokio::time::sleep(PAUSE).await;
        stream.read_exact(&mut vec![0; LARGE - (1 << 16)]).await?;
        return stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nabc")
        .await?;
    tokio::time::sleep(PAUSE).await;
    stream.write_all(b"def").await
}

#[tokio::test]
async fn only_the_store_says_that_an_object_is_missing() {
    let (store, remote) = bucket().await;
    assert!(matches!(remote.get(&Key::Vault).await, Err(RemoteError::NotFound { .. })));
    put(&*remote, &Key::Vault, "here").await;
    store.fail(Fault::always(not_found()));
    for error in [
        remote.get(&Key::Vault).await.unwrap_err(),
        remote.list(&Prefix::Heads, None).await.unwrap_err(),
        remote.delete(&Key::Vault).await.unwrap_err(),
    ] {
        assert!(matches!(error, RemoteError::Misconfigured { .. }), "{}", chain(&error));
    }
    store.heal();
    assert_eq!(remote.get_bytes(&Key::Vault, 9).await.unwrap(), "here");
}

#[tokio::test]
async fn a_proxy_that_finds_nothing_is_not_taken_for_an_emptied_bucket() {
    let (store, remote) = bucket().await;
    let laptop = Device::new("laptop", 1);
    laptop.add(&remote).await;
    laptop.note("# One\n");
    laptop.sync(&remote).await;
    laptop.sync(&remote).await;
    let events = laptop.vault().events(Seq(1)).count();
    store.fail(Fault::always(not_found()));
    laptop.try_sync(&remote).await.unwrap_err();
    store.heal();
    assert!(laptop.sync(&remote).await.is_quiet());
    assert_eq!(laptop.vault().events(Seq(1)).count(), events);
}

#[tokio::test]
async fn an_upload_that_was_refused_in_passing_is_tried_again_by_itself() {
    for trouble in [
        not_found(),
        answer(400, "IncompleteBody"),
        answer(400, "BadDigest"),
        answer(400, "RequestTimeout"),
        answer(400, "ExpiredToken"),
    ] {
        let (store, remote) = bucket().await;
        let laptop = Device::new("laptop", 1);
        laptop.add(&remote).await;
        laptop.file("a.png", &png(4, 3, b"a"));
        laptop.note("![](a.png)\n");
        let fault = Fault { prefix: "images/".into(), ..Fault::next(Call::Put, u64::MAX, trouble) };
        store.fail(fault);
        assert_eq!(laptop.sync(&remote).await.uploaded.blocked, 0, "{trouble:?}");
        let stuck = laptop.vault().stuck_images().unwrap();
        assert_eq!(stuck[0].state, Some(State::Failed), "{trouble:?}");
        store.heal();
        laptop.clock.advance(Duration::from_hours(1));
        assert_eq!(laptop.sync(&remote).await.uploaded.images, 1, "{trouble:?}");
    }
}

/// A refusal of a `head` has no body, so that nobody learns from it by how much the clock here is off.
#[tokio::test]
async fn what_is_refused_without_a_reason_is_asked_for_by_what_gets_one() {
    let (store, remote) = bucket().await;
    let key = image(1, MediaType::Png);
    put(&*remote, &key, "picture").await;
    let expected = remote.head(&key).await.unwrap();
    let fault = Fault::next(Call::Head, u64::MAX, answer(403, "RequestTimeTooSkewed"));
    store.fail(fault);
    assert_eq!(remote.head(&key).await.unwrap(), expected);
    assert_eq!(remote.head(&Key::Pulse).await.unwrap(), None);
    store.fail(Fault::always(answer(403, "AccessDenied")));
    for error in every_error(&*remote).await {
        assert!(matches!(error, RemoteError::Denied { .. }), "{}", chain(&error));
        assert!(chain(&error).contains("AccessDenied"), "{}", chain(&error));
    }
}

/// AWS has no region `auto`.
#[test]
fn a_bucket_of_aws_is_asked_for_in_a_region_of_aws() {
    let aws = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut machine = Machine::with_vault();
    machine.set("AWS_ENDPOINT_URL", &format!("http://{}", aws.local_addr().unwrap()));
    machine.set("AWS_ACCESS_KEY_ID", "id");
    machine.set("AWS_SECRET_ACCESS_KEY", "secret");
    let asked = std::thread::spawn(move || {
        let lines = std::io::BufReader::new(aws.accept().unwrap().0).lines().map(Result::unwrap);
        lines.take_while(|line| !line.is_empty()).collect::<String>()
    });
    assert_eq!(machine.run(&["remote", "add", "aws", "s3://bucket"]).code, 1);
    let asked = asked.join().unwrap();
    assert!(asked.contains("/us-east-1/s3/aws4_request"), "{asked}");
}

#[tokio::test]
#[ignore = "pauses for ten seconds, twice"]
async fn a_line_that_pauses_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = S3Options::new("bucket", "");
    options.endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    options.credentials =
        S3Credentials::Key { id: "id".to_owned(), secret: "secret".to_owned().into() };
    options.attempts = 1;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_slowly(stream));
        }
    });
    let remote = connect(options).await;
    let key = image(1, MediaType::Png);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    std::fs::write(&path, vec![7; LARGE]).unwrap();
    remote.put(&key, Upload::File { path, size: LARGE as u64 }).await.unwrap();
    assert_eq!(remote.get_bytes(&key, 9).await.unwrap(), "abcdef");
}
