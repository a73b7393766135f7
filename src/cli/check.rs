//! `secretbake check`: every problem in manifests and org file, offline.

use std::process::ExitCode;

use super::environment::Environment;
use super::output::Output;
use super::{CheckArgs, CheckFormat, Global, annotations, input};
use crate::diagnostic::Error;
use crate::diagnostic::json::Findings;
use crate::plan::Overrides;

pub(super) fn run(
    args: &CheckArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let read = input::read(&args.manifests, &Overrides::default(), false, global, environment);
    let (status, found) = match read {
        Ok(input) => (0, input.warnings),
        Err(error) => (error.status.code(), error.diagnostics),
    };
    match args.format {
        CheckFormat::Text => output.problems(&found),
        CheckFormat::Json => output.result(&Findings::new(&found).to_json())?,
        CheckFormat::Github => output.result(&annotations::github(&found))?,
        CheckFormat::Gitlab => output.result(&annotations::gitlab(&found))?,
        CheckFormat::Sarif => output.result(&annotations::sarif(&found))?,
    }
    Ok(ExitCode::from(status))
}
