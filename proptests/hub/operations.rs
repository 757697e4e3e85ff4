//! Running a hub: stopping it, slow and idle connections, the command, the simulator's storm.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use everleaf::{
    hub::Options,
    image::MediaType,
    remote::{Key, Remote as _, RemoteExt as _},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Rooms, Serving, access::sign, key, options, serve, serve_with};
use crate::{
    image::png,
    machine::Machine,
    remote::{content, image, put},
};

/// A request whose body does not come yet.
async fn begun(hub: &Serving, n: u64, key: &Key, body: &[u8]) -> TcpStream {
    let path = format!("/v1/vaults/{}/objects/{key}", super::key(n).vault_id());
    let signed = sign(hub, n, &reqwest::Method::PUT, &path, body);
    let (host, length) = (hub.0.address(), body.len());
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: {signed}\r\ncontent-length: {length}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Waits until the hub has taken in so many requests of a kind, by what it tells of connections.
async fn connections(hub: &Serving, count: usize) {
    loop {
        let text = super::client()
            .get(hub.url("/metrics"))
            .header("connection", "close")
            .send()
            .await
            .unwrap();
        let text = text.text().await.unwrap();
        let line = text.lines().find(|line| line.starts_with("everleaf_hub_connections ")).unwrap();
        // Its own is one of them.
        if line.rsplit_once(' ').unwrap().1.parse::<usize>().unwrap() > count {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_is_slow_holds_nobody_up() {
    let hub = serve(Rooms::new()).await;
    let host = hub.0.address();
    let mut slow = Vec::new();
    for n in 0..40 {
        let mut stream = TcpStream::connect(host).await.unwrap();
        match n % 3 {
            0 => stream.write_all(b"G").await.unwrap(),
            1 => stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nslow: ").await.unwrap(),
            _ => stream = begun(&hub, 9, &Key::Pulse, &[0; 1000]).await,
        }
        slow.push(stream);
    }
    // Large answers that nobody reads.
    let large = vec![5; 8 << 20];
    let hash = everleaf::id::ImageId::from_bytes(*blake3::hash(&large).as_bytes());
    let picture = Key::Image { image: hash, media_type: MediaType::Png };
    put(&hub.remote(1), &picture, large.clone()).await;
    for _ in 0..10 {
        let mut stream = TcpStream::connect(host).await.unwrap();
        let name = picture.to_string().replace("images/", "");
        let get = format!("GET /i/{}/{name} HTTP/1.1\r\nhost: x\r\n\r\n", key(1).vault_id());
        stream.write_all(get.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    connections(&hub, slow.len()).await;
    for round in 0..20 {
        for stream in &mut slow[..40] {
            // A byte now and then; those that were begun with a body get a byte of it.
            stream.write_all(b"x").await.unwrap();
        }
        let remote = hub.remote(2);
        put(&remote, &Key::Pulse, vec![round]).await;
        assert_eq!(remote.get_bytes(&Key::Pulse, 9).await.unwrap(), vec![round]);
    }
    let read = hub.remote(1).get_bytes(&picture, 9 << 20).await.unwrap();
    assert!(read == large);
}

#[tokio::test]
async fn who_says_nothing_is_let_go() {
    let patience = Duration::from_millis(100);
    let hub = serve_with(Rooms::new(), Options { patience, connections: 3, ..options() }).await;
    // As many as there is room for: who comes next is served once they are let go.
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(hub.0.address()).await.unwrap());
    }
    silent.push(begun(&hub, 1, &Key::Pulse, &[0; 10]).await);
    put(&hub.remote(2), &Key::Pulse, "x").await;
    let mut answers = Vec::new();
    for mut stream in silent {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answers.push(String::from_utf8_lossy(&answer).chars().take(12).collect::<String>());
    }
    assert_eq!(answers[2], "HTTP/1.1 408", "{answers:?}");
    assert_eq!(hub.remote(1).head(&Key::Pulse).await.unwrap(), None);
}

/// Anybody can send what is refused: it holds a place among the connections for a moment, not for as
/// long as that of a device on a slow line.
#[tokio::test]
async fn a_stranger_who_is_refused_is_let_go_before_others() {
    let hub = serve(Rooms::new()).await;
    let path = format!("/v1/vaults/{}/objects/nothing", key(1).vault_id());
    let refused = async |authorization: &str| {
        let host = hub.0.address();
        let head = format!(
            "PUT {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: {authorization}\r\n\
             content-length: 10\r\n\r\n"
        );
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        String::from_utf8_lossy(&status).into_owned()
    };
    let signed = sign(&hub, 1, &reqwest::Method::PUT, &path, &[0; 10]);
    let first = tokio::select! {
        biased;
        status = refused(&signed) => status,
        status = refused("Everleaf nonsense") => status,
    };
    assert_eq!(first, "HTTP/1.1 401");
}

#[tokio::test]
async fn a_hub_that_stops_finishes_what_it_began() {
    let hub = serve(Rooms::new()).await;
    let rooms_key = image(5, MediaType::Png);
    let body = content(&rooms_key);
    let mut unfinished = begun(&hub, 1, &rooms_key, &body).await;
    unfinished.write_all(&body[..5]).await.unwrap();
    connections(&hub, 1).await;
    let address = hub.0.address();
    let mut stop = tokio::spawn(hub.0.stop());
    // It takes no more connections, and waits for the one that it has.
    loop {
        match TcpStream::connect(address).await {
            Err(_) => break,
            Ok(_) => tokio::task::yield_now().await,
        }
    }
    assert!(!stop.is_finished());
    unfinished.write_all(&body[5..]).await.unwrap();
    let mut answer = Vec::new();
    unfinished.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 204 "), "{}", String::from_utf8_lossy(&answer));
    (&mut stop).await.unwrap();
    // One that does not end is ended.
    let grace = Duration::from_millis(50);
    let hub = serve_with(Rooms::new(), Options { grace, ..options() }).await;
    let mut unfinished = begun(&hub, 1, &Key::Pulse, &[0; 10]).await;
    connections(&hub, 1).await;
    hub.0.stop().await;
    let mut answer = Vec::new();
    let _ = unfinished.read_to_end(&mut answer).await;
    assert_eq!(answer, b"");
}

/// The command, with a vault on two devices, as people run it.
#[test]
fn the_command_serves_until_it_is_told_to_stop() {
    let machine = Machine::with_vault();
    let vault = machine.run(&["--json", "status"]).json()["vault"].as_str().unwrap().to_owned();
    let mut hub = machine
        .command("hub")
        .args(["--json", "hub", "--data", "dir:data", "--listen", "127.0.0.1:0"])
        .args(["--allow", &vault, "--log", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(hub.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&said["allow_new"], &said["allowed"]), (&false.into(), &1.into()));
    let url = said["listening"].as_str().unwrap();

    machine.file("a.png", png(1, 2, b"a"));
    machine.file("a.md", "# A\n![](a.png)\n");
    machine.run(&["new", "a.md"]).ok();
    // The first one is not there: the second serves as well.
    let added = machine.run(&["--json", "remote", "add", "origin", "http://127.0.0.1:9", url]);
    assert_eq!(added.json()["url"], format!("http://127.0.0.1:9 {url}"));
    machine.run(&["remote", "add", "origin", url]).ok();
    let synced = machine.run(&["--json", "sync", "--verify-public"]).json();
    assert_eq!((&synced["uploaded"]["images"], &synced["linked"]), (&1.into(), &1.into()));
    let image = &machine.run(&["--json", "images"]).json()[0];
    let address = image["url"].as_str().unwrap();
    assert!(address.starts_with(&format!("{url}/i/{vault}/")), "{address}");
    let key = machine.run(&["key"]).ok();
    let join = ["join", url, "--key", "-", "--name", "phone"];
    machine.run_with("phone", &join, key.as_bytes()).ok();
    assert!(machine.run_on("phone", &["show", "A"]).ok().contains(address));
    machine.run_on("phone", &["verify", "--remote", "origin"]).ok();
    // Another vault is told what to do.
    machine.run_on("other", &["init"]).ok();
    let refused = machine.run_on("other", &["remote", "add", "origin", url]);
    let id =
        machine.run_on("other", &["--json", "status"]).json()["vault"].as_str().unwrap().to_owned();
    assert!(refused.stderr.contains("does not serve this vault"), "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("--allow {id}")), "{}", refused.stderr);

    let ended = Command::new("kill").args(["-TERM", &hub.id().to_string()]).status().unwrap();
    assert!(ended.success());
    let output = hub.wait_with_output().unwrap();
    assert!(output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    assert!(log.contains("\"status\":204") && log.contains("\"id\":"), "{log}");
    assert!(!log.contains("Everleaf "), "a signature is in the log");
}

#[test]
fn a_hub_that_can_t_be_started_says_why() {
    let machine = Machine::new();
    let run = |arguments: &[&str]| machine.run(&[&["hub"], arguments].concat());
    for (arguments, expected) in [
        (&["--data", "dir:/nowhere/at/all"][..], "hint: connect its disk, or make the folder"),
        (&["--data", "https://hub.example.org"], "a hub keeps its data in"),
        (&["--data", "dir:data", "--listen", "0.0.0.0:0"], "name the vaults with --allow"),
    ] {
        let ran = run(arguments);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = run(&["--data", "dir:data", "--listen", &address]);
    assert!(ran.stderr.contains("another program listens there"), "{}", ran.stderr);
    assert_eq!(run(&["--data", "dir:data", "--allow", "xyz"]).code, 2);
}

/// The simulator's storm, with the hostile remote behind a hub.
#[test]
fn devices_in_the_storm_behind_a_hub() {
    crate::sim::storm_behind_a_hub(2000..2002, 2, 100);
    crate::sim::storm_behind_a_hub(2100..2101, 4, 120);
}

/// Bodies that break off leave nothing.
#[tokio::test]
async fn a_body_that_breaks_off_is_not_kept() {
    let rooms = Rooms::new();
    let hub = serve(rooms.clone()).await;
    let key = image(6, MediaType::Png);
    for length in [0, 5, 25] {
        let mut stream = begun(&hub, 1, &key, &content(&key)).await;
        stream.write_all(&content(&key)[..length]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 204"));
        assert_eq!(hub.remote(1).head(&key).await.unwrap(), None);
    }
    assert_eq!(rooms.count(), 0);
}
