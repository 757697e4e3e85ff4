//! What devices can be called, and where notes can be.

use super::VaultError;

/// The longest path that a note is given, in bytes. No system has files with longer ones, and a change is to fit
/// into what devices exchange.
pub const PATH_LIMIT: usize = 64 << 10;

/// What people can call a device: `name` without white space around it, if that is 1 to 64 characters, none of
/// which steers a terminal. A head, which names the device on a remote, has its limit.
///
/// # Errors
///
/// [`VaultError::DeviceName`] where it is none.
pub fn device_name(name: &str) -> Result<String, VaultError> {
    let name = name.trim();
    if (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    Err(VaultError::DeviceName)
}

/// That a note can be at a path.
pub(super) fn check_path(path: Option<&str>) -> Result<(), VaultError> {
    match path.map(str::len) {
        None | Some(1..=PATH_LIMIT) => Ok(()),
        Some(bytes) => Err(VaultError::NotePath(bytes)),
    }
}
