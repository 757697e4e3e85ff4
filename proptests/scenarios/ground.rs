//! Where the scenarios take place: in a bucket of this process, or of a store that others wrote.

use std::sync::Arc;

use everleaf::{
    clock::SystemClock,
    loopback::{Loopback, Trouble},
    remote::{Failure, Fault, Faulty, Remote, S3},
};

use crate::outside::{self, Tally};

/// A bucket that can be made to fail, and that knows how often its images were written.
pub(super) enum Ground {
    Inside(Loopback),
    /// No store that others wrote fails when it is told to, so what stands before it does.
    Outside {
        faulty: Arc<Faulty>,
        tally: Arc<Tally>,
    },
}

impl Ground {
    /// The store that the environment names, else one in this process; and the remote that it is.
    pub(super) async fn find() -> (Self, Arc<dyn Remote>) {
        // One attempt each, so that the retries are everleaf's own.
        if let Some(mut options) = outside::options("scenario") {
            options.attempts = 1;
            let tally = Arc::new(Tally::open(options).await);
            let faulty = Arc::new(Faulty::new(Arc::clone(&tally) as _));
            let remote: Arc<dyn Remote> = Arc::clone(&faulty) as _;
            return (Self::Outside { faulty, tally }, remote);
        }
        let server = Loopback::start(Arc::new(SystemClock)).await.unwrap();
        server.set_public(true);
        let mut options = server.s3_options("");
        options.attempts = 1;
        let remote = Arc::new(S3::open(options).await.unwrap());
        (Self::Inside(server), remote)
    }

    pub(super) fn public_url(&self) -> String {
        match self {
            Self::Inside(server) => server.public_url(),
            Self::Outside { .. } => "http://pictures.example".to_owned(),
        }
    }

    pub(super) fn fail(&self, fault: Fault<Trouble>) {
        match self {
            Self::Inside(server) => server.fail(fault),
            Self::Outside { faulty, .. } => faulty.fail(Fault {
                call: fault.call,
                prefix: fault.prefix,
                skip: fault.skip,
                times: fault.times,
                failure: failure(fault.failure),
                after_effect: fault.after_effect,
            }),
        }
    }

    pub(super) fn heal(&self) {
        match self {
            Self::Inside(server) => server.heal(),
            Self::Outside { faulty, .. } => faulty.heal(),
        }
    }

    /// How often each object under `images/` was written.
    pub(super) fn image_puts(&self) -> Vec<u64> {
        match self {
            Self::Inside(server) => {
                let objects = server.objects();
                let images = objects.iter().filter(|(name, _)| name.starts_with("images/"));
                images.map(|(name, _)| server.puts(name)).collect()
            }
            Self::Outside { tally, .. } => tally.images().into_values().collect(),
        }
    }
}

/// What everleaf makes of a trouble.
fn failure(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Drop => Failure::Offline,
        Trouble::Answer { status: 403, .. } => Failure::Denied,
        Trouble::Answer { .. } => Failure::Busy,
    }
}
