//! The devices of the story, and the clock that all of them share.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Read as _,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{DemoError, io};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    event::{RemoteName, RemoteOptions},
    id::{ImageId, NoteId},
    loopback::Loopback,
    remote::{Location, Remote, S3},
    seal::VaultKey,
    vault::{NewNote, Options, SyncOptions, SyncReport, Vault, VaultError},
};

/// The machine's clock and randomness; but waiting takes no time, and moves it forward instead.
#[derive(Default)]
pub(super) struct Impatient(AtomicU64);

impl Impatient {
    pub(super) fn skip(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(millis, Ordering::Relaxed);
    }

    /// How long all the waiting would have taken.
    pub(super) fn skipped(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Impatient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Impatient({:?})", self.skipped())
    }
}

impl Clock for Impatient {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(self.skipped())
    }

    fn fill(&self, bytes: &mut [u8]) {
        SystemClock.fill(bytes);
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.skip(duration);
        Box::pin(tokio::task::yield_now())
    }
}

/// A note, as far as uploads have no business with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) trashed: bool,
    pub(super) source: String,
}

/// One device.
pub(super) struct Device {
    pub(super) name: &'static str,
    pub(super) vault: Vault,
    remote: Arc<dyn Remote>,
    folder: PathBuf,
    clock: Arc<Impatient>,
}

impl Device {
    /// Makes the vault of a device in a folder of its own under `home`, and tells it of the bucket.
    pub(super) async fn new(
        name: &'static str,
        key: Option<VaultKey>,
        home: &Path,
        store: &Loopback,
        clock: &Arc<Impatient>,
    ) -> Result<Self, DemoError> {
        let folder = home.join(name);
        let vault = Vault::create(&folder, name, key, options(clock))?;
        let connection = store.s3_options("");
        let remote: Arc<dyn Remote> = match S3::open(connection).await {
            Ok(remote) => Arc::new(remote),
            Err(source) => return Err(VaultError::Remote { remote: origin()?, source }.into()),
        };
        let location =
            Location::S3 { bucket: Loopback::bucket().to_owned(), prefix: String::new() };
        let described = RemoteOptions {
            url: location.to_string(),
            endpoint: Some(store.endpoint()),
            public_url: Some(store.public_url()),
            ..RemoteOptions::default()
        };
        vault.add_remote(origin()?, described, Arc::clone(&remote)).await?;
        Ok(Self { name, vault, remote, folder, clock: Arc::clone(clock) })
    }

    /// Closes the vault and opens it again, as a new process would.
    pub(super) fn restart(self) -> Result<Self, DemoError> {
        let Self { name, vault, remote, folder, clock } = self;
        drop(vault);
        let vault = Vault::open(&folder, options(&clock))?;
        Ok(Self { name, vault, remote, folder, clock })
    }

    /// Closes the vault and opens it with the machine's clock, by which a person can watch it.
    pub(super) fn wait_for_people(self) -> Result<Vault, DemoError> {
        let Self { vault, folder, .. } = self;
        drop(vault);
        Ok(Vault::open(&folder, Options::default())?)
    }

    pub(super) async fn sync(&self) -> Result<SyncReport, VaultError> {
        let name = origin()?;
        self.vault.sync(&name, Arc::clone(&self.remote), &SyncOptions::default(), &|_| ()).await
    }

    /// Makes a note whose images are files of `pictures`.
    pub(super) fn write(&self, source: &str, pictures: &Path) -> Result<NoteId, DemoError> {
        let folder = Some(pictures.to_path_buf());
        Ok(self.vault.new_note(&NewNote { source: source.to_owned(), path: None, folder })?)
    }

    /// Replaces one passage of a note.
    pub(super) fn edit(&self, note: NoteId, old: &str, new: &str) -> Result<(), DemoError> {
        let reading = self.vault.read(note, None)?;
        let source = reading.body.source().replacen(old, new, 1);
        self.vault.edit(note, &reading.heads, &source, None)?;
        Ok(())
    }

    pub(super) fn source(&self, note: NoteId) -> Result<String, DemoError> {
        Ok(self.vault.read(note, None)?.body.source())
    }

    /// What `everleaf show` prints.
    pub(super) fn shown(&self, note: NoteId) -> Result<String, DemoError> {
        Ok(self.vault.markdown(&self.vault.read(note, None)?)?)
    }

    /// Every note.
    pub(super) fn notes(&self) -> Result<BTreeMap<NoteId, Page>, DemoError> {
        let rows = self.vault.list()?.into_iter();
        rows.map(|row| {
            let page = Page { trashed: row.trashed, source: self.source(row.note)? };
            Ok((row.note, page))
        })
        .collect()
    }

    /// Every image that notes show, with its URL, and its bytes where they are here.
    pub(super) fn pictures(&self) -> Result<BTreeMap<ImageId, Picture>, DemoError> {
        let mut pictures = BTreeMap::new();
        for image in self.vault.image_list()? {
            let mut bytes = None;
            if image.local {
                let mut found = self.vault.images().verified(image.image, image.media_type);
                let file = found.as_mut().map(|found| (&mut found.file, found.path.clone()));
                let mut read = Vec::new();
                if let Ok((file, path)) = file {
                    file.read_to_end(&mut read).map_err(io("read", path))?;
                    bytes = Some(read);
                }
            }
            pictures.insert(image.image, Picture { url: image.url, bytes });
        }
        Ok(pictures)
    }

    /// How many images its notes show, repetitions included.
    pub(super) fn references(&self) -> Result<usize, DemoError> {
        let rows = self.vault.list()?.into_iter();
        rows.map(|row| Ok(self.vault.read(row.note, None)?.body.embeds().count())).sum()
    }

    /// How many image files this device has.
    pub(super) fn stored(&self) -> usize {
        self.vault.images().list().count()
    }

    /// The number of the last event.
    pub(super) fn last_event(&self) -> u64 {
        self.vault.follow().borrow().0
    }
}

/// An image as a device has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) url: Option<String>,
    pub(super) bytes: Option<Vec<u8>>,
}

/// Writes a picture, and gives its bytes.
pub(super) fn draw(folder: &Path, name: &str, hue: [u8; 3]) -> Result<Vec<u8>, DemoError> {
    let (path, bytes) = (folder.join(name), super::picture::png(hue));
    fs::write(&path, &bytes).map_err(io("write", path))?;
    Ok(bytes)
}

fn options(clock: &Arc<Impatient>) -> Options {
    Options { clock: Arc::clone(clock) as Arc<dyn Clock>, ..Options::default() }
}

fn origin() -> Result<RemoteName, VaultError> {
    Ok("origin".parse()?)
}
