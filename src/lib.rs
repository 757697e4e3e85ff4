//! everleaf

pub mod clock;
pub mod event;
pub mod id;
pub mod image;
pub mod note;
pub mod resolve;
