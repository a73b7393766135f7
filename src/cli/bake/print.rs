//! Owns what a bake prints of its outcomes: problems, notes, the result, and the line that it ends with.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use super::super::arguments::OutputFormat;
use super::super::output::Output;
use super::summary;
use crate::diagnostic::{Diagnostic, Error, ForeignText, Status};
use crate::image::name::ImageName;
use crate::ops::report::Outcome;
use crate::runtime::run::{LeftUndone, interrupted};

/// What is known of a run that came to its end.
pub(in crate::cli) struct RunEnd {
    pub secrets_read: usize,
    pub took: Duration,
    /// The client of the engine, if one was used: `docker` or `podman`.
    pub engine: &'static str,
}

/// Prints the outcomes of a run: on standard output, unless an image is there. `others` are the warnings that belong to none of them,
/// and `end` is `None` if the run was interrupted. `report` makes the JSON.
pub(in crate::cli) fn outcomes(
    format: OutputFormat,
    outcomes: &[Outcome],
    others: &[Diagnostic],
    removed: &[String],
    end: Option<&RunEnd>,
    output: &Output,
    report: impl Fn(&[Outcome], &[String], &[Diagnostic]) -> String,
) -> Result<ExitCode, Error> {
    let problems = outcomes.iter().flat_map(Outcome::problems);
    output.problems(&others.iter().chain(problems).cloned().collect::<Vec<_>>());
    let is_one = end.is_some() && outcomes.len() == 1;
    for outcome in outcomes {
        if let (Ok(baked), false) = (&outcome.result, is_one) {
            let what = if baked.changed { "baked" } else { "unchanged" };
            let again = baked.baked_again.as_ref().filter(|_| baked.changed);
            let again = again.map(|why| format!(", again, since {why}")).unwrap_or_default();
            output.note(&format!("{what}: {}{again}", ForeignText::name(&outcome.file)));
        }
        for tag in outcome.baked_tags().iter().filter(|tag| tag.pushed.is_some()) {
            output.note(&format!("pushed: {}", tag.name));
        }
    }
    for image in removed {
        output.note(&format!("removed: the previous image {image}"));
    }
    let text = match format {
        OutputFormat::Text => outcomes
            .iter()
            .flat_map(Outcome::baked_tags)
            .map(|tag| format!("{}@{}\n", tag.name, tag.published()))
            .collect(),
        OutputFormat::Json => report(outcomes, removed, others),
    };
    // a standard output that takes nothing hides no problem of an image
    let printed = match outcomes.iter().flat_map(|outcome| &outcome.tags).any(ImageName::is_standard) {
        _ if text.is_empty() => Ok(()),
        true => {
            output.to_stderr(text.trim_end());
            Ok(())
        }
        false => output.result(&text),
    };
    if let Some(RunEnd { secrets_read, took, engine }) = end {
        output.count();
        output.note(&summary::line(outcomes, *secrets_read, *took));
        if std::io::stderr().is_terminal() {
            for step in summary::next_steps(outcomes, engine) {
                output.note(&format!("  {step}"));
            }
        }
    }
    printed.map_err(|mut error| {
        let hint = "the messages above are right all the same: images that are baked are there";
        error.diagnostics.iter_mut().for_each(|problem| problem.hints = vec![hint.to_owned()]);
        error
    })?;
    let failed = outcomes.iter().any(|outcome| outcome.result.is_err());
    Ok(if failed { ExitCode::from(Status::Failed.code()) } else { ExitCode::SUCCESS })
}

/// Prints the outcomes of an interrupted run of `all` images, and returns the error that it ends with.
pub(in crate::cli) fn interrupted_run(
    format: OutputFormat,
    finished_or_begun: &[Outcome],
    all: usize,
    error: &Error,
    output: &Output,
    report: impl Fn(&[Outcome], &[String], &[Diagnostic]) -> String,
) -> Result<Error, Error> {
    outcomes(format, finished_or_begun, &[], &[], None, output, report)?;
    let finished = finished_or_begun.iter().filter(|outcome| outcome.finished).count();
    // the interrupt is the last word
    output.forget_count();
    let left = if finished == finished_or_begun.len() { LeftUndone::from_error(error) } else { LeftUndone::Parts };
    Ok(interrupted(&format!(" after {finished} of {all} images"), left))
}
