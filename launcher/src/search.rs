//! The search for the command along `PATH`. It follows the rules of Go's `exec.LookPath`, which runc uses to start the
//! command of an image without the launcher.
//!
//! Owns the order of the candidates and the choice. Must not touch the file system: it calls a function to probe paths.

use core::ffi::CStr;

/// The search path if `PATH` is not set.
pub const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The kernel's `PATH_MAX`, the final NUL included.
const PATH_MAX: usize = 4096;

/// What is found at a candidate's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A file this process may execute.
    Executable,
    /// Something that exists, or may exist, and may not be executed.
    Denied,
    /// Nothing, or a directory.
    Absent,
}

/// Why the search ended without a file to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMatch {
    /// No directory contains it.
    NotFound,
    /// Candidates exist, but none of them may be executed.
    Denied,
    /// The first match is in a directory relative to the current one. It is refused, not skipped.
    Relative,
}

/// The path of one candidate, ended by NUL.
#[derive(Debug)]
pub struct Candidate {
    bytes: [u8; PATH_MAX],
}

impl Candidate {
    /// Makes an empty path.
    pub fn new() -> Self {
        Self { bytes: [0; PATH_MAX] }
    }

    /// Returns the path.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }

    /// Sets it to `directory/command`; returns whether that fits.
    fn set(&mut self, directory: &[u8], command: &[u8]) -> bool {
        let separator: &[u8] = if directory.ends_with(b"/") { b"" } else { b"/" };
        let mut rest = &mut self.bytes[..];
        for part in [directory, separator, command, b"\0"] {
            let Some((place, after)) = rest.split_at_mut_checked(part.len()) else {
                return false;
            };
            place.copy_from_slice(part);
            rest = after;
        }
        true
    }
}

impl Default for Candidate {
    fn default() -> Self {
        Self::new()
    }
}

/// Tells whether the command is a path, which is executed directly and not searched for.
pub fn is_path(command: &CStr) -> bool {
    command.to_bytes().contains(&b'/')
}

/// Searches `path`, or the default if it is `None`, and leaves the match in `candidate`.
///
/// An empty `PATH` has no directory; an empty element of one is the current directory.
pub fn search(
    command: &CStr,
    path: Option<&[u8]>,
    candidate: &mut Candidate,
    mut probe: impl FnMut(&CStr) -> Probe,
) -> Result<(), NoMatch> {
    let path = path.unwrap_or(DEFAULT_PATH);
    if path.is_empty() {
        return Err(NoMatch::NotFound);
    }
    let mut failure = NoMatch::NotFound;
    for directory in path.split(|byte| *byte == b':') {
        let directory = if directory.is_empty() { b"." } else { directory };
        if !candidate.set(directory, command.to_bytes()) {
            continue;
        }
        match probe(candidate.as_c_str()) {
            Probe::Executable if directory.starts_with(b"/") => return Ok(()),
            Probe::Executable => return Err(NoMatch::Relative),
            Probe::Denied => failure = NoMatch::Denied,
            Probe::Absent => {}
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a file system that holds just `files`; returns the match and what was probed.
    fn find(path: Option<&str>, files: &[(&str, Probe)]) -> (Result<String, NoMatch>, Vec<String>) {
        let mut candidate = Candidate::new();
        let mut probed = Vec::new();
        let result = search(c"app", path.map(str::as_bytes), &mut candidate, |asked| {
            let asked = asked.to_str().unwrap();
            probed.push(asked.to_owned());
            files.iter().find(|(file, _)| *file == asked).map_or(Probe::Absent, |(_, found)| *found)
        });
        (result.map(|()| candidate.as_c_str().to_str().unwrap().to_owned()), probed)
    }

    #[test]
    fn the_first_executable_is_taken() {
        let files = [("/b/app", Probe::Executable), ("/c/app", Probe::Executable)];
        let (found, probed) = find(Some("/a:/b:/c"), &files);
        assert_eq!(found, Ok("/b/app".to_owned()));
        assert_eq!(probed, ["/a/app", "/b/app"]);
    }

    #[test]
    fn a_file_that_may_not_be_executed_is_passed_over() {
        let files = [("/a/app", Probe::Denied), ("/b/app", Probe::Executable)];
        assert_eq!(find(Some("/a:/b"), &files).0, Ok("/b/app".to_owned()));
    }

    #[test]
    fn that_one_was_denied_is_remembered() {
        assert_eq!(find(Some("/a:/b"), &[("/a/app", Probe::Denied)]).0, Err(NoMatch::Denied));
        assert_eq!(find(Some("/a:/b"), &[]).0, Err(NoMatch::NotFound));
    }

    #[test]
    fn without_path_the_default_is_searched() {
        let (found, probed) = find(None, &[("/bin/app", Probe::Executable)]);
        assert_eq!(found, Ok("/bin/app".to_owned()));
        assert_eq!(
            probed,
            ["/usr/local/sbin/app", "/usr/local/bin/app", "/usr/sbin/app", "/usr/bin/app", "/sbin/app", "/bin/app"]
        );
    }

    #[test]
    fn an_empty_path_has_nothing_to_search() {
        assert_eq!(find(Some(""), &[("./app", Probe::Executable)]), (Err(NoMatch::NotFound), vec![]));
    }

    #[test]
    fn a_relative_match_is_refused() {
        for path in [":/bin", "/a::/bin", ".:/bin", "/a:"] {
            let files = [("./app", Probe::Executable), ("/bin/app", Probe::Executable)];
            assert_eq!(find(Some(path), &files).0, Err(NoMatch::Relative), "{path}");
        }
        assert_eq!(find(Some("bin:/bin"), &[("bin/app", Probe::Executable)]).0, Err(NoMatch::Relative));
        assert_eq!(find(Some(":/bin"), &[("/bin/app", Probe::Executable)]).0, Ok("/bin/app".to_owned()));
    }

    #[test]
    fn a_slash_is_not_doubled() {
        assert_eq!(find(Some("/a/:/"), &[]).1, ["/a/app", "/app"]);
    }

    #[test]
    fn a_candidate_too_long_for_the_kernel_is_passed_over() {
        let fits = format!("/{}", "x".repeat(PATH_MAX - 1 - "/app\0".len()));
        let long = format!("{fits}x");
        let (found, probed) = find(Some(&format!("{long}:{fits}:/bin")), &[("/bin/app", Probe::Executable)]);
        assert_eq!(found, Ok("/bin/app".to_owned()));
        assert_eq!(probed, [format!("{fits}/app"), "/bin/app".to_owned()]);
    }

    #[test]
    fn a_command_with_a_slash_is_a_path() {
        assert!(is_path(c"/app"));
        assert!(is_path(c"./app"));
        assert!(is_path(c"bin/app"));
        assert!(!is_path(c"app"));
        assert!(!is_path(c""));
    }
}
