//! Attacks: what hostile bytes, names, notes and remotes try, and what a person is told of it.
//!
//! `SECURITY.md` says who attacks what, and names the tests here.

mod endless;
mod liars;
mod notes;
mod paths;
mod races;
mod secrets;
mod terminal;
