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
mod browser;
mod cli;
mod decisions;
mod demo;
mod errors;
mod event;
mod export;
mod folder;
mod golden;
mod image;
mod images;
mod key;
mod log;
mod machine;
mod markdown;
mod note;
mod offline;
mod page;
mod readme;
mod remote;
mod resolve;
mod s3;
mod scenarios;
mod seal;
mod segment;
mod shared;
mod sim;
mod tidy;
mod twins;
mod vault;
mod vaults;
mod web;
mod world;
