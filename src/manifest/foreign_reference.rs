//! Owns the references that other tools write: recognises them and gives the same secret in secretbake's form.
//!
//! The text may be a misplaced value, so a message repeats a part of it only if it has the form of a reference.

use super::reference::{Reference, SecretId};
use crate::diagnostic::lookalike::{is_plausible_name, looks_like};

/// A secret of AWS Secrets Manager, in the words of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    /// `NAME` or `ARN`, with `#KEY`.
    pub reference: String,
    pub version_stage: Option<String>,
    pub version_id: Option<String>,
    /// Whether it is a name of Parameter Store; an ARN says so itself.
    pub is_parameter_name: bool,
}

/// A reference in the form of another tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignReference {
    /// A description for a message: `a reference written for ECS`.
    pub what: String,
    meaning: Meaning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    Secret(Translated),
    Parameter {
        /// Its name or ARN.
        reference: String,
        version: Option<String>,
    },
    /// A secret that secretbake cannot read there, with a reference to use after it is stored here.
    Elsewhere(Option<String>),
}

/// How references of other tools begin.
const TOOLS: [(&str, &str); 17] = [
    ("op://", "1Password"),
    ("vault://", "Vault"),
    ("vault:", "Vault"),
    ("gcp://", "Google Secret Manager"),
    ("gcpsm://", "Google Secret Manager"),
    ("gcp-sm://", "Google Secret Manager"),
    ("gsm://", "Google Secret Manager"),
    ("sm://", "Google Secret Manager"),
    ("azkv://", "Azure Key Vault"),
    ("azure-kv://", "Azure Key Vault"),
    ("akv://", "Azure Key Vault"),
    ("@Microsoft.KeyVault(", "Azure Key Vault"),
    ("doppler://", "Doppler"),
    ("infisical://", "Infisical"),
    ("bws://", "Bitwarden"),
    ("keyring://", "keyring"),
    ("ref+", "vals"),
];

/// How references to AWS Secrets Manager begin; the secret's name follows.
const AWS: [&str; 5] = ["aws-sm://", "awssm://", "asm://", "aws-secretsmanager://", "ref+awssecrets://"];

/// How a text begins that is a reference only in place of one.
const IN_A_REFERENCE: [(&str, &str); 2] = [("vault:", "Vault"), ("https://", "another tool")];

/// How a secret of another tool is read without moving it.
const BY_ITS_CLIENT: &str =
    "or leave it there: a credential with `provider: command` reads it with the tool's own client";

/// JSON keys that people write after a colon. A message repeats no other, because a password can follow a colon too.
const USUAL_KEYS: [&str; 20] = [
    "password",
    "passwd",
    "username",
    "user",
    "host",
    "hostname",
    "port",
    "dbname",
    "database",
    "engine",
    "url",
    "uri",
    "dsn",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "client_id",
    "client_secret",
    "private_key",
];

