//! Real vaults, of which an independent reader of Markdown says what is in them: `manifest.json`.
//!
//! They lie beside the crate, or where `EVERLEAF_SHARED` says; without them these tests do nothing. The
//! bucket through which they go, and that is behind the hub, is one of this process, or that which the
//! environment names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use everleaf::{
    event::{RemoteName, RemoteOptions},
    folder::{ExportOptions, ImportOptions, ImportedImages, Missing, export, import},
    hub,
    id::ImageId,
    image::recognise,
    loopback::Loopback,
    note::{Body, Piece, markdown::destinations},
    remote::{Key, Prefix, Remote, RemoteExt as _, Requests, S3Options, open},
    vault::{SyncOptions, SyncReport, Vault},
};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    outside::{self, Tally},
    stores,
    world::Device,
};

/// The folder of the vaults, and what is said of them.
fn vaults() -> Option<(PathBuf, Value)> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared").into();
    let shared = std::env::var_os("EVERLEAF_SHARED").map_or(beside, PathBuf::from);
    let folder = shared.join("vaults");
    let Ok(manifest) = fs::read(folder.join("manifest.json")) else {
        eprintln!("left out: there are no vaults in {}", folder.display());
        return None;
    };
    Some((folder, serde_json::from_slice(&manifest).unwrap()))
}

/// What the manifest says of one vault.
struct Told<'a> {
    notes: &'a [Value],
    files: &'a Value,
    totals: &'a Value,
}

impl<'a> Told<'a> {
    fn of(manifest: &'a Value, name: &str) -> Self {
        let vault = &manifest["vaults"][name];
        let notes = vault["notes"].as_array().unwrap();
        Self { notes, files: &vault["files"], totals: &vault["totals"] }
    }

    /// The images of each note, by its path and in order.
    fn references(&self) -> BTreeMap<String, Vec<String>> {
        let references = |note: &Value| {
            let images = note["images"].as_array().unwrap().iter();
            let found = images.filter_map(|image| image["target"]["blake3"].as_str());
            (note["path"].as_str().unwrap().to_owned(), found.map(str::to_owned).collect())
        };
        self.notes.iter().map(references).collect()
    }

    /// The files that an export has to bring back, with their hashes.
    fn exported(&self) -> BTreeMap<String, String> {
        let images = self.notes.iter().flat_map(|note| note["images"].as_array().unwrap());
        let paths = images.filter_map(|image| image["resolved"].as_str());
        let paths = paths.chain(self.notes.iter().map(|note| note["path"].as_str().unwrap()));
        let hash = |path: &str| self.files[path]["blake3"].as_str().unwrap().to_owned();
        paths.map(|path| (path.to_owned(), hash(path))).collect()
    }

    /// The notes and destinations of images that are not there, and what they may mean.
    fn missing(&self) -> BTreeSet<(String, String, Option<String>)> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut missing = BTreeSet::new();
        for note in self.notes {
            for image in note["images"].as_array().unwrap() {
                if image["class"] == "local" && image["resolved"].is_null() {
                    let (note, destination) = (text(&note["path"]), text(&image["dest"]));
                    let hint = text(&image["lenient"]["path"]);
                    missing.insert((note.unwrap(), destination.unwrap(), hint));
                }
            }
        }
        missing
    }

    fn images(&self) -> ImportedImages {
        let strict = &self.totals["images_referenced_strict"];
        ImportedImages {
            references: self.number("resolved_image_references"),
            distinct: strict["distinct"].as_u64().unwrap(),
            bytes_referenced: strict["bytes"].as_u64().unwrap(),
            bytes_stored: strict["distinct_bytes"].as_u64().unwrap(),
        }
    }

    fn number(&self, name: &str) -> u64 {
        self.totals.get(name).map_or(0, |number| number.as_u64().unwrap())
    }
}

