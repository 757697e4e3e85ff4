//! The content-addressed files: verified in, verified out, and nothing left behind.

use std::{
    fs,
    io::{self, Cursor, Read},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use everleaf::{
    id::ImageId,
    image::{Dimensions, MediaType},
    images::{Entry, ImageError, Images, Stored},
};
use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

use crate::image::{jpeg, png};

const LIMIT: usize = 1 << 20;

fn open() -> (TempDir, Images) {
    let vault = tempfile::tempdir().unwrap();
    let images = Images::open(vault.path(), LIMIT as u64).unwrap();
    (vault, images)
}

fn hash(bytes: &[u8]) -> ImageId {
    ImageId::from_bytes(*blake3::hash(bytes).as_bytes())
}

fn ingest(images: &Images, bytes: &[u8]) -> Result<Stored, ImageError> {
    images.ingest(&mut Cursor::new(bytes))
}

fn read(images: &Images, stored: &Stored) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut verified = images.verified(stored.image, stored.media_type).unwrap();
    verified.file.read_to_end(&mut bytes).unwrap();
    assert_eq!(verified.bytes, stored.bytes);
    bytes
}

/// Every file of the vault.
fn files(vault: &Path) -> Vec<PathBuf> {
    walkdir::WalkDir::new(vault)
        .sort_by_file_name()
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| !entry.file_type().is_dir())
        .map(walkdir::DirEntry::into_path)
        .collect()
}

/// Writes over a stored image, which is read-only.
fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_image_is_stored_once_under_its_hash() {
    let (vault, images) = open();
    let bytes = png(30, 20, &vec![5; 300_000]);
    let stored = ingest(&images, &bytes).unwrap();
    let expected = Stored {
        image: hash(&bytes),
        bytes: bytes.len() as u64,
        media_type: MediaType::Png,
        dimensions: Some(Dimensions { width: 30, height: 20 }),
        already: false,
    };
    assert_eq!(stored, expected);
    let hex = stored.image.to_string();
    let path = vault.path().join("images").join(&hex[..2]).join(format!("{hex}.png"));
    assert_eq!(images.path(stored.image, stored.media_type), path);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
    let folder = fs::metadata(path.parent().unwrap()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    assert_eq!(read(&images, &stored), bytes);

    let again = Stored { already: true, ..stored };
    assert_eq!(ingest(&images, &bytes).unwrap(), again);
    let copy = vault.path().join("copy under another name.jpg");
    fs::write(&copy, &bytes).unwrap();
    assert_eq!(images.ingest_file(&copy).unwrap(), again);
    assert_eq!(files(vault.path()), [copy, path]);
}

#[test]
fn dimensions_far_into_a_file_are_found() {
    let (vault, images) = open();
    let path = vault.path().join("photo");
    fs::write(&path, jpeg(4000, 3000, 100_000)).unwrap();
    let stored = images.ingest_file(&path).unwrap();
    assert_eq!(stored.dimensions, Some(Dimensions { width: 4000, height: 3000 }));
    // The same where the file is known, and where it comes as a stream.
    assert_eq!(images.ingest_file(&path).unwrap(), Stored { already: true, ..stored });
    fs::remove_file(images.path(stored.image, stored.media_type)).unwrap();
    assert_eq!(ingest(&images, &fs::read(&path).unwrap()).unwrap(), stored);
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let (vault, images) = open();
    let outside = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let path = outside.path().join(name);
        fs::write(&path, bytes).unwrap();
        let of_file = images.ingest_file(&path).unwrap_err();
        let of_stream = ingest(&images, bytes).unwrap_err();
        assert_eq!(of_file.to_string(), of_stream.to_string());
        assert_eq!(files(vault.path()), [] as [PathBuf; 0]);
        of_stream
    };
    assert!(matches!(refused("empty.png", b""), ImageError::Empty));
    let page = refused("page.png", b"<!DOCTYPE html><html><svg></svg></html>");
    assert!(matches!(page, ImageError::NotAnImage { looks_like: "text/html" }), "{page}");
    let text = refused("text.bmp", b"BM is not enough");
    assert!(matches!(text, ImageError::NotAnImage { looks_like: "text" }), "{text}");
    let large = refused("large.png", &png(1, 1, &vec![0; LIMIT]));
    assert!(matches!(large, ImageError::TooLarge { limit: 1_048_576 }));
    assert!(large.to_string().contains("1048576 bytes"));

    let folder = images.ingest_file(outside.path()).unwrap_err();
    assert!(matches!(folder, ImageError::NotAFile { .. }));
    let missing = outside.path().join("missing.png");
    let error = images.ingest_file(&missing).unwrap_err();
    assert!(matches!(&error, ImageError::Io { path, .. } if *path == missing));
    assert!(error.to_string().contains("missing.png"));
}

