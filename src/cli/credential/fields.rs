//! The form's fields as options, and what is asked for on a terminal. No option takes a secret: a command line is visible to every
//! user of the machine and stays in the shell's history.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use zeroize::Zeroizing;

use super::super::ask;
use super::super::environment::Environment;
use crate::error::{Diagnostic, Error};
use crate::org::edit::{NewField, Value};
use crate::org::{Credential, Settings};

#[derive(Args)]
pub(super) struct FieldArgs {
    /// The secrets' region, as in us-east-1
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The key's ID; without it, the ambient chain
    #[arg(long, value_name = "ID")]
    access_key_id: Option<String>,
    /// Take the secret key from this variable
    #[arg(long, value_name = "VAR", group = "secret-key")]
    secret_key_env: Option<String>,
    /// Take the secret key from this file
    #[arg(long, value_name = "FILE", group = "secret-key")]
    secret_key_file: Option<PathBuf>,
    /// Keep the key from a line of standard input
    #[arg(long, group = "secret-key")]
    secret_key_stdin: bool,
    /// Take the session token from this variable
    #[arg(long, value_name = "VAR", group = "session-token")]
    session_token_env: Option<String>,
    /// Take the session token from this file
    #[arg(long, value_name = "FILE", group = "session-token")]
    session_token_file: Option<PathBuf>,
    /// Keep the session token from the next line
    #[arg(long, group = "session-token")]
    session_token_stdin: bool,
    /// The role that is assumed first
    #[arg(long, value_name = "ARN")]
    role_arn: Option<String>,
    /// Read the External ID from this variable
    #[arg(long, value_name = "VAR", group = "external-id")]
    external_id_env: Option<String>,
    /// Read the External ID from the next line
    #[arg(long, group = "external-id")]
    external_id_stdin: bool,
    /// `file`'s secrets, relative to the org file
    #[arg(long, value_name = "FILE")]
    path: Option<String>,
    /// Make it the default of its provider
    #[arg(long)]
    default: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Provider {
    AwsSecretsManager,
    File,
}

impl Provider {
    pub(super) fn name(self) -> &'static str {
        match self {
            Provider::AwsSecretsManager => "aws-secrets-manager",
            Provider::File => "file",
        }
    }
}

/// What a credential has before an edit; nothing before it is added.
#[derive(Default)]
pub(super) struct Before {
    access_key_id: Option<String>,
    has_role: bool,
    is_default: bool,
}

impl Before {
    /// Returns what a credential has.
    pub(super) fn of(credential: &Credential) -> Self {
        let aws = match &credential.settings {
            Settings::Aws(aws) => Some(aws),
            Settings::File(_) => None,
        };
        let keys = aws.and_then(|aws| aws.keys.as_ref());
        Before {
            access_key_id: keys.map(|keys| keys.access_key_id.clone()),
            has_role: aws.is_some_and(|aws| aws.role.is_some()),
            is_default: credential.default,
        }
    }
}

