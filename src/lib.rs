//! everleaf

pub mod clock;
pub mod event;
pub mod id;
pub mod image;
#[cfg(feature = "loopback")]
pub mod loopback;
pub mod remote;
