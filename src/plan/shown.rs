//! Owns how the plan shows values and rights, both in text and in JSON.

use crate::diagnostic::lookalike::looks_like;
use crate::image::access::{Access, Id};
use crate::image::append::MODE;

/// The owner of a file whose `owner` the manifest leaves out.
pub const USUAL_OWNER: &str = "the image's user:0";

/// How many characters of a plain value are shown.
const SHOWN: usize = 60;

/// Returns a plain value in quotes, escaped and shortened. If it looks like a credential, returns the kind of credential instead.
pub fn plain_value(text: &str) -> Result<String, &'static str> {
    if let Some(kind) = looks_like(text) {
        return Err(kind);
    }
    let count = text.chars().count();
    let shown: String = text.chars().take(SHOWN).collect();
    Ok(if count > SHOWN { format!("{shown:?}… ({count} characters)") } else { format!("{shown:?}") })
}

/// Returns a secret's key, in quotes unless it is one simple word.
pub fn shown_key(key: &str) -> String {
    let is_word = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if is_word { key.to_owned() } else { format!("{key:?}") }
}

/// Returns a file's mode, as in `0440`.
pub fn mode(access: &Access) -> String {
    format!("{:04o}", access.mode.unwrap_or(MODE))
}

/// Returns a file's owner, as in `app:staff`.
pub fn owner(access: &Access) -> String {
    let id = |id: &Id| match id {
        Id::Number(number) => number.to_string(),
        Id::Name(name) => name.clone(),
    };
    match &access.owner {
        None => USUAL_OWNER.to_owned(),
        Some(owner) => format!("{}:{}", id(&owner.user), owner.group.as_ref().map_or_else(|| "0".to_owned(), id)),
    }
}

/// Returns what differs from the usual mode and owner.
pub fn unusual(access: &Access) -> Vec<String> {
    let mode = access.mode.filter(|mode| *mode != MODE).map(|_| format!("mode {}", mode(access)));
    let owner = access.owner.as_ref().map(|_| format!("owner {}", owner(access)));
    mode.into_iter().chain(owner).collect()
}

#[cfg(test)]
mod tests {
    use super::plain_value;

    #[test]
    fn a_plain_value_is_quoted_escaped_and_shortened() {
        assert_eq!(plain_value("info"), Ok("\"info\"".to_owned()));
        assert_eq!(plain_value("a\n\"\u{1b}\u{202e}"), Ok(r#""a\n\"\u{1b}\u{202e}""#.to_owned()));
        assert_eq!(plain_value(&"é".repeat(60)), Ok(format!("\"{}\"", "é".repeat(60))));
        assert_eq!(plain_value(&"é".repeat(61)), Ok(format!("\"{}\"… (61 characters)", "é".repeat(60))));
    }

    #[test]
    fn a_plain_value_that_looks_like_a_credential_is_not_shown() {
        assert_eq!(plain_value("AKIAIOSFODNN7EXAMPLE"), Err("an AWS access key ID"));
    }
}
