//! Owns how a message writes a command of secretbake: so that it works when it is pasted into a shell.
//!
//! How the program was called and which org file was named is set once, at the start of a run.

use std::sync::OnceLock;

use super::ForeignText;

/// How this program was called.
struct Call {
    /// Words of a shell: `secretbake`, a path of it, or `docker secretbake`.
    program: String,
    /// The org file that `--org` names.
    org: Option<String>,
}

static CALL: OnceLock<Call> = OnceLock::new();

/// Remembers how the program was called: by which word or words of a shell, and with which org file in `--org`.
pub fn called(program: String, org: Option<&str>) {
    // a process is called once
    let _ = CALL.set(Call { program, org: org.map(shell_word) });
}

/// Returns the command with these arguments.
pub fn own(arguments: &str) -> String {
    format!("{} {arguments}", CALL.get().map_or("secretbake", |call| &call.program))
}

/// Returns the command with these arguments, for one that reads the org file: with `--org` if the user gave it.
pub fn with_org(arguments: &str) -> String {
    let org = CALL.get().and_then(|call| call.org.as_ref()).map(|org| format!(" --org {org}"));
    own(arguments) + &org.unwrap_or_default()
}

/// Returns a word as a shell reads it.
pub fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+,%".contains(c);
    let shown = ForeignText::name(word).to_string();
    match shown.chars().all(is_plain) && !shown.is_empty() {
        true => shown,
        false => format!("'{}'", shown.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_word_of_the_shell() {
        assert_eq!(shell_word("oci:target/quickstart:1.0"), "oci:target/quickstart:1.0");
        assert_eq!(shell_word("oci:my dir/it's:1"), r"'oci:my dir/it'\''s:1'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn a_program_that_does_not_say_how_it_was_called_has_its_name() {
        assert_eq!(with_org("secrets list"), "secretbake secrets list");
    }
}
