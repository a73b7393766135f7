//! `secretbake credential remove`: removes a credential and warns of the manifests that still name it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::super::output::Output;
use super::{NameArgs, NamedCredential};
use crate::diagnostic::command::with_org;
use crate::diagnostic::{Diagnostic, Error};
use crate::manifest::yaml::{MAX_BYTES, Position, place};
use crate::manifest::{self, Manifest};
use crate::org::Credential;
use crate::org::change::Change;
use crate::runtime::bounded;

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake credential remove aws-old --manifests deploy/*.yaml")]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    pub name: NameArgs,
    /// Manifests to search for uses of it [default: all .yaml and .yml files here and below]
    #[arg(long, value_name = "MANIFEST", num_args = 1..)]
    manifests: Vec<PathBuf>,
}

pub(super) fn run(args: &RemoveArgs, target: &NamedCredential, output: &Output) -> Result<ExitCode, Error> {
    let credential = target.credential();
    let (paths, is_part) = match &args.manifests[..] {
        [] => Search::here(),
        named => (named.to_vec(), false),
    };
    // warn before the credential is removed
    let warnings: Vec<Diagnostic> =
        paths.iter().filter_map(|path| read(path)).flat_map(|manifest| uses(&manifest, credential)).collect();
    output.problems(&warnings);
    if is_part {
        let what = format!("more than {MOST} files here: not all were looked at for manifests");
        output.problems(&[Diagnostic::warning("not-all-seen", what).hint("name the manifests with --manifests")]);
    }
    target.change(&Change::Remove { name: credential.name.clone() })?;
    output.note(&format!("removed: {}", credential.name));
    if credential.default {
        let provider = credential.provider().name();
        output.problems(&[Diagnostic::warning("no-default", format!("{provider} has no default credential any more"))
            .hint(format!("make another one the default with `{}`", with_org("credential default NAME")))]);
    }
    Ok(ExitCode::SUCCESS)
}

/// How deep below the working directory to look for manifests, and in how many files.
const DEEPEST: usize = 8;
const MOST: usize = 20_000;

/// The files in and below the working directory that may be manifests.
#[derive(Default)]
struct Search {
    found: Vec<PathBuf>,
    seen: usize,
}

impl Search {
    /// Returns the files, sorted, and whether there were too many to read them all.
    fn here() -> (Vec<PathBuf>, bool) {
        let mut search = Search::default();
        search.folder(Path::new(""), 0);
        search.found.sort();
        (search.found, search.seen > MOST)
    }

    fn folder(&mut self, folder: &Path, depth: usize) {
        let entries = fs::read_dir(if depth == 0 { Path::new(".") } else { folder });
        for entry in entries.into_iter().flatten().flatten() {
            self.seen += 1;
            if self.seen > MOST {
                return;
            }
            let (name, path) = (entry.file_name(), folder.join(entry.file_name()));
            // a link to a folder can form a loop
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let is_others = name.as_encoded_bytes().starts_with(b".") || name == "target" || name == "node_modules";
            match is_folder {
                true if is_others || depth == DEEPEST => {}
                true => self.folder(&path, depth + 1),
                false if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") => {
                    self.found.push(path);
                }
                false => {}
            }
        }
    }
}

/// Reads a manifest; `None` if the file is something else.
fn read(path: &Path) -> Option<Manifest> {
    let metadata = fs::metadata(path).ok().filter(|metadata| metadata.is_file())?;
    if metadata.len() > MAX_BYTES as u64 {
        return None;
    }
    manifest::read(&path.display().to_string(), &bounded::read_file(path, MAX_BYTES as u64).ok()?).0
}

/// Returns a warning for each reference that names the credential.
fn uses(manifest: &Manifest, credential: &Credential) -> Vec<Diagnostic> {
    let naming = manifest.secrets().filter_map(|(path, secret)| {
        let name = secret.credential.as_ref().filter(|name| name.value == credential.name)?;
        let at: Position = name.at;
        let what = format!("still names the credential `{}`", credential.name);
        let warning = Diagnostic::warning("removed-credential", what).at(place(&manifest.file, at, path));
        Some(warning.hint("name another credential there, or leave it out for the default"))
    });
    naming.collect()
}
