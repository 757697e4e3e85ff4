//! everleaf

pub mod clock;
pub mod event;
pub mod id;
pub mod image;
pub mod images;
#[cfg(feature = "loopback")]
pub mod loopback;
pub mod remote;
pub mod seal;
pub mod segment;
