//! Tests a credential: runs each step of reading a secret, in order, and reports the outcomes. It shows no value.

use std::fmt::Write as _;

use serde::Serialize;

use crate::diagnostic::Diagnostic;
use crate::diagnostic::foreign::ForeignText;
use crate::diagnostic::json::{self, Problem};
use crate::manifest::Version;
use crate::manifest::reference::{Reference, Selector};
use crate::secrets::any::AnyProvider;
use crate::secrets::aws::{ACCESS_DENIED, AwsProvider, is_of_settings, is_of_sts, is_unreachable, is_without_keys};
use crate::secrets::command::CommandProvider;
use crate::secrets::select::select;
use crate::secrets::select_problem::select_problem;
use crate::secrets::{Provider, ProviderError};

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepOutcome {
    Ok,
    /// It works but should be fixed.
    Warning,
    /// It does not work but is not required.
    Note,
    Failed,
    /// An earlier step failed.
    Skipped,
}

/// One step of the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestStep {
    pub name: &'static str,
    pub outcome: StepOutcome,
    /// The finding, in a few words.
    pub detail: String,
    pub diagnostic: Option<Diagnostic>,
}

/// The outcome of a test, version 1.
#[derive(Serialize)]
struct TestReport<'a> {
    version: u32,
    credential: &'a str,
    ok: bool,
    steps: Vec<StepReport<'a>>,
}

#[derive(Serialize)]
struct StepReport<'a> {
    name: &'static str,
    outcome: StepOutcome,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnostic: Option<Problem>,
}

/// Tells whether every required step works.
pub fn is_good(steps: &[TestStep]) -> bool {
    steps.iter().all(|step| !matches!(step.outcome, StepOutcome::Failed | StepOutcome::Skipped))
}

/// Returns the steps as text: one line each, with its diagnosis below.
pub fn text(steps: &[TestStep]) -> String {
    let mut text = String::new();
    for step in steps {
        let outcome = match step.outcome {
            StepOutcome::Ok => "ok",
            StepOutcome::Warning => "warning",
            StepOutcome::Note => "note",
            StepOutcome::Failed => "failed",
            StepOutcome::Skipped => "skipped",
        };
        // writing to a string cannot fail
        let _ = writeln!(text, "{}", format!("{outcome:<8} {:<12} {}", step.name, step.detail).trim_end());
        if let Some(diagnostic) = &step.diagnostic {
            let is_said = diagnostic.what == step.detail;
            let lines = diagnostic.causes.iter().map(|cause| format!("cause: {cause}"));
            let lines = lines.chain(diagnostic.hints.iter().map(|hint| format!("hint: {hint}")));
            let what = (!is_said).then(|| diagnostic.what.clone());
            for line in what.into_iter().chain(lines) {
                let _ = writeln!(text, "           {line}");
            }
        }
    }
    text
}

/// Returns the steps as JSON, version 1.
pub fn json(credential: &str, steps: &[TestStep]) -> String {
    let steps_report = steps.iter().map(|step| StepReport {
        name: step.name,
        outcome: step.outcome,
        detail: &step.detail,
        diagnostic: step.diagnostic.as_ref().map(Problem::from),
    });
    let report = TestReport { version: 1, credential, ok: is_good(steps), steps: steps_report.collect() };
    json::json(&report)
}

/// Tests a credential and, with a reference, that this secret can be read. The provider's own limits bound the time.
pub async fn test(provider: &AnyProvider, role: Option<&str>, reference: Option<&Reference>) -> Vec<TestStep> {
    let mut steps = Steps { done: Vec::new(), stopped: false };
    if let AnyProvider::Aws(aws) = provider {
        identity(&mut steps, aws, role).await;
    }
    match provider {
        AnyProvider::Command(command) => program(&mut steps, command, reference),
        AnyProvider::Aws(_) | AnyProvider::File(_) => list(&mut steps, provider, reference).await,
    }
    if let Some(reference) = reference {
        secret(&mut steps, provider, reference).await;
    }
    steps.done
}

