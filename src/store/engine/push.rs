//! Owns pushing a tag: the engine sends the layers to the registry, with the login that it gets from here.

use std::collections::HashMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use hyper::header::HeaderValue;
use serde::Serialize;
use zeroize::Zeroizing;

use super::EngineStore;
use super::error::EngineError;
use super::stream::{self, ProgressDetail, ProgressLine};
use crate::diagnostic::{Diagnostic, scrub};
use crate::image::digest::Digest;
use crate::image::name::Repository;
use crate::runtime::progress::{Counted, Progress};
use crate::store::StoreError;
use crate::store::login::{self, Login};

impl EngineStore {
    /// Pushes a tag to the registry in its name, unless the run is ending. Returns the digest of the pushed manifest.
    pub(in crate::store) async fn push(
        &self,
        tag: &Repository,
        login: Option<&Login>,
        progress: &Progress,
    ) -> Result<Digest, StoreError> {
        let _uninterrupted = self.begin_uninterrupted().await;
        send(self, tag, login, progress).await.map_err(|error| match error {
            EngineError::Status { message, .. } => push_error(tag, &message, login.is_some()).into(),
            other => self.diagnose(&other, &format!("cannot push {}", tag.as_written())),
        })
    }
}

async fn send(
    store: &EngineStore,
    tag: &Repository,
    login: Option<&Login>,
    progress: &Progress,
) -> Result<Digest, EngineError> {
    let name = tag.tag().unwrap_or_default();
    let path = format!("/images/{}/{}/push?tag={name}", tag.host(), tag.path());
    let response = store.wire.post_with_login(&path, auth_header(tag, login)?).await?;
    let status = response.status();
    if !status.is_success() {
        let body = store.wire.collect(response.into_body()).await?;
        return Err(EngineError::status(status.as_u16(), &body));
    }
    let mut pushed = None;
    let mut meter = PushMeter::new(progress);
    stream::read(&store.wire, response.into_body(), |line| {
        if let Some(line) = ProgressLine::read(line)? {
            meter.take(&line);
            pushed = digest(line, name).or(pushed.take());
        }
        Ok(())
    })
    .await?;
    pushed.ok_or(EngineError::Malformed("no digest of the pushed image"))
}

/// Turns the engine's totals per layer into increments for the progress bar.
pub struct PushMeter<'a> {
    progress: &'a Progress,
    /// The bytes pushed and the total of each layer, as reported so far.
    layers: HashMap<String, (u64, u64)>,
}

impl<'a> PushMeter<'a> {
    /// Reports to `progress`.
    pub fn new(progress: &'a Progress) -> Self {
        PushMeter { progress, layers: HashMap::new() }
    }

    /// Takes a line of the response.
    pub fn take(&mut self, line: &ProgressLine) {
        let (Some(id), Some(ProgressDetail { current, total })) = (&line.id, line.progress) else { return };
        let (done, all) = self.layers.entry(id.clone()).or_default();
        let total = u64::try_from(total).unwrap_or_default().max(*all);
        // overlay2 reports more bytes than its total for a compressed layer
        let current = u64::try_from(current).unwrap_or_default().min(total).max(*done);
        self.progress.expect(Counted::Pushed, total - *all);
        self.progress.done(Counted::Pushed, current - *done);
        (*done, *all) = (current, total);
    }
}

/// Returns the digest of the pushed image, if the line has it: in `aux` from overlay2, and from every engine in the text
/// `TAG: digest: DIGEST size: BYTES` that the Docker CLI shows.
pub fn digest(line: ProgressLine, tag: &str) -> Option<Digest> {
    if let Some(digest) = line.aux.and_then(|aux| aux.digest) {
        return Digest::parse(&digest);
    }
    let status = line.status?;
    let (digest, _) = status.strip_prefix(tag)?.strip_prefix(": digest: ")?.split_once(" size: ")?;
    Digest::parse(digest)
}

/// A login in the format of the Engine API.
#[derive(Default, Serialize)]
struct Auth<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identitytoken: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serveraddress: Option<&'a str>,
}

