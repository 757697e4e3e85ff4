//! Columns of runs: `n value` for n equal values, `-n values` for n that differ, `0 n` for n that are not
//! there.

use super::super::numbers::{put_signed, put_text, put_unsigned, signed, unsigned};

/// A column of runs that is being written.
pub(super) struct Runs<T> {
    bytes: Vec<u8>,
    /// Values of which none equals the one before.
    literals: Vec<T>,
    /// The last value, and how often it came.
    last: Option<(Option<T>, u64)>,
    /// Whether any value is there.
    is_there: bool,
}

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), literals: Vec::new(), last: None, is_there: false }
    }
}

impl<T: Encode + PartialEq> Runs<T> {
    pub(super) fn push(&mut self, value: Option<T>) {
        self.repeat(value, 1);
    }

    pub(super) fn repeat(&mut self, value: Option<T>, times: u64) {
        if times == 0 {
            return;
        }
        self.is_there |= value.is_some();
        match &mut self.last {
            Some((last, count)) if *last == value => *count += times,
            _ => {
                self.end_run();
                self.last = Some((value, times));
            }
        }
    }

    fn end_run(&mut self) {
        match self.last.take() {
            None => {}
            Some((Some(value), 1)) => self.literals.push(value),
            Some((value, count)) => {
                self.end_literals();
                if let Some(value) = value {
                    put_signed(&mut self.bytes, count.cast_signed());
                    value.encode(&mut self.bytes);
                } else {
                    put_signed(&mut self.bytes, 0);
                    put_unsigned(&mut self.bytes, count);
                }
            }
        }
    }

    fn end_literals(&mut self) {
        if !self.literals.is_empty() {
            put_signed(&mut self.bytes, -(self.literals.len() as u64).cast_signed());
            self.literals.drain(..).for_each(|value| value.encode(&mut self.bytes));
        }
    }

    /// The column; empty, where nothing is in it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end_run();
        self.end_literals();
        if self.is_there { self.bytes } else { Vec::new() }
    }
}

/// A column of differences, each to the last value that is there.
#[derive(Default)]
pub(super) struct Differences {
    runs: Runs<i64>,
    last: i64,
}

impl Differences {
    pub(super) fn push(&mut self, value: Option<u64>) {
        let value = value.map(u64::cast_signed);
        self.runs.push(value.map(|value| value - std::mem::replace(&mut self.last, value)));
    }

    /// So many values, each one more than the one before.
    pub(super) fn count_from(&mut self, first: u64, count: u64) {
        if let Some(more) = count.checked_sub(1) {
            self.push(Some(first));
            self.runs.repeat(Some(1), more);
            self.last += more.cast_signed();
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.runs.finish()
    }
}

/// A column of flags that is being written: how often `false`, then how often `true`, and so on.
#[derive(Default)]
pub(super) struct Flags {
    bytes: Vec<u8>,
    value: bool,
    count: u64,
}

impl Flags {
    pub(super) fn repeat(&mut self, value: bool, times: u64) {
        if value != self.value {
            put_unsigned(&mut self.bytes, self.count);
            (self.value, self.count) = (value, 0);
        }
        self.count += times;
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        put_unsigned(&mut self.bytes, self.count);
        self.bytes
    }
}

/// The numbers of a column of runs, of which none is missing.
pub(in super::super) struct Numbers<'a> {
    column: &'a [u8],
    left: u64,
    /// What the run repeats; `None` for one of values that differ.
    repeated: Option<u64>,
}

impl<'a> Numbers<'a> {
    pub(in super::super) const fn of(column: &'a [u8]) -> Self {
        Self { column, left: 0, repeated: None }
    }

    /// The next of equal values and how many they are, at most so many of them; `None` at the end, and where it makes
    /// no sense.
    pub(in super::super) fn next_run(&mut self, most: u64) -> Option<(u64, u64)> {
        if self.left == 0 {
            let run = signed(&mut self.column)?;
            self.left = run.unsigned_abs();
            self.repeated = if run > 0 { Some(unsigned(&mut self.column)?) } else { None };
        }
        let run = if self.repeated.is_some() { self.left.min(most) } else { self.left.min(1) };
        self.left -= run;
        let value = self.repeated.or_else(|| unsigned(&mut self.column))?;
        (run > 0).then_some((value, run))
    }
}

impl Iterator for Numbers<'_> {
    type Item = u64;

    /// The next; `None` at the end, and where it makes no sense.
    fn next(&mut self) -> Option<u64> {
        self.next_run(1).map(|(value, _)| value)
    }
}

/// The flags of a column.
pub(super) struct FlagsOf<'a> {
    column: &'a [u8],
    left: u64,
    value: bool,
}

impl<'a> FlagsOf<'a> {
    pub(super) const fn of(column: &'a [u8]) -> Self {
        // The first number is of those that are not set.
        Self { column, left: 0, value: true }
    }
}

impl Iterator for FlagsOf<'_> {
    type Item = bool;

    fn next(&mut self) -> Option<bool> {
        while self.left == 0 {
            self.left = unsigned(&mut self.column)?;
            self.value = !self.value;
        }
        self.left -= 1;
        Some(self.value)
    }
}

pub(super) trait Encode {
    fn encode(&self, to: &mut Vec<u8>);
}

impl Encode for u64 {
    fn encode(&self, to: &mut Vec<u8>) {
        put_unsigned(to, *self);
    }
}

impl Encode for i64 {
    fn encode(&self, to: &mut Vec<u8>) {
        put_signed(to, *self);
    }
}

impl Encode for String {
    fn encode(&self, to: &mut Vec<u8>) {
        put_text(to, self.as_bytes());
    }
}
