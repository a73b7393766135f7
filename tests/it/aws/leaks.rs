//! What is never shown: not in a diagnosis, not in the log at its most talkative.

use std::io;
use std::sync::{Arc, Mutex};

use secretbake::manifest::Version;
use secretbake::provider::Provider;
use sha2::{Digest, Sha256};
use tracing_subscriber::fmt::MakeWriter;

use super::{ASSUMED, Credential, EXTERNAL_ID, SECRET_KEY, id, outcome, refusal, value};
use crate::support::stub::{Reply, Stub};

const CANARY: &str = "canary-5f0e7d3c-value";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

/// Assumes a role and reads a secret, and returns all that is to be seen of it.
async fn seen(script: impl IntoIterator<Item = Reply>) -> String {
    let stub = Stub::answering(script);
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let credential = Credential { external_id: true, token: Some("ambient-session-token"), ..Credential::default() };
    let result = credential.at(&stub.url()).read(&id("db"), &Version::Current).await;
    let failed = result.err().map(|failure| format!("{failure:?}\n{}", outcome(Err(failure.clone()))));
    drop(guard);
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
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
