//! Owns diagnostics as JSON.

use serde::Serialize;

use super::escape::escaped_json;
use super::scrub::without_long_secrets;
use super::{Diagnostic, Severity};

/// A diagnostic as JSON.
#[derive(Serialize)]
pub struct Problem {
    severity: &'static str,
    code: &'static str,
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    path: Option<String>,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

impl From<&Diagnostic> for Problem {
    fn from(diagnostic: &Diagnostic) -> Self {
        let place = diagnostic.place.as_ref();
        Problem {
            severity: match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            code: diagnostic.code,
            file: place.map(|place| place.file.clone()),
            line: place.map(|place| place.line).filter(|line| *line > 0),
            column: place.map(|place| place.column).filter(|column| *column > 0),
            path: place.map(|place| place.path.clone()),
            message: diagnostic.what.clone(),
            causes: diagnostic.causes.clone(),
            hints: diagnostic.hints.clone(),
        }
    }
}

/// The JSON report of `check`, version 1.
#[derive(Serialize)]
pub struct Findings {
    version: u32,
    diagnostics: Vec<Problem>,
}

impl Findings {
    /// Makes the report.
    pub fn new(diagnostics: &[Diagnostic]) -> Self {
        Findings { version: 1, diagnostics: diagnostics.iter().map(Problem::from).collect() }
    }

    /// Returns the report's text.
    pub fn to_json(&self) -> String {
        json(self)
    }
}

/// Returns a result as JSON that is safe on a terminal. Plain data with string keys always serialises.
pub fn json(value: &impl Serialize) -> String {
    escaped_json(&without_long_secrets(&serde_json::to_string_pretty(value).unwrap_or_default())) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Place;

    #[test]
    fn a_problem_of_a_whole_file_has_no_line() {
        let problem = |line, column| {
            let place = Place { file: "deploy.yaml".to_owned(), line, column, path: "env".to_owned() };
            let problem = Problem::from(&Diagnostic::error("code", "wrong").at(place));
            (problem.line, problem.column)
        };
        assert_eq!([problem(3, 1), problem(0, 0)], [(Some(3), Some(1)), (None, None)]);
    }
}
