//! Owns the push of a tag, which the engine does itself: it has the layers, and is told the login.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use hyper::header::HeaderValue;
use serde::Serialize;
use zeroize::Zeroizing;

use super::EngineStore;
use super::error::EngineError;
use super::stream::{self, Bytes, Line};
use crate::diagnostic::{Diagnostic, scrub};
use crate::image::digest::Digest;
use crate::image::name::Repository;
use crate::runtime::progress::{Counted, Progress};
use crate::store::StoreError;
use crate::store::login::{self, Login};

impl EngineStore {
    /// Pushes a tag to the registry that its name says, unless the run is ending. Returns the digest of the manifest there.
    ///
    /// # Errors
    /// The diagnosis; the engine's words are its cause.
    pub(in crate::store) async fn push(
        &self,
        tag: &Repository,
        login: Option<&Login>,
        progress: &Progress,
    ) -> Result<Digest, StoreError> {
        let _whole = self.whole().await;
        send(self, tag, login, progress).await.map_err(|error| match error {
            EngineError::Status { message, .. } => refused(tag, &message, login.is_some()).into(),
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
    let response = store.wire.post_with_login(&path, header(tag, login)?).await?;
    let status = response.status();
    if !status.is_success() {
        let body = store.wire.collect(response.into_body()).await?;
        return Err(EngineError::status(status.as_u16(), &body));
    }
    let mut pushed = None;
    let mut meter = Meter { progress, layers: HashMap::new() };
    stream::read(&store.wire, response.into_body(), |line| {
        if let Some(line) = Line::read(line)? {
            meter.take(&line);
            pushed = digest(line, name).or(pushed.take());
        }
        Ok(())
    })
    .await?;
    pushed.ok_or(EngineError::Malformed("no digest of what it pushed"))
}

/// How far each layer is: an engine tells the state, and who watches is told what is new of it.
struct Meter<'a> {
    progress: &'a Progress,
    /// The bytes that are done and those of all, as they were told onward.
    layers: HashMap<String, (u64, u64)>,
}

impl Meter<'_> {
    fn take(&mut self, line: &Line) {
        let (Some(id), Some(Bytes { current, total })) = (&line.id, line.progress) else { return };
        let (done, all) = self.layers.entry(id.clone()).or_default();
        let total = u64::try_from(total).unwrap_or_default().max(*all);
        // of a compressed layer overlay2 counts more than it announced
        let current = u64::try_from(current).unwrap_or_default().min(total).max(*done);
        self.progress.expect(Counted::Pushed, total - *all);
        self.progress.done(Counted::Pushed, current - *done);
        (*done, *all) = (current, total);
    }
}

/// Returns the digest of what was pushed, if the line says it: overlay2 in a member of its own, and every engine in the words that the
/// Docker CLI shows, `TAG: digest: DIGEST size: BYTES`.
fn digest(line: Line, tag: &str) -> Option<Digest> {
    if let Some(digest) = line.aux.and_then(|aux| aux.digest) {
        return Digest::parse(&digest);
    }
    let status = line.status?;
    let (digest, _) = status.strip_prefix(tag)?.strip_prefix(": digest: ")?.split_once(" size: ")?;
    Digest::parse(digest)
}

/// The login as the Engine API takes it.
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

/// Returns the header with the login, which no log shows; an engine wants one even where there is none.
fn header(tag: &Repository, login: Option<&Login>) -> Result<HeaderValue, EngineError> {
    const WRONG: EngineError = EngineError::Malformed("no way to tell it the login");
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| WRONG);
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
    let json = Zeroizing::new(serde_json::to_vec(&auth).map_err(|_| WRONG)?);
    let encoded = Zeroizing::new(URL_SAFE.encode(&*json));
    if login.is_some() {
        scrub::remember(encoded.as_bytes());
    }
    let mut header = HeaderValue::from_str(&encoded).map_err(|_| WRONG)?;
    header.set_sensitive(true);
    Ok(header)
}

/// Why a push was refused.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Unauthorized,
    Denied,
    NoSuchHost,
    Unreachable,
    Tls,
    Other,
}

impl Refusal {
    /// Goes by the engine's words, which pass on the registry's and those of Go's network packages: there is neither status nor code.
    fn of(message: &str) -> Self {
        let message = message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if says(&["unauthorized", "no basic auth credentials", "authentication required"]) {
            Refusal::Unauthorized
        } else if says(&["denied", "forbidden"]) {
            Refusal::Denied
        } else if says(&["no such host"]) {
            Refusal::NoSuchHost
        } else if says(&["x509:", "tls:", "http response to https client"]) {
            Refusal::Tls
        } else if says(&["dial tcp", "connection refused", "i/o timeout", "connection reset", "deadline exceeded"]) {
            Refusal::Unreachable
        } else {
            Refusal::Other
        }
    }
}

