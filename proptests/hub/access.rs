//! Who may do what: signatures, replays, clocks, tokens, and vaults that do not see one another.

use std::{sync::Arc, time::Duration};

use everleaf::{
    clock::{SimulatedClock, SystemClock, Timestamp, random},
    hub::{Folder, Options, Presented, WINDOW, authenticate},
    id::VaultId,
    image::MediaType,
    remote::{
        Hub, HubOptions, Key, Prefix, Remote as _, RemoteError, RemoteExt as _, Upload,
        hub::{
            Problem, Reason,
            signature::{Authorization, Call},
        },
    },
};
use proptest::{prelude::*, sample::Index};
use reqwest::{Method, Response};

use super::{Rooms, Serving, key, options, serve, serve_with};
use crate::remote::{content, image, keys, put, segment};

const NOW: Timestamp = Timestamp(1_795_000_000_000);

/// A signed header for vault `n`, as of the machine's time.
pub(super) fn sign(hub: &Serving, n: u64, method: &Method, path: &str, body: &[u8]) -> String {
    let host = hub.0.address().to_string();
    let call = Call { method: method.as_str(), host: &host, target: path };
    let (time, hash) = (everleaf::clock::Clock::now(&SystemClock), blake3::hash(body));
    let nonce = random(&SystemClock);
    Authorization::sign(&key(n).signer(), call, *hash.as_bytes(), time, nonce).to_string()
}

pub(super) async fn send(
    hub: &Serving,
    method: Method,
    path: &str,
    authorization: &str,
    body: impl Into<reqwest::Body>,
) -> Response {
    let request =
        super::client().request(method, hub.url(path)).header("authorization", authorization);
    request.body(body).send().await.unwrap()
}

/// Asks as the holder of the key of vault `n`.
pub(super) async fn ask(hub: &Serving, n: u64, method: Method, path: &str) -> Response {
    let signed = sign(hub, n, &method, path, b"");
    send(hub, method, path, &signed, "").await
}

pub(super) async fn reason(response: Response) -> (u16, Reason) {
    let status = response.status().as_u16();
    let told = response.headers()["everleaf-reason"].to_str().unwrap().to_owned();
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let problem: Problem = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!((problem.status, problem.request_id), (status, id));
    assert_eq!(problem.code.code(), told);
    (status, problem.code)
}

fn object(n: u64, key: &Key) -> String {
    format!("/v1/vaults/{}/objects/{key}", super::key(n).vault_id())
}

/// What stands in for another text.
fn other(text: &str) -> String {
    format!("{text}x")
}

proptest! {
    /// A signature is good for what it is of, and for nothing else.
    #[test]
    fn a_signature_is_of_one_request(
        seed: u64,
        method in "GET|PUT|DELETE",
        host in "[a-z0-9.:]{1,20}",
        target in "/v1/[ -~]{0,40}",
        body: [u8; 32],
        nonce: [u8; 16],
        age in 0_i64..60_000,
        at: Index,
    ) {
        let (vault_key, time) = (key(seed % 8), Timestamp(NOW.0 - age));
        let vault = vault_key.vault_id();
        let call = Call { method: &method, host: &host, target: &target };
        let signed = Authorization::sign(&vault_key.signer(), call, body, time, nonce);
        let text = signed.to_string();
        let judge = |vault: VaultId, call, text: &str| {
            let presented = Presented { call, authorization: Some(text) };
            authenticate(vault, presented, Timestamp(0), NOW)
        };
        prop_assert_eq!(judge(vault, call, &text), Ok(signed.clone()));
        prop_assert_eq!(text.parse::<Authorization>(), Ok(signed));
        let (method, host, target) = (other(&method), other(&host), other(&target));
        let calls = [
            Call { method: &method, ..call },
            Call { host: &host, ..call },
            Call { target: &target, ..call },
        ];
        for altered in calls {
            prop_assert_eq!(judge(vault, altered, &text), Err(Reason::Unsigned));
        }
        prop_assert_eq!(judge(key(9).vault_id(), call, &text), Err(Reason::Unsigned));
        // Any other digit, anywhere in the header.
        let mut altered = text.into_bytes();
        let at = at.index(altered.len());
        altered[at] = if altered[at] == b'1' { b'2' } else { b'1' };
        let altered = String::from_utf8(altered).unwrap();
        prop_assert_eq!(judge(vault, call, &altered), Err(Reason::Unsigned));
    }

    /// Any text at all: an answer.
    #[test]
    fn no_header_makes_it_panic(text in "(Everleaf )?[ -~]{0,300}", vault: [u8; 32]) {
        let call = Call { method: "GET", host: "h", target: "/v1" };
        let presented = Presented { call, authorization: Some(&text) };
        let judged = authenticate(VaultId::from_bytes(vault), presented, Timestamp(0), NOW);
        prop_assert_eq!(judged, Err(Reason::Unsigned));
    }
}

