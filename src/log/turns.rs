//! Whose turn it is to write.
//!
//! Whoever asks while nobody writes has the turn, and does what all ask for that wait by then. When it
//! is done, the turn goes to the first of those who came meanwhile. So one alone waits for no other
//! thread, and many share the work of one.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
};

/// How many requests are served in one turn at most.
const GROUP: usize = 256;

/// Requests, and who serves them.
pub(super) struct Turns<R>(Mutex<State<R>>);

struct State<R> {
    waiting: VecDeque<Waiting<R>>,
    /// Whether somebody has the turn.
    is_taken: bool,
}

struct Waiting<R> {
    request: R,
    tell: SyncSender<Told>,
}

enum Told {
    /// It was served.
    Served,
    /// The turn is yours.
    Turn,
}

impl<R> Default for Turns<R> {
    fn default() -> Self {
        Self(Mutex::new(State { waiting: VecDeque::new(), is_taken: false }))
    }
}

impl<R> Turns<R> {
    /// Has `request` served: by `serve`, with others that wait, or by the `serve` of another thread.
    pub(super) fn take(&self, request: R, serve: impl FnOnce(Vec<R>)) {
        let (tell, told) = sync_channel(1);
        let was_taken = {
            let mut state = self.state();
            state.waiting.push_back(Waiting { request, tell });
            std::mem::replace(&mut state.is_taken, true)
        };
        // Where whoever was to serve it panicked, nobody is left to say anything.
        if was_taken && !matches!(told.recv(), Ok(Told::Turn)) {
            return;
        }
        let turn = Turn(self);
        let (requests, served) = turn.group();
        serve(requests);
        for tell in served {
            let _ = tell.send(Told::Served);
        }
    }

    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn, which goes to the next where it is dropped: in a panic too.
struct Turn<'a, R>(&'a Turns<R>);

impl<R> Turn<'_, R> {
    /// Those that wait now, the one whose turn it is among them.
    fn group(&self) -> (Vec<R>, Vec<SyncSender<Told>>) {
        let mut state = self.0.state();
        let many = state.waiting.len().min(GROUP);
        state.waiting.drain(..many).map(|one| (one.request, one.tell)).unzip()
    }
}

impl<R> Drop for Turn<'_, R> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        match state.waiting.front() {
            // It waits for nothing else.
            Some(next) => {
                let _ = next.tell.send(Told::Turn);
            }
            None => state.is_taken = false,
        }
    }
}
