//! `secretbake credential test`: each step of reading a secret, with its outcome.

use std::process::ExitCode;

use clap::Args;

use super::super::arguments::OutputFormat;
use super::super::environment::Environment;
use super::super::output::Output;
use super::super::{Global, in_runtime, input};
use super::chosen;
use crate::diagnostic::{Error, Status};
use crate::manifest::reference::Reference;
use crate::ops::credential_test;
use crate::org::Settings;
use crate::org::file::Loaded;
use crate::secrets::{CallLimits, any};

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake credential test
  secretbake credential test aws-prod --secret database-credentials#password")]
pub(super) struct TestArgs {
    /// Name of the credential [default: the default credential]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Also read this secret, such as db or db#password: the only way to test kms:Decrypt
    #[arg(long, value_name = "REFERENCE", value_parser = reference)]
    secret: Option<Reference>,
    /// Output format
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

fn reference(text: &str) -> Result<Reference, String> {
    Reference::parse(text).map_err(|error| format!("{error}; {}", error.hint()))
}

pub(super) fn run(
    args: &TestArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let Loaded { org, directory } = input::org(global, environment)?;
    let index = chosen(&org, args.name.as_deref())?;
    let credential = &org.credentials[index];
    let provider = any::connect(&org, index, &directory, environment.for_org(), &CallLimits::default())?;
    let role = match &credential.settings {
        Settings::Aws(aws) => aws.role.as_ref().map(|role| role.arn.as_str()),
        Settings::Command(_) | Settings::File(_) => None,
    };
    let steps = in_runtime(|_| async { Ok(credential_test::test(&provider, role, args.secret.as_ref()).await) })?;
    output.result(&match args.format {
        OutputFormat::Text => credential_test::text(&steps),
        OutputFormat::Json => credential_test::json(&credential.name, &steps),
    })?;
    Ok(ExitCode::from(if credential_test::is_good(&steps) { 0 } else { Status::Failed.code() }))
}
