//! The demonstration: what it claims holds, and would not be claimed if it did not.

use everleaf::{
    demo::{Story, run, run_meddled},
    loopback::Loopback,
    vault::{Options, Vault},
};

fn broken(story: &Story) -> Vec<&str> {
    story.claims.iter().filter(|claim| !claim.holds).map(|claim| claim.claim).collect()
}

#[tokio::test]
async fn every_claim_holds() {
    let mut told = Vec::new();
    let story = run(None, &mut told).await.unwrap();
    let told = String::from_utf8(told).unwrap();
    assert_eq!(broken(&story), Vec::<&str>::new(), "{told}");
    assert!(story.holds());
    assert_eq!((story.notes, story.image_references, story.distinct_images), (3, 4, 3));
    assert_eq!((story.stored_images, story.image_puts), (3, 3));
    assert_eq!(story.text_before, story.text_after);
    assert!(story.failed_attempts >= 12, "{told}");
    assert!(story.urls.iter().any(|url| story.shown_after.contains(url)), "{told}");
    assert!(told.contains("12 of 12 claims hold."), "{told}");
}

/// What the store lost is put there once more by the next sync, which is no idle one then.
#[tokio::test]
async fn a_store_that_loses_everything_is_noticed() {
    let story = run_meddled(None, &mut std::io::sink(), Loopback::wipe).await.unwrap();
    assert!(!story.holds());
    let broken = broken(&story);
    assert_eq!(broken.len(), 2, "{broken:?}");
    assert!(broken[0].contains("put once") && broken[1].contains("one HEAD"), "{broken:?}");
}

#[tokio::test]
async fn urls_that_not_everybody_can_read_are_noticed() {
    let private = |store: &Loopback| store.set_public(false);
    let story = run_meddled(None, &mut std::io::sink(), private).await.unwrap();
    assert_eq!(broken(&story), ["the URL of every image gives its bytes to anybody"]);
}

#[tokio::test]
async fn what_it_leaves_in_a_folder_can_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("demo");
    let story = run(Some(&home), &mut std::io::sink()).await.unwrap();
    assert!(story.holds());
    let laptop = Vault::open(&home.join("laptop"), Options::default()).unwrap();
    assert_eq!(laptop.list().unwrap().len(), story.notes);
    let again = run(Some(&home), &mut std::io::sink()).await.unwrap_err();
    assert!(again.to_string().contains("already"), "{again}");
}
