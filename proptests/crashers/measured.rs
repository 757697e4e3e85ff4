//! How much memory a call takes.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs it; no more than `limit` bytes at a time may be allocated meanwhile, by this thread.
pub(crate) fn within<T>(limit: usize, run: impl FnOnce() -> T) -> T {
    let mut answer = None;
    // The count goes on being right after a panic, of which shrinking a case makes many.
    let memory = allocation_counter::measure(|| {
        answer = Some(catch_unwind(AssertUnwindSafe(run)));
    });
    let answer = answer.unwrap().unwrap_or_else(|panic| resume_unwind(panic));
    assert!(memory.bytes_max <= limit as u64, "of {limit} bytes: {memory:?}");
    answer
}
