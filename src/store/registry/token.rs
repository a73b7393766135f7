//! Owns the authorization of requests to one registry: its login, and a token for each scope, requested once for all who need it.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::challenge::Challenge;
use super::error::{RegistryError, wrong_login};
use super::host::Host;
use super::http::{Http, STALL, read_body};
use crate::diagnostic::scrub;
use crate::image::name::Repository;
use crate::store::StoreError;
use crate::store::login::{self, Login};

/// The longest response of a token service that is read.
const TOKEN_LIMIT: u64 = 1024 * 1024;

/// The permissions that a token is requested for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope(Vec<String>);

impl Scope {
    /// Reads a repository.
    pub(super) fn pull(repository: &Repository) -> Self {
        Scope(vec![format!("repository:{}:pull", repository.path())])
    }

    /// Writes to a repository, and mounts from the one at another path.
    pub(super) fn push(repository: &Repository, mount_from: Option<&str>) -> Self {
        let push = format!("repository:{}:pull,push", repository.path());
        Scope(std::iter::once(push).chain(mount_from.map(|from| format!("repository:{from}:pull"))).collect())
    }

    /// Deletes manifests of a repository.
    pub(super) fn delete(repository: &Repository) -> Self {
        Scope(vec![format!("repository:{}:pull,delete", repository.path())])
    }

    fn covers(&self, other: &Scope) -> bool {
        other.0.iter().all(|permission| self.0.contains(permission))
    }
}

/// The authorization of one registry.
#[derive(Default)]
pub(super) struct Tokens {
    /// What the registry asks for, if it was asked before.
    challenge: Mutex<Option<Challenge>>,
    /// The login or why there is none. A credential helper is a program, and runs once.
    login: OnceCell<Result<Option<Login>, StoreError>>,
    slots: Mutex<HashMap<Scope, Slot>>,
    /// The repositories that bases were read from.
    bases: Mutex<BTreeSet<String>>,
}

/// The `Authorization` of a scope, marked sensitive; locked during its request.
type Slot = Arc<tokio::sync::Mutex<Option<HeaderValue>>>;

/// The authorization of a request.
pub(super) struct Token {
    pub header: HeaderValue,
    /// Whether it was requested just now, and not for an earlier request.
    pub is_new: bool,
}

/// How a registry refused a request, and the token that it was sent with.
pub(super) struct RefusedToken<'a> {
    pub challenge: Challenge,
    pub header: Option<&'a HeaderValue>,
}

#[derive(Deserialize)]
struct TokenBody {
    token: Option<String>,
    access_token: Option<String>,
}

impl Tokens {
    /// Tells whether Docker's configuration was searched for a login, and has one.
    pub(super) fn has_login(&self) -> bool {
        matches!(self.login.get(), Some(Ok(Some(_))))
    }

    /// Notes that a base is read from a repository.
    pub(super) fn note_base(&self, repository: &Repository) {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner).insert(repository.path().to_owned());
    }

    /// Returns the scope of a later write. If bases were read from one other repository only, layers will be mounted from there.
    pub(super) fn scope_of_write(&self, repository: &Repository) -> Scope {
        let bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        let mut others = bases.iter().filter(|path| *path != repository.path());
        match (others.next(), others.next()) {
            (Some(only), None) => Scope::push(repository, Some(only)),
            _ => Scope::push(repository, None),
        }
    }

    /// Returns the slot of a scope, or of a wider one that has a token.
    fn slot(&self, scope: &Scope) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let is_filled = |slot: &Slot| slot.try_lock().is_ok_and(|token| token.is_some());
        if !slots.contains_key(scope)
            && let Some((_, wider)) = slots.iter().find(|(other, slot)| other.covers(scope) && is_filled(slot))
        {
            return Arc::clone(wider);
        }
        Arc::clone(slots.entry(scope.clone()).or_default())
    }

    /// Returns the token for a scope, but not the refused one; `None` if the registry asks for none or there is no login.
    pub(super) async fn token(
        &self,
        http: &Http,
        docker_config: Option<&Path>,
        host: &Host,
        scope: &Scope,
        refused: Option<RefusedToken<'_>>,
    ) -> Result<Option<Token>, RegistryError> {
        let (asked, refused) = refused.map_or((None, None), |refused| (Some(refused.challenge), refused.header));
        let challenge = {
            let mut known = self.challenge.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.is_some() {
                known.clone_from(&asked);
            }
            known.clone()
        };
        let Some(challenge) = challenge else { return Ok(None) };
        let slot = self.slot(scope);
        let mut token = slot.lock().await;
        if let Some(header) = token.as_ref().filter(|header| refused != Some(*header)) {
            return Ok(Some(Token { header: header.clone(), is_new: false }));
        }
        // in a box, as it is large and each request would make room for it
        let find = || Box::pin(login::find(docker_config, &host.name));
        let login = self.login.get_or_init(find).await;
        let login = login.as_ref().map_err(|error| RegistryError::Diagnosed(error.clone()))?.as_ref();
        *token = match challenge {
            Challenge::Basic => login.and_then(basic),
            Challenge::Bearer { realm, service } => {
                request_token(http, host, &realm, service.as_deref(), scope, login).await?
            }
        };
        Ok(token.clone().map(|header| Token { header, is_new: true }))
    }
}

/// Requests a token from the registry's token service.
async fn request_token(
    http: &Http,
    host: &Host,
    realm: &str,
    service: Option<&str>,
    scope: &Scope,
    login: Option<&Login>,
) -> Result<Option<HeaderValue>, RegistryError> {
    let mut url = http.parse_url(host, realm)?;
    let mut fields: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
    let scopes = scope.0.join(" ");
    let request = match login {
        Some(Login::Identity(token)) => {
            let token = String::from_utf8_lossy(token.expose());
            fields.extend([("grant_type", "refresh_token"), ("client_id", "secretbake"), ("scope", &scopes)]);
            fields.push(("refresh_token", &*token));
            let mut form = url.clone();
            form.query_pairs_mut().clear().extend_pairs(fields);
            let form = form.query().unwrap_or_default().to_owned();
            // a redirect would send the token on to another address
            http.without_redirects()?.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
        }
        other => {
            fields.extend(scope.0.iter().map(|scope| ("scope", scope.as_str())));
            url.query_pairs_mut().extend_pairs(fields);
            let request = http.client.get(url);
            match other.and_then(basic) {
                Some(basic) => request.header(AUTHORIZATION, basic),
                None => request,
            }
        }
    };
    let sent = tokio::time::timeout(STALL, request.send()).await;
    let response = sent.map_err(|_| RegistryError::Timeout)??;
    if response.status() == StatusCode::UNAUTHORIZED && login.is_some() {
        return Err(RegistryError::Diagnosed(wrong_login(host)));
    }
    if !response.status().is_success() {
        return Err(RegistryError::from_response(response).await);
    }
    let body = Zeroizing::new(read_body(response, TOKEN_LIMIT).await?.unwrap_or_default());
    Ok(read_token(&body).and_then(|token| {
        scrub::remember(token.as_bytes());
        sensitive(&format!("Bearer {token}"))
    }))
}

/// Reads the token in the response of a token service.
pub fn read_token(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<TokenBody>(body).ok().and_then(|body| body.token.or(body.access_token))
}

fn basic(login: &Login) -> Option<HeaderValue> {
    let Login::Password { user, password } = login else { return None };
    let mut text = Zeroizing::new(format!("{user}:").into_bytes());
    text.extend_from_slice(password.expose());
    sensitive(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(&*text)))
}

/// Returns a header that no log shows.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
