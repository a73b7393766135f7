//! Owns the text of what `drift` found: one image as a line and its rows, several grouped by what is to be done, within 100 columns.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::super::output::count;
use super::super::short;
use super::report::{Drift, Group, ImageDrift, Status};
use crate::diagnostic::ForeignText;
use crate::diagnostic::command::{own, shell_word, with_org};
use crate::image::name::ImageName;
use crate::image::provenance::LABEL;
use crate::image::time;
use crate::ops::drift::base::BaseState;
use crate::ops::drift::{Finding, State};
use crate::ops::rebake::own_tag;

/// How many images are listed that need nothing.
const MOST_CURRENT: usize = 10;
/// How many of those that use an image are named.
const MOST_USERS: usize = 3;

/// How many images are named in the command to paste.
const MOST_TO_PASTE: usize = 4;

/// What to do with images whose secrets are gone.
const RESTORE: &str = "restore what is gone, or bake from manifests that do without it";

/// How the findings are shown.
#[derive(Clone, Copy)]
pub(super) struct Style<'a> {
    /// The time, in seconds since 1970.
    pub now: i64,
    /// The only secret that is asked about: its current versions are shown, too.
    pub secret: Option<&'a str>,
    /// The client of the engine: `docker` or `podman`.
    pub engine: &'a str,
}

/// Returns the text of everything that was found.
pub(super) fn text(drift: &Drift, style: Style<'_>) -> String {
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = match &drift.images[..] {
        [] if drift.not_baked == 0 => writeln!(out, "{}", nothing(style)),
        [image] if drift.not_baked == 0 && image.used_by.is_empty() => one(&mut out, image, style),
        _ => groups(&mut out, drift, style),
    };
    let all = count(drift.images.len() + drift.not_baked, "image");
    let drifted = drift.count(Status::Drifted);
    if drifted > 0 {
        let _ = writeln!(out, "{drifted} of {all} drifted: {}", next_step(drift, style));
    }
    for step in more_steps(drift, style) {
        let _ = writeln!(out, "{step}");
    }
    out
}

fn one(out: &mut String, image: &ImageDrift, style: Style<'_>) -> std::fmt::Result {
    writeln!(out, "{}: {}", image.image, word(image.status))?;
    short::rows(out, &rows(image, style))
}

fn groups(out: &mut String, drift: &Drift, style: Style<'_>) -> std::fmt::Result {
    for group in Group::ALL {
        let (heading, images) = (group.heading(), drift.of(group));
        let is_long = group == Group::Current && images.len() > MOST_CURRENT && style.secret.is_none();
        match images.len() {
            0 => continue,
            number if is_long => writeln!(out, "{heading}: {}", count(number, "image"))?,
            _ => {
                writeln!(out, "{heading}:")?;
                for image in images {
                    short::heading(out, &short::image(&image.image), &users(&image.used_by))?;
                    short::indented_rows(out, "    ", &rows(image, style))?;
                }
            }
        }
    }
    if drift.not_baked > 0 {
        writeln!(out, "not baked by secretbake: {}", count(drift.not_baked, "image"))?;
    }
    Ok(())
}

/// Says that there is nothing to say.
fn nothing(style: Style<'_>) -> String {
    match style.secret {
        Some(secret) => format!("no image holds the secret {secret}"),
        None => "no image was found".to_owned(),
    }
}

/// Returns the base of an image and how it compares with its tag now, if that is worth a word.
pub(super) fn base_row(image: &ImageDrift) -> Option<[String; 3]> {
    let base = image.base.as_ref()?;
    let digest = |digest: &Option<String>| {
        let hex = digest.as_deref().unwrap_or_default().trim_start_matches("sha256:");
        ForeignText::new(hex.chars().take(12).collect::<String>()).to_string()
    };
    let what = match base.state {
        BaseState::Current => return None,
        BaseState::Moved => {
            format!("moved: baked on {}, is {} now", digest(&base.digest), digest(&base.current_digest))
        }
        BaseState::Gone => format!("the tag is gone, baked on {}", digest(&base.digest)),
        BaseState::Unnamed => "cannot be told: the image names no base in a registry".to_owned(),
        BaseState::Unknown => "could not be asked".to_owned(),
    };
    Some(["base".to_owned(), ForeignText::name(base.name.as_deref().unwrap_or_default()).into(), what])
}

fn rows(image: &ImageDrift, style: Style<'_>) -> Vec<[String; 3]> {
    let shown = image.findings.iter().filter(|finding| style.secret.is_some() || finding.state != State::Current);
    base_row(image).into_iter().chain(shown.map(|finding| row(finding, style.now))).collect()
}

