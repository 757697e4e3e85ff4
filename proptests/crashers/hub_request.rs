//! Requests to a hub, from anybody.

use std::sync::LazyLock;

use everleaf::{
    clock::{SimulatedClock, Timestamp},
    hub::{Presented, authenticate},
    remote::{
        Key,
        hub::signature::{Authorization, Call},
    },
    seal::VaultKey,
};

const AT: Timestamp = Timestamp(1_700_000_000_000);
const CALL: Call<'_> = Call {
    method: "PUT",
    host: "hub.example.org",
    target: "/v1/vaults/0/images/aa/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.png",
};

static KEY: LazyLock<VaultKey> = LazyLock::new(|| VaultKey::generate(&SimulatedClock::new(AT, 7)));

/// The one request that whoever has the key has made: method, host, target, authorization.
pub(crate) fn genuine() -> Vec<u8> {
    let Call { method, host, target } = CALL;
    let signed = Authorization::sign(&KEY.signer(), CALL, [3; 32], AT, [5; 16]);
    format!("{method}\n{host}\n{target}\n{signed}").into_bytes()
}

/// Nobody else's request is believed, and no name of an object means another than it says.
pub(crate) fn attack(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.splitn(4, '\n');
    let [method, host, target] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let presented = Presented { call: Call { method, host, target }, authorization: lines.next() };
    if authenticate(KEY.vault_id(), presented, Timestamp(0), AT).is_ok() {
        assert_eq!(bytes, genuine());
    }
    let name = target.split(['?', '#']).next().unwrap_or_default();
    for (at, _) in name.match_indices('/') {
        if let Ok(key) = name[at + 1..].parse::<Key>() {
            assert_eq!(key.to_string(), name[at + 1..]);
        }
    }
}
