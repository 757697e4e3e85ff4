//! Where the scenarios take place: in a bucket of this process or of a store that others wrote, or on a
//! hub before one.

use std::sync::Arc;

use everleaf::{
    clock::SystemClock,
    hub,
    loopback::{Loopback, Trouble},
    remote::{Failure, Fault, Faulty, Hub, HubOptions, Remote, S3, S3Options, hub_public_url},
    seal::VaultKey,
};

use crate::{
    hub::{Serving, serve},
    outside::{self, Tally},
};

/// An empty bucket.
pub(super) struct Bucket {
    options: S3Options,
    inside: Option<Loopback>,
}

impl Bucket {
    /// In the store that the environment names, else in one in this process.
    pub(super) async fn find() -> Self {
        let (mut options, inside) = if let Some(options) = outside::options("scenario") {
            (options, None)
        } else {
            let server = Loopback::start(Arc::new(SystemClock)).await.unwrap();
            server.set_public(true);
            (server.s3_options(""), Some(server))
        };
        // One attempt each, so that the retries are everleaf's own.
        options.attempts = 1;
        Self { options, inside }
    }
}

/// A remote that can be made to fail, and that knows how often its images were written.
pub(super) struct Ground {
    pub(super) public_url: String,
    bucket: Bucket,
    before: Option<Before>,
    _hub: Option<Serving>,
}

/// What fails when it is told to, before a remote that does not: a hub, or a store that others wrote.
struct Before {
    faulty: Arc<Faulty>,
    tally: Arc<Tally>,
}

impl Before {
    fn new(remote: impl Remote + 'static) -> (Self, Arc<dyn Remote>) {
        let tally = Arc::new(Tally::new(Arc::new(remote)));
        let faulty = Arc::new(Faulty::new(Arc::clone(&tally) as _));
        (Self { faulty: Arc::clone(&faulty), tally }, faulty)
    }
}

impl Ground {
    pub(super) async fn in_a_bucket(bucket: Bucket) -> (Self, Arc<dyn Remote>) {
        let remote = S3::open(bucket.options.clone()).await.unwrap();
        if let Some(server) = &bucket.inside {
            let public_url = server.public_url();
            return (Self { public_url, bucket, before: None, _hub: None }, Arc::new(remote));
        }
        let (before, remote) = Before::new(remote);
        let public_url = "http://pictures.example".to_owned();
        (Self { public_url, bucket, before: Some(before), _hub: None }, remote)
    }

    /// On a hub that keeps what it is given in the bucket.
    pub(super) async fn behind_a_hub(bucket: Bucket, key: &VaultKey) -> (Self, Arc<dyn Remote>) {
        let hub = serve(hub::Bucket::open(bucket.options.clone()).await.unwrap()).await;
        let remote = Hub::open(HubOptions::new(vec![hub.url("")], key)).unwrap();
        let (before, remote) = Before::new(remote);
        let public_url = hub_public_url(&hub.url(""), key.vault_id());
        (Self { public_url, bucket, before: Some(before), _hub: Some(hub) }, remote)
    }

    pub(super) fn fail(&self, fault: Fault<Trouble>) {
        match (&self.before, &self.bucket.inside) {
            (Some(before), _) => before.faulty.fail(Fault {
                call: fault.call,
                prefix: fault.prefix,
                skip: fault.skip,
                times: fault.times,
                failure: failure(fault.failure),
                after_effect: fault.after_effect,
            }),
            (None, inside) => inside.as_ref().unwrap().fail(fault),
        }
    }

    pub(super) fn heal(&self) {
        match (&self.before, &self.bucket.inside) {
            (Some(before), _) => before.faulty.heal(),
            (None, inside) => inside.as_ref().unwrap().heal(),
        }
    }

    /// How often each image was written.
    pub(super) fn image_puts(&self) -> Vec<u64> {
        if let Some(before) = &self.before {
            return before.tally.images().into_values().collect();
        }
        let server = self.bucket.inside.as_ref().unwrap();
        let objects = server.objects();
        let images = objects.iter().filter(|(name, _)| name.starts_with("images/"));
        images.map(|(name, _)| server.puts(name)).collect()
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
