//! Describes what the secrets of images are now: each secret once, however many images hold it, and side by side.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;

use super::{Below, DescribedSecret, Known, described_by_name, known_from_paths, paths, subjects, version_of};
use crate::diagnostic::{Diagnostic, Subject};
use crate::image::provenance::Provenance;
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::org::Org;
use crate::secrets::{Provider, ProviderError, ProviderErrorKind, SecretDescription};

/// What is known of the secrets of some images.
#[derive(Default)]
pub struct Described {
    pub known: BTreeMap<DescribedSecret, Known>,
    pub below: BTreeMap<DescribedSecret, Below>,
    /// Why the rest is not known.
    pub problems: Vec<Diagnostic>,
}

/// Returns the names of the credentials that the images were baked with.
pub fn credentials(images: &[&Provenance]) -> BTreeSet<String> {
    let (wanted, paths) = (subjects(images.iter().copied()), paths(images.iter().copied()));
    wanted.into_iter().chain(paths).map(|(name, _)| name).collect()
}

/// Describes each secret of the images once, `jobs` at a time. `providers` are by credential index; `None` for a credential that no
/// image was baked with, or that cannot be used, which the caller reports.
pub async fn describe_all<P: Provider>(
    images: &[&Provenance],
    org: &Org,
    providers: &[Option<P>],
    jobs: usize,
) -> Described {
    let mut described = Described::default();
    described.add(images, org, providers, jobs).await;
    described
}

impl Described {
    /// Describes those secrets of the images that are not known yet, like [`describe_all`]. `images` are all of them, those whose secrets
    /// are known included.
    pub async fn add<P: Provider>(&mut self, images: &[&Provenance], org: &Org, providers: &[Option<P>], jobs: usize) {
        let (wanted, paths) = (subjects(images.iter().copied()), paths(images.iter().copied()));
        let version = |subject: &DescribedSecret| version_of(images.iter().copied(), subject);
        let asked = paths.into_iter().filter(|path| !self.below.contains_key(path));
        let asked = asked.map(|path| list(path, org, providers)).collect::<Vec<_>>();
        for (path, answer) in futures_util::stream::iter(asked).buffered(jobs).collect::<Vec<_>>().await {
            let answer = answer.unwrap_or_else(|problem| {
                self.problems.push(problem);
                Below::Unasked
            });
            self.below.insert(path, answer);
        }
        // a list tells the current versions only
        let listed = known_from_paths(images.iter().copied(), &self.below);
        self.known.extend(listed.into_iter().filter(|(subject, _)| version(subject) == Version::Current));
        let serves = |known: &Known, subject: &DescribedSecret| match known {
            Known::Described(description) => description.has_all_versions || version(subject) == Version::Current,
            Known::Missing | Known::Unasked => true,
        };
        let is_known = |subject: &DescribedSecret| self.known.get(subject).is_some_and(|known| serves(known, subject));
        let wanted = wanted.into_iter().filter(|subject| !is_known(subject)).collect::<Vec<_>>();
        // names first: their answers tell the ARNs, and no secret is described twice
        let (arns, names): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(_, secret)| secret.starts_with("arn:"));
        for subjects in [names, arns] {
            let mut asked = Vec::new();
            for subject in subjects {
                match described_by_name(&subject, &self.known).filter(|known| serves(known, &subject)) {
                    Some(known) => {
                        self.known.insert(subject, known);
                    }
                    None => asked.push((version(&subject), subject)),
                }
            }
            let (mut answers, asked) = describe_together(asked, org, providers, jobs).await;
            let asked = asked.into_iter().map(|(version, subject)| describe(subject, version, org, providers));
            answers.extend(futures_util::stream::iter(asked).buffered(jobs).collect::<Vec<_>>().await);
            for (subject, answer) in answers {
                let answer = answer.unwrap_or_else(|problem| {
                    self.problems.push(problem);
                    Known::Unasked
                });
                self.known.insert(subject, answer);
            }
        }
    }
}

/// What is known of a secret, or why it is not.
type Answer = (DescribedSecret, Result<Known, Diagnostic>);

/// A provider, and what it is asked for.
type Batch<'p, P> = (&'p P, Vec<(DescribedSecret, SecretId)>);