/// Returns the header with the login, which is never logged. An engine requires the header even without a login.
fn auth_header(tag: &Repository, login: Option<&Login>) -> Result<HeaderValue, EngineError> {
    let invalid = || EngineError::from(io::Error::new(io::ErrorKind::InvalidInput, "the login cannot be encoded"));
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| invalid());
    let server = Some(login::server(tag.host()));
    let auth = match login {
        None => Auth::default(),
        Some(Login::Password { user, password }) => Auth {
            username: Some(user),
            password: Some(text(password.expose())?),
            serveraddress: server,
            ..Auth::default()
        },
        Some(Login::Identity(token)) => {
            Auth { identitytoken: Some(text(token.expose())?), serveraddress: server, ..Auth::default() }
        }
    };
    let json = Zeroizing::new(serde_json::to_vec(&auth).map_err(|_| invalid())?);
    let encoded = Zeroizing::new(URL_SAFE.encode(&*json));
    if login.is_some() {
        scrub::remember(encoded.as_bytes());
    }
    let mut header = HeaderValue::from_str(&encoded).map_err(|_| invalid())?;
    header.set_sensitive(true);
    Ok(header)
}

/// Why a push was push_error.
#[derive(Debug, PartialEq, Eq)]
enum PushFailure {
    Unauthorized,
    Denied,
    NoSuchHost,
    Unreachable,
    Tls,
    Other,
}

impl PushFailure {
    /// Reads the failure from the engine's message, which repeats the registry or Go's network packages: there is no status or code.
    fn from_message(message: &str) -> Self {
        let message = message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if says(&["unauthorized", "no basic auth credentials", "authentication required"]) {
            PushFailure::Unauthorized
        } else if says(&["denied", "forbidden"]) {
            PushFailure::Denied
        } else if says(&["no such host"]) {
            PushFailure::NoSuchHost
        } else if says(&["x509:", "tls:", "http response to https client"]) {
            PushFailure::Tls
        } else if says(&["dial tcp", "connection push_error", "i/o timeout", "connection reset", "deadline exceeded"]) {
            PushFailure::Unreachable
        } else {
            PushFailure::Other
        }
    }
}

