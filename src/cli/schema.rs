//! `secretbake schema`: the JSON Schema of what secretbake reads and prints.

use std::process::ExitCode;

use super::output::Output;
use crate::diagnostic::Error;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  secretbake schema manifest > secretbake.schema.json
  # in a manifest's first line, for the editor:
  # yaml-language-server: $schema=secretbake.schema.json")]
pub(super) struct Args {
    /// What to print the schema of
    #[arg(value_enum)]
    of: Of,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Of {
    /// Deployment manifest
    Manifest,
    /// Org file
    Org,
    /// `bake --format json`
    Report,
    /// `rebake --format json`
    Rebake,
    /// `bake --dry-run --format json`
    Plan,
    /// `check --format json`
    Check,
    /// `inspect --format json`
    Inspect,
    /// `drift --format json`
    Drift,
    /// `credential list|show --format json`
    Credentials,
    /// `credential test --format json`
    Connection,
    /// `secrets list --format json`
    Secrets,
    /// `policy --format json`
    Policy,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<ExitCode, Error> {
    output.result(match args.of {
        Of::Manifest => include_str!("../../schemas/manifest.json"),
        Of::Org => include_str!("../../schemas/org.json"),
        Of::Report => include_str!("../../schemas/report.json"),
        Of::Rebake => include_str!("../../schemas/rebake.json"),
        Of::Plan => include_str!("../../schemas/plan.json"),
        Of::Check => include_str!("../../schemas/check.json"),
        Of::Inspect => include_str!("../../schemas/inspect.json"),
        Of::Drift => include_str!("../../schemas/drift.json"),
        Of::Credentials => include_str!("../../schemas/credentials.json"),
        Of::Connection => include_str!("../../schemas/connection.json"),
        Of::Secrets => include_str!("../../schemas/secrets.json"),
        Of::Policy => include_str!("../../schemas/policy.json"),
    })?;
    Ok(ExitCode::SUCCESS)
}
