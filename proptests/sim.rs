//! A simulation: several devices, clocks that lie, a remote that is honest to its contract and
//! hostile within it, and a model that is far simpler than the code.
//!
//! One seed determines a whole history: who edits what, who syncs when, which calls fail and how,
//! who is killed, copied, restored or gone for ever. After the storm everything heals, all sync until
//! quiet, and every promise is checked. Nothing sleeps, so thousands of steps take seconds.

mod behind;
mod device;
mod dice;
mod edits;
mod fuse;
mod model;
mod promises;
mod remote;

use std::{collections::BTreeMap, fmt, sync::Arc};

use everleaf::remote::Remote;
use futures_util::future::join_all;

pub(crate) use self::device::shown;
pub(crate) use self::dice::Dice;
use self::{behind::Behind, device::Device, model::Model, remote::Hostile};

/// What a simulation is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Determines everything.
    pub seed: u64,
    /// Devices at the beginning.
    pub devices: usize,
    /// Steps of the storm.
    pub steps: usize,
    /// Whether a hub stands before the remote.
    pub hub: bool,
}

/// What came of one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Steps that were made.
    pub steps: usize,
    /// How often each kind of thing happened.
    pub happened: BTreeMap<&'static str, u64>,
    /// What was done, for people.
    pub trace: Vec<String>,
}

/// A promise that did not hold.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    /// Which, and how.
    pub what: String,
    /// What had been done.
    pub outcome: Outcome,
    settings: Settings,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { seed, devices, steps, hub } = self.settings;
        for line in &self.outcome.trace {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "\n{}", self.what)?;
        write!(
            f,
            "replay: EVERLEAF_SEED={seed} EVERLEAF_DEVICES={devices} EVERLEAF_STEPS={steps} {}",
            if hub { "EVERLEAF_HUB=1 " } else { "" }
        )?;
        write!(f, "cargo test --release --test proptests -- sim::replay --ignored --nocapture")
    }
}

/// A world in the storm.
struct World {
    dice: Dice,
    remote: Hostile,
    hub: Option<Behind>,
    devices: Vec<Device>,
    model: Model,
    outcome: Outcome,
    settings: Settings,
    next_seed: u64,
}

/// Runs one simulation to its end.
pub(crate) fn run(settings: Settings) -> Result<Outcome, Box<Broken>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut world = World::new(settings);
    let result = runtime.unwrap().block_on(async {
        world.begin().await?;
        for _ in 0..settings.steps {
            world.step().await?;
            world.outcome.steps += 1;
        }
        world.calm().await?;
        world.check_promises().await
    });
    match result {
        Ok(()) => Ok(world.outcome),
        Err(what) => {
            let keys = world.remote.objects().into_keys().collect::<Vec<_>>().join("\n  ");
            let what = format!("{what}\nthe remote holds:\n  {keys}");
            Err(Box::new(Broken { what, outcome: world.outcome, settings }))
        }
    }
}

/// Something that should not have happened, for people.
type Check<T = ()> = Result<T, String>;

impl World {
    fn new(settings: Settings) -> Self {
        let mut dice = Dice::new(settings.seed);
        let remote = Hostile::new(dice.fork());
        Self {
            dice,
            remote,
            hub: None,
            devices: Vec::new(),
            model: Model::default(),
            outcome: Outcome::default(),
            settings,
            next_seed: 1,
        }
    }

    fn note(&mut self, kind: &'static str, what: impl fmt::Display) {
        *self.outcome.happened.entry(kind).or_default() += 1;
        let line = format!("{:5}  {what}", self.outcome.steps);
        self.outcome.trace.push(line);
    }

    fn seed(&mut self) -> u64 {
        self.next_seed += 1;
        self.settings.seed.wrapping_mul(1_000_003).wrapping_add(self.next_seed)
    }

    async fn begin(&mut self) -> Check {
        if self.settings.hub {
            self.hub = Some(Behind::new(self.remote.handle()).await);
        }
        let seed = self.seed();
        let first = Device::create(0, seed, None, &mut self.dice)?;
        first.add(&self.calm_remote()).await?;
        self.devices.push(first);
        for _ in 1..self.settings.devices {
            self.join().await?;
        }
        Ok(())
    }

    /// The remote without its malice.
    fn calm_remote(&self) -> Arc<dyn Remote> {
        self.remote.calm()
    }

    /// What a device talks to.
    fn handle(&self, n: usize) -> Check<Arc<dyn Remote>> {
        match &self.hub {
            Some(hub) => hub.handle(&self.devices[n]),
            None => Ok(self.remote.handle()),
        }
    }

