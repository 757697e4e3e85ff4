//! A few pictures, in files of many names.

use std::{fs, path::Path};

use super::{Check, Dice};
use crate::id::ImageId;

/// Distinct pictures in a history: few, so that many notes and devices hold the same.
const PICTURES: u64 = 6;
/// What files are called, whatever is in them.
const EXTENSIONS: [&str; 3] = ["png", "jpg", "gif"];

/// A picture: its bytes, and what they are called in the vault.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub(super) bytes: Vec<u8>,
    pub(super) image: ImageId,
}

/// One of the pictures.
pub(super) fn any(dice: &mut Dice) -> Picture {
    let bytes = png(dice.below(PICTURES));
    let image = ImageId::from_bytes(*blake3::hash(&bytes).as_bytes());
    Picture { bytes, image }
}

/// A file name that stands for number `number`; its extension tells nothing.
pub(super) fn name(number: u32, dice: &mut Dice) -> String {
    let extension = dice.pick(&EXTENSIONS).copied().unwrap_or("png");
    format!("i{number}.{extension}")
}

/// Puts a picture into a file.
pub(super) fn write(folder: &Path, name: &str, picture: &Picture) -> Check {
    Ok(fs::write(folder.join(name), &picture.bytes)?)
}

/// What begins like a PNG of 8 by 8 pixels: more is never looked at.
fn png(number: u64) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend([8_u32, 8].into_iter().flat_map(u32::to_be_bytes));
    bytes.extend_from_slice(b"\x08\x06\0\0\0");
    bytes.extend(number.to_le_bytes());
    bytes
}
