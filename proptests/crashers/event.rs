//! Events from a damaged log.

use everleaf::{
    event::{decode, encode},
    id::{EventHash, Seq},
};

use super::measured::within;

/// Bytes are an error, or an event that is written down and read back as itself.
pub(crate) fn attack(bytes: &[u8]) {
    let seq = Seq(7);
    // A list may reserve a mebibyte on the word of its length.
    let limit = (2 << 20) + 64 * bytes.len();
    let Ok(read) = within(limit, || decode(seq, None, bytes)) else { return };
    let previous = EventHash::from_bytes(bytes[1..17].try_into().unwrap());
    let (written, hash) = encode(seq, previous, read.at, &read.origin, &read.event).unwrap();
    let again = decode(seq, Some(previous), &written).unwrap();
    assert_eq!((again.at, again.origin, again.event), (read.at, read.origin, read.event));
    // A number may be written longer than it has to be, which makes it another event.
    assert_eq!(written == bytes, hash == read.hash);
    assert!(written.len() <= bytes.len());
}
