#![no_main]

#[path = "../../crashers/checkpoint.rs"]
mod checkpoint;
#[path = "../../crashers/measured.rs"]
mod measured;

libfuzzer_sys::fuzz_target!(
    // A panic that the library catches is an answer; libfuzzer's hook would stop at it. One that
    // nobody catches still ends the run.
    init: std::panic::set_hook(Box::new(|_| ())),
    |bytes: &[u8]| checkpoint::attack(bytes)
);
