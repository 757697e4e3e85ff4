#![no_main]

#[path = "../../crashers/measured.rs"]
mod measured;
#[path = "../../crashers/event.rs"]
mod event;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| event::attack(bytes));