/// Describes the secrets whose providers describe several in one call. Also returns the rest, to be described one by one.
async fn describe_together<P: Provider>(
    subjects: Vec<(Version, DescribedSecret)>,
    org: &Org,
    providers: &[Option<P>],
    jobs: usize,
) -> (Vec<Answer>, Vec<(Version, DescribedSecret)>) {
    let mut by_credential: BTreeMap<String, Batch<'_, P>> = BTreeMap::new();
    let (mut answers, mut rest) = (Vec::new(), Vec::new());
    for (version, subject) in subjects {
        match asked(&subject, org, providers) {
            Ok((provider, id)) if version == Version::Current && provider.describe_size() > 1 => {
                by_credential.entry(subject.0.clone()).or_insert((provider, Vec::new())).1.push((subject, id));
            }
            _ => rest.push((version, subject)),
        }
    }
    let calls = by_credential.into_values().flat_map(|(provider, mut left)| {
        let mut calls = Vec::new();
        while !left.is_empty() {
            let some: Vec<_> = left.drain(..left.len().min(provider.describe_size())).collect();
            calls.push(async move {
                let ids: Vec<&SecretId> = some.iter().map(|(_, id)| id).collect();
                let answers = provider.describe_together(&ids).await;
                some.into_iter().map(|(subject, _)| subject).zip(answers).collect::<Vec<_>>()
            });
        }
        calls
    });
    let told: Vec<_> = futures_util::stream::iter(calls).buffered(jobs).collect().await;
    for (subject, answer) in told.into_iter().flatten() {
        match answer {
            Some(answer) => answers.push((subject, known(answer))),
            None => rest.push((Version::Current, subject)),
        }
    }
    (answers, rest)
}

/// Returns what a description says; that the provider does not have the secret is an answer too.
fn known(answer: Result<SecretDescription, ProviderError>) -> Result<Known, Diagnostic> {
    match answer {
        Ok(description) => Ok(Known::Described(description)),
        Err(failure) if failure.kind == ProviderErrorKind::NotFound => Ok(Known::Missing),
        Err(failure) => Err(*failure.diagnostic),
    }
}

/// Describes one secret.
async fn describe<P: Provider>(
    subject: DescribedSecret,
    version: Version,
    org: &Org,
    providers: &[Option<P>],
) -> Answer {
    let answer = match asked(&subject, org, providers) {
        Err(problem) => problem.map_or(Ok(Known::Unasked), Err),
        Ok((provider, id)) => known(provider.describe(&id, &version).await),
    };
    (subject, answer)
}

/// Describes everything below one path.
async fn list<P: Provider>(
    path: DescribedSecret,
    org: &Org,
    providers: &[Option<P>],
) -> (DescribedSecret, Result<Below, Diagnostic>) {
    let answer = match asked(&path, org, providers) {
        Err(problem) => problem.map_or(Ok(Below::Unasked), Err),
        Ok((provider, id)) => match provider.describe_below(&id).await {
            Ok(found) => Ok(Below::Listed(found)),
            Err(failure) if failure.kind == ProviderErrorKind::NotFound => Ok(Below::Listed(Vec::new())),
            Err(failure) => Err(*failure.diagnostic),
        },
    };
    (path, answer)
}

/// Returns whom to ask for a subject, and for what; else the problem, unless it is that of the credential.
fn asked<'a, P>(
    (credential, secret): &DescribedSecret,
    org: &Org,
    providers: &'a [Option<P>],
) -> Result<(&'a P, SecretId), Option<Diagnostic>> {
    let Some(index) = org.credentials.iter().position(|other| other.name == *credential) else {
        let [before, after] = [format!("no credential `{credential}`, with which "), " were baked".to_owned()];
        let problem = Diagnostic::error("unknown-credential", format!("{before}{secret} was baked"));
        let of_many = Some([before, after]);
        let subject = Subject { name: secret.clone(), kind: "secret", of_many, hints: Vec::new() };
        let hint = "name the org file that the image was baked with, by --org or $SECRETBAKE_ORG";
        return Err(Some(problem.hint(hint).about(subject)));
    };
    let provider = providers[index].as_ref().ok_or(None)?;
    let id = SecretId::new(secret).map_err(|error| {
        Diagnostic::error("bad-reference", format!("the image's label: {error}")).hint("bake the image again")
    })?;
    Ok((provider, id))
}
