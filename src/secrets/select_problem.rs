//! Owns the diagnostics for selecting a part of a secret: a missing key, a value that is not JSON, a key that is there twice.
//!
//! It is pure, and no diagnostic contains a value.

use super::select::{ARRAY, SelectError};
use crate::diagnostic::Diagnostic;
use crate::manifest::reference::{SecretId, Selector};

/// Warns that an object has the key more than once.
pub fn repeated_key_warning(secret: &SecretId, key: &str) -> Diagnostic {
    let what = format!("the JSON of {secret} has the key {key:?} more than once; the last one counts");
    Diagnostic::warning("repeated-key", what).hint("store each key once: other readers may take the first")
}

/// Describes why a selector selects nothing in a secret.
pub fn select_problem(secret: &str, selector: &Selector, error: &SelectError) -> Diagnostic {
    let key = match selector {
        Selector::Whole => "",
        Selector::Key(key) | Selector::Pointer(key) => key,
    };
    match error {
        SelectError::LoneSurrogate { escape, line, column } => {
            let what =
                format!("invalid JSON: the value of {secret} has {escape} without its other half at {line}:{column}");
            Diagnostic::error("lone-surrogate", what)
                .cause("JSON writes a character above U+FFFF as a pair of \\u escapes; half of one is not a character")
                .hint("store the secret again with the whole character, or with U+FFFD in its place")
        }
        SelectError::NotJson => {
            Diagnostic::error("not-json", format!("not a JSON object: the value of {secret} is not JSON"))
                .hint(format!("write `secret: {secret}` for the whole value, or store a JSON object"))
        }
        SelectError::NotAnObject { found } => {
            let what = format!("not a JSON object: the value of {secret} has {found} where {key:?} needs an object");
            let item =
                if *found == ARRAY { format!(", or `secret: {secret}#/0` for its first item") } else { String::new() };
            Diagnostic::error("not-an-object", what).hint(format!("write `secret: {secret}` for the whole value{item}"))
        }
        SelectError::NoKey { keys } => {
            let diagnostic = Diagnostic::error("key-not-found", format!("JSON key not found: {key:?} in {secret}"));
            match &keys[..] {
                [] => diagnostic.hint("it has no keys"),
                keys => diagnostic.hint(format!("its keys are {}", keys.join(", "))),
            }
        }
        SelectError::Null => Diagnostic::error("json-null", format!("the JSON key {key:?} in {secret} is null"))
            .hint("store a value under the key; for the empty string store \"\""),
    }
}
