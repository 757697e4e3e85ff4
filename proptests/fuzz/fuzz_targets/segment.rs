#![no_main]

#[path = "../../crashers/measured.rs"]
mod measured;
#[path = "../../crashers/segment.rs"]
mod segment;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| segment::attack(bytes));
