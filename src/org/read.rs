//! Reads an org file's text into [`Org`]. It reports all problems in one pass, without any value.

use std::collections::HashMap;

use super::allow::NamePattern;
use super::command;
use super::regions::{is_known, nearest_known};
use super::rules::{ACCESS_KEY_ID, EXTERNAL_ID, NAME, REGION, ROLE_ARN, Rule};
use super::{
    AwsService, AwsSettings, Batch, Credential, FileSettings, KeySource, Org, OrgSeal, Role, Settings, StaticKeys,
    UnusableCredential,
};
use crate::diagnostic::lookalike::looks_like_a_key;
use crate::diagnostic::{Diagnostic, Severity};
use crate::manifest::seal::recipients;
use crate::manifest::yaml::fields::{Field, Fields, Problems, document};
use crate::manifest::yaml::{Kind, Positioned, join};
use crate::manifest::{ProviderKind, is_variable_name};
use crate::secret::SecretBytes;

/// Reads an org file. `file` is its name in diagnostics.
pub fn read(file: &str, text: &[u8]) -> Result<Org, Vec<Diagnostic>> {
    let (org, problems) = read_partly(file, text);
    if problems.is_empty() { Ok(org) } else { Err(problems) }
}

/// Reads an org file as far as it can be read. The problems are empty unless one is an error; the warnings of a file without errors are
/// in [`Org::warnings`].
pub fn read_partly(file: &str, text: &[u8]) -> (Org, Vec<Diagnostic>) {
    let (org, problems) = document(file, text, &["version", "credentials", "seal"], |problems, fields| {
        let entries = fields.get("credentials").map(|field| entries(problems, &field)).unwrap_or_default();
        names_and_defaults(problems, &entries);
        let seal = fields.get("seal").and_then(|field| seal(problems, &field));
        let mut org = Org { file: file.to_owned(), seal, ..Org::default() };
        for Entry { unusable, credential, .. } in entries {
            match credential {
                Some(credential) => org.credentials.push(credential),
                None => org.unusable.push(unusable),
            }
        }
        org
    });
    let org = org.unwrap_or_else(|| Org::unreadable(file));
    match problems.iter().all(|problem| problem.severity == Severity::Warning) {
        true => (Org { warnings: problems, ..org }, Vec::new()),
        false => (org, problems),
    }
}

/// One entry of `credentials:`, as far as it can be read; by default, nothing of it can.
#[derive(Default)]
struct Entry {
    /// What tells which references mean it.
    unusable: UnusableCredential,
    /// `None` after a problem that makes it unusable.
    credential: Option<Credential>,
}

/// Reads `seal: required` or `seal: { recipients: [age1...], required: true }`.
fn seal(problems: &mut Problems<'_>, field: &Field<'_>) -> Option<OrgSeal> {
    if let Kind::Scalar(scalar) = &field.node.kind
        && scalar.text.as_str() == "required"
    {
        return Some(OrgSeal { recipients: Vec::new(), required: true });
    }
    const HINT: &str = "write `seal: { recipients: [age1...] }`, or `seal: required`";
    let Kind::Mapping(_) = &field.node.kind else {
        problems.error("bad-seal", field.node.at, &field.path, "says not for whom to seal").hints.push(HINT.to_owned());
        return None;
    };
    let fields = problems.fields(field, &["recipients", "required"])?;
    let required = fields.get("required").and_then(|field| problems.boolean(&field)).unwrap_or(false);
    let recipients = match fields.get("recipients") {
        Some(field) => recipients(problems, &field)?,
        None => Vec::new(),
    };
    if recipients.is_empty() && !required {
        problems.error("no-recipient", field.node.at, &field.path, "names no recipient").hints.push(HINT.to_owned());
        return None;
    }
    Some(OrgSeal { recipients, required })
}

fn entries(problems: &mut Problems<'_>, field: &Field<'_>) -> Vec<Entry> {
    if let Kind::Sequence(_) = &field.node.kind {
        return problems.list(field).iter().map(|field| entry(problems, field)).collect();
    }
    let hint = match field.node.describe() {
        "nothing" => "write `credentials: []`, or a list with the credentials".to_owned(),
        _ => "write a list: `credentials: [{ name: local, provider: file, path: secrets.yaml }]`".to_owned(),
    };
    problems.wrong_type(field, "a list", hint);
    vec![Entry::default()]
}

