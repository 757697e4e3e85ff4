//! Randomness that a seed determines.

use everleaf::clock::{SimulatedClock, Timestamp, random};

/// Dice. Equal seeds throw equal numbers.
#[derive(Debug)]
pub(crate) struct Dice(SimulatedClock);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SimulatedClock::new(Timestamp(0), seed))
    }

    /// Other dice, whose throws do not depend on how often these are thrown.
    pub(crate) fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        u64::from_le_bytes(random(&self.0))
    }

    /// A number in `0..end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    /// True `part` times in a hundred.
    pub(crate) fn percent(&mut self, part: u64) -> bool {
        self.below(100) < part
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.index(from.len())) }
    }
}
