//! What a store refuses, by what a person can do about it. Stores differ in the codes that they give.

use bytes::Bytes;
use everleaf::remote::{Key, Prefix, Remote as _, RemoteError};

use crate::{
    machine::Machine,
    outside::{self, needed, variable},
    s3::{chain, connect, denied, lacks_its_bucket},
};

/// As [`needed`], where the store checks whom it talks to.
fn strict(test: &str) -> Option<everleaf::remote::S3Options> {
    let options = needed(test)?;
    if variable("TRUSTS_ANYBODY").is_some() {
        eprintln!("left out: this store takes any credentials");
        return None;
    }
    Some(options)
}

#[tokio::test]
async fn a_wrong_secret_and_an_unknown_key_are_denied_and_shown_nowhere() {
    let Some(options) = strict("denied") else { return };
    let (id, secret) = outside::key();
    // A key's id may have to look like one, and a secret too.
    let turned = |text: &str| text.chars().rev().collect::<String>();
    let unknown = format!("{}{}", &id[..2], turned(&id[2..]));
    for (id, secret) in [(id.clone(), turned(&secret)), (unknown, secret.clone())] {
        denied(options.clone(), id, &secret).await;
    }
    let remote = connect(options).await;
    assert_eq!(remote.head(&Key::Pulse).await.unwrap(), None);
}

#[tokio::test]
async fn a_missing_bucket_is_said_and_not_made() {
    let Some(options) = needed("missing") else { return };
    lacks_its_bucket(options, "everleaf-has-no-such-bucket").await;
}

#[tokio::test]
async fn another_region_is_no_matter_or_said() {
    let Some(mut options) = needed("region") else { return };
    options.region = Some("nowhere-1".to_owned());
    let remote = connect(options).await;
    match remote.put(&Key::Pulse, Bytes::from("x").into()).await {
        Ok(()) => {}
        Err(RemoteError::Misconfigured { advice, .. }) if advice.contains("region") => {}
        Err(error) => panic!("{}", chain(&error)),
    }
}

#[tokio::test]
async fn an_address_beside_the_store_is_no_store() {
    let Some(mut options) = needed("beside") else { return };
    options.endpoint = options.endpoint.map(|endpoint| format!("{endpoint}/beside"));
    let remote = connect(options).await;
    for error in [
        remote.get(&Key::Pulse).await.unwrap_err(),
        remote.put(&Key::Pulse, Bytes::from("x").into()).await.unwrap_err(),
        remote.list(&Prefix::Heads, None).await.unwrap_err(),
    ] {
        assert!(!error.is_transient(), "{}", chain(&error));
    }
}

/// What the command says that has `secret`, and is to use `bucket`.
fn said(secret: &str, bucket: &str, prefix: &str) -> (i32, String) {
    let mut machine = Machine::with_vault();
    machine.set("AWS_ACCESS_KEY_ID", &outside::key().0);
    machine.set("AWS_SECRET_ACCESS_KEY", secret);
    let (url, endpoint) = (format!("s3://{bucket}/{prefix}"), variable("ENDPOINT").unwrap());
    let mut arguments = vec!["remote", "add", "origin", &url, "--endpoint", &endpoint];
    let region = variable("REGION");
    if let Some(region) = &region {
        arguments.extend(["--region", region]);
    }
    let ran = machine.run(&arguments);
    if ran.code == 0 {
        machine.run(&["sync"]).ok();
        machine.run(&["verify", "--remote", "origin"]).ok();
    }
    (ran.code, machine.said(&ran))
}

#[tokio::test]
async fn the_command_says_what_to_do() {
    let Some(options) = strict("command") else { return };
    let secret = outside::key().1;
    let (code, text) = said(&secret, &options.bucket, &options.prefix);
    assert_eq!(code, 0, "{text}");
    let (code, text) = said("wrong", &options.bucket, &options.prefix);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("the remote denies access: check the access key"), "{text}");
    assert!(text.contains("hint: set AWS_ACCESS_KEY_ID"), "{text}");
    let (code, text) = said(&secret, "everleaf-has-no-such-bucket", "");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("does not exist: create it, or correct the remote's URL"), "{text}");
}