pub(super) fn row(finding: &Finding, now: i64) -> [String; 3] {
    let name = short::with_part(&finding.name, finding.part.as_deref());
    [name, source(finding), what(finding, now)]
}

/// Returns the secret of a finding and its credential.
fn source(finding: &Finding) -> String {
    format!("secret {} with {}", short::secret_name(&finding.secret), finding.credential)
}

/// Says how a baked value compares with its secret.
pub(super) fn what(finding: &Finding, now: i64) -> String {
    let id = |id: &Option<String>| id.as_deref().map_or_else(|| "nothing".to_owned(), short::version_id);
    let (baked, current) = (id(&finding.baked_version_id), id(&finding.current_version_id));
    let when = finding.changed.map(|then| format!(" {}", time::ago(now, then))).unwrap_or_default();
    let stage = match finding.version_stage.as_deref() {
        None => "the pinned version",
        // a parameter has labels, and no stage on its newest version
        Some("AWSCURRENT") if finding.secret.split(':').nth(2) == Some("ssm") => "the newest",
        Some(stage) => stage,
    };
    match finding.state {
        State::Current if finding.baked_version_id.is_some() => format!("current: version {baked}"),
        State::Current => "current".to_owned(),
        State::Rotated => format!("rotated{when}: baked {baked}, {stage} is {current}"),
        State::StageGone => format!("no version is {stage} any more, baked {baked}"),
        State::VersionGone => format!("the pinned version {baked} has no stage any more and may be deleted"),
        State::Deleted => "the secret is deleted".to_owned(),
        State::Appeared => "was absent, and exists now".to_owned(),
        State::Untracked => "cannot be told: the provider gives its versions no IDs".to_owned(),
        State::Unknown => "could not be asked".to_owned(),
    }
}

/// Names a few of those that use an image.
pub(super) fn users(used_by: &[String]) -> String {
    let named: Vec<&str> = used_by.iter().take(MOST_USERS).map(String::as_str).collect();
    match used_by.len().saturating_sub(MOST_USERS) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

pub(super) fn word(status: Status) -> &'static str {
    match status {
        Status::Drifted => "drifted",
        Status::Unknown => "unknown",
        Status::Current => "current",
    }
}

/// What to do next: words, and a command to paste among them.
pub(super) struct Step {
    pub before: String,
    pub command: String,
    pub after: &'static str,
}

impl Step {
    fn words(words: &str) -> Self {
        Step { before: words.to_owned(), command: String::new(), after: "" }
    }

    fn run(command: String, after: &'static str) -> Self {
        Step { before: "run ".to_owned(), command, after }
    }

    /// Returns the step with what it is for in front.
    fn since(self, why: &str) -> Self {
        Step { before: format!("{why}: {}", self.before), ..self }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.before, self.command, self.after)
    }
}

/// Says what to do with the images that drifted. A rebake keeps the base, so a new base needs the manifest.
pub(super) fn next_step(drift: &Drift, style: Style<'_>) -> Step {
    let (rebaked, of_base) = (drift.of(Group::Rebake), drift.of(Group::NewBase));
    match (rebaked.is_empty(), of_base.is_empty()) {
        (true, true) if !drift.of(Group::Gone).is_empty() => Step::words(RESTORE),
        (true, true) if !drift.of(Group::BuildAgain).is_empty() => Step::words(BUILD_AGAIN),
        (true, true) => remove(style),
        (true, false) => Step::run(own("bake"), " with their manifests"),
        (false, true) => rebake(&rebaked),
        (false, false) => Step::run(own("rebake"), ", and bake with their manifests those that need a new base"),
    }
}

/// What to do with images that were built on baked ones.
const BUILD_AGAIN: &str = "rebake the image that each was built on, and build it again";