#[test]
fn a_signature_is_good_for_a_minute_and_not_from_before_the_hub() {
    let vault_key = key(1);
    let call = Call { method: "GET", host: "h", target: "/v1" };
    let judge = |time: i64, since: i64| {
        let time = Timestamp(NOW.0 + time);
        let signed = Authorization::sign(&vault_key.signer(), call, [0; 32], time, [0; 16]);
        let text = signed.to_string();
        let presented = Presented { call, authorization: Some(&text) };
        let since = Timestamp(NOW.0 + since);
        authenticate(vault_key.vault_id(), presented, since, NOW).map(drop)
    };
    let window = i64::try_from(WINDOW.as_millis()).unwrap();
    for (time, since, expected) in [
        (0, -window, Ok(())),
        (-window, -window, Ok(())),
        (-window - 1, -2 * window, Err(Reason::Clock)),
        (5_000, -window, Ok(())),
        (5_001, -window, Err(Reason::Clock)),
        (-100, -100, Ok(())),
        (-101, -100, Err(Reason::Clock)),
        (i64::MIN, -window, Err(Reason::Clock)),
        (i64::MAX - NOW.0, -window, Err(Reason::Clock)),
    ] {
        assert_eq!(judge(time, since), expected, "{time} {since}");
    }
}

#[tokio::test]
async fn a_request_is_taken_once() {
    let hub = serve(Rooms::new()).await;
    let path = object(1, &Key::Pulse);
    let signed = sign(&hub, 1, &Method::PUT, &path, b"one");
    assert_eq!(send(&hub, Method::PUT, &path, &signed, "one").await.status(), 204);
    let again = send(&hub, Method::PUT, &path, &signed, "one").await;
    assert_eq!(reason(again).await, (401, Reason::Replayed));
    let other = send(&hub, Method::GET, &path, &signed, "").await;
    assert_eq!(reason(other).await, (401, Reason::Unsigned));
    assert_eq!(hub.remote(1).get_bytes(&Key::Pulse, 9).await.unwrap(), "one");
}

#[tokio::test]
async fn a_request_to_one_hub_is_none_to_another_nor_to_the_next_process() {
    let rooms = Rooms::new();
    let (one, two) = (serve(rooms.clone()).await, serve(rooms.clone()).await);
    let path = object(1, &Key::Pulse);
    let signed = sign(&one, 1, &Method::PUT, &path, b"one");
    let elsewhere = send(&two, Method::PUT, &path, &signed, "one").await;
    assert_eq!(reason(elsewhere).await, (401, Reason::Unsigned));
    // Taken down before the hub was started, as a clock that is ahead of the signature shows it.
    let clock = SimulatedClock::new(everleaf::clock::Clock::now(&SystemClock), 1);
    clock.advance(Duration::from_secs(3));
    let later = serve_with(rooms, Options { clock: Arc::new(clock), ..options() }).await;
    let signed = sign(&later, 1, &Method::PUT, &path, b"one");
    let replayed = send(&later, Method::PUT, &path, &signed, "one").await;
    assert_eq!(reason(replayed).await, (401, Reason::Clock));
    // A client is told the time, and asks again.
    put(&later.remote(1), &Key::Pulse, "two").await;
}

