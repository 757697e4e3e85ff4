//! A simulation: several devices, clocks that lie, remotes that are honest to their contract and
//! hostile within it, and a model that is far simpler than the code.
//!
//! One seed determines a whole history: what kind of remote it is, who edits what, who syncs when, which
//! calls fail and how, who is killed at which step, copied, restored or gone for ever. After the storm
//! everything heals, all sync until quiet, and every promise is checked. Time is simulated and nothing
//! sleeps, so a history takes milliseconds a step at most.
//!
//! ```no_run
//! use everleaf::sim::{Settings, run};
//!
//! match run(&Settings { seed: 7, devices: 3, steps: 500, ..Settings::default() }) {
//!     Ok(outcome) => assert_eq!(outcome.steps, 500),
//!     Err(broken) => panic!("{broken}"),
//! }
//! ```
//!
//! What is simulated is not the disk: files lie in memory where the system has a place for that, and a
//! kill leaves what was written, synced or not.

mod behind;
mod claims;
mod crash;
mod device;
mod dice;
mod edits;
mod folders;
mod model;
mod pictures;
mod promises;
mod remote;
mod replica;
mod weather;
mod world;

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use self::{dice::Dice, world::World};
use crate::{
    crash as points,
    mutant::{self, Mutant},
    vault::chain,
};

/// What a simulation is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Settings {
    /// Determines everything else.
    pub seed: u64,
    /// Devices at the beginning.
    pub devices: usize,
    /// Steps of the storm.
    pub steps: usize,
    /// Whether all clocks show the same time. Default: no, they are up to ten years off, and jump.
    pub right_clocks: bool,
    /// Whether no vault is ever copied or restored from a backup. Default: no.
    pub no_twins: bool,
    /// Whether a hub stands before the remote. Requests overlap as the network has it then, so a seed
    /// determines less. Default: no.
    pub hub: bool,
    /// Whether what breaks is run again with clocks that are right, and without copies, to say whether
    /// those are the cause. Default: yes.
    pub explain: bool,
    /// The wrong version of the code to run, if any.
    pub mutant: Option<Mutant>,
}

impl Settings {
    /// The settings that a seed alone determines: 2 to 5 devices.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let devices = [2, 3, 4, 5];
        let devices = Dice::new(seed).pick(&devices).copied().unwrap_or(3);
        Self { seed, devices, ..Self::default() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            devices: 3,
            steps: 500,
            right_clocks: false,
            no_twins: false,
            hub: false,
            explain: true,
            mutant: None,
        }
    }
}

/// What came of a history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Steps that were made.
    pub steps: usize,
    /// Steps of input and output in them: requests to the remote, each of which may fail, and writes to a
    /// disk, at each of which a process may be killed.
    pub io_steps: u64,
    /// How often each kind of thing happened.
    pub happened: BTreeMap<&'static str, u64>,
    /// What was done, a line each, for people.
    pub trace: Vec<String>,
}

/// A promise that did not hold. Shows as the trace, what is wrong, and the command that replays it.
#[derive(Debug, Clone)]
pub struct Broken {
    /// The promises, by their numbers; none where the history could not go on for another reason.
    pub promises: Vec<u8>,
    /// What is wrong.
    pub what: String,
    /// What had been done.
    pub outcome: Outcome,
    /// What it was made of.
    pub settings: Settings,
}

impl Broken {
    /// The command that replays it.
    #[must_use]
    pub fn replay(&self) -> String {
        let Settings { seed, devices, steps, hub, mutant, .. } = self.settings;
        let mutant = mutant.map(|mutant| format!(" --mutant {mutant:?}")).unwrap_or_default();
        format!(
            "cargo run --release --features sim -- \
             sim --seed {seed} --devices {devices} --steps {steps}{}{mutant}",
            if hub { " --hub" } else { "" }
        )
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.outcome.trace {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "\n{}\n\nreplay: {}", self.what, self.replay())
    }
}

impl std::error::Error for Broken {}

/// Runs one history to its end.
///
/// # Errors
///
/// Where a promise did not hold, or the history could not go on.
pub fn run(settings: &Settings) -> Result<Outcome, Box<Broken>> {
    let mut broken = match history(settings) {
        Ok(outcome) => return Ok(outcome),
        Err(broken) => broken,
    };
    // What breaks only where clocks are wrong, or where vaults are copied, breaks those promises.
    let without = [
        (9, "clocks that are right", Settings { right_clocks: true, ..*settings }),
        (10, "no copy and no backup", Settings { no_twins: true, ..*settings }),
    ];
    for (promise, how, other) in without.into_iter().filter(|_| settings.explain) {
        if other != *settings && !broken.promises.contains(&promise) && history(&other).is_ok() {
            broken.promises.push(promise);
            broken.what = format!("{}\npromise {promise}: with {how} all is well", broken.what);
        }
    }
    Err(broken)
}

fn history(settings: &Settings) -> Result<Outcome, Box<Broken>> {
    mutant::set(settings.mutant);
    let mut world = World::new(*settings);
    let passed = points::passed();
    let result = world.run();
    world.outcome.io_steps = world.remote.calls() + (points::passed() - passed);
    mutant::set(None);
    let Err(mut wrong) = result else { return Ok(world.into_outcome()) };
    // A cause says more than what came of it.
    if let Err(cause) = world.check_identities()
        && wrong.what != cause.what
    {
        wrong.promises.extend(cause.promises);
        wrong.what = format!("{}\n{}", cause.what, wrong.what);
    }
    let Wrong { promises, what } = wrong;
    Err(Box::new(Broken { promises, what, outcome: world.into_outcome(), settings: *settings }))
}

/// Something that should not have happened.
#[derive(Debug)]
struct Wrong {
    promises: Vec<u8>,
    what: String,
}

type Check<T = ()> = Result<T, Wrong>;

impl Wrong {
    /// A promise that does not hold.
    fn promise(number: u8, what: impl fmt::Display) -> Self {
        Self { promises: vec![number], what: format!("promise {number}: {what}") }
    }

    /// Says where it happened.
    fn at(self, place: impl fmt::Display) -> Self {
        Self { what: format!("{place}: {}", self.what), ..self }
    }
}

/// What the library refuses without being asked to is no promise that is known to be broken, but it
/// should not have happened either.
impl<E: std::error::Error> From<E> for Wrong {
    fn from(error: E) -> Self {
        Self { promises: Vec::new(), what: chain(&error) }
    }
}
