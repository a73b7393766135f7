//! Finds baked versions that are no longer current, from an image's provenance and the descriptions of its secrets.
//!
//! This file is pure and needs no values, only the IDs and stages of versions. `fleet` finds and reads the images, `describe` asks the
//! providers.

pub mod base;
pub mod describe;
pub mod fleet;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::image::provenance::{NamedOrigin, Origin, Provenance, ValueOrigin, WholeSecret};
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::secrets::{SecretDescription, VersionInfo};

/// The default version stage.
const CURRENT: &str = "AWSCURRENT";

/// A secret to describe: the credential's name, then the secret's ARN or name.
pub type DescribedSecret = (String, String);

/// What is known about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    Described(SecretDescription),
    /// The provider has no such secret.
    Missing,
    /// It could not be described; the reason is already reported.
    Unasked,
}

/// How a baked value compares with its secret now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A bake would read the same version now; a secret that was absent still is.
    Current,
    /// The version stage now points to another version.
    Rotated,
    /// No version has the version stage anymore.
    StageGone,
    /// The pinned version no longer has a version stage, so the provider may delete it.
    VersionGone,
    /// The secret no longer exists or is scheduled for deletion.
    Deleted,
    /// An optional secret that was absent now exists, or a new one is below a path.
    Appeared,
    /// The provider gives its versions no IDs.
    Untracked,
    /// The secret could not be described.
    Unknown,
}

impl State {
    /// Tells whether the image has to be baked again.
    pub fn drifted(self) -> bool {
        !matches!(self, State::Current | State::Untracked | State::Unknown)
    }

    /// Tells whether what was baked does not exist any more, so that another bake cannot read it.
    pub fn is_gone(self) -> bool {
        matches!(self, State::StageGone | State::VersionGone | State::Deleted)
    }

    /// Tells whether the state is unknown.
    pub fn untold(self) -> bool {
        matches!(self, State::Untracked | State::Unknown)
    }
}

/// One variable or file, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The variable's name or the file's path.
    pub name: String,
    /// The name in the template, for a part of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    pub state: State,
    pub credential: String,
    pub secret: String,
    pub baked_version_id: Option<String>,
    /// `None` if it does not exist or is not known.
    pub current_version_id: Option<String>,
    /// The requested version stage; `None` for a pinned version.
    pub version_stage: Option<String>,
    /// When the secret last changed, in seconds since 1970. Only for a rotated secret with the current version's stage.
    #[serde(skip)]
    pub changed: Option<i64>,
}

/// Returns what an image holds of one secret, by its name or ARN; `None` if it holds nothing of it.
pub fn only(provenance: &Provenance, secret: &str) -> Option<Provenance> {
    let is_it = |origin: &Origin| is_named(&origin.secret, secret);
    let of = |value: &ValueOrigin| match value {
        ValueOrigin::One(origin) => is_it(origin).then(|| value.clone()),
        ValueOrigin::Template(template) => {
            let mut template = template.clone();
            template.parts.retain(|_, origin| is_it(origin));
            (!template.parts.is_empty()).then_some(ValueOrigin::Template(template))
        }
    };
    let kept = |values: &BTreeMap<String, ValueOrigin>| -> BTreeMap<String, ValueOrigin> {
        values.iter().filter_map(|(name, value)| Some((name.clone(), of(value)?))).collect()
    };
    let (variables, files) = (kept(&provenance.variables), kept(&provenance.files));
    let is_used =
        |whole: &&WholeSecret| is_it(&whole.origin) || whole.names.iter().any(|name| variables.contains_key(name));
    let env_from: Vec<WholeSecret> = provenance.env_from.iter().filter(is_used).cloned().collect();
    let holds = !(variables.is_empty() && files.is_empty() && env_from.is_empty());
    holds.then(|| Provenance { variables, files, env_from, ..provenance.clone() })
}

/// Tells whether a secret's ARN or name is meant by a name or ARN that a user wrote.
pub fn is_named(secret: &str, wanted: &str) -> bool {
    let are_arns = secret.starts_with("arn:") && wanted.starts_with("arn:");
    let name_of = |secret: &str| SecretId::new(secret).map(|id| id.name().to_owned());
    let is_same = || matches!((name_of(secret), name_of(wanted)), (Ok(one), Ok(other)) if one == other);
    secret == wanted || !are_arns && is_same()
}

