//! Checks that each secret and key of a plan exists and can be used, for `--dry-run --online`. It writes nothing.
//!
//! References to a key, or to all keys, are checked by reading the secret, because only its value shows the keys. All others, and
//! paths, are checked by describing them.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use serde::Serialize;

use crate::diagnostic::Diagnostic;
use crate::manifest::Version;
use crate::manifest::reference::Selector;
use crate::plan::same_secret::may_be_answered_by;
use crate::plan::{Plan, PlannedEnvFrom, Read, Use};
use crate::secrets::env_from::{EnvFromFinder, Whole};
use crate::secrets::resolve::ask_once;
use crate::secrets::select::{Selection, select};
use crate::secrets::select_problem::{
    JSON_NULL, KEY_NOT_FOUND, LONE_SURROGATE, NOT_AN_OBJECT, NOT_JSON, repeated_key_warning, select_problem,
};
use crate::secrets::{Provider, ProviderError, ProviderErrorKind, SecretDescription, SecretValue};

/// How many secrets to request at once.
const AT_ONCE: usize = 64;

/// Whether one reference can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceStatus {
    /// The secret has the version; reading it was not tried.
    Found,
    /// The secret was read and has the key.
    KeyPresent,
    /// It does not exist, and the manifest allows that.
    Absent,
    /// The secret or the version does not exist, or nothing is below the path.
    Missing,
    /// The secret exists, but not the key.
    KeyMissing,
    /// The key's value is null.
    KeyNull,
    /// The secret exists, but its value is not JSON, or not an object where one is needed.
    NotAnObject,
    /// A key of a whole secret gives no variable, or one that another key gives, too.
    KeyUnusable,
    /// The provider denied access.
    NotAllowed,
    /// The check failed.
    Failed,
}

impl ReferenceStatus {
    /// Tells whether the secret, version and key exist.
    pub fn is_found(self) -> bool {
        matches!(self, ReferenceStatus::Found | ReferenceStatus::KeyPresent)
    }

    /// Returns the status in words.
    pub fn words(self) -> &'static str {
        match self {
            ReferenceStatus::Found => "found",
            ReferenceStatus::KeyPresent => "found, key present",
            ReferenceStatus::Absent => "absent, left out",
            ReferenceStatus::Missing => "not found",
            ReferenceStatus::KeyMissing => "found, key missing",
            ReferenceStatus::KeyNull => "found, key is null",
            ReferenceStatus::NotAnObject => "found, not a JSON object",
            ReferenceStatus::KeyUnusable => "found, a key gives no variable",
            ReferenceStatus::NotAllowed => "not allowed",
            ReferenceStatus::Failed => "could not be asked",
        }
    }
}

/// One use of a secret, by a variable or file, and the result of its check.
pub struct ProbedUse<'a> {
    pub usage: &'a Use,
    pub status: ReferenceStatus,
    /// With `env_from`, the variables from the secret, sorted.
    pub names: Option<Vec<String>>,
    /// The errors and warnings that a bake would report here, each with its place.
    pub problems: Vec<Diagnostic>,
}

/// The provider's answer to one read.
#[derive(Clone)]
enum Answer {
    Read(SecretValue),
    Described(SecretDescription),
    /// The keys of the secrets below a path.
    Below(Vec<String>),
}

/// Requests every secret of the plan once. Returns all uses in the plan's order: images, whole secrets, variables, files.
///
/// `providers` are indexed by credential; `None` for a credential that no read uses.
pub async fn probe<'a, P: Provider + Sync>(plan: &'a Plan, providers: &[Option<P>]) -> Vec<ProbedUse<'a>> {
    let mut has_key = vec![false; plan.reads.len()];
    for usage in plan.uses() {
        has_key[usage.read] |= usage.selector != Selector::Whole;
    }
    for entry in plan.images.iter().flat_map(|image| &image.env_from) {
        has_key[entry.source.read] = true;
    }
    // what answers another read too has to show its keys
    for (index, named) in may_be_answered_by(&plan.reads).into_iter().enumerate() {
        if let Some(named) = named {
            has_key[named] |= has_key[index];
        }
    }
    let has_key = &has_key;
    let ask_all = async |indices: &[usize]| {
        let asked = indices.iter().map(|&index| async move {
            let read = &plan.reads[index];
            match &providers[read.credential] {
                Some(provider) => (index, ask(provider, read, has_key[index]).await),
                None => unreachable!("a provider is connected for each credential that a read uses"),
            }
        });
        futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).collect::<BTreeMap<_, _>>().await
    };
    let arn = |answer: &Answer| match answer {
        Answer::Read(value) => value.arn.clone(),
        Answer::Described(description) => description.arn.clone(),
        Answer::Below(_) => None,
    };
    let (answers, _) = ask_once(&plan.reads, ask_all, arn).await;
    let mut probed = Vec::new();
    for image in &plan.images {
        let mut finder = EnvFromFinder::new(image);
        for entry in &image.env_from {
            probed.push(judge_whole(plan, entry, &mut finder, &answers));
        }
        probed.extend(image.uses().map(|usage| judge_use(plan, usage, &answers)));
    }
    probed
}

fn judge_use<'a>(plan: &Plan, usage: &'a Use, answers: &[Result<Answer, ProviderError>]) -> ProbedUse<'a> {
    let (status, problem) = judge(&plan.reads[usage.read], usage, &answers[usage.read]);
    let problems = problem.map(|problem| problem.at(usage.place.clone())).into_iter().collect();
    ProbedUse { usage, status, names: None, problems }
}

