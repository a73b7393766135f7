//! "Whatever happens to a run, my tag stands for the old image or for the new one, and it is whole."
//!
//! `scripts/mishaps` repeats these tests for as long as is wanted.

mod daemon;
mod disk;
mod faults;
mod kills;
mod place;
mod together;

/// Makes a module for each place that images go to, with these tests; the engines' can be left out by the module's name.
macro_rules! in_each_place {
    ($($test:ident),* $(,)?) => {
        in_each_place!(@ $($test),*; overlay2, containerd, podman, registry, layout, docker_archive, oci_archive);
    };
    (@ $($test:ident),*; $place:ident $(, $rest:ident)*) => {
        in_each_place!(@one $place: $($test),*);
        in_each_place!(@ $($test),*; $($rest),*);
    };
    (@ $($test:ident),*;) => {};
    (@one $place:ident: $($test:ident),*) => {
        mod $place { $(
            #[test]
            fn $test() {
                super::$test(super::super::place::Place::$place());
            }
        )* }
    };
}
use in_each_place;

/// Returns how often a test is to repeat what it does; `scripts/mishaps` sets it.
fn rounds(usual: usize) -> usize {
    std::env::var("SECRETBAKE_TEST_ROUNDS").map_or(usual, |rounds| rounds.parse().unwrap())
}

/// Says what happened, for `scripts/mishaps`.
#[expect(clippy::print_stdout, reason = "it is what the script is for")]
fn report(what: &str) {
    println!("{what}");
}