/// Returns the distinct subjects of the images.
pub fn subjects<'a>(images: impl IntoIterator<Item = &'a Provenance>) -> BTreeSet<DescribedSecret> {
    images.into_iter().flat_map(origins).map(|(_, _, origin)| subject(origin)).collect()
}

/// What is below a path now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Below {
    /// Nothing, if the provider says so.
    Listed(Vec<SecretDescription>),
    /// It could not be asked; why has been said.
    Unasked,
}

/// Returns every path once, however many images name it.
pub fn paths<'a>(images: impl IntoIterator<Item = &'a Provenance>) -> BTreeSet<DescribedSecret> {
    let wholes = images.into_iter().flat_map(|image| &image.env_from);
    wholes.filter(|whole| whole.below.is_some()).map(|whole| subject(&whole.origin)).collect()
}

/// Returns what the lists of paths say of the secrets that were baked from them.
pub fn known_from_paths<'a>(
    images: impl IntoIterator<Item = &'a Provenance>,
    paths: &BTreeMap<DescribedSecret, Below>,
) -> BTreeMap<DescribedSecret, Known> {
    let mut known = BTreeMap::new();
    for image in images {
        for whole in &image.env_from {
            let Some(below) = paths.get(&subject(&whole.origin)).filter(|_| whole.below.is_some()) else { continue };
            let origins = whole.names.iter().filter_map(|name| image.variables.get(name));
            for NamedOrigin { origin, .. } in origins.flat_map(|origin| origin.named("")) {
                let id = SecretId::new(&origin.secret);
                let name = id.as_ref().map_or(origin.secret.as_str(), SecretId::name);
                let is_it = |found: &&SecretDescription| found.name == name;
                let answer = match below {
                    Below::Unasked => Known::Unasked,
                    Below::Listed(found) => found.iter().find(is_it).cloned().map_or(Known::Missing, Known::Described),
                };
                known.insert(subject(origin), answer);
            }
        }
    }
    known
}

/// Returns the version that a subject's description must include besides the current one: a version that an image requested.
pub fn version_of<'a>(images: impl IntoIterator<Item = &'a Provenance>, wanted: &DescribedSecret) -> Version {
    let of_subject =
        images.into_iter().flat_map(origins).map(|(_, _, origin)| origin).filter(|it| subject(it) == *wanted);
    let named = of_subject.filter_map(|origin| match (&origin.version_stage, &origin.version_id) {
        (Some(stage), _) => Some(Version::Stage(stage.clone())),
        (None, Some(id)) if origin.pinned => Some(Version::Id(id.clone())),
        _ => None,
    });
    named.into_iter().next().unwrap_or_default()
}

/// Finds what is known about a secret's ARN under its name, described with the same credential: an image has only the name of an
/// optional secret that was absent.
pub fn described_by_name(subject: &DescribedSecret, known: &BTreeMap<DescribedSecret, Known>) -> Option<Known> {
    let (credential, arn) = subject;
    let is_it = |((with, _), known): &(&DescribedSecret, &Known)| {
        let arn_of = |description: &SecretDescription| description.arn.as_ref() == Some(arn);
        with == credential && matches!(known, Known::Described(description) if arn_of(description))
    };
    known.iter().find(is_it).map(|(_, known)| known.clone())
}

/// Returns the state of each variable and file of an image: variables first, each sorted by name, then each whole secret that gave no
/// variable, then each secret that is new below a path.
pub fn findings(
    provenance: &Provenance,
    known: &BTreeMap<DescribedSecret, Known>,
    paths: &BTreeMap<DescribedSecret, Below>,
) -> Vec<Finding> {
    let named = origins(provenance)
        .map(|(name, part, origin)| Finding { part: part.map(str::to_owned), ..finding(&name, origin, known) });
    let new = provenance.env_from.iter().enumerate().flat_map(|(index, whole)| new_below(index, whole, paths));
    named.chain(new).collect()
}

