//! Owns the org file on disk: finding it, checking who may read it, and reading the keys from the sources that it names.
//!
//! It writes nothing and gets the process's environment as an argument.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::rights::{cannot_read, directory, refuse_others};
use super::{AwsSettings, Credential, KeySource, Org, Settings, StaticKeys};
use crate::diagnostic::{Diagnostic, Error, Place};
use crate::manifest::yaml::{MAX_BYTES, join, place};
use crate::runtime::bounded;
use crate::runtime::platform::{self, Folders, standard_input};
use crate::secret::SecretBytes;

/// The org file of a working directory.
pub const LOCAL: &str = "secretbake.org.yaml";
/// The org file of a user or a machine, in the folder for configuration.
const CONFIGURED: &str = "secretbake/org.yaml";
/// The longest key, in bytes. Session tokens have no documented limit; 16 KiB is many times the longest seen.
const MAX_KEY_BYTES: usize = 16 << 10;

/// Access to the process's environment variables.
#[derive(Clone, Copy)]
pub struct Variables<'a> {
    org: Option<&'a Path>,
    folders: Option<&'a Folders>,
    lookup: &'a (dyn Fn(&str) -> Option<OsString> + Sync),
}

impl<'a> Variables<'a> {
    /// Takes the function that looks up the variables named in an org file. No places of an org file are known yet.
    pub fn new(lookup: &'a (dyn Fn(&str) -> Option<OsString> + Sync)) -> Self {
        Variables { org: None, folders: None, lookup }
    }

    /// Sets the org file named by the environment and the folders of the user and the machine.
    #[must_use]
    pub fn with_places(self, org: Option<&'a Path>, folders: &'a Folders) -> Self {
        Variables { org, folders: Some(folders), ..self }
    }

    /// Returns a variable's value if it is set and not empty.
    pub fn get(&self, name: &str) -> Option<OsString> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }
}

/// Where the org file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    StandardInput,
    Path(PathBuf),
}

/// The org file and the directory that its relative paths start from.
pub struct Loaded {
    pub org: Org,
    pub directory: PathBuf,
}

/// Where to read a web identity token, each time it is used to assume a role.
pub enum WebIdentityToken {
    /// The value of a variable, which does not change during the run.
    Fixed(SecretBytes),
    /// A file: the issuer or cluster replaces the token before it expires.
    File(PathBuf),
}

impl WebIdentityToken {
    /// Reads the current token.
    pub fn read(&self) -> Result<SecretBytes, Error> {
        match self {
            WebIdentityToken::Fixed(token) => Ok(token.clone()),
            WebIdentityToken::File(path) => {
                // no check of its mode: a cluster may let every user of the container read it
                let (file, _) = open(path, "token file")?;
                let text = read_all(file, MAX_KEY_BYTES).map_err(|error| failed_to_read(path, &error))?;
                checked(without_newline(&text), TOKEN, &path.display().to_string())
            }
        }
    }
}

/// Access keys, ready for use.
pub struct Keys {
    pub access_key_id: String,
    pub secret_access_key: SecretBytes,
    pub session_token: Option<SecretBytes>,
}

/// Finds and reads the org file, and reports every problem in it. Without an org file, returns an organisation without credentials.
pub fn load(explicit: Option<&Path>, environment: Variables<'_>) -> Result<Loaded, Error> {
    whole(load_partly(explicit, environment))
}

/// Like [`load`], but also returns what could be read of a file with problems.
pub fn load_partly(explicit: Option<&Path>, environment: Variables<'_>) -> (Loaded, Option<Error>) {
    match find(explicit, environment) {
        Some(location) => read_partly(&location),
        None => (Loaded { org: Org::default(), directory: PathBuf::from(".") }, None),
    }
}

fn whole((loaded, error): (Loaded, Option<Error>)) -> Result<Loaded, Error> {
    error.map_or(Ok(loaded), Err)
}

