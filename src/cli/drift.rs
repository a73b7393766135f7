//! `secretbake drift`: which baked versions are no longer current; it describes secrets and reads none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use serde::Serialize;

use super::arguments::{OutputFormat, Registries, image_name, platform};
use super::environment::Environment;
use super::output::Output;
use super::{Global, in_runtime, input, inspect, short, wiring};
use crate::diagnostic::json::Problem;
use crate::diagnostic::{Diagnostic, Error, Status};
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::image::provenance::Provenance;
use crate::image::time;
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::ops::drift::{
    Below, DescribedSecret, Finding, Known, State, described_by_name, findings, known_from_paths, paths, subjects,
    version_of,
};
use crate::org::Org;
use crate::org::file::Loaded;
use crate::runtime::blocking;
use crate::runtime::unfinished::Unfinished;
use crate::secrets::any::AnyProvider;
use crate::secrets::{Provider as _, ProviderErrorKind};

/// The exit status of a run that found drift.
const DRIFTED: u8 = 3;
/// How many secrets are described, and images read, at once.
const AT_ONCE: usize = 16;

#[derive(clap::Args)]
#[command(after_help = "Exit status: 3 if an image drifted; 1 if some state is unknown; 0 otherwise\n
Examples:
  secretbake drift crew:1.4.2-prod
  docker images -q crew | xargs secretbake drift --format json")]
pub(super) struct Args {
    /// Baked images
    #[arg(required = true, value_name = "IMAGE", value_parser = image_name)]
    images: Vec<ImageName>,
    /// Platform of a multi-platform image, for example linux/arm64
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    platform: Option<Platform>,
    #[command(flatten)]
    registries: Registries,
    /// Output format
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// What `drift` found, version 1.
#[derive(Serialize)]
struct Drift {
    version: u32,
    images: Vec<ImageDrift>,
    diagnostics: Vec<Problem>,
}

#[derive(Serialize)]
struct ImageDrift {
    image: String,
    /// `current`, `drifted` or `unknown`.
    status: &'static str,
    findings: Vec<Finding>,
}

pub(super) fn run(args: &Args, global: &Global, environment: &Environment, output: &Output) -> Result<ExitCode, Error> {
    let ended = input::org(global, environment).and_then(|loaded| {
        let loaded = Arc::new(loaded);
        in_runtime(|cleanup| drift(args, &loaded, environment, output, cleanup))
    });
    if let (Err(error), OutputFormat::Json) = (&ended, args.format) {
        let unknown =
            |name: &ImageName| ImageDrift { image: name.to_string(), status: "unknown", findings: Vec::new() };
        let images = args.images.iter().map(unknown).collect();
        let diagnostics = error.diagnostics.iter().map(Problem::from).collect();
        output.result(&super::json(&Drift { version: 1, images, diagnostics }))?;
    }
    ended
}

async fn drift(
    args: &Args,
    loaded: &Arc<Loaded>,
    environment: &Environment,
    output: &Output,
    cleanup: Unfinished,
) -> Result<ExitCode, Error> {
    let stores = wiring::stores(Some(&loaded.org), environment, &args.registries, cleanup);
    let read = args.images.iter().map(|name| inspect::provenance(&stores, name, args.platform.as_ref()));
    let read: Vec<Result<Provenance, Diagnostic>> = futures_util::stream::iter(read).buffered(AT_ONCE).collect().await;
    let (wanted, paths) = (subjects(read.iter().flatten()), paths(read.iter().flatten()));
    let version = |subject: &DescribedSecret| version_of(read.iter().flatten(), subject);
    let used = wanted.iter().chain(&paths).map(|(name, _)| name.clone()).collect();
    let providers = providers(used, loaded, environment).await?;
    let mut problems = Vec::new();
    let asked = paths.into_iter().map(|path| list(path, &loaded.org, &providers));
    let mut below = BTreeMap::new();
    for (path, answer) in futures_util::stream::iter(asked).buffered(AT_ONCE).collect::<Vec<_>>().await {
        let answer = answer.unwrap_or_else(|problem| {
            problems.push(problem);
            Below::Unasked
        });
        below.insert(path, answer);
    }
    // a list tells the current versions only
    let mut known = known_from_paths(read.iter().flatten(), &below);
    known.retain(|subject, _| version(subject) == Version::Current);
    let wanted = wanted.into_iter().filter(|subject| !known.contains_key(subject)).collect::<Vec<_>>();
    // names first: their answers tell the ARNs, and no secret is described twice
    let (arns, names): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(_, secret)| secret.starts_with("arn:"));
    for subjects in [names, arns] {
        let (told, asked): (Vec<_>, Vec<_>) = subjects
            .into_iter()
            .map(|subject| {
                // a description by name has perhaps the current version only
                let is_current = version(&subject) == Version::Current;
                (described_by_name(&subject, &known).filter(|_| is_current), subject)
            })
            .partition(|(answer, _)| answer.is_some());
        known.extend(told.into_iter().filter_map(|(answer, subject)| Some((subject, answer?))));
        let asked = asked.into_iter().map(|(_, subject)| (version(&subject), subject));
        let asked = asked.map(|(version, subject)| describe(subject, version, &loaded.org, &providers));
        for (subject, answer) in futures_util::stream::iter(asked).buffered(AT_ONCE).collect::<Vec<_>>().await {
            let answer = answer.unwrap_or_else(|problem| {
                problems.push(problem);
                Known::Unasked
            });
            known.insert(subject, answer);
        }
    }
    let images = args.images.iter().zip(read).map(|(name, provenance)| {
        let findings = match provenance {
            Ok(provenance) => findings(&provenance, &known, &below),
            Err(problem) => {
                problems.push(problem);
                return ImageDrift { image: name.to_string(), status: "unknown", findings: Vec::new() };
            }
        };
        let any = |test: fn(State) -> bool| findings.iter().any(|finding| test(finding.state));
        let status = match (any(State::drifted), any(State::untold)) {
            (true, _) => "drifted",
            (_, true) => "unknown",
            _ => "current",
        };
        ImageDrift { image: name.to_string(), status, findings }
    });
    let images = images.collect();
    print(images, &problems, args.format, output)
}