impl ForeignReference {
    /// Recognises a text that can only be a reference.
    pub fn recognise(text: &str) -> Option<Self> {
        let found =
            |form: &str, meaning| Some(ForeignReference { what: format!("a reference written for {form}"), meaning });
        if let Some(inner) = text.strip_prefix("{{resolve:").and_then(|rest| rest.strip_suffix("}}")) {
            return found("CloudFormation", resolve(inner)?);
        }
        if let Some(translated) = from_ecs(text).filter(|_| text.split(':').count() > 7) {
            return found("ECS", Meaning::Secret(translated));
        }
        if let [_, _, "ssm", _, _, resource] = text.splitn(6, ':').collect::<Vec<_>>()[..] {
            text.strip_prefix("arn:").and(resource.strip_prefix("parameter/"))?;
            let meaning = Meaning::Parameter { reference: text.to_owned(), version: None };
            return Some(ForeignReference { what: "the ARN of a Parameter Store parameter".to_owned(), meaning });
        }
        if let Some(name) = AWS.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            return found("another tool", aws(name));
        }
        let (prefix, tool) = TOOLS.iter().find(|(prefix, _)| text.starts_with(prefix))?;
        let rest = text.strip_prefix(prefix).unwrap_or_default();
        // `vault:8200` is a host and its port
        let is_reference = *prefix != "vault:" || rest.contains(['/', '#']);
        is_reference.then(|| found(tool, Meaning::Elsewhere(suggestion(rest)))).flatten()
    }

    /// Recognises what is a reference only in place of one, and may be a value elsewhere, such as `NAME:KEY`.
    pub fn in_a_reference(text: &str) -> Option<Self> {
        if let Some((prefix, tool)) = IN_A_REFERENCE.iter().find(|(prefix, _)| text.starts_with(prefix)) {
            let rest = text.strip_prefix(prefix).unwrap_or_default();
            let is_reference = *prefix == "vault:" || rest.contains("/secrets/");
            let what = format!("a reference written for {tool}");
            return is_reference.then(|| ForeignReference { what, meaning: Meaning::Elsewhere(suggestion(rest)) });
        }
        let (name, key) = text.split_once(':')?;
        let reference = shown(name).filter(|_| USUAL_KEYS.contains(&key)).map(|name| format!("{name}#{key}"))?;
        let what = "a colon in front of the JSON key".to_owned();
        let translated = Translated { reference, version_stage: None, version_id: None, is_parameter_name: false };
        Some(ForeignReference { what, meaning: Meaning::Secret(translated) })
    }

    /// Returns the next steps. `variable` is the name of the variable that has the reference as its plain value.
    pub fn hints(&self, variable: Option<&str>) -> Vec<String> {
        let is_elsewhere = matches!(self.meaning, Meaning::Elsewhere(_));
        [self.hint(variable)].into_iter().chain(is_elsewhere.then(|| BY_ITS_CLIENT.to_owned())).collect()
    }

    fn hint(&self, variable: Option<&str>) -> String {
        let entry = |fields: Vec<String>| match (variable, &fields[..]) {
            (Some(name), _) => format!("write `{name}: {{ {} }}`", fields.join(", ")),
            (None, [field]) => format!("write `{field}`"),
            (None, _) => format!("write `{{ {} }}`", fields.join(", ")),
        };
        match &self.meaning {
            Meaning::Secret(secret) if may_be_shown(secret) => {
                let mut fields = vec![format!("secret: {}", secret.reference)];
                fields.extend(secret.version_stage.as_ref().map(|stage| format!("version_stage: {stage}")));
                fields.extend(secret.version_id.as_ref().map(|id| format!("version_id: {id}")));
                entry(fields)
            }
            Meaning::Secret(_) => entry(vec!["secret: ARN#KEY".to_owned()]),
            Meaning::Parameter { reference, version } => {
                let name = reference.rsplit_once(":parameter/").map_or(reference.as_str(), |(_, name)| name);
                let reference = if shown(name).is_some() { reference } else { "NAME" };
                let mut fields = vec![format!("secret: {reference}")];
                if !reference.starts_with("arn:") {
                    fields.push("provider: aws-parameter-store".to_owned());
                }
                fields.extend(version.as_ref().map(|version| format!("version: {version}")));
                entry(fields)
            }
            Meaning::Elsewhere(name) => {
                let name = name.as_deref().unwrap_or("secret-name#json_key");
                format!(
                    "store it in AWS Secrets Manager or a secrets file, then {}",
                    entry(vec![format!("secret: {name}")])
                )
            }
        }
    }
}

/// Recognises a name that another service gives to a secret: returns what it is, and the secret's own name.
///
/// A provider whose names may look like this must not ask.
pub fn named_elsewhere(name: &str) -> Option<(&'static str, &str)> {
    if let Some(name) = name.strip_prefix("/aws/reference/secretsmanager/") {
        return Some(("Parameter Store's name for a secret", name));
    }
    match name.split('/').collect::<Vec<_>>()[..] {
        ["projects", _, "secrets", name] | ["projects", _, "secrets", name, "versions", _] if !name.is_empty() => {
            Some(("a reference written for Google Secret Manager", name))
        }
        _ => None,
    }
}

