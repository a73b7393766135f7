//! `secretbake bake --dry-run`: the plan; no provider and no store is asked.

use std::process::ExitCode;

use super::super::arguments::OutputFormat;
use super::super::environment::Environment;
use super::super::output::Output;
use super::super::{Global, json};
use super::{BakeArgs, planned, summary};
use crate::diagnostic::Error;
use crate::plan::json as plan_json;
use crate::plan::text::text as plan_text;

pub(super) fn run(
    args: &BakeArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let input = planned(args, global, environment, false)?;
    match args.writing.format {
        OutputFormat::Text => {
            output.problems(&input.warnings);
            output.result(&plan_text(&input.plan, &input.org, &input.warnings))?;
        }
        OutputFormat::Json => output.result(&json(&plan_json::describe(&input.plan, &input.org, &input.warnings)))?,
    }
    output.count();
    output.note(&summary::dry_run(&input.plan));
    Ok(ExitCode::SUCCESS)
}
