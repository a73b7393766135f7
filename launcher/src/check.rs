//! What `/.secretbake/launch --check` prints: each baked variable's name, and whether the container sees the baked value.
//!
//! Owns the words. Must not show a value.

use crate::environment::{Environment, split};
use crate::line::Line;
use core::ffi::CStr;

/// The only argument that makes the launcher print instead of starting a command.
pub const FLAG: &CStr = c"--check";

/// The output if nothing is baked.
pub const NO_VARIABLES: &str = "no variables in /.secretbake/env\n";

/// Returns the line of a baked entry, given the environment that the launcher inherited.
pub fn describe(entry: &CStr, inherited: &Environment<'_, '_>) -> Line {
    let (name, baked) = split(entry);
    let is_overridden = inherited.value(name).is_some_and(|value| Some(value) != baked);
    let state = if is_overridden { "overridden by the container's environment" } else { "baked" };
    let mut line = Line::new();
    line.push_name(name).push(": ").push(state).push("\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{index_length, pointers_length};

    #[test]
    fn a_variable_is_baked_unless_the_container_sets_another_value() {
        let inherited = [c"SAME=s3cret", c"OTHER=", c"NOT_BAKED=1"];
        let mut index = vec![None; index_length(inherited.len()).unwrap()];
        let mut pointers = vec![core::ptr::null(); pointers_length(inherited.len()).unwrap()];
        let mut environment = Environment::new(&mut index, &mut pointers);
        inherited.iter().for_each(|entry| environment.inherit(entry));
        for (entry, line) in [
            (c"SAME=s3cret", "SAME: baked\n"),
            (c"OTHER=s3cret", "OTHER: overridden by the container's environment\n"),
            (c"NEW=s3cret", "NEW: baked\n"),
        ] {
            assert_eq!(describe(entry, &environment).as_bytes(), line.as_bytes());
        }
    }
}
