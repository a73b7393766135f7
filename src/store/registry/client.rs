//! Owns how a registry is asked: with a token where it wants one, again after a passing failure, and never for ever.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode, Url};

use super::access::{Refused, wrong_login};
use super::challenge::Challenge;
use super::error::{Failure, LONGEST_WAIT, is_passing};
use super::host::{Host, InTheClear, Scope};
use super::{proxy, tls};
use crate::diagnostic::Diagnostic;
use crate::image::name::Repository;
use crate::runtime::bounded::{self, Limits, ReadError};
use crate::store::StoreError;

/// How long a registry may be silent.
pub const STALL: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(10);
/// How often a request is made at most.
const ATTEMPTS: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The registries of a run, and the connections to them.
pub struct Client {
    pub(super) http: reqwest::Client,
    tls: rustls::ClientConfig,
    pub(super) docker_config: Option<PathBuf>,
    pub(super) clear: InTheClear,
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

impl Client {
    /// Returns the client.
    ///
    /// # Errors
    /// TLS that cannot be set up.
    pub fn new(docker_config: Option<PathBuf>, clear: InTheClear) -> Result<Self, StoreError> {
        let allowed = clear.clone();
        let redirects = Policy::custom(move |attempt| {
            let from = attempt.previous().last().map_or("", Url::as_str);
            match allowed.may_lead(from, attempt.url()) && attempt.previous().len() <= 5 {
                true => attempt.follow(),
                false => attempt.stop(),
            }
        });
        let tls = tls::config().map_err(|error| Failure::from(error).of("docker://"))?;
        let http = built(&tls, redirects).map_err(|failure| failure.of("docker://"))?;
        Ok(Client { http, tls, docker_config, clear, hosts: Mutex::default() })
    }

    /// Returns a client for what is for one address only, wherever that would send it on to.
    ///
    /// # Errors
    /// TLS that cannot be set up.
    pub(super) fn staying(&self) -> Result<reqwest::Client, Failure> {
        built(&self.tls, Policy::none())
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

    /// Makes a request once, or again with the token that the registry asks for: a request has one new token made, and takes
    /// those that others had made meanwhile. A stream is sent once.
    ///
    /// # Errors
    /// No connection, no token, or a login or a token that the registry refuses.
    pub async fn once(
        &self,
        host: &Host,
        request: &Request,
        mut stream: Option<(reqwest::Body, u64)>,
    ) -> Result<Response, Failure> {
        let url = Url::parse(&request.url).ok().filter(|url| self.clear.may_lead(&host.origin, url));
        let url = url.ok_or_else(|| Failure::Told(unsafe_address(host)))?;
        // an upload may be sent elsewhere, which has no business with the login
        let own = host.is_own(&url);
        let streams = stream.is_some();
        let mut token = if own { self.token(host, &request.scope, None).await? } else { None };
        let mut renewed = false;
        loop {
            let used = token.as_ref().map(|token| &token.header);
            let response = self.sent(request, url.clone(), used, stream.take()).await?;
            // nor has wherever the registry sends a request to
            if response.status() != StatusCode::UNAUTHORIZED || streams || !own || !host.is_own(response.url()) {
                return Ok(response);
            }
            let values = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
            let Some(challenge) = Challenge::read(values) else { return Ok(response) };
            if challenge == Challenge::Basic && used.is_some() {
                return Err(Failure::Told(wrong_login(host)));
            }
            if renewed {
                return Err(self.refused_again(host, response).await);
            }
            match self.token(host, &request.scope, Some(Refused { challenge, used })).await? {
                Some(fresh) => {
                    renewed = fresh.is_new;
                    token = Some(fresh);
                }
                None if host.access.has_login() => return Err(Failure::Told(wrong_login(host))),
                None => return Ok(response),
            }
        }
    }

    /// Reads why a registry refuses a request whose token is new: the login does not have the right, or there is no login.
    pub async fn refused_again(&self, host: &Host, response: Response) -> Failure {
        match host.access.has_login() {
            true => Failure::denied(response).await,
            false => Failure::refused(response).await,
        }
    }

    async fn sent(
        &self,
        request: &Request,
        url: Url,
        token: Option<&HeaderValue>,
        stream: Option<(reqwest::Body, u64)>,
    ) -> Result<Response, Failure> {
        let mut builder = self.http.request(request.method.clone(), url);
        let mut timeout = STALL;
        if let Some(accept) = request.accept {
            builder = builder.header(ACCEPT, accept);
        }
        if let Some(token) = token {
            builder = builder.header(AUTHORIZATION, token.clone());
        }
        if let Some((body, size)) = stream {
            timeout = time_for(size);
            builder =
                builder.header(CONTENT_TYPE, "application/octet-stream").header("content-length", size).body(body);
        } else if let Some((kind, body)) = &request.body {
            builder = builder.header(CONTENT_TYPE, kind).body(body.clone());
        } else if request.method == Method::POST {
            builder = builder.header("content-length", 0);
        }
        let sent = tokio::time::timeout(timeout, builder.send()).await;
        Ok(sent.map_err(|_| Failure::Timeout)??)
    }
}

fn built(tls: &rustls::ClientConfig, redirects: Policy) -> Result<reqwest::Client, Failure> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .user_agent(concat!("secretbake/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .proxy(proxy::of_the_environment())
        .redirect(redirects);
    Ok(client.build()?)
}

/// Reads the rest of an answer; `None` for one of more bytes than `limit`.
///
/// # Errors
/// A connection that breaks, or a registry that takes too long.
pub async fn read(response: Response, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
    let limits = Limits { bytes: limit, time: time_for(limit) };
    match bounded::collect(response.bytes_stream(), limits).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ReadError::TooLong(_) | ReadError::NotRegular) => Ok(None),
        Err(ReadError::TooSlow(_)) => Err(Failure::Timeout),
        Err(ReadError::Failed(error)) => Err(error.into()),
    }
}

/// Returns how long a transfer of this many bytes may take: at 64 KiB a second nobody waits any longer.
fn time_for(bytes: u64) -> Duration {
    STALL + Duration::from_secs(bytes / 65_536)
}

/// Does something again after a failure that may pass, with a wait in between, and gives up in the end; at once where the
/// registry asks for a longer wait than anybody has.
///
/// # Errors
/// The last failure.
pub async fn insist<T>(mut work: impl AsyncFnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut attempt = 1;
    loop {
        let failure = match work().await {
            Err(failure) if attempt < ATTEMPTS && failure.is_passing() => failure,
            result => return result,
        };
        let wait = failure.retry_after().unwrap_or(FIRST_WAIT * 2u32.pow(attempt - 1));
        if wait > LONGEST_WAIT {
            return Err(failure);
        }
        tokio::time::sleep(wait).await;
        attempt += 1;
    }
}

pub fn unsafe_address(host: &Host) -> StoreError {
    Diagnostic::error(
        "registry-insecure",
        format!("the registry {} sends requests to an address without TLS", host.name),
    )
    .cause("a login or an image would cross the network in the clear")
    .hint("have the registry configured with the https address that it is reached by")
    .hint("where the network is trusted, name the host with --insecure-registry HOST[:PORT]")
    .into()
}
