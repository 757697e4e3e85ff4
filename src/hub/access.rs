//! Who may do what: the one place where a request is believed to come from the holder of a key.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use super::token::Tokens;
use crate::{
    clock::Timestamp,
    id::VaultId,
    remote::hub::{
        Reason,
        signature::{Authorization, Call, SCHEME},
    },
};

/// How old a signature may be.
pub const WINDOW: Duration = Duration::from_mins(1);
/// How far a client's clock may be ahead: it is told the time with every answer.
const AHEAD: Duration = Duration::from_secs(5);
/// Nonces that are remembered of one vault: a bound on memory, and on what one vault can take of it.
const NONCES: usize = 1 << 16;

/// What a request shows of itself.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// Method, host, path and query.
    pub call: Call<'a>,
    /// The header `Authorization`.
    pub authorization: Option<&'a str>,
}

/// By what a request was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A signature; whether its nonce is new is not decided yet.
    Signed(Authorization),
    /// A token, which lets read and nothing else, until then.
    Token(Timestamp),
}

/// Decides whether whoever makes a request has the key of `vault`. No signature from before `since`
/// is taken. Pure: reads no clock and remembers nothing.
///
/// # Errors
///
/// The reason why not.
pub fn authenticate(
    vault: VaultId,
    presented: Presented<'_>,
    since: Timestamp,
    now: Timestamp,
) -> Result<Authorization, Reason> {
    let text = presented.authorization.ok_or(Reason::Unsigned)?;
    let signed: Authorization = text.parse().map_err(|_| Reason::Unsigned)?;
    if !signed.is_of(vault, presented.call) {
        return Err(Reason::Unsigned);
    }
    let is_new = signed.time >= since && now.since(signed.time) <= WINDOW;
    if is_new && signed.time <= now.plus(AHEAD) { Ok(signed) } else { Err(Reason::Clock) }
}

impl Tokens {
    /// [`authenticate`], or a token where the request only reads.
    pub(super) fn admit(
        &self,
        vault: VaultId,
        presented: Presented<'_>,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Proof, Reason> {
        let signs = presented.authorization.is_none_or(|text| text.starts_with(SCHEME));
        if signs {
            return authenticate(vault, presented, since, now).map(Proof::Signed);
        }
        let reads = matches!(presented.call.method, "GET" | "HEAD");
        let token = presented.authorization.filter(|_| reads);
        let until = token.and_then(|token| self.until(vault, token, now));
        until.map(Proof::Token).ok_or(Reason::Unsigned)
    }
}

/// The nonces of one vault that could still be used again.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    known: HashSet<[u8; 16]>,
    /// With when they may be forgotten, oldest first.
    order: VecDeque<(Timestamp, [u8; 16])>,
}

impl Nonces {
    /// Takes note of a nonce.
    ///
    /// # Errors
    ///
    /// [`Reason::Replayed`] where it is known, [`Reason::TooMany`] where there is no room for it.
    pub(super) fn spend(&mut self, nonce: [u8; 16], now: Timestamp) -> Result<(), Reason> {
        self.forget(now);
        if self.known.contains(&nonce) {
            return Err(Reason::Replayed);
        }
        if self.known.len() >= NONCES {
            return Err(Reason::TooMany);
        }
        self.known.insert(nonce);
        // Longer than any time that is taken now will be.
        self.order.push_back((now.plus(WINDOW + AHEAD + Duration::from_secs(1)), nonce));
        Ok(())
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|(until, _)| *until < now) {
            if let Some((_, nonce)) = self.order.pop_front() {
                self.known.remove(&nonce);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}
