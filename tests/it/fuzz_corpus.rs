//! What `scripts/fuzz` found, replayed: each input once covered something that no other did.

#[path = "../../fuzz/src/archives.rs"]
mod archives;
#[path = "../../fuzz/src/texts.rs"]
mod texts;

use std::fs::File;
use std::io::Read as _;

use lzma_rust2::XzReader;

#[test]
fn every_input_of_the_corpus_keeps_the_properties() {
    for (name, target) in [texts::TARGETS, archives::TARGETS].into_iter().flatten() {
        let path = format!("{}/fuzz/corpus/{name}.tar.xz", env!("CARGO_MANIFEST_DIR"));
        let mut inputs = 0;
        let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        for member in tar::Archive::new(XzReader::new(file, true)).entries().unwrap() {
            let mut member = member.unwrap();
            if member.header().entry_type().is_file() {
                let mut input = Vec::new();
                member.read_to_end(&mut input).unwrap();
                target(&input);
                inputs += 1;
            }
        }
        assert!(inputs > 10, "{path} has {inputs} inputs");
    }
}
