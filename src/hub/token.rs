//! Tokens: for programs that can't sign each request. A token reads, for some minutes, on the one hub
//! process that gave it; nothing is stored.

use std::{fmt, time::Duration};

use zeroize::Zeroizing;

use crate::{
    clock::{Clock, Timestamp, random},
    id::{VaultId, decode_hex},
};

/// How the header `Authorization` begins with one.
const SCHEME: &str = "Bearer ";
/// How long a token is good for.
pub(super) const LIFE: Duration = Duration::from_mins(10);

/// Makes and checks tokens.
pub(super) struct Tokens(Zeroizing<[u8; 32]>);

impl Tokens {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self(Zeroizing::new(random(clock)))
    }

    /// A token for reading `vault` until some time.
    pub(super) fn make(&self, vault: VaultId, until: Timestamp) -> String {
        format!("{}.{}", until.0, self.code(vault, until).to_hex())
    }

    /// Until when the token in a header reads `vault`; `None` where it does not, or no longer.
    pub(super) fn until(&self, vault: VaultId, header: &str, now: Timestamp) -> Option<Timestamp> {
        let (until, code) = header.strip_prefix(SCHEME)?.split_once('.')?;
        let (until, mut bytes) = (Timestamp(until.parse().ok()?), [0; 32]);
        decode_hex(code, &mut bytes)?;
        // Comparing hashes takes the same time wherever they differ.
        let is_ours = self.code(vault, until) == blake3::Hash::from_bytes(bytes);
        (is_ours && now <= until).then_some(until)
    }

    fn code(&self, vault: VaultId, until: Timestamp) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(vault.as_bytes()).update(&until.0.to_be_bytes());
        hasher.finalize()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}
