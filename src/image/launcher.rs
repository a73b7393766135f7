//! Owns the built-in launchers: a program for each architecture, in every build of secretbake.
//!
//! `scripts/launchers` builds the programs from the sources in `launcher/`, and `.ci/run` checks that these still give the
//! same bytes.

use super::append::Launcher;

/// The programs, with their architectures as Go names them.
const PROGRAMS: [(&str, &[u8]); 2] =
    [("amd64", include_bytes!("launcher/x86_64")), ("arm64", include_bytes!("launcher/aarch64"))];

/// Returns the built-in launchers, one for each architecture.
pub fn built_in() -> impl Iterator<Item = Launcher> {
    PROGRAMS
        .iter()
        .map(|(architecture, program)| Launcher { program: program.to_vec(), architecture: (*architecture).to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_is_of_its_architecture() {
        for launcher in built_in() {
            assert_eq!(Launcher::architecture_of(&launcher.program), Some(launcher.architecture.as_str()));
        }
    }
}
