//! `secretbake rebake`: bakes images again from what they hold, without a manifest or a base.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::arguments::{OutputFormat, image_name, platform};
use super::bake::{Writing, displaced, keeps_off_a_terminal, print, recipients, settings, tag_name};
use super::environment::Environment;
use super::output::{Output, count};
use super::{Global, drift, in_runtime, input, progress, short, wiring};
use crate::diagnostic::command::{shell_word, with_org};
use crate::diagnostic::{Diagnostic, Error, ForeignText, Status};
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::image::provenance::Provenance;
use crate::ops::bake::Bake;
use crate::ops::drift::describe::describe_all;
use crate::ops::rebake::{BakedAgain, plan_all, read_all, rebake};
use crate::ops::report::{FailedImage, ImageNeed, Need, Outcome, Outcomes, RebakeReport, Reseal};
use crate::org::file::Loaded;
use crate::plan::{Overrides, Plan};
use crate::runtime::unfinished::Unfinished;
use crate::secrets::any::AnyProvider;
use crate::store::Pruned;
use crate::store::any::Stores;

#[derive(clap::Args)]
#[command(mut_arg("jobs", |jobs| jobs.help("Images to read and write at once")))]
#[command(after_help = "Without --all, an image is left if its versions and its recipients are current.\n
Examples:
  secretbake rebake crew:1.4.2-prod
  secretbake rebake docker://registry.example.com/crew:1.4.2-prod --dry-run
  secretbake rebake crew:1.4.2-prod web:2.0-prod --all --prune-replaced")]
pub(super) struct Args {
    /// Baked images
    #[arg(required = true, value_name = "IMAGE", value_parser = image_name)]
    images: Vec<ImageName>,
    /// Rebake images that are current, too
    #[arg(long)]
    all: bool,
    /// Tag instead of the image's own; repeatable
    #[arg(short, long = "tag", value_name = "TAG", value_parser = tag_name)]
    tags: Vec<ImageName>,
    /// Only this platform of an index, to --tag
    #[arg(long, value_name = "OS/ARCH", value_parser = platform, requires = "tags")]
    platform: Option<Platform>,
    /// Print what would be rebaked; reads no value
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    writing: Writing,
}

/// What was found before anything is baked.
struct Found {
    /// In the order of the command line; `None` for one that cannot be rebaked.
    needs: Vec<(ImageName, Option<ImageNeed>)>,
    /// The images to bake again, and their plan.
    due: Vec<BakedAgain>,
    plan: Plan,
    providers: Vec<Option<AnyProvider>>,
    /// Of images that cannot be rebaked.
    failed: Vec<Outcome>,
    /// Whether one of them cannot because the org file or the command line is wrong.
    is_invalid: bool,
    /// Of secrets that could not be described.
    problems: Vec<Diagnostic>,
}

pub(super) fn run(args: &Args, global: &Global, environment: &Environment, output: &Output) -> Result<ExitCode, Error> {
    let ended = start(args, global, environment, output);
    if let (Err(error), OutputFormat::Json) = (&ended, args.writing.format)
        && error.status != Status::Interrupted
        && !args.tags.iter().chain(&args.images).any(ImageName::is_standard)
    {
        output.result(&RebakeReport::refused(&args.images, &error.diagnostics).to_json())?;
    }
    ended
}

