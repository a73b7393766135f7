//! `secretbake policy`: the least that IAM must allow for the manifests' secrets.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::arguments::OutputFormat;
use super::credential::named;
use super::environment::Environment;
use super::output::Output;
use super::{Global, input};
use crate::diagnostic::json::json;
use crate::diagnostic::{Diagnostic, Error};
use crate::ops::policy::{Policy, PolicyOptions, WebIdentity, policies};
use crate::plan::Overrides;

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake policy deploy.yaml --account 123456789012 > policy.json
  secretbake policy deploy/*.yaml --credential aws-prod --assume-role --format json
  secretbake policy deploy.yaml --assume-role --issuer github \\
    --subject repo:org/name:ref:refs/heads/main")]
pub(super) struct PolicyArgs {
    /// Deployment manifests
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// Print only the policies for this credential
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// Also print the user's policy and the role's trust policy
    #[arg(long)]
    assume_role: bool,
    /// Issuer of the web identity tokens in the trust policy: github, gitlab or a URL; needs --subject
    #[arg(long, value_name = "ISSUER", requires_all = ["assume_role", "subject"], value_parser = issuer)]
    issuer: Option<String>,
    /// Subject of these tokens, such as repo:org/name:ref:refs/heads/main; `*` matches any text
    #[arg(long, value_name = "SUBJECT", requires = "issuer")]
    subject: Option<String>,
    /// Audience of these tokens
    #[arg(long, value_name = "AUDIENCE", default_value = "sts.amazonaws.com", requires = "issuer")]
    audience: String,
    /// AWS account of the secrets; a placeholder without it
    #[arg(long, value_name = "ID", value_parser = account)]
    account: Option<String>,
    /// ARN of a KMS key that encrypts the secrets; without it, all keys of the account; repeatable
    #[arg(long = "kms-key", value_name = "ARN", value_parser = kms_key)]
    kms_keys: Vec<String>,
    /// Output format: `text` is the policy document, or an object of several by name; `json` also says
    /// what each is for
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
}

/// Returns an issuer as IAM names it.
fn issuer(text: &str) -> Result<String, String> {
    let host = match text {
        "github" => "token.actions.githubusercontent.com",
        "gitlab" => "gitlab.com",
        url => url.strip_prefix("https://").unwrap_or_default(),
    };
    let host = host.trim_end_matches('/');
    let is_url = host.split('/').next().is_some_and(|name| name.contains('.'))
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/:".contains(&byte));
    match is_url {
        true => Ok(host.to_owned()),
        false => Err("not an issuer; write github, gitlab or the issuer's https:// URL".to_owned()),
    }
}

fn account(text: &str) -> Result<String, String> {
    match text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err("not an account ID; write its 12 digits".to_owned()),
    }
}

fn kms_key(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts[..] {
        ["arn", _, "kms", _, _, key] if key.starts_with("key/") => Ok(text.to_owned()),
        _ => Err("not the ARN of a key, which reads arn:aws:kms:REGION:ACCOUNT:key/ID".to_owned()),
    }
}

pub(super) fn run(
    args: &PolicyArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let input = input::read(&args.manifests, &Overrides::default(), false, global, environment)?;
    output.problems(&input.warnings);
    let web_identity = args.issuer.clone().zip(args.subject.clone());
    let options = PolicyOptions {
        account: args.account.clone(),
        kms_keys: args.kms_keys.clone(),
        assume_role: args.assume_role,
        web_identity: web_identity.map(|(issuer, subject)| WebIdentity {
            issuer,
            subject,
            audience: args.audience.clone(),
        }),
    };
    let mut found = policies(&input.plan, &input.org, &options);
    if let Some(name) = &args.credential {
        named(&input.org, name)?;
        found.retain(|policy| policy.credential == *name);
    }
    if found.is_empty() {
        let what = "the manifests read nothing from AWS with such a credential";
        return Err(Error::invalid(Diagnostic::error("no-policy", what).hint("name a manifest with a secret of AWS")));
    }
    match args.format {
        OutputFormat::Json => {
            output.result(&json(&Policies { version: 1, policies: &found }))?;
        }
        OutputFormat::Text => {
            for policy in &found {
                output.note(&format!("{}: attach to {}{}", policy.name, policy.attach_to, fill_in(policy)));
            }
            output.result(&match &found[..] {
                [policy] => json(&policy.document),
                policies => json(&ByName(policies)),
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn fill_in(policy: &Policy) -> String {
    match &policy.fill_in[..] {
        [] => String::new(),
        placeholders => format!("; fill in {}", placeholders.join(", ")),
    }
}

/// Documents by their names, in the order of the org file: one JSON value, however many there are.
struct ByName<'a>(&'a [Policy]);

impl Serialize for ByName<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|policy| (&policy.name, &policy.document)))
    }
}

/// The policies, version 1.
#[derive(Serialize)]
struct Policies<'a> {
    version: u32,
    policies: &'a [Policy],
}
