//! Devices in a storm: what happens, step by step.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use futures_util::future::{join, join_all};

use super::{
    Check, Dice, Outcome, Settings, Wrong,
    behind::Behind,
    device::{Device, Done},
    model::Model,
    remote::Hostile,
};
use crate::{
    clock::{SimulatedClock, Timestamp},
    id::ChangeHash,
    remote::Remote,
    seal::{Sealer, VaultKey},
};

/// A day in November 2026.
const BEGIN: Timestamp = Timestamp(1_795_000_000_000);
/// Devices that there are at most, those that are gone included.
const MOST: usize = 8;

/// A world in the storm.
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) dice: Dice,
    pub(super) remote: Hostile,
    hub: Option<Behind>,
    pub(super) devices: Vec<Device>,
    pub(super) model: Model,
    pub(super) outcome: Outcome,
    /// The time by a clock that is right.
    pub(super) now: Timestamp,
    pub(super) key: VaultKey,
    /// What opens what the key sealed.
    pub(super) sealer: Sealer,
    /// Changes that the remote was ever told of.
    pub(super) told: BTreeSet<ChangeHash>,
    /// Whether everything healed, and all synced until quiet.
    pub(super) is_calm: bool,
    /// Whether the remote ever lost something in the midst of a sync, between a segment and its head.
    pub(super) is_torn: bool,
    next_seed: u64,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        let mut dice = Dice::new(settings.seed);
        let remote = Hostile::new(dice.fork(), settings.hub);
        let key = VaultKey::generate(&SimulatedClock::new(BEGIN, dice.next()));
        Self {
            settings,
            dice,
            remote,
            hub: None,
            devices: Vec::new(),
            model: Model::default(),
            outcome: Outcome::default(),
            now: BEGIN,
            sealer: key.sealer(),
            key,
            told: BTreeSet::new(),
            is_calm: false,
            is_torn: false,
            next_seed: 1,
        }
    }

    pub(super) fn into_outcome(self) -> Outcome {
        self.outcome
    }

    pub(super) fn run(&mut self) -> Check {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            self.begin().await?;
            for _ in 0..self.settings.steps {
                self.step().await?;
                self.outcome.steps += 1;
            }
            self.calm().await?;
            self.check_promises().await
        })
    }

    pub(super) fn note(&mut self, kind: &'static str, what: impl fmt::Display) {
        *self.outcome.happened.entry(kind).or_default() += 1;
        let line = format!("{:5}  {what}", self.outcome.steps);
        self.outcome.trace.push(line);
    }

    pub(super) fn seed(&mut self) -> u64 {
        self.next_seed += 1;
        self.settings.seed.wrapping_mul(1_000_003).wrapping_add(self.next_seed)
    }

    pub(super) fn device(&self, n: usize) -> Check<&Device> {
        self.devices.get(n).ok_or_else(|| nobody(n))
    }

    fn device_mut(&mut self, n: usize) -> Check<&mut Device> {
        self.devices.get_mut(n).ok_or_else(|| nobody(n))
    }

    /// A device with its id, as the keys on the remote begin.
    pub(super) fn named(&self, n: usize) -> Check<String> {
        Ok(format!("d{n} ({})", self.device(n)?.vault()?.device()?.short()))
    }

    /// The devices that are still there.
    pub(super) fn here(&self) -> Vec<usize> {
        let here = self.devices.iter().filter(|device| !device.is_gone());
        here.map(Device::number).collect()
    }

    /// The remote as a device sees it.
    pub(super) fn remote_of(&self, n: usize) -> Check<Arc<dyn Remote>> {
        let device = self.device(n)?;
        match &self.hub {
            Some(hub) => hub.handle(device, &self.key),
            None => Ok(self.remote.handle(n, device.clock())),
        }
    }

    async fn begin(&mut self) -> Check {
        let kind = self.remote.kind();
        self.note("remote", format_args!("devices meet at {kind}"));
        if self.settings.hub {
            // Not one of the devices, so that no cut off device takes it away from the others.
            let clock = Arc::new(SimulatedClock::new(self.now, self.seed()));
            self.hub = Some(Behind::new(self.remote.handle(usize::MAX, clock)).await?);
        }
        for _ in 0..self.settings.devices {
            self.join().await?;
        }
        Ok(())
    }

    pub(super) async fn join(&mut self) -> Check {
        let (n, seed) = (self.devices.len(), self.seed());
        if n >= MOST {
            return Ok(());
        }
        let mut device = Device::create(n, seed, Some(self.key.clone()), self.now)?;
        device.jump(&mut self.dice, &self.settings);
        device.add(self.remote.calm(n)).await?;
        self.devices.push(device);
        self.note("join", format_args!("d{n} joins"));
        Ok(())
    }

    async fn step(&mut self) -> Check {
        let here = self.here();
        let Some(n) = self.dice.pick(&here).copied() else { return Ok(()) };
        self.now = self.now.plus(Duration::from_secs(self.dice.below(1800)));
        for device in &self.devices {
            device.wake(self.now);
        }
        self.remote.carry().await;
        self.happen(n).await?;
        for device in &self.devices {
            self.now = self.now.max(device.time());
        }
        Ok(())
    }

    async fn happen(&mut self, n: usize) -> Check {
        match self.dice.below(1000) {
            0..617 => self.work(n, Device::edit),
            617..637 => self.work(n, |device, _, _| device.export()),
            637..667 => self.work(n, Device::import),
            667..677 => self.evict(n),
            677..685 => {
                self.remote.loom();
                Ok(())
            }
            685..845 => self.sync(n).await,
            845..880 => self.sync_together().await,
            880..910 => self.crash_in_sync(n).await,
            910..932 => self.crash_in_work(n),
            932..947 => {
                let weather = self.remote.change_weather();
                self.note("weather", weather);
                Ok(())
            }
            947..953 => {
                let how = if self.remote.plug(n) { "has its network back" } else { "is offline" };
                self.note("network", format_args!("d{n} {how}"));
                Ok(())
            }
            953..970 => self.jump(n),
            970..976 => {
                self.device_mut(n)?.back_up()?;
                self.note("backup", format_args!("d{n} is backed up"));
                Ok(())
            }
            976..981 => self.restore_backup(n),
            981..986 => self.copy(n).await,
            986..990 => self.join().await,
            990..993 => {
                self.leave(n);
                Ok(())
            }
            993..995 => {
                self.remote.wipe();
                self.remote_lost("wipe", "the remote is emptied");
                Ok(())
            }
            995..998 => {
                if self.remote.put_back(&mut self.dice) {
                    self.remote_lost("put back", "an old copy of the remote is put back");
                }
                Ok(())
            }
            _ => {
                self.device(n)?.vault()?.rebuild()?;
                self.note("rebuild", format_args!("d{n} makes its projections again"));
                Ok(())
            }
        }
    }

    /// Something that a device does by itself.
    pub(super) fn work(
        &mut self,
        n: usize,
        work: impl FnOnce(&mut Device, &mut Dice, &mut Model) -> Check<Done>,
    ) -> Check {
        let Self { devices, dice, model, .. } = self;
        let device = devices.get_mut(n).ok_or_else(|| nobody(n))?;
        let done = work(device, dice, model).map_err(|wrong| wrong.at(format_args!("d{n}")))?;
        if let Some((kind, what)) = done {
            self.note(kind, format_args!("d{n} {what}"));
        }
        Ok(())
    }

    fn jump(&mut self, n: usize) -> Check {
        let Self { devices, dice, settings, .. } = self;
        let device = devices.get_mut(n).ok_or_else(|| nobody(n))?;
        let by = device.jump(dice, settings);
        self.note("clock", format_args!("d{n}'s clock is wrong by {by} s"));
        Ok(())
    }

    pub(super) fn set_right(&mut self, n: usize) -> Check {
        self.device_mut(n)?.set_right();
        self.note("clock", format_args!("d{n}'s clock is set right"));
        Ok(())
    }

    fn evict(&mut self, n: usize) -> Check {
        let Self { devices, dice, .. } = self;
        let device = devices.get_mut(n).ok_or_else(|| nobody(n))?;
        if let Some(image) = device.evict(dice)? {
            self.note("evict", format_args!("d{n} drops its copy of {}", image.short()));
            self.check_evicted(image)?;
            self.lost();
        }
        Ok(())
    }

    pub(super) async fn sync(&mut self, n: usize) -> Check {
        let came = self.device(n)?.sync(self.remote_of(n)?).await?;
        // What was put before it was struck may be gone.
        if !self.was_struck() && came.is_complete() {
            let Self { model, devices, .. } = self;
            model.is_on_remote(devices.get(n).ok_or_else(|| nobody(n))?);
        }
        self.note("sync", format_args!("{} syncs: {came}", self.named(n)?));
        self.check_claims(n)
    }

    pub(super) async fn sync_together(&mut self) -> Check {
        let here = self.here();
        let remotes = here.iter().map(|n| self.remote_of(*n)).collect::<Check<Vec<_>>>()?;
        let devices = here.iter().map(|n| self.device(*n)).collect::<Check<Vec<_>>>()?;
        let syncs = devices.into_iter().zip(remotes).map(|(device, remote)| device.sync(remote));
        let came = join_all(syncs).await;
        self.was_struck();
        for (n, came) in here.into_iter().zip(came) {
            let came = came?;
            let what = format!("{} syncs beside others: {came}", self.named(n)?);
            self.note("sync together", what);
            self.check_claims(n)?;
        }
        Ok(())
    }

    pub(super) async fn crash_in_sync(&mut self, n: usize) -> Check {
        // What is not here is fetched in that sync.
        for _ in 0..self.dice.below(4) {
            self.evict(n)?;
        }
        // The others may look at what it does meanwhile.
        let mut others = if self.dice.percent(30) { self.here() } else { Vec::new() };
        others.retain(|other| *other != n);
        let mut dice = self.dice.fork();
        let mut beside = Vec::new();
        for other in &others {
            beside.push(self.device(*other)?.sync(self.remote_of(*other)?));
        }
        let crash = self.device(n)?.crash_in_sync(self.remote_of(n)?, &mut dice);
        let (grave, came) = join(crash, join_all(beside)).await;
        let grave = grave?;
        came.into_iter().collect::<Check<Vec<_>>>()?;
        let seed = self.seed();
        self.device_mut(n)?.come_back(grave, seed)?;
        self.was_struck();
        let beside = if others.is_empty() { "" } else { " beside the others" };
        let name = self.named(n)?;
        let what = format!("{name} is killed while it syncs{beside}, and comes back");
        self.note("crash in sync", what);
        self.came_back(n)
    }

    pub(super) fn crash_in_work(&mut self, n: usize) -> Check {
        let Self { devices, dice, model, .. } = self;
        let device = devices.get_mut(n).ok_or_else(|| nobody(n))?;
        let work = match dice.below(10) {
            0..4 => Device::edit,
            4..6 => |device: &mut Device, _: &mut Dice, _: &mut Model| device.export(),
            6..9 => Device::import,
            _ => |device: &mut Device, dice: &mut Dice, _: &mut Model| {
                let evicted = device.evict(dice)?;
                Ok(evicted.map(|image| ("evict", format!("drops its copy of {}", image.short()))))
            },
        };
        let (grave, done) = device.crash_in(dice, model, work)?;
        let what = done.map_or("does nothing".to_owned(), |(_, what)| what);
        let seed = self.seed();
        self.device_mut(n)?.come_back(grave, seed)?;
        self.note("crash in work", format_args!("d{n} {what}; it is killed, and comes back"));
        self.lost();
        self.came_back(n)?;
        // What it did to a folder it may do again at once, or when the notes are others.
        for _ in 0..self.dice.below(4) {
            self.work(n, Device::edit)?;
        }
        if self.dice.percent(50) { self.work(n, Device::import) } else { Ok(()) }
    }

    /// What was acknowledged must be there when a device comes back.
    fn came_back(&mut self, n: usize) -> Check {
        self.device(n)?.has_what_it_acknowledged()?;
        self.check_claims(n)
    }

    fn restore_backup(&mut self, n: usize) -> Check {
        let seed = self.seed();
        if !self.settings.no_twins && self.device_mut(n)?.restore_backup(seed)? {
            self.lost();
            self.note("restore", format_args!("d{n} is restored from its backup"));
        }
        Ok(())
    }

    /// A twin: a copy of the vault that goes on as a device of its own.
    async fn copy(&mut self, n: usize) -> Check {
        let (seed, number) = (self.seed(), self.devices.len());
        if number >= MOST || self.settings.no_twins {
            return Ok(());
        }
        let mut twin = self.device(n)?.copy(number, seed)?;
        twin.jump(&mut self.dice, &self.settings);
        self.devices.push(twin);
        self.remote.copy(n, number);
        self.note("copy", format_args!("d{n} is copied: the copy is d{number}"));
        // Perhaps both go on before either hears of the other.
        if self.dice.percent(60) {
            if self.dice.percent(70) {
                self.remote.clear_up();
            }
            for twin in [n, number] {
                for _ in 0..=self.dice.below(3) {
                    self.work(twin, Device::edit)?;
                    self.sync(twin).await?;
                }
            }
        }
        Ok(())
    }

    fn leave(&mut self, n: usize) {
        if self.here().len() > 2
            && let Some(device) = self.devices.get_mut(n)
        {
            device.leave();
            self.lost();
            self.note("leave", format_args!("d{n} is gone for ever"));
        }
    }

    /// Whether the remote lost something in the midst of what was just done.
    fn was_struck(&mut self) -> bool {
        let struck = self.remote.was_struck();
        if struck {
            self.is_torn = true;
            self.remote_lost("struck", "meanwhile the remote is emptied, or an old copy put back");
        }
        struck
    }

    pub(super) fn remote_lost(&mut self, kind: &'static str, what: &str) {
        self.model.remote_lost();
        self.lost();
        self.note(kind, what);
    }

    /// Something was destroyed.
    fn lost(&mut self) {
        let images = self.remote.images();
        self.model.destroyed(&self.devices, &images);
    }
}

fn nobody(n: usize) -> Wrong {
    Wrong { promises: Vec::new(), what: format!("there is no d{n}") }
}