#[test]
fn an_endless_reader_is_stopped_at_the_limit() {
    let (vault, images) = open();
    let mut endless = Cursor::new(png(1, 1, b"")).chain(io::repeat(1));
    let error = images.ingest(&mut endless).unwrap_err();
    assert!(matches!(error, ImageError::TooLarge { .. }));
    assert_eq!(files(vault.path()), [] as [PathBuf; 0]);
    let whole = png(1, 1, b"");
    let full = Cursor::new(&whole).chain(io::repeat(1)).take(LIMIT as u64);
    assert_eq!(images.ingest(&mut { full }).unwrap().bytes, LIMIT as u64);
}

#[test]
fn a_reader_that_fails_leaves_nothing_behind() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let (vault, images) = open();
    let error = images.ingest(&mut Cursor::new(png(1, 1, b"")).chain(Failing)).unwrap_err();
    assert!(matches!(error, ImageError::Read(_)));
    assert_eq!(files(vault.path()), [] as [PathBuf; 0]);
}

#[test]
fn a_damaged_image_is_not_given_out() {
    let (_vault, images) = open();
    let bytes = png(3, 2, b"pixels");
    let stored = ingest(&images, &bytes).unwrap();
    let path = images.path(stored.image, stored.media_type);
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    overwrite(&path, &flipped);
    let error = images.verified(stored.image, stored.media_type).unwrap_err();
    let found = hash(&flipped);
    assert!(matches!(&error, ImageError::Damaged { found: f, .. } if *f == found));
    assert!(error.to_string().contains(&found.to_string()));

    // Received again, it is whole again.
    let mut incoming = images.receive(stored.image).unwrap();
    incoming.write(&bytes).unwrap();
    assert_eq!(incoming.finish().unwrap(), stored);
    assert_eq!(read(&images, &stored), bytes);

    // A torn one is not taken for the image that it was.
    overwrite(&path, &bytes[..30]);
    assert_eq!(ingest(&images, &bytes).unwrap(), stored);
    assert_eq!(read(&images, &stored), bytes);
}

/// A disk that forgets changes neither a file's length nor what else there is to see of it.
#[test]
fn a_damaged_image_is_mended_by_adding_it_again() {
    let (vault, images) = open();
    let bytes = png(3, 2, b"pixels");
    let stored = ingest(&images, &bytes).unwrap();
    let path = images.path(stored.image, stored.media_type);
    let file = vault.path().join("again.png");
    fs::write(&file, &bytes).unwrap();
    let batch = || {
        let mut batch = images.batch();
        let stored = batch.ingest_file(&file)?;
        batch.finish().map(|()| stored)
    };
    let doors: [&dyn Fn() -> Result<Stored, ImageError>; 3] =
        [&|| ingest(&images, &bytes), &|| images.ingest_file(&file), &batch];
    for add in doors {
        overwrite(&path, &[&bytes[..bytes.len() - 1], b"?"].concat());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        let error = images.verified(stored.image, stored.media_type).unwrap_err();
        assert!(error.to_string().contains("adding the image again mends it"), "{error}");
        assert_eq!(add().unwrap(), stored);
        assert_eq!(read(&images, &stored), bytes);
        assert_eq!(add().unwrap(), Stored { already: true, ..stored });
    }
    // Whole, it is known, though somebody may write to it.
    overwrite(&path, &bytes);
    assert_eq!(ingest(&images, &bytes).unwrap(), Stored { already: true, ..stored });
}

