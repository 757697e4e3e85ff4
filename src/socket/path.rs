//! Where the socket is.

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

const NAME: &str = "socket";
/// What fits into an address on every system, in bytes.
const LONGEST: usize = 100;

/// The address of a vault's socket. Addresses are short; where the path is not, the vault's folder is
/// named by way of a file that has to stay open until the address has been used.
pub(super) struct Address {
    pub(super) path: PathBuf,
    _folder: Option<File>,
}

impl Address {
    pub(super) fn of(vault: &Path) -> io::Result<Self> {
        let path = vault.join(NAME);
        if path.as_os_str().as_bytes().len() <= LONGEST {
            return Ok(Self { path, _folder: None });
        }
        let folder = File::open(vault)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd()));
        Ok(Self { path, _folder: Some(folder) })
    }
}
