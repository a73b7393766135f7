//! Owns the question whether a text that a user wrote in the clear looks like a credential.
//!
//! It answers with the kind of credential, never with the text.

/// Returns what the text looks like, by the published prefixes of the services that issue such credentials.
pub fn looks_like(text: &str) -> Option<&'static str> {
    const PREFIXES: [(&str, usize, &str); 19] = [
        ("ghp_", 30, "a GitHub token"),
        ("gho_", 30, "a GitHub token"),
        ("ghs_", 30, "a GitHub token"),
        ("github_pat_", 30, "a GitHub token"),
        ("glpat-", 20, "a GitLab token"),
        ("xoxb-", 20, "a Slack token"),
        ("xoxp-", 20, "a Slack token"),
        ("sk-ant-", 20, "an Anthropic API key"),
        ("sk-proj-", 20, "an OpenAI API key"),
        ("sk-", 40, "an API key"),
        ("sk_live_", 16, "a Stripe key"),
        ("rk_live_", 16, "a Stripe key"),
        ("AIza", 35, "a Google API key"),
        ("SG.", 40, "a SendGrid key"),
        ("npm_", 30, "an npm token"),
        ("pypi-", 40, "a PyPI token"),
        ("hf_", 30, "a Hugging Face token"),
        ("dop_v1_", 40, "a DigitalOcean token"),
        ("eyJ", 60, "a JSON web token"),
    ];
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY") {
        return Some("a private key");
    }
    let is_key_id = |word: &str| {
        word.len() == 20
            && ["AKIA", "ASIA"].iter().any(|prefix| word.starts_with(prefix))
            && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    if text.split(|c: char| !c.is_ascii_alphanumeric()).any(is_key_id) {
        return Some("an AWS access key ID");
    }
    let one_word = !text.contains(char::is_whitespace);
    let prefixed =
        PREFIXES.iter().find(|(prefix, least, _)| one_word && text.len() >= *least && text.starts_with(prefix));
    if let Some((_, _, kind)) = prefixed {
        return Some(kind);
    }
    has_password_in_url(text).then_some("a URL with a password")
}

fn has_password_in_url(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return false };
    user.split_once(':').is_some_and(|(_, password)| !password.is_empty() && !password.starts_with("${"))
}

#[cfg(test)]
mod tests {
    use super::looks_like;

    #[test]
    fn credentials_in_the_clear_are_recognised() {
        assert_eq!(looks_like("AKIAIOSFODNN7EXAMPLE"), Some("an AWS access key ID"));
        assert_eq!(looks_like("-----BEGIN RSA PRIVATE KEY-----\nx"), Some("a private key"));
        assert_eq!(looks_like(&format!("ghp_{}", "a".repeat(36))), Some("a GitHub token"));
        assert_eq!(looks_like("postgres://app:hunter2@db/app"), Some("a URL with a password"));
    }

    #[test]
    fn ordinary_values_are_not() {
        for text in
            ["info", "https://example.com/a", "postgres://app@db/app", "sk-learn", "AKIA", "eyJ", "SG.1", "redis://:@h"]
        {
            assert_eq!(looks_like(text), None, "{text}");
        }
    }
}
