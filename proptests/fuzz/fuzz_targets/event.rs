#![no_main]

#[path = "../../crashers/event.rs"]
mod event;
#[path = "../../crashers/measured.rs"]
mod measured;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| event::attack(bytes));