fn start(args: &Args, global: &Global, environment: &Environment, output: &Output) -> Result<ExitCode, Error> {
    let started = Instant::now();
    if args.images.len() > 1 && !args.tags.is_empty() {
        let what = "--tag with more than one image: they would replace each other";
        return Err(Error::invalid(Diagnostic::error("shared-tag", what).hint("rebake one image at a time")));
    }
    if let Some(manifest) = args.images.iter().find_map(manifest_file) {
        let what = format!("{manifest} is a file, and rebake takes images");
        let hint = format!("to bake a manifest, run {}", with_org(&format!("bake {manifest}")));
        return Err(Error::invalid(Diagnostic::error("not-an-image", what).hint(hint)));
    }
    let named = args.images.iter().filter(|image| image.is_standard()).map(ToString::to_string);
    input::standard_input_has_one_use(named, global, environment)?;
    let created = settings::created(environment)?;
    let launchers = settings::launchers(&args.writing.launchers)?;
    let seal_to = recipients::read(&args.writing.seal_to)?;
    let overrides = &Overrides { seal_to, push: args.writing.push, ..Overrides::default() };
    let loaded = Arc::new(input::org(global, environment)?);
    output.problems(&loaded.org.warnings);
    let outcomes = Outcomes::default();
    let (so_far, org) = (&outcomes, &loaded.org);
    let loaded = &loaded;
    let mut found_before = None;
    let before = &mut found_before;
    let baked = in_runtime(|cleanup: Unfinished| async move {
        let stores = wiring::stores(Some(org), environment, &args.writing.registries, cleanup);
        let stores = &stores;
        let Found { needs, due, plan, providers, failed, is_invalid, problems } =
            find(args, overrides, stores, loaded, environment).await?;
        *before = Some((needs, failed, is_invalid, problems));
        if args.dry_run || due.is_empty() {
            return Ok((0, Pruned::default(), stores.engine_client()));
        }
        let progress = progress::on_terminal(global, environment);
        let &Writing { jobs, push, prune_replaced, .. } = &args.writing;
        let (plan, providers, prunes) = (&plan, &providers[..], prune_replaced.is_some());
        let bake = Bake { plan, org, providers, stores, launchers, created, jobs, push, prunes, progress };
        let read = rebake(&bake, due, so_far).await;
        let pruned = displaced::prune(stores, so_far, prune_replaced).await;
        Ok((read, pruned, stores.engine_client()))
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut outcomes: Vec<Outcome> = outcomes.into_values().collect();
    let Some((needs, failed, is_invalid, problems)) = found_before else {
        return Err(baked.err().unwrap_or_else(|| Error::failed(Diagnostic::error("internal", "no image was read"))));
    };
    let all = needs.len();
    outcomes.extend(failed);
    let status = |outcomes: &[Outcome]| match is_invalid {
        true => ExitCode::from(Status::Invalid.code()),
        false => status(&needs, outcomes),
    };
    let report = |outcomes: &[Outcome], removed: &[String], others: &[Diagnostic]| {
        RebakeReport::new(&needs, outcomes, removed, others).to_json()
    };
    match baked {
        Ok(_) if args.dry_run => {
            let all_problems: Vec<Diagnostic> = problems.iter().cloned().chain(of(&outcomes)).collect();
            output.problems(&all_problems);
            match args.writing.format {
                OutputFormat::Text => output.result(&text(&needs, drift::seconds_since_1970()))?,
                OutputFormat::Json => output.result(&report(&outcomes, &[], &problems))?,
            }
            output.count();
            let due = needs.iter().filter(|(_, need)| need.as_ref().is_some_and(|need| need.need == Need::Due)).count();
            output.note(&format!("dry run: {due} of {} would be rebaked; nothing was written", count(all, "image")));
            Ok(status(&outcomes))
        }
        Ok((secrets_read, pruned, engine)) => {
            for (name, need) in &needs {
                if let Some(ImageNeed { need: Need::Current, .. }) = need {
                    output.note(&format!("current: {}", ForeignText::name(name.to_string())));
                }
            }
            let mut others = displaced::settle(&mut outcomes, &pruned);
            others.extend(problems);
            let end = print::RunEnd { secrets_read, took: started.elapsed(), engine };
            print::outcomes(args.writing.format, &outcomes, &others, &pruned.removed, Some(&end), output, report)?;
            Ok(status(&outcomes))
        }
        Err(error) if error.status == Status::Interrupted && !outcomes.is_empty() => {
            displaced::settle(&mut outcomes, &Pruned::default());
            Err(print::interrupted_run(args.writing.format, &outcomes, all, &error, output, report)?)
        }
        Err(error) => Err(error),
    }
}

/// Returns the word of the shell for a manifest, if that is what the user named.
fn manifest_file(name: &ImageName) -> Option<String> {
    let ImageName::Engine(name) = name else { return None };
    let path = Path::new(name.as_written());
    let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    (is_yaml && path.is_file()).then(|| shell_word(name.as_written()))
}

fn of(outcomes: &[Outcome]) -> impl Iterator<Item = Diagnostic> {
    outcomes.iter().flat_map(Outcome::problems).cloned()
}

/// Reads the images, plans them and tells which are due.
async fn find(
    args: &Args,
    overrides: &Overrides,
    stores: &Stores,
    loaded: &Arc<Loaded>,
    environment: &Environment,
) -> Result<Found, Error> {
    let (org, jobs) = (&loaded.org, args.writing.jobs);
    let mut names = args.images.clone();
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.replaces()));
    let read = read_all(stores, &names, args.platform.as_ref(), &args.tags, jobs).await;
    let (mut failed, mut images, mut is_invalid) = (Vec::new(), Vec::new(), false);
    for (name, image) in names.iter().zip(read) {
        // one image's credentials may be missing, and another's not
        let planned = image.and_then(|image| match plan_all([&image], org, overrides) {
            Ok(plan) => Ok((plan, image)),
            Err(problems) => {
                is_invalid = true;
                Err(problems)
            }
        });
        match planned {
            Ok(planned) => images.push(planned),
            Err(problems) => failed.push(outcome(name, &args.tags, problems)),
        }
    }
    images.iter().try_for_each(|(plan, _)| keeps_off_a_terminal(plan))?;
    let reads = images.iter().flat_map(|(plan, _)| &plan.reads);
    let used: Vec<usize> = reads.map(|read| read.credential).collect();
    let providers = wiring::providers_in_background(loaded, environment, move |index| used.contains(&index)).await?;
    let described = match args.all {
        true => None,
        false => {
            let all: Vec<&Provenance> = images.iter().flat_map(|(_, image)| image.provenances()).collect();
            Some(describe_all(&all, org, &providers, jobs.max(16)).await)
        }
    };
    let mut needs: Vec<(ImageName, Option<ImageNeed>)> = names.into_iter().map(|name| (name, None)).collect();
    let mut due = Vec::new();
    for (plan, image) in images {
        let need = image.need(&plan, described.as_ref());
        let is_due = need.need == Need::Due;
        if let Some((_, slot)) = needs.iter_mut().find(|(name, _)| *name == image.name) {
            *slot = Some(need);
        }
        due.extend(is_due.then_some(image));
    }
    let plan = plan_all(&due, org, overrides).map_err(Error::invalid)?;
    let problems = described.map(|described| described.problems).unwrap_or_default();
    Ok(Found { needs, due, plan, providers, failed, is_invalid, problems })
}

