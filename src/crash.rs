//! Places where a process may be killed: between the bytes and the event that names them, between an
//! event and its acknowledgement.
//!
//! A simulation lights a fuse that burns a step at each [`point`]. When it is spent, what lies on the
//! disk at that moment is copied; what the process goes on to do, nobody will hear of. Without the
//! feature `sim` a point is nothing.

/// A place where a process may be killed.
#[cfg(not(feature = "sim"))]
pub(crate) const fn point() {}

/// What a thread is to run.
#[cfg(not(feature = "sim"))]
pub(crate) const fn inherited<F>(run: F) -> F {
    run
}

#[cfg(feature = "sim")]
pub(crate) use self::fuse::{extinguish, inherited, is_spent, light, passed, point};

#[cfg(feature = "sim")]
mod fuse {
    use std::{
        cell::RefCell,
        sync::{Arc, Mutex, PoisonError},
    };

    /// What happens at the moment of death.
    type Death = Box<dyn FnOnce() + Send>;

    #[derive(Default)]
    enum Fuse {
        #[default]
        None,
        Lit(u64, Death),
        Spent,
    }

    /// A fuse, and how many points it has seen.
    #[derive(Default)]
    struct Watched {
        fuse: Fuse,
        passed: u64,
    }

    thread_local! {
        // Shared with the threads that inherit it, so that it can be lit after they were started.
        static FUSE: RefCell<Arc<Mutex<Watched>>> = RefCell::default();
    }

    fn with<T>(work: impl FnOnce(&mut Watched) -> T) -> T {
        let watched = FUSE.with(|fuse| Arc::clone(&fuse.borrow()));
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut watched)
    }

    /// A place where a process may be killed.
    pub(crate) fn point() {
        let death = with(|Watched { fuse, passed }| {
            *passed += 1;
            match std::mem::take(fuse) {
                Fuse::Lit(0, death) => {
                    *fuse = Fuse::Spent;
                    Some(death)
                }
                Fuse::Lit(left, death) => {
                    *fuse = Fuse::Lit(left - 1, death);
                    None
                }
                other => {
                    *fuse = other;
                    None
                }
            }
        });
        if let Some(death) = death {
            death();
        }
    }

    /// Has `death` happen at the point that comes after so many others.
    pub(crate) fn light(points: u64, death: Death) {
        with(|watched| watched.fuse = Fuse::Lit(points, death));
    }

    /// Whether death has come.
    pub(crate) fn is_spent() -> bool {
        with(|watched| matches!(watched.fuse, Fuse::Spent))
    }

    /// Puts the fuse out; whether it was spent.
    pub(crate) fn extinguish() -> bool {
        with(|watched| matches!(std::mem::take(&mut watched.fuse), Fuse::Spent))
    }

    /// How many points this thread and those that inherited its fuse have passed.
    pub(crate) fn passed() -> u64 {
        with(|watched| watched.passed)
    }

    /// What a thread is to run, with the fuse of the one that starts it.
    pub(crate) fn inherited<T>(run: impl FnOnce() -> T) -> impl FnOnce() -> T {
        let shared = FUSE.with(|fuse| Arc::clone(&fuse.borrow()));
        move || {
            FUSE.with(|fuse| *fuse.borrow_mut() = shared);
            run()
        }
    }
}
