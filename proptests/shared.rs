//! The data sets that stand beside the crate while it is made, and nowhere else.

use std::path::{Path, PathBuf};

/// The path of `name` in the shared data; `None`, with a word about it, where there is none.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("EVERLEAF_SHARED").map_or_else(
        || Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")).to_owned(),
        PathBuf::from,
    );
    let path = root.join(name);
    if !path.exists() {
        eprintln!("left out: there is no {}", path.display());
        return None;
    }
    Some(path)
}
