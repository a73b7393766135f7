//! `secretbake bake`: wires the providers and stores to the pipeline and prints what came of it.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::PoisonError;

use super::environment::Environment;
use super::input::{self, Input};
use super::output::Output;
use super::{BakeArgs, Format, Global, Pruning, in_runtime, progress, wiring};
use crate::diagnostic::{Diagnostic, Error, Status};
use crate::image::append::Launcher;
use crate::image::digest::Digest;
use crate::image::launcher;
use crate::image::name::ImageName;
use crate::image::platform::Platforms;
use crate::ops::bake::Bake;
use crate::ops::report::{Outcome, Outcomes, Report};
use crate::plan::json as plan_json;
use crate::plan::text::text as plan_text;
use crate::plan::{ImagePlan, Overrides, Plan};
use crate::runtime::bounded;
use crate::runtime::run::{LeftUndone, interrupted};
use crate::store::Displaced;
use crate::store::any::Stores;
use crate::store::engine::Pruned;

/// The largest launcher that is read. Ours has a twentieth of it.
const MAX_LAUNCHER: u64 = 16 << 20;

pub(super) fn run(
    args: &BakeArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let created = created(environment)?;
    let launchers = launchers(args)?;
    let Input { plan, org, org_dir, warnings } = planned(args, global, environment, true)?;
    keeps_off_a_terminal(&plan)?;
    output.problems(&warnings);
    let used = |index| plan.reads.iter().any(|read| read.credential == index);
    let providers = wiring::providers(&org, &org_dir, environment, used)?;
    let outcomes = Outcomes::default();
    let (plan, org, providers, so_far) = (&plan, &org, &providers[..], &outcomes);
    let pruned = in_runtime(|cleanup| async move {
        let stores = wiring::stores(Some(org), environment, &args.registries, cleanup);
        let progress = progress::on_terminal(global, environment);
        let (stores, jobs, push) = (&stores, args.jobs, args.push);
        Bake { plan, org, providers, stores, launchers, created, jobs, push, progress }.run(so_far).await;
        Ok(match args.prune_replaced {
            Some(pruning) => prune(stores, so_far, pruning).await,
            None => Pruned::default(),
        })
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut outcomes: Vec<Outcome> = outcomes.into_values().collect();
    match pruned {
        Ok(pruned) => {
            output.problems(&settle_displaced(&mut outcomes, &pruned));
            print(args, &outcomes, &pruned.removed, output)
        }
        Err(error) if error.status == Status::Interrupted && !outcomes.is_empty() => {
            settle_displaced(&mut outcomes, &Pruned::default());
            print(args, &outcomes, &[], output)?;
            let finished = outcomes.iter().filter(|outcome| outcome.finished).count();
            let left = if finished == outcomes.len() { LeftUndone::from_error(&error) } else { LeftUndone::Parts };
            Err(interrupted(&format!(" after {finished} of {} images", plan.images.len()), left))
        }
        Err(error) => Err(error),
    }
}

/// Refuses to write an image, with its secrets, onto a screen.
fn keeps_off_a_terminal(plan: &Plan) -> Result<(), Error> {
    let target = plan.images.iter().flat_map(ImagePlan::tag_names).find(|tag| tag.is_standard());
    let Some(target) = target.filter(|_| std::io::stdout().is_terminal()) else { return Ok(()) };
    let problem = Diagnostic::error("terminal", format!("`{target}` is standard output, and that is a terminal"));
    Err(Error::invalid(problem.hint("redirect standard output, or name a file instead of `-`")))
}

/// Removes the images that this run displaced, and if asked to, the earlier ones of the same bases.
async fn prune(stores: &Stores, outcomes: &Outcomes, pruning: Pruning) -> Pruned {
    let (displaced, bases) = {
        let outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let displaced: Vec<Displaced> = outcomes.values().flat_map(Outcome::displaced).cloned().collect();
        let baked = outcomes.values().filter_map(|outcome| outcome.result.as_ref().ok()?.base.as_ref());
        let bases =
            baked.map(ToString::to_string).chain(displaced.iter().filter_map(|displaced| displaced.base.clone()));
        let bases: BTreeSet<String> = bases.filter(|_| pruning == Pruning::Base).collect();
        (displaced, bases)
    };
    stores.prune(&displaced, &bases).await
}

/// Adds to each outcome what became of the images that it displaced: a warning about each that stays. Returns the warnings that belong
/// to no outcome.
fn settle_displaced(outcomes: &mut [Outcome], pruned: &Pruned) -> Vec<Diagnostic> {
    let mut kept = pruned.kept.clone();
    for outcome in outcomes {
        for displaced in outcome.displaced().to_vec() {
            if pruned.removed.contains(&displaced.id) {
                continue;
            }
            let known = kept.iter().position(|(id, _)| id.as_ref() == Some(&displaced.id));
            outcome.problems_mut().push(known.map_or_else(|| displaced.warning(), |at| kept.remove(at).1));
        }
    }
    kept.into_iter().map(|(_, warning)| warning).collect()
}

/// Prints the plan; nothing is asked of the world.
pub(super) fn dry_run(
    args: &BakeArgs,
    global: &Global,
    environment: &Environment,
    output: &Output,
) -> Result<ExitCode, Error> {
    let input = planned(args, global, environment, false)?;
    match args.format {
        Format::Text => {
            output.problems(&input.warnings);
            output.result(&plan_text(&input.plan, &input.org, &input.warnings))?;
        }
        Format::Json => output.result(&super::json(&plan_json::describe(&input.plan, &input.org, &input.warnings)))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads what the user named and plans it.
pub(super) fn planned(
    args: &BakeArgs,
    global: &Global,
    environment: &Environment,
    needs_images: bool,
) -> Result<Input, Error> {
    let platforms = match (&args.platform, args.all_platforms) {
        (Some(platform), _) => Platforms::One(platform.clone()),
        (None, true) => Platforms::All,
        (None, false) => Platforms::Own,
    };
    let overrides = Overrides { base: args.base.clone(), tags: args.tags.clone(), platforms, push: args.push };
    input::read(&args.manifests, &overrides, needs_images, global, environment)
}

/// Prints what came of it: on standard output, unless an image is there.
fn print(args: &BakeArgs, outcomes: &[Outcome], removed: &[Digest], output: &Output) -> Result<ExitCode, Error> {
    let taken = outcomes.iter().flat_map(|outcome| &outcome.tags).any(ImageName::is_standard);
    let result = |text: &str| match taken {
        true => {
            output.note(text.trim_end());
            Ok(())
        }
        false => output.result(text),
    };
    let mut status = ExitCode::SUCCESS;
    let mut lines = String::new();
    for outcome in outcomes {
        let tags = match &outcome.result {
            Ok(baked) => {
                output.problems(&baked.warnings);
                let what = if baked.changed { "baked" } else { "unchanged" };
                output.note(&format!("{what}: {}", outcome.file));
                &baked.tags
            }
            Err(failed) => {
                output.problems(&failed.problems);
                status = ExitCode::from(Status::Failed.code());
                &failed.tags
            }
        };
        for tag in tags.iter().filter(|tag| tag.pushed.is_some()) {
            output.note(&format!("pushed: {}", tag.name));
        }
        if args.format == Format::Text {
            lines.extend(tags.iter().map(|tag| format!("{}@{}\n", tag.name, tag.published())));
        }
    }
    for id in removed {
        output.note(&format!("removed: the previous image {id}"));
    }
    // the last thing: a standard output that takes nothing hides no problem of an image
    let printed = match args.format {
        Format::Text if lines.is_empty() => Ok(()),
        Format::Text => result(&lines),
        Format::Json => result(&Report::new(outcomes, removed).to_json()),
    };
    printed.map_err(|mut error| {
        let hint = "what was said of each image above holds all the same: those that are baked are there";
        error.diagnostics.iter_mut().for_each(|problem| problem.hints = vec![hint.to_owned()]);
        error
    })?;
    Ok(status)
}

/// Returns SOURCE_DATE_EPOCH as RFC 3339.
fn created(environment: &Environment) -> Result<Option<String>, Error> {
    let Some(text) = &environment.source_date_epoch else { return Ok(None) };
    let seconds = text.parse::<i64>().ok().filter(|seconds| (0..253_402_300_800).contains(seconds));
    let seconds = seconds.ok_or_else(|| {
        Error::invalid(
            Diagnostic::error("source-date-epoch", "SOURCE_DATE_EPOCH is not a time")
                .hint("set it to seconds since 1970, as in 1700000000, or unset it"),
        )
    })?;
    Ok(Some(crate::image::time::rfc3339(seconds)))
}

/// Returns the launchers that the user names, followed by the built-in ones: the first of an architecture is taken.
fn launchers(args: &BakeArgs) -> Result<Vec<Launcher>, Error> {
    let mut launchers = args.launchers.iter().map(|path| named_launcher(path)).collect::<Result<Vec<_>, _>>()?;
    launchers.extend(launcher::built_in());
    Ok(launchers)
}

fn named_launcher(path: &Path) -> Result<Launcher, Error> {
    let wrong = |why: String| {
        Error::invalid(
            Diagnostic::error("launcher", format!("cannot use the launcher {}: {why}", path.display()))
                .hint("give a secretbake launcher, a static Linux program for the base's architecture"),
        )
    };
    let program = bounded::read_named(path, MAX_LAUNCHER).map_err(|error| wrong(error.to_string()))?;
    let architecture = Launcher::architecture_of(&program).ok_or_else(|| wrong("not a Linux program".to_owned()))?;
    Ok(Launcher { program, architecture: architecture.to_owned() })
}
