//! The form's fields as options, and what is asked for on a terminal. No option takes a secret: a command line is visible to every
//! user of the machine and stays in the shell's history.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use zeroize::Zeroizing;

use super::super::ask;
use super::super::environment::Environment;
use super::form::{AnswerCheck, Form, optional, printable};
use crate::diagnostic::{Diagnostic, Error};
use crate::org::change::{FieldValue, NewField};
use crate::org::command::NAME;
use crate::org::rules::{ACCESS_KEY_ID, EXTERNAL_ID, REGION, ROLE_ARN, Rule};

#[derive(Args)]
pub(super) struct FieldArgs {
    /// AWS region of the secrets, such as us-east-1
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Access key ID; else the AWS default chain
    #[arg(long, value_name = "ID")]
    access_key_id: Option<String>,
    /// Read the secret key from this variable
    #[arg(long, value_name = "VAR", group = "secret-key")]
    secret_key_env: Option<String>,
    /// Read the secret key from this file
    #[arg(long, value_name = "FILE", group = "secret-key")]
    secret_key_file: Option<PathBuf>,
    /// Store the key read from standard input
    #[arg(long, group = "secret-key")]
    secret_key_stdin: bool,
    /// Read the session token from this variable
    #[arg(long, value_name = "VAR", group = "session-token")]
    session_token_env: Option<String>,
    /// Read the session token from this file
    #[arg(long, value_name = "FILE", group = "session-token")]
    session_token_file: Option<PathBuf>,
    /// Store the session token from the next line
    #[arg(long, group = "session-token")]
    session_token_stdin: bool,
    /// Role to assume before reading secrets
    #[arg(long, value_name = "ARN")]
    role_arn: Option<String>,
    /// Read the External ID from this variable
    #[arg(long, value_name = "VAR", group = "external-id")]
    external_id_env: Option<String>,
    /// Read the External ID from the next line
    #[arg(long, group = "external-id")]
    external_id_stdin: bool,
    /// Read a web identity token from this variable
    #[arg(long = "token-env", value_name = "VAR", group = "web-identity")]
    web_identity_token_env: Option<String>,
    /// Read a web identity token from this file
    #[arg(long = "token-file", value_name = "FILE", group = "web-identity")]
    web_identity_token_file: Option<PathBuf>,
    /// Secrets that manifests may use; repeatable
    #[arg(long, value_name = "PATTERN")]
    allow: Vec<String>,
    /// Secrets file, relative to the org file
    #[arg(long, value_name = "FILE")]
    path: Option<String>,
    /// Variable that the command may see; repeatable
    #[arg(long, value_name = "VAR")]
    environment: Vec<String>,
    /// Remove a newline after the command's output
    #[arg(long)]
    trim_newline: bool,
    /// Command that prints the secret {name}; last
    #[arg(long, value_name = "WORD", num_args = 1.., allow_hyphen_values = true)]
    command: Vec<String>,
    /// Make it the default for its provider
    #[arg(long)]
    default: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProviderArg {
    AwsSecretsManager,
    AwsParameterStore,
    Command,
    File,
}

impl ProviderArg {
    pub(super) fn name(self) -> &'static str {
        match self {
            ProviderArg::AwsSecretsManager => "aws-secrets-manager",
            ProviderArg::AwsParameterStore => "aws-parameter-store",
            ProviderArg::Command => "command",
            ProviderArg::File => "file",
        }
    }
}

/// How one field is asked for.
struct Question<'q> {
    text: &'static str,
    /// What a blank answer means.
    blank: &'static str,
    /// Whether to ask it.
    asked: bool,
    check: &'q dyn Fn(&str) -> AnswerCheck,
}

fn asked<'q>(
    text: &'static str,
    blank: &'static str,
    asked: bool,
    check: &'q dyn Fn(&str) -> AnswerCheck,
) -> Question<'q> {
    Question { text, blank, asked, check }
}

