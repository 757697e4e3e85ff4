//! What rclone, which knows nothing of everleaf, finds in a bucket.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, process::Command, sync::Arc};

use everleaf::{
    id::ImageId,
    image::MediaType,
    remote::{Key, Remote, S3Options},
};
use serde_json::Value;

use crate::{
    image::{png, samples},
    outside::{Tally, key, needed, variable},
    world::Device,
};

/// Images with what they are and how many bytes they have.
pub(crate) type Images = BTreeMap<ImageId, (MediaType, u64)>;

/// The names that these images have on a remote.
pub(crate) fn names(images: &Images) -> impl Iterator<Item = String> {
    images.iter().map(|(&image, &(media_type, _))| Key::Image { image, media_type }.to_string())
}

/// That a stranger finds these images and no others: as many, as large, as what they are, with the
/// bytes that their names say. `EVERLEAF_S3_RCLONE` is the path of his tool.
pub(crate) async fn finds(options: &S3Options, images: Images) {
    let Some(rclone) = variable("RCLONE") else {
        eprintln!("left out: EVERLEAF_S3_RCLONE names no rclone");
        return;
    };
    let place = format!(":s3:{}/{}/images", options.bucket, options.prefix);
    let stranger = Stranger { rclone, endpoint: options.endpoint.clone().unwrap(), place };
    tokio::task::spawn_blocking(move || stranger.finds(&images)).await.unwrap();
}

struct Stranger {
    rclone: String,
    endpoint: String,
    place: String,
}

impl Stranger {
    fn run(&self, arguments: &[&str]) -> String {
        let (id, secret) = key();
        let output = Command::new(&self.rclone)
            .args(["--config", "/dev/null", "--retries", "1"])
            .args(arguments)
            // rclone 1.60 fails where it is set.
            .env_remove("AWS_CA_BUNDLE")
            .env("RCLONE_S3_PROVIDER", "Other")
            .env("RCLONE_S3_ENDPOINT", &self.endpoint)
            .env("RCLONE_S3_REGION", variable("REGION").unwrap_or_else(|| "auto".to_owned()))
            .env("RCLONE_S3_ACCESS_KEY_ID", id)
            .env("RCLONE_S3_SECRET_ACCESS_KEY", secret)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn finds(&self, images: &Images) {
        let listed = self.run(&["lsjson", "--metadata", "--recursive", &self.place]);
        let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let mut expected = BTreeMap::new();
        for (image, (media_type, size)) in images {
            let name = format!("{image}.{}", media_type.extension());
            expected.insert(name, (*size, media_type.mime().to_owned()));
        }
        let mut found = BTreeMap::new();
        for object in &listed {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (size, name) = (object["Size"].as_u64().unwrap(), text(&object["Path"]));
            let cached = text(&object["Metadata"]["cache-control"]);
            assert_eq!(cached, "public, max-age=31536000, immutable", "{name}");
            assert_eq!(object["Metadata"]["content-type"], object["MimeType"], "{name}");
            found.insert(name, (size, text(&object["MimeType"])));
        }
        assert_eq!(found, expected);
        assert_eq!(listed.len(), expected.len());

        let copy = tempfile::tempdir().unwrap();
        let folder = copy.path().to_str().unwrap();
        self.run(&["copy", &self.place, folder]);
        assert_eq!(hashed(copy.path()), expected.into_keys().collect::<Vec<_>>());
        // By the hashes that the store itself gives, where it gives any.
        self.run(&["check", &self.place, folder]);
    }
}

/// The names that the files of a folder should have, by their bytes and what these are; in order.
fn hashed(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let bytes = std::fs::read(entry.path()).unwrap();
            let name = entry.file_name().into_string().unwrap();
            let media_type = everleaf::image::recognise(&bytes).unwrap();
            let hashed = format!("{}.{}", blake3::hash(&bytes).to_hex(), media_type.extension());
            assert_eq!(name, hashed);
            name
        })
        .collect();
    names.sort();
    names
}

/// One image of every kind, and one that goes in parts; each is shown by two notes under two names.
#[tokio::test]
async fn a_stranger_finds_every_image_once() {
    let Some(options) = needed("stranger") else { return };
    let mut files: Vec<(MediaType, Vec<u8>)> =
        samples().into_iter().map(|(media_type, bytes, ..)| (media_type, bytes)).collect();
    files.push((MediaType::Png, png(4000, 3000, &vec![7; 17 * 1024 * 1024])));
    files.push((MediaType::Png, png(400, 300, &vec![8; 3 * 1024 * 1024])));

    let laptop = Device::new("laptop", 1);
    let tally = Arc::new(Tally::open(options.clone()).await);
    let remote: Arc<dyn Remote> = Arc::clone(&tally) as _;
    laptop.add_public(&remote, Some("http://pictures.example")).await;
    let (mut images, mut sources) = (Images::new(), [String::new(), String::new()]);
    for (n, (media_type, bytes)) in files.iter().enumerate() {
        let image = ImageId::from_bytes(*blake3::hash(bytes).as_bytes());
        images.insert(image, (*media_type, bytes.len() as u64));
        for (source, start) in sources.iter_mut().zip(["bild-ä", "picture"]) {
            let name = format!("{start}{n}.{}", media_type.extension());
            laptop.file(&name, bytes);
            write!(source, "![{n}](<{name}>)\n\n").unwrap();
        }
    }
    for source in &sources {
        laptop.note(source);
    }
    let report = laptop.sync(&remote).await;
    assert_eq!(report.uploaded.images, files.len() as u64);
    assert_eq!(tally.images(), names(&images).map(|name| (name, 1)).collect());
    finds(&options, images.clone()).await;

    let phone = Device::joined("phone", 2, &laptop, &remote).await;
    for image in images.keys() {
        let local = phone.vault().local_file(*image).unwrap().unwrap();
        let bytes = std::fs::read(local).unwrap();
        assert_eq!(ImageId::from_bytes(*blake3::hash(&bytes).as_bytes()), *image);
    }
    assert_eq!(phone.sources(), laptop.sources());
    phone.check();
}
