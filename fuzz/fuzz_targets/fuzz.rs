//! One program for every target: `SECRETBAKE_FUZZ` names it.

#![no_main]

use std::sync::OnceLock;

use secretbake_fuzz::{Target, targets};

static CHOSEN: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("SECRETBAKE_FUZZ").unwrap_or_default();
    targets().find(|(target, _)| *target == name).map(|(_, target)| target).expect("SECRETBAKE_FUZZ names a target")
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| CHOSEN.get_or_init(chosen)(input));
