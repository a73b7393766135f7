//! Strings that are secret in every test, and the judge that finds them in what secretbake shows.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::project::{EXTERNAL_ID, SECRET_KEY};

const CANARIES: [&str; 10] = [
    "canary-value-1",
    "canary-value-2",
    SECRET_KEY,
    EXTERNAL_ID,
    REGISTRY_PASSWORD,
    KEY_OF_LETTERS,
    KEY_LIKE_A_PATH,
    EXTERNAL_ID_OF_DIGITS,
    ACCESS_KEY_ID,
    PART_OF_A_KEY,
];
/// The ID of the projects' access keys, which is shown shortened.
pub const ACCESS_KEY_ID: &str = "AKIAEXAMPLEEXAMPLE00";
/// How the IDs of a session's keys begin, which moto makes up.
const SESSION_KEY: &str = "ASIA";
/// Keys like those that AWS gives out. One could pass for the name of a variable, the other for a path.
pub const KEY_OF_LETTERS: &str = "cAnArYwJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPL";
pub const KEY_LIKE_A_PATH: &str = "/cAnArYwJalrXUtn/K7MDENG/bPxRfiCYEXAMPLE";
pub const EXTERNAL_ID_OF_DIGITS: &str = "202611240000";
pub const PART_OF_A_KEY: &str = "cAnArYwJalrXUtn7MDENG";
/// How the Engine API's form of a login begins, in base64.
const LOGIN: &str = "eyJ1c2VybmFtZSI6";
/// The log of this program and of every library that it is made of.
pub const TALKATIVE: &str = "trace,aws_config=trace,aws_runtime=trace,aws_sigv4=trace,aws_smithy_runtime=trace,aws_smithy_runtime_api=trace,\
                         aws_sdk_secretsmanager=trace,aws_sdk_sts=trace,hyper=trace,hyper_util=trace,reqwest=trace,rustls=trace,bollard=trace";
pub const REGISTRY_PASSWORD: &str = "canary-registry-password";

/// Fails if a text holds a canary, in the clear, in base64, or as its hash.
pub fn is_clean(what: &str, text: &[u8]) {
    for canary in CANARIES {
        let hex: String = Sha256::digest(canary).iter().map(|byte| format!("{byte:02x}")).collect();
        let base64 = base64::engine::general_purpose::STANDARD.encode(canary);
        for form in [canary, &hex, base64.trim_end_matches('='), LOGIN] {
            let found = text.windows(form.len()).any(|window| window == form.as_bytes());
            assert!(!found, "{what} shows {canary}: {}", String::from_utf8_lossy(text));
        }
    }
    let text = String::from_utf8_lossy(text);
    for (at, _) in text.match_indices(SESSION_KEY) {
        let id = text[at..].bytes().take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()).count();
        assert!(id < 16, "{what} shows the ID of a session's key: {text}");
    }
}

/// The values of the secrets that a test made.
#[derive(Clone, Default)]
pub struct Values(Arc<Mutex<Vec<String>>>);

impl Values {
    /// Shorter values stand in other words by chance.
    const SHORTEST: usize = 8;

    /// Adds a value and, if it is a JSON object, those in it.
    pub fn add(&self, value: &str) {
        let members = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(value).unwrap_or_default();
        let members = members.values().filter_map(|member| Some(member.as_str()?.to_owned()));
        let long = members.chain([value.to_owned()]).filter(|value| value.len() >= Values::SHORTEST);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(long);
    }

    /// Fails if a text holds a value.
    pub fn are_not_in(&self, what: &str, text: &str) {
        for value in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            assert!(!text.contains(value), "{what} shows {value}: {text}");
        }
    }
}

/// Returns what was said without the lines of the log, and those.
pub fn without_log(stderr: &str) -> (String, String) {
    stderr.split_inclusive('\n').partition(|line| !is_of_the_log(line))
}

/// Tells whether a line begins as 2026-01-31T23:59:59.123456Z does.
fn is_of_the_log(line: &str) -> bool {
    let Some((time, _)) = line.split_once('Z') else { return false };
    time.len() == "2026-01-31T23:59:59.123456".len()
        && time.bytes().all(|byte| byte.is_ascii_digit() || b"-T:.".contains(&byte))
}
