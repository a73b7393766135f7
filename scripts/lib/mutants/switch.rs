//! Says which mutant is on. This is a copy of the program, which scripts/mutants rewrote so that each mutant is behind a switch.
//!
//! The choice is in a file and not in a variable, because tests run the program with an environment of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::sync::{LazyLock, Mutex};

static CHOICE: LazyLock<String> =
    LazyLock::new(|| fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/mutant")).unwrap_or_default());
static CHOSEN: LazyLock<Option<usize>> = LazyLock::new(|| CHOICE.parse().ok());
static TRACED: LazyLock<bool> = LazyLock::new(|| *CHOICE == "trace");
static REACHED: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

/// Returns the mutant of `here` that is on, if one is. While tests are traced, none is on, and each of `here` is noted once.
pub fn chosen(here: &[usize]) -> Option<usize> {
    if *TRACED {
        note(here);
    }
    CHOSEN.filter(|mutant| here.contains(mutant))
}

fn note(here: &[usize]) {
    let Ok(mut reached) = REACHED.lock() else { return };
    let new: Vec<usize> = here.iter().copied().filter(|mutant| reached.insert(*mutant)).collect();
    if new.is_empty() {
        return;
    }
    let lines: String = new.iter().map(|mutant| format!("{mutant}\n")).collect();
    if let Ok(mut trace) = fs::OpenOptions::new().append(true).open(concat!(env!("CARGO_MANIFEST_DIR"), "/reached")) {
        let _ = trace.write_all(lines.as_bytes());
    }
}