/// Returns the first org file of: the given one, the environment's, the working directory's, the user's, the machine's.
///
/// The first two are returned even if they do not exist. A file that exists but is not readable counts too, so the user gets an
/// error instead of another file.
pub fn find(explicit: Option<&Path>, environment: Variables<'_>) -> Option<Location> {
    if let Some(path) = explicit.or(environment.org) {
        let is_input = path.as_os_str() == "-";
        return Some(if is_input { Location::StandardInput } else { Location::Path(path.to_owned()) });
    }
    let configured = environment.folders.into_iter().flat_map(|folders| [&folders.config, &folders.machine]).flatten();
    std::iter::once(PathBuf::from(LOCAL))
        .chain(configured.map(|folder| folder.join(CONFIGURED)))
        .find(|path| !matches!(fs::metadata(path), Err(error) if is_absent(&error)))
        .map(Location::Path)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Reads the org file at a location.
pub fn read(location: &Location) -> Result<Loaded, Error> {
    whole(read_partly(location))
}

/// Reads the org file at a location as far as it can be read.
fn read_partly(location: &Location) -> (Loaded, Option<Error>) {
    let (name, directory) = match location {
        Location::StandardInput => ("-".to_owned(), PathBuf::from(".")),
        Location::Path(path) => (path.display().to_string(), directory(path).to_owned()),
    };
    let (org, error) = match text(location) {
        Err(error) => (Org::unreadable(&name), Some(error)),
        Ok((text, metadata)) => {
            let (org, problems) = super::read_partly(&name, text.expose());
            let error = (!problems.is_empty()).then(|| Error::invalid(problems));
            let refused = match (location, metadata) {
                (Location::Path(path), Some(metadata)) if org.credentials.iter().any(holds_a_key) => {
                    refuse_others(path, &metadata, "holds a key").err()
                }
                _ => None,
            };
            (org, error.into_iter().chain(refused).reduce(Error::join))
        }
    };
    (Loaded { org, directory }, error)
}

/// Returns the text at a location, and what the system says of a file.
fn text(location: &Location) -> Result<(SecretBytes, Option<Metadata>), Error> {
    let Location::Path(path) = location else {
        let text = standard_input().and_then(|input| read_all(input, MAX_BYTES)).map_err(|error| {
            let what = format!("cannot read standard input: {error}");
            let hint = "check the command that writes to the pipe, or give the file with --org";
            Error::failed(Diagnostic::error("org-file", what).hint(hint))
        })?;
        return Ok((text, None));
    };
    let (file, metadata) = open(path, "org file")?;
    let text = read_all(file, MAX_BYTES).map_err(|error| failed_to_read(path, &error))?;
    Ok((text, Some(metadata)))
}

/// Returns the keys of an AWS credential; `None` if it uses the ambient ones. Reports every source without a key, never a key itself.
pub fn keys(
    org: &Org,
    credential: &Credential,
    settings: &AwsSettings,
    directory: &Path,
    environment: Variables<'_>,
) -> Result<Option<Keys>, Error> {
    let Some(StaticKeys { access_key_id, secret_access_key, session_token }) = &settings.keys else {
        return Ok(None);
    };
    let at = |field| place(&org.file, credential.at, join(&join("credentials", &credential.name), field));
    let secret = key(secret_access_key, KEY, directory, environment, &at("secret_access_key"));
    let token = match session_token {
        None => Ok(None),
        Some(source) => key(source, TOKEN, directory, environment, &at("session_token")).map(Some),
    };
    match (secret, token) {
        (Ok(secret_access_key), Ok(session_token)) => {
            Ok(Some(Keys { access_key_id: access_key_id.clone(), secret_access_key, session_token }))
        }
        (Err(first), Err(second)) => Err(first.join(second)),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// Returns the web identity token of an AWS credential, after a trial read; `None` if it has none. No error shows a part of the token.
pub fn web_identity_token(
    org: &Org,
    credential: &Credential,
    settings: &AwsSettings,
    directory: &Path,
    environment: Variables<'_>,
) -> Result<Option<WebIdentityToken>, Error> {
    let Some(source) = &settings.web_identity_token else { return Ok(None) };
    let at = place(&org.file, credential.at, join(&join("credentials", &credential.name), "web_identity_token"));
    Ok(Some(match source {
        KeySource::File(name) => {
            let token = WebIdentityToken::File(directory.join(name));
            token.read().map_err(|error| placed(error, &at))?;
            token
        }
        source => WebIdentityToken::Fixed(key(source, TOKEN, directory, environment, &at)?),
    }))
}

/// What a source holds, in the user's words.
const KEY: &str = "key";
const TOKEN: &str = "token";

fn key(
    source: &KeySource,
    kind: &str,
    directory: &Path,
    environment: Variables<'_>,
    at: &Place,
) -> Result<SecretBytes, Error> {
    let (bytes, holder) = match source {
        KeySource::Literal(key) => (key.clone(), "the org file".to_owned()),
        KeySource::Env(name) => {
            let value = environment.get(name).ok_or_else(|| {
                let what = format!("the environment variable {name} is not set");
                let hint = format!("set {name} to the {kind}, or name the variable that holds it");
                Error::invalid(Diagnostic::error("no-key", what).at(at.clone()).hint(hint))
            })?;
            (SecretBytes::new(value.into_encoded_bytes()), format!("the environment variable {name}"))
        }
        KeySource::File(name) => {
            let path = directory.join(name);
            let (file, metadata) = open(&path, &format!("{kind} file")).map_err(|error| placed(error, at))?;
            refuse_others(&path, &metadata, &format!("holds a {kind}")).map_err(|error| placed(error, at))?;
            let text = read_all(file, MAX_KEY_BYTES).map_err(|error| placed(failed_to_read(&path, &error), at))?;
            (without_newline(&text), path.display().to_string())
        }
    };
    checked(bytes, kind, &holder).map_err(|error| placed(error, at))
}

/// Checks that bytes can be a key, and remembers them as secret.
fn checked(bytes: SecretBytes, kind: &str, holder: &str) -> Result<SecretBytes, Error> {
    let is_key = bytes.expose().iter().all(u8::is_ascii_graphic);
    if bytes.is_empty() || bytes.len() > MAX_KEY_BYTES || !is_key {
        let what = match bytes.len() {
            0 => "is empty".to_owned(),
            _ if is_key => format!("is too long for a {kind}"),
            _ => format!("contains spaces or other characters that a {kind} cannot have"),
        };
        let hint = format!("copy the {kind} again, without quotes and spaces around it");
        return Err(Error::invalid(Diagnostic::error("bad-key", format!("{holder} {what}")).hint(hint)));
    }
    bytes.remember();
    Ok(bytes)
}

fn placed(mut error: Error, at: &Place) -> Error {
    for diagnostic in &mut error.diagnostics {
        diagnostic.place.get_or_insert_with(|| at.clone());
    }
    error
}

fn without_newline(text: &SecretBytes) -> SecretBytes {
    let bytes = text.expose();
    let bytes = bytes.strip_suffix(b"\n").map_or(bytes, |line| line.strip_suffix(b"\r").unwrap_or(line));
    SecretBytes::new(bytes.to_vec())
}

pub(super) fn holds_a_key(credential: &Credential) -> bool {
    let Settings::Aws(AwsSettings { keys: Some(keys), .. }) = &credential.settings else { return false };
    matches!(keys.secret_access_key, KeySource::Literal(_)) || matches!(keys.session_token, Some(KeySource::Literal(_)))
}

/// Opens a regular file; a pipe without a writer does not hang it.
pub(super) fn open(path: &Path, kind: &str) -> Result<(File, Metadata), Error> {
    let opened = platform::open_without_waiting(path);
    let (file, metadata) =
        opened.and_then(|file| file.metadata().map(|metadata| (file, metadata))).map_err(|error| {
            match error.kind() {
                io::ErrorKind::PermissionDenied => cannot_read(path),
                _ if is_absent(&error) => {
                    let what = format!("no {kind} at {}", path.display());
                    Error::invalid(Diagnostic::error("no-file", what).hint("check the path"))
                }
                _ => failed_to_read(path, &error),
            }
        })?;
    if !metadata.is_file() {
        let what = format!("{} is not a regular file", path.display());
        let hint = "name the file itself; an org file can also come on standard input, with `--org -`";
        return Err(Error::invalid(Diagnostic::error("not-a-file", what).hint(hint)));
    }
    Ok((file, metadata))
}

fn failed_to_read(path: &Path, error: &io::Error) -> Error {
    let what = format!("cannot read {}: {error}", path.display());
    Error::failed(Diagnostic::error("unreadable", what).hint("check the disk and the file system that it is on"))
}

/// Reads at most one byte more than `limit`; the parser rejects anything longer.
pub(crate) fn read_all(reader: impl Read, limit: usize) -> io::Result<SecretBytes> {
    bounded::read_secret_start(reader, limit as u64 + 1)
}
