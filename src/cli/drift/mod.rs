//! `secretbake drift`: which baked versions are no longer current; it describes secrets and reads none.

mod markdown;
mod report;
mod text;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use futures_util::StreamExt as _;
use futures_util::future::try_join;

use super::arguments::{Registries, image_name, jobs, platform};
use super::environment::Environment;
use super::output::Output;
use super::{Global, in_runtime, input, wiring};
use crate::diagnostic::{Diagnostic, Error, ForeignText, Status};
use crate::image::labels::ImageLabels;
use crate::image::name::ImageName;
use crate::image::platform::{Platform, Platforms};
use crate::image::provenance::Provenance;
use crate::ops::drift::base;
use crate::ops::drift::describe::{Described, credentials};
use crate::ops::drift::fleet::{self, FleetImage, Source, TagPattern};
use crate::ops::drift::{Finding, findings, is_named, only};
use crate::ops::import::images::{MAX_BYTES, WorkloadFormat, images};
use crate::org::Org;
use crate::org::file::Loaded;
use crate::runtime::bounded::{self, ReadError};
use crate::runtime::platform::standard_input;
use crate::runtime::unfinished::Unfinished;
use crate::secret::SecretBytes;
use crate::secrets::any::AnyProvider;
use report::{Drift, ImageDrift};

/// The exit status of a run that found drift.
const DRIFTED: u8 = 3;

#[derive(clap::Args)]
#[command(after_help = "Exit status: 3 if an image drifted; 1 if some state is unknown; 0 otherwise\n
Examples:
  secretbake drift crew:1.4.2-prod
  secretbake drift docker://registry.example.com/crew --tags '*-prod'
  secretbake drift --running --format markdown
  kubectl get pods -A -o json | secretbake drift --from k8s -
  secretbake drift --engine --secret crewai/openai-api-key")]
pub(super) struct Args {
    /// Baked images
    #[arg(value_name = "IMAGE", value_parser = image_name)]
    images: Vec<ImageName>,
    /// Tags of docker://HOST/REPO, such as '*-prod'
    #[arg(long, value_name = "GLOB", value_parser = tag_pattern, requires = "images")]
    tags: Option<TagPattern>,
    /// All baked images of the engine
    #[arg(long)]
    engine: bool,
    /// Images of the engine's running containers
    #[arg(long)]
    running: bool,
    /// Images in a k8s, compose or ecs file
    #[arg(long, num_args = 2, value_names = ["FORMAT", "FILE"])]
    from: Vec<String>,
    /// Only images that hold this secret
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// Check whether the base's tag moved; =only
    #[arg(long, value_name = "WHAT", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "too", hide_possible_values = true)]
    base: Option<BaseCheck>,
    /// Platform of the images, such as linux/arm64
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    platform: Option<Platform>,
    #[command(flatten)]
    registries: Registries,
    /// Reads of each kind at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = jobs)]
    jobs: usize,
    /// Format: text, json or markdown
    #[arg(long, value_enum, default_value_t = Format::Text, hide_possible_values = true)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Markdown,
}

/// Whether bases are checked besides versions or instead of them, which needs no org file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BaseCheck {
    Too,
    Only,
}

fn tag_pattern(text: &str) -> Result<TagPattern, String> {
    TagPattern::parse(text).ok_or_else(|| "no tag matches this; `*` is any characters, as in '*-prod'".to_owned())
}

pub(super) fn run(args: &Args, global: &Global, environment: &Environment, output: &Output) -> Result<ExitCode, Error> {
    let named = args.images.iter().filter(|image| image.is_standard()).map(ToString::to_string);
    let files = args.from.chunks_exact(2).filter(|pair| pair[1] == "-").map(|pair| format!("--from {} -", pair[0]));
    let shared = input::standard_input_has_one_use(named.chain(files), global, environment);
    let ended = shared.and_then(|()| sources(args)).and_then(|(sources, notes)| {
        let loaded = match args.base {
            Some(BaseCheck::Only) => Loaded { org: Org::default(), directory: PathBuf::new() },
            _ => input::org(global, environment)?,
        };
        let loaded = Arc::new(loaded);
        output.problems(&notes);
        in_runtime(|cleanup| drift(args, sources, &loaded, environment, output, cleanup))
    });
    if let (Err(error), Format::Json) = (&ended, args.format) {
        let images = args.images.iter().map(|name| ImageDrift::unknown(name.to_string(), Vec::new())).collect();
        output.result(&super::json(&Drift::new(images, 0, &error.diagnostics)))?;
    }
    ended
}

