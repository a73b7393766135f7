//! Owns requests to registries: authorized, and retried after a failure that may pass.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::OnceCell;

use super::ahead::UploadsAhead;
use super::challenge::{Challenge, TokenRefusal};
use super::error::{RegistryError, may_pass, unaccepted_tokens, wrong_login};
use super::host::Host;
use super::http::{Http, STALL, retry, transfer_time};
use super::plain_http::PlainHttp;
use super::token::{RefusedToken, Scope, Token, Tokens};
use crate::image::digest::Digest;
use crate::image::name::Repository;
use crate::store::StoreError;

/// How many new tokens a request is sent with: one may expire on its way.
const MOST_TOKENS: usize = 2;

/// The registries of a run, and the connections to them.
pub(super) struct Client {
    http: Http,
    docker_config: Option<PathBuf>,
    registries: Mutex<HashMap<String, Arc<Registry>>>,
}

/// A registry, and what this run knows of it.
pub(super) struct Registry {
    pub host: Host,
    pub tokens: Tokens,
    pub ahead: UploadsAhead,
    blobs: Mutex<HashMap<(String, Digest), BlobState>>,
}

/// Set as soon as this run has made sure that a repository has a blob.
type BlobState = Arc<OnceCell<()>>;

impl Registry {
    /// Returns the state of a blob in a repository.
    pub(super) fn blob(&self, repository: &Repository, digest: &Digest) -> BlobState {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(blobs.entry((repository.path().to_owned(), digest.clone())).or_default())
    }
}

/// A request that can be repeated.
pub(super) struct Request {
    pub method: Method,
    pub url: String,
    pub scope: Scope,
    pub accept: Option<&'static str>,
    /// The media type and the bytes.
    pub body: Option<(String, Bytes)>,
    /// Whether it sends or asks for a layer.
    pub is_for_layer: bool,
}

impl Request {
    /// Returns a request without a body.
    pub(super) fn new(method: Method, url: String, scope: Scope) -> Self {
        Request { method, url, scope, accept: None, body: None, is_for_layer: false }
    }
}

impl Client {
    /// Takes the folder of Docker's `config.json`. Fails if TLS cannot be set up.
    pub(super) fn new(docker_config: Option<PathBuf>, plain: PlainHttp) -> Result<Self, StoreError> {
        let http = Http::new(plain).map_err(|error| error.diagnose("docker://"))?;
        Ok(Client { http, docker_config, registries: Mutex::default() })
    }

    /// Returns the registry of a repository.
    pub(super) fn registry(&self, repository: &Repository) -> Arc<Registry> {
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let host = Host::new(repository.host(), &self.http.plain);
            self.http.prepare(&host);
            Arc::new(Registry {
                host,
                tokens: Tokens::default(),
                ahead: UploadsAhead::default(),
                blobs: Mutex::default(),
            })
        };
        Arc::clone(registries.entry(repository.host().to_owned()).or_insert_with(new))
    }

    /// Sends a request, again after a failure that may pass. The caller judges every other status.
    pub(super) async fn send(&self, registry: &Registry, request: &Request) -> Result<Response, RegistryError> {
        retry(async || match self.send_once(registry, request, None).await? {
            response if may_pass(response.status()) => Err(RegistryError::from_response(response).await),
            response => Ok(response),
        })
        .await
    }

    /// Sends a request once, and again with the token that the registry asks for: at most [`MOST_TOKENS`] new ones, and those that other
    /// requests got meanwhile. `stream` is a body of a known size, which is sent once.
    pub(super) async fn send_once(
        &self,
        registry: &Registry,
        request: &Request,
        mut stream: Option<(reqwest::Body, u64)>,
    ) -> Result<Response, RegistryError> {
        let host = &registry.host;
        let url = self.http.parse_url(host, &request.url)?;
        // an upload may go to another address, which must not get the login
        let own = host.is_own(&url);
        let streams = stream.is_some();
        let mut token = if own { self.token(registry, &request.scope, None).await? } else { None };
        let mut new_tokens = 0;
        loop {
            let used = token.as_ref().map(|token| &token.header);
            let response = self.execute(request, url.clone(), used, stream.take()).await?;
            // nor the address of a redirect
            if response.status() != StatusCode::UNAUTHORIZED || streams || !own || !host.is_own(response.url()) {
                return Ok(response);
            }
            let values = || response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
            let Some(challenge) = Challenge::read(values()) else { return Ok(response) };
            if challenge == Challenge::Basic && used.is_some() {
                return Err(RegistryError::Diagnosed(wrong_login(host)));
            }
            let refusal = TokenRefusal::read(values());
            if new_tokens == MOST_TOKENS || new_tokens > 0 && refusal == TokenRefusal::LacksScope {
                return Err(match refusal {
                    TokenRefusal::Invalid => RegistryError::Diagnosed(unaccepted_tokens(host)),
                    _ => self.refused_again(registry, response).await,
                });
            }
            match self.token(registry, &request.scope, Some(RefusedToken { challenge, header: used })).await? {
                Some(fresh) => {
                    new_tokens += usize::from(fresh.is_new);
                    token = Some(fresh);
                }
                None if registry.tokens.has_login() => return Err(RegistryError::Diagnosed(wrong_login(host))),
                None => return Ok(response),
            }
        }
    }

    async fn token(
        &self,
        registry: &Registry,
        scope: &Scope,
        refused: Option<RefusedToken<'_>>,
    ) -> Result<Option<Token>, RegistryError> {
        registry.tokens.token(&self.http, self.docker_config.as_deref(), &registry.host, scope, refused).await
    }

    /// Reads why a registry refused a new token: the login lacks permission, or there is no login.
    pub(super) async fn refused_again(&self, registry: &Registry, response: Response) -> RegistryError {
        match registry.tokens.has_login() {
            true => RegistryError::denied(response).await,
            false => RegistryError::from_response(response).await,
        }
    }

    async fn execute(
        &self,
        request: &Request,
        url: Url,
        token: Option<&HeaderValue>,
        stream: Option<(reqwest::Body, u64)>,
    ) -> Result<Response, RegistryError> {
        let client = match request.is_for_layer {
            true => self.http.for_layers()?,
            false => &self.http.client,
        };
        let mut builder = client.request(request.method.clone(), url);
        let mut timeout = STALL;
        if let Some(accept) = request.accept {
            builder = builder.header(ACCEPT, accept);
        }
        if let Some(token) = token {
            builder = builder.header(AUTHORIZATION, token.clone());
        }
        if let Some((body, size)) = stream {
            timeout = transfer_time(size);
            builder = builder.header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, size).body(body);
        } else if let Some((media_type, body)) = &request.body {
            builder = builder.header(CONTENT_TYPE, media_type).body(body.clone());
        } else if request.method == Method::POST {
            builder = builder.header(CONTENT_LENGTH, 0);
        }
        let sent = tokio::time::timeout(timeout, builder.send()).await;
        Ok(sent.map_err(|_| RegistryError::Timeout)??)
    }
}
