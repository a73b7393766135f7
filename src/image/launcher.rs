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
        for launchers in [built_in().collect::<Vec<_>>(), sealing().collect()] {
            let architectures = launchers.iter().map(|launcher| Launcher::architecture_of(&launcher.program));
            assert_eq!(architectures.collect::<Vec<_>>(), [Some("amd64"), Some("arm64")]);
        }
    }

    #[test]
    fn a_launcher_of_ones_own_is_known_by_its_elf_header() {
        let program = |class: u8, byte_order: u8, machine: u8| {
            let mut header = [0; 64];
            header[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, byte_order]);
            header[18] = machine;
            Launcher::architecture_of(&header)
        };
        assert_eq!(program(2, 1, 243), Some("riscv64"));
        assert_eq!(program(2, 1, 21), Some("ppc64le"));
        assert_eq!(program(1, 1, 3), Some("386"));
        assert_eq!(program(1, 1, 40), Some("arm"));
        // s390x has its bytes the other way round, and ppc64 is not ppc64le
        assert_eq!(program(2, 2, 0), None);
        assert_eq!(program(2, 2, 21), None);
        assert_eq!(Launcher::architecture_of(b"#!/bin/sh\nexec sleep 1\n"), None);
        assert_eq!(Launcher::architecture_of(b"\x7fELF"), None);
    }
}
