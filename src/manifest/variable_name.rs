//! Owns the rule for names of environment variables.

/// Tells whether a text is the name of a variable: a letter or `_`, then letters, digits and `_`.
pub fn is_variable_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
