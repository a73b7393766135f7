//! `secretbake credential list` and `show`: print which fields are set, and no secret.

use std::fmt::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::super::arguments::OutputFormat;
use super::super::environment::Environment;
use super::super::output::Output;
use super::super::{Global, input, json};
use super::{NameArgs, named};
use crate::diagnostic::Error;
use crate::diagnostic::command::with_org;
use crate::diagnostic::redact::shortened;
use crate::org::command::command_line;
use crate::org::{CommandSettings, Credential, KeySource, Settings};

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake credential list
  secretbake credential list --format json")]
pub(super) struct ListArgs {
    /// Output format
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake credential show aws-prod")]
pub(super) struct ShowArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// The list, version 1.
#[derive(Serialize)]
struct List<'a> {
    version: u32,
    credentials: Vec<Shown<'a>>,
}

/// A credential without its secrets: only whether they are set.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    provider: &'static str,
    default: bool,
    #[serde(flatten)]
    fields: serde_json::Map<String, serde_json::Value>,
}

pub(super) fn list(
    args: &ListArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let org = input::org(global, environment)?.org;
    let text = match args.format {
        OutputFormat::Json => json(&List { version: 1, credentials: org.credentials.iter().map(shown).collect() }),
        OutputFormat::Text => {
            let mut text = String::new();
            let name = |credential: &Credential| credential.name.chars().count();
            let width = org.credentials.iter().map(name).max().unwrap_or_default();
            for credential in &org.credentials {
                let default = if credential.default { "  default" } else { "" };
                let about = fields(credential).into_iter().filter(|(name, _)| !name.contains("secret"));
                let about: Vec<String> = about.map(|(name, value)| format!("{name}={value}")).collect();
                let (name, provider) = (&credential.name, credential.provider().name());
                // writing to a string cannot fail
                let _ = writeln!(text, "{name:width$}  {provider}{default}  {}", about.join(" "));
            }
            text
        }
    };
    if org.credentials.is_empty() {
        output.note(&format!("no credentials yet: add one with `{}`", with_org("credential add NAME")));
    }
    output.result(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show(
    args: &ShowArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let org = input::org(global, environment)?.org;
    let credential = &org.credentials[named(&org, &args.name.name)?];
    let text = match args.format {
        OutputFormat::Json => json(&List { version: 1, credentials: vec![shown(credential)] }),
        OutputFormat::Text => {
            let mut rows =
                vec![("name", credential.name.clone()), ("provider", credential.provider().name().to_owned())];
            rows.push(("default", if credential.default { "yes" } else { "no" }.to_owned()));
            rows.extend(fields(credential).into_iter().map(|(name, value)| (name, value.to_string())));
            rows.iter().map(|(name, value)| format!("{name:<18} {value}\n")).collect()
        }
    };
    output.result(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn shown(credential: &Credential) -> Shown<'_> {
    let fields = fields(credential).into_iter().map(|(name, value)| (name.to_owned(), value.json())).collect();
    Shown { name: &credential.name, provider: credential.provider().name(), default: credential.default, fields }
}

/// A field's value, safe to show: a text, or a list with the text that a person reads.
enum Field {
    Text(String),
    List(Vec<String>, String),
}

impl Field {
    fn list(items: Vec<String>) -> Self {
        let shown = items.join(", ");
        Field::List(items, shown)
    }

    fn json(self) -> serde_json::Value {
        match self {
            Field::Text(text) => text.into(),
            Field::List(items, _) => items.into(),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Field::Text(text) | Field::List(_, text)) = self;
        f.write_str(text)
    }
}

/// Returns a credential's fields in a form that is safe to show.
fn fields(credential: &Credential) -> Vec<(&'static str, Field)> {
    let mut fields = match &credential.settings {
        Settings::Command(settings) => command(settings),
        _ => own_fields(credential).into_iter().map(|(name, text)| (name, Field::Text(text))).collect(),
    };
    let patterns = credential.allow.iter();
    let patterns = patterns.map(|patterns| patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect());
    fields.extend(patterns.map(|patterns| ("allow", Field::list(patterns))));
    fields
}

/// Returns the fields that only this provider uses, if all are texts.
fn own_fields(credential: &Credential) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    let aws = match &credential.settings {
        Settings::File(settings) => return vec![("path", settings.path.clone())],
        Settings::Command(_) => return Vec::new(),
        Settings::Aws(aws) => aws,
    };
    fields.extend(aws.region.clone().map(|region| ("region", region)));
    if let Some(token) = &aws.web_identity_token {
        fields.push(("web_identity_token", source(token)));
    }
    match &aws.keys {
        None if aws.web_identity_token.is_some() => {}
        None => fields.push(("access_key_id", "from the environment".to_owned())),
        Some(keys) => {
            fields.push(("access_key_id", shortened(&keys.access_key_id)));
            fields.push(("secret_access_key", source(&keys.secret_access_key)));
            fields.extend(keys.session_token.as_ref().map(|token| ("session_token", source(token))));
        }
    }
    if let Some(role) = &aws.role {
        fields.push(("role_arn", role.arn.clone()));
        fields.extend(role.external_id.as_ref().map(|_| ("external_id", "set".to_owned())));
    }
    fields
}

fn command(settings: &CommandSettings) -> Vec<(&'static str, Field)> {
    let words = settings.command.clone();
    let mut fields = vec![("command", Field::List(words, command_line(&settings.command)))];
    if !settings.environment.is_empty() {
        fields.push(("environment", Field::list(settings.environment.clone())));
    }
    if settings.trim_newline {
        fields.push(("trim_newline", Field::Text("yes".to_owned())));
    }
    fields
}

fn source(source: &KeySource) -> String {
    match source {
        KeySource::Literal(_) => "set".to_owned(),
        KeySource::Env(name) => format!("set, from the environment variable {name}"),
        KeySource::File(path) => format!("set, from the file {path}"),
    }
}
