//! What `scripts/fuzz` found, replayed. The launcher's targets are replayed by its own tests.

#[path = "../../fuzz/src/archives.rs"]
mod archives;
#[path = "../../fuzz/src/aws.rs"]
mod aws;
#[path = "../../fuzz/src/engine.rs"]
mod engine;
#[path = "../../fuzz/src/registry.rs"]
mod registry;
#[path = "../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../fuzz/src/texts.rs"]
mod texts;

#[test]
fn every_input_of_the_corpus_keeps_the_properties() {
    let scratch = tempfile::tempdir().unwrap();
    for targets in [texts::TARGETS, archives::TARGETS, registry::TARGETS, engine::TARGETS, aws::TARGETS] {
        replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"), scratch.path(), targets);
    }
}