/// Makes the providers of the credentials with these names, off the thread that listens for an interrupt: a file of theirs may be a pipe.
async fn providers(
    used: BTreeSet<String>,
    loaded: &Arc<Loaded>,
    environment: &Environment,
) -> Result<Vec<Option<AnyProvider>>, Error> {
    let (loaded, environment) = (Arc::clone(loaded), environment.clone());
    let made = blocking::detached(move || {
        let is_used = |index: usize| used.contains(&loaded.org.credentials[index].name);
        wiring::providers(&loaded.org, &loaded.directory, &environment, is_used)
    });
    made.await.map_err(|error| crate::runtime::run::cannot_start(&error))?
}

/// Describes one secret; what the provider says it does not have is an answer too.
async fn describe(
    subject: DescribedSecret,
    version: Version,
    org: &Org,
    providers: &[Option<AnyProvider>],
) -> (DescribedSecret, Result<Known, Diagnostic>) {
    let answer = match asked(&subject, org, providers) {
        Err(problem) => Err(problem),
        Ok((provider, id)) => match provider.describe(&id, &version).await {
            Ok(description) => Ok(Known::Described(description)),
            Err(failure) if failure.kind == ProviderErrorKind::NotFound => Ok(Known::Missing),
            Err(failure) => Err(*failure.diagnostic),
        },
    };
    (subject, answer)
}

/// Describes everything below one path.
async fn list(
    path: DescribedSecret,
    org: &Org,
    providers: &[Option<AnyProvider>],
) -> (DescribedSecret, Result<Below, Diagnostic>) {
    let answer = match asked(&path, org, providers) {
        Err(problem) => Err(problem),
        Ok((provider, id)) => match provider.describe_below(&id).await {
            Ok(found) => Ok(Below::Listed(found)),
            Err(failure) if failure.kind == ProviderErrorKind::NotFound => Ok(Below::Listed(Vec::new())),
            Err(failure) => Err(*failure.diagnostic),
        },
    };
    (path, answer)
}

/// Returns whom to ask for a subject, and for what.
fn asked<'a>(
    (credential, secret): &DescribedSecret,
    org: &Org,
    providers: &'a [Option<AnyProvider>],
) -> Result<(&'a AnyProvider, SecretId), Diagnostic> {
    let index = org.credentials.iter().position(|other| other.name == *credential);
    let Some(provider) = index.and_then(|index| providers[index].as_ref()) else {
        let what = format!("no credential `{credential}`, with which {secret} was baked");
        let hint = "name the org file that the image was baked with, by --org or $SECRETBAKE_ORG";
        return Err(Diagnostic::error("unknown-credential", what).hint(hint));
    };
    match SecretId::new(secret) {
        Ok(id) => Ok((provider, id)),
        Err(error) => {
            Err(Diagnostic::error("bad-reference", format!("the image's label: {error}")).hint("bake the image again"))
        }
    }
}