#[tokio::test]
async fn clocks_that_are_off_by_ten_years_do_no_harm() {
    let hub = serve(Rooms::new()).await;
    let decade = 10 * 365 * 24 * 3_600_000;
    for (seed, off) in [-decade, -61_000, 6_000, decade].into_iter().enumerate() {
        let now = everleaf::clock::Clock::now(&SystemClock);
        let clock = Arc::new(SimulatedClock::new(Timestamp(now.0 + off), seed as u64));
        let options = HubOptions {
            clock: Arc::clone(&clock) as _,
            ..HubOptions::new(vec![hub.0.url()], &key(1))
        };
        let remote = Hub::open(options).unwrap();
        for _ in 0..3 {
            put(&remote, &Key::Pulse, off.to_string()).await;
            clock.advance(Duration::from_hours(1));
        }
        let read = remote.get_bytes(&Key::Pulse, 100).await.unwrap();
        assert_eq!(read, off.to_string());
    }
}

#[tokio::test]
async fn what_was_signed_is_what_is_kept() {
    let hub = serve(Rooms::new()).await;
    let path = object(1, &Key::Pulse);
    let signed = sign(&hub, 1, &Method::PUT, &path, b"signed");
    let altered = send(&hub, Method::PUT, &path, &signed, "put!!!").await;
    assert_eq!(reason(altered).await, (422, Reason::Mismatch));
    for key in [segment(1, 1, 1), image(1, MediaType::Png)] {
        let path = object(1, &key);
        let signed = sign(&hub, 1, &Method::PUT, &path, b"other bytes");
        let wrong = send(&hub, Method::PUT, &path, &signed, "other bytes").await;
        assert_eq!(reason(wrong).await, (422, Reason::Mismatch));
        let lying = sign(&hub, 1, &Method::PUT, &path, &content(&key));
        let wrong = send(&hub, Method::PUT, &path, &lying, "other bytes").await;
        assert_eq!(reason(wrong).await, (422, Reason::Mismatch));
    }
    let large = image(2, MediaType::Png);
    let lying = sign(&hub, 1, &Method::PUT, &object(1, &large), &content(&large));
    let wrong = send(&hub, Method::PUT, &object(1, &large), &lying, vec![0; 3_000_000]).await;
    assert_eq!(reason(wrong).await, (422, Reason::Mismatch));
    let remote = hub.remote(1);
    for key in [Key::Pulse, segment(1, 1, 1), image(1, MediaType::Png), large] {
        assert_eq!(remote.head(&key).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_vault_sees_and_touches_nothing_of_another() {
    let rooms = Rooms::new();
    let hub = serve(rooms.clone()).await;
    let (one, two) = (hub.remote(1), hub.remote(2));
    let image = image(1, MediaType::Png);
    put(&one, &image, content(&image)).await;
    put(&one, &Key::Pulse, "one").await;
    put(&two, &Key::Pulse, "two").await;
    assert_eq!(two.head(&image).await.unwrap(), None);
    assert_eq!(keys(&two, Prefix::Images, None).await, []);
    two.delete(&image).await.unwrap();
    two.delete(&Key::Pulse).await.unwrap();
    let path = object(1, &Key::Pulse);
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::HEAD] {
        let signed = sign(&hub, 2, &method, &path, b"");
        assert_eq!(send(&hub, method, &path, &signed, "").await.status(), 401);
    }
    // Names that lead elsewhere are none, however they are written.
    let vaults = [1, 2].map(|n| key(n).vault_id());
    for name in [
        format!("../../{}/objects/pulse", vaults[0]),
        format!("%2e%2e/%2e%2e/{}/objects/pulse", vaults[0]),
        format!("..%2f..%2f{}%2fpulse", vaults[0]),
        "images/../pulse".to_owned(),
        "pulse/".to_owned(),
        "/pulse".to_owned(),
        "PULSE".to_owned(),
        "pulse%00".to_owned(),
    ] {
        let path = format!("/v1/vaults/{}/objects/{name}", vaults[1]);
        let host = hub.0.address().to_string();
        let answer = super::api::raw(
            &hub,
            &format!(
                "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: {}\r\nconnection: close\r\n\r\n",
                sign(&hub, 2, &Method::GET, &path, b"")
            ),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{name}: {answer}");
    }
    assert_eq!(one.get_bytes(&image, 100).await.unwrap(), content(&image));
    assert_eq!(one.get_bytes(&Key::Pulse, 100).await.unwrap(), "one");
}

#[tokio::test]
async fn only_vaults_that_are_allowed_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let data = Folder::open(folder.path().to_owned()).await.unwrap();
    let allow = [key(1).vault_id()].into();
    let hub = serve_with(data, Options { allow, ..Options::default() }).await;
    put(&hub.remote(1), &Key::Pulse, "x").await;
    let stranger = hub.remote(2);
    let upload = Upload::Bytes("x".into());
    for error in [
        stranger.put(&Key::Pulse, upload).await.unwrap_err(),
        stranger.get(&Key::Pulse).await.unwrap_err(),
        stranger.head(&Key::Pulse).await.unwrap_err(),
        stranger.list(&Prefix::Heads, None).await.unwrap_err(),
        stranger.watch(None).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, RemoteError::Misconfigured { .. }), "{error:?}");
    }
    let refused = ask(&hub, 2, Method::GET, &object(2, &Key::Pulse)).await;
    assert_eq!(reason(refused).await, (403, Reason::NotServed));
    // Nor does asking leave anything behind.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let unsigned = send(&hub, Method::GET, &object(1, &Key::Pulse), "", "").await;
    assert_eq!(reason(unsigned).await, (401, Reason::Unsigned));
}

