//! Owns the built-in launchers: two programs for each architecture, in every build of secretbake. Only a sealed image has the sealing one,
//! which opens what is sealed and is larger.
//!
//! `scripts/launchers` builds the programs from the sources in `launcher/`, and `.ci/run` checks that these still give the
//! same bytes.

use super::append::Launcher;

/// Programs, with their architectures as Go names them.
type Programs = [(&'static str, &'static [u8]); 2];

const PLAIN: Programs = [("amd64", include_bytes!("launcher/x86_64")), ("arm64", include_bytes!("launcher/aarch64"))];

const SEALING: Programs =
    [("amd64", include_bytes!("launcher/sealing-x86_64")), ("arm64", include_bytes!("launcher/sealing-aarch64"))];

/// Returns the built-in launchers, one for each architecture.
pub fn built_in() -> impl Iterator<Item = Launcher> {
    launchers(PLAIN)
}

/// Returns the built-in launchers for sealed images, one for each architecture.
pub fn sealing() -> impl Iterator<Item = Launcher> {
    launchers(SEALING)
}

fn launchers(programs: Programs) -> impl Iterator<Item = Launcher> {
    programs
        .into_iter()
        .map(|(architecture, program)| Launcher { program: program.into(), architecture: architecture.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_is_of_its_architecture() {
        for launcher in built_in().chain(sealing()) {
            assert_eq!(Launcher::architecture_of(&launcher.program), Some(launcher.architecture.as_str()));
        }
    }
}
