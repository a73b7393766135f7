//! Owns the embedded default provider, `provider: file`: secrets in a YAML file, without an account or a network.
//!
//! It is meant for a first run, tests and secrets that another tool decrypts to disk, so it does not check who else may read
//! the file. The format:
//!
//! ```yaml
//! version: 1
//! secrets:
//!   api-key: plain-text               # short for `{ value: plain-text }`
//!   database-credentials:
//!     value: '{"username":"app","password":"…"}'
//!     version_id: v2                  # optional, as are stages; each has a content of its own
//!     stages:
//!       AWSPREVIOUS: { value: '{"username":"app","password":"…"}', version_id: v1 }
//!   tls/server: { value_file: server.pem }   # the file's bytes; its path is relative to this file
//!   keystore: { base64: AAEC }        # a binary secret
//! ```
//!
//! A value is a string: what YAML would read as a number, boolean, date or null must be quoted.

mod read;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{Provider, ProviderError, ProviderErrorKind, SecretDescription, SecretValue, VersionInfo};
use crate::diagnostic::{Diagnostic, Error};
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::manifest::yaml::MAX_BYTES;
use crate::manifest::yaml::fields::nearest;
use crate::org::file::read_all;
use crate::runtime::blocking;
use crate::secret::SecretBytes;

/// The version stage of the value given directly at the secret.
const CURRENT: &str = "AWSCURRENT";

/// The largest `value_file`, in bytes: many times AWS Secrets Manager's limit.
const MAX_VALUE_BYTES: usize = 8 << 20;

/// The secrets of one file, which is read once.
pub struct FileProvider {
    /// The file's name in diagnostics.
    file: String,
    /// The base directory for `value_file` paths.
    directory: PathBuf,
    secrets: BTreeMap<String, BTreeMap<String, SecretVersion>>,
}

/// One version of a secret.
struct SecretVersion {
    content: VersionContent,
    version_id: Option<String>,
}

enum VersionContent {
    Text(SecretBytes),
    Binary(SecretBytes),
    /// A path relative to the secrets file.
    File(String),
}

impl FileProvider {
    /// Reads a secrets file. It may be a pipe; then this blocks until the writer is done.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = path.display().to_string();
        let text = File::open(path).and_then(|opened| read_all(opened, MAX_BYTES)).map_err(|error| {
            let what = format!("cannot read the secrets file {file}: {error}");
            let hint = "`path` in the org file is relative to the org file";
            Error::failed(Diagnostic::error("secrets-file", what).hint(hint))
        })?;
        let secrets = read::read(&file, text.expose()).map_err(Error::invalid)?;
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(FileProvider { file, directory, secrets })
    }

    fn secret(&self, id: &SecretId) -> Result<&BTreeMap<String, SecretVersion>, ProviderError> {
        self.secrets.get(id.as_str()).ok_or_else(|| {
            let what = format!("secret not found: {id} ({})", self.file);
            let names: Vec<&str> = self.secrets.keys().map(String::as_str).collect();
            let hint = match nearest(id.as_str(), &names) {
                Some(name) => format!("did you mean `{name}`?"),
                None if names.is_empty() => format!("add `{id}: VALUE` under `secrets:`; the file has none yet"),
                None => format!("add it under `secrets:`; the file has {}", listed(&names)),
            };
            ProviderError::new(ProviderErrorKind::NotFound, Diagnostic::error("secret-not-found", what).hint(hint))
        })
    }

    async fn value(&self, id: &SecretId, entry: &SecretVersion) -> Result<SecretValue, ProviderError> {
        let (bytes, binary) = match &entry.content {
            VersionContent::Text(bytes) => (bytes.clone(), false),
            VersionContent::Binary(bytes) => (bytes.clone(), true),
            VersionContent::File(name) => {
                let path = self.directory.join(name);
                let failed = |why: String, hint: String| {
                    let what = format!("cannot read the value of {id} from {}: {why}", path.display());
                    ProviderError::new(ProviderErrorKind::Other, Diagnostic::error("value-file", what).hint(hint))
                };
                let bytes = read_value(path.clone())
                    .await
                    .map_err(|error| failed(error.to_string(), format!("`value_file` is relative to {}", self.file)))?;
                if bytes.len() > MAX_VALUE_BYTES {
                    let why = format!("larger than {} MiB", MAX_VALUE_BYTES >> 20);
                    return Err(failed(why, "name a file that holds the value alone".to_owned()));
                }
                let binary = std::str::from_utf8(bytes.expose()).is_err();
                (bytes, binary)
            }
        };
        Ok(SecretValue { bytes, binary, arn: None, version_id: entry.version_id.clone() })
    }
}

/// Reads a value on a detached thread: the file may be a pipe, or on a server that is down.
async fn read_value(path: PathBuf) -> io::Result<SecretBytes> {
    blocking::detached(move || read_all(File::open(path)?, MAX_VALUE_BYTES)).await?
}

impl Provider for FileProvider {
    async fn read(&self, id: &SecretId, version: &Version) -> Result<SecretValue, ProviderError> {
        let versions = self.secret(id)?;
        let (found, asked) = match version {
            Version::Current => (versions.get(CURRENT), format!("the stage {CURRENT}")),
            Version::Stage(stage) => (versions.get(stage), format!("the stage {stage}")),
            Version::Id(wanted) => {
                let entry = versions.values().find(|entry| entry.version_id.as_ref() == Some(wanted));
                (entry, format!("the ID {wanted}"))
            }
        };
        let entry = found.ok_or_else(|| {
            let what = format!("secret version not found: {id} has none with {asked} ({})", self.file);
            let stages: Vec<&str> = versions.keys().map(String::as_str).collect();
            let hint = format!("its stages are {}", listed(&stages));
            ProviderError::new(ProviderErrorKind::NotFound, Diagnostic::error("version-not-found", what).hint(hint))
        })?;
        self.value(id, entry).await
    }

    async fn describe(&self, id: &SecretId, _: &Version) -> Result<SecretDescription, ProviderError> {
        let versions = self.secret(id)?.iter();
        let mut versions: Vec<VersionInfo> = versions
            .map(|(stage, entry)| VersionInfo { id: entry.version_id.clone(), stages: vec![stage.clone()] })
            .collect();
        versions.sort();
        Ok(SecretDescription::of_versions(id.as_str(), versions))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, ProviderError> {
        Ok(self.secrets.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }
}

/// Returns the first names of a list for a sentence.
fn listed(names: &[&str]) -> String {
    const MOST: usize = 8;
    let shown = names.iter().take(MOST).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
