//! Whole processes: the command as a user runs it, and what it used.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The command, on a vault.
pub fn everleaf(vault: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everleaf"));
    command.arg("--vault").arg(vault).env_remove("EVERLEAF_VAULT").env("AWS_REGION", "auto");
    command.env("AWS_ACCESS_KEY_ID", everleaf::loopback::Loopback::access_key());
    command.env("AWS_SECRET_ACCESS_KEY", everleaf::loopback::Loopback::secret_key());
    command.stdout(Stdio::null());
    command
}

/// What a process used.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    pub time: Duration,
    /// Processor time, in milliseconds, to the 10 of them that the system counts in.
    pub cpu: f64,
    /// The most memory that it ever had, in MB.
    pub memory: f64,
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Used {
    let (before, started) = (cpu_of_children(), Instant::now());
    let mut child = command.spawn().unwrap();
    let memory = watch(&mut child);
    let (time, status) = (started.elapsed(), child.wait().unwrap());
    assert!(status.success(), "{command:?}: {status}");
    Used { time, cpu: cpu_of_children() - before, memory }
}

/// Runs a command until it has said so many lines, and stops reading.
pub fn first_lines(command: &mut Command, lines: usize) -> Used {
    let (before, started) = (cpu_of_children(), Instant::now());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines().take(lines).count();
    assert_eq!(said, lines, "{command:?}");
    let time = started.elapsed();
    child.wait().unwrap();
    Used { time, cpu: cpu_of_children() - before, memory: 0.0 }
}

/// Waits for a process, and gives the most memory that it had, in MB. The system keeps the peak, so
/// looking now and then misses only what it grew by at its very end.
fn watch(child: &mut Child) -> f64 {
    let mut peak = 0.0_f64;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(memory(child.id(), "VmHWM:").unwrap_or_default());
        std::thread::sleep(Duration::from_millis(2));
    }
    peak
}

/// What the system says of the memory of a process, in MB.
pub fn memory(process: u32, what: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(what))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kilobytes| kilobytes / 1024.0)
}

/// The processor time of all processes that this one waited for, in milliseconds.
fn cpu_of_children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name = stat.rsplit_once(") ").unwrap().1;
    let ticks = behind_name.split(' ').skip(13).take(2).map(|field| field.parse::<f64>().unwrap());
    ticks.sum::<f64>() * 10.0
}
