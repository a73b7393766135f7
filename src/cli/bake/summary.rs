//! Owns the line that a bake ends with, and how to look at what it made.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::output::count;
use crate::diagnostic::ForeignText;
use crate::diagnostic::command::{own, shell_word};
use crate::image::name::ImageName;
use crate::image::provenance::{NamedOrigin, Provenance, ValueOrigin};
use crate::manifest::Inject;
use crate::ops::report::{BakedImage, Outcome};
use crate::plan::Plan;

/// Where a container finds its key, if nothing says otherwise.
const KEY_FILE: &str = "/run/secrets/secretbake-key";
/// How many manifests are named that failed.
const MOST_NAMED: usize = 3;

/// Returns the last line of a bake: what one image got, or how many there are of each kind.
pub(super) fn line(outcomes: &[Outcome], secrets_read: usize, took: Duration) -> String {
    let took = duration(took);
    if outcomes.is_empty() {
        return format!("nothing to bake in {took}; {} read", count(secrets_read, "secret"));
    }
    if let [Outcome { result: Ok(baked), .. }] = outcomes {
        let contents = contents(&baked.provenance);
        let sealed = if baked.provenance.seal.is_some() { ", sealed" } else { "" };
        let again = baked.baked_again.as_ref().filter(|_| baked.changed);
        let again = again.map(|why| format!("; baked again, since {why}")).unwrap_or_default();
        return format!("{} {} in {took}: {contents}{sealed}{again}", status(baked), tags(baked));
    }
    let with = |status: &str| {
        outcomes
            .iter()
            .filter_map(|outcome| outcome.result.as_ref().ok())
            .filter(|baked| self::status(baked) == status)
            .count()
    };
    let failed: Vec<&str> =
        outcomes.iter().filter(|outcome| outcome.result.is_err()).map(|outcome| outcome.file.as_str()).collect();
    let mut counts: Vec<String> = ["baked", "unchanged"]
        .into_iter()
        .map(|status| (with(status), status))
        .filter(|(count, _)| *count > 0)
        .map(|(count, status)| format!("{count} {status}"))
        .collect();
    if !failed.is_empty() {
        counts.push(format!("{} failed ({})", failed.len(), few(&failed)));
    }
    format!("{} in {took}; {} read", counts.join(", "), count(secrets_read, "secret"))
}

/// Returns the last line of a dry run.
pub(super) fn dry_run(plan: &Plan) -> String {
    let (images, secrets) = (count(plan.images.len(), "image"), count(plan.reads.len(), "secret"));
    format!("dry run: {images}, {secrets} to read; nothing was read or written")
}

/// Returns the last line of a dry run that looked the secrets up.
pub(super) fn dry_run_online(plan: &Plan, found: usize, references: usize) -> String {
    let images = count(plan.images.len(), "image");
    format!("dry run: {images}, {found} of {} found; nothing was written", count(references, "reference"))
}

/// Returns how to look at an image that was just baked, one command a line. `engine` is the client of the engine.
pub(super) fn next_steps(outcomes: &[Outcome], engine: &str) -> Vec<String> {
    let [Outcome { result: Ok(baked), .. }] = outcomes else { return Vec::new() };
    let Some(tag) = baked.tags.first().filter(|tag| !tag.name.is_standard()) else { return Vec::new() };
    let name = shell_word(&tag.name.to_string());
    let inspect = own(&format!("inspect {name}"));
    let is_opened = baked.provenance.seal.is_some() && baked.provenance.inject == Inject::Launcher.name();
    match (&tag.name, is_opened) {
        (ImageName::Engine(_), true) => vec![
            format!("see what is in it:   {inspect}"),
            format!("run it with its key: {engine} run --rm -v \"$PWD/key.txt:{KEY_FILE}:ro\" {name}"),
        ],
        (ImageName::Engine(_), false) => {
            vec![format!("see what is in it: {inspect}"), format!("run it:            {engine} run --rm {name}")]
        }
        _ => vec![format!("see what is in it: {inspect}")],
    }
}

fn status(baked: &BakedImage) -> &'static str {
    if baked.changed { "baked" } else { "unchanged" }
}

fn tags(baked: &BakedImage) -> String {
    let Some(first) = baked.tags.first() else { return "no image".to_owned() };
    let name = ForeignText::name(first.name.to_string());
    match baked.tags.len() - 1 {
        0 => name.to_string(),
        more => format!("{name} and {}", count(more, "more tag")),
    }
}

