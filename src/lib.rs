//! everleaf

pub mod clock;
pub mod event;
pub mod id;
pub mod image;
pub mod images;
pub mod seal;
pub mod segment;
