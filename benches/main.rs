//! What each act costs beside the least that the machine asks for it, measured in the same run; see
//! `benches/README.md`.
//!
//! `cargo bench -- --ratios [FILTER]...` takes minutes; with `--large` it adds vaults of 100,000 notes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::format_push_string,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark that meets the unexpected should stop, and prints what it found"
)]

mod acts;
mod chart;
mod measure;
mod process;
#[path = "../proptests/shared.rs"]
mod shared;
mod vault;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, folder] = arguments.as_slice()
        && first == acts::scale::OPEN_EMPTY
    {
        return acts::scale::open_empty(folder.as_ref());
    }
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // `cargo test --benches` asks for nothing; `cargo bench` says `--bench`.
    if !has("--bench") {
        return;
    }
    let filter = arguments.iter().filter(|argument| !argument.starts_with('-')).cloned().collect();
    let mut bench = measure::Bench::new(filter, has("--large"));
    acts::durable::run(&mut bench);
    acts::images::run(&mut bench);
    acts::folder::run(&mut bench);
    acts::app::run(&mut bench);
    acts::scale::run(&mut bench);
    acts::merge::run(&mut bench);
    acts::exchange::run(&mut bench);
    acts::traces::run(&mut bench);
    bench.finish();
}