fn print(
    images: Vec<ImageDrift>,
    problems: &[Diagnostic],
    format: OutputFormat,
    output: &Output,
) -> Result<ExitCode, Error> {
    let has = |status| images.iter().any(|image| image.status == status);
    let code = match (has("drifted"), has("unknown")) {
        (true, _) => DRIFTED,
        (_, true) => Status::Failed.code(),
        _ => 0,
    };
    output.problems(problems);
    match format {
        OutputFormat::Text => output.result(&text(&images, seconds_since_1970()))?,
        OutputFormat::Json => {
            let diagnostics = problems.iter().map(Problem::from).collect();
            output.result(&super::json(&Drift { version: 1, images, diagnostics }))?;
        }
    }
    Ok(ExitCode::from(code))
}

fn seconds_since_1970() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn text(images: &[ImageDrift], now: i64) -> String {
    let mut out = String::new();
    // writing to a string cannot fail
    for image in images {
        let _ = writeln!(out, "{}: {}", image.image, image.status);
        let rows: Vec<[String; 3]> = image
            .findings
            .iter()
            .filter(|finding| finding.state != State::Current)
            .map(|finding| row(finding, now))
            .collect();
        let _ = short::rows(&mut out, &rows);
    }
    let drifted = images.iter().filter(|image| image.status == "drifted").count();
    if drifted > 0 {
        let all = images.len();
        let noun = if all == 1 { "image" } else { "images" };
        let _ = writeln!(out, "{drifted} of {all} {noun} drifted: run secretbake bake with their manifests");
    }
    out
}

fn row(finding: &Finding, now: i64) -> [String; 3] {
    let id = |id: &Option<String>| id.as_deref().map_or_else(|| "nothing".to_owned(), short::version_id);
    let (baked, current) = (id(&finding.baked_version_id), id(&finding.current_version_id));
    let when = finding.changed.map(|then| format!(" {}", time::ago(now, then))).unwrap_or_default();
    let stage = finding.version_stage.as_deref().unwrap_or("the pinned version");
    let what = match finding.state {
        State::Current => "current".to_owned(),
        State::Rotated => format!("rotated{when}: baked {baked}, {stage} is {current}"),
        State::StageGone => format!("no version is {stage} any more, baked {baked}"),
        State::VersionGone => format!("the pinned version {baked} has no stage any more and may be deleted"),
        State::Deleted => "the secret is deleted".to_owned(),
        State::Appeared => "was absent, and exists now".to_owned(),
        State::Untracked => "cannot be told: the provider gives its versions no IDs".to_owned(),
        State::Unknown => "could not be asked".to_owned(),
    };
    let source = format!("secret {} with {}", short::secret_name(&finding.secret), finding.credential);
    [short::with_part(&finding.name, finding.part.as_deref()), source, what]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_is_short_and_says_when_it_was() {
        let finding = Finding {
            name: "DB".to_owned(),
            part: None,
            state: State::Rotated,
            credential: "aws-prod".to_owned(),
            secret: "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf".to_owned(),
            baked_version_id: Some("1a2b3c4d-0000-4000-8000-000000000000".to_owned()),
            current_version_id: Some("5e6f7a8b-0000-4000-8000-000000000000".to_owned()),
            version_stage: Some("AWSCURRENT".to_owned()),
            changed: Some(1_700_000_000),
        };
        let image = |name: &str, status, findings| ImageDrift { image: name.to_owned(), status, findings };
        let images = [image("crew:1", "drifted", vec![finding]), image("crew:2", "current", Vec::new())];
        assert_eq!(
            text(&images, 1_700_000_000 + 3 * 3600),
            "crew:1: drifted\n  DB  secret db with aws-prod  rotated 3 h ago: baked 1a2b3c4d, AWSCURRENT is 5e6f7a8b\n\
             crew:2: current\n1 of 2 images drifted: run secretbake bake with their manifests\n"
        );
    }
}
