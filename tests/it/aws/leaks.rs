//! What is never shown: not in a diagnosis, not in the log at its most talkative.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use secretbake::manifest::Version;
use secretbake::secrets::Provider;
use sha2::{Digest, Sha256};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{ASSUMED, Credential, EXTERNAL_ID, SECRET_KEY, id, outcome, refusal, value};
use crate::support::stub::{Reply, Stub};

const CANARY: &str = "canary-5f0e7d3c-value";

thread_local! {
    /// What this thread logs, while it is wanted.
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// The log of the thread that writes to it.
struct ThreadLog;

impl io::Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.iter_mut().for_each(|log| log.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps what this thread logs from now on. The log is the whole process's: what is logged is settled once for each place in the code, by
/// whichever thread comes there first, so that a log of one thread alone may stay empty.
fn start_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let layer = tracing_subscriber::fmt::layer()
            .with_span_events(FmtSpan::FULL)
            .with_writer(|| ThreadLog)
            .with_filter(dynamic_filter_fn(|_, _| LOG.with_borrow(Option::is_some)));
        tracing_subscriber::registry().with(layer).init();
    });
    LOG.set(Some(Vec::new()));
}

/// Returns what this thread logged.
fn end_log() -> String {
    String::from_utf8(LOG.take().unwrap()).unwrap()
}

/// Assumes a role and reads a secret, and returns all that is to be seen of it.
async fn seen(script: impl IntoIterator<Item = Reply>) -> String {
    let stub = Stub::answering(script);
    start_log();
    let credential = Credential { external_id: true, token: Some("ambient-session-token"), ..Credential::default() };
    let result = credential.at(&stub.url()).read(&id("db"), &Version::Current).await;
    let failed = result.err().map(|failure| format!("{failure:?}\n{}", outcome(Err(failure.clone()))));
    let log = end_log();
    assert!(log.contains("TRACE"), "the log was captured");
    format!("{}\n{log}", failed.unwrap_or_default())
}

fn assert_none_of(secrets: &[&str], text: &str) {
    for secret in secrets {
        let digest = Sha256::digest(secret.as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        for shape in [(*secret).to_owned(), digest, format!("{:?}", secret.as_bytes())] {
            if let Some(at) = text.find(&shape) {
                panic!("{secret} is shown: {}", &text[at.saturating_sub(300)..(at + 100).min(text.len())]);
            }
        }
    }
}

const OURS: [&str; 5] = [SECRET_KEY, EXTERNAL_ID, "ambient-session-token", "role-session-secret", "role-session-token"];

#[tokio::test]
async fn a_good_read_shows_nothing() {
    let text = seen([Reply::xml(200, ASSUMED), value(CANARY)]).await;
    assert_none_of(&OURS, &text);
    assert_none_of(&[CANARY], &text);
}

#[tokio::test]
async fn a_malformed_answer_shows_nothing() {
    for body in [
        format!(r#"{{"SecretString":"{CANARY}"#),
        format!(r#"{{"SecretString":{{"{CANARY}":1}}}}"#),
        format!(r#"{{"SecretString":"{CANARY}","VersionStages":"{CANARY}"}}"#),
        CANARY.to_owned(),
    ] {
        let text = seen([Reply::xml(200, ASSUMED), Reply::json(200, &body)]).await;
        assert_none_of(&OURS, &text);
        assert_none_of(&[CANARY], &text);
    }
}

#[tokio::test]
async fn a_malformed_session_shows_nothing() {
    let text = seen([Reply::xml(200, &ASSUMED.replace("2099-01-01T00:00:00Z", "never"))]).await;
    assert_none_of(&OURS, &text);
}

#[tokio::test]
async fn a_message_that_repeats_our_own_secrets_shows_none_of_them() {
    let message = format!("{SECRET_KEY} {EXTERNAL_ID} ambient-session-token role-session-secret role-session-token");
    let stub = Stub::answering([Reply::xml(200, ASSUMED), refusal("AccessDeniedException", &message)]);
    let credential = Credential { external_id: true, token: Some("ambient-session-token"), ..Credential::default() };
    let result = credential.at(&stub.url()).read(&id("db"), &Version::Current).await;
    let text = outcome(result);
    assert!(text.contains("***"), "{text}");
    assert_none_of(&OURS, &text);
}
