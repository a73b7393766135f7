//! `secretbake credential …`: manages credentials, on a terminal or in a pipeline.

mod add;
mod default;
mod fields;
mod form;
mod list;
mod remove;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::environment::Environment;
use super::output::Output;
use super::{Global, input};
use crate::diagnostic::command::with_org;
use crate::diagnostic::{Diagnostic, Error};
use crate::org::change::Change;
use crate::org::edit::edit;
use crate::org::file::{self, LOCAL, Location};
use crate::org::store::update;
use crate::org::{Credential, Org, read};

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake credential add aws-prod
  secretbake credential test aws-prod")]
pub(super) struct CredentialArgs {
    #[command(subcommand)]
    command: CredentialCommand,
}

#[derive(Subcommand)]
#[command(defer = true)]
enum CredentialCommand {
    /// Add a credential; asks for missing fields on a terminal
    Add(add::AddArgs),
    /// Change a credential; fields left blank keep their value
    Edit(add::EditArgs),
    /// List the credentials
    List(list::ListArgs),
    /// Show one credential
    Show(list::ShowArgs),
    /// Make a credential the default for its provider
    Default(default::DefaultArgs),
    /// Test a credential step by step
    Test(test::TestArgs),
    /// Remove a credential
    Remove(remove::RemoveArgs),
}

// not a doc comment, which would be the help of the commands that have it
// The name of the credential that a command changes or shows.
#[derive(Args)]
struct NameArgs {
    /// Name of the credential
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn run(
    args: &CredentialArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let find = |args: &NameArgs| NamedCredential::find(args, global, environment);
    match &args.command {
        CredentialCommand::Add(args) => add::add(args, global, environment, output),
        CredentialCommand::Edit(args) => add::edit(args, &find(&args.name)?, environment, output),
        CredentialCommand::List(args) => output.or_findings(list::list(args, global, environment, output), args.format),
        CredentialCommand::Show(args) => output.or_findings(list::show(args, global, environment, output), args.format),
        CredentialCommand::Default(args) => default::run(&find(&args.name)?, output),
        CredentialCommand::Test(args) => output.or_findings(test::run(args, global, environment, output), args.format),
        CredentialCommand::Remove(args) => remove::run(args, &find(&args.name)?, output),
    }
}

/// Returns the path of the org file to change, whether it exists or not.
fn location(global: &Global, environment: &Environment) -> Result<PathBuf, Error> {
    match file::find(global.org.as_deref(), environment.for_org()) {
        Some(Location::Path(path)) => Ok(path),
        None => Ok(PathBuf::from(LOCAL)),
        Some(Location::StandardInput) => Err(Error::invalid(
            Diagnostic::error("org-file", "an org file from standard input cannot be changed")
                .hint("name the file itself with --org"),
        )),
    }
}

/// The org file that a command changes, and the credential that it names.
struct NamedCredential {
    path: PathBuf,
    org: Org,
    index: usize,
}

impl NamedCredential {
    fn find(args: &NameArgs, global: &Global, environment: &Environment) -> Result<Self, Error> {
        let path = location(global, environment)?;
        let org = input::org(global, environment)?.org;
        let index = named(&org, &args.name)?;
        Ok(NamedCredential { path, org, index })
    }

    fn credential(&self) -> &Credential {
        &self.org.credentials[self.index]
    }

    fn change(&self, change: &Change) -> Result<(), Error> {
        self::change(&self.path, change)
    }
}

/// Makes a change to the org file.
fn change(path: &Path, change: &Change) -> Result<(), Error> {
    update(path, |text| changed(path, text, change))
}

/// Returns an org file's text after a change, if the result is a valid org file.
fn changed(path: &Path, text: &str, change: &Change) -> Result<Zeroizing<String>, Vec<Diagnostic>> {
    let name = path.display().to_string();
    let text = edit(&name, text, change)?;
    read(&name, text.as_bytes()).map(|_| text)
}

/// Returns the index of a credential by its name.
pub(super) fn named(org: &Org, name: &str) -> Result<usize, Error> {
    let index = org.credentials.iter().position(|credential| credential.name == name);
    index.ok_or_else(|| Error::invalid(org.unknown(name)))
}

/// Returns the credential that a command without a manifest means: the one named, the default, or the only one.
pub(super) fn chosen(org: &Org, name: Option<&str>) -> Result<usize, Error> {
    match (name, &org.credentials[..]) {
        (Some(name), _) => named(org, name),
        (None, [_]) => Ok(0),
        (None, _) => org.choose(None, None).map_err(|_| {
            let diagnostic = Diagnostic::error("no-credential", "no credential found: there is no default");
            Error::invalid(match org.credentials.is_empty() {
                true => diagnostic.hint(format!("add one with `{}`", with_org("credential add NAME"))),
                false => diagnostic
                    .hint(format!("name one, or make one the default with `{}`", with_org("credential default NAME"))),
            })
        }),
    }
}
