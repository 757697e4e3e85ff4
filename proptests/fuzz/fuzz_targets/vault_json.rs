#![no_main]

#[path = "../../crashers/measured.rs"]
mod measured;
#[path = "../../crashers/vault_json.rs"]
mod vault_json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vault_json::attack(bytes));
