#![no_main]

#[path = "../../crashers/hub_request.rs"]
mod hub_request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hub_request::attack(bytes));
