//! Decides whether a credential can read what a manifest names, as far as the two files tell.
//!
//! It is pure. Without it, the provider would refuse the same things later, some with a less clear error.

use super::command::NAME;
use super::{AwsService, Credential, Settings};
use crate::diagnostic::Diagnostic;
use crate::manifest::foreign_reference::named_elsewhere;
use crate::manifest::reference::{Reference, SecretId, Selector};
use crate::manifest::{SecretUse, Version};

impl Credential {
    /// Returns why the credential can never read this version of this secret; `None` if it may.
    pub fn refusal(&self, secret: &SecretUse) -> Option<Diagnostic> {
        match &self.settings {
            Settings::Command(settings) => {
                self.refused_by_command(&settings.command, &secret.reference.value.id, &secret.version)
            }
            Settings::Aws(aws) => self.refused_by_aws(aws.service, secret),
            Settings::File(_) => None,
        }
    }

    /// Returns why the credential can never read everything below this path; `None` if nothing speaks against it.
    pub fn path_refusal(&self, path: &Reference, version: &Version) -> Option<Diagnostic> {
        let Reference { id, selector } = path;
        let is_parameter_store =
            matches!(&self.settings, Settings::Aws(aws) if aws.service == AwsService::ParameterStore);
        if !is_parameter_store {
            let what = format!("{id} is a path, and the credential `{}` has no paths", self.name);
            let hint = "name a credential with `provider: aws-parameter-store`, or write a secret's name without `/` at its end";
            return Some(Diagnostic::error("no-paths", what).hint(hint));
        }
        let (what, hint) = if id.is_arn() {
            let what = "a path is written without its ARN: only one's own account can be read by a path";
            (what, format!("write `secret: {}`", id.name()))
        } else if !id.as_str().starts_with('/') {
            ("a path of Parameter Store begins with `/`", format!("write `secret: /{id}`"))
        } else if *selector != Selector::Whole {
            let hint = format!("write `secret: {id}`, or the whole name of the parameter whose keys you want");
            ("a path has no JSON key", hint)
        } else if *version != Version::Current {
            let hint = "remove it: the newest version of each parameter is read; write one with a version under `env:`";
            ("a version is named, and a path has many parameters", hint.to_owned())
        } else {
            return None;
        };
        Some(Diagnostic::error("bad-path", what).hint(hint))
    }

    fn refused_by_aws(&self, service: AwsService, secret: &SecretUse) -> Option<Diagnostic> {
        let Reference { id, selector } = &secret.reference.value;
        let is_parameter_store = service == AwsService::ParameterStore;
        let (own, other) = match is_parameter_store {
            true => ("parameters", "aws-secrets-manager"),
            false => ("secrets", "aws-parameter-store"),
        };
        if id.is_arn() && id.is_parameter_arn() != is_parameter_store {
            let kind = if is_parameter_store { "secret" } else { "parameter" };
            let what = format!("the ARN is of a {kind}, the credential `{}` reads {own}", self.name);
            let hint = format!("name a credential with `provider: {other}`");
            return Some(Diagnostic::error("other-service", what).hint(hint));
        }
        if let Some((what, name)) = named_elsewhere(id.as_str()).filter(|_| !is_parameter_store) {
            let problem = Diagnostic::error("named-elsewhere", format!("{what} (credential `{}`)", self.name));
            let problem = problem.hint(format!("write `secret: {name}{selector}`, its name in AWS Secrets Manager"));
            return Some(problem.hint("if the secret really has this name, write its ARN"));
        }
        if is_parameter_store && id.is_path() {
            let what = format!("{id} is a path, not one parameter");
            let hint = "write it under `env_from:` for everything below it, or write a parameter's whole name";
            return Some(Diagnostic::error("path-for-name", what).hint(hint));
        }
        // the ID of a secret's version may have digits only, but at least 32
        let is_number = |id: &String| id.bytes().all(|byte| byte.is_ascii_digit()) && id.len() < 32;
        let begins = |stage: &String| stage.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("aws"));
        let (what, hint) = match (is_parameter_store, &secret.version) {
            (true, Version::Id(id)) if !is_number(id) => (
                "version_id is for secrets; a parameter's versions have numbers",
                "write `version: NUMBER`, or `label: NAME`",
            ),
            (true, Version::Stage(stage)) if begins(stage) => (
                "a parameter has no AWS version stages",
                "write `label: NAME` or `version: NUMBER`, or leave it out for the newest",
            ),
            (false, Version::Id(id)) if is_number(id) => (
                "version is for parameters; a secret's versions have IDs",
                "write `version_id: ID` or `version_stage: NAME`",
            ),
            (false, _) if secret.has_label => {
                ("label is for parameters; a secret's versions have stages", "write `version_stage: NAME`")
            }
            _ => return None,
        };
        Some(Diagnostic::error("other-version", format!("{what} (credential `{}`)", self.name)).hint(hint))
    }

    fn refused_by_command(&self, command: &[String], id: &SecretId, version: &Version) -> Option<Diagnostic> {
        let name = id.as_str();
        let begins = |argument: &String| argument.starts_with(NAME);
        if name.starts_with('-') && command.iter().any(begins) {
            let what = format!("the name begins with `-`, which {} takes for an option", command[0]);
            let hint = format!("write text in front of {NAME} in the `command` of `{}`, such as ./{NAME}", self.name);
            return Some(Diagnostic::error("name-is-an-option", what).hint(hint));
        }
        if name.split('/').any(|part| part == "..") {
            let what = "the name has a part `..`, which can leave the path that the command names";
            return Some(Diagnostic::error("name-leads-out", what).hint("write the secret's name in full"));
        }
        if *version != Version::Current {
            let what = format!("a version is named, and a command has none (credential `{}`)", self.name);
            let hint = "remove it: a command prints the current value";
            return Some(Diagnostic::error("no-versions", what).hint(hint));
        }
        None
    }
}
