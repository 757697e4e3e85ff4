//! What the command says about remotes that are not as they should be.

use std::{fs, sync::Arc};

use everleaf::{clock::SystemClock, loopback::Loopback, seal::VaultKey};
use insta::assert_snapshot;

use super::{damage, key, only_file, with_note, with_remote};
use crate::{
    image::png,
    machine::{Machine, Ran},
};

#[test]
fn a_damaged_segment_on_a_remote() {
    let machine = with_remote();
    damage(&only_file(&machine, "meeting/log"));
    let key = key(&machine);
    let ran = machine.run_with(
        "phone",
        &["join", "dir:meeting", "--key", "-", "--name", "phone"],
        key.as_bytes(),
    );
    assert_snapshot!(machine.said(&ran), @r"
        exit 1
        Device `phone` has joined the vault, in <dir>/phone.
        Synced with origin in part:
        reading 1 segment
        problem: segment 1 of device <hex> is damaged: it is named <hex>, but its bytes hash to <hex>
        hint: sync again later; if this stays, run `everleaf verify --remote NAME --repair` on the device that wrote it; without that, add an empty remote on a device that has what is missing, and let all use that
        ");
    assert_snapshot!(machine.said(&machine.run_on("phone", &["sync"])), @r"
        exit 1
        Synced with origin in part:
        reading 1 segment
        problem: segment 1 of device <hex> is damaged: it is named <hex>, but its bytes hash to <hex>
        hint: sync again later; if this stays, run `everleaf verify --remote NAME --repair` on the device that wrote it; without that, add an empty remote on a device that has what is missing, and let all use that
        ");
}

#[test]
fn a_receipt_for_what_is_gone() {
    let machine = with_remote();
    fs::remove_file(only_file(&machine, "meeting/images")).unwrap();
    assert_snapshot!(machine.said(&machine.run(&["verify", "--remote", "origin"])), @r"
        exit 1
        images/<hex>.png: the remote confirmed it and does not hold it now
        Checked 8 events, 1 note, 1 image, 0 changes by upload projectors, 2 receipts of origin: 1 thing is wrong.
        checking 8 events
        checking 1 note
        checking 1 image
        ");
}

#[test]
fn a_wrong_key() {
    let machine = with_remote();
    let join = |key: &str| {
        machine.run_with("phone", &["join", "dir:meeting", "--key", "-"], key.as_bytes())
    };
    let key = key(&machine);
    let (start, end) = key.split_at(20);
    let typo = format!("{start}{}{}", if end.starts_with('q') { 'p' } else { 'q' }, &end[1..]);
    assert_snapshot!(machine.said(&join(&typo)), @r"
        exit 1
        error: the vault key has a typing error or is cut short: copy the whole line again
        hint: `everleaf key` shows it on a device that has the vault
        ");
    assert_snapshot!(machine.said(&join("open sesame")), @r"
        exit 1
        error: this is not a vault key: one is a single line that begins with `everleaf1`
        hint: `everleaf key` shows it on a device that has the vault
        ");
    let other = VaultKey::generate(&SystemClock).to_bech32();
    assert_snapshot!(machine.said(&join(&other)), @r"
        exit 1
        error: remote `origin` holds another vault than the one that the key is of
        hint: check the URL, and take the key from a device that has the vault: `everleaf key` shows it
        ");
    assert!(!machine.vault("phone").exists());
    // A key is never repeated.
    for key in [&typo, &*other] {
        assert!(!join(key).stderr.contains(&key[9..]));
    }
}

#[test]
fn a_remote_that_can_t_be_joined() {
    let machine = with_note();
    let key = key(&machine);
    let join = |url: &str| machine.run_with("phone", &["join", url, "--key", "-"], key.as_bytes());
    fs::create_dir(machine.path("nobodys")).unwrap();
    assert_snapshot!(machine.said(&join("dir:nobodys")), @r"
        exit 1
        error: remote `origin` holds no vault yet
        hint: check the URL, and run `everleaf sync` on a device that has the vault
        ");
    assert_snapshot!(machine.said(&join("dir:nowhere")), @r"
        exit 1
        error: remote `origin` can't be used: the directory `<dir>/nowhere` is not there
        hint: connect its disk, or correct the path with `everleaf remote add` under the same name
        ");
    assert_snapshot!(machine.said(&join("ftp://example.org")), @r"
        exit 1
        error: remote `origin` can't be used: this is no remote's URL: write `dir:PATH`, `s3://BUCKET[/PREFIX]` or `https://HUB`
        ");
    assert!(!machine.vault("phone").exists());
    assert_eq!(fs::read_dir(machine.path("nobodys")).unwrap().count(), 0);
}

#[test]
fn a_remote_of_another_vault() {
    let machine = with_remote();
    machine.run_on("other", &["init"]).ok();
    let ran = machine.run_on("other", &["remote", "add", "origin", "dir:meeting"]);
    assert_snapshot!(machine.said(&ran), @r"
        exit 1
        error: remote `origin` belongs to vault <hex>, and this is vault <hex>
        hint: check the URL: each vault needs a bucket, prefix or folder of its own
        ");
    assert_eq!(
        machine.run_on("other", &["--json", "remote", "list"]).json(),
        serde_json::json!([])
    );
}

#[test]
fn a_folder_that_is_not_there() {
    let machine = with_remote();
    let ran = machine.run(&["remote", "add", "stick", "dir:/nowhere/at/all"]);
    assert_snapshot!(machine.said(&ran), @r"
        exit 1
        error: remote `stick` can't be used: the directory `/nowhere/at/all` is not there
        hint: connect its disk, or correct the path with `everleaf remote add` under the same name
        ");
    assert_snapshot!(machine.said(&machine.run(&["remote", "add", "stick", "dir:vault/stick"])), @r"
        exit 1
        error: <dir>/vault/stick is inside the vault
        hint: name a folder outside of it
        ");
    assert!(!machine.path("vault/stick").exists());
    let two = machine.run(&["remote", "add", "stick", "dir:stick", "dir:other"]);
    assert_snapshot!(machine.said(&two), @r"
        exit 1
        error: a remote is at one place, and `dir:other` is another
        hint: give the other a name of its own with `everleaf remote add`
        ");
    fs::rename(machine.path("meeting"), machine.path("away")).unwrap();
    assert_snapshot!(machine.said(&machine.run(&["sync"])), @r"
        exit 1
        error: remote `origin` can't be used: the directory `<dir>/meeting` is not there
        hint: connect its disk, or correct the path with `everleaf remote add` under the same name
        ");
    let asked = machine.run(&["--json", "sync", "--offline-ok"]).json();
    assert_eq!(asked["offline"], true);
}

/// A place of a disk that is not connected looks like a folder that was emptied.
#[test]
fn a_folder_that_is_empty_where_the_vault_was() {
    let machine = with_remote();
    fs::rename(machine.path("meeting"), machine.path("away")).unwrap();
    fs::create_dir(machine.path("meeting")).unwrap();
    let ran = machine.run(&["sync"]);
    assert!(ran.stdout.contains("uploaded  1 image of 34 B"), "{}", ran.stdout);
    assert_snapshot!(machine.said(&Ran { stdout: String::new(), ..ran }), @r"
        exit 1
         WARN the remote has lost what it had confirmed remote=origin reason=Emptied
        uploading 1 image
        problem: the folder `<dir>/meeting` of remote `origin` held the vault before: it was emptied, or its disk is not connected; all was put there again
        hint: sync again later; if this stays, run `everleaf verify --remote NAME --repair` on the device that wrote it; without that, add an empty remote on a device that has what is missing, and let all use that
        ");
    assert_eq!(machine.run(&["sync"]).ok(), "In step with origin: nothing was new.\n");
}

#[test]
fn remotes_that_have_no_name() {
    let machine = with_note();
    assert_snapshot!(machine.said(&machine.run(&["sync"])), @r"
        exit 1
        error: there is no remote yet
        hint: add one with `everleaf remote add NAME URL`
        ");
    machine.run(&["remote", "add", "one", "dir:one"]).ok();
    machine.run(&["remote", "add", "two", "dir:two"]).ok();
    assert_snapshot!(machine.said(&machine.run(&["sync"])), @r"
        exit 1
        error: there are 2 remotes
        hint: name one; `everleaf remote list` shows them
        ");
    assert_snapshot!(machine.said(&machine.run(&["sync", "three"])), @r"
        exit 1
        error: there is no remote `three`
        hint: `everleaf remote list` shows the names
        ");
    assert_snapshot!(machine.said(&machine.run(&["remote", "remove", "three"])), @r"
        exit 1
        error: there is no remote `three`
        hint: `everleaf remote list` shows the names
        ");
}

/// A machine with credentials for the loopback server.
fn with_credentials(secret: &str) -> Machine {
    let mut machine = with_note();
    machine.set("AWS_ACCESS_KEY_ID", Loopback::access_key());
    machine.set("AWS_SECRET_ACCESS_KEY", secret);
    machine
}

fn add(machine: &Machine, bucket: &str, endpoint: &str) -> Ran {
    machine.run(&["remote", "add", "origin", &format!("s3://{bucket}"), "--endpoint", endpoint])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_and_a_secret_that_is_wrong() {
    let store = Loopback::start(Arc::new(SystemClock)).await.unwrap();
    let machine = with_credentials(Loopback::secret_key());
    assert_snapshot!(machine.said(&add(&machine, "nowhere", &store.endpoint())), @r"
        exit 1
        error: remote `origin` can't be used: the bucket `nowhere` does not exist: create it, or correct the remote's URL
        hint: `everleaf remote add` under the same name corrects a URL
        ");
    let stranger = with_credentials("wrong");
    let ran = add(&stranger, Loopback::bucket(), &store.endpoint());
    assert_snapshot!(stranger.said(&ran), @r"
        exit 1
        error: remote `origin` can't be used: the remote denies access: check the access key, its secret and what they permit: the store answered 403 SignatureDoesNotMatch
        hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile with --profile
        ");
    let nobody = with_note();
    let ran = add(&nobody, Loopback::bucket(), &store.endpoint());
    assert_snapshot!(nobody.said(&ran), @r"
        exit 1
        error: remote `origin` can't be used: no credentials for the store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of ~/.aws
        ");
    machine.run(&["init"]);
    add(&machine, Loopback::bucket(), &store.endpoint()).ok();
    machine.run(&["sync"]).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer() {
    let store = Loopback::start(Arc::new(SystemClock)).await.unwrap();
    let endpoint = store.endpoint();
    let machine = with_credentials(Loopback::secret_key());
    add(&machine, Loopback::bucket(), &endpoint).ok();
    drop(store);
    assert_snapshot!(machine.said(&machine.run(&["sync"])), @r"
        exit 1
        error: remote `origin` can't be used: the remote cannot be reached: io error: client error (Connect): tcp connect error: Connection refused (os error 111)
        hint: check the network and the endpoint; what is pending stays and is sent next time
        ");
    assert_snapshot!(machine.said(&machine.run(&["sync", "--offline-ok"])), @r"
        exit 0
        Offline: origin could not be reached; nothing is lost.
        ");
    machine.file("late.png", png(1, 1, b"late"));
    assert_snapshot!(machine.said(&machine.run(&["attach", "Bread", "late.png"])), @r"
        exit 0
        <hex>  waiting  late.png
        note: the remote is away; the next `everleaf sync` uploads them
        ");
}
