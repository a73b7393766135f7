//! What `scripts/fuzz` found of the opening, replayed.

#[path = "../../../fuzz/src/opening.rs"]
mod opening;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/sealer.rs"]
mod sealer;

use std::path::Path;

#[test]
fn every_input_of_the_corpus_keeps_the_properties() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-corpus-of-opening");
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus"), &scratch, opening::TARGETS);
}

#[test]
fn what_the_sealer_writes_is_opened() {
    let whole = sealer::CHUNK;
    for length in [0, 1, whole - 1, whole, whole + 1, 2 * whole, 1024 * 1024] {
        assert!(opening::opened(&sealer::sealed(&opening::plain(length))) == Ok(opening::plain(length)), "{length}");
    }
}
