//! `secretbake bake --dry-run --online`: the plan, and whether each secret and key of it is there; nothing is written.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use super::environment::Environment;
use super::output::Output;
use super::{BakeArgs, Format, Global, bake, in_runtime, wiring};
use crate::diagnostic::json::Problem;
use crate::diagnostic::table::table;
use crate::diagnostic::{Diagnostic, Error, Status};
use crate::ops::probe::{Probed, Standing, probe};
use crate::org::Org;
use crate::plan::Plan;
use crate::plan::json::{self as plan_json, PlanJson};
use crate::plan::text as plan_text;

/// What the providers said.
#[derive(Serialize)]
pub(super) struct Online {
    /// Each distinct reference once, in the order of its first use.
    references: Vec<Reference>,
    diagnostics: Vec<Problem>,
}

/// The plan's JSON with the other half of it.
#[derive(Serialize)]
struct PlanAndOnline<'a> {
    #[serde(flatten)]
    plan: PlanJson<'a>,
    online: &'a Online,
}

#[derive(Serialize, PartialEq, Eq)]
struct Reference {
    reference: String,
    credential: String,
    version: String,
    status: Standing,
}

pub(super) fn run(
    args: &BakeArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let input = bake::planned(args, global, environment, false)?;
    let used = |index| input.plan.reads.iter().any(|read| read.credential == index);
    let providers = wiring::providers(&input.org, &input.org_dir, environment, used)?;
    let probed = in_runtime(|_| async { Ok(probe(&input.plan, &providers).await) })?;
    let (references, problems) = (references(&input.plan, &input.org, &probed), problems(&probed));
    let online = Online { references, diagnostics: problems.iter().map(Problem::from).collect() };
    let described = plan_json::describe(&input.plan, &input.org, &input.warnings);
    match args.format {
        Format::Text => {
            output.problems(&input.warnings);
            output.result(&(plan_text::text(&described) + &text(&online)))?;
            output.problems(&problems);
        }
        Format::Json => output.result(&super::json(&PlanAndOnline { plan: described, online: &online }))?,
    }
    Ok(ExitCode::from(if problems.is_empty() { 0 } else { Status::Failed.code() }))
}

fn references(plan: &Plan, org: &Org, probed: &[Probed<'_>]) -> Vec<Reference> {
    let mut references: Vec<Reference> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for Probed { usage, standing, .. } in probed {
        if seen.insert((usage.read, &usage.selector, usage.optional)) {
            let read = &plan.reads[usage.read];
            references.push(Reference {
                reference: format!("{}{}", read.id, usage.selector),
                credential: org.credentials[read.credential].name.clone(),
                version: plan_json::version(read),
                status: *standing,
            });
        }
    }
    references
}

/// Returns each problem once, at its first place: a refused secret is one problem however many variables use it.
fn problems(probed: &[Probed<'_>]) -> Vec<Diagnostic> {
    let mut problems: Vec<Diagnostic> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for Probed { usage, problem, .. } in probed {
        if let Some(problem) = problem
            && seen.insert((usage.read, &problem.what))
        {
            problems.push(problem.clone());
        }
    }
    problems
}

fn text(online: &Online) -> String {
    let mut out = String::new();
    let rows: Vec<[String; 4]> = online
        .references
        .iter()
        .map(|reference| {
            let Reference { reference, credential, version, status } = reference;
            [reference.clone(), version.clone(), format!("with {credential}"), status.words().to_owned()]
        })
        .collect();
    // writing to a string cannot fail
    let _ = writeln!(out, "\nonline ({})", rows.len());
    let _ = table(&mut out, "  ", &rows);
    out
}
