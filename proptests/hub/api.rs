//! What the hub answers, to the letter: ranges, tags, public images, limits, and its description.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use everleaf::{
    clock::{Clock, SimulatedClock, Timestamp},
    hub::{Options, Quotas, operations},
    image::MediaType,
    remote::{
        Counted, Hub, HubOptions, Key, Prefix, Remote as _, RemoteError, RemoteExt as _, Upload,
        hub::Reason, hub_public_url, public_url,
    },
};
use proptest::prelude::*;
use reqwest::{Method, Response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    Rooms, Serving,
    access::{ask, reason, send, sign},
    client, key, options, serve, serve_with,
};
use crate::remote::{content, device, image, put, segment};

/// Sends a request as it is written; gives the whole answer.
pub(super) async fn raw(hub: &Serving, request: &str) -> String {
    let mut stream = TcpStream::connect(hub.0.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get(hub: &Serving, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = client().get(hub.url(path));
    let add = |request: reqwest::RequestBuilder, (name, value): &(&str, &str)| {
        request.header(*name, *value)
    };
    headers.iter().fold(request, add).send().await.unwrap()
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
}

#[tokio::test]
async fn images_are_anybodys_and_harmless() {
    let hub = serve(Rooms::new()).await;
    let vault = key(1).vault_id();
    let base = hub_public_url(&hub.0.url(), vault);
    for media_type in [MediaType::Png, MediaType::Svg] {
        let image = image(1, media_type);
        let url = public_url(&base, &image);
        let name = image.to_string().replace("images/", "");
        assert_eq!(url, format!("{}/i/{vault}/{name}", hub.0.url()));
        let path = url.replace(&hub.0.url(), "");
        let missing = get(&hub, &path, &[]).await;
        assert_eq!(reason(missing).await, (404, Reason::NotFound));
        put(&hub.remote(1), &image, content(&image)).await;
        let found = get(&hub, &path, &[("origin", "https://example.org")]).await;
        assert_eq!(found.status(), 200);
        for (name, value) in [
            ("content-type", media_type.mime()),
            ("cache-control", "public, max-age=31536000, immutable"),
            ("x-content-type-options", "nosniff"),
            ("access-control-allow-origin", "*"),
            ("cross-origin-resource-policy", "cross-origin"),
        ] {
            assert_eq!(header(&found, name), value);
        }
        let policy = header(&found, "content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
        let tag = header(&found, "etag");
        assert_eq!(found.bytes().await.unwrap(), content(&image));
        let again = get(&hub, &path, &[("if-none-match", &tag)]).await;
        assert_eq!((again.status().as_u16(), again.bytes().await.unwrap().len()), (304, 0));
        let head = client().head(hub.url(&path)).send().await.unwrap();
        assert_eq!(header(&head, "content-length"), content(&image).len().to_string());
    }
    // Nothing else is: no other object, no list, no other vault's, no other method.
    put(&hub.remote(1), &Key::Pulse, "x").await;
    let other = key(2).vault_id();
    let name = image(1, MediaType::Png).to_string().replace("images/", "");
    for path in [
        format!("/i/{vault}/pulse"),
        format!("/i/{vault}/"),
        format!("/i/{vault}"),
        format!("/i/{other}/{name}"),
        format!("/i/{vault}/..%2fpulse"),
        format!("/i/{}/{name}", vault.to_string().to_uppercase()),
        "/".to_owned(),
        "/v1".to_owned(),
    ] {
        let (status, _) = reason(get(&hub, &path, &[]).await).await;
        assert_eq!(status, 404, "{path}");
    }
    let put = client().put(hub.url(&format!("/i/{vault}/{name}"))).body("x").send().await.unwrap();
    assert_eq!(reason(put).await, (405, Reason::NoRoute));
    assert_eq!(hub.remote(1).get_bytes(&image(1, MediaType::Png), 99).await.unwrap().len(), 21);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Any part that is asked for is that part.
    #[test]
    fn parts_are_what_they_say(ranges in prop::collection::vec((0..40_usize, 0..40_usize), 8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let hub = serve(Rooms::new()).await;
            let image = image(3, MediaType::Gif);
            let all: Vec<u8> = content(&image).to_vec();
            put(&hub.remote(1), &image, all.clone()).await;
            let base = hub_public_url("", key(1).vault_id());
            let path = public_url(&base, &image);
            for (from, length) in ranges {
                for (range, expected) in [
                    (format!("bytes={from}-{}", from + length), all.get(from..all.len().min(from + length + 1))),
                    (format!("bytes={from}-"), all.get(from..)),
                    (format!("bytes=-{length}"), Some(&all[all.len() - length.min(all.len())..])),
                ] {
                    let answer = get(&hub, &path, &[("range", &range)]).await;
                    let (status, shown) = (answer.status(), header(&answer, "content-range"));
                    match expected.filter(|part| !part.is_empty()) {
                        None => assert_eq!(status, 416, "{range}"),
                        Some(part) => {
                            assert_eq!(status, 206, "{range}");
                            assert!(shown.ends_with(&format!("/{}", all.len())), "{shown}");
                            assert_eq!(answer.bytes().await.unwrap(), part, "{range}");
                        }
                    }
                }
            }
            for range in ["bytes=5-2", "lines=1-2", "bytes=1-2,4-5", "bytes=", "bytes=a-b", "bytes=+1-2"] {
                let answer = get(&hub, &path, &[("range", range)]).await;
                assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().to_vec()), (200, all.clone()));
            }
        });
    }
}

