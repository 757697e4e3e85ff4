//! Many devices of many vaults at one hub: nothing is lost, and memory stays bounded.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use everleaf::{clock::fraction, vault::Vault};

use super::watch::Device;
use crate::machine::Machine;

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Load {
    vaults: u64,
    devices: u64,
    /// Edits that each device makes.
    edits: u64,
    /// How long they are spread over.
    over: Duration,
}

/// What a device wrote, and how long its own edits took to be on the hub.
async fn write(device: Arc<Device>, name: String, load: Load) -> Vec<Duration> {
    let mut took = Vec::new();
    let (clock, pause) =
        (everleaf::clock::SystemClock, load.over / u32::try_from(load.edits + 1).unwrap());
    for n in 0..load.edits {
        if !pause.is_zero() {
            let wait = pause.mul_f64(0.5 + fraction(&clock));
            everleaf::clock::Clock::sleep(&clock, wait).await;
        }
        let began = Instant::now();
        let (vault, source) = (device.vault.clone(), format!("# {name} {n}\n\nand text\n"));
        let new = everleaf::vault::NewNote { source, path: None, folder: None };
        tokio::task::spawn_blocking(move || vault.new_note(&new).unwrap()).await.unwrap();
        device.until(|vault| vault.status().unwrap().unsynced_notes == 0).await;
        took.push(began.elapsed());
    }
    took
}

async fn run(load: Load) {
    let hub = Process::start();
    let mut devices = Vec::new();
    for n in 0..load.devices {
        devices.push(
            Device::new(&format!("d{n}"), n % load.vaults, std::slice::from_ref(&hub.url)).await,
        );
    }
    let watching: Vec<_> = devices.iter().map(Device::watching).collect();
    let began = Instant::now();
    let writers: Vec<_> = devices
        .iter()
        .enumerate()
        .map(|(n, device)| tokio::spawn(write(Arc::clone(device), format!("d{n}"), load)))
        .collect();
    let mut took = Vec::new();
    for writer in writers {
        took.extend(writer.await.unwrap());
    }
    // Nothing is lost: every device of a vault comes to have what all of them wrote.
    let expected = usize::try_from(load.devices / load.vaults * load.edits).unwrap();
    for device in &devices {
        device.until(|vault: &Vault| vault.list().unwrap().len() == expected).await;
    }
    let lasted = began.elapsed();
    for (device, task) in devices.iter().zip(watching) {
        device.stop();
        task.await.unwrap();
        assert_eq!(device.problems(), Vec::<String>::new());
    }
    took.sort();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_millis();
    eprintln!(
        "{load:?}: {} edits in {} ms; from an edit to its receipt: p50 {} p90 {} p99 {} max {} ms",
        took.len(),
        lasted.as_millis(),
        at(50),
        at(90),
        at(99),
        at(100)
    );
    eprintln!("{}", told(&hub).await);
}

/// A hub as people run it, in a process of its own.
struct Process {
    child: Child,
    url: String,
    _machine: Machine,
}

impl Process {
    fn start() -> Self {
        let machine = Machine::new();
        let hub = ["--json", "--quiet", "hub", "--data", "dir:data", "--listen", "127.0.0.1:0"];
        let mut child = machine.command("hub").args(hub).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = said["listening"].as_str().unwrap().to_owned();
        Self { child, url, _machine: machine }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How the hub did, and the most memory that it had.
async fn told(hub: &Process) -> String {
    let text = super::client()
        .get(format!("{}/metrics", hub.url))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let count: u64 = text
        .lines()
        .filter(|line| line.starts_with("everleaf_hub_requests_total"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum();
    let buckets: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("_bucket{route=\"put\"") || line.contains("_bytes_total{"))
        .collect();
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", hub.child.id())).unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown");
    format!("{count} requests; {peak}\n{}", buckets.join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_devices_lose_nothing() {
    let over = Duration::ZERO;
    run(Load { vaults: 5, devices: 20, edits: 2, over }).await;
}

/// 200 devices of 50 vaults for a minute: `cargo test --release -- hub::load --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn two_hundred_devices_of_fifty_vaults_for_a_minute() {
    run(Load { vaults: 50, devices: 200, edits: 10, over: Duration::from_mins(1) }).await;
}