fn names_and_defaults(problems: &mut Problems<'_>, entries: &[Entry]) {
    let mut names: HashMap<&str, &Entry> = HashMap::new();
    let mut defaults: HashMap<ProviderKind, (&Entry, &str)> = HashMap::new();
    for entry in entries {
        let UnusableCredential { at, name, provider, default } = &entry.unusable;
        let Some(name) = name else { continue };
        let path = join("credentials", name);
        let first = *names.entry(name).or_insert(entry);
        if !std::ptr::eq(first, entry) {
            problems
                .error(
                    "duplicate-credential",
                    *at,
                    &path,
                    format!("a second credential of this name, first on line {}", first.unusable.at.line),
                )
                .hints
                .push("rename one of the two".to_owned());
        }
        let Some(provider) = provider.filter(|_| *default == Some(true)) else { continue };
        let (rival, of_rival) = *defaults.entry(provider).or_insert((entry, name));
        if !std::ptr::eq(rival, entry) {
            problems
                .error(
                    "two-defaults",
                    *at,
                    &join(&path, "default"),
                    format!("a second default for {}, the first is `{of_rival}`", provider.name()),
                )
                .hints
                .push("keep `default: true` on one of the two".to_owned());
        }
    }
}

fn entry(problems: &mut Problems<'_>, field: &Field<'_>) -> Entry {
    const COMMON: [&str; 4] = ["name", "provider", "default", "allow"];
    const AWS: [&str; 8] = [
        "region",
        "access_key_id",
        "secret_access_key",
        "session_token",
        "role_arn",
        "external_id",
        "web_identity_token",
        "batch",
    ];
    let fields = match &field.node.kind {
        Kind::Mapping(_) => problems.mapping(field),
        _ => problems.fields(field, &COMMON),
    };
    let Some(fields) = fields else { return Entry::default() };
    let provider = match fields.get("provider") {
        Some(field) => problems.choice(&field, &ProviderKind::NAMES),
        None => {
            problems
                .error("no-provider", fields.at, &join(&fields.path, "provider"), "missing")
                .hints
                .push("write `provider: aws-secrets-manager`, `aws-parameter-store`, `command` or `file`".to_owned());
            None
        }
    };
    let name = required(problems, &fields, "name", "name the credential, as in `name: aws-prod`");
    let name = name.and_then(|name| {
        let path = join(&fields.path, "name");
        by_rule(problems, &path, name, &NAME).map(|name| name.value.to_owned())
    });
    let default = fields.get("default").map_or(Some(false), |field| problems.boolean(&field));
    let allow = fields.get("allow").map(|field| allow(problems, &field));
    let known: Vec<&str> = match provider {
        Some(ProviderKind::AwsSecretsManager) => COMMON.into_iter().chain(AWS).collect(),
        Some(ProviderKind::AwsParameterStore) => {
            COMMON.into_iter().chain(AWS.into_iter().filter(|field| *field != "batch")).collect()
        }
        Some(ProviderKind::Command) => COMMON.into_iter().chain(command::FIELDS).collect(),
        Some(ProviderKind::File) => COMMON.into_iter().chain(["path"]).collect(),
        None => COMMON.into_iter().chain(AWS).chain(command::FIELDS).chain(["path"]).collect(),
    };
    problems.fields(field, &known);
    // what is wrong with the fields of AWS is wrong whichever of its services was meant
    let is_aws = AWS.iter().any(|name| fields.get(name).is_some());
    let settings = match provider {
        Some(provider) => settings(problems, &fields, provider),
        None => {
            if is_aws {
                aws(problems, &fields, AwsService::default());
            }
            None
        }
    };
    let unusable = UnusableCredential { at: fields.at, name, provider, default };
    let credential = match (&unusable.name, settings) {
        (Some(name), Some(settings)) => {
            Some(Credential { name: name.clone(), at: fields.at, default: default == Some(true), allow, settings })
        }
        _ => None,
    };
    Entry { unusable, credential }
}

/// Reads the fields that only this provider has.
fn settings(problems: &mut Problems<'_>, fields: &Fields<'_>, provider: ProviderKind) -> Option<Settings> {
    let service = match provider {
        ProviderKind::AwsSecretsManager => AwsService::SecretsManager,
        ProviderKind::AwsParameterStore => AwsService::ParameterStore,
        ProviderKind::Command => return command::read(problems, fields).map(Settings::Command),
        ProviderKind::File => {
            let path = required(problems, fields, "path", "name the file that holds the secrets")?;
            return Some(Settings::File(FileSettings { path: path.value.to_owned() }));
        }
    };
    let settings = aws(problems, fields, service)?;
    warn_of_region(problems, fields);
    Some(Settings::Aws(settings))
}

