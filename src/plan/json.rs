//! Owns the plan as JSON, as `--dry-run --format json` prints it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::diagnostic::Diagnostic;
use crate::diagnostic::json::Problem;
use crate::image::platform::Platforms;
use crate::image::seal::Recipient;
use crate::manifest::{Encoding, Version};
use crate::org::Org;
use crate::plan::shown::{mode, owner, plain_value};
use crate::plan::{ImagePlan, Plan, PlannedEnvFrom, PlannedSecret, PlannedSource, Read, Use};

/// The plan as JSON, version 1.
#[derive(Serialize)]
pub struct PlanJson<'a> {
    pub version: u32,
    pub images: Vec<ImageJson<'a>>,
    pub reads: Vec<ReadJson<'a>>,
    pub warnings: Vec<Problem>,
}

#[derive(Serialize)]
pub struct ImageJson<'a> {
    pub manifest: &'a str,
    pub base: Option<String>,
    pub tags: Vec<String>,
    /// What `--platform` names, or `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    pub inject: &'static str,
    /// Absent for an image that is not sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seal: Option<SealJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_file: Option<EnvFileJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_from: Vec<EnvFromJson<'a>>,
    pub env: Vec<EntryJson<'a>>,
    pub files: Vec<EntryJson<'a>>,
}

#[derive(Serialize)]
pub struct SealJson<'a> {
    /// Empty if --seal-to must give them.
    pub recipients: Vec<&'a str>,
}

#[derive(Serialize)]
pub struct EnvFileJson<'a> {
    pub path: &'a str,
    pub format: &'static str,
    pub mode: String,
    pub owner: String,
}

/// A secret whose keys become variables, or a path whose secrets do.
#[derive(Serialize)]
pub struct EnvFromJson<'a> {
    pub secret: SecretJson<'a>,
    /// Whether the secret is a path.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub path: bool,
    /// Where the variables are in the image: `config` or `env-file`.
    pub place: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub prefix: &'a str,
    pub case: &'static str,
    /// The keys to take; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<&'a str, &'a str>,
    /// The variables that are known before the secret is read.
    pub names: Vec<String>,
}

/// A variable or a file.
#[derive(Serialize)]
pub struct EntryJson<'a> {
    pub name: &'a str,
    /// Where it is in the image: `config`, `env-file` or `file`.
    pub place: &'static str,
    /// The plain value, quoted and shortened; absent if it looks like a credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Absent for a plain value and a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretJson<'a>>,
    /// The template's text, quoted and shortened; absent if it looks like a credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The secrets of a template.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// A part of a template.
#[derive(Serialize)]
pub struct PartJson<'a> {
    pub name: &'a str,
    pub secret: SecretJson<'a>,
}

#[derive(Serialize)]
pub struct SecretJson<'a> {
    pub reference: String,
    pub credential: &'a str,
    pub provider: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<&'a str>,
    pub version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<&'static str>,
    pub optional: bool,
}

#[derive(Serialize)]
pub struct ReadJson<'a> {
    pub secret: &'a str,
    pub credential: &'a str,
    pub provider: &'static str,
    pub region: Option<&'a str>,
    pub version: String,
    pub uses: usize,
}

/// Describes the plan.
pub fn describe<'a>(plan: &'a Plan, org: &'a Org, warnings: &[Diagnostic]) -> PlanJson<'a> {
    PlanJson {
        version: 1,
        images: plan.images.iter().map(|image| image_json(plan, image, org)).collect(),
        reads: plan
            .reads
            .iter()
            .zip(uses(plan))
            .map(|(read, uses)| {
                let credential = &org.credentials[read.credential];
                ReadJson {
                    secret: read.id.as_str(),
                    credential: &credential.name,
                    provider: credential.provider().name(),
                    region: credential.region(),
                    version: version(read),
                    uses,
                }
            })
            .collect(),
        warnings: warnings.iter().map(Problem::from).collect(),
    }
}

/// Returns how many variables and files use each read, in the plan's order.
fn uses(plan: &Plan) -> Vec<usize> {
    let mut uses = vec![0; plan.reads.len()];
    for usage in plan.uses() {
        uses[usage.read] += 1;
    }
    uses
}

