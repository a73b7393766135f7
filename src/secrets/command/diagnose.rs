//! Owns the diagnosis of a client that gave no value: what it did, what it said, and how to see the same by hand.
//!
//! It is pure. What a client says is text of others: bounded, escaped and without any secret of this run.

use super::process::{ClientExit, FaultKind, MAX_VALUE_BYTES};
use crate::diagnostic::{Diagnostic, ForeignText};
use crate::manifest::reference::SecretId;
use crate::org::command::{NAME, command_line};
use crate::secrets::{ProviderError, ProviderErrorKind};

/// With what a client was run.
pub struct CommandCall<'a> {
    pub credential: &'a str,
    pub command: &'a [String],
    pub id: Option<&'a SecretId>,
    /// How long it might take.
    pub seconds: u64,
}

impl CommandCall<'_> {
    /// The program is not there.
    pub fn no_program(&self, is_in_path: bool) -> ProviderError {
        let program = self.program();
        let what = match is_in_path {
            true => format!("no program `{program}` in PATH"),
            false => format!("no program at {program}"),
        };
        let hint = match is_in_path {
            true => format!("install {program}, or write its full path in the credential's `command`"),
            false => "a relative path in `command` starts at the org file; the file must be executable".to_owned(),
        };
        self.error("no-program", &what).hint(hint).into()
    }

    /// The client ended by itself, and not well.
    pub fn failed(&self, end: ClientExit, said: &[u8]) -> ProviderError {
        let how = match end {
            ClientExit::Status(status) => format!("exited with status {status}"),
            ClientExit::Signal(signal) => format!("was ended by signal {signal}"),
        };
        let problem = self.error("command-failed", &format!("{} {how}", self.program()));
        self.with_words(problem, said).hint(self.by_hand()).into()
    }

    /// The client did not end, or gave more than a value.
    pub fn unfinished(&self, fault: &FaultKind, said: &[u8]) -> ProviderError {
        let program = self.program();
        let problem = match fault {
            FaultKind::NotStarted(error) => {
                let problem = self.error("command-not-started", &format!("cannot run {program}: {error}"));
                return problem.hint("check that the file is a program of this machine").into();
            }
            FaultKind::Pipe(error) => self.error("command-failed", &format!("cannot read from {program}: {error}")),
            FaultKind::TooLong => {
                let most = MAX_VALUE_BYTES >> 20;
                self.error("command-too-long", &format!("{program} wrote more than {most} MiB to its standard output"))
            }
            FaultKind::TooSlow => {
                let (seconds, plural) = (self.seconds, if self.seconds == 1 { "" } else { "s" });
                let what = format!("{program} did not end within {seconds} second{plural}");
                self.error("command-too-slow", &what)
                    .cause("it waits for a server, or for an answer: it has no terminal to ask at")
            }
        };
        self.with_words(problem, said).hint(self.by_hand()).into()
    }

    /// A command gives the value of now.
    pub fn no_versions(&self) -> ProviderError {
        let problem = self.error("no-versions", "a command has no versions");
        problem.hint("take version_stage and version_id out of the manifest").into()
    }

    /// A command gives one secret.
    pub fn no_list(&self) -> ProviderError {
        let problem = self.error("no-list", "a command reads one secret and cannot list them");
        problem.hint(format!("list them with {} itself", self.program())).into()
    }

    fn program(&self) -> ForeignText {
        ForeignText::name(&self.command[0])
    }

    fn error(&self, code: &'static str, why: &str) -> Diagnostic {
        let what = match self.id {
            Some(id) => format!("cannot read {id}: {why} (credential `{}`)", self.credential),
            None => format!("{why} (credential `{}`)", self.credential),
        };
        Diagnostic::error(code, what)
    }

    fn with_words(&self, problem: Diagnostic, said: &[u8]) -> Diagnostic {
        let said = ForeignText::new(said);
        if said.is_empty() { problem } else { problem.cause(format!("{} says: {said}", self.program())) }
    }

    fn by_hand(&self) -> String {
        let name = self.id.map_or(NAME, SecretId::as_str);
        let words: Vec<String> = self.command.iter().map(|word| word.replace(NAME, name)).collect();
        format!("run it by hand: {}", ForeignText::name(command_line(&words)))
    }
}

impl From<Diagnostic> for ProviderError {
    fn from(diagnostic: Diagnostic) -> Self {
        ProviderError::new(ProviderErrorKind::Other, diagnostic)
    }
}