/// The images that a body shows, as often as it does and in that order.
fn references(body: &Body) -> Vec<String> {
    let source = body.source();
    let (mut at, mut embeds) = (0, BTreeMap::new());
    for piece in body.pieces() {
        match piece {
            Piece::Text(text) => at += text.len(),
            Piece::Embed(embed) => {
                embeds.insert(at, embed.image);
                at += embed.name.len();
            }
            Piece::Foreign => panic!("nothing foreign was imported"),
        }
    }
    let mut shown = Vec::new();
    for destination in destinations(&source) {
        if let Some(image) = embeds.remove(&destination.range.start) {
            shown.extend(destination.uses.iter().map(|one| (one.start, image)));
        }
    }
    assert!(embeds.is_empty(), "an embed stands in no image");
    shown.sort_by_key(|(start, _)| *start);
    shown.into_iter().map(|(_, image)| image.to_string()).collect()
}

/// The references of every note, by its path.
fn all_references(vault: &Vault) -> BTreeMap<String, Vec<String>> {
    let rows = vault.list().unwrap().into_iter();
    rows.map(|row| (row.path.unwrap(), references(&vault.read(row.note, None).unwrap().body)))
        .collect()
}

/// Every file of a folder that is not hidden, with its hash.
pub(crate) fn hashes(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(folder).unwrap().to_str().unwrap();
        if entry.file_type().is_file() && !path.starts_with('.') {
            let hash = blake3::hash(&fs::read(entry.path()).unwrap()).to_hex().to_string();
            files.insert(path.to_owned(), hash);
        }
    }
    files
}

pub(crate) fn export_of(device: &Device, name: &str) -> BTreeMap<String, String> {
    let folder = device.folder.path().join(name);
    let report = export(device.vault(), &folder, &ExportOptions::default(), &|_| ()).unwrap();
    assert_eq!((report.skipped, report.missing), (vec![], vec![]));
    assert_eq!(report.renamed, vec![]);
    hashes(&folder)
}

/// Takes the vault of `first` to a new device, and gives that.
async fn joined(name: &str, seed: u64, first: &Device, remote: &Meeting) -> Device {
    let device = Device::join(name, seed, first);
    remote.add(&device).await;
    remote.sync(&device).await;
    device
}

/// Where devices meet.
struct Meeting {
    name: RemoteName,
    options: RemoteOptions,
    remote: Arc<dyn Remote>,
}

impl Meeting {
    async fn add(&self, device: &Device) {
        let (name, options) = (self.name.clone(), self.options.clone());
        device.vault().add_remote(name, options, Arc::clone(&self.remote)).await.unwrap();
    }

    async fn sync(&self, device: &Device) -> SyncReport {
        let (remote, options) = (Arc::clone(&self.remote), SyncOptions::default());
        let report = device.vault().sync(&self.name, remote, &options, &|_| ()).await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!((report.uploaded.failed, report.uploaded.blocked), (0, 0));
        report
    }

    /// That a sync of what is synced asks one thing, and that nothing happens.
    async fn idle(&self, device: &Device) {
        let last = *device.vault().follow().borrow();
        let requests = self.sync(device).await.requests;
        assert_eq!(requests, Requests { head: 1, ..Requests::default() });
        assert_eq!(*device.vault().follow().borrow(), last);
    }
}

fn imported(path: &Path, told: &Told<'_>) -> Device {
    let device = Device::new("laptop", 1);
    let vault = device.vault();
    let options = ImportOptions::default();
    let report = import(vault, path, &options, &|_| ()).unwrap();
    assert_eq!(report.skipped, vec![]);
    assert_eq!(report.notes, told.number("notes"));
    assert_eq!(report.changed, report.notes);
    assert_eq!(report.images, told.images());
    let references: u64 = all_references(vault).values().map(|images| images.len() as u64).sum();
    assert_eq!(references, told.images().references);
    assert_eq!(all_references(vault), told.references());

    let last = *vault.follow().borrow();
    let again = import(vault, path, &options, &|_| ()).unwrap();
    assert_eq!((again.changed, again.images), (0, report.images));
    assert_eq!(again.missing, report.missing);
    assert_eq!(missing(report.missing), told.missing());
    assert_eq!(*vault.follow().borrow(), last);
    device
}

fn missing(missing: Vec<Missing>) -> BTreeSet<(String, String, Option<String>)> {
    missing.into_iter().map(|one| (one.note, one.destination, one.hint)).collect()
}

