//! Owns what text from others must never show: full access key IDs, and logins in URLs.
//!
//! It is pure. It does not guess secrets by their form: `scrub` removes them by their value.

/// The shortest access key ID. AWS's have 20 characters; some test doubles use fewer.
const SHORTEST: usize = 16;

/// Shortens an access key ID to the part that may be shown: `AKIA…MPLE`.
pub fn shortened(id: &str) -> String {
    match (id.get(..4), id.len().checked_sub(4).and_then(|tail| id.get(tail..))) {
        (Some(head), Some(tail)) if id.len() >= 12 => format!("{head}…{tail}"),
        _ => "…".to_owned(),
    }
}

/// Shortens every access key ID in a text and removes the user and password from every URL.
pub fn redacted(text: &str) -> String {
    without_logins(&with_short_keys(text))
}

/// Does the same as [`redacted`] for a log line, and also removes anything else that looks like a login before a host: libraries
/// log a URL's authority without its scheme.
pub fn log_line(line: &str) -> String {
    let line = without_hashes(&without_external_ids(&redacted(line)));
    let ends = |c: char| c.is_whitespace() || "\"`/".contains(c);
    let words = line.split_inclusive(ends).map(|word| match word.rsplit_once('@') {
        // the name and tag of an image, and the ARN of a secret
        Some((login, host)) if host.starts_with("sha256:") || login.contains("arn:") => word.to_owned(),
        Some((login, host)) if login.contains(':') => format!("***@{host}"),
        _ => word.to_owned(),
    });
    words.collect()
}

/// Removes what follows the name of an External ID, up to the next space, comma, ampersand or bracket.
fn without_external_ids(text: &str) -> String {
    const NAMES: [&str; 2] = ["external_id", "externalid"];
    // only ASCII changes, so offsets are the same in both
    let lower = text.to_ascii_lowercase();
    let mut shown = String::with_capacity(text.len());
    let mut end = 0;
    let mut places: Vec<usize> =
        NAMES.iter().flat_map(|name| lower.match_indices(name).map(|(at, _)| at + name.len())).collect();
    places.sort_unstable();
    for at in places {
        let rest = text.get(at.max(end)..).unwrap_or_default();
        let value = rest.trim_start_matches(['"', '\'', ' ', ':', '=']);
        let length = value.find([' ', ',', '&', '}', ')', '\n']).map_or(value.len(), |length| {
            // the opening bracket of `Some(…)` is not the end
            length + usize::from(value[length..].starts_with(')'))
        });
        if at >= end && value.len() < rest.len() {
            let start = text.len() - value.len();
            shown += &text[end..start];
            shown += "***";
            end = start + length;
        }
    }
    shown + &text[end..]
}

/// Removes hexadecimal hashes unless they name a blob: the hash of a request is a hash of the secrets in it.
fn without_hashes(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let letters = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_hash = letters.len() == 64 && letters.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_of_a_blob = shown.ends_with("sha256:") && !shown.ends_with("-sha256:");
        if is_hash && !is_of_a_blob {
            shown += "***";
            shown += &word[letters.len()..];
        } else {
            shown += word;
        }
    }
    shown
}

/// Shortens everything that looks like the access key ID of a user (`AKIA…`) or session (`ASIA…`).
fn with_short_keys(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = ["AKIA", "ASIA"].iter().filter_map(|head| rest.find(head)).min() {
        let (before, from) = rest.split_at(at);
        let length = from.bytes().take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()).count();
        let (id, behind) = from.split_at(length);
        shown += before;
        shown += &if length < SHORTEST { id.to_owned() } else { shortened(id) };
        rest = behind;
    }
    shown + rest
}

