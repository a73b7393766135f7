//! `secretbake credential default`: makes a credential the default of its provider instead of another one.

use std::process::ExitCode;

use clap::Args;

use super::super::output::Output;
use super::{NameArgs, NamedCredential};
use crate::diagnostic::Error;
use crate::org::change::{Change, FieldValue};

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake credential default aws-prod")]
pub(super) struct DefaultArgs {
    #[command(flatten)]
    pub name: NameArgs,
}

pub(super) fn run(target: &NamedCredential, output: &Output) -> Result<ExitCode, Error> {
    let credential = target.credential();
    let before = target
        .org
        .credentials
        .iter()
        .find(|other| other.default && other.provider() == credential.provider() && other.name != credential.name);
    let provider = credential.provider().name();
    if credential.default {
        output.note(&format!("nothing to change: {} is the default for {provider}", credential.name));
        return Ok(ExitCode::SUCCESS);
    }
    let name = credential.name.clone();
    target.change(&Change::Set { name, fields: vec![("default", FieldValue::Flag(true))], unset: Vec::new() })?;
    let instead = before.map(|other| format!(", instead of {}", other.name)).unwrap_or_default();
    output.note(&format!("default for {provider}: {}{instead}", credential.name));
    Ok(ExitCode::SUCCESS)
}
