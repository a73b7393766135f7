//! `secretbake bake --dry-run --online`: the plan, and whether each of its secrets and keys exists. Nothing is written.

use std::collections::HashSet;
use std::process::ExitCode;

use serde::Serialize;

use super::super::arguments::OutputFormat;
use super::super::environment::Environment;
use super::super::output::Output;
use super::super::{Global, in_runtime, json, wiring};
use super::{BakeArgs, planned, summary};
use crate::diagnostic::escape::escaped;
use crate::diagnostic::json::Problem;
use crate::diagnostic::{Diagnostic, Error, Severity, Status};
use crate::ops::probe::{ProbedUse, ReferenceStatus, probe};
use crate::org::Org;
use crate::plan::json::{self as plan_json, PlanJson};
use crate::plan::text::{describe_read, text as plan_text};
use crate::plan::{Plan, Use};

/// What the providers answered.
#[derive(Serialize)]
pub(super) struct Online {
    /// Each distinct reference once, in the order of its first use.
    references: Vec<CheckedReference>,
    diagnostics: Vec<Problem>,
}

/// The plan's JSON with the providers' answers.
#[derive(Serialize)]
struct PlanAndOnline<'a> {
    #[serde(flatten)]
    plan: PlanJson<'a>,
    online: &'a Online,
}

#[derive(Serialize, PartialEq, Eq)]
struct CheckedReference {
    reference: String,
    credential: String,
    version: String,
    status: ReferenceStatus,
    /// With `env_from`, the variables that the secret gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<Vec<String>>,
}

pub(super) fn run(
    args: &BakeArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let input = planned(args, global, environment, false)?;
    let providers = wiring::planned_providers(&input, environment)?;
    let probed = in_runtime(|_| async { Ok(probe(&input.plan, &providers).await) })?;
    let (references, problems) = (references(&input.plan, &input.org, &probed), problems(&probed));
    let online = Online { references, diagnostics: problems.iter().map(Problem::from).collect() };
    match args.writing.format {
        OutputFormat::Text => {
            output.problems(&input.warnings);
            output.result(
                &(plan_text(&input.plan, &input.org, &input.warnings) + &text(&input.plan, &input.org, &probed)),
            )?;
            output.problems(&problems);
        }
        OutputFormat::Json => {
            let plan = plan_json::describe(&input.plan, &input.org, &input.warnings);
            output.result(&json(&PlanAndOnline { plan, online: &online }))?;
        }
    }
    let found = online.references.iter().filter(|reference| reference.status.is_found()).count();
    output.count();
    output.note(&summary::dry_run_online(&input.plan, found, online.references.len()));
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    Ok(ExitCode::from(if failed { Status::Failed.code() } else { 0 }))
}

/// Returns each distinct reference at its first use.
fn distinct<'a, 'p>(probed: &'a [ProbedUse<'p>]) -> impl Iterator<Item = &'a ProbedUse<'p>> {
    let mut seen = HashSet::new();
    let key = |usage: &'a Use, names: &'a Option<Vec<String>>| (usage.read, &usage.selector, usage.optional, names);
    probed.iter().filter(move |ProbedUse { usage, names, .. }| seen.insert(key(usage, names)))
}

fn references(plan: &Plan, org: &Org, probed: &[ProbedUse<'_>]) -> Vec<CheckedReference> {
    let reference = |ProbedUse { usage, status, names, .. }: &ProbedUse<'_>| {
        let read = &plan.reads[usage.read];
        CheckedReference {
            reference: format!("{}{}", read.id, usage.selector),
            credential: org.credentials[read.credential].name.clone(),
            version: plan_json::version(read),
            status: *status,
            names: names.clone(),
        }
    };
    distinct(probed).map(reference).collect()
}

/// Returns each problem once, at its first place: a refused secret is one problem however many variables use it.
fn problems(probed: &[ProbedUse<'_>]) -> Vec<Diagnostic> {
    let mut problems: Vec<Diagnostic> = Vec::new();
    let mut seen = HashSet::new();
    for ProbedUse { usage, problems: of_use, .. } in probed {
        problems.extend(of_use.iter().filter(|problem| seen.insert((usage.read, &problem.what))).cloned());
    }
    problems
}

fn text(plan: &Plan, org: &Org, probed: &[ProbedUse<'_>]) -> String {
    let lines = distinct(probed).map(|ProbedUse { usage, status, names, .. }| {
        let reference = describe_read(&plan.reads[usage.read], &usage.selector.to_string(), org);
        let names: String = names.iter().flatten().map(|name| format!("    {}\n", escaped(name))).collect();
        format!("  {}: {}\n{names}", escaped(&reference), status.words())
    });
    "\nonline:\n".to_owned() + &lines.collect::<String>()
}