/// What a prompt says about a blank answer.
const REQUIRED: &str = "required";
const UNCHANGED: &str = "blank: unchanged";
const AMBIENT: &str = "blank: from the environment or the AWS profile";

impl Question<'_> {
    /// Returns the prompt, with what a blank answer means.
    fn prompt(&self) -> String {
        format!("{} ({})", self.text, self.blank)
    }
}

impl FieldArgs {
    /// Returns the fields from the options and from the person at the terminal; a blank field is left out. Fields of a key or role
    /// are also asked for if the credential already has one.
    pub(super) fn read(
        &self,
        provider: ProviderArg,
        form: &Form<'_>,
        org: &Path,
        environment: &Environment,
    ) -> Result<Vec<NewField>, Error> {
        if form.asks {
            self.check()?;
        }
        let is_new = form.before.is_none();
        let or_unchanged = |blank| if is_new { blank } else { UNCHANGED };
        let is_aws = matches!(provider, ProviderArg::AwsSecretsManager | ProviderArg::AwsParameterStore);
        let text = |given: &Option<String>, question: &Question<'_>| -> Result<Option<String>, Error> {
            let text = match given {
                Some(text) => text.clone(),
                None if form.asks && question.asked => form.line(&question.prompt(), question.check)?,
                None => String::new(),
            };
            Ok((!text.is_empty()).then_some(text))
        };
        const REGION_QUESTION: &str = "Region, as in us-east-1";
        let mut region =
            text(&self.region, &asked(REGION_QUESTION, or_unchanged(AMBIENT), is_aws, &optional(&REGION)))?;
        let access_key_id = text(
            &self.access_key_id,
            &asked("Access key ID", or_unchanged(AMBIENT), is_aws, &optional(&ACCESS_KEY_ID)),
        )?;
        let had = form.before.as_ref().and_then(|before| before.access_key_id.as_deref());
        let key_id = access_key_id.as_deref().or(had);
        let (has_key, is_temporary) = (key_id.is_some(), key_id.is_some_and(|id| id.starts_with("ASIA")));
        if region.is_none() && is_new && has_key {
            // the ambient credentials know theirs, keys do not
            region = text(&None, &asked(REGION_QUESTION, REQUIRED, is_aws, &|answer| REGION.check(answer)))?;
        }
        let from_stdin = self.secret_key_stdin || self.session_token_stdin || self.external_id_stdin;
        let mut lines = match from_stdin && !ask::is_terminal() {
            true => ask::lines()?.into_iter(),
            false => Vec::new().into_iter(),
        };
        let mut secret = |from_stdin: bool, question: &Question<'_>| -> Result<Zeroizing<String>, Error> {
            match from_stdin || (form.asks && question.asked) {
                true if ask::is_terminal() => form.hidden(&question.prompt(), question.check),
                true => lines.next().filter(|line| !line.is_empty()).ok_or_else(|| {
                    let what = format!("standard input has no line for the {}", question.text.to_lowercase());
                    let hint = "give a line for each: the secret access key, the session token, the External ID";
                    Error::invalid(Diagnostic::error("no-key", what).hint(hint))
                }),
                false => Ok(Zeroizing::default()),
            }
        };
        let mut key =
            |env: &Option<String>, file: &Option<PathBuf>, from_stdin: bool, question: &Question<'_>| match (env, file)
            {
                (Some(name), _) => Ok(Some(FieldValue::Env(name.clone()))),
                (_, Some(file)) => as_seen_from(org, file).map(|path| Some(FieldValue::File(path))),
                _ => {
                    let key = secret(is_aws && from_stdin, question)?;
                    printable(&key, question.text).map_err(Error::invalid)?;
                    Ok((!key.is_empty()).then_some(FieldValue::Text(key)))
                }
            };
        let check = |key: &str| match key {
            "" if is_new => Err(half_a_key()),
            key => printable(key, "secret access key"),
        };
        let question = asked("Secret access key", or_unchanged(REQUIRED), is_aws && has_key, &check);
        let secret_key = key(&self.secret_key_env, &self.secret_key_file, self.secret_key_stdin, &question)?;
        let check = |key: &str| printable(key, "session token");
        let question = asked("Session token", or_unchanged("blank: none"), is_aws && is_temporary, &check);
        let token = key(&self.session_token_env, &self.session_token_file, self.session_token_stdin, &question)?;
        let role = text(
            &self.role_arn,
            &asked("Role ARN", or_unchanged("blank: assume no role"), is_aws, &optional(&ROLE_ARN)),
        )?;
        let has_role = role.is_some() || form.before.as_ref().is_some_and(|before| before.has_role);
        let external_id = match &self.external_id_env {
            Some(name) => environment.text(name).map(Zeroizing::new).ok_or_else(|| {
                // not by its name: it may be the External ID itself
                let what = "the environment variable that --external-id-env names is not set";
                Error::invalid(Diagnostic::error("no-key", what).hint("set it to the External ID"))
            })?,
            None => {
                let check = optional(&EXTERNAL_ID);
                secret(
                    self.external_id_stdin,
                    &asked("External ID", or_unchanged("blank: none"), is_aws && has_role, &check),
                )?
            }
        };
        let check = |path: &str| match path {
            "" if is_new => Err(Diagnostic::error("missing-field", "the provider `file` reads a file")
                .hint("name the file that holds the secrets")),
            _ => Ok(()),
        };
        let is_file = provider == ProviderArg::File;
        let path = text(&self.path, &asked("Path of the secrets file", or_unchanged(REQUIRED), is_file, &check))?;
        let command = self.command(provider, form)?;
        let default = match (self.default, form.asks) {
            (true, _) => Some(true),
            (false, true) => form.default()?,
            (false, false) => None,
        };
        let text = |text: Option<String>| text.map(|text| FieldValue::Text(Zeroizing::new(text)));
        let fields = [
            ("region", text(region)),
            ("access_key_id", text(access_key_id)),
            ("secret_access_key", secret_key),
            ("session_token", token),
            ("role_arn", text(role)),
            ("web_identity_token", self.web_identity_token(org)?),
            ("external_id", (!external_id.is_empty()).then_some(FieldValue::Text(external_id))),
            ("allow", (!self.allow.is_empty()).then(|| FieldValue::List(self.allow.clone()))),
            ("path", text(path)),
            ("command", (!command.is_empty()).then_some(FieldValue::List(command))),
            ("environment", (!self.environment.is_empty()).then(|| FieldValue::List(self.environment.clone()))),
            ("trim_newline", self.trim_newline.then_some(FieldValue::Flag(true))),
            ("default", default.map(FieldValue::Flag)),
        ];
        Ok(fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }

    fn web_identity_token(&self, org: &Path) -> Result<Option<FieldValue>, Error> {
        match (&self.web_identity_token_env, &self.web_identity_token_file) {
            (Some(name), _) => Ok(Some(FieldValue::Env(name.clone()))),
            (None, Some(file)) => as_seen_from(org, file).map(|path| Some(FieldValue::File(path))),
            (None, None) => Ok(None),
        }
    }

    /// Returns the command's words, from the options or the terminal.
    fn command(&self, provider: ProviderArg, form: &Form<'_>) -> Result<Vec<String>, Error> {
        if !self.command.is_empty() || !form.asks || provider != ProviderArg::Command {
            return Ok(self.command.clone());
        }
        let is_new = form.before.is_none();
        let check = |line: &str| match line.trim() {
            "" if is_new => Err(Diagnostic::error("missing-field", "the provider `command` runs a command")
                .hint("write the program and its arguments, as in op read --no-newline op://prod/{name}")),
            line if !line.is_empty() && !line.contains(NAME) => {
                Err(Diagnostic::error("no-name", format!("no argument has {NAME}: every secret would be the same"))
                    .hint(format!("put {NAME} where the client takes the secret's name")))
            }
            line if line.contains(['"', '\'', '\\']) => {
                Err(Diagnostic::error("quotes", "the words are separated by spaces and not quoted")
                    .hint("give words with spaces with --command, or write them into the org file"))
            }
            _ => Ok(()),
        };
        let blank = if is_new { REQUIRED } else { UNCHANGED };
        let question = format!("Command, with {NAME} for the secret's name ({blank})");
        let line = form.line(&question, &check)?;
        Ok(line.split_whitespace().map(str::to_owned).collect())
    }

    /// Checks the options before asking for anything.
    fn check(&self) -> Result<(), Error> {
        let given: [(&str, &Option<String>, &Rule); 3] = [
            ("--region", &self.region, &REGION),
            ("--access-key-id", &self.access_key_id, &ACCESS_KEY_ID),
            ("--role-arn", &self.role_arn, &ROLE_ARN),
        ];
        let wrong = given.into_iter().filter_map(|(option, text, rule)| {
            let mut problem = rule.check(text.as_deref()?).err()?;
            problem.what = format!("{option}: {}", problem.what);
            Some(problem)
        });
        let wrong: Vec<Diagnostic> = wrong.collect();
        if wrong.is_empty() { Ok(()) } else { Err(Error::invalid(wrong)) }
    }

    /// Tells whether no option gives a field, so a person must be asked.
    pub(super) fn is_blank(&self) -> bool {
        self.provider().is_none() && !self.default && self.allow.is_empty()
    }

    /// Returns the provider that the given fields belong to, if any.
    pub(super) fn provider(&self) -> Option<ProviderArg> {
        let is_for_command = !self.command.is_empty() || !self.environment.is_empty() || self.trim_newline;
        match (self.is_for_aws(), is_for_command, &self.path) {
            (true, ..) => Some(ProviderArg::AwsSecretsManager),
            (_, true, _) => Some(ProviderArg::Command),
            (.., Some(_)) => Some(ProviderArg::File),
            _ => None,
        }
    }

    fn is_for_aws(&self) -> bool {
        let texts = [
            &self.region,
            &self.access_key_id,
            &self.secret_key_env,
            &self.session_token_env,
            &self.role_arn,
            &self.external_id_env,
            &self.web_identity_token_env,
        ];
        let files = [&self.secret_key_file, &self.session_token_file, &self.web_identity_token_file];
        let flags = self.secret_key_stdin || self.session_token_stdin || self.external_id_stdin;
        texts.iter().any(|text| text.is_some()) || files.iter().any(|file| file.is_some()) || flags
    }

    /// Tells whether an access key ID is given without its secret access key.
    pub(super) fn has_half_a_key(&self) -> bool {
        let has_secret = self.secret_key_env.is_some() || self.secret_key_file.is_some() || self.secret_key_stdin;
        self.access_key_id.is_some() && !has_secret
    }
}

/// Returns the error for a missing secret access key.
pub(super) fn half_a_key() -> Diagnostic {
    Diagnostic::error("no-key", "an access key ID without its secret access key")
        .hint("add --secret-key-stdin, --secret-key-env VARIABLE or --secret-key-file FILE")
}

/// Returns a path as the org file writes it: relative to the org file.
fn as_seen_from(org: &Path, file: &Path) -> Result<String, Error> {
    let is_here = org.parent().is_none_or(|parent| parent.as_os_str().is_empty());
    let path = if is_here { Ok(file.to_owned()) } else { std::path::absolute(file) };
    let text = path.ok().and_then(|path| path.to_str().map(str::to_owned));
    text.ok_or_else(|| {
        let what = format!("{} cannot be written into the org file", file.display());
        Error::invalid(Diagnostic::error("bad-path", what).hint("give a path in UTF-8"))
    })
}