/// Checks a secret whose keys become variables, which was read, or a path.
fn judge_whole<'a>(
    plan: &Plan,
    entry: &'a PlannedEnvFrom,
    finder: &mut EnvFromFinder<'_>,
    answers: &[Result<Answer, ProviderError>],
) -> ProbedUse<'a> {
    let usage = &entry.source;
    let read = &plan.reads[usage.read];
    let whole = match &answers[usage.read] {
        Ok(Answer::Read(value)) => Whole::Secret(value),
        Ok(Answer::Below(keys)) => Whole::Path(keys.iter().map(String::as_str).collect()),
        _ => return judge_use(plan, usage, answers),
    };
    let (status, names, mut problems) = match finder.find(entry, read, &whole) {
        Ok(found) => (ReferenceStatus::Found, Some(found.into_iter().map(|found| found.name).collect()), Vec::new()),
        Err(problems) => (problems.first().map_or(ReferenceStatus::KeyUnusable, status_of), None, problems),
    };
    problems.append(&mut finder.warnings);
    ProbedUse { usage, status, names, problems }
}

/// Returns the status of a whole secret with this problem.
fn status_of(problem: &Diagnostic) -> ReferenceStatus {
    match problem.code {
        KEY_NOT_FOUND => ReferenceStatus::KeyMissing,
        JSON_NULL => ReferenceStatus::KeyNull,
        NOT_JSON | NOT_AN_OBJECT | LONE_SURROGATE => ReferenceStatus::NotAnObject,
        _ => ReferenceStatus::KeyUnusable,
    }
}

async fn ask<P: Provider>(provider: &P, read: &Read, has_key: bool) -> Result<Answer, ProviderError> {
    if read.is_path {
        let below = provider.describe_below(&read.id).await?;
        let key = |secret: &SecretDescription| secret.name.strip_prefix(read.id.as_str()).map(str::to_owned);
        return Ok(Answer::Below(below.iter().filter_map(key).collect()));
    }
    if has_key || !provider.describes() {
        return provider.read(&read.id, &read.version).await.map(Answer::Read);
    }
    let description = provider.describe(&read.id, &read.version).await?;
    match &read.version {
        // a version without a stage is not listed but can be read while the provider keeps it
        Version::Id(wanted) if !description.deleted && !has_version(&description, wanted) => {
            provider.read(&read.id, &read.version).await.map(Answer::Read)
        }
        _ => Ok(Answer::Described(description)),
    }
}

fn has_version(description: &SecretDescription, wanted: &str) -> bool {
    description.versions.iter().any(|version| version.id.as_deref() == Some(wanted))
}

fn judge(read: &Read, usage: &Use, answer: &Result<Answer, ProviderError>) -> (ReferenceStatus, Option<Diagnostic>) {
    let absent_or =
        |status, problem| if usage.optional { (ReferenceStatus::Absent, None) } else { (status, Some(problem)) };
    match answer {
        Err(failure) => {
            let problem = (*failure.diagnostic).clone();
            match failure.kind {
                ProviderErrorKind::NotFound => absent_or(ReferenceStatus::Missing, problem),
                ProviderErrorKind::Denied => (ReferenceStatus::NotAllowed, Some(problem)),
                ProviderErrorKind::Other => (ReferenceStatus::Failed, Some(problem)),
            }
        }
        Ok(Answer::Read(value)) => match select(&value.bytes, &usage.selector) {
            Ok(_) if usage.selector == Selector::Whole => (ReferenceStatus::Found, None),
            Ok(Selection { repeated_key, .. }) => {
                (ReferenceStatus::KeyPresent, repeated_key.map(|key| repeated_key_warning(&read.id, &key)))
            }
            Err(error) => {
                let problem = select_problem(&read.id.to_string(), &usage.selector, &error, value.binary);
                match status_of(&problem) {
                    ReferenceStatus::KeyMissing => absent_or(ReferenceStatus::KeyMissing, problem),
                    status => (status, Some(problem)),
                }
            }
        },
        Ok(Answer::Below(_)) => (ReferenceStatus::Found, None),
        Ok(Answer::Described(description)) => match missing(read, description) {
            None => (ReferenceStatus::Found, None),
            // a secret scheduled for deletion cannot be read, and `optional` does not excuse that
            Some(problem) if description.deleted => (ReferenceStatus::Missing, Some(problem)),
            Some(problem) => absent_or(ReferenceStatus::Missing, problem),
        },
    }
}

/// Returns the error if a described secret lacks the version.
fn missing(read: &Read, description: &SecretDescription) -> Option<Diagnostic> {
    let id = &read.id;
    if description.deleted {
        let what = format!("{id} is scheduled for deletion");
        let hint = format!("restore it: aws secretsmanager restore-secret --secret-id {id}");
        return Some(Diagnostic::error("secret-deleted", what).hint(hint));
    }
    let has_stage = |stage: &str| description.stages().contains(&stage);
    let asked = match &read.version {
        Version::Current if !has_stage("AWSCURRENT") => "the stage AWSCURRENT".to_owned(),
        Version::Stage(stage) if !has_stage(stage) => format!("the stage {stage}"),
        _ => return None,
    };
    let stages = match description.stages()[..] {
        [] => "it has no version with a stage".to_owned(),
        ref stages => format!("its stages are {}", stages.join(", ")),
    };
    Some(
        Diagnostic::error("version-not-found", format!("secret version not found: {id} has none with {asked}"))
            .hint(stages),
    )
}