/// Returns where the images come from, and warnings about files that name them.
fn sources(args: &Args) -> Result<(Vec<Source>, Vec<Diagnostic>), Error> {
    let mut sources = Vec::new();
    let mut notes = Vec::new();
    for image in &args.images {
        sources.push(match (image, &args.tags) {
            (_, None) => Source::Named(image.clone()),
            (ImageName::Registry(repository), Some(tags)) if repository.is_bare() => {
                Source::Repository(repository.clone(), tags.clone())
            }
            (image, Some(_)) => {
                let what = format!("--tags chooses among the tags of a repository, and {image} is not one");
                let hint = "write it as docker://HOST/REPO, without a tag or digest";
                return Err(Error::invalid(Diagnostic::error("not-a-repository", what).hint(hint)));
            }
        });
    }
    sources.extend(args.engine.then_some(Source::Engine));
    sources.extend(args.running.then_some(Source::Running));
    for pair in args.from.chunks_exact(2) {
        let form = match pair[0].as_str() {
            "k8s" => WorkloadFormat::K8s,
            "compose" => WorkloadFormat::Compose,
            "ecs" => WorkloadFormat::Ecs,
            other => {
                let what = format!("--from {} is not a format", ForeignText::new(other));
                let hint = "write --from k8s FILE, --from compose FILE or --from ecs FILE";
                return Err(Error::invalid(Diagnostic::error("unknown-format", what).hint(hint)));
            }
        };
        let text = read(&pair[1])?;
        let used = images(form, &pair[1], text.expose()).map_err(Error::invalid)?;
        notes.extend(used.notes);
        sources.push(Source::Used(used.images));
    }
    if sources.is_empty() {
        let hint = "name images, or find them with --engine, --running or --from FORMAT FILE";
        return Err(Error::invalid(Diagnostic::error("no-image", "no image to check").hint(hint)));
    }
    Ok((sources, notes))
}

/// Reads a file that names images, as a secret: it may hold some in the clear.
fn read(name: &str) -> Result<SecretBytes, Error> {
    let most = MAX_BYTES as u64;
    let text = match name {
        "-" => standard_input().map_err(ReadError::from).and_then(|file| bounded::read_secret(file, most)),
        _ => std::fs::File::open(name).map_err(ReadError::from).and_then(|file| bounded::read_secret(file, most)),
    };
    text.map_err(|error| {
        let name = ForeignText::name(name);
        Error::invalid(match error {
            ReadError::TooLong(_) => {
                Diagnostic::error("file-too-large", format!("{name} is larger than {} MiB", most >> 20))
                    .hint("give one namespace or service after the other")
            }
            error => Diagnostic::error("unreadable", format!("cannot read {name}: {error}"))
                .hint("give the path of the file, or `-` for standard input"),
        })
    })
}

async fn drift(
    args: &Args,
    sources: Vec<Source>,
    loaded: &Arc<Loaded>,
    environment: &Environment,
    output: &Output,
    cleanup: Unfinished,
) -> Result<ExitCode, Error> {
    let stores = wiring::stores(Some(&loaded.org), environment, &args.registries, cleanup);
    let platforms = Platforms::one(args.platform.as_ref());
    let (found, mut problems) = fleet::find(&stores, sources).await;
    let soon = describe_after(found.len(), args.jobs);
    let images = fleet::read(&stores, found, &platforms, args.jobs).filter_map(async |mut image| {
        let is_wanted = args.secret.as_ref().is_none_or(|secret| keep_only(&mut image, secret));
        is_wanted.then_some(image)
    });
    let mut images = std::pin::pin!(images);
    let mut secrets = (args.base != Some(BaseCheck::Only)).then(|| Secrets::new(loaded, environment, args.jobs));
    let mut fleet: Vec<FleetImage> = images.by_ref().take(soon).collect().await;
    let (rest, ()) = try_join(async { Ok(images.collect::<Vec<_>>().await) }, describe(&mut secrets, &fleet)).await?;
    if !rest.is_empty() {
        fleet.extend(rest);
        describe(&mut secrets, &fleet).await?;
    }
    fleet.sort_unstable_by_key(|image| image.place);
    let (described, unusable) = secrets.map(|secrets| (secrets.described, secrets.unusable)).unwrap_or_default();
    let unusable = unusable.map(|error| {
        problems.extend(error.diagnostics);
        error.status
    });
    problems.extend(described.problems);
    let labels: Vec<&ImageLabels> = fleet.iter().filter_map(|image| image.labels.as_ref()?.as_ref().ok()).collect();
    let bases = match args.base {
        Some(_) => base::check(&stores, &labels, args.jobs).await,
        None => Default::default(),
    };
    problems.extend(bases.1);
    let not_baked = fleet.iter().filter(|image| image.labels.is_none()).count();
    let is_listed = problems.is_empty();
    let mut images = Vec::new();
    for image in fleet {
        let (shown, used_by) = (image.shown.clone(), image.used_by.clone());
        images.push(match &image.labels {
            None => continue,
            Some(Ok(ImageLabels { provenance: Err(_), .. })) => ImageDrift::unknown(shown, used_by),
            Some(Ok(labels @ ImageLabels { provenance: Ok(provenance), .. })) => {
                let base = args.base.and_then(|_| base::finding(labels, &bases.0));
                let mut findings = match args.base {
                    Some(BaseCheck::Only) => Vec::new(),
                    _ => findings(provenance, &described.known, &described.below),
                };
                findings.retain(|found| args.secret.as_ref().is_none_or(|wanted| is_named(&found.secret, wanted)));
                let mut drift = ImageDrift::new(shown, used_by, findings).with_base(base);
                drift.untagged = image.is_untagged;
                drift.built_on_top =
                    drift.status != report::Status::Current && image.is_built_on_top(&stores, &platforms).await;
                drift
            }
            Some(Err(problem)) => {
                problems.push(problem.clone());
                ImageDrift::unknown(shown, used_by)
            }
        });
    }
    let style =
        text::Style { now: seconds_since_1970(), secret: args.secret.as_deref(), engine: stores.engine_client() };
    let drift = Drift::new(images, not_baked, &problems);
    let code = match (drift.count(report::Status::Drifted), drift.count(report::Status::Unknown)) {
        (1.., _) => DRIFTED,
        (_, 1..) => unusable.unwrap_or(Status::Failed).code(),
        _ if !is_listed => Status::Failed.code(),
        _ => 0,
    };
    output.problems(&problems);
    output.result(&match args.format {
        Format::Text => text::text(&drift, style),
        Format::Json => super::json(&drift),
        Format::Markdown => markdown::markdown(&drift, &problems, style),
    })?;
    Ok(ExitCode::from(code))
}

