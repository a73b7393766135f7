//! Owns a credential's `allow:`: patterns for the secret names that manifests may use it for.
//!
//! It is pure. It guards against mistakes; the provider decides what the credential can read.

use crate::manifest::reference::SecretId;

/// A pattern for names: `*` matches any characters, including `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    /// Parses a pattern; `None` if no secret name can match it.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-!*".contains(c);
        (!text.is_empty() && text.len() <= 512 && text.chars().all(is_name)).then(|| NamePattern(text.to_owned()))
    }

    /// Returns the pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether the secret's name matches the pattern.
    pub fn matches(&self, id: &SecretId) -> bool {
        matches(&self.0, id.name())
    }
}

/// Tells whether a name matches a pattern in which `*` matches any characters.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    // match every part except the last as early as possible
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match name.split_once(part) {
            Some((_, after)) => name = after,
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, name: &str) -> bool {
        NamePattern::parse(pattern).unwrap().matches(&SecretId::new(name).unwrap())
    }

    #[test]
    fn a_star_is_any_number_of_any_characters() {
        for (pattern, name, expected) in [
            ("crewai/*", "crewai/openai", true),
            ("crewai/*", "crewai/a/b", true),
            ("crewai/*", "crewai", false),
            ("crewai/*", "other/crewai/x", false),
            ("db", "db", true),
            ("db", "db2", false),
            ("*", "anything", true),
            ("*-prod", "db-prod", true),
            ("*-prod", "db-prod-2", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(allows(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn an_arn_is_matched_by_the_name_in_it() {
        let arn = |name: &str| format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}");
        assert!(allows("crewai/db", &arn("crewai/db-AbCdEf")));
        assert!(allows("crewai/db", &arn("crewai/db")));
        assert!(!allows("crewai/db", &arn("crewai/db-other-AbCdEf")));
        assert!(!allows("arn*", &arn("crewai/db-AbCdEf")));
    }

    #[test]
    fn what_no_name_can_match_is_no_pattern() {
        for text in ["", "a b", "a?", "[ab]", "arn:aws:x", &"a".repeat(513)] {
            assert_eq!(NamePattern::parse(text), None, "{text}");
        }
    }
}
