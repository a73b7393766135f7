//! Owns the tokens of a registry: which of them goes with a request, and how one is got, once for all who need the same.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::challenge::Challenge;
use super::client::{Client, STALL, read, unsafe_address};
use super::error::Failure;
use super::host::{Host, Scope};
use crate::diagnostic::{Diagnostic, scrub};
use crate::image::name::Repository;
use crate::store::StoreError;
use crate::store::login::{self, Login};

/// The longest answer of a token service that is read.
const TOKEN_LIMIT: u64 = 1024 * 1024;

/// How a registry wants to be asked, and with what.
#[derive(Default)]
pub struct Access {
    challenge: Mutex<Option<Challenge>>,
    /// What became of the search for a login: a helper is a program, and is run once.
    login: OnceCell<Result<Option<Login>, StoreError>>,
    slots: Mutex<HashMap<Scope, Slot>>,
    /// The repositories that bases were read from.
    bases: Mutex<BTreeSet<String>>,
}

/// What is sent as `Authorization`, marked sensitive; locked while it is asked for.
type Slot = Arc<tokio::sync::Mutex<Option<HeaderValue>>>;

/// What goes with a request.
pub struct Token {
    pub header: HeaderValue,
    /// Whether it was made for this request, and not for another one before.
    pub is_new: bool,
}

/// How a registry refused a request, and the token that it had.
pub struct Refused<'a> {
    pub challenge: Challenge,
    pub used: Option<&'a HeaderValue>,
}

#[derive(Deserialize)]
struct TokenBody {
    token: Option<String>,
    access_token: Option<String>,
}

impl Access {
    /// Tells whether Docker's configuration was asked for a login, and has one.
    pub fn has_login(&self) -> bool {
        matches!(self.login.get(), Some(Ok(Some(_))))
    }

    /// Notes that a base is read from a repository.
    pub fn reads(&self, repository: &Repository) {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner).insert(repository.path().to_owned());
    }

    /// Returns the scope of a write that is to come: as long as bases are read from one other repository only, it is mounted from.
    pub fn to_write(&self, repository: &Repository) -> Scope {
        let bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        let mut others = bases.iter().filter(|path| *path != repository.path());
        match (others.next(), others.next()) {
            (Some(only), None) => Scope::push(repository, Some(only)),
            _ => Scope::push(repository, None),
        }
    }

    /// Returns the place of a scope's token, or of one that is there already and is good for more.
    fn slot(&self, scope: &Scope) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = |slot: &Slot| slot.try_lock().is_ok_and(|token| token.is_some());
        if !slots.contains_key(scope)
            && let Some((_, wider)) = slots.iter().find(|(other, slot)| other.covers(scope) && is_there(slot))
        {
            return Arc::clone(wider);
        }
        Arc::clone(slots.entry(scope.clone()).or_default())
    }
}

impl Client {
    /// Returns what is sent as `Authorization`, if the registry asks for anything; another one than was refused.
    ///
    /// # Errors
    /// No login to be found, or a token service that gives none.
    pub async fn token(
        &self,
        host: &Host,
        scope: &Scope,
        refused: Option<Refused<'_>>,
    ) -> Result<Option<Token>, Failure> {
        let (asked, used) = refused.map_or((None, None), |refused| (Some(refused.challenge), refused.used));
        let challenge = {
            let mut known = host.access.challenge.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.is_some() {
                known.clone_from(&asked);
            }
            known.clone()
        };
        let Some(challenge) = challenge else { return Ok(None) };
        let slot = host.access.slot(scope);
        let mut token = slot.lock().await;
        if let Some(header) = token.as_ref().filter(|header| used != Some(*header)) {
            return Ok(Some(Token { header: header.clone(), is_new: false }));
        }
        let find = || login::find(self.docker_config.as_deref(), &host.name);
        let login = host.access.login.get_or_init(find).await.as_ref().map_err(|error| Failure::Told(error.clone()))?;
        *token = match challenge {
            Challenge::Basic => login.as_ref().and_then(basic),
            Challenge::Bearer { realm, service } => {
                self.bearer(host, &realm, service.as_deref(), scope, login.as_ref()).await?
            }
        };
        Ok(token.clone().map(|header| Token { header, is_new: true }))
    }

    /// Asks the token service of a registry.
    async fn bearer(
        &self,
        host: &Host,
        realm: &str,
        service: Option<&str>,
        scope: &Scope,
        login: Option<&Login>,
    ) -> Result<Option<HeaderValue>, Failure> {
        let url = Url::parse(realm).ok().filter(|url| self.clear.may_lead(&host.origin, url));
        let mut url = url.ok_or_else(|| Failure::Told(unsafe_address(host)))?;
        let mut fields: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
        let scopes = scope.0.join(" ");
        let request = match login {
            Some(Login::Identity(token)) => {
                let token = String::from_utf8_lossy(token.expose());
                fields.extend([("grant_type", "refresh_token"), ("client_id", "secretbake"), ("scope", &scopes)]);
                let mut form = Url::parse("http://localhost").map_err(|_| Failure::Told(unsafe_address(host)))?;
                form.query_pairs_mut().extend_pairs(fields).append_pair("refresh_token", &token);
                let form = form.query().unwrap_or_default().to_owned();
                // a redirect would take the token along to wherever it leads
                self.staying()?.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
            }
            other => {
                fields.extend(scope.0.iter().map(|scope| ("scope", scope.as_str())));
                url.query_pairs_mut().extend_pairs(fields);
                let request = self.http.get(url);
                match other.and_then(basic) {
                    Some(basic) => request.header(AUTHORIZATION, basic),
                    None => request,
                }
            }
        };
        let sent = tokio::time::timeout(STALL, request.send()).await;
        let response = sent.map_err(|_| Failure::Timeout)??;
        if response.status() == StatusCode::UNAUTHORIZED && login.is_some() {
            return Err(Failure::Told(wrong_login(host)));
        }
        if !response.status().is_success() {
            return Err(Failure::refused(response).await);
        }
        let body = Zeroizing::new(read(response, TOKEN_LIMIT).await?.unwrap_or_default());
        let token = serde_json::from_slice::<TokenBody>(&body).ok().and_then(|body| body.token.or(body.access_token));
        Ok(token.and_then(|token| {
            scrub::remember(token.as_bytes());
            sensitive(&format!("Bearer {token}"))
        }))
    }
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

/// Says that a registry, or its token service, refuses the login itself.
pub fn wrong_login(host: &Host) -> StoreError {
    let what = format!("the registry {} does not accept the login in Docker's configuration", host.name);
    let hint = format!("log in again, as with `docker login {}`", host.name);
    Diagnostic::error("registry-unauthorized", what).hint(hint).into()
}
