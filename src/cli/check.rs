//! `secretbake check`: every problem in manifests and org file, offline.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::environment::Environment;
use super::output::{Output, count};
use super::{Global, annotations, input};
use crate::diagnostic::Error;
use crate::diagnostic::json::Findings;
use crate::plan::text::OPENED_BY;
use crate::plan::{Overrides, Plan};

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake check deploy/*.yaml
  secretbake check deploy.yaml --format github
  secretbake check deploy.yaml --format sarif > secretbake.sarif")]
pub(super) struct CheckArgs {
    /// Deployment manifests
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// Output format; `text` goes to standard error, the others to standard output
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    format: CheckFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    Text,
    Json,
    /// GitHub workflow annotations
    Github,
    /// GitLab Code Quality report
    Gitlab,
    /// SARIF 2.1.0
    Sarif,
}

pub(super) fn run(
    args: &CheckArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let read = input::read(&args.manifests, &Overrides::default(), false, global, environment);
    let (status, found, notes) = match read {
        Ok(input) => (0, input.warnings, opened_by_hand(&input.plan)),
        Err(error) => (error.status.code(), error.diagnostics, Vec::new()),
    };
    match args.format {
        CheckFormat::Text => {
            output.problems(&found);
            if status == 0 {
                output.forget_count();
                notes.iter().for_each(|note| output.note(note));
                output.note(&passed(args.manifests.len(), found.len()));
            } else {
                output.count();
            }
        }
        CheckFormat::Json => output.result(&Findings::new(&found).to_json())?,
        CheckFormat::Github => output.result(&annotations::github(&found))?,
        CheckFormat::Gitlab => output.result(&annotations::gitlab(&found))?,
        CheckFormat::Sarif => output.result(&annotations::sarif(&found))?,
    }
    Ok(ExitCode::from(status))
}

/// Returns a note for each sealed image that nothing opens at start.
fn opened_by_hand(plan: &Plan) -> Vec<String> {
    let images = plan.images.iter().filter(|image| image.seal.is_some() && !image.is_launched());
    images.map(|image| format!("{}: sealed with `inject: file`, opened by {OPENED_BY}", image.file)).collect()
}

fn passed(manifests: usize, warnings: usize) -> String {
    let found = if warnings == 0 { "no problems".to_owned() } else { count(warnings, "warning") };
    format!("checked {}: {found}", count(manifests, "manifest"))
}
