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
mod checkpoint;
mod cli;
mod crash;
mod crashers;
mod decisions;
mod demo;
mod errors;
mod event;
mod export;
mod fixtures;
mod folder;
mod golden;
mod hub;
mod image;
mod images;
mod key;
mod left_alone;
mod list;
mod log;
mod machine;
mod markdown;
mod mutants;
mod note;
mod offline;
mod outside;
mod page;
mod projections;
mod readme;
mod regressions;
mod remote;
mod resolve;
mod s3;
mod scenarios;
mod seal;
mod search;
mod security;
mod segment;
mod shared;
mod sim;
mod socket;
mod stores;
mod tables;
mod tidy;
mod traces;
mod twins;
mod vault;
mod vaults;
mod web;
mod world;