#[test]
fn what_is_received_must_be_what_was_asked_for() {
    let (vault, images) = open();
    let bytes = png(3, 2, b"pixels");
    let mut incoming = images.receive(hash(b"other")).unwrap();
    incoming.write(&bytes).unwrap();
    let error = incoming.finish().unwrap_err().to_string();
    assert!(error.contains(&hash(b"other").to_string()), "{error}");
    assert!(error.contains(&hash(&bytes).to_string()), "{error}");

    let text = b"not an image, though the one that was asked for";
    let mut incoming = images.receive(hash(text)).unwrap();
    incoming.write(text).unwrap();
    assert!(matches!(incoming.finish(), Err(ImageError::NotAnImage { .. })));

    let mut incoming = images.receive(hash(&bytes)).unwrap();
    let error = incoming.write(&vec![0; LIMIT + 1]).unwrap_err();
    assert!(matches!(error, ImageError::TooLarge { .. }));
    drop(incoming);
    let mut dropped = images.receive(hash(&bytes)).unwrap();
    dropped.write(&bytes).unwrap();
    drop(dropped);
    assert_eq!(files(vault.path()), [] as [PathBuf; 0]);
}

#[test]
fn a_batch_takes_in_many_and_goes_on_past_a_bad_one() {
    let (vault, images) = open();
    let outside = tempfile::tempdir().unwrap();
    let mut batch = images.batch();
    for number in 0..40u8 {
        let path = outside.path().join(format!("{number}.png"));
        fs::write(&path, png(1, 1, &[number / 2])).unwrap();
        assert_eq!(batch.ingest_file(&path).unwrap().already, number % 2 == 1);
    }
    assert!(batch.ingest(&mut Cursor::new(b"text")).is_err());
    assert!(!batch.ingest(&mut Cursor::new(png(2, 2, b""))).unwrap().already);
    batch.finish().unwrap();
    assert_eq!(files(vault.path()).len(), 21);
}

#[test]
fn many_may_bring_the_same_image_at_once() {
    let (vault, images) = open();
    let bytes = png(4, 4, &vec![1; 200_000]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let stored = ingest(&images, &bytes).unwrap();
                assert_eq!(read(&images, &stored), bytes);
            });
        }
    });
    assert_eq!(files(vault.path()).len(), 1);
}

#[test]
fn an_image_whose_file_is_gone_is_missing_until_it_comes_again() {
    let (_vault, images) = open();
    let bytes = png(3, 2, b"pixels");
    let Stored { image, media_type, .. } = ingest(&images, &bytes).unwrap();
    assert!(images.contains(image, media_type));
    assert!(!images.contains(image, MediaType::Gif));
    fs::remove_file(images.path(image, media_type)).unwrap();
    assert!(!images.contains(image, media_type));
    let error = images.verified(image, media_type).unwrap_err();
    assert!(matches!(error, ImageError::Missing { image: missing } if missing == image));
    assert!(!ingest(&images, &bytes).unwrap().already);
}

#[test]
fn opening_removes_what_an_interruption_left() {
    let (vault, images) = open();
    let stored = ingest(&images, &png(1, 1, b"")).unwrap();
    let mut interrupted = images.receive(stored.image).unwrap();
    interrupted.write(b"half of it").unwrap();
    std::mem::forget(interrupted);
    let others = vault.path().join("tmp/of-somebody-else");
    fs::write(&others, b"").unwrap();
    assert_eq!(files(vault.path()).len(), 3);
    let images = Images::open(vault.path(), LIMIT as u64).unwrap();
    assert_eq!(files(vault.path()), [images.path(stored.image, stored.media_type), others]);
    assert!(ingest(&images, &png(1, 1, b"")).unwrap().already);
}

