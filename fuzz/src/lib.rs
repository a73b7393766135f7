//! What secretbake reads from others, one function for each kind of input: each takes any bytes and panics if a property does not hold.
//!
//! `scripts/fuzz` runs them with coverage; tests replay what it found, in `fuzz/corpus`.

pub mod archives;
pub mod aws;
pub mod engine;
pub mod launcher;
pub mod opening;
pub mod registry;
pub mod sealer;
pub mod texts;

/// Takes any input.
pub type Target = fn(&[u8]);

/// Returns every target with its name, which is its corpus's name too.
pub fn targets() -> impl Iterator<Item = (&'static str, Target)> {
    let files = [
        texts::TARGETS,
        archives::TARGETS,
        registry::TARGETS,
        engine::TARGETS,
        aws::TARGETS,
        launcher::TARGETS,
        opening::TARGETS,
    ];
    files.into_iter().flatten().copied()
}