/// Says why an engine did not push a tag; `message` is the engine's.
pub fn push_error(tag: &Repository, message: &str, has_login: bool) -> Diagnostic {
    let (name, host) = (tag.as_written(), tag.host());
    let diagnostic = |code, what: String| Diagnostic::error(code, format!("{name} is baked, but not pushed: {what}"));
    let diagnostic = match (PushFailure::from_message(message), has_login) {
        (PushFailure::Unauthorized | PushFailure::Denied, false) => {
            diagnostic("registry-unauthorized", format!("there is no login for {host}"))
                .hint(format!("log in with `docker login {host}`, then run the same command again"))
        }
        (PushFailure::Unauthorized, true) => {
            diagnostic("registry-unauthorized", format!("{host} does not accept the login in Docker's configuration"))
                .hint(format!("log in again with `docker login {host}`, then run the same command again"))
        }
        (PushFailure::Denied, true) => {
            diagnostic("registry-denied", format!("{host} does not let this login push to {}", tag.path()))
                .hint("grant the login push access to the repository, or use another login")
        }
        (PushFailure::NoSuchHost, _) => {
            diagnostic("registry-unreachable", format!("the engine cannot resolve {host}"))
                .hint("check the host in the tag; the default is docker.io")
        }
        (PushFailure::Unreachable, _) => diagnostic("registry-unreachable", format!("the engine cannot reach {host}"))
            .hint("check that the registry is up and that the engine's machine can reach it"),
        (PushFailure::Tls, _) => diagnostic("registry-tls", format!("the engine does not trust the connection to {host}"))
            .hint("install the registry's CA certificate on the engine's machine, or add the registry to the engine's `insecure-registries`"),
        (PushFailure::Other, _) => diagnostic("push-failed", "the engine could not push it".to_owned())
            .hint("run the same command again; see the engine's log for details"),
    };
    diagnostic.cause(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_s_words_are_understood() {
        for (said, refusal) in [
            ("no basic auth credentials", PushFailure::Unauthorized),
            ("unauthorized: authentication required", PushFailure::Unauthorized),
            (
                "push access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials",
                PushFailure::Unauthorized,
            ),
            (
                "unknown: unexpected status from HEAD request to http://r/v2/x: 401 Unauthorized",
                PushFailure::Unauthorized,
            ),
            ("denied: requested access to the resource is denied", PushFailure::Denied),
            ("unexpected status from POST request to https://r/v2/x: 403 Forbidden", PushFailure::Denied),
            ("Get \"https://r/v2/\": dial tcp: lookup r on 10.0.0.1:53: no such host", PushFailure::NoSuchHost),
            (
                "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection push_error",
                PushFailure::Unreachable,
            ),
            ("Get \"https://r/v2/\": x509: certificate signed by unknown authority", PushFailure::Tls),
            ("http: server gave HTTP response to HTTPS client", PushFailure::Tls),
            ("tag does not exist: r/x:1", PushFailure::Other),
        ] {
            assert_eq!(PushFailure::from_message(said), refusal, "{said}");
        }
    }

    #[test]
    fn the_digest_is_read_from_either_form() {
        let sum = Digest::of(b"x");
        let read = |text: String| digest(ProgressLine::read(text.as_bytes()).unwrap().unwrap(), "1");
        assert_eq!(read(format!(r#"{{"aux":{{"Tag":"1","Digest":"{sum}","Size":527}}}}"#)), Some(sum.clone()));
        assert_eq!(read(format!(r#"{{"status":"1: digest: {sum} size: 427"}}"#)), Some(sum.clone()));
        assert_eq!(read(format!(r#"{{"status":"2: digest: {sum} size: 427"}}"#)), None);
        assert_eq!(read(r#"{"status":"Pushing","progressDetail":{"current":1,"total":2},"id":"a"}"#.into()), None);
    }

    #[test]
    fn bytes_are_counted_once_and_never_beyond_what_was_announced() {
        #[derive(Default)]
        struct Sums(std::sync::Mutex<(u64, u64)>);
        impl crate::runtime::progress::Watcher for Sums {
            fn expect(&self, _: Counted, more: u64) {
                self.0.lock().unwrap().1 += more;
            }
            fn done(&self, _: Counted, more: u64) {
                self.0.lock().unwrap().0 += more;
            }
        }
        let sums = std::sync::Arc::new(Sums::default());
        let progress = Progress::to(sums.clone());
        let mut meter = PushMeter::new(&progress);
        for line in [
            r#"{"status":"Preparing","progressDetail":{},"id":"a"}"#,
            r#"{"status":"Pushing","progressDetail":{"current":512,"total":1000},"id":"a"}"#,
            r#"{"status":"Pushing","progressDetail":{"total":50},"id":"b"}"#,
            r#"{"status":"Pushing","progressDetail":{"current":1100,"total":1000},"id":"a"}"#,
            r#"{"status":"Pushed","progressDetail":{},"id":"a"}"#,
            r#"{"status":"1: digest: sha256:0 size: 1"}"#,
        ] {
            meter.take(&ProgressLine::read(line.as_bytes()).unwrap().unwrap());
        }
        assert_eq!(*sums.0.lock().unwrap(), (1000, 1050));
    }

    #[test]
    fn the_login_has_the_format_of_the_api() {
        let encoded = |name: &str, login: Option<&Login>| {
            let header = auth_header(&Repository::parse(name).unwrap(), login).unwrap();
            assert!(header.is_sensitive());
            String::from_utf8(URL_SAFE.decode(header.as_bytes()).unwrap()).unwrap()
        };
        assert_eq!(encoded("r.example/x:1", None), "{}");
        let password = Login::Password { user: "me".into(), password: "p\"?>".to_owned().into() };
        assert_eq!(
            encoded("r.example/x:1", Some(&password)),
            r#"{"username":"me","password":"p\"?>","serveraddress":"r.example"}"#
        );
        assert_eq!(
            encoded("x:1", Some(&Login::Identity("token".to_owned().into()))),
            r#"{"identitytoken":"token","serveraddress":"https://index.docker.io/v1/"}"#
        );
    }
}