#[test]
fn listing_reports_what_is_foreign() {
    let (vault, images) = open();
    let stored = ingest(&images, &png(1, 1, b"")).unwrap();
    let path = images.path(stored.image, stored.media_type);
    let folder = path.parent().unwrap();
    let hex = stored.image.to_string();
    let elsewhere = format!("{:02x}", stored.image.as_bytes()[0] ^ 1);
    fs::create_dir_all(vault.path().join("images").join(&elsewhere)).unwrap();
    fs::create_dir_all(vault.path().join("images/holiday")).unwrap();
    fs::write(vault.path().join("images/holiday/beach.png"), b"").unwrap();
    let foreign = [
        vault.path().join("images/.DS_Store"),
        vault.path().join("images").join(&elsewhere).join(format!("{hex}.png")),
        folder.join(format!("{hex}.txt")),
        folder.join(format!("{}.png", &hex[..60])),
        folder.join(format!("{hex}.png.part")),
    ];
    for path in &foreign {
        fs::write(path, b"").unwrap();
    }
    let mut expected: Vec<_> = foreign.into_iter().map(Entry::Foreign).collect();
    expected.push(Entry::Foreign(vault.path().join("images/holiday")));
    expected.push(Entry::Image(stored.image, stored.media_type));
    let listed: Vec<_> = images.list().map(Result::unwrap).collect();
    assert_eq!(listed.len(), expected.len());
    assert!(expected.iter().all(|one| listed.contains(one)), "{listed:?}");
}

proptest! {
    #![proptest_config(crate::regressions::kept_of(module_path!(), 24))]

    /// One image, one file: whatever comes in, by whichever door and however often, is there once
    /// and comes out as it went in.
    #[test]
    fn what_goes_in_comes_out(
        contents in vec(vec(any::<u8>(), 0..40), 1..6),
        visits in vec((any::<prop::sample::Index>(), 0..4, 1..64usize), 1..12),
    ) {
        let (vault, images) = open();
        let outside = tempfile::tempdir().unwrap();
        let mut known = std::collections::BTreeMap::new();
        for (which, door, chunk) in visits {
            let bytes = png(7, 7, &contents[which.index(contents.len())]);
            let id = hash(&bytes);
            let stored = match door {
                0 => ingest(&images, &bytes).unwrap(),
                1 => {
                    let path = outside.path().join("file");
                    fs::write(&path, &bytes).unwrap();
                    images.ingest_file(&path).unwrap()
                }
                2 => {
                    let mut incoming = images.receive(id).unwrap();
                    bytes.chunks(chunk).for_each(|part| incoming.write(part).unwrap());
                    incoming.finish().unwrap()
                }
                _ => {
                    let mut batch = images.batch();
                    let stored = batch.ingest(&mut Cursor::new(&bytes)).unwrap();
                    batch.finish().unwrap();
                    stored
                }
            };
            prop_assert_eq!(stored.already, known.insert(id, bytes).is_some());
            prop_assert_eq!(stored.image, id);
        }
        let listed: Vec<_> = images.list().map(Result::unwrap).collect();
        let expected: Vec<_> = known.keys().map(|id| Entry::Image(*id, MediaType::Png)).collect();
        prop_assert_eq!(listed, expected);
        prop_assert_eq!(files(vault.path()).len(), known.len());
        for (id, bytes) in known {
            let mut out = Vec::new();
            images.verified(id, MediaType::Png).unwrap().file.read_to_end(&mut out).unwrap();
            prop_assert_eq!(out, bytes);
        }
    }

    /// Any change to a stored file is noticed when it is read.
    #[test]
    fn any_damage_is_noticed(at in any::<prop::sample::Index>(), mask in 1u8.., cut: bool) {
        let (_vault, images) = open();
        let bytes = png(9, 9, b"some pixels");
        let stored = ingest(&images, &bytes).unwrap();
        let mut damaged = bytes.clone();
        let at = at.index(bytes.len());
        if cut { damaged.truncate(at) } else { damaged[at] ^= mask }
        overwrite(&images.path(stored.image, stored.media_type), &damaged);
        let found = images.verified(stored.image, stored.media_type);
        let noticed = matches!(found, Err(ImageError::Damaged { .. }));
        prop_assert!(noticed);
    }
}