struct Steps {
    done: Vec<TestStep>,
    /// Whether a step failed that the others depend on.
    stopped: bool,
}

impl Steps {
    fn add(&mut self, name: &'static str, outcome: StepOutcome, detail: impl Into<String>) {
        self.done.push(TestStep { name, outcome, detail: ForeignText::new(detail.into()).into(), diagnostic: None });
    }

    fn diagnosed(&mut self, name: &'static str, outcome: StepOutcome, diagnostic: Diagnostic) {
        let detail = diagnostic.what.clone();
        self.done.push(TestStep { name, outcome, detail, diagnostic: Some(diagnostic) });
    }

    /// Adds a failure that makes all later steps impossible.
    fn stop(&mut self, name: &'static str, failure: ProviderError) {
        self.diagnosed(name, StepOutcome::Failed, *failure.diagnostic);
        self.stopped = true;
    }

    fn is_skipped(&mut self, name: &'static str) -> bool {
        if self.stopped {
            self.add(name, StepOutcome::Skipped, "");
        }
        self.stopped
    }
}

async fn identity(steps: &mut Steps, aws: &AwsProvider, role: Option<&str>) {
    if let Some(token) = aws.token() {
        match token {
            Ok(words) => steps.add("token", StepOutcome::Ok, words),
            Err(failure) => return steps.stop("token", failure),
        }
        match aws.assume_role().await {
            Ok(session) => steps.add("assume-role", StepOutcome::Ok, session.map_or_else(String::new, |who| who.arn)),
            Err(failure) => steps.stop("assume-role", failure),
        }
        return;
    }
    match aws.identity().await {
        Ok(identity) => {
            steps.add("endpoint", StepOutcome::Ok, "AWS answers");
            steps.add("identity", StepOutcome::Ok, identity.arn);
        }
        Err(failure) if is_unreachable(&failure) && role.is_none() => {
            // without a role, secrets are read without STS: the next step shows whether they can be
            steps.diagnosed("endpoint", StepOutcome::Note, *failure.diagnostic);
            steps.add(
                "identity",
                StepOutcome::Note,
                "not known: STS was not reached, and is not needed without a role",
            );
        }
        Err(failure) if is_unreachable(&failure) || is_of_settings(&failure) => {
            steps.stop("endpoint", failure);
            steps.add("identity", StepOutcome::Skipped, "");
        }
        Err(failure) if is_without_keys(&failure) => {
            steps.add("endpoint", StepOutcome::Skipped, "nothing was sent");
            steps.stop("identity", failure);
        }
        Err(failure) if is_of_sts(&failure) && role.is_none() => {
            steps.add("endpoint", StepOutcome::Ok, "AWS answers");
            let diagnostic = failure.diagnostic.hint("without a role, secrets are read without STS");
            steps.diagnosed("identity", StepOutcome::Note, diagnostic);
        }
        Err(failure) => {
            steps.add("endpoint", StepOutcome::Ok, "AWS answers");
            steps.stop("identity", failure);
        }
    }
    let Some(role) = role else { return };
    if steps.is_skipped("assume-role") {
        return;
    }
    match aws.assume_role().await {
        Err(failure) => return steps.stop("assume-role", failure),
        Ok(session) => {
            steps.add("assume-role", StepOutcome::Ok, session.map_or_else(|| role.to_owned(), |who| who.arn))
        }
    }
    match aws.role_demands_external_id().await {
        Ok(None) => {}
        Ok(Some(true)) => steps.add("external-id", StepOutcome::Ok, "the role refuses requests without it"),
        Ok(Some(false)) => {
            let what = "the role is assumed without the External ID too";
            let warning = Diagnostic::warning("external-id-not-required", what)
                .cause("its trust policy has no condition on sts:ExternalId, so that the ID protects nothing")
                .hint(r#"add to the trust policy's statement: "Condition":{"StringEquals":{"sts:ExternalId":"EXTERNAL_ID"}}"#);
            steps.diagnosed("external-id", StepOutcome::Warning, warning);
        }
        Err(failure) => steps.diagnosed("external-id", StepOutcome::Note, *failure.diagnostic),
    }
}

fn program(steps: &mut Steps, command: &CommandProvider, reference: Option<&Reference>) {
    match command.program() {
        Ok(path) => steps.add("program", StepOutcome::Ok, path.display().to_string()),
        Err(failure) => return steps.stop("program", failure),
    }
    if reference.is_none() {
        let what = "not run: a command reads one secret and cannot list them";
        let note = Diagnostic::warning("not-run", what).hint("name a secret with --secret to run it");
        steps.diagnosed("read", StepOutcome::Note, note);
    }
}

async fn list(steps: &mut Steps, provider: &AnyProvider, reference: Option<&Reference>) {
    if steps.is_skipped("list") {
        return;
    }
    // with a secret to read, a policy without ListSecrets is fine
    let bad = if reference.is_some() { StepOutcome::Note } else { StepOutcome::Failed };
    match provider.list("").await {
        Ok(names) if !names.is_empty() => {
            let plural = if names.len() == 1 { "" } else { "s" };
            steps.add("list", StepOutcome::Ok, format!("{} secret{plural}", names.len()));
        }
        Ok(_) => {
            let diagnostic = Diagnostic::error("no-secrets-found", "no secrets found");
            let diagnostic = match provider {
                AnyProvider::Aws(_) => diagnostic
                    .cause("the credential's region is not where the secrets live")
                    .cause("there is none yet, or a new one is not listed yet: that can take five minutes")
                    .hint("check the credential's `region`, and test one secret by its name with --secret"),
                AnyProvider::Command(_) | AnyProvider::File(_) => diagnostic
                    .cause("the secrets file has none")
                    .hint("write some under `secrets:` in the file that the credential's `path` names"),
            };
            steps.diagnosed("list", bad, diagnostic);
        }
        Err(failure) if is_unreachable(&failure) => steps.stop("list", failure),
        Err(failure) => {
            let is_denial = failure.diagnostic.code == ACCESS_DENIED;
            let outcome = if is_denial { bad } else { StepOutcome::Failed };
            let mut diagnostic = *failure.diagnostic;
            if reference.is_none() && is_denial {
                diagnostic
                    .hints
                    .push("where the policy is meant to be narrower, test one secret with --secret".to_owned());
            }
            steps.diagnosed("list", outcome, diagnostic);
        }
    }
}

async fn secret(steps: &mut Steps, provider: &AnyProvider, reference: &Reference) {
    let Reference { id, selector } = reference;
    if provider.describes() && !steps.is_skipped("describe") {
        match provider.describe(id, &Version::Current).await {
            Ok(known) => {
                let key = known.kms_key_id.map(|key| format!(", encrypted with {key}")).unwrap_or_default();
                steps.add("describe", StepOutcome::Ok, format!("{}{key}", known.arn.unwrap_or(known.name)));
            }
            // a bake does not need it; only drift and --online do
            Err(failure) => steps.diagnosed("describe", StepOutcome::Note, *failure.diagnostic),
        }
    }
    if steps.is_skipped("read") {
        if *selector != Selector::Whole {
            steps.is_skipped("key");
        }
        return;
    }
    let value = match provider.read(id, &Version::Current).await {
        Ok(value) => value,
        Err(failure) => {
            steps.stop("read", failure);
            if *selector != Selector::Whole {
                steps.is_skipped("key");
            }
            return;
        }
    };
    value.bytes.remember();
    let version = value.version_id.map(|id| format!("version {id}")).unwrap_or_default();
    steps.add("read", StepOutcome::Ok, version);
    if *selector == Selector::Whole {
        return;
    }
    match select(&value.bytes, selector) {
        Ok(_) => steps.add("key", StepOutcome::Ok, selector.to_string()),
        Err(error) => {
            steps.diagnosed("key", StepOutcome::Failed, select_problem(id.as_str(), selector, &error, value.binary))
        }
    }
}
