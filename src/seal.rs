//! The vault key, and sealing what goes to a remote.
//!
//! Sealed, version 1:
//!
//! ```text
//! ┌─────────┬──────────┬───────────────────────────────┬──────────┐
//! │ version │ nonce    │ ciphertext                    │ tag      │
//! │ 1 byte  │ 24 bytes │ as long as the plaintext      │ 16 bytes │
//! └─────────┴──────────┴───────────────────────────────┴──────────┘
//! ```
//!
//! The cipher is XChaCha20-Poly1305. Authenticated with it, though not written there, is the place
//! that the bytes are for: version, vault id, purpose, device and number, 58 bytes in all. Bytes
//! that a remote altered, moved or took from another vault do not open.
//!
//! **The nonce is synthetic**: the first 24 bytes of a keyed blake3 hash, under a key of its own, of
//! place and plaintext. So whoever seals the same content for the same place again gets the same
//! bytes, and a put that is repeated after a crash names the same object. That is safe: a nonce must
//! not be used for two different messages, and here two that differ have the same nonce only where
//! blake3 as a pseudo-random function collides on 192 bits, which is to be expected after 2⁹⁶ of
//! them. What it shows to somebody without the key is whether two objects in one place are equal,
//! and their names, hashes of their bytes, would show that anyway. It needs no randomness, so there
//! is none to fail.
//!
//! All keys are derived from the vault key with `blake3::derive_key`, each under its own context, so
//! that none tells anything of another.

use std::fmt;

use bech32::{Bech32m, Hrp, primitives::decode::UncheckedHrpstring};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    clock::Clock,
    id::{DeviceId, VaultId},
};

const VERSION: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;

/// How many bytes sealing adds.
pub const OVERHEAD: usize = 1 + NONCE + TAG;

const HRP: Hrp = Hrp::parse_unchecked("everleaf");
/// Longer texts are no key, and are not looked at further.
const KEY_TEXT: usize = 128;

const SIGNING: &str = "everleaf 2026-11 vault key v1: signing key of the vault";
const SEALING: &str = "everleaf 2026-11 vault key v1: sealing key";
const NONCES: &str = "everleaf 2026-11 vault key v1: key of synthetic nonces";

/// The one secret of a vault: who has it reads and writes all notes.
///
/// Overwritten in memory when dropped; never shown by `Debug`.
#[derive(Clone)]
pub struct VaultKey(Zeroizing<[u8; 32]>);

/// Why a text is no vault key. Never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It does not look like one.
    #[error("this is not a vault key: one is a single line that begins with `everleaf1`")]
    NotAKey,
    /// It begins as one does, but its checksum is wrong.
    #[error("the vault key has a typing error or is cut short: copy the whole line again")]
    Typo,
    /// It is free of typing errors but stands for another number of bytes.
    #[error("the vault key is of the wrong length: it is not from this program")]
    Length,
}

impl VaultKey {
    /// A new key.
    #[must_use]
    pub fn generate(clock: &dyn Clock) -> Self {
        let mut key = Self(Zeroizing::new([0; 32]));
        clock.fill(&mut *key.0);
        key
    }

    /// The key as one line, `everleaf1…`: bech32m, whose checksum notices typing errors.
    #[must_use]
    #[expect(clippy::expect_used, reason = "32 bytes are within what bech32m can hold")]
    pub fn to_bech32(&self) -> Zeroizing<String> {
        // With room for all of it: growing would leave a copy behind.
        let mut line = Zeroizing::new(String::with_capacity(KEY_TEXT));
        bech32::encode_to_fmt::<Bech32m, _>(&mut *line, HRP, &*self.0).expect("a key is short");
        line
    }

    /// The key that a line shows; space around it and upper case do not matter.
    ///
    /// # Errors
    ///
    /// Where it shows none; the text is not repeated.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = line.trim();
        let prefixed = line.get(..9).is_some_and(|prefix| prefix.eq_ignore_ascii_case("everleaf1"));
        if !prefixed {
            return Err(KeyError::NotAKey);
        }
        if line.len() > KEY_TEXT {
            return Err(KeyError::Length);
        }
        let unchecked = UncheckedHrpstring::new(line).map_err(|_| KeyError::Typo)?;
        let checked =
            unchecked.validate_and_remove_checksum::<Bech32m>().map_err(|_| KeyError::Typo)?;
        let mut key = Self(Zeroizing::new([0; 32]));
        let mut bytes = checked.byte_iter();
        for byte in key.0.iter_mut() {
            *byte = bytes.next().ok_or(KeyError::Length)?;
        }
        // The last character holds four bits that belong to no byte; there is one way to write a key.
        if bytes.next().is_some() || !key.to_bech32().eq_ignore_ascii_case(line) {
            return Err(KeyError::Length);
        }
        Ok(key)
    }

    /// The vault that the key is for: an Ed25519 public key, so that whoever has the vault key can
    /// prove it to somebody who has only the id.
    #[must_use]
    pub fn vault_id(&self) -> VaultId {
        let secret = self.derive(SIGNING);
        let signing = ed25519_dalek::SigningKey::from_bytes(&secret);
        VaultId::from_bytes(signing.verifying_key().to_bytes())
    }

    /// What proves to somebody who has only the vault's id that one has its key.
    #[must_use]
    pub fn signer(&self) -> Signer {
        Signer(ed25519_dalek::SigningKey::from_bytes(&self.derive(SIGNING)))
    }

    /// What seals and opens under this key.
    #[must_use]
    pub fn sealer(&self) -> Sealer {
        Sealer {
            vault: self.vault_id(),
            sealing: self.derive(SEALING),
            nonces: self.derive(NONCES),
        }
    }

    fn derive(&self, context: &str) -> Zeroizing<[u8; 32]> {
        let mut derived = Zeroizing::new([0; 32]);
        let mut hasher = blake3::Hasher::new_derive_key(context);
        let mut output = hasher.update(&*self.0).finalize_xof();
        output.fill(&mut *derived);
        output.zeroize();
        hasher.zeroize();
        derived
    }
}

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultKey(…)")
    }
}