#[tokio::test]
async fn an_object_that_is_known_is_not_sent_again() {
    let hub = serve(Rooms::new()).await;
    let remote = hub.remote(1);
    put(&remote, &Key::Pulse, "one").await;
    let tag = remote.head(&Key::Pulse).await.unwrap().unwrap().tag.unwrap();
    let path = format!("/v1/vaults/{}/objects/pulse", key(1).vault_id());
    let asks = async || {
        let signed = sign(&hub, 1, &Method::GET, &path, b"");
        let quoted = format!("\"{tag}\"");
        get(&hub, &path, &[("authorization", &signed), ("if-none-match", &quoted)]).await
    };
    assert_eq!(asks().await.status(), 304);
    put(&remote, &Key::Pulse, "two").await;
    let changed = asks().await;
    assert_eq!(
        (changed.status().as_u16(), header(&changed, "cache-control").as_str()),
        (200, "no-store")
    );
    assert_eq!(changed.text().await.unwrap(), "two");
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_said() {
    let hub = serve_with(Rooms::new(), Options { image_limit: 5_000_000, ..options() }).await;
    let remote = hub.remote(1);
    for (key, size) in [
        (Key::Vault, (1 << 20) + 1),
        (Key::Head(device(1)), 2 << 20),
        (image_of(&vec![7; 5_000_001]), 5_000_001),
        (image_of(&vec![7; 60 << 20]), 60 << 20),
    ] {
        let body = Upload::Bytes(vec![7; size].into());
        let error = remote.put(&key, body).await.unwrap_err();
        assert!(matches!(error, RemoteError::TooLarge { .. }), "{key}: {error:?}");
        assert_eq!(remote.head(&key).await.unwrap(), None);
    }
    let largest = vec![7; 5_000_000];
    put(&remote, &image_of(&largest), largest).await;
}

fn image_of(bytes: &[u8]) -> Key {
    let image = everleaf::id::ImageId::from_bytes(*blake3::hash(bytes).as_bytes());
    Key::Image { image, media_type: MediaType::Png }
}

#[tokio::test]
async fn a_vault_gets_no_more_room_than_it_may_have() {
    let rooms = Rooms::new();
    let quotas = Quotas { bytes: Some(100), objects: Some(4), requests: None };
    let hub = serve_with(rooms.clone(), Options { quotas, ..options() }).await;
    let (remote, other) = (hub.remote(1), hub.remote(2));
    put(&remote, &Key::Pulse, vec![1; 60]).await;
    let one = image(1, MediaType::Png);
    put(&remote, &one, content(&one)).await;
    let is_full = |error| matches!(error, RemoteError::NoRoom { .. });
    let two = image(2, MediaType::Png);
    assert!(is_full(remote.put(&two, content(&two).into()).await.unwrap_err()));
    // What is there may be put again, or become smaller.
    put(&remote, &one, content(&one)).await;
    put(&remote, &Key::Pulse, vec![1; 10]).await;
    put(&remote, &two, content(&two)).await;
    put(&remote, &Key::Vault, "v").await;
    assert!(is_full(
        remote.put(&Key::Head(device(1)), Upload::Bytes("h".into())).await.unwrap_err()
    ));
    let usage = remote.usage().await.unwrap();
    assert_eq!((usage.objects, usage.bytes, usage.most_bytes), (4, 10 + 21 + 22 + 1, Some(100)));
    remote.delete(&two).await.unwrap();
    put(&remote, &Key::Head(device(1)), "h").await;
    // Each vault has its own.
    put(&other, &Key::Pulse, vec![1; 100]).await;
    // Another process counts what is there.
    let again = serve_with(rooms, Options { quotas, ..options() }).await;
    assert!(is_full(again.remote(1).put(&two, content(&two).into()).await.unwrap_err()));
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back_and_obeys() {
    let clock = Arc::new(SimulatedClock::new(Timestamp(1_795_000_000_000), 1));
    let quotas = Quotas { requests: Some(2), ..Quotas::default() };
    let limits = Options { quotas, clock: Arc::clone(&clock) as _, ..options() };
    let hub = serve_with(Rooms::new(), limits).await;
    let waits = Arc::new(Waits { clock, waits: Mutex::default() });
    let remote = |n| {
        let clock = Arc::clone(&waits) as _;
        let options = HubOptions { clock, ..HubOptions::new(vec![hub.0.url()], &key(n)) };
        Hub::open(options).unwrap()
    };
    // Five seconds' worth comes at once; then the client waits, by its own clock, for as long as the
    // hub asks it to, and is served.
    let one = remote(1);
    for _ in 0..30 {
        assert_eq!(one.head(&Key::Pulse).await.unwrap(), None);
    }
    let waited = waits.waits.lock().unwrap().clone();
    assert!((5..=20).contains(&waited.len()), "{waited:?}");
    assert!(waited.iter().all(|wait| *wait >= Duration::from_secs(1)), "{waited:?}");
    // Others are not held up.
    put(&remote(2), &Key::Pulse, "x").await;
    assert_eq!(waits.waits.lock().unwrap().len(), waited.len());
    let text = get(&hub, "/metrics", &[]).await.text().await.unwrap();
    let line = format!("everleaf_hub_errors_total{{reason=\"too-many\"}} {}", waited.len());
    assert!(text.contains(&line), "{line} is not in\n{text}");
}

/// A clock that moves while somebody waits by it, and not else.
#[derive(Debug)]
struct Waits {
    clock: Arc<SimulatedClock>,
    waits: Mutex<Vec<Duration>>,
}

impl Clock for Waits {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
    fn fill(&self, bytes: &mut [u8]) {
        self.clock.fill(bytes);
    }
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.waits.lock().unwrap().push(duration);
        self.clock.sleep(duration)
    }
}

#[tokio::test]
async fn it_says_how_it_is() {
    let hub = serve(Rooms::new()).await;
    let remote = Counted::new(Arc::new(hub.remote(1)));
    put(&remote, &Key::Pulse, "four").await;
    remote.get_bytes(&Key::Pulse, 9).await.unwrap();
    remote.head(&segment(1, 1, 1)).await.unwrap();
    remote.list(&Prefix::Heads, None).await.unwrap();
    assert_eq!(get(&hub, "/healthz", &[]).await.text().await.unwrap(), "ok\n");
    assert_eq!(get(&hub, "/readyz", &[]).await.status(), 200);
    let text = get(&hub, "/metrics", &[]).await.text().await.unwrap();
    for line in [
        "everleaf_hub_requests_total{route=\"put\",status=\"204\"} 1",
        "everleaf_hub_requests_total{route=\"get\",status=\"200\"} 1",
        "everleaf_hub_requests_total{route=\"head\",status=\"404\"} 1",
        "everleaf_hub_errors_total{reason=\"not-found\"} 1",
        "everleaf_hub_bytes_total{direction=\"in\"} 4",
        "everleaf_hub_bytes_total{direction=\"out\"} 4",
        "everleaf_hub_vaults 1",
        "everleaf_hub_watchers 0",
        "everleaf_hub_request_seconds_count{route=\"put\"} 1",
        "everleaf_hub_request_seconds_bucket{route=\"list\",le=\"+Inf\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let vault = key(1).vault_id().to_string();
    assert!(!text.contains(&vault[..8]), "a vault is named");
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let hub = serve(Rooms::new()).await;
    let vault = key(1).vault_id();
    for path in [
        format!("/v1/vaults/{vault}/objects/nothing"),
        format!("/v1/vaults/{vault}/objects/log/x/y"),
        format!("/v1/vaults/{vault}/objects?prefix=everything"),
        format!("/v1/vaults/{vault}/objects"),
        format!("/v1/vaults/{vault}/objects?prefix=log%2F00"),
    ] {
        let answer = ask(&hub, 1, Method::GET, &path).await;
        assert_eq!(reason(answer).await, (400, Reason::BadRequest), "{path}");
    }
    let nobody = send(&hub, Method::GET, "/v1/vaults/xyz/watch", "", "").await;
    assert_eq!(reason(nobody).await, (400, Reason::BadRequest));
    let many = "a: b\r\n".repeat(200);
    let answer = raw(&hub, &format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[test]
fn the_description_is_of_what_there_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hub.openapi.json");
    let text = std::fs::read_to_string(path).unwrap();
    let described: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut found = BTreeSet::new();
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if method == "parameters" {
                continue;
            }
            let name = operation["operationId"].as_str().unwrap().to_owned();
            let statuses = operation["responses"].as_object().unwrap().keys();
            let statuses: BTreeSet<u16> = statuses.map(|status| status.parse().unwrap()).collect();
            found.insert((path.clone(), method.to_uppercase(), name, statuses));
            for name in path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
                let parameters = methods["parameters"].as_array().unwrap().iter();
                let mut names = parameters.map(|parameter| parameter["name"].as_str().unwrap());
                assert!(names.any(|known| known == name), "{path} does not describe {name}");
            }
        }
    }
    let there: BTreeSet<_> = operations()
        .into_iter()
        .map(|operation| {
            let path = operation.path.replace("{*", "{");
            let statuses = operation.statuses.iter().copied().collect();
            (path, operation.method.to_owned(), operation.name.to_owned(), statuses)
        })
        .collect();
    assert_eq!(found, there);
    // Reasons, too.
    let reasons =
        described["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].clone();
    for reason in reasons.as_array().unwrap() {
        serde_json::from_value::<Reason>(reason.clone()).unwrap();
    }
    assert_eq!(reasons.as_array().unwrap().len(), 15);
}
