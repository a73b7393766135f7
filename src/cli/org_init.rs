//! `secretbake org init`: an org file, or a shared directory with its rights.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Global;
use super::output::Output;
use crate::diagnostic::{Diagnostic, Error};
use crate::org::file::LOCAL;
use crate::org::init::{AccessGroups, NAME, SKELETON, shared};
use crate::org::store::create;

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake org init")]
pub(super) struct OrgArgs {
    #[command(subcommand)]
    command: OrgCommand,
}

#[derive(Subcommand)]
#[command(defer = true)]
enum OrgCommand {
    /// Create an org file here or at --org, or a shared directory with the right permissions
    Init(InitArgs),
}

#[derive(Args)]
#[command(group(clap::ArgGroup::new("groups").multiple(true)))]
#[command(after_help = "Examples:
  secretbake org init
  sudo secretbake org init --dir /etc/secretbake \\
    --read-group deployers --manage-group secret-admins")]
struct InitArgs {
    /// Create this directory instead, shared by the two groups; must be new or empty
    #[arg(long, value_name = "DIR", requires = "groups")]
    dir: Option<PathBuf>,
    /// Group that may use the credentials (`secret_providers: read`); name or number
    #[arg(long, value_name = "GROUP", requires = "dir", group = "groups")]
    read_group: Option<String>,
    /// Group that may use and change them (`secret_providers: manage`); name or number
    #[arg(long, value_name = "GROUP", requires = "dir", group = "groups")]
    manage_group: Option<String>,
}

pub(super) fn run(args: &OrgArgs, global: &Global, output: &Output) -> Result<ExitCode, Error> {
    let OrgCommand::Init(args) = &args.command;
    let path = match (&args.dir, &global.org) {
        (None, path) => {
            let path = path.clone().unwrap_or_else(|| PathBuf::from(LOCAL));
            if path.as_os_str() == "-" {
                let hint = "name the file to make with --org, or leave --org out";
                return Err(Error::invalid(
                    Diagnostic::error("org-file", "standard input is no org file to make").hint(hint),
                ));
            }
            create(&path, SKELETON)?;
            path
        }
        (Some(directory), Some(_)) => {
            let what = "--org and --dir both say where the org file is made";
            let hint = format!("leave --org out: the file is {}", directory.join(NAME).display());
            return Err(Error::invalid(Diagnostic::error("two-places", what).hint(hint)));
        }
        (Some(directory), None) => {
            shared(directory, &AccessGroups { read: args.read_group.clone(), manage: args.manage_group.clone() })?;
            directory.join(NAME)
        }
    };
    output.result(&format!("{}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}
