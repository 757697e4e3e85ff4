//! Golden bytes: `fixtures/golden/` holds what every format version wrote, and it stays readable.
//!
//! `EVERLEAF_GOLDEN=write cargo test` writes the files of a new version; it never writes over one
//! that is there.

use std::{fs, path::Path};

/// The golden file of this name; `present` is what today's version writes.
pub(crate) fn golden(name: &str, present: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden").join(name);
    if !path.exists() && std::env::var_os("EVERLEAF_GOLDEN").is_some_and(|how| how == "write") {
        fs::write(&path, present).unwrap();
    }
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let hex = hex.trim();
    assert_eq!(hex.len() % 2, 0);
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
