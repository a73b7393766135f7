//! Decides whether text that a user wrote in the clear looks like a credential.
//!
//! It returns the kind of credential, never the text.

/// Returns the kind of credential that the text looks like, based on the published prefixes of the services that issue them.
pub fn looks_like(text: &str) -> Option<&'static str> {
    const PREFIXES: [(&str, usize, &str); 24] = [
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
        ("sk_test_", 16, "a Stripe key"),
        ("whsec_", 20, "a webhook's signing secret"),
        ("shpat_", 30, "a Shopify token"),
        ("hvs.", 20, "a Vault token"),
        ("AGE-SECRET-KEY-1", 50, "an age key"),
        ("AIza", 35, "a Google API key"),
        ("SG.", 40, "a SendGrid key"),
        ("npm_", 30, "an npm token"),
        ("pypi-", 40, "a PyPI token"),
        ("hf_", 30, "a Hugging Face token"),
        ("dop_v1_", 40, "a DigitalOcean token"),
        ("eyJ", 60, "a JSON web token"),
    ];
    // most texts are short names: one look rules out what the slower checks search for
    let is_one_word = !text.contains(char::is_whitespace);
    if !is_one_word && text.contains("-----BEGIN ") && text.contains("PRIVATE KEY") {
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
    if is_aws_secret_key(text) {
        return Some("an AWS secret access key");
    }
    if text.contains('/') && is_webhook(text) {
        return Some("a webhook's URL");
    }
    if !is_one_word && is_authorization(text) {
        return Some("an Authorization header");
    }
    let prefixed =
        PREFIXES.iter().find(|(prefix, least, _)| is_one_word && text.len() >= *least && text.starts_with(prefix));
    if let Some((_, _, kind)) = prefixed {
        return Some(kind);
    }
    if has_password_in_url(text) {
        return Some("a URL with a password");
    }
    (text.contains('=') && has_password_among_its_settings(text)).then_some("a connection string with a password")
}

// These checks decide whether a text may be shown. One check is not enough: a name that a user chose may be long and in any alphabet, an
// unknown field is often a value in the wrong place, and a key pasted as a name has only letters and digits too.

/// Tells whether a text may be (most of) a secret access key or session token: at least 32 base64 characters, upper and lower case.
pub fn looks_like_a_key(text: &str) -> bool {
    text.len() >= 32
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
        && text.bytes().any(|b| b.is_ascii_uppercase())
        && text.bytes().any(|b| b.is_ascii_lowercase())
}

/// Tells whether a text may be a misspelt field, which is safe to show.
pub fn may_be_a_field(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        && !is_long_and_mixed(text)
}

/// Tells whether a message may repeat a text from the place of a name, such as a credential's, that names nothing known.
pub fn may_be_repeated(text: &str) -> bool {
    is_plausible_name(text) && !looks_like_a_key(text) && !is_long_and_mixed(text)
}

/// Tells whether a text has 16 or more characters, with digits and letters of both cases, as generated passwords have.
fn is_long_and_mixed(text: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| text.bytes().any(|b| kind(&b));
    let is_mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    is_mixed && text.len() >= 16
}

/// Tells whether a text is plausible as a name, rather than a value in the wrong place. Only plausible names are shown.
pub fn is_plausible_name(text: &str) -> bool {
    let most = if text.contains(|c: char| c.is_ascii_lowercase()) { 64 } else { 128 };
    let is_word = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    let is_noise = text.len() >= 24 && !text.contains('_') && text.contains(|c: char| c.is_ascii_digit());
    !text.is_empty() && text.len() <= most && is_word && !is_noise && looks_like(text).is_none()
}

/// Tells whether the text has the length and characters of an AWS secret access key. A hexadecimal hash does not.
fn is_aws_secret_key(text: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| text.bytes().any(|byte| kind(&byte));
    text.len() == 40
        && !text.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/+".contains(&byte))
        && [u8::is_ascii_uppercase, u8::is_ascii_lowercase, u8::is_ascii_digit].into_iter().all(has)
}

/// Tells whether the text contains a chat service's webhook URL: anyone who knows the URL can post there.
fn is_webhook(text: &str) -> bool {
    const PARTS: [&str; 11] = [
        "://hooks.slack.com/",
        "discord.com/api/webhooks/",
        "discordapp.com/api/webhooks/",
        ".webhook.office.com/",
        "://outlook.office.com/webhook/",
        "://chat.googleapis.com/v1/spaces/",
        "://api.telegram.org/bot",
        "://open.feishu.cn/open-apis/bot/",
        "://oapi.dingtalk.com/robot/",
        "://qyapi.weixin.qq.com/cgi-bin/webhook/",
        "://hooks.zapier.com/hooks/",
    ];
    // Mattermost, Rocket.Chat: HOST/hooks/ID
    let is_hook =
        |url: &str| url.split('/').nth(1) == Some("hooks") && url.split('/').nth(2).is_some_and(|id| !id.is_empty());
    PARTS.iter().any(|part| text.contains(part)) || text.split("://").skip(1).any(is_hook)
}

fn is_authorization(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    matches!(words[..], [scheme, credentials]
        if ["bearer", "basic"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) && credentials.len() >= 12)
}

/// Tells whether a connection string contains a password: `…;Password=x`, `…?user=a&password=x`.
fn has_password_among_its_settings(text: &str) -> bool {
    const NAMES: [&str; 8] =
        ["password", "passwd", "pwd", "accountkey", "sharedaccesskey", "client_secret", "access_token", "api_key"];
    // blanks around `=` belong to the setting; other blanks separate settings
    let text = text.split('=').map(str::trim).collect::<Vec<_>>().join("=");
    text.split([';', '&', '?', ' ', '\t', '\n']).filter_map(|setting| setting.split_once('=')).any(|(name, value)| {
        // the shell's working directory
        let is_directory = name == "PWD" && value.starts_with('/');
        !is_directory
            && NAMES.iter().any(|known| name.trim().eq_ignore_ascii_case(known))
            && is_written_out(value.trim())
    })
}