fn refused(tag: &Repository, message: &str, has_login: bool) -> Diagnostic {
    let (name, host) = (tag.as_written(), tag.host());
    let diagnostic = |code, what: String| Diagnostic::error(code, format!("{name} is baked, but not pushed: {what}"));
    let diagnostic = match (Refusal::of(message), has_login) {
        (Refusal::Unauthorized | Refusal::Denied, false) => {
            diagnostic("registry-unauthorized", format!("there is no login for {host}"))
                .hint(format!("log in with `docker login {host}`, then run the same command again"))
        }
        (Refusal::Unauthorized, true) => {
            diagnostic("registry-unauthorized", format!("{host} does not accept the login in Docker's configuration"))
                .hint(format!("log in again with `docker login {host}`, then run the same command again"))
        }
        (Refusal::Denied, true) => {
            diagnostic("registry-denied", format!("{host} does not let this login push to {}", tag.path()))
                .hint("have the login given the right to the repository, or use another")
        }
        (Refusal::NoSuchHost, _) => {
            diagnostic("registry-unreachable", format!("the engine finds no host of the name {host}"))
                .hint("check the host in the tag: without one it is docker.io")
        }
        (Refusal::Unreachable, _) => diagnostic("registry-unreachable", format!("the engine cannot reach {host}"))
            .hint("check that the registry is up, and that the engine's machine may reach it"),
        (Refusal::Tls, _) => diagnostic("registry-tls", format!("the engine does not trust the connection to {host}"))
            .hint("give the engine the registry's CA certificate, or name the registry in its `insecure-registries`"),
        (Refusal::Other, _) => diagnostic("push-failed", "the engine could not push it".to_owned())
            .hint("run the same command again; the engine's own log says more"),
    };
    diagnostic.cause(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_s_words_are_understood() {
        for (said, refusal) in [
            ("no basic auth credentials", Refusal::Unauthorized),
            ("unauthorized: authentication required", Refusal::Unauthorized),
            (
                "push access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials",
                Refusal::Unauthorized,
            ),
            ("unknown: unexpected status from HEAD request to http://r/v2/x: 401 Unauthorized", Refusal::Unauthorized),
            ("denied: requested access to the resource is denied", Refusal::Denied),
            ("unexpected status from POST request to https://r/v2/x: 403 Forbidden", Refusal::Denied),
            ("Get \"https://r/v2/\": dial tcp: lookup r on 10.0.0.1:53: no such host", Refusal::NoSuchHost),
            ("Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused", Refusal::Unreachable),
            ("Get \"https://r/v2/\": x509: certificate signed by unknown authority", Refusal::Tls),
            ("http: server gave HTTP response to HTTPS client", Refusal::Tls),
            ("tag does not exist: r/x:1", Refusal::Other),
        ] {
            assert_eq!(Refusal::of(said), refusal, "{said}");
        }
    }

    #[test]
    fn the_digest_is_read_from_either_form() {
        let sum = Digest::of(b"x");
        let read = |text: String| digest(Line::read(text.as_bytes()).unwrap().unwrap(), "1");
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
        let mut meter = Meter { progress: &progress, layers: HashMap::new() };
        for line in [
            r#"{"status":"Preparing","progressDetail":{},"id":"a"}"#,
            r#"{"status":"Pushing","progressDetail":{"current":512,"total":1000},"id":"a"}"#,
            r#"{"status":"Pushing","progressDetail":{"total":50},"id":"b"}"#,
            r#"{"status":"Pushing","progressDetail":{"current":1100,"total":1000},"id":"a"}"#,
            r#"{"status":"Pushed","progressDetail":{},"id":"a"}"#,
            r#"{"status":"1: digest: sha256:0 size: 1"}"#,
        ] {
            meter.take(&Line::read(line.as_bytes()).unwrap().unwrap());
        }
        assert_eq!(*sums.0.lock().unwrap(), (1000, 1050));
    }

    #[test]
    fn the_login_is_told_as_the_api_wants_it() {
        let told = |name: &str, login: Option<&Login>| {
            let header = header(&Repository::parse(name).unwrap(), login).unwrap();
            assert!(header.is_sensitive());
            String::from_utf8(URL_SAFE.decode(header.as_bytes()).unwrap()).unwrap()
        };
        assert_eq!(told("r.example/x:1", None), "{}");
        let password = Login::Password { user: "me".into(), password: "p\"?>".to_owned().into() };
        assert_eq!(
            told("r.example/x:1", Some(&password)),
            r#"{"username":"me","password":"p\"?>","serveraddress":"r.example"}"#
        );
        assert_eq!(
            told("x:1", Some(&Login::Identity("token".to_owned().into()))),
            r#"{"identitytoken":"token","serveraddress":"https://index.docker.io/v1/"}"#
        );
    }
}