/// Removes the part between `://` and the last `@` of a URL's authority.
fn without_logins(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let ends = |c: char| c.is_whitespace() || c.is_control() || "/?#\"'`<>\\".contains(c);
        let authority = part.split(ends).next().unwrap_or_default();
        shown += "://";
        shown += &match authority.rfind('@') {
            Some(at) => format!("***{}", part.get(at..).unwrap_or_default()),
            None => part.to_owned(),
        };
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_key_ids_are_shortened_wherever_they_stand() {
        for (text, expected) in [
            (r#"access_key_id: "AKIAIOSFODNN7EXAMPLE","#, r#"access_key_id: "AKIA…MPLE","#),
            ("Credential=ASIAROLESESSION0001/20260101/us-east-1", "Credential=ASIA…0001/20260101/us-east-1"),
            ("AKIAIOSFODNN7EXAMPLE AKIAIOSFODNN7EXAMPLE", "AKIA…MPLE AKIA…MPLE"),
            ("xAKIAIOSFODNN7EXAMPLEx", "xAKIA…MPLEx"),
            ("the keys of AKIA and ASIA, é", "the keys of AKIA and ASIA, é"),
            ("AKIA… and ASIAPACIFIC", "AKIA… and ASIAPACIFIC"),
            ("", ""),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn a_url_loses_its_login_and_nothing_else() {
        for (text, expected) in [
            (r#"value: "http://user:pass@127.0.0.1:4566/a""#, r#"value: "http://***@127.0.0.1:4566/a""#),
            ("http://user:p@ss@host", "http://***@host"),
            ("http://token@host?x=a@b", "http://***@host?x=a@b"),
            ("from http://host/path@1 to https://a:b@c", "from http://host/path@1 to https://***@c"),
            ("http://host and me@example.org", "http://host and me@example.org"),
            ("docker://", "docker://"),
        ] {
            assert_eq!(redacted(text), expected);
            assert_eq!(log_line(text), expected);
        }
    }

    #[test]
    fn a_log_loses_logins_without_a_scheme_too() {
        for (text, expected) in [
            ("waiting for idle: (\"http\", user:pass@host:80)", "waiting for idle: (\"http\", ***@host:80)"),
            ("app/base:1@sha256:0a1b", "app/base:1@sha256:0a1b"),
            ("arn:aws:secretsmanager:r:1:secret:a@b", "arn:aws:secretsmanager:r:1:secret:a@b"),
            ("me@example.org", "me@example.org"),
        ] {
            assert_eq!(log_line(text), expected);
        }
    }

    #[test]
    fn a_hash_is_shown_only_if_it_names_a_blob() {
        let hash = "0123456789abcdef".repeat(4);
        for text in [
            format!("PUT /v2/crew/blobs/sha256:{hash}, again"),
            format!("{} and {}", &hash[1..], hash.replace('a', "g")),
            "0123456789abcdef0123456789abcde".to_owned(),
        ] {
            assert_eq!(log_line(&text), text);
        }
        assert_eq!(log_line(&format!("{hash},")), "***,");
        assert_eq!(log_line(&format!("x-amz-content-sha256:{hash}")), "x-amz-content-sha256:***");
    }

    #[test]
    fn an_external_id_is_removed_and_what_follows_it_stays() {
        for (text, expected) in [
            (r#"external_id: Some("crew-7"), region"#, "external_id: ***, region"),
            ("ExternalId=crew-7&Action=AssumeRole", "ExternalId=***&Action=AssumeRole"),
            ("external_id: externalid=crew-7 region=eu", "external_id: *** region=eu"),
            ("no external_ids", "no external_ids"),
            ("external_id", "external_id"),
        ] {
            assert_eq!(log_line(text), expected);
        }
    }

    #[test]
    fn a_short_access_key_id_shows_nothing_or_its_ends() {
        assert_eq!(redacted("AKIA123456789012"), "AKIA…9012");
        assert_eq!(redacted("AKIA12345678901"), "AKIA12345678901");
        assert_eq!(shortened("AKIA12345678"), "AKIA…5678");
        assert_eq!(shortened("AKIA1234567"), "…");
    }
}
