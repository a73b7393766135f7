//! Owns the two streams: standard output carries only the result, everything else goes to standard error.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Style};

use super::arguments::OutputFormat;
use crate::diagnostic::block::{Part, blocks};
use crate::diagnostic::escape::escaped_lines;
use crate::diagnostic::json::Findings;
use crate::diagnostic::scrub::without_long_secrets;
use crate::diagnostic::{Diagnostic, Error, Severity};

/// The printer of every command.
#[derive(Default)]
pub(super) struct Output {
    /// Whether warnings and notes are left out.
    quiet: bool,
    said: RefCell<Said>,
}

/// What was said of problems and not counted yet.
#[derive(Default)]
struct Said {
    errors: usize,
    warnings: usize,
    files: BTreeSet<String>,
}

impl Output {
    pub(super) fn new(quiet: bool) -> Self {
        Output { quiet, ..Output::default() }
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

    /// Prints why a command failed as JSON, if its result would have been JSON: whoever reads it gets a document all the same.
    pub(super) fn or_findings(&self, ended: Result<ExitCode, Error>, format: OutputFormat) -> Result<ExitCode, Error> {
        if let (Err(error), OutputFormat::Json) = (&ended, format) {
            self.result(&Findings::new(&error.diagnostics).to_json())?;
        }
        ended
    }

    /// Prints problems and warnings, those of one cause together. If standard error takes no more, nobody is left to tell.
    pub(super) fn problems(&self, diagnostics: &[Diagnostic]) {
        let mut stderr = anstream::stderr().lock();
        let is_shown = |diagnostic: &&Diagnostic| !self.quiet || diagnostic.severity == Severity::Error;
        let shown: Vec<Diagnostic> = diagnostics.iter().filter(is_shown).cloned().collect();
        let mut said = self.said.borrow_mut();
        for block in blocks(&shown) {
            let _ = writeln!(stderr, "{}", block.text(&paint));
            match block.severity() {
                Severity::Error => said.errors += block.problems(),
                Severity::Warning => said.warnings += block.problems(),
            }
        }
        said.files.extend(shown.iter().filter_map(|diagnostic| Some(diagnostic.place.as_ref()?.file.clone())));
    }

    /// Prints how many problems there were since the last count, unless there was only one.
    pub(super) fn count(&self) {
        let said = self.said.take();
        if said.errors + said.warnings > 1 {
            self.note(&counts(&said));
        }
    }

    /// Leaves the problems so far out of the next count.
    pub(super) fn forget_count(&self) {
        self.said.take();
    }

    /// Prints a line for a person.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            self.to_stderr(text);
        }
    }

    /// Prints text to standard error, even if the run is to be quiet.
    pub(super) fn to_stderr(&self, text: &str) {
        self.styled_note(&escaped_lines(text));
    }

    /// Prints a line for a person where a progress bar may stand.
    pub(super) fn interrupt(&self, text: &str) {
        let clear = if std::io::stderr().is_terminal() { "\r\u{1b}[K" } else { "" };
        self.styled_note(&format!("{clear}{text}"));
    }

    /// Prints clap's own text, which may have colours, to standard error.
    pub(super) fn styled_note(&self, text: &str) {
        let _ = writeln!(anstream::stderr().lock(), "{}", without_long_secrets(text));
    }
}

/// Returns a number with its word, in the plural unless it is one.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn counts(said: &Said) -> String {
    let counts = [(said.errors, "error"), (said.warnings, "warning")];
    let counts: Vec<String> =
        counts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| count(*number, what)).collect();
    match said.files.len() {
        0 => counts.join(", "),
        files => format!("{} in {}", counts.join(", "), count(files, "file")),
    }
}

/// Returns a part of a problem in its colour, as clap has them. A stream that shows no colours takes them off.
fn paint(part: Part, text: &str) -> String {
    let style = match part {
        Part::Error => AnsiColor::Red.on_default().bold(),
        Part::Warning => AnsiColor::Yellow.on_default().bold(),
        Part::Place | Part::Cause => Style::new().bold(),
        Part::Hint => AnsiColor::Green.on_default(),
    };
    format!("{style}{text}{style:#}")
}