/// Says what to do with images that were built on baked ones, have no tag or whose secrets are gone, how to tell the state that no version and
/// no label tells, and how many images could not be checked. Why they could not is in the run's problems.
pub(super) fn more_steps(drift: &Drift, style: Style<'_>) -> Vec<Step> {
    let all = count(drift.images.len() + drift.not_baked, "image");
    let (removed, gone) = (drift.of(Group::Remove).len(), drift.of(Group::Gone).len());
    let is_next = drift.of(Group::Rebake).is_empty() && drift.of(Group::NewBase).is_empty();
    let unknown = drift.of(Group::CannotTell);
    let is_untracked = |image: &&ImageDrift| image.findings.iter().any(|finding| finding.state == State::Untracked);
    let untracked = unknown.iter().copied().filter(is_untracked);
    let (on_top, untracked): (Vec<&ImageDrift>, Vec<&ImageDrift>) = untracked.partition(|image| image.built_on_top);
    let is_unnamed = |image: &&&ImageDrift| image.base.as_ref().is_some_and(|base| base.state == BaseState::Unnamed);
    let unnamed = unknown.iter().filter(is_unnamed).count();
    let is_unchecked = |image: &&&ImageDrift| {
        let is_unread = image.findings.is_empty() && image.base.is_none();
        let lacks_base = image.base.as_ref().is_some_and(|base| base.state == BaseState::Unknown);
        is_unread || lacks_base || image.findings.iter().any(|finding| finding.state == State::Unknown)
    };
    let unchecked = unknown.iter().filter(is_unchecked).count();
    let mut steps = Vec::new();
    let built = drift.of(Group::BuildAgain).len();
    if built > 0 && (gone > 0 || !is_next) {
        steps.push(Step::words(BUILD_AGAIN).since(&format!("{built} of {all} cannot be rebaked")));
    }
    if gone > 0 && !is_next {
        steps.push(Step::words(RESTORE).since(&format!("{gone} of {all} cannot be rebaked")));
    }
    if removed > 0 && drift.count(Status::Drifted) > removed {
        steps.push(remove(style).since(&format!("{removed} of {all} have no tag")));
    }
    for (images, step) in [(&untracked, rebake(&untracked)), (&on_top, Step::words(BUILD_AGAIN))] {
        if !images.is_empty() {
            let number = images.len();
            steps.push(step.since(&format!("{number} of {all} cannot be told without reading the secrets")));
        }
    }
    if unnamed > 0 {
        let step = Step::words("bake from a base in a registry, docker://HOST/REPO:TAG");
        steps.push(step.since(&format!("{unnamed} of {all} cannot be told by the base")));
    }
    if unchecked > 0 && drift.images.len() + drift.not_baked > 1 {
        steps.push(Step::words("see the errors").since(&format!("{unchecked} of {all} could not be checked")));
    }
    steps
}

/// Returns the command that removes every baked image without a tag that no container uses.
fn remove(style: Style<'_>) -> Step {
    Step::run(format!("{} image prune --filter label={LABEL}", style.engine), "")
}

