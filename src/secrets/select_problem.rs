//! Owns the diagnostics for selecting a part of a secret: a missing key, a value that is not JSON, a key that is there twice.
//!
//! It is pure, and no diagnostic contains a value.

use super::select::{ARRAY, SelectError};
use crate::diagnostic::Diagnostic;
use crate::manifest::reference::{SecretId, Selector};

/// The codes of the problems.
pub const LONE_SURROGATE: &str = "lone-surrogate";
pub const NOT_JSON: &str = "not-json";
pub const NOT_AN_OBJECT: &str = "not-an-object";
pub const KEY_NOT_FOUND: &str = "key-not-found";
pub const JSON_NULL: &str = "json-null";

/// Warns that an object has the key more than once.
pub fn repeated_key_warning(secret: &SecretId, key: &str) -> Diagnostic {
    let what = format!("the JSON of {secret} has the key {key:?} more than once; the last one counts");
    Diagnostic::warning("repeated-key", what).hint("store each key once: other readers may take the first")
}

/// Describes why a selector selects nothing in a secret. `binary`: whether the provider holds it as binary.
pub fn select_problem(secret: &str, selector: &Selector, error: &SelectError, binary: bool) -> Diagnostic {
    let whole = whole_value(secret, binary);
    let key = match selector {
        Selector::Whole => "",
        Selector::Key(key) | Selector::Pointer(key) => key,
    };
    match error {
        SelectError::LoneSurrogate { escape, line, column } => {
            let what =
                format!("invalid JSON: the value of {secret} has {escape} without its other half at {line}:{column}");
            Diagnostic::error(LONE_SURROGATE, what)
                .cause("JSON writes a character above U+FFFF as a pair of \\u escapes; half of one is not a character")
                .hint("store the secret again with the whole character, or with U+FFFD in its place")
        }
        SelectError::NotJson => {
            Diagnostic::error(NOT_JSON, format!("not a JSON object: the value of {secret} is not JSON"))
                .hint(format!("{whole}, or store a JSON object"))
        }
        SelectError::NotAnObject { found } => {
            let what = format!("not a JSON object: the value of {secret} has {found} where {key:?} needs an object");
            let item =
                if *found == ARRAY { format!(", or `secret: {secret}#/0` for its first item") } else { String::new() };
            Diagnostic::error(NOT_AN_OBJECT, what).hint(format!("{whole}{item}"))
        }
        SelectError::NoKey { keys } => {
            let diagnostic = Diagnostic::error(KEY_NOT_FOUND, format!("JSON key not found: {key:?} in {secret}"));
            match &keys[..] {
                [] => diagnostic.hint("it has no keys"),
                keys => diagnostic.hint(format!("its keys are {}", listed(keys))),
            }
        }
        SelectError::Null => Diagnostic::error(JSON_NULL, format!("the JSON key {key:?} in {secret} is null"))
            .hint("store a value under the key; for the empty string store \"\""),
    }
}

/// Says how to take the whole value. A variable cannot hold bytes.
fn whole_value(secret: &str, binary: bool) -> String {
    let encoded = if binary { " (in a variable with `encoding: base64`, since it is binary)" } else { "" };
    format!("write `secret: {secret}` for the whole value{encoded}")
}

/// Returns keys as a list in a sentence; one that is empty or has more than letters, digits and `_-./@` is in quotes.
pub fn listed(keys: &[String]) -> String {
    let is_plain = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-./@".contains(c));
    let shown = |key: &String| if is_plain(key) { key.clone() } else { format!("\"{key}\"") };
    keys.iter().map(shown).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_would_not_be_seen_in_a_list_is_in_quotes() {
        let keys = ["", "a-b", "tls/key", "a, b"].map(str::to_owned);
        assert_eq!(listed(&keys), r#""", a-b, tls/key, "a, b""#);
    }

    #[test]
    fn the_whole_of_a_binary_secret_is_encoded_in_a_variable() {
        let problem = |binary| select_problem("bin", &Selector::Key("k".to_owned()), &SelectError::NotJson, binary);
        assert_eq!(problem(false).hints, ["write `secret: bin` for the whole value, or store a JSON object"]);
        assert_eq!(
            problem(true).hints,
            [
                "write `secret: bin` for the whole value (in a variable with `encoding: base64`, since it is binary), or \
              store a JSON object"
            ]
        );
    }
}
