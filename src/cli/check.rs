//! `secretbake check`: every problem in manifests and org file, offline.

use std::process::ExitCode;

use super::environment::Environment;
use super::output::Output;
use super::{CheckArgs, CheckFormat, Global, annotations, input};
use crate::error::{Error, Severity};
use crate::plan::{Overrides, plan};
use crate::report::Findings;

pub(super) fn run(
    args: &CheckArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let (status, found) = match input::read(&args.manifests, global, environment) {
        Ok(input) => {
            let problems = plan(&input.manifests, &input.org, &Overrides::default(), false).err().unwrap_or_default();
            (2, input.warnings.into_iter().chain(problems).collect())
        }
        Err(error) => (error.status.code(), error.diagnostics),
    };
    let errors = found.iter().any(|problem| problem.severity == Severity::Error);
    match args.format {
        CheckFormat::Text => output.problems(&found),
        CheckFormat::Json => output.result(&Findings::new(&found).to_json())?,
        CheckFormat::Github => output.result(&annotations::github(&found))?,
        CheckFormat::Sarif => output.result(&annotations::sarif(&found))?,
    }
    Ok(ExitCode::from(if errors { status } else { 0 }))
}
