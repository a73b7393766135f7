//! Finds the login of a registry in Docker's configuration: `auths`, `credHelpers` and `credsStore`.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use zeroize::Zeroizing;

use super::error::{StoreError, fault};
use crate::diagnostic::{Diagnostic, ForeignText, scrub};
use crate::runtime::bounded::{self, ReadError, ReadLimits};
use crate::runtime::files;
use crate::secret::SecretBytes;

/// A login from Docker's configuration.
pub enum Login {
    Password {
        user: String,
        password: SecretBytes,
    },
    /// An identity token, which is exchanged for access tokens.
    Identity(SecretBytes),
}

/// The largest configuration that is read.
const LIMIT: u64 = 16 * 1024 * 1024;
/// The limits of a credential helper. It may need time: a keyring may ask the user.
const HELPER: ReadLimits = ReadLimits { bytes: 1024 * 1024, time: Duration::from_secs(30) };

/// The parts of Docker's configuration that are about logins.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerConfig<'a> {
    /// Read by `docker_credential`.
    #[serde(borrow)]
    auths: Option<&'a RawValue>,
    cred_helpers: Option<HashMap<String, String>>,
    creds_store: Option<String>,
}

/// The answer of a credential helper.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// Returns Docker's name for a registry in its configuration and API.
pub fn server(host: &str) -> &str {
    if host == "docker.io" { "https://index.docker.io/v1/" } else { host }
}

/// Finds the login of a registry; `None` if there is none. An error never shows a helper's output, which may be the login.
pub async fn find(docker_config: Option<&Path>, host: &str) -> Result<Option<Login>, StoreError> {
    let Some(path) = docker_config.map(|folder| folder.join("config.json")) else { return Ok(None) };
    let shown = path.display().to_string();
    let Some(text) = files::read(&path, LIMIT).map_err(|error| fault("read", &shown, &error))? else {
        return Ok(None);
    };
    let text = Zeroizing::new(text);
    let unreadable = || no_login(host, &format!("the login in `{shown}` cannot be read"));
    let config: DockerConfig<'_> = serde_json::from_slice(&text).map_err(|_| unreadable())?;
    let server = server(host);
    let named = |name: &&String| !name.is_empty();
    if let Some(helper) = config.cred_helpers.as_ref().and_then(|helpers| helpers.get(server)).filter(named) {
        return ask_helper(helper, server, host).await;
    }
    match written_login(config.auths, server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Some(login(user, password))),
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(identity(token))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => match config.creds_store.as_ref().filter(named) {
            Some(helper) => ask_helper(helper, server, host).await,
            None => Ok(None),
        },
        Err(_) => Err(unreadable()),
    }
}

/// Reads a login that is stored in the configuration itself.
fn written_login(auths: Option<&RawValue>, server: &str) -> Result<DockerCredential, CredentialRetrievalError> {
    #[derive(Serialize)]
    struct Auths<'a> {
        auths: Option<&'a RawValue>,
    }
    // without the helpers: the library would run them without limits
    let text = serde_json::to_vec(&Auths { auths }).map_err(|_| CredentialRetrievalError::ConfigReadError)?;
    get_credential_from_reader(Zeroizing::new(text).as_slice(), server)
}

/// Asks `docker-credential-NAME` for the login of a registry.
async fn ask_helper(name: &str, server: &str, host: &str) -> Result<Option<Login>, StoreError> {
    let program = format!("docker-credential-{name}");
    let shown = ForeignText::new(&program);
    let answer = match tokio::time::timeout(HELPER.time, run_helper(&program, server)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(ReadError::Failed(error))) if error.kind() == ErrorKind::NotFound => {
            return Err(no_login(host, &format!("there is no program `{shown}`")));
        }
        Ok(Err(error @ ReadError::TooLong(_))) => {
            return Err(no_login(host, &format!("the answer of the credential helper `{shown}` is {error}")));
        }
        Err(_) | Ok(Err(ReadError::TooSlow(_))) => {
            let what = format!("no login for {host}: the credential helper `{shown}` does not answer");
            return Err(Diagnostic::error("registry-login", what)
                .cause(format!("it was given {} seconds", HELPER.time.as_secs()))
                .hint(format!("run it by hand, as `echo {server} | {shown} get`"))
                .into());
        }
        Ok(Err(_)) => return Err(no_login(host, &format!("the credential helper `{shown}` failed"))),
    };
    let HelperSaid { succeeded, answer } = answer;
    if succeeded {
        return match serde_json::from_slice(answer.expose()) {
            Ok(HelperAnswer { username, secret }) if username == "<token>" => Ok(Some(identity(secret))),
            Ok(HelperAnswer { username, secret }) => Ok(Some(login(username, secret))),
            Err(_) => Err(no_login(host, &format!("the answer of the credential helper `{shown}` is not a login"))),
        };
    }
    // Docker's helper protocol: the answer for an unknown registry
    if answer.expose().trim_ascii_start().starts_with(b"credentials not found") {
        return Ok(None);
    }
    Err(no_login(host, &format!("the credential helper `{shown}` failed")))
}

/// How a credential helper ended, and its standard output.
struct HelperSaid {
    succeeded: bool,
    answer: SecretBytes,
}

async fn run_helper(program: &str, server: &str) -> Result<HelperSaid, ReadError> {
    let mut command = Command::new(program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut helper = command.spawn()?;
    let (stdin, stdout) = (helper.stdin.take(), helper.stdout.take());
    if let Some(mut stdin) = stdin {
        // a helper need not read it
        let _ = stdin.write_all(server.as_bytes()).await;
    }
    let answer = match stdout {
        Some(stdout) => bounded::read_pipe(stdout, HELPER).await?,
        None => SecretBytes::default(),
    };
    Ok(HelperSaid { succeeded: helper.wait().await?.success(), answer })
}

fn login(user: String, password: String) -> Login {
    scrub::remember_login(&user, password.as_bytes());
    Login::Password { user, password: password.into() }
}

fn identity(token: String) -> Login {
    scrub::remember(token.as_bytes());
    Login::Identity(token.into())
}

fn no_login(host: &str, what: &str) -> StoreError {
    Diagnostic::error("registry-login", format!("no login for {host}: {what}"))
        .hint(format!("log in again, as with `docker login {host}`"))
        .into()
}
