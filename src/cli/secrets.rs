//! `secretbake secrets list`: the names of the secrets, never a value.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::arguments::OutputFormat;
use super::credential::chosen;
use super::environment::Environment;
use super::output::Output;
use super::{Global, completion, in_runtime, input, json};
use crate::diagnostic::{Error, ForeignText};
use crate::org::file::Loaded;
use crate::secrets::{CallLimits, Provider as _, any};

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake secrets list --prefix crewai/")]
pub(super) struct SecretsArgs {
    #[command(subcommand)]
    command: SecretsCommand,
}

#[derive(Subcommand)]
#[command(defer = true)]
enum SecretsCommand {
    /// List the names of the secrets that a credential can see
    List(ListArgs),
}

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake secrets list
  secretbake secrets list --credential aws-prod --prefix crewai/")]
struct ListArgs {
    /// Credential to use [default: the default credential]
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// List only names with this prefix
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Output format
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

impl SecretsArgs {
    pub(super) fn format(&self) -> OutputFormat {
        let SecretsCommand::List(args) = &self.command;
        args.format
    }
}

pub(super) fn run(
    args: &SecretsArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let SecretsCommand::List(args) = &args.command;
    let Loaded { org, directory } = input::org(global, environment)?;
    let index = chosen(&org, args.credential.as_deref())?;
    let provider = any::connect(&org, index, &directory, environment.for_org(), &CallLimits::default())?;
    let listed = in_runtime(|_| async { Ok(provider.list(&args.prefix).await) })?;
    let names = listed.map_err(|failure| Error::failed(*failure.diagnostic))?;
    let credential = &org.credentials[index].name;
    if args.prefix.is_empty() {
        completion::remember(environment, &org, credential, &names);
    }
    output.result(&match args.format {
        OutputFormat::Text => names.iter().map(|name| format!("{}\n", ForeignText::name(name))).collect(),
        OutputFormat::Json => json(&serde_json::json!({ "version": 1, "credential": credential, "secrets": names })),
    })?;
    Ok(ExitCode::SUCCESS)
}
