//! Owns the two streams: standard output carries only the result, everything else goes to standard error.

use std::io::Write as _;

use crate::diagnostic::escape::escaped_lines;
use crate::diagnostic::scrub::without_long_secrets;
use crate::diagnostic::{Diagnostic, Error};

/// The printer of every command.
pub(super) struct Output;

impl Output {
    pub(super) fn new() -> Self {
        Output
    }

    /// Prints the result, escaped but for its line feeds and tabs.
    pub(super) fn result(&self, text: &str) -> Result<(), Error> {
        self.styled(&escaped_lines(text))
    }

    /// Prints clap's own text, which may have colours, to standard output.
    pub(super) fn styled(&self, text: &str) -> Result<(), Error> {
        let mut stdout = anstream::stdout().lock();
        let text = without_long_secrets(text);
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| {
            let problem = Diagnostic::error("output", format!("cannot write to standard output: {error}"));
            Error::failed(
                problem.hint("let standard output be a file or pipe that takes the result, and run this again"),
            )
        })
    }

    /// Prints problems and warnings; where standard error takes no more, there is no one left to tell.
    pub(super) fn problems(&self, diagnostics: &[Diagnostic]) {
        let mut stderr = anstream::stderr().lock();
        for diagnostic in diagnostics {
            let _ = writeln!(stderr, "{diagnostic}");
        }
    }

    /// Prints a line for a person who watches.
    pub(super) fn note(&self, text: &str) {
        self.styled_note(&escaped_lines(text));
    }

    /// Prints clap's own text, which may have colours, to standard error.
    pub(super) fn styled_note(&self, text: &str) {
        let _ = writeln!(anstream::stderr().lock(), "{}", without_long_secrets(text));
    }
}
