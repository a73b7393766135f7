//! Owns the reading of what the user names: manifests and the org file.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Global;
use super::environment::Environment;
use crate::error::{Diagnostic, Error};
use crate::manifest::{self, Manifest};
use crate::org::Org;
use crate::org::file::{self, Loaded};
use crate::yaml::MAX_BYTES;

/// Everything that a plan is made of.
pub(super) struct Input {
    pub manifests: Vec<Manifest>,
    pub org: Org,
    /// What the org file's relative paths are relative to.
    pub org_dir: PathBuf,
    pub warnings: Vec<Diagnostic>,
}

/// Reads the manifests and the org file, and returns every problem of all of them at once.
pub(super) fn read(paths: &[PathBuf], global: &Global, environment: &Environment) -> Result<Input, Error> {
    let mut problems = Vec::new();
    let mut manifests = Vec::new();
    let mut warnings = Vec::new();
    for path in paths {
        match manifest(path) {
            Ok((manifest, found)) => {
                manifests.push(manifest);
                warnings.extend(found);
            }
            Err(found) => problems.extend(found),
        }
    }
    let opened = org(global, environment);
    match opened {
        Ok(Loaded { org, directory }) if problems.is_empty() => {
            Ok(Input { manifests, org, org_dir: directory, warnings })
        }
        Ok(_) => Err(Error::invalid(problems)),
        Err(error) => {
            problems.extend(error.diagnostics);
            Err(Error { status: error.status, diagnostics: problems })
        }
    }
}

/// Finds and reads the org file.
pub(super) fn org(global: &Global, environment: &Environment) -> Result<Loaded, Error> {
    file::load(global.org.as_deref(), environment.for_org())
}

fn manifest(path: &Path) -> Result<(Manifest, Vec<Diagnostic>), Vec<Diagnostic>> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| {
        let diagnostic = Diagnostic::error("unreadable", format!("cannot read {name}: {error}"));
        vec![match error.kind() {
            std::io::ErrorKind::NotFound => diagnostic.hint("give the path of a deployment manifest"),
            _ => diagnostic,
        }]
    };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // one byte more than is read, so that a larger file is seen to be one
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
    manifest::read(&name, &text)
}
