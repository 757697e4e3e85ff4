//! The command: see `everleaf --help`.

fn main() {}
