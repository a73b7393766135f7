//! What the launcher reads in a container.

use secretbake_launcher::baked::Baked;

/// Takes any input.
type Target = fn(&[u8]);

/// The targets of this file, by name.
pub const TARGETS: &[(&str, Target)] = &[("env-file", env_file)];

/// The env file of a plain image.
pub fn env_file(input: &[u8]) {
    let Ok(baked) = Baked::parse(input) else { return };
    let entries: Vec<&[u8]> = baked.entries().map(|entry| entry.to_bytes_with_nul()).collect();
    assert_eq!(entries.len(), baked.count());
    assert_eq!(entries.concat(), input);
}
