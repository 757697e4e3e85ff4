//! `vault.json` from a remote that is somebody else's.

use everleaf::segment::{VAULT_FILE_LIMIT, VaultFile};

use super::measured::within;

/// Bytes are an error, or a file that is written and read back as itself.
pub(crate) fn attack(bytes: &[u8]) {
    if let Ok(file) = within(4 * VAULT_FILE_LIMIT, || VaultFile::from_bytes(bytes)) {
        assert!(file.format <= VaultFile::FORMAT && bytes.len() <= VAULT_FILE_LIMIT);
        assert_eq!(VaultFile::from_bytes(&file.to_bytes()).unwrap().vault, file.vault);
    }
}
