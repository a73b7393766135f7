//! `secretbake import`: makes a manifest from another tool's file, with references to fill in and no credential.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::output::Output;
use crate::diagnostic::command::with_org;
use crate::diagnostic::{Diagnostic, Error};
use crate::ops::import::{ImportFormat, MAX_BYTES, import};
use crate::runtime::bounded::{self, ReadError};
use crate::runtime::platform::standard_input;
use crate::secret::SecretBytes;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  secretbake import dotenv .env > deploy.yaml
  aws ecs describe-task-definition --task-definition crew | secretbake import ecs -
  secretbake import compose compose.yaml --container api")]
pub(super) struct Args {
    /// Format of the file
    #[arg(value_enum)]
    form: FormArg,
    /// File to convert; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Container or service to convert, if the file has several
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum FormArg {
    /// NAME=value lines
    Dotenv,
    /// Compose file
    Compose,
    /// ECS task definition, as JSON
    Ecs,
    /// Kubernetes manifests
    K8s,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<ExitCode, Error> {
    let form = match args.form {
        FormArg::Dotenv => ImportFormat::Dotenv,
        FormArg::Compose => ImportFormat::Compose,
        FormArg::Ecs => ImportFormat::Ecs,
        FormArg::K8s => ImportFormat::K8s,
    };
    let name = args.file.display().to_string();
    let text = read(&args.file).map_err(|error| {
        Error::invalid(match error {
            ReadError::TooLong(_) => {
                Diagnostic::error("file-too-large", format!("{name} is larger than {} MiB", MAX_BYTES >> 20))
                    .hint("import the part that has the variables")
            }
            error => Diagnostic::error("unreadable", format!("cannot read {name}: {error}"))
                .hint("give the path of the file, or `-` for standard input"),
        })
    })?;
    let imported = import(form, &name, text.expose(), args.container.as_deref()).map_err(Error::invalid)?;
    output.problems(&imported.notes);
    output.result(&imported.manifest)?;
    output.count();
    output.note(&next_step(imported.to_fill_in));
    Ok(ExitCode::SUCCESS)
}

/// Returns what to do with the manifest.
fn next_step(to_fill_in: usize) -> String {
    let fill_in = match to_fill_in {
        0 => String::new(),
        1 => "fill in the line marked TODO, ".to_owned(),
        count => format!("fill in the {count} lines marked TODO, "),
    };
    let check = with_org("check deploy.yaml");
    format!("next: save the manifest as deploy.yaml, {fill_in}then run `{check}`")
}

/// Reads the file as a secret: it may hold some in the clear.
fn read(path: &Path) -> Result<SecretBytes, ReadError> {
    let most = MAX_BYTES as u64;
    if path.as_os_str() == "-" {
        bounded::read_secret(standard_input()?, most)
    } else {
        bounded::read_secret(std::fs::File::open(path)?, most)
    }
}