/// Reads the patterns of the names that manifests may use the credential for.
fn allow(problems: &mut Problems<'_>, field: &Field<'_>) -> Vec<NamePattern> {
    let items = problems.list(field);
    if items.is_empty() && field.node.describe() == "a list" {
        let hint =
            "list the names that manifests may use, as in `allow: [\"crew/*\"]`, or leave `allow` out to allow all";
        problems.error("empty", field.node.at, &field.path, "no name is listed").hints.push(hint.to_owned());
    }
    let mut patterns = Vec::new();
    for item in items {
        let Some(text) = problems.unrepeated(&item) else { continue };
        match NamePattern::parse(text.value) {
            Some(pattern) => patterns.push(pattern),
            None => {
                problems
                    .error("bad-pattern", text.at, &item.path, "not a pattern of secret names")
                    .hints
                    .push("write a secret's name; `*` in it is any number of any characters".to_owned());
            }
        }
    }
    patterns
}

/// Warns about an unknown region: it may be new, or misspelt.
fn warn_of_region(problems: &mut Problems<'_>, fields: &Fields<'_>) {
    let Some(field) = fields.get("region") else { return };
    let Some(region) = problems.text(&field).map(|text| text.value).filter(|region| !is_known(region)) else { return };
    let hint = match nearest_known(region) {
        Some(known) => format!("did you mean `region: {known}`?"),
        None => "check the list of regions in the AWS console; a newer region works too".to_owned(),
    };
    problems
        .warning("unknown-region", field.node.at, &field.path, "not a region known to this version")
        .hints
        .push(hint);
}

fn aws(problems: &mut Problems<'_>, fields: &Fields<'_>, service: AwsService) -> Option<AwsSettings> {
    let before = problems.list.len();
    let access_key_id = fields.get("access_key_id").and_then(|field| {
        let text = problems.text(&field)?;
        by_rule(problems, &field.path, text, &ACCESS_KEY_ID).map(|text| text.value.to_owned())
    });
    let secret_access_key = fields.get("secret_access_key").and_then(|field| key_source(problems, &field));
    let session_token = fields.get("session_token").and_then(|field| key_source(problems, &field));
    let keys = match (fields.get("access_key_id"), fields.get("secret_access_key")) {
        (Some(_), Some(_)) => Some(()),
        (Some(one), None) | (None, Some(one)) => {
            let other = if one.path.ends_with("access_key_id") { "secret_access_key" } else { "access_key_id" };
            problems
                .error("half-a-key", one.node.at, &one.path, format!("given without {other}"))
                .hints
                .push(format!("add {other}, or leave both out for the ambient AWS credentials"));
            None
        }
        (None, None) => {
            if let Some(field) = fields.get("session_token") {
                problems
                    .error("half-a-key", field.node.at, &field.path, "given without the access keys")
                    .hints
                    .push("add access_key_id and secret_access_key, or leave it out".to_owned());
            }
            None
        }
    };
    let region = fields.get("region").and_then(|field| {
        let text = problems.text(&field)?;
        by_rule(problems, &field.path, text, &REGION).map(|text| text.value.to_owned())
    });
    if keys.is_some() && fields.get("region").is_none() {
        problems
            .error("no-region", fields.at, &join(&fields.path, "region"), "missing")
            .hints
            .push("name the region where the secrets live, as in `region: us-east-1`".to_owned());
    }
    let web_identity_token = web_identity(problems, fields);
    let role = role(problems, fields);
    let batch = fields
        .get("batch")
        .and_then(|field| problems.choice(&field, &[("auto", Batch::Auto), ("never", Batch::Never)]))
        .unwrap_or_default();
    if problems.list.len() > before {
        return None;
    }
    let keys = match (access_key_id, secret_access_key) {
        (Some(access_key_id), Some(secret_access_key)) => {
            Some(StaticKeys { access_key_id, secret_access_key, session_token })
        }
        _ => None,
    };
    Some(AwsSettings { service, region, keys, role, web_identity_token, batch })
}

