//! `secretbake credential remove`: takes a credential out, and says which manifests still name it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::super::Global;
use super::super::environment::Environment;
use super::super::output::Output;
use super::{NameArgs, Target};
use crate::error::{Diagnostic, Error};
use crate::manifest::{self, Manifest, Source};
use crate::org::Credential;
use crate::org::edit::Change;
use crate::yaml::{MAX_BYTES, Position, place};

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake credential remove aws-old --manifests deploy/*.yaml")]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Where to look for manifests that name it; without it, every `.yaml` and `.yml` file here
    #[arg(long, value_name = "MANIFEST", num_args = 1..)]
    manifests: Vec<PathBuf>,
}

pub(super) fn run(
    args: &RemoveArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let target = Target::find(&args.name, global, environment)?;
    let credential = target.credential();
    target.change(&Change::Remove { name: credential.name.clone() })?;
    output.note(&format!("removed: {}", credential.name));
    let paths = if args.manifests.is_empty() { here() } else { args.manifests.clone() };
    let warnings: Vec<Diagnostic> =
        paths.iter().filter_map(|path| read(path)).flat_map(|manifest| uses(&manifest, credential)).collect();
    output.problems(&warnings);
    if credential.default {
        let provider = credential.provider().name();
        output.problems(&[Diagnostic::warning("no-default", format!("{provider} has no default credential any more"))
            .hint("make another one the default with `secretbake credential default NAME`")]);
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the files of the working directory that may be manifests, sorted.
fn here() -> Vec<PathBuf> {
    let entries = fs::read_dir(".").into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| PathBuf::from(entry.file_name()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"))
        .collect();
    paths.sort();
    paths
}

/// Reads a manifest; `None` where the file is something else.
fn read(path: &Path) -> Option<Manifest> {
    let metadata = fs::metadata(path).ok().filter(|metadata| metadata.is_file())?;
    if metadata.len() > MAX_BYTES as u64 {
        return None;
    }
    manifest::read(&path.display().to_string(), &fs::read(path).ok()?).0
}

/// Returns a warning for each reference that names the credential.
fn uses(manifest: &Manifest, credential: &Credential) -> Vec<Diagnostic> {
    let variables = manifest.env.iter().filter_map(|variable| match &variable.source {
        Source::Secret(secret) => Some((crate::yaml::join("env", &variable.name), secret)),
        Source::Plain(_) => None,
    });
    let files = manifest.files.iter().map(|file| (crate::yaml::join("files", &file.path), &file.secret));
    let naming = variables.chain(files).filter_map(|(path, secret)| {
        let name = secret.credential.as_ref().filter(|name| name.value == credential.name)?;
        let at: Position = name.at;
        let what = format!("still names the credential `{}`", credential.name);
        let warning = Diagnostic::warning("removed-credential", what).at(place(&manifest.file, at, path));
        Some(warning.hint("name another credential there, or leave it out for the default"))
    });
    naming.collect()
}
