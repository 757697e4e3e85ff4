//! Randomness that a seed determines.

use crate::clock::{SimulatedClock, Timestamp, random};

/// Dice. Equal seeds throw equal numbers.
#[derive(Debug)]
pub(super) struct Dice(SimulatedClock);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(SimulatedClock::new(Timestamp(0), seed))
    }

    /// Other dice, whose throws do not depend on how often these are thrown.
    pub(super) fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    pub(super) fn next(&mut self) -> u64 {
        u64::from_le_bytes(random(&self.0))
    }

    /// A number in `0..end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// True `part` times in a hundred.
    pub(super) fn percent(&mut self, part: u64) -> bool {
        self.below(100) < part
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.index(from.len()))
    }
}
