//! Guesses whether a plain value contains a secret. A false positive is easy to correct by hand.
//!
//! It returns what the value looks like, never the value.

use super::arguments;
use crate::diagnostic::lookalike::looks_like;
use crate::manifest::secret_name::is_secret_name;

/// The shortest word that may be a key judging only by its characters.
const LEAST_NOISE: usize = 20;

/// Returns why a variable's value may be a secret.
pub(super) fn may_be_secret(name: &str, value: &str) -> Option<String> {
    if value.len() <= 1 || ["true", "false"].contains(&value) {
        return None;
    }
    let is_header = ["bearer ", "basic "]
        .iter()
        .any(|scheme| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let kind = looks_like(value)
        .or_else(|| is_header.then_some("an authorization"))
        .or_else(|| has_login(value).then_some("an address with a password or key"))
        .or_else(|| has_secret_setting(value).then_some("settings with a password or key among them"))
        .or_else(|| arguments::has_password(value).then_some("a command line with a password"));
    match kind {
        Some(kind) => Some(format!("the value looks like {kind}")),
        None if is_secret_name(name) => Some("a variable of this name may hold a secret".to_owned()),
        None if !is_identity(name) && has_noise(value) => Some("the value looks like a key".to_owned()),
        None => None,
    }
}

/// Tells whether the name shows that a long word is an ID or a checksum, not a key.
fn is_identity(name: &str) -> bool {
    let last = name.rsplit(['_', '-', '.']).next().unwrap_or_default();
    ["ID", "SHA", "SHA256", "DIGEST", "COMMIT", "CHECKSUM"].iter().any(|end| last.eq_ignore_ascii_case(end))
}

/// Tells whether the text contains `USER:PASSWORD@`, or `KEY@` in a web address.
fn has_login(text: &str) -> bool {
    let parts = text.split(|c: char| c.is_whitespace() || "\"'<>,;".contains(c));
    parts.filter_map(|part| part.rsplit_once('@')).any(|(before, _)| {
        let (scheme, user) = before.rsplit_once("//").unwrap_or(("", before));
        let is_web = ["http:", "https:"].iter().any(|web| scheme.to_ascii_lowercase().ends_with(web));
        match user.split_once(':') {
            Some((_, password)) => !password.is_empty() && !password.starts_with('$'),
            None => is_web && !user.is_empty() && !user.starts_with('$'),
        }
    })
}

/// Tells whether a setting in the text (JSON, properties, command options) has the name of a secret.
fn has_secret_setting(text: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let mut rest = text;
    while let Some(start) = rest.find(is_name) {
        let named = rest.get(start..).unwrap_or_default();
        let (name, after) = named.split_at(named.find(|c| !is_name(c)).unwrap_or(named.len()));
        // the host of an address; its port follows
        let is_host = rest.get(..start).is_some_and(|before| before.ends_with("//"));
        let behind = after.trim_start_matches(['"', '\'', '\\']).trim_start_matches([' ', '\t']);
        let value =
            behind.strip_prefix([':', '=']).or_else(|| behind.strip_prefix(is_name).filter(|_| name.starts_with("--")));
        let value = value.map(str::trim_start).unwrap_or_default();
        let is_given = !value.is_empty() && !value.starts_with('$');
        // PWD is the working directory, or the password of a connection string
        let is_password = name.eq_ignore_ascii_case("pwd") && !value.starts_with('/');
        if is_given && !is_host && (is_password || is_secret_name(name)) {
            return true;
        }
        rest = after;
    }
    false
}

/// Tells whether the text contains a random word: long, with letters and digits that alternate like in hexadecimal or base64.
fn has_noise(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/_-=".contains(c)).any(|word| {
        let class = |byte: u8| match byte {
            b'0'..=b'9' => 1,
            b'a'..=b'z' => 2,
            b'A'..=b'Z' => 3,
            _ => 0,
        };
        let classes: Vec<u8> = word.bytes().map(class).collect();
        let changes = classes.windows(2).filter(|pair| matches!(pair, [a, b] if a != b && *a > 0 && *b > 0)).count();
        let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let is_of_two_kinds = classes.contains(&1) && classes.iter().any(|kind| *kind > 1);
        word.len() >= LEAST_NOISE && (changes * 4 >= word.len() || is_hex && is_of_two_kinds)
    })
}

#[cfg(test)]
mod tests {
    use super::may_be_secret;

    #[test]
    fn a_value_that_may_be_secret_is_recognised() {
        for value in [
            "root:hunter2canary@tcp(db:3306)/app",
            "Bearer abcdef",
            "https://acc.blob.example/c?sv=2020&sig=abcd%3D",
            r#"{"user":"app","password":"x1"}"#,
            r#"{"auths":{"r.example":{"auth":"YXBwOng="}}}"#,
            "db.user=x\ndb.password=hunter2\n",
            "password: hunter2",
            "-Xmx1g -Dspring.datasource.password=hunter2",
            "serve --api-key hunter2",
            "https://0123456789abcdef@o1.ingest.example/1",
            "https://key@sentry.example/1",
            "hvs.CAESIJcanarycanarycanary",
            "shpat_0123456789abcdef0123456789abcdef",
            "whsec_canarycanarycanary0123456789",
            "sk_test_51HcanaryCANARYcanary00",
            "AGE-SECRET-KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQQPZRY9X8GF2TVDW0S",
            "0123456789abcdef0123456789abcdef",
            "3f1c9a0b-7e5d-4c2f-8a6b-1d0e9c7f5a3b",
            "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmE=",
            "k7x2m9q4w8z1p5r3t6y0",
            "Server=db;Uid=sa;Pwd = hunter2",
            "host = db password = hunter2",
            "mysql -uroot -phunter2",
            "sshpass -p hunter2 ssh db",
            "curl -u admin:hunter2 http://db",
            "https://crew.webhook.office.com/webhookb2/x",
            "https://discordapp.com/api/webhooks/1/x",
            "notify https://hooks.slack.com/services/x",
            "https://chat.example/hooks/x",
            "https://api.telegram.org/bot1:x/sendMessage",
            "https://example.com/a?access_token=x1",
        ] {
            assert!(may_be_secret("TWILIO_SID", value).is_some(), "{value}");
            assert!(may_be_secret("PLAIN", value).is_some(), "{value}");
        }
    }

    #[test]
    fn an_ordinary_value_is_not_refused() {
        for value in [
            "info",
            "8080",
            "true",
            "2024-01-01T00:00:00Z",
            "postgres://app@db/app",
            "https://auth:8443/realms/crew",
            "http://key.example/a",
            "/usr/local/share/Application0/resources/",
            "applicationInsightsConnectionString",
            "https://sqs.us-east-1.amazonaws.com/123456789012/my-queue",
            "mydb.c9akciq32rgs.us-east-1.rds.amazonaws.com",
            "crew@example.com",
            "git@github.com:crew/api.git",
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
            "-Xmx512m -XX:+UseG1GC -Dfile.encoding=UTF-8",
            "password=$PASSWORD",
            "PWD=/app",
        ] {
            assert_eq!(may_be_secret("PLAIN", value), None, "{value}");
        }
        assert_eq!(may_be_secret("TENANT_ID", "3f1c9a0b-7e5d-4c2f-8a6b-1d0e9c7f5a3b"), None);
        assert_eq!(may_be_secret("USE_AUTH", "true"), None);
    }
}
