//! Where proptest keeps the seeds of cases that failed: `proptests/regressions/`, a file for each
//! module. Each of them is tried again before new ones are.

use proptest::test_runner::{Config, FileFailurePersistence};

/// The usual number of cases for the properties of a module: `kept(module_path!())`.
pub(crate) fn kept(module: &str) -> Config {
    let name = module.trim_start_matches("proptests::").replace("::", "-");
    let path = format!("{}/proptests/regressions/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    // What proptest asks for lives as long as the process.
    let path = FileFailurePersistence::Direct(path.leak());
    Config { failure_persistence: Some(Box::new(path)), ..Config::default() }
}

/// The same, with this many cases.
pub(crate) fn kept_of(module: &str, cases: u32) -> Config {
    Config { cases, ..kept(module) }
}