fn outcome(name: &ImageName, tags: &[ImageName], problems: Vec<Diagnostic>) -> Outcome {
    let tags = if tags.is_empty() { vec![name.clone()] } else { tags.to_vec() };
    Outcome { file: name.to_string(), base: None, tags, result: Err(FailedImage::from(problems)), finished: true }
}

fn status(needs: &[(ImageName, Option<ImageNeed>)], outcomes: &[Outcome]) -> ExitCode {
    let is_unknown = needs.iter().any(|(_, need)| need.as_ref().is_none_or(|need| need.need == Need::Unknown));
    let has_failed = outcomes.iter().any(|outcome| outcome.result.is_err());
    if is_unknown || has_failed { ExitCode::from(Status::Failed.code()) } else { ExitCode::SUCCESS }
}

/// Returns what would be rebaked, and why.
fn text(needs: &[(ImageName, Option<ImageNeed>)], now: i64) -> String {
    let mut out = String::new();
    for (name, need) in needs {
        let what = need.as_ref().map_or("cannot be rebaked", |need| word(need.need));
        let findings = need.iter().flat_map(|need| &need.findings).map(|finding| drift::row(finding, now));
        let seal = need.iter().filter_map(|need| need.reseal.as_ref()).map(seal_row);
        // writing to a string cannot fail
        let _ = writeln!(out, "{}: {what}", ForeignText::name(name.to_string()));
        let _ = short::rows(&mut out, &findings.chain(seal).collect::<Vec<_>>());
    }
    out
}

fn seal_row(Reseal { recipients, was_sealed }: &Reseal) -> [String; 3] {
    let what = if *was_sealed { "is sealed for others" } else { "is not sealed yet" };
    ["seal".to_owned(), format!("for {}", count(recipients.len(), "recipient")), what.to_owned()]
}

fn word(need: Need) -> &'static str {
    match need {
        Need::Due => "would be rebaked",
        Need::Current => "current",
        Need::Unknown => "cannot tell",
    }
}
