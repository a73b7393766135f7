//! Reads the manifests and the org file that the user names, and plans them.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Global;
use super::environment::Environment;
use crate::diagnostic::{Diagnostic, Error, Severity, Status};
use crate::manifest::yaml::MAX_BYTES;
use crate::manifest::{self, Manifest};
use crate::org::Org;
use crate::org::file::{self, Loaded, Location};
use crate::plan::{FROM_STANDARD_INPUT, Overrides, Plan, plan, shared_input};
use crate::runtime::bounded;

/// What the user named, planned.
pub(super) struct Input {
    pub plan: Plan,
    pub org: Org,
    /// What the org file's relative paths are relative to.
    pub org_dir: PathBuf,
    pub warnings: Vec<Diagnostic>,
}

/// Reads the manifests and the org file and plans them.
///
/// # Errors
/// Every problem and warning of all of them at once. What could be read of a manifest or an org file with problems is planned too, for
/// the problems that only the plan shows.
pub(super) fn read(
    paths: &[PathBuf],
    overrides: &Overrides,
    needs_images: bool,
    global: &Global,
    environment: &Environment,
) -> Result<Input, Error> {
    let (manifests, mut found): (Vec<_>, Vec<_>) = paths.iter().map(|path| manifest(path)).unzip();
    let mut found: Vec<Diagnostic> = found.drain(..).flatten().collect();
    let manifests: Vec<Manifest> = manifests.into_iter().flatten().collect();
    let is_error = |problem: &Diagnostic| problem.severity == Severity::Error;
    let mut is_wrong = found.iter().any(is_error);
    let (Loaded { org, directory }, of_org) = file::load_partly(global.org.as_deref(), environment.for_org());
    found.extend(org.warnings.iter().cloned());
    let planned = plan(&manifests, &org, overrides, needs_images);
    is_wrong |= planned.is_err();
    match (planned, of_org) {
        (Ok(plan), None) if !is_wrong => Ok(Input { plan, org, org_dir: directory, warnings: found }),
        (planned, of_org) => {
            let status = of_org.as_ref().map_or(Status::Invalid, |error| error.status);
            found.extend(of_org.into_iter().flat_map(|error| error.diagnostics));
            found.extend(planned.err().into_iter().flatten());
            Err(Error { status: if is_wrong { Status::Invalid } else { status }, diagnostics: found })
        }
    }
}

/// Finds and reads the org file.
pub(super) fn org(global: &Global, environment: &Environment) -> Result<Loaded, Error> {
    file::load(global.org.as_deref(), environment.for_org())
}

/// Refuses a run in which the org file and others, named as the user wrote them, are to be read from standard input.
pub(super) fn standard_input_has_one_use(
    others: impl Iterator<Item = String>,
    global: &Global,
    environment: &Environment,
) -> Result<(), Error> {
    let location = file::find(global.org.as_deref(), environment.for_org());
    let org = (location == Some(Location::StandardInput)).then(|| FROM_STANDARD_INPUT.to_owned());
    shared_input(org.into_iter().chain(others)).map_or(Ok(()), |problem| Err(Error::invalid(problem)))
}

/// Returns the manifest as far as it can be read, and what is wrong with it.
fn manifest(path: &Path) -> (Option<Manifest>, Vec<Diagnostic>) {
    let name = path.display().to_string();
    // one byte more than allowed, so that a larger file is noticed
    match File::open(path).and_then(|file| bounded::read_start(file, MAX_BYTES as u64 + 1)) {
        Ok(text) => manifest::read(&name, &text),
        Err(error) => {
            let problem = Diagnostic::error("unreadable", format!("cannot read {name}: {error}"));
            let hint = match error.kind() {
                ErrorKind::NotFound => "give the path of a deployment manifest".to_owned(),
                ErrorKind::IsADirectory => {
                    format!("name the manifests in it, as in {}/*.yaml", name.trim_end_matches('/'))
                }
                ErrorKind::PermissionDenied => format!("let this user read it: ls -l {name}"),
                _ => "give the path of a file that can be read".to_owned(),
            };
            (None, vec![problem.hint(hint)])
        }
    }
}