/// Tells whether the text is a password itself, not a variable that holds one.
fn is_written_out(password: &str) -> bool {
    !password.is_empty() && !password.starts_with(['$', '{', '<', '*'])
}

fn has_password_in_url(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return false };
    user.split_once(':').is_some_and(|(_, password)| is_written_out(password))
}

#[cfg(test)]
mod tests {
    use super::{is_plausible_name, looks_like, looks_like_a_key, may_be_a_field, may_be_repeated};

    #[test]
    fn credentials_in_the_clear_are_recognised() {
        assert_eq!(looks_like("AKIAIOSFODNN7EXAMPLE"), Some("an AWS access key ID"));
        assert_eq!(looks_like("-----BEGIN RSA PRIVATE KEY-----\nx"), Some("a private key"));
        assert_eq!(looks_like(&format!("ghp_{}", "a".repeat(36))), Some("a GitHub token"));
        assert_eq!(looks_like("hvs.CAESIJcanarycanarycanary"), Some("a Vault token"));
        assert_eq!(looks_like("whsec_canarycanarycanary0123456789"), Some("a webhook's signing secret"));
        assert_eq!(looks_like("shpat_0123456789abcdef0123456789abcdef"), Some("a Shopify token"));
        assert_eq!(looks_like("sk_test_51HcanaryCANARYcanary00"), Some("a Stripe key"));
        assert_eq!(looks_like(&format!("AGE-SECRET-KEY-1{}", "Q".repeat(58))), Some("an age key"));
        assert_eq!(looks_like("postgres://app:hunter2@db/app"), Some("a URL with a password"));
        for text in [
            "jdbc:postgresql://db/app?user=app&password=hunter2",
            "Server=db;Database=app;User Id=app;Password=hunter2;",
            "host=db user=app password=hunter2",
            "Server=db;Uid=sa;Pwd = hunter2",
            "PWD=hunter2;Uid=sa",
            "user=app password=/hunter2",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=aGk=;EndpointSuffix=core.windows.net",
        ] {
            assert_eq!(looks_like(text), Some("a connection string with a password"), "{text}");
        }
        assert_eq!(looks_like("Bearer 0123456789abcdef"), Some("an Authorization header"));
        assert_eq!(looks_like("https://hooks.slack.com/services/T0/B0/x"), Some("a webhook's URL"));
        assert_eq!(looks_like("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), Some("an AWS secret access key"));
    }

    #[test]
    fn ordinary_values_are_not() {
        for text in [
            "info",
            "https://example.com/a",
            "postgres://app@db/app",
            "sk-learn",
            "AKIA",
            "eyJ",
            "SG.1",
            "redis://:@h",
            "postgres://app:${PASSWORD}@db/app",
            "host=db;password=${PASSWORD}",
            "Server=db;Password=;",
            "bearer",
            "bearer of news",
            "a PRIVATE KEY",
            "-----BEGIN CERTIFICATE-----\nx",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "/Usr/local/share/Application0/resources/",
        ] {
            assert_eq!(looks_like(text), None, "{text}");
        }
    }

    #[test]
    fn only_a_name_may_be_repeated() {
        for text in ["aws-prod", "aws-production-ac-2", "PRODUCTION_ACCOUNT_LONG"] {
            assert!(may_be_repeated(text), "{text}");
        }
        for text in ["not a name", "AKIAIOSFODNN7EXAMPLE", "Tr0ub4dorAndTr0ub4dor"] {
            assert!(!may_be_repeated(text), "{text}");
        }
    }

    #[test]
    fn a_line_of_a_key_is_no_name() {
        for name in ["DB_PASSWORD", "not.a.name", "x-y", "applicationInsightsConnectionString", "größe"] {
            assert!(is_plausible_name(name), "{name}");
        }
        let token = format!("ghp_{}", "a".repeat(36));
        for noise in [
            "",
            "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn",
            "a/b",
            "a b",
            "A=b",
            "A:b",
            "\u{1b}[31m",
            "AKIAIOSFODNN7EXAMPLE",
            &token,
        ] {
            assert!(!is_plausible_name(noise), "{noise}");
        }
        assert!(!is_plausible_name(&"a_".repeat(33)));
    }

    #[test]
    fn a_key_is_long_base64_of_both_cases() {
        let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYE=";
        assert_eq!(key.len(), 32);
        assert!(looks_like_a_key(key));
        for text in [&key[1..], &key.to_lowercase(), &key.to_uppercase(), &key.replace('+', "-")] {
            assert!(!looks_like_a_key(text), "{text}");
        }
    }

    #[test]
    fn an_unknown_field_is_named_unless_it_may_be_a_value() {
        for field in ["trim_newlin", "_note", "x-team.name", "maxRetries3", "AccessKeyOfTea2"] {
            assert!(may_be_a_field(field), "{field}");
        }
        for value in ["", "2fast", "-x", "a b", "AccessKeyOfTeam2", &"a".repeat(41)] {
            assert!(!may_be_a_field(value), "{value}");
        }
    }

    #[test]
    fn a_number_in_a_short_name_is_plausible_and_in_a_long_one_without_words_is_not() {
        for text in ["server2", "a23456789012345678901bc", "my_2nd_database_of_the_crew"] {
            assert!(is_plausible_name(text), "{text}");
        }
        assert!(!is_plausible_name("a23456789012345678901bcd"));
    }
}
