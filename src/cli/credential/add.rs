//! `secretbake credential add` and `edit`: the form, on a terminal or in a pipeline.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use zeroize::Zeroizing;

use super::super::environment::Environment;
use super::super::output::Output;
use super::super::{Global, ask};
use super::fields::{FieldArgs, ProviderArg, half_a_key};
use super::form::{CurrentFields, Form};
use super::{NameArgs, NamedCredential, change, changed, location};
use crate::diagnostic::command::{own, shell_word, with_org};
use crate::diagnostic::{Diagnostic, Error};
use crate::manifest::ProviderKind;
use crate::org::Org;
use crate::org::change::{Change, FieldValue, NewField};
use crate::org::file::{self, Location};
use crate::org::init::SKELETON;
use crate::org::rules::NAME;
use crate::org::store::create;

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake credential add aws-prod
  secretbake credential add aws-ci --region us-east-1 --default \\
    --access-key-id AKIA... --secret-key-env PROD_SECRET_KEY
  pass aws/prod | secretbake credential add aws-prod --region us-east-1 \\
    --access-key-id AKIA... --secret-key-stdin
  secretbake credential add op --command op read 'op://prod/{name}'")]
pub(super) struct AddArgs {
    /// Name of the credential; asked for on a terminal
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Provider; aws-secrets-manager by default
    #[arg(long, value_enum, hide_possible_values = true)]
    provider: Option<ProviderArg>,
    #[command(flatten)]
    fields: FieldArgs,
}

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake credential edit aws-prod
  pass aws/prod | secretbake credential edit aws-prod \\
    --access-key-id AKIA... --secret-key-stdin")]
pub(super) struct EditArgs {
    #[command(flatten)]
    pub name: NameArgs,
    #[command(flatten)]
    fields: FieldArgs,
    /// Remove a field, for example --unset role_arn
    #[arg(long, value_name = "FIELD")]
    unset: Vec<String>,
}

pub(super) fn add(
    args: &AddArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let path = location(global, environment)?;
    let is_here = path.parent().is_none_or(|parent| parent.as_os_str().is_empty());
    let makes_it = is_here && global.org.is_none() && !path.exists();
    if !makes_it && matches!(path.try_exists(), Ok(false)) {
        return Err(Error::invalid(no_file(&path)));
    }
    let org = match path.exists() {
        true => file::read(&Location::Path(path.clone()))?.org,
        false => Org::default(),
    };
    let form = Form { asks: ask::is_terminal(), before: None, output };
    let name = name(args, &form, &org)?;
    if !form.asks && args.fields.has_half_a_key() {
        return Err(Error::invalid(half_a_key()));
    }
    let told = |provider: &ProviderArg| form.asks || *provider == ProviderArg::Command;
    let provider = match args.provider.or(args.fields.provider().filter(told)) {
        Some(provider) => provider,
        None if form.asks => asked_provider(&form)?,
        None => ProviderArg::AwsSecretsManager,
    };
    let text = |text: &str| FieldValue::Text(Zeroizing::new(text.to_owned()));
    let mut fields = vec![("name", text(&name)), ("provider", text(provider.name()))];
    fields.extend(args.fields.read(provider, &form, &path, environment)?);
    let holds_key = holds_key(&fields);
    if makes_it {
        // a wrong form must not create the file
        create(&path, &changed(&path, SKELETON, &Change::Add(fields)).map_err(Error::invalid)?)?;
        output.note(&format!("made {}", path.display()));
    } else {
        change(&path, &Change::Add(fields))?;
    }
    say_what_next("added", &name, &path, holds_key, output);
    Ok(ExitCode::SUCCESS)
}

fn no_file(path: &Path) -> Diagnostic {
    let init = own(&format!("org init --org {}", shell_word(&path.display().to_string())));
    Diagnostic::error("no-file", format!("no org file at {}", path.display()))
        .hint(format!("check the path, or make the file with `{init}`"))
}

/// Tells whether the fields have a key in the clear.
fn holds_key(fields: &[NewField]) -> bool {
    let is_key = |field: &str| ["secret_access_key", "session_token"].contains(&field);
    fields.iter().any(|(field, value)| is_key(field) && matches!(value, FieldValue::Text(_)))
}