/// Returns the secrets that are below a path now and were not; of a path that gave no variable, at least one finding.
fn new_below(index: usize, whole: &WholeSecret, paths: &BTreeMap<DescribedSecret, Below>) -> Vec<Finding> {
    let Some(before) = &whole.below else { return Vec::new() };
    let path = &whole.origin.secret;
    let of_path = |state| Finding {
        name: format!("env_from[{index}]"),
        part: None,
        state,
        credential: whole.origin.credential.clone(),
        secret: path.clone(),
        baked_version_id: None,
        current_version_id: None,
        version_stage: Some(CURRENT.to_owned()),
        changed: None,
    };
    let is_empty = whole.names.is_empty();
    let Some(Below::Listed(found)) = paths.get(&subject(&whole.origin)) else {
        return is_empty.then(|| of_path(State::Unknown)).into_iter().collect();
    };
    let new = found.iter().filter_map(|secret| {
        let key = secret.name.strip_prefix(path.as_str())?;
        let is_new = whole.takes(key) && before.iter().all(|other| other != key);
        is_new.then(|| Finding {
            name: whole.name(key),
            secret: secret.arn.clone().unwrap_or_else(|| secret.name.clone()),
            current_version_id: secret.versions.iter().find_map(|version| version.id.clone()),
            changed: secret.changed,
            ..of_path(State::Appeared)
        })
    });
    let new: Vec<Finding> = new.collect();
    if new.is_empty() && is_empty { vec![of_path(State::Current)] } else { new }
}

/// The name, the part of a template, and the origin.
type Named<'a> = (Cow<'a, str>, Option<&'a str>, &'a Origin);

fn origins(provenance: &Provenance) -> impl Iterator<Item = Named<'_>> {
    let named = provenance.variables.iter().chain(&provenance.files).flat_map(|(name, origin)| origin.named(name));
    let named = named.map(|NamedOrigin { name, part, origin }| (Cow::Borrowed(name), part, origin));
    // a whole secret that gave variables is covered by them, and a path by what is below it
    let wholes = provenance.env_from.iter().enumerate().filter(|(_, whole)| whole.below.is_none());
    let empty = wholes.filter(|(_, whole)| whole.names.is_empty());
    named.chain(empty.map(|(index, whole)| (Cow::Owned(format!("env_from[{index}]")), None, &whole.origin)))
}

fn subject(origin: &Origin) -> DescribedSecret {
    (origin.credential.clone(), origin.secret.clone())
}

fn finding(name: &str, origin: &Origin, known: &BTreeMap<DescribedSecret, Known>) -> Finding {
    let stage = (!origin.pinned).then(|| origin.version_stage.as_deref().unwrap_or(CURRENT));
    let (state, current) = match known.get(&subject(origin)) {
        None | Some(Known::Unasked) => (State::Unknown, None),
        Some(Known::Missing) => (gone(origin, State::Deleted), None),
        Some(Known::Described(description)) if description.deleted => (gone(origin, State::Deleted), None),
        Some(Known::Described(description)) => judge(origin, stage, description),
    };
    let changed = match known.get(&subject(origin)) {
        Some(Known::Described(description)) if stage == Some(CURRENT) => description.changed,
        _ => None,
    };
    Finding {
        name: name.to_owned(),
        part: None,
        state,
        credential: origin.credential.clone(),
        secret: origin.secret.clone(),
        baked_version_id: origin.version_id.clone(),
        current_version_id: current,
        version_stage: stage.map(str::to_owned),
        changed,
    }
}

/// A secret that was absent when baked and is still absent has not drifted.
fn gone(origin: &Origin, state: State) -> State {
    if origin.absent && origin.version_id.is_none() { State::Current } else { state }
}

