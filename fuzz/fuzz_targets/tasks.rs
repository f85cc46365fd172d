#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cf_fuzz::run("tasks", bytes));
