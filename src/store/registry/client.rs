//! Owns how a registry is asked: with the login it wants, again after a passing failure, and never for ever.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::error::{Failure, is_passing};
use super::host::{Host, InTheClear, Scope};
use super::tls;
use crate::error::Diagnostic;
use crate::image::name::Repository;
use crate::store::StoreError;
use crate::store::login::{self, Login};

/// How long a registry may be silent.
pub const STALL: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(10);
/// How often a request is made at most, and the longest wait in between that a registry may ask for.
const ATTEMPTS: u32 = 4;
const LONGEST_WAIT: Duration = Duration::from_secs(20);
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The registries of a run, and the connections to them.
pub struct Client {
    http: reqwest::Client,
    docker_config: Option<PathBuf>,
    clear: InTheClear,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

/// A request that can be made again.
pub struct Request {
    pub method: Method,
    pub url: String,
    pub scope: Scope,
    pub accept: Option<&'static str>,
    /// The media type and the bytes.
    pub body: Option<(String, Bytes)>,
}

impl Request {
    /// Returns a request without a body.
    pub fn new(method: Method, url: String, scope: Scope) -> Self {
        Request { method, url, scope, accept: None, body: None }
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Client {
    /// Returns the client.
    ///
    /// # Errors
    /// TLS that cannot be set up.
    pub fn new(docker_config: Option<PathBuf>, clear: InTheClear) -> Result<Self, StoreError> {
        let allowed = clear.clone();
        let redirects =
            Policy::custom(move |attempt| match allowed.is_safe(attempt.url()) && attempt.previous().len() <= 5 {
                true => attempt.follow(),
                false => attempt.stop(),
            });
        let tls = tls::config().map_err(|error| Failure::from(error).of("docker://"))?;
        let built = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("secretbake/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(redirects)
            .build();
        let http = built.map_err(|error| Failure::from(error).of("docker://"))?;
        Ok(Client { http, docker_config, clear, hosts: Mutex::default() })
    }

    /// Returns the registry of a repository.
    pub fn host(&self, repository: &Repository) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Host::new(repository.host(), &self.clear));
        let host = hosts.entry(repository.host().to_owned()).or_insert_with(new);
        Arc::clone(host)
    }

    /// Makes a request, again after a passing failure; every other status is the caller's to judge.
    ///
    /// # Errors
    /// No connection, no token, or a failure that did not pass.
    pub async fn send(&self, host: &Host, request: &Request) -> Result<Response, Failure> {
        insist(async || match self.once(host, request, None).await? {
            response if is_passing(response.status()) => Err(Failure::refused(response).await),
            response => Ok(response),
        })
        .await
    }

    /// Makes a request once, or twice if the registry asks for a login; a stream is sent once.
    ///
    /// # Errors
    /// No connection or no token.
    pub async fn once(
        &self,
        host: &Host,
        request: &Request,
        mut stream: Option<(reqwest::Body, u64)>,
    ) -> Result<Response, Failure> {
        let url = Url::parse(&request.url).ok().filter(|url| self.clear.is_safe(url));
        let url = url.ok_or_else(|| Failure::Told(unsafe_address(host)))?;
        // an upload may be sent elsewhere, which has no business with the login
        let own = host.is_own(&url);
        let mut used = if own { self.token(host, &request.scope, None).await? } else { None };
        loop {
            let mut builder = self.http.request(request.method.clone(), url.clone());
            let mut timeout = STALL;
            if let Some(accept) = request.accept {
                builder = builder.header(ACCEPT, accept);
            }
            if let Some(token) = &used {
                builder = builder.header(AUTHORIZATION, token.clone());
            }
            let streams = stream.is_some();
            if let Some((body, size)) = stream.take() {
                // at 64 KiB a second nobody waits any longer
                timeout += Duration::from_secs(size / 65_536);
                builder =
                    builder.header(CONTENT_TYPE, "application/octet-stream").header("content-length", size).body(body);
            } else if let Some((kind, body)) = &request.body {
                builder = builder.header(CONTENT_TYPE, kind).body(body.clone());
            } else if request.method == Method::POST {
                builder = builder.header("content-length", 0);
            }
            let sent = tokio::time::timeout(timeout, builder.send()).await;
            let response = sent.map_err(|_| Failure::Timeout)??;
            if response.status() != StatusCode::UNAUTHORIZED || !own || streams {
                return Ok(response);
            }
            let values = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
            let Some(challenge) = Challenge::read(values) else { return Ok(response) };
            let fresh = self.token(host, &request.scope, Some((challenge, used.as_ref()))).await?;
            match fresh {
                Some(fresh) if used.as_ref() != Some(&fresh) => used = Some(fresh),
                _ if host.has_login().await => return Err(Failure::Told(wrong_login(host))),
                _ => return Ok(response),
            }
        }
    }

    /// Returns what is sent as `Authorization`, if the registry asks for anything. `refused` is a challenge, and the token that
    /// led to it.
    async fn token(
        &self,
        host: &Host,
        scope: &Scope,
        refused: Option<(Challenge, Option<&HeaderValue>)>,
    ) -> Result<Option<HeaderValue>, Failure> {
        let mut access = host.access.lock().await;
        let access = &mut *access;
        let known = access.tokens.get(scope).cloned();
        if let Some((challenge, used)) = refused {
            // another request may have got a new one meanwhile
            if known.is_some() && known.as_ref() != used {
                return Ok(known);
            }
            if challenge == Challenge::Basic && used.is_some() {
                return Ok(None);
            }
            access.challenge = Some(challenge);
        } else if known.is_some() {
            return Ok(known);
        }
        let Some(challenge) = access.challenge.clone() else { return Ok(None) };
        let login = match &access.login {
            Some(login) => login,
            None => access.login.insert(login::find(self.docker_config.as_deref(), &host.name).await?),
        };
        let token = match challenge {
            Challenge::Basic => login.as_ref().and_then(basic),
            Challenge::Bearer { realm, service } => {
                self.bearer(host, &realm, service.as_deref(), scope, login.as_ref()).await?
            }
        };
        if let Some(token) = &token {
            access.tokens.insert(scope.clone(), token.clone());
        }
        Ok(token)
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
        let url = Url::parse(realm).ok().filter(|url| self.clear.is_safe(url));
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
                self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
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
        let body = tokio::time::timeout(STALL, response.bytes()).await.map_err(|_| Failure::Timeout)??;
        let token = serde_json::from_slice::<Token>(&body).ok().and_then(|answer| answer.token.or(answer.access_token));
        Ok(token.and_then(|token| sensitive(&format!("Bearer {token}"))))
    }
}

/// Does something again after a failure that may pass, with a wait in between, and gives up in the end.
///
/// # Errors
/// The last failure.
pub async fn insist<T>(mut work: impl AsyncFnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut attempt = 1;
    loop {
        match work().await {
            Err(failure) if attempt < ATTEMPTS && failure.is_passing() => pause(attempt, &failure).await,
            result => return result,
        }
        attempt += 1;
    }
}

/// Waits before another attempt.
async fn pause(attempt: u32, failure: &Failure) {
    let wait = failure.retry_after().unwrap_or(FIRST_WAIT * 2u32.pow(attempt - 1));
    tokio::time::sleep(wait.min(LONGEST_WAIT)).await;
}

fn basic(login: &Login) -> Option<HeaderValue> {
    let Login::Password { user, password } = login else { return None };
    let mut text = zeroize::Zeroizing::new(format!("{user}:").into_bytes());
    text.extend_from_slice(password.expose());
    sensitive(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(&*text)))
}

/// Returns a header that no log shows.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn wrong_login(host: &Host) -> StoreError {
    let what = format!("the registry {} does not accept the login in Docker's configuration", host.name);
    let hint = format!("log in again, as with `docker login {}`", host.name);
    Diagnostic::error("registry-unauthorized", what).hint(hint).into()
}

fn unsafe_address(host: &Host) -> StoreError {
    Diagnostic::error(
        "registry-insecure",
        format!("the registry {} sends requests to an address without TLS", host.name),
    )
    .cause("a login or an image would cross the network in the clear")
    .hint("have the registry configured with the https address that it is reached by")
    .hint("where the network is trusted, name the host with --insecure-registry HOST[:PORT]")
    .into()
}
