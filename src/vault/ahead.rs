//! Work on many things, in their order, on all processors and ahead of whoever takes the results.

use std::{
    collections::BTreeMap,
    num::NonZero,
    panic::resume_unwind,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::ScopedJoinHandle,
};

use super::{Vault, lock};
use crate::{crash, mutant};

impl Vault {
    /// Does `work` for each of `many`, and has `take` take the results, in order. It says what a result weighs
    /// as well; no more work is begun while those that nobody took yet weigh as much as `room`.
    ///
    /// # Panics
    ///
    /// Where `work` does.
    pub(crate) fn ahead<T: Sync, R: Send, A>(
        &self,
        many: &[T],
        room: usize,
        work: impl Fn(&T) -> (R, usize) + Sync,
        take: impl FnOnce(&mut dyn Iterator<Item = R>) -> A,
    ) -> A {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        if self.0.inline || many.len() < 2 {
            return take(&mut many.iter().map(|one| work(one).0));
        }
        let (laid, freed) = (Condvar::new(), Condvar::new());
        let desk = Desk { state: Mutex::default(), laid, freed, room };
        let job = || {
            let _leaving = Leaving { desk: &desk, is_taker: false };
            while let Some((place, one)) = desk.begin(many) {
                desk.lay(place, work(one));
            }
        };
        std::thread::scope(|scope| {
            let leaving = Leaving { desk: &desk, is_taker: true };
            let start = |_| {
                let job = crash::inherited(mutant::inherited(&job));
                std::thread::Builder::new().name("everleaf-ahead".into()).spawn_scoped(scope, job)
            };
            // With fewer it takes longer.
            let workers: Vec<_> = (0..processors).filter_map(|n| start(n).ok()).collect();
            let taken = if workers.is_empty() {
                take(&mut many.iter().map(|one| work(one).0))
            } else {
                // What comes behind one that is missing is not the next.
                take(&mut std::iter::from_fn(|| desk.take(many.len())).fuse())
            };
            drop(leaving);
            // One that panicked says so here as it would have without threads.
            let ends = workers.into_iter().map(ScopedJoinHandle::join);
            ends.for_each(|end| end.unwrap_or_else(|cause| resume_unwind(cause)));
            taken
        })
    }
}

/// Where results lie until they are taken.
struct Desk<R> {
    state: Mutex<State<R>>,
    /// The result that is waited for is there.
    laid: Condvar,
    /// There may be room again.
    freed: Condvar,
    room: usize,
}

struct State<R> {
    /// Results by their place, with what they weigh.
    ready: BTreeMap<usize, (R, usize)>,
    weight: usize,
    /// How many were begun, and how many were taken.
    begun: usize,
    taken: usize,
    /// Somebody gave up.
    is_over: bool,
}

impl<R> Default for State<R> {
    fn default() -> Self {
        Self { ready: BTreeMap::new(), weight: 0, begun: 0, taken: 0, is_over: false }
    }
}

impl<R> Desk<R> {
    /// The next to be worked on, once there is room; `None` where there is nothing more to do.
    fn begin<'a, T>(&self, many: &'a [T]) -> Option<(usize, &'a T)> {
        // The one that is waited for has room, however full it is.
        let is_full = |state: &mut State<R>| {
            !state.is_over && state.weight >= self.room && state.begun > state.taken
        };
        let mut state = self.wait(&self.freed, is_full);
        let place = state.begun;
        let one = many.get(place).filter(|_| !state.is_over)?;
        state.begun += 1;
        Some((place, one))
    }

    fn lay(&self, place: usize, (result, weight): (R, usize)) {
        let mut state = lock(&self.state);
        state.weight += weight;
        state.ready.insert(place, (result, weight));
        // There is one who takes, and any other result is not the next.
        if place == state.taken {
            self.laid.notify_one();
        }
    }

    /// The next result of `many`.
    fn take(&self, many: usize) -> Option<R> {
        let is_missing = |state: &mut State<R>| {
            !state.is_over && state.taken < many && !state.ready.contains_key(&state.taken)
        };
        let mut state = self.wait(&self.laid, is_missing);
        let place = state.taken;
        let was_full = state.weight >= self.room;
        let (result, weight) = state.ready.remove(&place)?;
        state.weight -= weight;
        state.taken += 1;
        if was_full {
            self.freed.notify_all();
        }
        Some(result)
    }

    fn wait(
        &self,
        until: &Condvar,
        condition: impl FnMut(&mut State<R>) -> bool,
    ) -> MutexGuard<'_, State<R>> {
        let waited = until.wait_while(lock(&self.state), condition);
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the others when somebody leaves: whoever takes results wants no more, and of one who panicked no
/// more will come.
struct Leaving<'a, R> {
    desk: &'a Desk<R>,
    is_taker: bool,
}

impl<R> Drop for Leaving<'_, R> {
    fn drop(&mut self) {
        lock(&self.desk.state).is_over |= self.is_taker || std::thread::panicking();
        self.desk.laid.notify_all();
        self.desk.freed.notify_all();
    }
}