    async fn join(&mut self) -> Check {
        let (number, seed) = (self.devices.len(), self.seed());
        let Some(key) = self.devices.iter().find_map(Device::key) else { return Ok(()) };
        let device = Device::create(number, seed, Some(key), &mut self.dice)?;
        device.add(&self.calm_remote()).await?;
        self.devices.push(device);
        self.note("join", format_args!("d{number} joins"));
        Ok(())
    }

    /// One of the devices that are still there.
    fn anybody(&mut self) -> Option<usize> {
        let here: Vec<usize> =
            (0..self.devices.len()).filter(|n| !self.devices[*n].is_gone()).collect();
        self.dice.pick(&here).copied()
    }

    async fn step(&mut self) -> Check {
        let Some(n) = self.anybody() else { return Ok(()) };
        match self.dice.below(1000) {
            0..700 => self.edit(n),
            700..860 => self.sync(n).await,
            860..900 => self.sync_together().await,
            900..925 => self.crash(n).await,
            925..945 => {
                self.remote.change_weather();
                let weather = self.remote.describe();
                self.note("weather", weather);
                Ok(())
            }
            945..965 => {
                let jump = self.devices[n].jump(&mut self.dice);
                self.note("clock", format_args!("d{n}'s clock jumps by {jump} s"));
                Ok(())
            }
            965..975 => {
                self.devices[n].back_up();
                self.note("backup", format_args!("d{n} is backed up"));
                Ok(())
            }
            975..981 => self.restore_backup(n),
            981..986 => self.copy(n),
            986..990 if self.devices.len() < 8 => self.join().await,
            990..993 => {
                self.leave(n);
                Ok(())
            }
            993..995 => {
                self.remote.wipe();
                self.model.remote_lost();
                self.model.destroyed(&self.devices, &self.remote.images());
                self.note("wipe", "the remote is emptied");
                Ok(())
            }
            995..998 => {
                if self.remote.put_back(&mut self.dice) {
                    self.model.remote_lost();
                    self.model.destroyed(&self.devices, &self.remote.images());
                    self.note("put back", "an old copy of the remote is put back");
                }
                Ok(())
            }
            _ => self.rebuild(n),
        }
    }

    fn edit(&mut self, n: usize) -> Check {
        let done = self.devices[n].edit(&mut self.dice, &mut self.model)?;
        if let Some((kind, what)) = done {
            self.note(kind, format_args!("d{n} {what}"));
        }
        Ok(())
    }

    async fn sync(&mut self, n: usize) -> Check {
        let came = self.devices[n].sync(self.handle(n)?).await?;
        if came.is_complete() {
            self.model.is_on_remote(&self.devices[n]);
        }
        self.note("sync", format_args!("d{n} syncs: {came}"));
        Ok(())
    }

    async fn sync_together(&mut self) -> Check {
        let here: Vec<usize> =
            (0..self.devices.len()).filter(|n| !self.devices[*n].is_gone()).collect();
        let mut syncs = Vec::new();
        for n in &here {
            syncs.push(self.devices[*n].sync(self.handle(*n)?));
        }
        let came = join_all(syncs).await;
        for (n, came) in here.into_iter().zip(came) {
            let came = came?;
            self.note("sync together", format_args!("d{n} syncs beside others: {came}"));
        }
        Ok(())
    }

    /// A kill: what was acknowledged must be there when the device comes back.
    async fn crash(&mut self, n: usize) -> Check {
        let seed = self.seed();
        let remote = self.handle(n)?;
        self.devices[n].crash(remote, seed, &mut self.dice).await?;
        self.note("crash", format_args!("d{n} is killed and comes back"));
        self.devices[n].has_what_it_acknowledged()
    }

    fn restore_backup(&mut self, n: usize) -> Check {
        let seed = self.seed();
        if self.devices[n].restore_backup(seed)? {
            self.model.destroyed(&self.devices, &self.remote.images());
            self.note("restore", format_args!("d{n} is restored from its backup"));
        }
        Ok(())
    }

    /// A twin: a copy of the vault that goes on as a device of its own.
    fn copy(&mut self, n: usize) -> Check {
        if self.devices.len() >= 8 {
            return Ok(());
        }
        let (seed, number) = (self.seed(), self.devices.len());
        let twin = self.devices[n].copy(number, seed, &mut self.dice)?;
        self.devices.push(twin);
        self.note("copy", format_args!("d{n} is copied: the copy is d{number}"));
        Ok(())
    }