/// Reads the token's source. A token replaces keys and needs a role.
fn web_identity(problems: &mut Problems<'_>, fields: &Fields<'_>) -> Option<KeySource> {
    let field = fields.get("web_identity_token")?;
    if let Kind::Scalar(_) = &field.node.kind {
        problems
            .error(
                "token-in-file",
                field.node.at,
                &field.path,
                "a token expires within the hour and cannot be kept here",
            )
            .hints
            .push("write `{ env: NAME }` or `{ file: PATH }`".to_owned());
        return None;
    }
    if let Some(other) = ["access_key_id", "external_id"].into_iter().find_map(|name| fields.get(name)) {
        let what = match other.path.ends_with("access_key_id") {
            true => "given with access keys: the token replaces them",
            false => "given with external_id, which does not apply to a role assumed with a token",
        };
        problems
            .error("token-and-keys", field.node.at, &field.path, what)
            .hints
            .push("remove one of the two".to_owned());
    }
    if fields.get("role_arn").is_none() {
        problems
            .error("token-without-role", field.node.at, &field.path, "given without role_arn")
            .hints
            .push("add the role_arn whose trust policy names the token's issuer".to_owned());
    }
    key_source(problems, &field)
}

fn role(problems: &mut Problems<'_>, fields: &Fields<'_>) -> Option<Role> {
    let external_id = fields.get("external_id").and_then(|field| {
        let text = problems.secret(&field)?;
        let id = by_rule(problems, &field.path, text, &EXTERNAL_ID)?;
        let id = SecretBytes::from(id.value.to_owned());
        id.remember();
        Some(id)
    });
    match fields.get("role_arn") {
        None => {
            if let Some(field) = fields.get("external_id") {
                problems
                    .error("external-id-without-role", field.node.at, &field.path, "given without role_arn")
                    .hints
                    .push("add the role_arn that it belongs to, or leave it out".to_owned());
            }
            None
        }
        Some(field) => {
            let text = problems.text(&field)?;
            let text = by_rule(problems, &field.path, text, &ROLE_ARN)?;
            Some(Role { arn: text.value.to_owned(), external_id })
        }
    }
}

/// Reads `{ env: NAME }`, `{ file: PATH }` or the key itself. A key in place of a name is refused and not shown, so no later
/// message can show it as a name.
fn key_source(problems: &mut Problems<'_>, field: &Field<'_>) -> Option<KeySource> {
    let Kind::Mapping(_) = &field.node.kind else {
        return problems.secret(field).map(|text| KeySource::Literal(SecretBytes::from(text.value.to_owned())));
    };
    let fields = problems.mapping(field)?;
    let mut sources = fields.iter();
    match (sources.next(), sources.next()) {
        (Some((key, field)), None) if key.text == "env" => {
            let hint = "name the variable that holds the key: letters, digits and `_`";
            let name = source_name(problems, &field, is_variable_name, "not a variable name", hint)?;
            Some(KeySource::Env(name))
        }
        (Some((key, field)), None) if key.text == "file" => {
            let hint = "name the file that holds the key; if this is its name, write it as ./NAME";
            let path = source_name(problems, &field, |_| true, "a key instead of the path of its file", hint)?;
            Some(KeySource::File(path))
        }
        _ => {
            problems
                .error("key-source", fields.at, &fields.path, "not one source for the key")
                .hints
                .push("write `{ env: NAME }` or `{ file: PATH }`".to_owned());
            None
        }
    }
}

/// Reads the name of a key's source, unless it looks like a key itself.
fn source_name(
    problems: &mut Problems<'_>,
    field: &Field<'_>,
    is_name: fn(&str) -> bool,
    what: &str,
    hint: &str,
) -> Option<String> {
    let text = problems.secret(field)?;
    if !is_name(text.value) || looks_like_a_key(text.value) {
        problems.error("key-source", text.at, &field.path, what).hints.push(hint.to_owned());
        return None;
    }
    Some(text.value.to_owned())
}

fn required<'n>(
    problems: &mut Problems<'_>,
    fields: &Fields<'n>,
    name: &str,
    hint: &str,
) -> Option<Positioned<&'n str>> {
    match fields.get(name) {
        Some(field) => problems.text(&field),
        None => {
            problems
                .error("missing-field", fields.at, &join(&fields.path, name), "missing")
                .hints
                .push(hint.to_owned());
            None
        }
    }
}

/// Returns a field's text if it follows the rule.
fn by_rule<'n>(
    problems: &mut Problems<'_>,
    path: &str,
    text: Positioned<&'n str>,
    rule: &Rule,
) -> Option<Positioned<&'n str>> {
    if (rule.holds)(text.value) {
        return Some(text);
    }
    problems.error(rule.code, text.at, path, rule.what).hints.push(rule.hint.to_owned());
    None
}
