//! DEFLATE, as Automerge has it for long changes and columns.
//!
//! What packs takes 300 KB of memory. Made anew for each change, it leaves a hole where some of what it packed is
//! put, and in which the next no longer fits: a gigabyte of them after 4,000 notes. So each thread keeps its own.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

thread_local! {
    static PACKER: RefCell<Compress> = RefCell::new(Compress::new(Compression::default(), false));
    static UNPACKER: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// The room that is made at first.
const ROOM: usize = 64;

/// Packs bytes.
pub(super) fn deflate(bytes: &[u8]) -> Option<Vec<u8>> {
    PACKER.with_borrow_mut(|packer| {
        packer.reset();
        let mut deflated = Vec::with_capacity(ROOM + bytes.len());
        loop {
            let rest = bytes.get(usize::try_from(packer.total_in()).ok()?..)?;
            if packer.compress_vec(rest, &mut deflated, FlushCompress::Finish).ok()?
                == Status::StreamEnd
            {
                deflated.shrink_to_fit();
                return Some(deflated);
            }
            deflated.reserve(ROOM + rest.len());
        }
    })
}

/// What was packed, in so many bytes at most; `None` where it makes no sense, or is longer.
pub(super) fn inflate(packed: &[u8], most: usize) -> Option<Vec<u8>> {
    UNPACKER.with_borrow_mut(|unpacker| {
        unpacker.reset(false);
        let mut inflated =
            Vec::with_capacity(ROOM.saturating_add(packed.len().saturating_mul(4)).min(most));
        loop {
            let rest = packed.get(usize::try_from(unpacker.total_in()).ok()?..)?;
            let status =
                unpacker.decompress_vec(rest, &mut inflated, FlushDecompress::None).ok()?;
            if inflated.len() > most {
                return None;
            }
            if status == Status::StreamEnd {
                inflated.shrink_to_fit();
                return Some(inflated);
            }
            // With room left it has taken all that there is.
            if inflated.len() < inflated.capacity() {
                return None;
            }
            // One more than may come, so that it is seen.
            inflated.reserve(inflated.len().max(ROOM).min(most + 1 - inflated.len()));
        }
    })
}
