//! Owns the guess from a variable's name whether its value is secret.
//!
//! In doubt it says yes: use it only where a wrong yes costs little.

/// Parts that make a word secret anywhere in it.
const WITHIN: [&str; 9] =
    ["PASSWORD", "PASSWD", "PASSPHRASE", "PASSCODE", "SECRET", "TOKEN", "CREDENTIAL", "PRIVATE", "AUTHORIZATION"];
/// Parts that make a word secret at its end.
const AT_THE_END: [&str; 17] = [
    "PASS", "PW", "PWD", "KEY", "KEYS", "AUTH", "AUTHS", "CRED", "CREDS", "SALT", "SEED", "DSN", "COOKIE", "HMAC",
    "JWT", "OTP", "PSK",
];
/// Words that are secret only as a whole.
const WHOLE: [&str; 9] = ["PAT", "PATS", "SIGNING", "PIN", "BEARER", "MNEMONIC", "PEPPER", "SIG", "SAS"];
/// Ends of names that only describe a secret: where it is, how long it is valid.
const ABOUT: [&str; 26] = [
    "FILE",
    "PATH",
    "DIR",
    "URL",
    "URI",
    "HOST",
    "PORT",
    "ENDPOINT",
    "DOMAIN",
    "REGION",
    "NAME",
    "USER",
    "USERNAME",
    "ID",
    "TYPE",
    "METHOD",
    "MODE",
    "ALGORITHM",
    "ISSUER",
    "AUDIENCE",
    "TTL",
    "TIMEOUT",
    "EXPIRY",
    "LENGTH",
    "ENABLED",
    "VERSION",
];
/// Names and ends of names that have nothing to do with secrets.
const HARMLESS: [&[&str]; 11] = [
    &["PWD"],
    &["OLDPWD"],
    &["BYPASS"],
    &["PUBLIC", "KEY"],
    &["SORT", "KEY"],
    &["PARTITION", "KEY"],
    &["PRIMARY", "KEY"],
    &["FOREIGN", "KEY"],
    &["ROUTING", "KEY"],
    &["CACHE", "KEY"],
    &["MAX", "TOKENS"],
];

/// Tells whether a variable's name suggests a secret value: one of its words does, unless the last one says that it only describes a secret.
pub fn is_secret_name(name: &str) -> bool {
    let words = words(name);
    let words: Vec<&str> = words.iter().map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit())).collect();
    // the secret ID of Vault's AppRole is a secret
    let is_about = words.last().is_some_and(|last| ABOUT.contains(last)) && !words.ends_with(&["SECRET", "ID"]);
    let is_harmless = HARMLESS.iter().any(|end| match end {
        [whole] => words == [*whole],
        end => words.ends_with(end),
    });
    let is_secret = |word: &&str| {
        WITHIN.iter().any(|part| word.contains(part))
            || AT_THE_END.iter().any(|end| word.ends_with(end))
            || WHOLE.contains(word)
    };
    !is_about && !is_harmless && words.iter().any(is_secret)
}

/// Returns a name's words in capital letters: `_`, `-`, `.` and a capital letter begin a new one.
fn words(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (index, c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| chars.get(index));
        let begins = c.is_ascii_uppercase()
            && (before.is_some_and(char::is_ascii_lowercase)
                || before.is_some_and(char::is_ascii_uppercase)
                    && chars.get(index + 1).is_some_and(char::is_ascii_lowercase));
        if begins || "_-.".contains(*c) {
            words.push(String::new());
        }
        if let (false, Some(word)) = ("_-.".contains(*c), words.last_mut()) {
            word.push(c.to_ascii_uppercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::{is_secret_name, words};

    #[test]
    fn a_name_says_whether_its_value_is_secret() {
        const SECRET: &str = "PIN OTP TOTP WIFI_PSK MNEMONIC BEARER PEPPER AZURE_SAS DB_PASSWORD PGPASSWORD api_key GITHUB_TOKEN AWS_SECRET_ACCESS_KEY SECRET DB_PWD KEY \
            SECRET_KEY_BASE DB_PASSWORD_PROD PASSWORD_1 PASSWORD2 API_KEY_V2 API_KEYS TOKENS APP_KEY STRIPE_KEY OPENAI_KEY \
            AZURE_STORAGE_KEY JWT_KEY SESSION_KEY SSH_KEY AIRFLOW__CORE__FERNET_KEY Jwt__Key clientSecret stripeApiKey \
            stripeAPIKey accessToken AUTHTOKEN PGPASS PRIVKEY CREDS DB_CREDS GITHUB_PAT REDISCLI_AUTH SMTP_AUTH \
            MYSQL_ROOT_PW DJANGO_SALT JWT_SIGNING HMAC_KEY VAPID_PRIVATE COOKIE SENTRY_DSN WALLET_SEED VAULT_SECRET_ID \
            spring.datasource.password db-password AUTHORIZATION";
        for name in SECRET.split_whitespace() {
            assert!(is_secret_name(name), "{name}");
        }
        const ORDINARY: &str = "PWD OLDPWD TOKEN_URL AUTH_URL PASSWORD_FILE DB_PASSWORD_FILE SECRET_NAME SORT_KEY \
            JWT_PUBLIC_KEY BYPASS PATH PATTERN AUTHOR KEYBOARD KEYCLOAK_HOST ACCESS_KEY_ID MAX_TOKENS SEEDS_DIR _ \
            LOG_LEVEL tokenUrl passwordFile";
        for name in ORDINARY.split_whitespace().chain([""]) {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn a_name_is_taken_apart_into_words() {
        for (name, expected) in [
            ("stripeAPIKey", "STRIPE API KEY"),
            ("DB_PASSWORD", "DB PASSWORD"),
            ("spring.datasource-url", "SPRING DATASOURCE URL"),
            ("ABc", "A BC"),
            ("AB", "AB"),
        ] {
            assert_eq!(words(name).join(" "), expected, "{name}");
        }
    }
}