#[test]
fn every_vault_comes_in_as_the_manifest_says_and_goes_out_byte_for_byte() {
    let Some((folder, manifest)) = vaults() else { return };
    for name in manifest["vaults"].as_object().unwrap().keys() {
        let told = Told::of(&manifest, name);
        let device = imported(&folder.join(name), &told);
        assert_eq!(export_of(&device, "export"), told.exported(), "{name}");
        // What was exported says the same, and comes in as nothing new.
        let export = device.folder.path().join("export");
        let last = *device.vault().follow().borrow();
        let again = import(device.vault(), &export, &ImportOptions::default(), &|_| ()).unwrap();
        assert_eq!((again.notes, again.changed), (told.number("notes"), 0));
        assert_eq!(again.images, told.images());
        assert_eq!(*device.vault().follow().borrow(), last);
    }
}

/// In a copy, since nothing is to be written beside what others made.
#[test]
fn a_vault_that_is_adopted_is_as_it_was() {
    let Some((folder, manifest)) = vaults() else { return };
    for name in manifest["vaults"].as_object().unwrap().keys() {
        let told = Told::of(&manifest, name);
        let device = Device::new("laptop", 1);
        let copy = device.folder.path().join(name);
        copy_all(&folder.join(name), &copy);
        let before = hashes(&copy);
        let options = ImportOptions::default();
        import(device.vault(), &copy, &options, &|_| ()).unwrap();
        let options = ExportOptions { adopt: true, ..ExportOptions::default() };
        let report = export(device.vault(), &copy, &options, &|_| ()).unwrap();
        assert_eq!((report.notes, report.written), (told.notes.len() as u64, 0), "{name}");
        assert_eq!((report.renamed, report.skipped), (vec![], vec![]), "{name}");
        assert_eq!(hashes(&copy), before, "{name}");
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let there = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_all(&entry.path(), &there);
        } else if kind.is_file() {
            fs::copy(entry.path(), there).unwrap();
        }
    }
}

#[test]
fn a_lenient_import_finds_what_others_find_and_keeps_every_byte() {
    let Some((folder, manifest)) = vaults() else { return };
    for name in manifest["vaults"].as_object().unwrap().keys() {
        let told = Told::of(&manifest, name);
        let (strict, all) =
            (&told.totals["images_referenced_strict"], &told.totals["images_referenced_lenient"]);
        if strict == all {
            continue;
        }
        let device = Device::new("laptop", 1);
        let options = ImportOptions { lenient: true, ..ImportOptions::default() };
        let report = import(device.vault(), &folder.join(name), &options, &|_| ()).unwrap();
        assert_eq!(report.images.distinct, all["distinct"].as_u64().unwrap(), "{name}");
        assert_eq!(report.images.bytes_referenced, all["bytes"].as_u64().unwrap(), "{name}");
        assert_eq!(report.images.bytes_stored, all["distinct_bytes"].as_u64().unwrap(), "{name}");
        let exported = export_of(&device, "export");
        assert!(told.exported().iter().all(|(path, hash)| exported.get(path) == Some(hash)));
    }
}

/// All vaults at once: each waits for its own store and disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_vault_reaches_other_devices_through_a_bucket_a_folder_and_a_hub() {
    let Some((folder, manifest)) = vaults() else { return };
    let manifest = Arc::new(manifest);
    let mut running = JoinSet::new();
    for name in manifest["vaults"].as_object().unwrap().keys() {
        let (path, manifest, name) = (folder.join(name), Arc::clone(&manifest), name.clone());
        running.spawn(async move {
            reaches_other_devices(&path, &Told::of(&manifest, &name), &name).await;
        });
    }
    while let Some(ran) = running.join_next().await {
        ran.unwrap();
    }
}

