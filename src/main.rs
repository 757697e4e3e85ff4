//! The command: see `everleaf --help`.

mod cli;
mod config;

fn main() -> std::process::ExitCode {
    cli::main()
}
