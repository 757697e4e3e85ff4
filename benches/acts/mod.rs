//! The acts, a file for each part of the house.

pub mod app;
pub mod durable;
pub mod exchange;
pub mod folder;
pub mod images;
pub mod merge;
pub mod scale;
pub mod traces;