/// The length of a signature, in bytes.
pub const SIGNATURE: usize = 64;

/// Signs as the holder of a vault key. Never shown by `Debug`.
#[derive(Clone)]
pub struct Signer(ed25519_dalek::SigningKey);

impl Signer {
    /// The vault whose key this is of.
    #[must_use]
    pub fn vault(&self) -> VaultId {
        VaultId::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// The signature of `message`, an Ed25519 one.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE] {
        ed25519_dalek::Signer::sign(&self.0, message).to_bytes()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.vault()).finish()
    }
}

/// Whether whoever made `signature` of `message` has the key of `vault`.
#[must_use]
pub fn is_signed(vault: VaultId, message: &[u8], signature: &[u8; SIGNATURE]) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    ed25519_dalek::VerifyingKey::from_bytes(vault.as_bytes())
        .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}

/// The place that sealed bytes are for; they open in no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// A batch of a device's changes.
    Segment {
        /// The device.
        device: DeviceId,
        /// Its number under that device.
        seq: u64,
    },
    /// The part of a checkpoint that names the others.
    Checkpoint {
        /// The device.
        device: DeviceId,
        /// Its number under that device.
        seq: u64,
    },
    /// Another part of a checkpoint; which one, its name says, and so does the first.
    Part {
        /// The device.
        device: DeviceId,
        /// The number of the checkpoint.
        seq: u64,
    },
    /// What a device says of its last segment. Without a number: it is overwritten in its place.
    Head {
        /// The device.
        device: DeviceId,
    },
}

impl Context {
    /// Version, vault, purpose, device, number: all of fixed length, so no two are alike.
    fn authenticated(self, vault: VaultId) -> [u8; 58] {
        let (purpose, device, seq) = match self {
            Self::Segment { device, seq } => (1, device, seq),
            Self::Head { device } => (2, device, 0),
            Self::Checkpoint { device, seq } => (3, device, seq),
            Self::Part { device, seq } => (4, device, seq),
        };
        let mut bytes = [0; 58];
        let parts: [&[u8]; 5] =
            [&[VERSION], vault.as_bytes(), &[purpose], device.as_bytes(), &seq.to_be_bytes()];
        for (byte, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = *from;
        }
        bytes
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment { device, seq } => write!(f, "segment {seq} of device {device}"),
            Self::Checkpoint { device, seq } => write!(f, "checkpoint {seq} of device {device}"),
            Self::Part { device, seq } => {
                write!(f, "a part of checkpoint {seq} of device {device}")
            }
            Self::Head { device } => write!(f, "the head of device {device}"),
        }
    }
}

/// Why sealed bytes do not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is too short to be sealed at all.
    #[error("it is cut short")]
    Short,
    /// It was sealed by a newer everleaf.
    #[error(
        "it is sealed as version {0}, and this everleaf opens version {VERSION}; use a newer one"
    )]
    Version(u8),
    /// It is not what the key sealed for this place.
    #[error("it was altered, moved here from another place, or sealed with another vault key")]
    Refused,
}

/// Seals what goes to a remote, and opens what comes from there.
#[derive(Clone)]
pub struct Sealer {
    vault: VaultId,
    sealing: Zeroizing<[u8; 32]>,
    nonces: Zeroizing<[u8; 32]>,
}

impl Sealer {
    /// Seals `plaintext` for one place: equal content gives equal bytes.
    ///
    /// # Panics
    ///
    /// For more than 256 GiB, which the cipher cannot take.
    #[must_use]
    #[expect(clippy::expect_used, reason = "fails only beyond 256 GiB")]
    pub fn seal(&self, context: Context, plaintext: &[u8]) -> Vec<u8> {
        let aad = context.authenticated(self.vault);
        let mut nonce = [0; NONCE];
        let mut hasher = blake3::Hasher::new_keyed(&self.nonces);
        hasher.update(&aad).update(plaintext).finalize_xof().fill(&mut nonce);
        hasher.zeroize();
        let ciphertext = self
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: plaintext, aad: &aad })
            .expect("short of what the cipher can take");
        let mut sealed = Vec::with_capacity(OVERHEAD + plaintext.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        sealed
    }

    /// Opens what was sealed for one place.
    ///
    /// # Errors
    ///
    /// Where it is anything else.
    pub fn open(&self, context: Context, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (version, rest) = sealed.split_first().ok_or(OpenError::Short)?;
        if *version != VERSION {
            return Err(OpenError::Version(*version));
        }
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE>().ok_or(OpenError::Short)?;
        if ciphertext.len() < TAG {
            return Err(OpenError::Short);
        }
        let aad = context.authenticated(self.vault);
        self.cipher()
            .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &aad })
            .map_err(|_| OpenError::Refused)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.sealing).into())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("vault", &self.vault).finish_non_exhaustive()
    }
}