/// Reads the `valueFrom` of ECS: the ARN or name of a parameter, or what [`from_ecs`] reads.
pub fn from_ecs_or_parameter(text: &str) -> Option<Translated> {
    let is_parameter = SecretId::new(text).is_ok_and(|id| !id.is_arn() || id.is_parameter_arn());
    from_ecs(text).or_else(|| {
        is_parameter.then(|| Translated {
            reference: text.to_owned(),
            version_stage: None,
            version_id: None,
            is_parameter_name: !text.starts_with("arn:"),
        })
    })
}

/// Reads `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME[:KEY:STAGE:ID]`, the `valueFrom` of ECS for a secret.
pub fn from_ecs(text: &str) -> Option<Translated> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_secret = parts.len() >= 7 && parts[0] == "arn" && parts[2] == "secretsmanager";
    is_secret.then(|| translate(&parts[..7].join(":"), &parts[7..]))
}

/// Reads what follows in a reference to AWS Secrets Manager: `NAME[?OPTIONS][#KEY]`, where the key may begin with a slash.
fn aws(text: &str) -> Meaning {
    let (name, key) = text.split_once('#').map_or((text, None), |(name, key)| (name, Some(key)));
    let name = name.split_once('?').map_or(name, |(name, _)| name);
    let key = key.map(|key| key.strip_prefix('/').unwrap_or(key));
    let reference = key.map_or_else(|| name.to_owned(), |key| format!("{name}#{key}"));
    match shown(&reference) {
        Some(reference) => {
            Meaning::Secret(Translated { reference, version_stage: None, version_id: None, is_parameter_name: false })
        }
        None => Meaning::Elsewhere(None),
    }
}

/// Reads what CloudFormation resolves: `secretsmanager:ID[:SecretString:KEY:STAGE:ID]`, `ssm:NAME[:VERSION]`.
fn resolve(text: &str) -> Option<Meaning> {
    let (service, rest) = text.split_once(':')?;
    let parts: Vec<&str> = rest.split(':').collect();
    match service {
        "secretsmanager" => {
            let (id, after) = parts.split_at(if rest.starts_with("arn:") { 7.min(parts.len()) } else { 1 });
            Some(Meaning::Secret(translate(&id.join(":"), after.get(1..).unwrap_or_default())))
        }
        "ssm" | "ssm-secure" => {
            let version =
                parts.get(1).filter(|version| version.len() < 20 && version.bytes().all(|byte| byte.is_ascii_digit()));
            let version = version.filter(|version| !version.is_empty()).map(|version| (*version).to_owned());
            Some(Meaning::Parameter { reference: parts.first()?.to_string(), version })
        }
        _ => None,
    }
}

/// Makes a reference from a secret's name or ARN and `[KEY, STAGE, ID]`; each of these may be empty or missing.
fn translate(id: &str, rest: &[&str]) -> Translated {
    let part = |index: usize| rest.get(index).copied().filter(|part| !part.is_empty());
    let key = part(0).map(|key| match key.strip_prefix('/') {
        // a key that begins like a pointer is written as one
        Some(_) => format!("#/{}", key.replace('~', "~0").replace('/', "~1")),
        None => format!("#{key}"),
    });
    let version_id = part(2).map(str::to_owned);
    let version_stage = part(1).filter(|stage| version_id.is_none() && *stage != "AWSCURRENT").map(str::to_owned);
    let reference = format!("{id}{}", key.unwrap_or_default());
    Translated { reference, version_stage, version_id, is_parameter_name: false }
}

/// Tells whether a translated reference is valid and can be pasted without quotes.
fn may_be_shown(secret: &Translated) -> bool {
    let key = secret.reference.split_once('#').map_or("key", |(_, key)| key);
    Reference::parse(&secret.reference).is_ok()
        && looks_like(&secret.reference).is_none()
        && is_plausible_name(key)
        && [&secret.version_stage, &secret.version_id]
            .into_iter()
            .flatten()
            .all(|part| part.len() <= 64 && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)))
}

