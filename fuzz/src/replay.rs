//! Replays a corpus in an ordinary test.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

/// Takes any input.
type Target = fn(&[u8]);

/// Gives each target every input of its corpus: each input once covered something that no other did. `scratch` is a folder of the test's own.
///
/// # Panics
///
/// When a property does not hold, or a corpus is missing.
pub fn replay(corpora: &str, scratch: &Path, targets: &[(&str, Target)]) {
    for (name, target) in targets {
        let inputs = scratch.join(name);
        match fs::remove_dir_all(&inputs) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{inputs:?}: {error}"),
            _ => fs::create_dir_all(&inputs).unwrap(),
        }
        let corpus = format!("{corpora}/{name}.tar.xz");
        assert!(Command::new("tar").args(["-xf", &corpus, "-C"]).arg(&inputs).status().unwrap().success(), "{corpus}");
        let paths: Vec<_> = fs::read_dir(&inputs).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(paths.len() > 10, "{corpus} has {} inputs", paths.len());
        for path in paths {
            target(&fs::read(path).unwrap());
        }
    }
}