    fn leave(&mut self, n: usize) {
        let others = self.devices.iter().filter(|device| !device.is_gone()).count();
        if others > 2 {
            self.devices[n].leave();
            self.model.destroyed(&self.devices, &self.remote.images());
            self.note("leave", format_args!("d{n} is gone for ever"));
        }
    }

    fn rebuild(&mut self, n: usize) -> Check {
        self.devices[n].rebuild()?;
        self.note("rebuild", format_args!("d{n} makes its projections again"));
        Ok(())
    }
}

/// Runs many seeds and says of the first that breaks a promise how to replay it.
fn storm(seeds: std::ops::Range<u64>, devices: usize, steps: usize) {
    storm_over(seeds, devices, steps, false);
}

/// The same over a hub: requests overlap as the network has it, so a seed determines less.
pub(crate) fn storm_behind_a_hub(seeds: std::ops::Range<u64>, devices: usize, steps: usize) {
    storm_over(seeds, devices, steps, true);
}

fn storm_over(seeds: std::ops::Range<u64>, devices: usize, steps: usize, hub: bool) {
    let mut happened: BTreeMap<&str, u64> = BTreeMap::new();
    let mut total = 0;
    for seed in seeds.clone() {
        match run(Settings { seed, devices, steps, hub }) {
            Ok(outcome) => {
                total += outcome.steps;
                for (kind, times) in outcome.happened {
                    *happened.entry(kind).or_default() += times;
                }
            }
            Err(broken) => panic!("{broken}"),
        }
    }
    eprintln!("{} histories, {total} steps: {happened:?}", seeds.end - seeds.start);
}

#[test]
fn two_devices_in_the_storm() {
    storm(0..6, 2, 150);
}

#[test]
fn five_devices_in_the_storm() {
    storm(1000..1004, 5, 200);
}

/// Seeds that once broke a promise stay here.
#[test]
fn seeds_that_once_failed() {
    for (seed, devices, steps) in SEEDS_THAT_ONCE_FAILED {
        storm(*seed..*seed + 1, *devices, *steps);
    }
}

const SEEDS_THAT_ONCE_FAILED: &[(u64, usize, usize)] = &[
    // Torn markup: a diff took the brackets of one image for those of another.
    (1, 2, 150),
    (7, 5, 200),
    (21, 3, 200),
    // An old copy of the remote whose head has the number of ours.
    (13, 3, 200),
    // An old copy of the remote that has the pulse that was remembered.
    (20, 2, 200),
    // Resets without end: a head that is older than the segments that were read.
    (37, 3, 200),
    (95, 5, 200),
    (144, 2, 200),
    // A segment that no head named was read by some and not by others.
    (119, 5, 200),
];

/// `EVERLEAF_SEED=… EVERLEAF_DEVICES=… EVERLEAF_STEPS=…`: one history, with its trace.
#[test]
#[ignore = "replays one seed"]
fn replay() {
    let number = |name, default| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let settings = Settings {
        seed: number("EVERLEAF_SEED", 0),
        devices: usize::try_from(number("EVERLEAF_DEVICES", 3)).unwrap(),
        steps: usize::try_from(number("EVERLEAF_STEPS", 500)).unwrap(),
        hub: number("EVERLEAF_HUB", 0) == 1,
    };
    match run(settings) {
        Ok(outcome) => eprintln!("{}", outcome.trace.join("\n")),
        Err(broken) => panic!("{broken}"),
    }
}

/// `EVERLEAF_SEEDS=N`: as many histories as asked for.
#[test]
#[ignore = "takes as long as it is told to"]
fn many() {
    let seeds = std::env::var("EVERLEAF_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    let from = std::env::var("EVERLEAF_FROM").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    for devices in 2..=5 {
        let from = from + 1_000_000 * devices as u64;
        storm(from..from + seeds / 4, devices, 300);
    }
}

/// What breaks, over many seeds: a survey for whoever mends it.
#[test]
#[ignore = "a survey, not a test"]
fn survey() {
    let seeds = std::env::var("EVERLEAF_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    for seed in 0..seeds {
        let devices = 2 + usize::try_from(seed % 4).unwrap();
        let settings = Settings { seed, devices, steps: 200, hub: false };
        if let Err(broken) = run(settings) {
            let what: String =
                broken.what.lines().next().unwrap_or_default().chars().take(300).collect();
            eprintln!("{seed}: {what}");
        }
    }
}
