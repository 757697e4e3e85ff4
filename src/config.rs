//! From the environment to typed options.

use std::{ffi::OsString, path::PathBuf};

/// What the command is told outside of its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The folder of the vault.
    pub(crate) vault: PathBuf,
    /// The largest image that is taken in, in bytes.
    pub(crate) image_limit: u64,
    /// How many images are on their way at once; by their size, where nobody says.
    pub(crate) parallel: Option<usize>,
}

/// Why the environment can't be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A variable has a value that it can't have.
    #[error("{name} is `{value}`, and should be {expected}")]
    Value {
        /// The variable.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// There is neither a named folder nor a home to put one in.
    #[error("it is not clear where the vault is, since there is no home folder")]
    NoHome,
}

const VAULT: &str = "EVERLEAF_VAULT";
const IMAGE_LIMIT: &str = "EVERLEAF_IMAGE_LIMIT";
const PARALLEL_IMAGES: &str = "EVERLEAF_PARALLEL";
const DEFAULT_IMAGE_LIMIT: u64 = 256 << 20;

impl Config {
    /// Reads the environment by way of `variable`; an empty variable counts as none. `vault` is the
    /// folder that the command line names.
    pub(crate) fn load(
        vault: Option<PathBuf>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name| variable(name).map(|value| value.to_string_lossy().into_owned());
        let named = vault.or_else(|| variable(VAULT).map(PathBuf::from));
        let vault = named.or_else(default_vault).ok_or(ConfigError::NoHome)?;
        // So that files of the vault are shown by paths that mean the same elsewhere.
        let vault = std::path::absolute(&vault).unwrap_or(vault);
        let image_limit = text(IMAGE_LIMIT).map_or(Ok(DEFAULT_IMAGE_LIMIT), |value| {
            size(&value).ok_or(ConfigError::Value {
                name: IMAGE_LIMIT,
                value,
                expected: "a number of bytes, or one with K, M or G behind it, as in `512M`",
            })
        })?;
        let parallel = text(PARALLEL_IMAGES).map(|value| {
            let number = value.parse().ok().filter(|number| (1..=64).contains(number));
            number.ok_or(ConfigError::Value {
                name: PARALLEL_IMAGES,
                value,
                expected: "a number from 1 to 64",
            })
        });
        let parallel = parallel.transpose()?;
        Ok(Self { vault, image_limit, parallel })
    }
}

/// `everleaf` in the folder for a person's data: `~/.local/share` on Linux.
fn default_vault() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "everleaf").map(|dirs| dirs.data_dir().to_owned())
}

/// Bytes, from a number with or without a binary unit.
pub(crate) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text.get(number.len()..)?.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}