fn image_json<'a>(plan: &'a Plan, image: &'a ImagePlan, org: &'a Org) -> ImageJson<'a> {
    ImageJson {
        manifest: &image.file,
        base: image.base.as_ref().map(|base| base.name.to_string()),
        tags: image.tag_names().map(ToString::to_string).collect(),
        platform: match &plan.platforms {
            Platforms::Own => None,
            Platforms::One(platform) => Some(platform.to_string()),
            Platforms::All => Some("all".to_owned()),
        },
        inject: image.inject.name(),
        seal: image
            .seal
            .as_ref()
            .map(|recipients| SealJson { recipients: recipients.iter().map(Recipient::as_str).collect() }),
        env_file: image.env_file.as_ref().map(|file| EnvFileJson {
            path: &file.path,
            format: file.format.name(),
            mode: mode(&file.access),
            owner: owner(&file.access),
        }),
        env_from: image.env_from.iter().map(|entry| env_from(plan, image, entry, org)).collect(),
        env: image
            .variables
            .iter()
            .map(|variable| {
                let place = variable.destination.name();
                match &variable.source {
                    PlannedSource::Plain(text) => {
                        EntryJson { value: plain_value(text).ok(), ..EntryJson::new(&variable.name, place) }
                    }
                    PlannedSource::Secret(source) => entry(plan, &variable.name, place, source, org),
                }
            })
            .collect(),
        files: image
            .files
            .iter()
            .map(|file| EntryJson {
                mode: Some(mode(&file.access)),
                owner: Some(owner(&file.access)),
                ..entry(plan, &file.path, "file", &file.source, org)
            })
            .collect(),
    }
}

impl<'a> EntryJson<'a> {
    fn new(name: &'a str, place: &'static str) -> Self {
        let (value, secret, template, parts, mode, owner) = (None, None, None, Vec::new(), None, None);
        EntryJson { name, place, value, secret, template, parts, mode, owner }
    }
}

fn entry<'a>(
    plan: &Plan,
    name: &'a str,
    place: &'static str,
    source: &'a PlannedSecret,
    org: &'a Org,
) -> EntryJson<'a> {
    match source {
        PlannedSecret::One(usage) => {
            EntryJson { secret: Some(secret(plan, usage, org)), ..EntryJson::new(name, place) }
        }
        PlannedSecret::Template(template) => {
            let parts = template.parts.iter().map(|(name, usage)| PartJson { name, secret: secret(plan, usage, org) });
            let (template, parts) = (plain_value(&template.text).ok(), parts.collect());
            EntryJson { template, parts, ..EntryJson::new(name, place) }
        }
    }
}

fn env_from<'a>(plan: &Plan, image: &ImagePlan, entry: &'a PlannedEnvFrom, org: &'a Org) -> EnvFromJson<'a> {
    let naming = &entry.naming;
    let own = |name: &String| image.variables.iter().any(|variable| variable.name == *name);
    EnvFromJson {
        secret: secret(plan, &entry.source, org),
        path: plan.reads[entry.source.read].is_path,
        place: entry.destination.name(),
        prefix: &naming.prefix,
        case: naming.case.name(),
        keys: naming.keys.as_ref().map(|keys| keys.iter().map(|key| key.value.as_str()).collect()),
        rename: naming.rename.iter().map(|(key, name)| (key.as_str(), name.value.as_str())).collect(),
        names: naming.known().map(|(name, ..)| name).filter(|name| !own(name)).collect(),
    }
}

fn secret<'a>(plan: &Plan, usage: &Use, org: &'a Org) -> SecretJson<'a> {
    let read = &plan.reads[usage.read];
    let credential = &org.credentials[read.credential];
    SecretJson {
        reference: format!("{}{}", read.id, usage.selector),
        credential: &credential.name,
        provider: credential.provider().name(),
        region: credential.region(),
        version: version(read),
        encoding: (usage.encoding == Encoding::Base64).then_some("base64"),
        optional: usage.optional,
    }
}

/// Returns the version stage, or the version ID with its word.
pub fn version(read: &Read) -> String {
    match &read.version {
        Version::Current => "AWSCURRENT".to_owned(),
        Version::Stage(stage) => stage.clone(),
        Version::Id(id) => format!("version {id}"),
    }
}
