//! The crate's one test binary: properties, scenarios, golden bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that meets the unexpected should stop, and may say what it left out"
)]

mod backends;
mod event;
mod export;
mod folder;
mod golden;
mod image;
mod images;
mod key;
mod offline;
mod remote;
mod s3;
mod seal;
mod segment;
mod vault;
mod vaults;
mod world;
