//! `secretbake __complete`: the names of credentials and secrets that a shell offers, kept for five minutes.
//!
//! A shell shows no errors, so without an answer nothing is offered. `SECRETBAKE_COMPLETE=off` offers nothing and contacts nobody;
//! `SECRETBAKE_NO_COMPLETION_CACHE` keeps no names on disk.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use sha2::{Digest as _, Sha256};

use super::credential::chosen;
use super::environment::Environment;
use super::output::Output;
use super::{Global, in_runtime, input};
use crate::diagnostic::Error;
use crate::org::Org;
use crate::org::file::Loaded;
use crate::runtime::{bounded, platform};
use crate::secrets::{CallLimits, Provider as _, any};

/// How long names are remembered.
const FRESH: Duration = Duration::from_secs(300);
/// The largest list of names that is read, in bytes.
const MOST_NAMES: u64 = 16 << 20;
/// How long a shell may wait.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Args)]
pub(super) struct CompleteArgs {
    #[arg(value_enum)]
    what: What,
    /// The word so far
    #[arg(default_value = "", allow_hyphen_values = true)]
    word: String,
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Credentials,
    Secrets,
}

pub(super) fn run(
    args: &CompleteArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    if environment.complete.as_deref() == Some("off") {
        return Ok(ExitCode::SUCCESS);
    }
    let names = match (args.what, input::org(global, environment)) {
        (_, Err(_)) => Vec::new(),
        (What::Credentials, Ok(Loaded { org, .. })) => {
            org.credentials.into_iter().map(|credential| credential.name).collect()
        }
        (What::Secrets, Ok(loaded)) => secrets(args, environment, &loaded).unwrap_or_default(),
    };
    let offered = names.iter().filter(|name| name.starts_with(&args.word) && is_harmless(name));
    output.result(&offered.map(|name| format!("{name}\n")).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

/// Tells whether a shell takes the name as one word and a command does not take it as an option. Other names are not offered.
fn is_harmless(name: &str) -> bool {
    !name.starts_with('-') && name.chars().all(|c| c.is_ascii_alphanumeric() || "/_+=.@:-".contains(c))
}

fn secrets(args: &CompleteArgs, environment: &Environment, loaded: &Loaded) -> Option<Vec<String>> {
    let Loaded { org, directory } = loaded;
    let index = chosen(org, args.credential.as_deref()).ok()?;
    let credential = &org.credentials[index].name;
    if let Some(names) = remembered(environment, org, credential) {
        return Some(names);
    }
    let limits = CallLimits { operation: PATIENCE, attempts: 1, propagation: Duration::ZERO, ..CallLimits::default() };
    let provider = any::connect(org, index, directory, environment.for_org(), &limits).ok()?;
    let listed = in_runtime(|_| async { Ok(tokio::time::timeout(PATIENCE, provider.list("")).await) });
    let names = listed.ok()?.ok()?.ok()?;
    remember(environment, org, credential, &names);
    Some(names)
}

/// Keeps the names of a credential's secrets for the next completion. If that fails, they are listed again next time.
pub(super) fn remember(environment: &Environment, org: &Org, credential: &str, names: &[String]) {
    let Some(path) = cache(environment, org, credential) else { return };
    let Some(folder) = path.parent() else { return };
    let write = || {
        platform::private_directories().recursive(true).create(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        // a name with a line feed would be read as two
        let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| is_harmless(name)).collect();
        std::io::Write::write_all(&mut file, names.join("\n").as_bytes())?;
        platform::make_private(file.as_file())?;
        file.persist(&path).map_err(|error| error.error)
    };
    let _ = write();
}

fn remembered(environment: &Environment, org: &Org, credential: &str) -> Option<Vec<String>> {
    let path = cache(environment, org, credential)?;
    let age = SystemTime::now().duration_since(fs::metadata(&path).ok()?.modified().ok()?).ok()?;
    if age > FRESH {
        return None;
    }
    let names = bounded::read_file(&path, MOST_NAMES).ok()?;
    Some(String::from_utf8(names).ok()?.lines().map(str::to_owned).collect())
}

/// Returns where the names are kept: by the org file's path, the credential's name and region, and the environment's account.
fn cache(environment: &Environment, org: &Org, credential: &str) -> Option<PathBuf> {
    if environment.no_completion_cache {
        return None;
    }
    let file = fs::canonicalize(&org.file).ok()?;
    let region = org.credentials.iter().find(|other| other.name == credential)?.region().unwrap_or_default().to_owned();
    let parts = [file.into_os_string(), credential.into(), region.into()].into_iter().chain(environment.account());
    let mut key = Sha256::new();
    for part in parts {
        key.update(part.as_encoded_bytes());
        key.update([0]);
    }
    let key: String = key.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Some(environment.folders.cache.as_ref()?.join("secretbake/names").join(key))
}

#[cfg(test)]
mod tests {
    use super::is_harmless;

    #[test]
    fn a_shell_is_offered_names_only() {
        for name in ["crewai/openai-api-key", "a+b=c.d@e", "arn:aws:secretsmanager:us-east-1:1:secret:x"] {
            assert!(is_harmless(name), "{name}");
        }
        for name in ["$(touch x)", "--org=x", "-x", "`x`", "a b", "a;b", "\u{1b}]0;x\u{7}", "a\nb", "größe"] {
            assert!(!is_harmless(name), "{name}");
        }
    }
}
