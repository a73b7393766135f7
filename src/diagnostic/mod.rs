//! Owns the types for everything that can go wrong: diagnostics and the exit status they lead to.
//!
//! A diagnostic holds names, places, causes and the next step. It must never hold a secret value.

pub mod block;
pub mod command;
pub mod escape;
pub mod foreign;
pub mod json;
pub mod lookalike;
pub mod redact;
pub mod scrub;
pub mod table;

use std::fmt;

pub use block::{ListHint, Subject};
pub use foreign::ForeignText;

/// The kind of failure, which decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// A runtime failure (exit status 1): secret, engine, registry or disk.
    Failed,
    /// The invocation, the manifest or the org file is wrong (exit status 2).
    Invalid,
    /// The user interrupted the run (exit status 130).
    Interrupted,
}

impl Status {
    /// Returns the process's exit status.
    pub fn code(self) -> u8 {
        match self {
            Status::Failed => 1,
            Status::Invalid => 2,
            Status::Interrupted => 130,
        }
    }
}

/// An error stops the run; a warning does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    Error,
    Warning,
}

/// A place in a file that the user wrote. Line and column start at 1, and the column counts characters; both are 0 in what is no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
    /// The key path, such as `env.DB_PASSWORD.secret`; empty for the document itself.
    pub path: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        Ok(())
    }
}

/// One problem, for the person who must fix it: what, where, why and the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// A stable identifier, such as `secret-not-found`. Match on it, never on the text.
    pub code: &'static str,
    pub place: Option<Place>,
    /// Lower case, no full stop, no value.
    pub what: String,
    /// The likely causes, most likely first.
    pub causes: Vec<String>,
    /// The next steps.
    pub hints: Vec<String>,
    /// The subject, if diagnostics about several subjects can be printed as one block.
    pub subject: Option<Box<Subject>>,
}

impl Diagnostic {
    /// Returns an error without a place.
    pub fn error(code: &'static str, what: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            code,
            place: None,
            what: what.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            subject: None,
        }
    }

    /// Returns a warning without a place.
    pub fn warning(code: &'static str, what: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, what) }
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Adds a likely cause.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Sets the subject.
    #[must_use]
    pub fn about(mut self, subject: Subject) -> Self {
        self.subject = Some(Box::new(subject));
        self
    }

    /// Adds a next step that names the subject.
    #[must_use]
    pub fn list_hint(mut self, hint: ListHint) -> Self {
        let index = self.hints.len();
        self.hints.push(hint.text());
        if let Some(subject) = &mut self.subject {
            subject.hints.push((index, hint));
        }
        self
    }
}

/// Returns a line of our own text, escaped and without any long secret of this run, whatever names it quotes.
fn line(text: &str) -> String {
    escape::escaped(&scrub::without_long_secrets(text))
}

/// Why a run failed: all problems and the exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub status: Status,
    pub diagnostics: Vec<Diagnostic>,
}

impl Error {
    /// Returns an error in what the user wrote or asked for (exit status 2).
    pub fn invalid(diagnostics: impl Into<Vec<Diagnostic>>) -> Self {
        Error { status: Status::Invalid, diagnostics: diagnostics.into() }
    }

    /// Returns a runtime failure (exit status 1).
    pub fn failed(diagnostics: impl Into<Vec<Diagnostic>>) -> Self {
        Error { status: Status::Failed, diagnostics: diagnostics.into() }
    }

    /// Joins an error with those before it.
    #[must_use]
    pub fn joined(before: Option<Error>, error: Error) -> Self {
        match before {
            Some(before) => before.join(error),
            None => error,
        }
    }

    /// Adds the problems of another error and keeps the more serious exit status.
    #[must_use]
    pub fn join(mut self, other: Error) -> Self {
        self.status = self.status.max(other.status);
        self.diagnostics.extend(other.diagnostics);
        self
    }
}

impl From<Diagnostic> for Vec<Diagnostic> {
    fn from(diagnostic: Diagnostic) -> Self {
        vec![diagnostic]
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