/// Returns a name of plausible parts that can be pasted, `#KEY` included.
fn shown(name: &str) -> Option<String> {
    let parts = name.strip_prefix('/').unwrap_or(name).split(['/', '#']);
    let is_shown = parts.clone().all(is_plausible_name) && name.is_ascii() && Reference::parse(name).is_ok();
    is_shown.then(|| name.to_owned())
}

/// Returns a reference for a secret of another tool: the last part of its path, with the field as the key.
fn suggestion(rest: &str) -> Option<String> {
    let (path, key) = rest.split_once('#').map_or((rest, None), |(path, key)| (path, Some(key)));
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let after_secrets = parts.iter().position(|part| *part == "secrets").and_then(|at| parts.get(at + 1));
    match (key, after_secrets, &parts[..]) {
        (Some(key), _, [.., last]) => shown(&format!("{last}#{}", key.strip_prefix('/').unwrap_or(key))),
        (None, Some(name), _) => shown(name),
        // op://VAULT/ITEM/FIELD
        (None, None, [_, item, .., field]) => shown(&format!("{item}#{field}")),
        (None, None, [.., last]) => shown(last),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf";
    const ID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    #[test]
    fn a_value_from_of_ecs_becomes_the_reference_it_means() {
        for (suffix, reference, stage, version) in [
            ("", "", None, None),
            (":password::", "#password", None, None),
            ("::AWSPREVIOUS:", "", Some("AWSPREVIOUS"), None),
            (":password:AWSCURRENT:", "#password", None, None),
            (":password::ID", "#password", None, Some(ID)),
            (":/a~:AWSPREVIOUS:ID", "#/~1a~0", None, Some(ID)),
        ] {
            let secret = from_ecs(&format!("{ARN}{}", suffix.replace("ID", ID))).unwrap();
            assert_eq!(secret.reference, format!("{ARN}{reference}"));
            assert_eq!((secret.version_stage.as_deref(), secret.version_id.as_deref()), (stage, version), "{suffix}");
        }
        assert_eq!(from_ecs("arn:aws:ssm:us-east-1:123456789012:parameter/db"), None);
        assert_eq!(from_ecs("plain-parameter"), None);
    }

    #[test]
    fn a_reference_of_another_tool_has_a_hint_to_paste() {
        for (text, hint) in [
            (
                format!("{ARN}:password:AWSPREVIOUS:"),
                format!("write `{{ secret: {ARN}#password, version_stage: AWSPREVIOUS }}`"),
            ),
            (
                format!("{{{{resolve:secretsmanager:{ARN}:SecretString:password}}}}"),
                format!("write `secret: {ARN}#password`"),
            ),
            (format!("{ARN}:hunter2 is my word::"), "write `secret: ARN#KEY`".to_owned()),
            ("{{resolve:secretsmanager:crew/db}}".to_owned(), "write `secret: crew/db`".to_owned()),
            (
                "{{resolve:ssm-secure:/crew/db:3}}".to_owned(),
                "write `{ secret: /crew/db, provider: aws-parameter-store, version: 3 }`".to_owned(),
            ),
            (
                "ref+awssecrets://crew/db?region=us-east-1#/password".to_owned(),
                "write `secret: crew/db#password`".to_owned(),
            ),
            (
                "ref+vault://secret/db#/password".to_owned(),
                "store it in AWS Secrets Manager or a secrets file, then write `secret: db#password`".to_owned(),
            ),
            (
                "op://prod/db/password".to_owned(),
                "store it in AWS Secrets Manager or a secrets file, then write `secret: db#password`".to_owned(),
            ),
            (
                "gcp://projects/p/secrets/db/versions/latest".to_owned(),
                "store it in AWS Secrets Manager or a secrets file, then write `secret: db`".to_owned(),
            ),
        ] {
            assert_eq!(ForeignReference::recognise(&text).unwrap().hint(None), hint, "{text}");
        }
    }

    #[test]
    fn a_name_of_another_service_has_the_secrets_own_name_in_it() {
        for (text, name) in [
            ("/aws/reference/secretsmanager/crew/db", Some("crew/db")),
            ("projects/crew/secrets/db", Some("db")),
            ("projects/123/secrets/db/versions/latest", Some("db")),
            ("projects/crew/secrets/db/password", None),
            ("projects/crew/secrets/", None),
            ("crew/projects/db", None),
        ] {
            assert_eq!(named_elsewhere(text).map(|(_, name)| name), name, "{text}");
        }
    }

    #[test]
    fn an_ordinary_value_is_not_taken_for_a_reference() {
        for text in ["vault:8200", "http://vault/x", ARN, "info", "a:b:c:d:e:f:g:h"] {
            assert_eq!(ForeignReference::recognise(text), None, "{text}");
        }
        for text in ["app:hunter2", "https://example.com/x"] {
            assert_eq!(ForeignReference::in_a_reference(text), None, "{text}");
        }
    }

    #[test]
    fn what_may_be_a_value_elsewhere_is_a_reference_where_one_is_expected() {
        let elsewhere = "store it in AWS Secrets Manager or a secrets file, then write";
        for (text, what, hint) in [
            ("db:password", "a colon in front of the JSON key", "write `secret: db#password`".to_owned()),
            ("vault:db", "a reference written for Vault", format!("{elsewhere} `secret: db`")),
            (
                "https://crew.vault.azure.net/secrets/db",
                "a reference written for another tool",
                format!("{elsewhere} `secret: db`"),
            ),
        ] {
            let found = ForeignReference::in_a_reference(text).unwrap();
            assert_eq!((found.what.as_str(), found.hint(None)), (what, hint), "{text}");
        }
    }

    #[test]
    fn a_translation_is_shown_only_if_every_part_is_plausible() {
        let translated = |reference: &str, version_stage: Option<&str>| Translated {
            reference: reference.to_owned(),
            version_stage: version_stage.map(str::to_owned),
            version_id: None,
            is_parameter_name: false,
        };
        let longest = "x".repeat(64);
        for (reference, stage) in [("db", None), ("crew/db#password", Some("AWSPREVIOUS")), ("db", Some(&*longest))] {
            assert!(may_be_shown(&translated(reference, stage)), "{reference}");
        }
        let too_long = "x".repeat(65);
        for (reference, stage) in [
            ("db#", None),
            ("AKIAIOSFODNN7EXAMPLE", None),
            ("db#hunter2 is my word", None),
            ("db", Some("hunter2 it is")),
            ("db", Some(&*too_long)),
        ] {
            assert!(!may_be_shown(&translated(reference, stage)), "{reference}");
        }
        assert_eq!(shown("/crew/db#password").as_deref(), Some("/crew/db#password"));
        assert_eq!(shown(&too_long), None);
    }

    #[test]
    fn only_the_arn_of_a_secret_is_a_value_from_of_ecs() {
        for text in ["a:b:c:d:e:f:g", "a:b:secretsmanager:d:e:f:g", "arn:b:ssm:d:e:f:g", "arn:aws:secretsmanager"] {
            assert!(from_ecs(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_version_of_a_parameter_is_a_number() {
        let version = |text: &str| match resolve(text) {
            Some(Meaning::Parameter { version, .. }) => version,
            _ => panic!("{text} is a parameter"),
        };
        let longest = "1".repeat(19);
        assert_eq!(version("ssm:port:12").as_deref(), Some("12"));
        assert_eq!(version(&format!("ssm:port:{longest}")), Some(longest));
        for text in ["ssm:port", "ssm:port:", "ssm:port:1x", &format!("ssm:port:{}", "1".repeat(20))] {
            assert_eq!(version(text), None, "{text}");
        }
    }
}
