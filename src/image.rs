//! What is known of an image by looking at its bytes.

use serde::{Deserialize, Serialize};

/// The kinds of image that are taken in. Numbered in binary formats: add at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MediaType {
    /// `image/png`
    Png,
    /// `image/jpeg`
    Jpeg,
    /// `image/gif`
    Gif,
    /// `image/webp`
    Webp,
    /// `image/avif`
    Avif,
    /// `image/heic`
    Heic,
    /// `image/svg+xml`
    Svg,
    /// `image/bmp`
    Bmp,
    /// `image/tiff`
    Tiff,
    /// `image/x-icon`
    Ico,
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dimensions {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}