fn judge(origin: &Origin, stage: Option<&str>, description: &SecretDescription) -> (State, Option<String>) {
    let wanted = |version: &&VersionInfo| match stage {
        Some(stage) => version.stages.iter().any(|other| other == stage),
        None => version.id == origin.version_id,
    };
    let Some(version) = description.versions.iter().find(wanted) else {
        let state = if stage.is_some() { State::StageGone } else { State::VersionGone };
        return (gone(origin, state), None);
    };
    let state = match (&version.id, &origin.version_id) {
        (Some(now), Some(baked)) if now == baked => State::Current,
        (Some(_), Some(_)) => State::Rotated,
        // without a recorded ID, a whole secret that was left out did not exist; for a key, that is not known
        (Some(_), None) if origin.absent => State::Appeared,
        (None, None) if origin.absent && origin.key.is_none() => State::Appeared,
        _ => State::Untracked,
    };
    (state, version.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(version: Option<&str>) -> Origin {
        Origin {
            credential: "aws".into(),
            secret: "s".into(),
            key: None,
            version_id: version.map(str::to_owned),
            version_stage: None,
            pinned: false,
            absent: false,
        }
    }

    fn described(versions: &[(Option<&str>, &[&str])]) -> Known {
        let versions = versions
            .iter()
            .map(|(id, stages)| VersionInfo {
                id: id.map(str::to_owned),
                stages: stages.iter().map(|stage| (*stage).to_owned()).collect(),
            })
            .collect();
        Known::Described(SecretDescription::of_versions("s", versions))
    }

    fn state(origin: &Origin, known: Known) -> State {
        finding("A", origin, &BTreeMap::from([(subject(origin), known)])).state
    }

    #[test]
    fn a_version_is_current_while_its_stage_is_on_it() {
        let now = described(&[(Some("v2"), &["AWSCURRENT"]), (Some("v1"), &["AWSPREVIOUS"])]);
        assert_eq!(state(&origin(Some("v2")), now.clone()), State::Current);
        assert_eq!(state(&origin(Some("v1")), now.clone()), State::Rotated);
        let previous = Origin { version_stage: Some("AWSPREVIOUS".into()), ..origin(Some("v1")) };
        assert_eq!(state(&previous, now.clone()), State::Current);
        let staging = Origin { version_stage: Some("BLUE".into()), ..origin(Some("v1")) };
        assert_eq!(state(&staging, now), State::StageGone);
    }

    #[test]
    fn a_pinned_version_drifts_only_when_it_is_gone() {
        let pinned = Origin { pinned: true, ..origin(Some("v1")) };
        let listed = described(&[(Some("v1"), &["AWSPREVIOUS"]), (Some("v2"), &["AWSCURRENT"])]);
        assert_eq!(state(&pinned, listed), State::Current);
        assert_eq!(state(&pinned, described(&[(Some("v2"), &["AWSCURRENT"])])), State::VersionGone);
    }

    #[test]
    fn a_secret_that_is_gone_has_drifted_unless_it_was_absent() {
        let absent = Origin { absent: true, ..origin(None) };
        let mut doomed = described(&[(Some("v1"), &["AWSCURRENT"])]);
        if let Known::Described(description) = &mut doomed {
            description.deleted = true;
        }
        for known in [Known::Missing, doomed] {
            assert_eq!(state(&origin(Some("v1")), known.clone()), State::Deleted);
            assert_eq!(state(&absent, known), State::Current);
        }
        assert_eq!(state(&absent, described(&[])), State::Current);
        assert_eq!(state(&origin(Some("v1")), Known::Unasked), State::Unknown);
    }

    #[test]
    fn what_was_left_out_has_drifted_when_it_is_there() {
        let absent = Origin { absent: true, ..origin(None) };
        assert_eq!(state(&absent, described(&[(Some("v1"), &["AWSCURRENT"])])), State::Appeared);
        assert_eq!(state(&absent, described(&[(None, &["AWSCURRENT"])])), State::Appeared);
        // a key that was absent in a version that is known
        let no_key = Origin { absent: true, key: Some("k".into()), ..origin(Some("v1")) };
        assert_eq!(state(&no_key, described(&[(Some("v1"), &["AWSCURRENT"])])), State::Current);
        assert_eq!(state(&no_key, described(&[(Some("v2"), &["AWSCURRENT"])])), State::Rotated);
        let untold = Origin { version_id: None, ..no_key };
        assert_eq!(state(&untold, described(&[(None, &["AWSCURRENT"])])), State::Untracked);
    }

    #[test]
    fn versions_without_ids_cannot_be_told_apart() {
        assert_eq!(state(&origin(None), described(&[(None, &["AWSCURRENT"])])), State::Untracked);
        assert_eq!(state(&origin(None), described(&[(Some("v1"), &["AWSCURRENT"])])), State::Untracked);
    }

    #[test]
    fn a_secret_of_many_images_is_one_subject() {
        let provenance = |names: &[&str]| Provenance {
            version: 1,
            base: None,
            inject: "launcher".into(),
            seal: None,
            variables: names.iter().map(|name| ((*name).to_owned(), ValueOrigin::One(origin(Some("v1"))))).collect(),
            files: BTreeMap::new(),
            env_from: Vec::new(),
        };
        assert_eq!(subjects([&provenance(&["A", "B"]), &provenance(&["C"])]).len(), 1);
    }
}
