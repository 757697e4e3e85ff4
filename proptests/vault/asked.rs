//! What is asked of a vault and can't be: it says so at every door, and nothing is done.

use everleaf::{
    event::RemoteOptions,
    vault::{NOTE_LIMIT, NewNote, Options, PATH_LIMIT, Vault, VaultError, chain},
};

use super::memory;
use crate::{
    image::png,
    world::{Device, origin},
};

#[test]
fn a_device_needs_a_name_that_people_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault");
    for name in ["", " \n", "lap\u{1b}[2Jtop", &"n".repeat(65)] {
        let refused = Vault::create(&path, name, None, Options::default());
        assert!(matches!(refused, Err(VaultError::DeviceName)), "{name}");
        assert!(!path.exists());
    }
    let longest = "\u{1f35e}".repeat(64);
    let vault = Vault::create(&path, &format!(" {longest}\n"), None, Options::default()).unwrap();
    assert_eq!(vault.device_name().unwrap(), longest);
}

#[test]
fn a_path_has_a_length() {
    let laptop = Device::new("laptop", 1);
    let (vault, note) = (laptop.vault(), laptop.note("# A\n"));
    let (too_long, longest) = ("n".repeat(PATH_LIMIT + 1), "n".repeat(PATH_LIMIT));
    let last = *vault.follow().borrow();
    for path in ["", &too_long] {
        let new = NewNote { path: Some(path.to_owned()), ..NewNote::default() };
        for refused in [vault.new_note(&new).map(drop), vault.set_path(note, Some(path)).map(drop)]
        {
            assert!(matches!(refused, Err(VaultError::NotePath(bytes)) if bytes == path.len()));
        }
    }
    assert_eq!(*vault.follow().borrow(), last);
    assert!(vault.set_path(note, Some(&longest)).unwrap());
    assert!(vault.set_path(note, None).unwrap());
}

/// As an edit is that would make it too long.
#[test]
fn an_image_is_attached_only_where_the_note_has_room_for_it() {
    let laptop = Device::new("laptop", 1);
    let crumb = laptop.file("crumb.png", &png(4, 3, b"crumb"));
    let (vault, note) = (laptop.vault(), laptop.note("# A\n"));
    let last = *vault.follow().borrow();
    let alt = "a".repeat(usize::try_from(NOTE_LIMIT).unwrap());
    let refused = vault.attach(note, std::slice::from_ref(&crumb), Some(&alt)).unwrap_err();
    assert!(
        matches!(refused, VaultError::TooLong { bytes, limit: NOTE_LIMIT } if bytes > NOTE_LIMIT)
    );
    assert_eq!(*vault.follow().borrow(), last);
    assert!(!vault.attach(note, &[crumb], None).unwrap()[0].already_stored);
}

/// Public ones come into notes, and lead whoever reads them there.
#[tokio::test]
async fn addresses_of_a_remote_are_those_of_the_web() {
    let laptop = Device::new("laptop", 1);
    let error = async |endpoint: Option<&str>, public_url: Option<&str>| {
        let owned = |url: Option<&str>| url.map(str::to_owned);
        let (endpoint, public_url) = (owned(endpoint), owned(public_url));
        let url = "memory".to_owned();
        let options = RemoteOptions { url, endpoint, public_url, ..RemoteOptions::default() };
        laptop.vault().add_remote(origin(), options, memory()).await.map_err(|error| chain(&error))
    };
    let begin = "it should begin with https:// and have no `?`, `#` or `@`";
    for url in [
        "",
        "ftp://a",
        "javascript:alert(1)",
        "https://",
        "https://a b",
        "https://me:pw@a",
        "http://a?b",
    ] {
        let expected =
            format!("remote `origin` can't be used: its public URL is no address: {begin}");
        assert_eq!(error(None, Some(url)).await, Err(expected), "{url}");
        let expected =
            format!("remote `origin` can't be used: its endpoint is no address: {begin}");
        assert_eq!(error(Some(url), None).await, Err(expected), "{url}");
    }
    assert!(laptop.vault().remotes().unwrap().is_empty());
    assert_eq!(error(Some("http://127.0.0.1:9000"), Some("https://a/b/")).await, Ok(()));
}
