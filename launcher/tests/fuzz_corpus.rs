//! What `scripts/fuzz` found of the launcher's readers, replayed.
#![cfg(feature = "seal")]

#[path = "../../fuzz/src/launcher.rs"]
mod launcher;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

use std::path::Path;

#[test]
fn every_input_of_the_corpus_keeps_the_properties() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-corpus-of-launcher");
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus"), &scratch, launcher::TARGETS);
}
