//! `sim`: the promises, attacked in simulated storms.

use std::{
    collections::BTreeMap,
    num::NonZero,
    ops::Range,
    process::ExitCode,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use clap::{Args, builder::RangedU64ValueParser};
use everleaf::{
    mutant::Mutant,
    sim::{self, Broken, Outcome, Settings},
};
use serde::Serialize;

use super::{Context, Result, text::count};

/// Attack all promises in a simulated storm
///
/// Devices edit, sync, crash, are copied, restored and lost, over a remote that fails, lags, forgets and
/// is put back, all as a seed determines. Then everything heals, and every promise is checked. What
/// breaks one is shown with its trace and the command that replays it; the exit code is 1 then.
/// Your vault is not touched.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf sim --seed 7 --devices 3 --steps 2000 --trace
  everleaf sim --seeds 0..1000")]
pub(super) struct Sim {
    /// What determines everything
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A range of seeds, one history for each
    #[arg(long, value_name = "A..B", conflicts_with = "seed", value_parser = range)]
    seeds: Option<Range<u64>>,
    /// Devices at the beginning, 1 to 5 [default: 2 to 5, as the seed says]
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..=5))]
    devices: Option<usize>,
    /// Have a hub stand before the remote; a seed determines less then
    #[arg(long)]
    hub: bool,
    /// Steps of the storm
    #[arg(long, default_value_t = 500, value_parser = RangedU64ValueParser::<usize>::new().range(..=30_000))]
    steps: usize,
    /// Histories at a time [default: as many as there are processors]
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..=256))]
    jobs: Option<usize>,
    /// Run a wrong version of the code, to see that it is noticed
    #[arg(long, value_name = "NAME", value_parser = mutant)]
    mutant: Option<Mutant>,
    /// Show every step
    #[arg(long)]
    trace: bool,
}

/// What came of all.
#[derive(Serialize)]
struct Report {
    histories: u64,
    steps: usize,
    steps_per_second: f64,
    /// What devices did, or what befell them: in the storms, and until all was quiet.
    acts: u64,
    acts_per_second: f64,
    io_steps: u64,
    io_steps_per_second: f64,
    happened: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trace: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    broken: Vec<Failure>,
}

/// What broke a promise.
#[derive(Serialize)]
struct Failure {
    seed: u64,
    promises: Vec<u8>,
    what: String,
    replay: String,
}

impl Sim {
    pub(super) fn run(self, context: &Context) -> Result {
        let seeds = self.seeds.clone().unwrap_or(self.seed..self.seed.saturating_add(1));
        let began = Instant::now();
        let mut report = Report {
            histories: 0,
            steps: 0,
            steps_per_second: 0.0,
            acts: 0,
            acts_per_second: 0.0,
            io_steps: 0,
            io_steps_per_second: 0.0,
            happened: BTreeMap::new(),
            trace: Vec::new(),
            broken: Vec::new(),
        };
        let mut failures = Vec::new();
        for came in self.histories(context, seeds).into_values() {
            let outcome = match came {
                Ok(outcome) => outcome,
                Err(broken) => {
                    report.broken.push(Failure::of(&broken));
                    let outcome = broken.outcome.clone();
                    failures.push(broken);
                    outcome
                }
            };
            report.histories += 1;
            report.steps += outcome.steps;
            report.io_steps += outcome.io_steps;
            for (kind, times) in outcome.happened {
                *report.happened.entry(kind).or_default() += times;
            }
            if self.trace {
                report.trace.extend(outcome.trace);
            }
        }
        report.steps_per_second = rate(report.steps as u64, began);
        report.acts = report.happened.values().sum();
        report.acts_per_second = rate(report.acts, began);
        report.io_steps_per_second = rate(report.io_steps, began);
        context.show(&report, |out| {
            for line in &report.trace {
                writeln!(out, "{line}")?;
            }
            for broken in &failures {
                // The trace of all was shown already.
                if self.trace {
                    writeln!(out, "{}\n\nreplay: {}\n", broken.what, broken.replay())?;
                } else {
                    writeln!(out, "{broken}")?;
                }
            }
            for (kind, times) in &report.happened {
                writeln!(out, "{times:>8}  {kind}")?;
            }
            let histories = match (report.histories, report.broken.len()) {
                (1, 0) => "Every promise held".to_owned(),
                (some, 0) => format!("Every promise held in {some} histories"),
                (some, broken) => format!("{broken} of {some} histories broke a promise"),
            };
            let (steps, rate) = (count(report.steps as u64, "step"), report.steps_per_second);
            let (acts, act_rate) = (count(report.acts, "act"), report.acts_per_second);
            let (io, io_rate) = (report.io_steps, report.io_steps_per_second);
            writeln!(
                out,
                "{histories}: {steps}, {rate:.0} a second; in them and until all was quiet {acts}, \
                 {act_rate:.0} a second, and {io} of input and output, {io_rate:.0} a second."
            )
        })?;
        Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// What came of each seed, in their order, from several threads: each history has one to itself.
    fn histories(&self, context: &Context, seeds: Range<u64>) -> BTreeMap<u64, Came> {
        let (next, came) = (Mutex::new(seeds), Mutex::new(BTreeMap::new()));
        let work = || {
            loop {
                // Not in a `while let`, which would keep the lock until the history is over.
                let Some(seed) = lock(&next).next() else { return };
                // What simulated devices warn of is the storm.
                let silent = tracing::subscriber::NoSubscriber::default();
                let history =
                    tracing::subscriber::with_default(silent, || sim::run(&self.settings(seed)));
                if let Err(broken) = &history {
                    context.tell(format_args!("seed {seed} breaks {:?}", broken.promises));
                }
                lock(&came).insert(seed, self.kept(history));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.jobs() {
                scope.spawn(work);
            }
            work();
        });
        came.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self, seed: u64) -> Settings {
        let of_seed = Settings::of(seed);
        // Whether clocks or copies are the cause is asked where they may be.
        let explain = self.mutant.is_none_or(|mutant| matches!(mutant.promise(), 9 | 10));
        let Self { steps, mutant, hub, .. } = *self;
        let devices = self.devices.unwrap_or(of_seed.devices);
        Settings { devices, steps, mutant, hub, explain, ..of_seed }
    }

    fn jobs(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, NonZero::get);
        self.jobs.unwrap_or_else(all)
    }

    /// A history without the trace that nobody asked for: of ten thousand, that would be gigabytes.
    fn kept(&self, mut came: Came) -> Came {
        if !self.trace
            && let Ok(outcome) = &mut came
        {
            outcome.trace = Vec::new();
        }
        came
    }
}

/// What came of a history.
type Came = Result<Outcome, Box<Broken>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Failure {
    fn of(broken: &Broken) -> Self {
        Self {
            seed: broken.settings.seed,
            promises: broken.promises.clone(),
            what: broken.what.clone(),
            replay: broken.replay(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown without digits")]
fn rate(steps: u64, began: Instant) -> f64 {
    steps as f64 / began.elapsed().as_secs_f64().max(f64::EPSILON)
}

fn mutant(text: &str) -> Result<Mutant, String> {
    let found = Mutant::ALL.into_iter().find(|mutant| format!("{mutant:?}") == text);
    found.ok_or_else(|| format!("the mutants are {:?}", Mutant::ALL))
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let seeds =
        text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    seeds.filter(|seeds| !seeds.is_empty()).ok_or_else(|| "is written as in 0..1000".to_owned())
}