/// Returns what an image got: `3 variables, 1 file from 4 secrets`.
fn contents(provenance: &Provenance) -> String {
    let there = |origin: &&ValueOrigin| !origin.is_absent();
    let (variables, files) =
        (provenance.variables.values().filter(there).count(), provenance.files.values().filter(there).count());
    let origins = || provenance.variables.values().chain(provenance.files.values());
    let secrets: BTreeSet<_> = origins()
        .filter(there)
        .flat_map(|origin| origin.named(""))
        .map(|NamedOrigin { origin, .. }| {
            (&origin.credential, &origin.secret, &origin.version_id, &origin.version_stage)
        })
        .collect();
    let mut parts: Vec<String> = [(variables, "variable"), (files, "file")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| count(number, what))
        .collect();
    if parts.is_empty() {
        parts.push("no secret".to_owned());
    } else if let Some(last) = parts.last_mut() {
        last.push_str(&format!(" from {}", count(secrets.len(), "secret")));
    }
    match origins().filter(|origin| origin.is_absent()).count() {
        0 => {}
        1 => parts.push("1 optional one left out".to_owned()),
        absent => parts.push(format!("{absent} optional ones left out")),
    }
    parts.join(", ")
}

/// Returns the first of the names, and how many more there are.
fn few(names: &[&str]) -> String {
    let shown = names.iter().take(MOST_NAMED).map(|name| ForeignText::name(name).to_string());
    let more = names.len().saturating_sub(MOST_NAMED);
    let more = (more > 0).then(|| format!("and {more} more"));
    shown.chain(more).collect::<Vec<_>>().join(", ")
}

fn duration(took: Duration) -> String {
    match took.as_secs() {
        0..60 => format!("{:.1} s", took.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::image::digest::Digest;
    use crate::image::provenance::{Origin, SealOrigin};
    use crate::ops::report::{BakedTag, FailedImage};

    fn origin(secret: &str, absent: bool) -> ValueOrigin {
        ValueOrigin::One(Origin {
            credential: "aws".into(),
            secret: secret.into(),
            key: None,
            version_id: None,
            version_stage: None,
            pinned: false,
            absent,
        })
    }

    fn outcome(file: &str, result: Result<bool, ()>) -> Outcome {
        let origins = |origins: &[(&str, ValueOrigin)]| {
            origins.iter().map(|(name, origin)| ((*name).to_owned(), origin.clone())).collect::<BTreeMap<_, _>>()
        };
        let provenance = Provenance {
            version: 1,
            base: None,
            inject: "launcher".into(),
            seal: None,
            variables: origins(&[
                ("A", origin("db", false)),
                ("B", origin("db", false)),
                ("C", origin("c", false)),
                ("D", origin("d", true)),
            ]),
            files: origins(&[("/f", origin("f", false))]),
            env_from: Vec::new(),
        };
        let name = ImageName::parse("quickstart:1.0").unwrap();
        let baked = |changed| BakedImage {
            base: None,
            tags: vec![BakedTag { name, digest: Digest::of(b"x"), pushed: None }],
            changed,
            displaced: Vec::new(),
            warnings: Vec::new(),
            provenance,
            baked_again: None,
        };
        let result = result.map(baked).map_err(|()| FailedImage::default());
        Outcome { file: file.to_owned(), base: None, tags: Vec::new(), result, finished: true }
    }

    #[test]
    fn one_bake_says_what_the_image_got() {
        let took = Duration::from_millis(240);
        assert_eq!(
            line(&[outcome("a.yaml", Ok(true))], 3, took),
            "baked quickstart:1.0 in 0.2 s: 3 variables, 1 file from 3 secrets, 1 optional one left out"
        );
        assert!(line(&[outcome("a.yaml", Ok(false))], 3, took).starts_with("unchanged quickstart:1.0 in 0.2 s: "));
        let mut sealed = outcome("a.yaml", Ok(true));
        let baked = sealed.result.as_mut().ok().unwrap();
        baked.provenance.seal = Some(SealOrigin { recipients: vec!["age1".into()] });
        baked.baked_again = baked.provenance.untold();
        assert_eq!(
            line(&[sealed], 3, took),
            "baked quickstart:1.0 in 0.2 s: 3 variables, 1 file from 3 secrets, 1 optional one left out, sealed; baked again, since the \
             secrets of credential `aws` have no versions to compare"
        );
        assert_eq!(line(&[outcome("a.yaml", Err(()))], 1, took), "1 failed (a.yaml) in 0.2 s; 1 secret read");
    }

    #[test]
    fn many_bakes_are_counted_and_those_that_failed_are_named() {
        let mut outcomes: Vec<Outcome> = (0..19).map(|_| outcome("a.yaml", Ok(true))).collect();
        outcomes.push(outcome("m/svc07.yaml", Err(())));
        let took = Duration::from_millis(4_910);
        assert_eq!(line(&outcomes, 153, took), "19 baked, 1 failed (m/svc07.yaml) in 4.9 s; 153 secrets read");
        outcomes.extend((1..5).map(|number| outcome(&format!("{number}\n.yaml"), Err(()))));
        outcomes.push(outcome("b.yaml", Ok(false)));
        assert_eq!(
            line(&outcomes, 0, Duration::from_secs(83)),
            r"19 baked, 1 unchanged, 5 failed (m/svc07.yaml, 1\n.yaml, 2\n.yaml, and 2 more) in 1 min 23 s; 0 secrets read"
        );
    }
}
