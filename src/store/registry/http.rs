//! Owns HTTP to registries: clients, redirects, time limits and retries. It knows no token.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Response, Url};
use rustls::ClientConfig;

use super::error::{LONGEST_WAIT, RegistryError, insecure_address};
use super::host::Host;
use super::plain_http::PlainHttp;
use super::proxy;
use super::tls::Tls;
use crate::runtime::bounded::{self, ReadError, ReadLimits};

/// How long a registry may be silent.
pub(super) const STALL: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often a request is made at most.
const ATTEMPTS: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The HTTP clients of a run.
pub(super) struct Http {
    /// Follows redirects that [`PlainHttp::may_lead`] allows.
    pub client: reqwest::Client,
    /// Does the same without HTTP/2, whose flow control slows large bodies down.
    layers: OnceLock<reqwest::Client>,
    tls: Tls,
    pub plain: PlainHttp,
}

impl Http {
    /// Fails if TLS cannot be set up.
    pub(super) fn new(plain: PlainHttp) -> Result<Self, RegistryError> {
        let tls = Tls::new()?;
        let client = build(&tls.config, redirects(&plain))?;
        Ok(Http { client, layers: OnceLock::new(), tls, plain })
    }

    /// Returns the client for layers.
    pub(super) fn for_layers(&self) -> Result<&reqwest::Client, RegistryError> {
        match self.layers.get() {
            Some(client) => Ok(client),
            None => {
                let client = build(&self.tls.http1(), redirects(&self.plain))?;
                Ok(self.layers.get_or_init(|| client))
            }
        }
    }

    /// Prepares for a host that is going to be asked.
    pub(super) fn prepare(&self, host: &Host) {
        if host.origin.starts_with("https:") {
            self.tls.read_authorities();
        }
    }

    /// Returns a client that follows no redirect, for a body that no other address may get.
    pub(super) fn without_redirects(&self) -> Result<reqwest::Client, RegistryError> {
        build(&self.tls.config, Policy::none())
    }

    /// Reads a URL that a registry may be asked at, or that it names.
    pub(super) fn parse_url(&self, host: &Host, url: &str) -> Result<Url, RegistryError> {
        let url = Url::parse(url).ok().filter(|url| self.plain.may_lead(&host.origin, url));
        url.ok_or_else(|| RegistryError::Diagnosed(insecure_address(host)))
    }
}

fn redirects(plain: &PlainHttp) -> Policy {
    let allowed = plain.clone();
    Policy::custom(move |attempt| {
        let from = attempt.previous().last().map_or("", Url::as_str);
        match allowed.may_lead(from, attempt.url()) && attempt.previous().len() <= 5 {
            true => attempt.follow(),
            false => attempt.stop(),
        }
    })
}

fn build(tls: &ClientConfig, redirects: Policy) -> Result<reqwest::Client, RegistryError> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.clone())
        // otherwise the rest of the run would use a connection that hangs
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE)
        .user_agent(concat!("secretbake/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .proxy(proxy::from_environment())
        .redirect(redirects);
    Ok(client.build()?)
}

/// Reads the body of a response; `None` if it is longer than `limit` bytes.
pub(super) async fn read_body(response: Response, limit: u64) -> Result<Option<Vec<u8>>, RegistryError> {
    let limits = ReadLimits { bytes: limit, time: transfer_time(limit) };
    match bounded::collect(response.bytes_stream(), limits).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ReadError::TooLong(_) | ReadError::NotRegular) => Ok(None),
        Err(ReadError::TooSlow(_)) => Err(RegistryError::Timeout),
        Err(ReadError::Failed(error)) => Err(error.into()),
    }
}

/// Returns how long a transfer of this many bytes may take: at least 64 KiB a second are expected.
pub(super) fn transfer_time(bytes: u64) -> Duration {
    STALL + Duration::from_secs(bytes / 65_536)
}

/// Retries work whose failure may pass, with growing waits; gives up at once if the registry asks for a longer wait than
/// [`LONGEST_WAIT`]. Returns the last failure.
pub(super) async fn retry<T>(mut work: impl AsyncFnMut() -> Result<T, RegistryError>) -> Result<T, RegistryError> {
    let mut attempt = 1;
    loop {
        let error = match work().await {
            Err(error) if attempt < ATTEMPTS && error.may_pass() => error,
            result => return result,
        };
        let wait = error.retry_after().unwrap_or(FIRST_WAIT * 2u32.pow(attempt - 1));
        if wait > LONGEST_WAIT {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        attempt += 1;
    }
}
