//! Devices for tests: vaults in temporary folders, with clocks that stand still until they are moved.

use std::{path::PathBuf, sync::Arc, time::Duration};

use everleaf::{
    clock::{SimulatedClock, Timestamp},
    event::{RemoteName, RemoteOptions},
    id::NoteId,
    note::Body,
    remote::Remote,
    vault::{NewNote, Options, SyncOptions, SyncReport, Vault, VaultError},
};
use tempfile::TempDir;

/// A day in November 2026.
pub(crate) const NOW: Timestamp = Timestamp(1_795_000_000_000);

/// One device.
pub(crate) struct Device {
    pub(crate) vault: Option<Vault>,
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) folder: TempDir,
    seed: u64,
}

impl Device {
    /// The first device of a new vault.
    pub(crate) fn new(name: &str, seed: u64) -> Self {
        Self::create(name, seed, None)
    }

    /// Another device of the vault of `other`.
    pub(crate) fn join(name: &str, seed: u64, other: &Self) -> Self {
        Self::create(name, seed, Some(other))
    }

    /// One that has read all that is on the remote, too.
    pub(crate) async fn joined(
        name: &str,
        seed: u64,
        other: &Self,
        remote: &Arc<dyn Remote>,
    ) -> Self {
        let device = Self::join(name, seed, other);
        device.add(remote).await;
        device.sync(remote).await;
        device
    }

    fn create(name: &str, seed: u64, other: Option<&Self>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SimulatedClock::new(NOW, seed));
        let key = other.map(|other| other.vault().key().clone());
        let vault =
            Vault::create(&folder.path().join("vault"), name, key, options(&clock)).unwrap();
        Self { vault: Some(vault), clock, folder, seed }
    }

    pub(crate) fn vault(&self) -> &Vault {
        self.vault.as_ref().unwrap()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("vault")
    }

    /// Closes the vault and opens it again, as a new process would.
    pub(crate) fn reopen(&mut self) {
        self.try_reopen().unwrap();
    }

    pub(crate) fn try_reopen(&mut self) -> Result<(), VaultError> {
        self.vault = None;
        // Equal randomness in two openings would be two processes that are one.
        self.seed += 1000;
        let clock = SimulatedClock::new(everleaf::clock::Clock::now(&*self.clock), self.seed);
        self.clock = Arc::new(clock);
        self.vault = Some(Vault::open(&self.path(), options(&self.clock))?);
        Ok(())
    }

    /// A copy of this device as `cp -r` makes it; this one is closed for the time.
    pub(crate) fn copy(&mut self, seed: u64) -> Self {
        self.vault = None;
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&self.path(), &folder.path().join("vault"));
        self.reopen();
        let clock = Arc::new(SimulatedClock::new(NOW, seed));
        let vault = Vault::open(&folder.path().join("vault"), options(&clock)).unwrap();
        Self { vault: Some(vault), clock, folder, seed }
    }

    pub(crate) async fn add(&self, remote: &Arc<dyn Remote>) {
        self.add_public(remote, None).await;
    }

    pub(crate) async fn add_public(&self, remote: &Arc<dyn Remote>, public_url: Option<&str>) {
        let options = RemoteOptions {
            url: "memory".into(),
            public_url: public_url.map(str::to_owned),
            ..RemoteOptions::default()
        };
        self.vault().add_remote(origin(), options, Arc::clone(remote)).await.unwrap();
    }

    pub(crate) async fn sync(&self, remote: &Arc<dyn Remote>) -> SyncReport {
        let report = self.try_sync(remote).await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
        report
    }

    pub(crate) async fn try_sync(
        &self,
        remote: &Arc<dyn Remote>,
    ) -> Result<SyncReport, VaultError> {
        self.sync_with(remote, &SyncOptions::default()).await
    }

    pub(crate) async fn sync_with(
        &self,
        remote: &Arc<dyn Remote>,
        options: &SyncOptions,
    ) -> Result<SyncReport, VaultError> {
        self.vault().sync(&origin(), Arc::clone(remote), options, &|_| ()).await
    }

    pub(crate) fn note(&self, source: &str) -> NoteId {
        let folder = Some(self.folder.path().to_path_buf());
        let new = NewNote { source: source.into(), path: None, folder };
        self.vault().new_note(&new).unwrap()
    }

    /// Writes a file beside the vault.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn body(&self, note: NoteId) -> Body {
        self.vault().read(note, None).unwrap().body
    }

    pub(crate) fn source(&self, note: NoteId) -> String {
        self.body(note).source()
    }

    pub(crate) fn edit(&self, note: NoteId, change: impl FnOnce(String) -> String) {
        let reading = self.vault().read(note, None).unwrap();
        let source = change(reading.body.source());
        self.vault().edit(note, &reading.heads, &source, Some(self.folder.path())).unwrap();
    }

    /// Every note with its source, the trash too.
    pub(crate) fn sources(&self) -> Vec<(NoteId, bool, String)> {
        let list = self.vault().list().unwrap();
        list.iter().map(|row| (row.note, row.trashed, self.source(row.note))).collect()
    }

    /// That the vault agrees with its own log.
    pub(crate) fn check(&self) {
        let found = self.vault().verify().unwrap();
        assert_eq!(found.findings, Vec::new());
    }
}

pub(crate) fn options(clock: &Arc<SimulatedClock>) -> Options {
    // A program that another test starts has this one's locks for the moment before it is that program.
    let patience = Duration::from_secs(30);
    Options { clock: Arc::clone(clock) as _, patience, ..Options::default() }
}

pub(crate) fn origin() -> RemoteName {
    "origin".parse().unwrap()
}

pub(crate) fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
