//! Promise 1 under fire: what was acknowledged is there, whatever stopped the process and whatever
//! the disk did.
//!
//! Real processes are attacked: the command itself, and a worker that does what a program with the
//! library in it does, in a loop ([`worker`]). Each says what it did only after the call returned, and
//! the [`ledger`] holds the vault to that.
//!
//! * [`kills`]: SIGKILL at random moments, again and again on one vault;
//! * [`disk`]: a full disk, and one that can't be written to;
//! * [`lost`]: an `fsync` that fails and loses what it should have kept, and a power cut;
//! * [`damage`]: every file of a vault cut at every length of its end, and bits that flipped.

use std::fmt::Write as _;

use crate::machine::Machine;

mod damage;
mod disk;
mod kills;
mod ledger;
mod lost;
mod worker;

/// A number that the environment may set for a longer run.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A folder in memory where there is one: that a disk is slow tests nothing here.
fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// A machine with a vault that meets others in the directory `meeting`.
fn machine() -> Machine {
    let machine = Machine::within(memory());
    machine.run(&["init", "--name", "laptop"]).ok();
    machine.run(&["remote", "add", "origin", "dir:meeting"]).ok();
    machine
}

/// Random numbers that a seed gives again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    /// Words that compress badly.
    fn text(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 20);
        while text.len() < bytes {
            let _ = writeln!(text, "{:x}", self.next());
        }
        text
    }
}
