//! Stores that others wrote, by way of S3: whether they are what everleaf takes a store for.
//!
//! `proptests/stores.sh` starts them; without one that the environment names (see `outside`) these
//! tests say that they were left out. The scenarios and the real vaults run on such a store too.

mod contract;
mod nodes;
mod refusals;
mod stranger;

pub(crate) use stranger::{Images, finds, names};