#[tokio::test]
async fn a_token_reads_one_vault_for_some_minutes_and_writes_nothing() {
    let now = everleaf::clock::Clock::now(&SystemClock);
    let clock = Arc::new(SimulatedClock::new(now, 1));
    let hub =
        serve_with(Rooms::new(), Options { clock: Arc::clone(&clock) as _, ..options() }).await;
    put(&hub.remote(1), &Key::Pulse, "x").await;
    let path = format!("/v1/vaults/{}/token", key(1).vault_id());
    let host = hub.0.address().to_string();
    let call = Call { method: "POST", host: &host, target: &path };
    let empty = *blake3::hash(b"").as_bytes();
    let signed = Authorization::sign(&key(1).signer(), call, empty, now, [5; 16]).to_string();
    let given = send(&hub, Method::POST, &path, &signed, "").await.bytes().await.unwrap();
    let given: serde_json::Value = serde_json::from_slice(&given).unwrap();
    let token = format!("Bearer {}", given["token"].as_str().unwrap());

    let pulse = object(1, &Key::Pulse);
    let read = send(&hub, Method::GET, &pulse, &token, "").await;
    assert_eq!((read.status().as_u16(), read.text().await.unwrap()), (200, "x".to_owned()));
    for (method, path) in [
        (Method::PUT, &pulse),
        (Method::DELETE, &pulse),
        (Method::POST, &path),
        (Method::GET, &object(2, &Key::Pulse)),
    ] {
        let refused = send(&hub, method, path, &token, "").await;
        assert_eq!(reason(refused).await, (401, Reason::Unsigned));
    }
    let mut altered = token.clone();
    let last = altered.pop().unwrap();
    altered.push(if last == '0' { '1' } else { '0' });
    let later = token.replacen("Bearer 1", "Bearer 2", 1);
    for token in [altered, later] {
        assert_eq!(send(&hub, Method::GET, &pulse, &token, "").await.status(), 401);
    }
    clock.advance(Duration::from_mins(10));
    assert_eq!(send(&hub, Method::GET, &pulse, &token, "").await.status(), 200);
    clock.advance(Duration::from_millis(1));
    assert_eq!(send(&hub, Method::GET, &pulse, &token, "").await.status(), 401);
}
