//! everleaf

pub mod clock;
pub mod db;
pub mod event;
pub mod folder;
pub mod id;
pub mod image;
pub mod images;
pub mod log;
#[cfg(feature = "loopback")]
pub mod loopback;
pub mod note;
pub mod projection;
pub mod remote;
pub mod resolve;
pub mod seal;
pub mod segment;
pub mod sync;
pub mod upload;
pub mod vault;