/// Says where a credential is now, how to test it, and whether its file holds a new key in the clear.
fn say_what_next(done: &str, name: &str, path: &Path, holds_key: bool, output: &Output) {
    let file = path.display();
    output.note(&format!("{done}: {name} ({file})"));
    output.note(&format!("test it with `{}`", with_org(&format!("credential test {name}"))));
    if holds_key {
        let what = format!("the keys of {name} are in {file} in the clear");
        let hint = "keep the file out of version control, or take the keys from elsewhere: --secret-key-env, --secret-key-file";
        output.problems(&[Diagnostic::warning("key-in-clear", what).hint(hint)]);
    }
}

/// Returns the new credential's name, from the arguments or the terminal.
fn name(args: &AddArgs, form: &Form<'_>, org: &Org) -> Result<String, Error> {
    let check = |name: &str| NAME.check(name).and_then(|()| is_new(org, name));
    match &args.name {
        Some(name) if form.asks => check(name).map(|()| name.clone()).map_err(Error::invalid),
        Some(name) => is_new(org, name).map(|()| name.clone()).map_err(Error::invalid),
        None if form.asks => form.line("Name, as in aws-prod (required)", &check),
        None => Err(Error::invalid(
            Diagnostic::error("no-name", "the credential has no name")
                .hint(format!("add it, as in `{}`", with_org("credential add aws-prod"))),
        )),
    }
}

fn asked_provider(form: &Form<'_>) -> Result<ProviderArg, Error> {
    let choices =
        [ProviderArg::AwsSecretsManager, ProviderArg::AwsParameterStore, ProviderArg::Command, ProviderArg::File];
    let chosen = |answer: &str| match answer {
        "" => Some(ProviderArg::AwsSecretsManager),
        answer => choices.into_iter().find(|choice| choice.name() == answer),
    };
    let check = |answer: &str| match chosen(answer) {
        Some(_) => Ok(()),
        None => Err(Diagnostic::error("unknown-choice", "not one of the choices")
            .hint(format!("write one of {}", choices.map(ProviderArg::name).join(", ")))),
    };
    let answer = form.line(
        "Provider: aws-secrets-manager, aws-parameter-store, command or file (blank: aws-secrets-manager)",
        &check,
    )?;
    Ok(chosen(&answer).unwrap_or(ProviderArg::AwsSecretsManager))
}

/// Refuses a name that another credential has.
fn is_new(org: &Org, name: &str) -> Result<(), Diagnostic> {
    if org.credentials.iter().all(|credential| credential.name != name) {
        return Ok(());
    }
    let what = format!("{} has a credential `{name}` already, and is left as it is", org.file);
    let edit = with_org(&format!("credential edit {name}"));
    let hint = format!("change it with `{edit}`, or give the new one another name");
    Err(Diagnostic::error("duplicate-credential", what).hint(hint))
}

pub(super) fn edit(
    args: &EditArgs,
    target: &NamedCredential,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let credential = target.credential();
    let provider = match credential.provider() {
        ProviderKind::AwsSecretsManager => ProviderArg::AwsSecretsManager,
        ProviderKind::AwsParameterStore => ProviderArg::AwsParameterStore,
        ProviderKind::Command => ProviderArg::Command,
        ProviderKind::File => ProviderArg::File,
    };
    let asks = ask::is_terminal() && args.fields.is_blank() && args.unset.is_empty();
    if asks {
        output.note("a field that is left blank stays as it is");
    }
    for field in &args.unset {
        const OPTIONAL: [&str; 12] = [
            "region",
            "allow",
            "default",
            "access_key_id",
            "secret_access_key",
            "session_token",
            "role_arn",
            "external_id",
            "web_identity_token",
            "batch",
            "environment",
            "trim_newline",
        ];
        if !OPTIONAL.contains(&field.as_str()) {
            let what = format!("`{field}` cannot be taken out");
            let hint = format!("these can be: {}", OPTIONAL.join(", "));
            return Err(Error::invalid(Diagnostic::error("unknown-field", what).hint(hint)));
        }
    }
    let form = Form { asks, before: Some(CurrentFields::from_credential(credential)), output };
    let fields = args.fields.read(provider, &form, &target.path, environment)?;
    if fields.is_empty() && args.unset.is_empty() {
        output.note(&format!("nothing to change: {}", credential.name));
        return Ok(ExitCode::SUCCESS);
    }
    let holds_key = holds_key(&fields);
    target.change(&Change::Set { name: credential.name.clone(), fields, unset: args.unset.clone() })?;
    say_what_next("changed", &credential.name, &target.path, holds_key, output);
    Ok(ExitCode::SUCCESS)
}
