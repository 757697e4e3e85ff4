//! Real vaults, of which an independent reader of Markdown says what is in them: `manifest.json`.
//!
//! They lie beside the crate, or where `EVERLEAF_SHARED` says; without them these tests do nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use everleaf::{
    event::RemoteOptions,
    folder::{ExportOptions, ImportOptions, ImportedImages, export, import},
    id::ImageId,
    image::recognise,
    loopback::Loopback,
    note::{Body, Piece, markdown::destinations},
    remote::{Remote, S3, open},
    vault::Vault,
};
use serde_json::Value;

use crate::world::{Device, origin};

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

async fn joined(name: &str, seed: u64, first: &Device, options: &RemoteOptions) -> Device {
    let device = Device::join(name, seed, first);
    let remote = open(options).await.unwrap();
    device.vault().add_remote(origin(), options.clone(), remote).await.unwrap();
    device
}

/// Puts a device and another one through a remote, and gives what the second one's export is.
async fn through(
    remote: Arc<dyn Remote>,
    first: &Device,
    second: &Device,
) -> BTreeMap<String, String> {
    let pushed = first.sync(&remote).await;
    assert_eq!((pushed.uploaded.failed, pushed.uploaded.blocked), (0, 0));
    second.sync(&remote).await;
    // What the first sync of the second brought up, if anything, comes back.
    first.sync(&remote).await;
    for device in [first, second] {
        let last = *device.vault().follow().borrow();
        let idle = device.sync(&remote).await;
        let expected = everleaf::remote::Requests { head: 1, ..Default::default() };
        assert_eq!(idle.requests, expected);
        assert_eq!(*device.vault().follow().borrow(), last);
    }
    export_of(second, "export")
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
    assert_eq!(*vault.follow().borrow(), last);
    device
}

#[test]
fn every_vault_comes_in_as_the_manifest_says_and_goes_out_byte_for_byte() {
    let Some((folder, manifest)) = vaults() else { return };
    let mut broken = 0;
    for name in manifest["vaults"].as_object().unwrap().keys() {
        let told = Told::of(&manifest, name);
        let device = imported(&folder.join(name), &told);
        assert_eq!(export_of(&device, "export"), told.exported(), "{name}");
        // What was exported says the same, and comes in as nothing new.
        let export = device.folder.path().join("export");
        let last = *device.vault().follow().borrow();
        let again = import(device.vault(), &export, &ImportOptions::default(), &|_| ()).unwrap();
        assert_eq!(
            (again.notes, again.changed, again.images),
            (told.number("notes"), 0, told.images())
        );
        assert_eq!(*device.vault().follow().borrow(), last);
        device.check();
        broken += told.number("local_broken");
        let lenient = Device::new("phone", 2);
        let report =
            import(lenient.vault(), &folder.join(name), &ImportOptions { lenient: true }, &|_| ())
                .unwrap();
        let all = &told.totals["images_referenced_lenient"];
        assert_eq!(report.images.distinct, all["distinct"].as_u64().unwrap(), "{name}");
        assert_eq!(report.images.bytes_referenced, all["bytes"].as_u64().unwrap(), "{name}");
        let exported = export_of(&lenient, "export");
        assert!(told.exported().iter().all(|(path, hash)| exported.get(path) == Some(hash)));
    }
    assert_eq!(broken, manifest["totals"]["local_broken"].as_u64().unwrap());
}

#[test]
fn what_stays_text_is_reported_with_what_it_may_mean() {
    let Some((folder, manifest)) = vaults() else { return };
    for name in manifest["vaults"].as_object().unwrap().keys() {
        let told = Told::of(&manifest, name);
        let device = Device::new("laptop", 1);
        let options = ImportOptions::default();
        let report = import(device.vault(), &folder.join(name), &options, &|_| ()).unwrap();
        let found: BTreeSet<_> = report
            .missing
            .into_iter()
            .map(|missing| (missing.note, missing.destination, missing.hint))
            .collect();
        let mut expected = BTreeSet::new();
        for note in told.notes {
            for image in note["images"].as_array().unwrap() {
                if image["class"] == "local" && image["resolved"].is_null() {
                    let text = |value: &Value| value.as_str().map(str::to_owned);
                    let hint = text(&image["lenient"]["path"]);
                    let (note, dest) = (text(&note["path"]), text(&image["dest"]));
                    expected.insert((note.unwrap(), dest.unwrap(), hint));
                }
            }
        }
        assert_eq!(found, expected, "{name}");
    }
}

#[tokio::test]
async fn every_vault_reaches_another_device_through_a_folder() {
    let Some((folder, manifest)) = vaults() else { return };
    for name in manifest["vaults"].as_object().unwrap().keys() {
        let told = Told::of(&manifest, name);
        let laptop = imported(&folder.join(name), &told);
        let shared = tempfile::tempdir().unwrap();
        let url = format!("dir:{}", shared.path().display());
        let options = RemoteOptions { url, ..RemoteOptions::default() };
        let remote = open(&options).await.unwrap();
        laptop.vault().add_remote(origin(), options.clone(), Arc::clone(&remote)).await.unwrap();
        laptop.sync(&remote).await;
        let phone = joined("phone", 2, &laptop, &options).await;
        assert_eq!(through(remote, &laptop, &phone).await, told.exported(), "{name}");
        phone.check();
    }
}

#[tokio::test]
async fn every_vault_reaches_another_device_through_a_bucket() {
    let Some((folder, manifest)) = vaults() else { return };
    for name in manifest["vaults"].as_object().unwrap().keys() {
        let told = Told::of(&manifest, name);
        let laptop = imported(&folder.join(name), &told);
        let store = Loopback::start(Arc::clone(&laptop.clock) as _).await.unwrap();
        store.set_public(true);
        let remote: Arc<dyn Remote> = Arc::new(S3::open(store.s3_options("")).await.unwrap());
        laptop.add_public(&remote, Some(&store.public_url())).await;
        let report = laptop.sync(&remote).await;
        assert_eq!(report.uploaded.images, told.images().distinct);
        let phone = Device::join("phone", 2, &laptop);
        phone.add_public(&remote, Some(&store.public_url())).await;
        assert_eq!(through(remote, &laptop, &phone).await, told.exported(), "{name}");
        check_images(&store, &told, name);
        laptop.check();
        phone.check();
    }
}

/// Each image is there once, under the hash of its bytes, as what it is.
fn check_images(store: &Loopback, told: &Told<'_>, name: &str) {
    let mut images = BTreeSet::new();
    for (key, object) in store.objects() {
        let Some(file) = key.strip_prefix("images/") else { continue };
        let (hex, extension) = file.split_once('.').unwrap();
        let image = ImageId::from_bytes(*blake3::hash(&object.bytes).as_bytes());
        assert_eq!(image.to_string(), hex);
        let media_type = recognise(&object.bytes).unwrap();
        assert_eq!(media_type.extension(), extension);
        assert_eq!(object.media_type.as_deref(), Some(media_type.mime()));
        assert_eq!(store.puts(&key), 1, "{key}");
        images.insert(hex.to_owned());
    }
    let expected: BTreeSet<String> = told.references().into_values().flatten().collect();
    assert_eq!(images, expected, "{name}");
}