/// Returns how many images are read before their secrets are described, while the rest is read: half of a fleet that takes several rounds of
/// requests, since most of its secrets are in it, else all.
fn describe_after(images: usize, jobs: usize) -> usize {
    if images > jobs.saturating_mul(2) { images / 2 } else { images }
}

/// The secrets of a fleet, and what is known of them so far.
struct Secrets<'a> {
    loaded: &'a Arc<Loaded>,
    environment: &'a Environment,
    jobs: usize,
    /// By credential index; those in use so far.
    providers: Vec<Option<AnyProvider>>,
    /// The names of the credentials that were tried.
    tried: BTreeSet<String>,
    /// Why some of them cannot be used.
    unusable: Option<Error>,
    described: Described,
}

impl<'a> Secrets<'a> {
    fn new(loaded: &'a Arc<Loaded>, environment: &'a Environment, jobs: usize) -> Self {
        let providers = loaded.org.credentials.iter().map(|_| None).collect();
        let (tried, described) = (BTreeSet::new(), Described::default());
        Secrets { loaded, environment, jobs, providers, tried, unusable: None, described }
    }

    /// Describes what images hold and is not known yet.
    async fn describe(&mut self, images: &[FleetImage]) -> Result<(), Error> {
        let baked: Vec<&Provenance> = images.iter().filter_map(provenance).collect();
        let (used, org) = (credentials(&baked), &self.loaded.org);
        let is_new = |name: &String| used.contains(name) && !self.tried.contains(name);
        let new: Vec<bool> = org.credentials.iter().map(|credential| is_new(&credential.name)).collect();
        self.tried.extend(used);
        if new.contains(&true) {
            let connected =
                wiring::connect_in_background(self.loaded, self.environment, move |index| new[index]).await?;
            for (provider, connected) in self.providers.iter_mut().zip(connected) {
                match connected {
                    Some(Ok(new)) => *provider = Some(new),
                    Some(Err(error)) => self.unusable = Some(Error::joined(self.unusable.take(), error)),
                    None => {}
                }
            }
        }
        self.described.add(&baked, org, &self.providers, self.jobs).await;
        Ok(())
    }
}

async fn describe(secrets: &mut Option<Secrets<'_>>, images: &[FleetImage]) -> Result<(), Error> {
    match secrets {
        Some(secrets) => secrets.describe(images).await,
        None => Ok(()),
    }
}

fn provenance(image: &FleetImage) -> Option<&Provenance> {
    image.labels.as_ref()?.as_ref().ok()?.provenance.as_ref().ok()
}

/// Leaves of an image what it holds of one secret; tells whether it holds any of it, or may.
fn keep_only(image: &mut FleetImage, secret: &str) -> bool {
    let Some(Ok(labels)) = &mut image.labels else { return image.labels.is_some() };
    let Ok(provenance) = &labels.provenance else { return true };
    let kept = only(provenance, secret);
    let holds = kept.is_some();
    if let Some(kept) = kept {
        labels.provenance = Ok(kept);
    }
    holds
}

/// Returns a finding as a row of a table: the variable or file, its secret, and how it compares.
pub(super) fn row(finding: &Finding, now: i64) -> [String; 3] {
    text::row(finding, now)
}

pub(super) fn seconds_since_1970() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
