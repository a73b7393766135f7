//! Owns the defence against two environment variables that make the SDK write bodies, and so values, to the log.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// The variables; the SDK reads them itself, on every request.
const BODY_LOGGING: [&str; 2] = ["LOG_SENSITIVE_BODIES", "LOG_SIGNABLE_BODY"];

/// Returns the command that runs `program` again without the variables; `None` where none of them is set.
///
/// A process cannot take them out of its own environment safely, so the binary replaces itself at its start.
pub fn without_body_logging(
    is_set: impl Fn(&str) -> bool,
    program: &Path,
    arguments: impl IntoIterator<Item = OsString>,
) -> Option<Command> {
    if !BODY_LOGGING.into_iter().any(is_set) {
        return None;
    }
    let mut command = Command::new(program);
    command.args(arguments);
    for name in BODY_LOGGING {
        command.env_remove(name);
    }
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_runs_again_only_where_a_variable_is_set() {
        let run = |set: &'static str| {
            without_body_logging(move |name| name == set, Path::new("/bin/secretbake"), [OsString::from("check")])
        };
        assert!(run("PATH").is_none());
        for name in BODY_LOGGING {
            let command = run(name).unwrap();
            assert_eq!(command.get_program(), "/bin/secretbake");
            assert_eq!(command.get_args().collect::<Vec<_>>(), ["check"]);
            let removed: Vec<_> = command.get_envs().collect();
            assert!(BODY_LOGGING.iter().all(|name| removed.contains(&(name.as_ref(), None))));
        }
    }
}
