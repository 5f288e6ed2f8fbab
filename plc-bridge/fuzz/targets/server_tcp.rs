#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plc_bridge::fuzzing::case("server_tcp", bytes));
