#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(vision_models::fuzzing::manifest(bytes)));
