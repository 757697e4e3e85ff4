//! The contract of a remote, as a store keeps it.

use std::sync::Arc;

use everleaf::{
    image::MediaType,
    remote::{Key, Prefix, Remote as _, RemoteExt as _, S3Options, Upload},
};
use futures_util::future::join_all;
use proptest::prelude::*;

use crate::{
    outside::needed,
    remote::{Step, behaves_as_a_map, conforms, image, lists_page_after_page, put, step},
    s3::connect,
};

#[tokio::test]
async fn it_conforms() {
    for page in [None, Some(5)] {
        let Some(mut options) = needed("conforms") else { return };
        options.page = page;
        conforms(Arc::new(connect(options).await)).await;
    }
}

#[tokio::test]
async fn it_lists_page_after_page() {
    let Some(options) = needed("pages") else { return };
    lists_page_after_page(Arc::new(connect(options).await), 1003).await;
}

proptest! {
    // Each step is a request or more over the wire.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(8) })]

    #[test]
    fn it_behaves_as_a_map(steps in prop::collection::vec(step(), 1..40), page in 1_u16..4) {
        if let Some(options) = needed("map") {
            map(S3Options { page: Some(page), ..options }, &steps);
        }
    }
}

fn map(options: S3Options, steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { behaves_as_a_map(&connect(options).await, steps).await });
}

#[tokio::test]
async fn what_others_keep_in_the_bucket_is_passed_over() {
    let Some(options) = needed("foreign") else { return };
    // What is under `images/` of this prefix by way of another one.
    let nested = S3Options { prefix: format!("{}/images", options.prefix), ..options.clone() };
    let nested = connect(nested).await;
    let beside = S3Options { prefix: format!("{}-beside", options.prefix), ..options.clone() };
    let beside = connect(beside).await;
    let remote = connect(S3Options { page: Some(1), ..options }).await;
    let ours = image(1, MediaType::Png);
    put(&nested, &Key::Vault, "x").await;
    put(&nested, &Key::Pulse, "x").await;
    put(&nested, &ours, "x").await;
    put(&beside, &image(2, MediaType::Png), "x").await;
    put(&remote, &ours, "x").await;
    let listed = remote.list_all(&Prefix::Images, None).await.unwrap();
    assert_eq!(listed.into_iter().map(|listed| listed.key).collect::<Vec<_>>(), [ours]);
}

/// Devices that put one image at once put equal bytes, in one request or in parts.
#[tokio::test]
async fn an_image_that_is_put_by_several_at_once_is_whole() {
    let Some(options) = needed("race") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (n, size) in [(1, 10), (2, 2 * 1024 * 1024), (3, 17 * 1024 * 1024)] {
        let key = image(n, MediaType::Png);
        let path = folder.path().join(n.to_string());
        let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
        std::fs::write(&path, &bytes).unwrap();
        let devices = join_all((0..4).map(|_| connect(options.clone()))).await;
        let upload = Upload::File { path, size: size as u64 };
        for put in join_all(devices.iter().map(|device| device.put(&key, upload.clone()))).await {
            put.unwrap();
        }
        assert!(devices[0].get_bytes(&key, size as u64).await.unwrap() == bytes);
    }
}