impl FieldArgs {
    /// Returns the fields that are given, and with `asks` those that the person at the terminal gives; blank is not given. What
    /// belongs to a key or a role is asked for where `before` has one, too.
    pub(super) fn read(
        &self,
        provider: Provider,
        asks: bool,
        before: &Before,
        org: &Path,
        environment: &Environment,
    ) -> Result<Vec<NewField>, Error> {
        let mut fields = Vec::new();
        let is_aws = provider == Provider::AwsSecretsManager;
        let mut add = |name: &'static str, given: &Option<String>, question: &str, wanted: bool| -> Result<(), Error> {
            let value = match given {
                Some(value) => value.clone(),
                None if asks && wanted => ask::line(question)?,
                None => String::new(),
            };
            if !value.is_empty() {
                fields.push((name, Value::Text(Zeroizing::new(value))));
            }
            Ok(())
        };
        add("region", &self.region, "Region, as in us-east-1", is_aws)?;
        add("access_key_id", &self.access_key_id, "Access key ID", is_aws)?;
        let given_id = fields.iter().find_map(|(name, value)| match value {
            Value::Text(id) if *name == "access_key_id" => Some(id.as_str()),
            _ => None,
        });
        let key_id = given_id.or(before.access_key_id.as_deref());
        let (has_key, is_temporary) = (key_id.is_some(), key_id.is_some_and(|id| id.starts_with("ASIA")));
        let from_stdin = self.secret_key_stdin || self.session_token_stdin || self.external_id_stdin;
        let mut lines = match from_stdin && !ask::is_terminal() {
            true => ask::lines()?.into_iter(),
            false => Vec::new().into_iter(),
        };
        let mut secret = |wanted: bool, from_stdin: bool, question: &str| -> Result<Zeroizing<String>, Error> {
            match from_stdin || (asks && wanted) {
                true if ask::is_terminal() => ask::hidden(question),
                true => lines.next().filter(|line| !line.is_empty()).ok_or_else(|| {
                    let what = format!("standard input has no line for the {}", question.to_lowercase());
                    let hint = "give a line for each: the secret access key, the session token, the External ID";
                    Error::invalid(Diagnostic::error("no-key", what).hint(hint))
                }),
                false => Ok(Zeroizing::default()),
            }
        };
        let mut key =
            |env: &Option<String>, file: &Option<PathBuf>, wanted: bool, from_stdin: bool, question: &str| match (
                env, file,
            ) {
                (Some(name), _) => Ok(Some(Value::Env(name.clone()))),
                (_, Some(file)) => as_seen_from(org, file).map(|path| Some(Value::File(path))),
                _ => {
                    let key = secret(is_aws && (wanted || from_stdin), from_stdin, question)?;
                    (!key.is_empty()).then(|| printable(&key, question).map(|()| Value::Text(key))).transpose()
                }
            };
        let secret_key =
            key(&self.secret_key_env, &self.secret_key_file, has_key, self.secret_key_stdin, "Secret access key")?;
        let token = key(
            &self.session_token_env,
            &self.session_token_file,
            is_temporary,
            self.session_token_stdin,
            "Session token",
        )?;
        let mut rest = Vec::new();
        rest.extend(secret_key.map(|key| ("secret_access_key", key)));
        rest.extend(token.map(|token| ("session_token", token)));
        let role = match &self.role_arn {
            Some(role) => role.clone(),
            None if asks && is_aws => ask::line("Role ARN, if a role is assumed")?,
            None => String::new(),
        };
        let external_id = match &self.external_id_env {
            Some(name) => environment.text(name).map(Zeroizing::new).ok_or_else(|| {
                // not by its name: it may be the External ID itself
                let what = "the environment variable that --external-id-env names is not set";
                Error::invalid(Diagnostic::error("no-key", what).hint("set it to the External ID"))
            })?,
            None => secret(before.has_role || !role.is_empty(), self.external_id_stdin, "External ID")?,
        };
        if !role.is_empty() {
            rest.push(("role_arn", Value::Text(Zeroizing::new(role))));
        }
        if !external_id.is_empty() {
            rest.push(("external_id", Value::Text(external_id)));
        }
        let path = match &self.path {
            Some(path) => path.clone(),
            None if asks && !is_aws => ask::line("Path of the secrets file")?,
            None => String::new(),
        };
        if !path.is_empty() {
            rest.push(("path", Value::Text(Zeroizing::new(path))));
        }
        let default = match (self.default, asks) {
            (true, _) => Some(true),
            (false, true) => asked_default(before.is_default)?,
            (false, false) => None,
        };
        rest.extend(default.map(|default| ("default", Value::Flag(default))));
        fields.extend(rest);
        Ok(fields)
    }

    /// Tells whether no field is given, so that a person is to be asked.
    pub(super) fn is_blank(&self) -> bool {
        let texts = [
            &self.region,
            &self.access_key_id,
            &self.secret_key_env,
            &self.session_token_env,
            &self.role_arn,
            &self.external_id_env,
            &self.path,
        ];
        let files = [&self.secret_key_file, &self.session_token_file];
        let flags = self.secret_key_stdin || self.session_token_stdin || self.external_id_stdin || self.default;
        texts.iter().all(|text| text.is_none()) && files.iter().all(|file| file.is_none()) && !flags
    }

    /// Tells whether the options say where the secret access key is.
    pub(super) fn has_secret_key(&self) -> bool {
        self.secret_key_env.is_some() || self.secret_key_file.is_some() || self.secret_key_stdin
    }

    /// Tells whether there is an access key ID, which needs a secret access key.
    pub(super) fn has_access_key_id(&self) -> bool {
        self.access_key_id.is_some()
    }
}

/// Asks whether the credential is the default; `None` leaves it as it is.
fn asked_default(is_default: bool) -> Result<Option<bool>, Error> {
    let choice = if is_default { "[Y/n]" } else { "[y/N]" };
    let wanted = match &*ask::line(&format!("Default for this provider? {choice}"))? {
        "y" | "Y" | "yes" => true,
        "n" | "N" | "no" => false,
        _ => is_default,
    };
    Ok((wanted != is_default).then_some(wanted))
}

fn printable(key: &str, name: &str) -> Result<(), Error> {
    if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let what = format!("the {} holds spaces or other characters that no key has", name.to_lowercase());
    Err(Error::invalid(
        Diagnostic::error("bad-key", what).hint("copy the key again, without quotes and spaces around it"),
    ))
}

/// Returns a path as the org file has it: relative paths there start at the org file.
fn as_seen_from(org: &Path, file: &Path) -> Result<String, Error> {
    let is_here = org.parent().is_none_or(|parent| parent.as_os_str().is_empty());
    let path = if is_here { Ok(file.to_owned()) } else { std::path::absolute(file) };
    let text = path.ok().and_then(|path| path.to_str().map(str::to_owned));
    text.ok_or_else(|| {
        let what = format!("{} cannot be written into the org file", file.display());
        Error::invalid(Diagnostic::error("bad-path", what).hint("give a path in UTF-8"))
    })
}
