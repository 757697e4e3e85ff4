//! Images that can't be known, by their sizes, are copied without being hashed before; the rest is not copied.

use std::{fs, path::Path};

use everleaf::{id::ImageId, images::ImageError};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{image::png, world::Device};

/// Above what is kept in memory while it is found out whether it is known.
const LARGE: usize = 200 << 10;

/// Where an image that is copied goes first. Without it, only one that need not be copied is taken in.
fn without_tmp<T>(device: &Device, work: impl FnOnce() -> T) -> T {
    let tmp = device.path().join("tmp");
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0, "something was left behind");
    fs::remove_dir(&tmp).unwrap();
    let done = work();
    fs::create_dir(&tmp).unwrap();
    done
}

fn is_taken_in_uncopied(device: &Device, path: &Path) -> bool {
    let images = device.vault().images();
    without_tmp(device, || images.ingest_file(path).is_ok_and(|stored| stored.already))
}

#[test]
fn a_large_image_that_is_known_is_not_copied_again() {
    let device = Device::new("laptop", 1);
    let known = device.file("known.png", &png(4, 3, &vec![1; LARGE]));
    let same_size = device.file("same.png", &png(4, 3, &vec![2; LARGE]));
    device.note("![](known.png)\n");
    assert!(is_taken_in_uncopied(&device, &known));
    assert!(!is_taken_in_uncopied(&device, &same_size));
    assert!(!device.vault().images().ingest_file(&same_size).unwrap().already);
    assert!(device.vault().images().ingest_file(&same_size).unwrap().already);

    // Nor is what is no image, as a film that a note links to.
    let film =
        device.file("film.mp4", &[b"\0\0\0\x18ftypisom".as_slice(), &vec![3; 2 * LARGE]].concat());
    let refused = without_tmp(&device, || device.vault().images().ingest_file(&film));
    assert!(matches!(refused, Err(ImageError::NotAnImage { .. })), "{refused:?}");
}

proptest! {
    #![proptest_config(crate::regressions::kept_of(module_path!(), 24))]

    /// Whatever the sizes of files and in however many goes they come: each is named by what is in it, said
    /// to be new once, kept once, and nothing else stays.
    #[test]
    fn whether_a_size_is_known_changes_nothing_but_the_time(
        kinds in vec((0..3_usize, 0..3_u8), 1..6),
        goes in vec((any::<Index>(), 0..3_u8), 1..12),
    ) {
        let device = Device::new("laptop", 1);
        let images = device.vault().images();
        let bytes: Vec<Vec<u8>> = kinds
            .iter()
            .map(|(more, fill)| png(4, 3, &vec![*fill; LARGE + more]))
            .collect();
        let mut before = Vec::new();
        let mut batch = images.batch();
        for (number, (which, how)) in goes.iter().enumerate() {
            let bytes = which.get(&bytes);
            let name = format!("{number}.png");
            let path = device.file(&name, bytes);
            let image = ImageId::from_bytes(*blake3::hash(bytes).as_bytes());
            let new = !before.contains(&image);
            match how {
                // What a batch has and has not ended is no image for others yet.
                0 => {
                    batch.finish().unwrap();
                    prop_assert_eq!(images.ingest_file(&path).unwrap().already, !new);
                    batch = images.batch();
                }
                1 => {
                    let stored = batch.ingest_file(&path).unwrap();
                    prop_assert_eq!((stored.image, stored.already), (image, !new));
                }
                _ => {
                    batch.finish().unwrap();
                    device.note(&format!("![]({name})\n"));
                    batch = images.batch();
                }
            }
            before.push(image);
        }
        batch.finish().unwrap();
        before.sort();
        before.dedup();
        prop_assert_eq!(images.list().flatten().count(), before.len());
        for image in before {
            prop_assert!(images.verified(image, everleaf::image::MediaType::Png).is_ok());
        }
        prop_assert_eq!(fs::read_dir(device.path().join("tmp")).unwrap().count(), 0);
        device.check();
    }
}
