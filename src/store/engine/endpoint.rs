//! Owns where the engine is: `DOCKER_HOST`, Docker contexts, and the default socket, as the Docker CLI chooses.

use std::fmt;
use std::path::{Path, PathBuf};

use bollard::{API_DEFAULT_VERSION, Docker};
use serde::Deserialize;

use crate::error::Diagnostic;
use crate::image::digest::Digest;
use crate::store::StoreError;

/// What the engine is found by; the environment's values come in here.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `DOCKER_HOST`.
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub context: Option<String>,
    /// `DOCKER_CONFIG`, or `.docker` in the home directory.
    pub config_dir: Option<PathBuf>,
    /// `DOCKER_CERT_PATH`.
    pub cert_path: Option<PathBuf>,
    /// Whether `DOCKER_TLS_VERIFY` is set.
    pub tls_verify: bool,
}

/// Where the engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Unix(String),
    /// `HOST:PORT`, without TLS.
    Tcp(String),
}

/// How long an engine may take to begin its answer, in seconds: a load answers as it begins, a create on a slow disk does not.
const TIMEOUT: u64 = 120;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    current_context: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Context {
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Option<ContextEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextEndpoint {
    host: Option<String>,
}

impl Endpoint {
    /// Chooses the endpoint: DOCKER_HOST, then the context that is named, then the current one, then the default socket.
    ///
    /// # Errors
    /// A host or context that makes no sense.
    pub fn choose(sources: &Sources) -> Result<Self, StoreError> {
        if let (Some(host), None) = (&sources.host, &sources.context) {
            return Endpoint::parse(host, sources);
        }
        let named = match (&sources.context, &sources.config_dir) {
            (Some(name), _) => Some(name.clone()),
            (None, Some(dir)) => read::<Config>(&dir.join("config.json")).and_then(|config| config.current_context),
            (None, None) => None,
        };
        let Some(name) = named.filter(|name| name != "default" && !name.is_empty()) else {
            return Endpoint::parse(sources.host.as_deref().unwrap_or("unix:///var/run/docker.sock"), sources);
        };
        let meta = sources
            .config_dir
            .as_ref()
            .map(|dir| dir.join("contexts/meta").join(Digest::of(name.as_bytes()).hex()).join("meta.json"));
        let host = meta
            .and_then(|path| read::<Context>(&path))
            .and_then(|context| context.endpoints.docker)
            .and_then(|endpoint| endpoint.host);
        let host = host.ok_or_else(|| {
            Diagnostic::error("engine-context", format!("no Docker context `{name}` with an engine"))
                .hint("see `docker context ls`, and choose one with `docker context use` or DOCKER_CONTEXT")
        })?;
        Endpoint::parse(&host, sources)
    }

    fn parse(host: &str, sources: &Sources) -> Result<Self, StoreError> {
        if let Some(path) = host.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
            return Ok(Endpoint::Unix(path.to_owned()));
        }
        let tcp = host.strip_prefix("tcp://").or_else(|| host.strip_prefix("http://"));
        if let Some(address) = tcp.filter(|address| !address.is_empty() && !sources.tls_verify) {
            return Ok(Endpoint::Tcp(address.trim_end_matches('/').to_owned()));
        }
        Err(Diagnostic::error("engine-host", format!("cannot use the engine at {host}"))
            .hint("secretbake reaches an engine at unix:///PATH or tcp://HOST:PORT")
            .into())
    }

    /// Makes the client.
    pub(super) fn client(&self) -> Result<Docker, StoreError> {
        let docker = match self {
            Endpoint::Unix(path) => Docker::connect_with_unix(path, TIMEOUT, API_DEFAULT_VERSION),
            Endpoint::Tcp(address) => {
                Docker::connect_with_http(&format!("tcp://{address}"), TIMEOUT, API_DEFAULT_VERSION)
            }
        };
        let docker = docker.map_err(|error| super::error::engine_error(&self.to_string(), &error))?;
        Ok(docker.with_request_modifier(without_version))
    }
}

/// Takes the version out of a request's path: the engine then answers in its own, and no round trip is needed to learn it.
fn without_version(mut request: bollard::BollardRequest) -> bollard::BollardRequest {
    let mut parts = request.uri().clone().into_parts();
    let unversioned = parts.path_and_query.as_ref().and_then(|path| {
        let rest = path.as_str().strip_prefix("/v1.")?;
        rest[rest.find('/')?..].parse().ok()
    });
    if let Some(path) = unversioned {
        parts.path_and_query = Some(path);
        if let Ok(uri) = parts.try_into() {
            *request.uri_mut() = uri;
        }
    }
    request
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix://{path}"),
            Endpoint::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// Reads one of the Docker CLI's own files; one that is not there or not readable is as good as none, as it is to the CLI.
fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
