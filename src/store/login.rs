//! Owns the finding of a registry's login in Docker's configuration: `auths`, `credHelpers` and `credsStore`.

use std::path::Path;
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use serde::Deserialize;

use super::error::{StoreError, fault};
use crate::diagnostic::{Diagnostic, scrub};
use crate::runtime::{blocking, files};
use crate::secret::SecretBytes;

/// A login, as Docker keeps it.
pub enum Login {
    Password {
        user: String,
        password: SecretBytes,
    },
    /// A token to ask for tokens with.
    Identity(SecretBytes),
}

/// The largest configuration that is read.
const LIMIT: u64 = 16 * 1024 * 1024;
/// How long a credential helper may take: it may ask a keyring, which may ask a person.
const HELPER: Duration = Duration::from_secs(30);

/// The helpers that a configuration names.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Helpers {
    cred_helpers: std::collections::HashMap<String, String>,
    creds_store: Option<String>,
}

/// Returns what Docker calls a registry in its configuration and its API.
pub fn server(host: &str) -> &str {
    if host == "docker.io" { "https://index.docker.io/v1/" } else { host }
}

/// Finds the login of a registry; `None` if there is none.
///
/// # Errors
/// A configuration or a helper that does not work, without anything of what it said: that may be the login.
pub async fn find(docker_config: Option<&Path>, host: &str) -> Result<Option<Login>, StoreError> {
    let Some(path) = docker_config.map(|folder| folder.join("config.json")) else { return Ok(None) };
    let shown = path.display().to_string();
    let Some(config) = files::read(&path, LIMIT).map_err(|error| fault("read", &shown, &error))? else {
        return Ok(None);
    };
    let server = server(host).to_owned();
    let helpers: Helpers = serde_json::from_slice(&config).unwrap_or_default();
    let helper = helpers.cred_helpers.get(&server).or(helpers.creds_store.as_ref()).cloned().unwrap_or_default();
    let asked = server.clone();
    let asking = blocking::detach(move || get_credential_from_reader(config.as_slice(), &asked))
        .map_err(|error| fault("read", &shown, &error))?;
    let Ok(Ok(found)) = tokio::time::timeout(HELPER, asking).await else {
        let what = format!("no login for {host}: the credential helper `docker-credential-{helper}` does not answer");
        return Err(Diagnostic::error("registry-login", what)
            .cause(format!("it was given {} seconds", HELPER.as_secs()))
            .hint(format!("run it by hand, as `echo {server} | docker-credential-{helper} get`"))
            .into());
    };
    let what = match found {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            scrub::remember_login(&user, password.as_bytes());
            return Ok(Some(Login::Password { user, password: password.into() }));
        }
        Ok(DockerCredential::IdentityToken(token)) => {
            scrub::remember(token.as_bytes());
            return Ok(Some(Login::Identity(token.into())));
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => return Ok(None),
        // what Docker's protocol of helpers says for an unknown registry
        Err(CredentialRetrievalError::HelperFailure { stdout, .. })
            if stdout.trim().starts_with("credentials not found") =>
        {
            return Ok(None);
        }
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
            format!("the credential helper `{helper}` failed")
        }
        Err(CredentialRetrievalError::HelperCommunicationError | CredentialRetrievalError::MalformedHelperResponse) => {
            format!("the credential helper that `{shown}` names does not answer")
        }
        Err(_) => format!("the login in `{shown}` cannot be read"),
    };
    Err(Diagnostic::error("registry-login", format!("no login for {host}: {what}"))
        .hint(format!("log in again, as with `docker login {host}`"))
        .into())
}
