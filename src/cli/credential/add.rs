//! `secretbake credential add` and `edit`: the form, on a terminal or in a pipeline.

use std::process::ExitCode;

use clap::Args;
use zeroize::Zeroizing;

use super::super::environment::Environment;
use super::super::output::Output;
use super::super::{Global, ask};
use super::fields::{Before, FieldArgs, Provider};
use super::{NameArgs, Target, change, changed, location};
use crate::error::{Diagnostic, Error};
use crate::manifest::ProviderKind;
use crate::org::Org;
use crate::org::edit::{Change, Value};
use crate::org::file::{self, Location};
use crate::org::init::SKELETON;
use crate::org::store::create;

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake credential add aws-prod
  secretbake credential add aws-ci --region us-east-1 --default \\
    --access-key-id AKIA... --secret-key-env PROD_SECRET_KEY
  pass aws/prod | secretbake credential add aws-prod --region us-east-1 \\
    --access-key-id AKIA... --secret-key-stdin")]
pub(super) struct AddArgs {
    #[command(flatten)]
    name: NameArgs,
    /// aws-secrets-manager, the default, or file
    #[arg(long, value_enum, default_value_t = Provider::AwsSecretsManager)]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    provider: Provider,
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
    name: NameArgs,
    #[command(flatten)]
    fields: FieldArgs,
    /// Take a field out, as in --unset role_arn
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
    if path.exists() {
        is_new(&file::read(&Location::Path(path.clone()))?.org, &args.name.name)?;
    }
    let asks = ask::is_terminal() && args.fields.is_blank();
    if !asks && args.fields.has_access_key_id() && !args.fields.has_secret_key() {
        return Err(Error::invalid(
            Diagnostic::error("no-key", "an access key ID without its secret access key")
                .hint("add --secret-key-stdin, --secret-key-env VARIABLE or --secret-key-file FILE"),
        ));
    }
    let text = |text: &str| Value::Text(Zeroizing::new(text.to_owned()));
    let mut fields = vec![("name", text(&args.name.name)), ("provider", text(args.provider.name()))];
    fields.extend(args.fields.read(args.provider, asks, &Before::default(), &path, environment)?);
    let is_here = path.parent().is_none_or(|parent| parent.as_os_str().is_empty());
    if is_here && global.org.is_none() && !path.exists() {
        // what the form makes wrong makes no file
        create(&path, &changed(&path, SKELETON, &Change::Add(fields)).map_err(Error::invalid)?)?;
        output.note(&format!("made {}", path.display()));
    } else {
        change(&path, &Change::Add(fields))?;
    }
    output.note(&format!("added: {}", args.name.name));
    Ok(ExitCode::SUCCESS)
}

/// Refuses a name that a credential has already.
fn is_new(org: &Org, name: &str) -> Result<(), Error> {
    if org.credentials.iter().all(|credential| credential.name != name) {
        return Ok(());
    }
    let what = format!("{} has a credential `{name}` already, and is left as it is", org.file);
    let hint = format!("change it with `secretbake credential edit {name}`, or give the new one another name");
    Err(Error::invalid(Diagnostic::error("duplicate-credential", what).hint(hint)))
}

pub(super) fn edit(
    args: &EditArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let target = Target::find(&args.name, global, environment)?;
    let credential = target.credential();
    let provider = match credential.provider() {
        ProviderKind::AwsSecretsManager => Provider::AwsSecretsManager,
        ProviderKind::File => Provider::File,
    };
    let asks = ask::is_terminal() && args.fields.is_blank() && args.unset.is_empty();
    if asks {
        output.note("a field that is left blank stays as it is");
    }
    for field in &args.unset {
        const OPTIONAL: [&str; 8] = [
            "region",
            "default",
            "access_key_id",
            "secret_access_key",
            "session_token",
            "role_arn",
            "external_id",
            "batch",
        ];
        if !OPTIONAL.contains(&field.as_str()) {
            let what = format!("`{field}` is no field that can be taken out");
            let hint = format!("the fields are {}", OPTIONAL.join(", "));
            return Err(Error::invalid(Diagnostic::error("unknown-field", what).hint(hint)));
        }
    }
    let fields = args.fields.read(provider, asks, &Before::of(credential), &target.path, environment)?;
    if fields.is_empty() && args.unset.is_empty() {
        output.note(&format!("nothing to change: {}", credential.name));
        return Ok(ExitCode::SUCCESS);
    }
    target.change(&Change::Set { name: credential.name.clone(), fields, unset: args.unset.clone() })?;
    output.note(&format!("changed: {}", credential.name));
    Ok(ExitCode::SUCCESS)
}