/// Returns the command that rebakes images, with their names if they are few. What runs by a digest is rebaked by its tag.
fn rebake(images: &[&ImageDrift]) -> Step {
    let own_tag = |name: &str| own_tag(&ImageName::parse(name).ok()?.without_digest()).ok();
    let mut tags: Vec<String> =
        images.iter().filter_map(|image| own_tag(&image.image)).map(|tag| tag.to_string()).collect();
    let lack_tag = images.iter().filter(|image| own_tag(&image.image).is_none()).collect::<Vec<_>>();
    let mut seen = BTreeSet::new();
    tags.retain(|tag| seen.insert(tag.clone()));
    match (&tags[..], &lack_tag[..]) {
        ([], [image]) => Step::run(with_org(&format!("rebake {} --tag TAG", shell_word(&image.image))), ""),
        (tags, []) if tags.len() <= MOST_TO_PASTE => {
            let words: Vec<String> = tags.iter().map(|tag| shell_word(tag)).collect();
            Step::run(with_org(&format!("rebake {}", words.join(" "))), "")
        }
        (_, []) => Step::run(own("rebake"), " with their names"),
        _ => Step::run(own("rebake"), " with their names, and with --tag those that have no tag"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Drift;
    use super::*;

    const STYLE: Style<'_> = Style { now: 1_700_000_000 + 3 * 3600, secret: None, engine: "docker" };

    fn finding(state: State) -> Finding {
        Finding {
            name: "DB".to_owned(),
            part: None,
            state,
            credential: "aws-prod".to_owned(),
            secret: "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf".to_owned(),
            baked_version_id: Some("1a2b3c4d-0000-4000-8000-000000000000".to_owned()),
            current_version_id: Some("5e6f7a8b-0000-4000-8000-000000000000".to_owned()),
            version_stage: Some("AWSCURRENT".to_owned()),
            changed: Some(1_700_000_000),
        }
    }

    fn image(name: &str, used_by: &[&str], findings: Vec<Finding>) -> ImageDrift {
        ImageDrift::new(name.to_owned(), used_by.iter().map(|&user| user.to_owned()).collect(), findings)
    }

    #[test]
    fn a_rotation_is_short_and_says_when_it_was() {
        let images = vec![image("crew:1", &[], vec![finding(State::Rotated)])];
        assert_eq!(
            text(&Drift::new(images, 0, &[]), STYLE),
            "crew:1: drifted\n  DB  secret db with aws-prod  rotated 3 h ago: baked 1a2b3c4d, AWSCURRENT is 5e6f7a8b\n\
             1 of 1 image drifted: run secretbake rebake crew:1\n"
        );
    }

    #[test]
    fn several_images_are_grouped_by_what_is_to_be_done() {
        let mut images = vec![
            image("crew:2", &[], vec![finding(State::Current)]),
            image(
                "crew:1",
                &["Pod a", "Pod b", "Pod c", "Pod d"],
                vec![finding(State::Rotated), finding(State::Current)],
            ),
            ImageDrift::unknown("crew:3".to_owned(), Vec::new()),
        ];
        let expected = "rebake:\n  crew:1  Pod a, Pod b, Pod c and 1 more\n    \
                        DB  secret db with aws-prod  rotated 3 h ago: baked 1a2b3c4d, AWSCURRENT is 5e6f7a8b\n\
                        cannot tell:\n  crew:3\ncurrent:\n  crew:2\nnot baked by secretbake: 4 images\n\
                        1 of 7 images drifted: run secretbake rebake crew:1\n\
                        1 of 7 images could not be checked: see the errors\n";
        assert_eq!(text(&Drift::new(images, 4, &[]), STYLE), expected);

        images = (0..11).map(|number| image(&format!("crew:{number}"), &[], vec![finding(State::Current)])).collect();
        assert_eq!(text(&Drift::new(images, 0, &[]), STYLE), "current: 11 images\n");
    }

    #[test]
    fn what_was_built_on_a_baked_image_is_built_again() {
        let drifted = |name: &str| image(name, &[], vec![finding(State::Rotated)]);
        let on_top = |image| ImageDrift { built_on_top: true, ..image };
        let again = "rebake the image that each was built on, and build it again";
        let both = text(&Drift::new(vec![drifted("crew:1"), on_top(drifted("top:1"))], 0, &[]), STYLE);
        assert!(both.contains("\nbuild again on the rebaked image:\n  top:1\n"), "{both}");
        let steps =
            format!("2 of 2 images drifted: run secretbake rebake crew:1\n1 of 2 images cannot be rebaked: {again}\n");
        assert!(both.ends_with(&steps), "{both}");
        let untracked = on_top(image("top:2", &[], vec![finding(State::Untracked)]));
        let unknown = text(&Drift::new(vec![untracked], 0, &[]), STYLE);
        let step = format!("1 of 1 image cannot be told without reading the secrets: {again}\n");
        assert!(unknown.ends_with(&step), "{unknown}");
    }

    #[test]
    fn what_has_no_tag_is_removed_and_what_runs_by_a_digest_is_rebaked_by_its_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let drifted = |name: &str| image(name, &[], vec![finding(State::Rotated)]);
        let untagged = || ImageDrift { untagged: true, ..drifted(&digest) };
        let last =
            |images| text(&Drift::new(images, 0, &[]), STYLE).lines().rev().take(2).collect::<Vec<_>>().join("\n");
        let prune = "run docker image prune --filter label=dev.secretbake.provenance";
        let by_digest = drifted(&format!("docker://r.example.com/crew:1@{digest}"));
        assert_eq!(
            last(vec![drifted("docker://r.example.com/crew:1"), by_digest, untagged()]),
            format!(
                "1 of 3 images have no tag: {prune}\n3 of 3 images drifted: run secretbake rebake docker://r.example.com/crew:1"
            )
        );
        assert!(last(vec![untagged()]).starts_with(&format!("1 of 1 image drifted: {prune}\n")));
        let nameless = format!("docker://r.example.com/crew@{digest}");
        let alone = last(vec![drifted(&nameless)]);
        assert!(
            alone.starts_with(&format!("1 of 1 image drifted: run secretbake rebake {nameless} --tag TAG\n")),
            "{alone}"
        );
        let both = last(vec![drifted(&nameless), drifted("crew:1")]);
        assert!(
            both.starts_with("2 of 2 images drifted: run secretbake rebake with their names, and with --tag those"),
            "{both}"
        );
    }

    #[test]
    fn no_line_is_longer_than_the_screen() {
        let long = "x".repeat(90);
        let rotated = Finding { name: long.clone(), ..finding(State::Rotated) };
        let images = vec![image("crew:1", &[&long, &long], vec![rotated]), image("crew:2", &[], Vec::new())];
        let text = text(&Drift::new(images, 0, &[]), STYLE);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