async fn reaches_other_devices(path: &Path, told: &Told<'_>, name: &str) {
    let laptop = imported(path, told);
    let (_store, options, s3) = a_bucket(&laptop).await;
    let tally = Arc::new(Tally::open(s3.clone()).await);
    let remote = Arc::clone(&tally) as _;
    let bucket = Meeting { name: "bucket".parse().unwrap(), options, remote };
    bucket.add(&laptop).await;
    let report = bucket.sync(&laptop).await;
    assert_eq!(report.uploaded.images, told.images().distinct);
    bucket.idle(&laptop).await;
    let phone = joined("phone", 2, &laptop, &bucket).await;
    bucket.idle(&phone).await;
    assert_eq!(export_of(&phone, "export"), told.exported(), "{name}");
    let images = check_images(&*tally, told, name).await;
    let once = stores::names(&images).map(|name| (name, 1)).collect();
    assert_eq!(tally.images(), once, "{name}");
    stores::finds(&s3, images).await;
    phone.check();

    let disk = tempfile::tempdir().unwrap();
    let url = format!("dir:{}", disk.path().display());
    let options = RemoteOptions { url, ..RemoteOptions::default() };
    let remote = open(&options, laptop.vault().key()).await.unwrap();
    let disk = Meeting { name: "disk".parse().unwrap(), options, remote };
    disk.add(&phone).await;
    disk.sync(&phone).await;
    disk.idle(&phone).await;
    let tablet = joined("tablet", 3, &phone, &disk).await;
    disk.idle(&tablet).await;
    assert_eq!(export_of(&tablet, "export"), told.exported(), "{name}");

    // Before the bucket that has the vault already, under a prefix of its own.
    let serving = crate::hub::serve(hub::Bucket::open(s3).await.unwrap()).await;
    let options = RemoteOptions { url: serving.url(""), ..RemoteOptions::default() };
    let remote = open(&options, tablet.vault().key()).await.unwrap();
    let hub = Meeting { name: "hub".parse().unwrap(), options, remote };
    hub.add(&tablet).await;
    hub.sync(&tablet).await;
    hub.idle(&tablet).await;
    let desktop = joined("desktop", 4, &tablet, &hub).await;
    hub.idle(&desktop).await;
    assert_eq!(export_of(&desktop, "export"), told.exported(), "{name}");
    check_images(&*hub.remote, told, name).await;
    let mut found = desktop.vault().verify().unwrap();
    let (vault, remote) = (desktop.vault(), &*hub.remote);
    vault.verify_remote(&hub.name, remote, false, &mut found).await.unwrap();
    vault.verify_remote_images(&hub.name, remote, false, &mut found).await.unwrap();
    assert_eq!(found.findings, Vec::new(), "{name}");
}

/// An empty bucket: that which the environment names, else one in this process.
async fn a_bucket(device: &Device) -> (Option<Loopback>, RemoteOptions, S3Options) {
    let (store, s3, public_url) = if let Some(s3) = outside::options("acceptance") {
        (None, s3, "http://pictures.example".to_owned())
    } else {
        let store = Loopback::start(Arc::clone(&device.clock) as _).await.unwrap();
        store.set_public(true);
        let (s3, public_url) = (store.s3_options(""), store.public_url());
        (Some(store), s3, public_url)
    };
    let url = format!("s3://{}", s3.bucket);
    let options = RemoteOptions { url, public_url: Some(public_url), ..RemoteOptions::default() };
    (store, options, s3)
}

/// Each image is there once, under the hash of its bytes, as what it is.
async fn check_images(remote: &dyn Remote, told: &Told<'_>, name: &str) -> stores::Images {
    let (mut images, mut found) = (BTreeSet::new(), stores::Images::new());
    for listed in remote.list_all(&Prefix::Images, None).await.unwrap() {
        let Key::Image { image, media_type } = listed.key else { panic!("{}", listed.key) };
        let bytes = remote.get_bytes(&listed.key, listed.size).await.unwrap();
        assert_eq!(bytes.len() as u64, listed.size);
        assert_eq!(ImageId::from_bytes(*blake3::hash(&bytes).as_bytes()), image);
        assert_eq!(recognise(&bytes), Some(media_type));
        let meta = remote.head(&listed.key).await.unwrap().unwrap();
        assert_eq!(meta.media_type.as_deref(), Some(media_type.mime()));
        assert!(images.insert(image.to_string()), "{image} is there twice");
        found.insert(image, (media_type, listed.size));
    }
    let expected: BTreeSet<String> = told.references().into_values().flatten().collect();
    assert_eq!(images, expected, "{name}");
    found
}
