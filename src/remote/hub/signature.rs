//! How a request shows that whoever makes it has the key of a vault.
//!
//! ```text
//! Authorization: Everleaf <time>.<nonce, 32 hex>.<body, 64 hex>.<signature, 128 hex>
//! ```
//!
//! The signature is an Ed25519 one under the key that the vault's id is the public half of. It is of
//! these lines, each with a line feed behind it:
//!
//! ```text
//! everleaf hub request v1
//! <method>
//! <host, as in the header of that name>
//! <path and query, from /v1 on>
//! <time, in milliseconds since 1970, by the hub's clock>
//! <nonce>
//! <blake3 of the body>
//! ```
//!
//! So a request that somebody took down is good for nothing else: not for another hub, object or body,
//! not a second time (a hub remembers nonces for as long as it takes their times), and not later.

use std::{fmt, str::FromStr};

use crate::{
    clock::Timestamp,
    id::{Hex, VaultId, decode_hex},
    seal::{SIGNATURE, Signer, is_signed},
};

/// How the header begins.
pub const SCHEME: &str = "Everleaf ";
/// By which a hub tells what time it has, in milliseconds since 1970.
pub const TIME_HEADER: &str = "everleaf-time";

/// What a request asks for, as far as it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// What the header `Host` says.
    pub host: &'a str,
    /// Path and query.
    pub target: &'a str,
}

/// A signature, and what it is of beside the call.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization {
    /// When it was made, by the hub's clock as far as the client knows it.
    pub time: Timestamp,
    /// Random, and used once.
    pub nonce: [u8; 16],
    /// The blake3 hash of the body.
    pub body: [u8; 32],
    signature: [u8; SIGNATURE],
}

/// Why a text is no authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header `Authorization` is not `Everleaf TIME.NONCE.BODY.SIGNATURE`")]
pub struct ParseAuthorizationError;

impl Authorization {
    /// Signs a call with a body of this hash.
    #[must_use]
    pub fn sign(
        signer: &Signer,
        call: Call<'_>,
        body: [u8; 32],
        time: Timestamp,
        nonce: [u8; 16],
    ) -> Self {
        let unsigned = Self { time, nonce, body, signature: [0; SIGNATURE] };
        let signature = signer.sign(unsigned.message(call).as_bytes());
        Self { signature, ..unsigned }
    }

    /// Whether the holder of the key of `vault` made this for `call`.
    #[must_use]
    pub fn is_of(&self, vault: VaultId, call: Call<'_>) -> bool {
        is_signed(vault, self.message(call).as_bytes(), &self.signature)
    }

    fn message(&self, Call { method, host, target }: Call<'_>) -> String {
        let (time, nonce, body) = (self.time.0, Hex(&self.nonce), Hex(&self.body));
        format!("everleaf hub request v1\n{method}\n{host}\n{target}\n{time}\n{nonce}\n{body}\n")
    }
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, nonce, body, signature } = self;
        write!(f, "{SCHEME}{}.{}.{}.{}", time.0, Hex(nonce), Hex(body), Hex(signature))
    }
}

impl FromStr for Authorization {
    type Err = ParseAuthorizationError;

    fn from_str(text: &str) -> Result<Self, ParseAuthorizationError> {
        parse(text).ok_or(ParseAuthorizationError)
    }
}

fn parse(text: &str) -> Option<Authorization> {
    let mut parts = text.strip_prefix(SCHEME)?.split('.');
    let time = parts.next()?;
    // One way to write a time: what is signed is the number.
    let number: i64 = time.parse().ok().filter(|number: &i64| number.to_string() == time)?;
    let (mut nonce, mut body, mut signature) = ([0; 16], [0; 32], [0; SIGNATURE]);
    decode_hex(parts.next()?, &mut nonce)?;
    decode_hex(parts.next()?, &mut body)?;
    decode_hex(parts.next()?, &mut signature)?;
    let signed = Authorization { time: Timestamp(number), nonce, body, signature };
    parts.next().is_none().then_some(signed)
}

/// Without the signature: whoever has all of it could send the request first.
impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization").field("time", &self.time).finish_non_exhaustive()
    }
}
