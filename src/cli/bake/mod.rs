//! `secretbake bake`: wires the providers and stores to the pipeline and prints what came of it.

pub(super) mod displaced;
mod dry_run;
mod online;
pub(super) mod print;
pub(super) mod recipients;
pub(super) mod settings;
pub(super) mod summary;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::PoisonError;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::arguments::{OutputFormat, Registries, image_name, jobs, platform};
use super::environment::Environment;
use super::input::{self, Input};
use super::output::Output;
use super::{Global, in_runtime, progress, wiring};
use crate::diagnostic::{Diagnostic, Error, Status};
use crate::image::append::Launcher;
use crate::image::name::ImageName;
use crate::image::platform::{Platform, Platforms};
use crate::ops::bake::Bake;
use crate::ops::report::{Outcome, Outcomes, Report};
use crate::plan::{ImagePlan, Overrides, Plan};
use crate::secrets::any::AnyProvider;
use crate::store::Pruned;

#[derive(Args)]
#[command(after_help = "Examples:
  secretbake bake deploy.yaml --dry-run
  secretbake bake deploy.yaml --base crew:1.4.2 -t crew:1.4.2-prod
  sops -d org.yaml | secretbake bake deploy/*.yaml --org - --format json")]
pub(super) struct BakeArgs {
    /// Deployment manifests
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// Base image; overrides the manifest
    #[arg(long, value_name = "IMAGE", value_parser = image_name)]
    base: Option<ImageName>,
    /// Tag; overrides the manifest; repeatable
    #[arg(short, long = "tag", value_name = "TAG", value_parser = tag_name)]
    tags: Vec<ImageName>,
    /// Print the plan; needs no network or engine
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: look up secrets and keys
    #[arg(long, requires = "dry_run")]
    online: bool,
    /// Platform of the base, such as linux/arm64
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    platform: Option<Platform>,
    /// Bake all platforms of the base into one index
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,
    #[command(flatten)]
    writing: Writing,
}

// not a doc comment, which would be the help of the commands that have it
// How images are written, and what is said of it.
#[derive(Args)]
pub(super) struct Writing {
    /// Seal for this age key or a file's; repeatable
    #[arg(long, value_name = "AGE1|FILE")]
    pub seal_to: Vec<PathBuf>,
    /// Launcher for another architecture; repeatable
    #[arg(long = "launcher", value_name = "PATH")]
    pub launchers: Vec<PathBuf>,
    #[command(flatten)]
    pub registries: Registries,
    /// Push the engine's tags after baking
    #[arg(long)]
    pub push: bool,
    /// Images to write at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = jobs)]
    pub jobs: usize,
    /// Remove images that lost their tag; =base: all
    #[arg(long, value_name = "WHAT", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "tags", hide_possible_values = true)]
    pub prune_replaced: Option<Pruning>,
    /// Output format: text or json
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, hide_possible_values = true)]
    pub format: OutputFormat,
}

/// The images that `--prune-replaced` removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Pruning {
    /// Those that this run's tags named before.
    Tags,
    /// Every baked image without a tag of the bases of this run, whichever deployment baked it.
    Base,
}

pub(super) fn tag_name(text: &str) -> Result<ImageName, String> {
    let name = image_name(text)?;
    crate::manifest::is_target(&name)?;
    Ok(name)
}

pub(super) fn run(
    args: &BakeArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let refused = |error: &Error| match args.writing.format {
        OutputFormat::Json => {
            let files: Vec<String> = args.manifests.iter().map(|path| path.display().to_string()).collect();
            output.result(&Report::refused(&files, &error.diagnostics).to_json())
        }
        OutputFormat::Text => Ok(()),
    };
    if args.dry_run {
        let run = if args.online { online::run } else { dry_run::run };
        return run(args, global, environment, output).or_else(|error| refused(&error).and(Err(error)));
    }
    let started = Instant::now();
    let prepared = prepare(args, global, environment);
    if let Err(error) = &prepared
        && !args.tags.iter().any(ImageName::is_standard)
    {
        refused(error)?;
    }
    let Prepared { input: Input { plan, org, warnings, .. }, providers, launchers, created } = prepared?;
    output.problems(&warnings);
    let outcomes = Outcomes::default();
    let (plan, org, providers, so_far) = (&plan, &org, &providers[..], &outcomes);
    let baked = in_runtime(|cleanup| async move {
        let stores = wiring::stores(Some(org), environment, &args.writing.registries, cleanup);
        let progress = progress::on_terminal(global, environment);
        let &Writing { jobs, push, prune_replaced, .. } = &args.writing;
        let (stores, prunes) = (&stores, prune_replaced.is_some());
        let bake = Bake { plan, org, providers, stores, launchers, created, jobs, push, prunes, progress };
        let secrets_read = bake.run(so_far).await;
        let pruned = displaced::prune(stores, so_far, prune_replaced).await;
        Ok((secrets_read, pruned, stores.engine_client()))
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut outcomes: Vec<Outcome> = outcomes.into_values().collect();
    let report = |outcomes: &[Outcome], removed: &[String], others: &[Diagnostic]| {
        Report::new(outcomes, removed, others).to_json()
    };
    match baked {
        Ok((secrets_read, pruned, engine)) => {
            let others = displaced::settle(&mut outcomes, &pruned);
            let end = print::RunEnd { secrets_read, took: started.elapsed(), engine };
            print::outcomes(args.writing.format, &outcomes, &others, &pruned.removed, Some(&end), output, report)
        }
        Err(error) if error.status == Status::Interrupted && !outcomes.is_empty() => {
            displaced::settle(&mut outcomes, &Pruned::default());
            Err(print::interrupted_run(args.writing.format, &outcomes, plan.images.len(), &error, output, report)?)
        }
        Err(error) => Err(error),
    }
}

/// What a bake needs before it asks anything of a provider or a store.
struct Prepared {
    input: Input,
    providers: Vec<Option<AnyProvider>>,
    launchers: Vec<Launcher>,
    created: Option<String>,
}

fn prepare(args: &BakeArgs, global: &Global, environment: &Environment) -> Result<Prepared, Error> {
    let created = settings::created(environment)?;
    let launchers = settings::launchers(&args.writing.launchers)?;
    let input = planned(args, global, environment, true)?;
    keeps_off_a_terminal(&input.plan)?;
    let providers = wiring::planned_providers(&input, environment)?;
    Ok(Prepared { input, providers, launchers, created })
}

/// Refuses to write an image, with its secrets, onto a screen.
pub(super) fn keeps_off_a_terminal(plan: &Plan) -> Result<(), Error> {
    let target = plan.images.iter().flat_map(ImagePlan::tag_names).find(|tag| tag.is_standard());
    let Some(target) = target.filter(|_| std::io::stdout().is_terminal()) else { return Ok(()) };
    let problem = Diagnostic::error("terminal", format!("`{target}` is standard output, and that is a terminal"));
    Err(Error::invalid(problem.hint("redirect standard output, or name a file instead of `-`")))
}

/// Reads what the user named and plans it.
fn planned(args: &BakeArgs, global: &Global, environment: &Environment, needs_images: bool) -> Result<Input, Error> {
    let platforms = match (&args.platform, args.all_platforms) {
        (Some(platform), _) => Platforms::One(platform.clone()),
        (None, true) => Platforms::All,
        (None, false) => Platforms::Own,
    };
    let seal_to = recipients::read(&args.writing.seal_to)?;
    let (base, tags) = (args.base.clone(), args.tags.clone());
    let overrides = Overrides { base, tags, seal_to, platforms, push: args.writing.push };
    input::read(&args.manifests, &overrides, needs_images, global, environment)
}
