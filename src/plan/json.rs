//! Owns the plan as data: what `--dry-run --format json` prints, and what the text is made from.

use serde::Serialize;

use crate::diagnostic::Diagnostic;
use crate::diagnostic::json::Problem;
use crate::image::access::{Access, Id};
use crate::image::platform::Platforms;
use crate::manifest::{Encoding, Inject, Version};
use crate::org::Org;
use crate::plan::{ImagePlan, Plan, Read, Use};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_file: Option<EnvFileJson<'a>>,
    pub env: Vec<EntryJson<'a>>,
    pub files: Vec<EntryJson<'a>>,
}

#[derive(Serialize)]
pub struct EnvFileJson<'a> {
    pub path: &'a str,
    pub format: &'static str,
    pub mode: String,
    pub owner: String,
}

/// A variable or a file.
#[derive(Serialize)]
pub struct EntryJson<'a> {
    pub name: &'a str,
    /// Where it is in the image: `config`, `env-file` or `file`.
    pub place: &'static str,
    /// Absent for a plain value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
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
    let has_secrets = image.variables.iter().any(|variable| variable.source.secret().is_some());
    let env_file = match image.inject {
        Inject::Launcher => has_secrets,
        Inject::Config => false,
        Inject::File => true,
    };
    let (mode, owner) = access(&image.access);
    ImageJson {
        manifest: &image.file,
        base: image.base.as_ref().map(ToString::to_string),
        tags: image.tags.iter().map(ToString::to_string).collect(),
        platform: match &plan.platforms {
            Platforms::Own => None,
            Platforms::One(platform) => Some(platform.to_string()),
            Platforms::All => Some("all".to_owned()),
        },
        inject: image.inject.name(),
        env_file: env_file.then(|| EnvFileJson { path: &image.env_path, format: image.format.name(), mode, owner }),
        env: image
            .variables
            .iter()
            .map(|variable| {
                let usage = variable.source.secret();
                let filed = image.inject == Inject::File || (image.inject == Inject::Launcher && usage.is_some());
                EntryJson {
                    name: &variable.name,
                    place: if filed { "env-file" } else { "config" },
                    secret: usage.map(|usage| secret(plan, usage, org)),
                    mode: None,
                    owner: None,
                }
            })
            .collect(),
        files: image
            .files
            .iter()
            .map(|file| {
                let (mode, owner) = access(&file.access);
                EntryJson {
                    name: &file.path,
                    place: "file",
                    secret: Some(secret(plan, &file.source, org)),
                    mode: Some(mode),
                    owner: Some(owner),
                }
            })
            .collect(),
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

/// Returns the version selector as a reader has it.
pub fn version(read: &Read) -> String {
    match &read.version {
        Version::Current => "AWSCURRENT".to_owned(),
        Version::Stage(stage) => stage.clone(),
        Version::Id(id) => format!("version {id}"),
    }
}

fn access(access: &Access) -> (String, String) {
    let id = |id: &Id| match id {
        Id::Number(number) => number.to_string(),
        Id::Name(name) => name.clone(),
    };
    let mode = format!("{:04o}", access.mode.unwrap_or(crate::image::append::MODE));
    let owner = match &access.owner {
        None => "the image's user:0".to_owned(),
        Some(owner) => {
            format!("{}:{}", id(&owner.user), owner.group.as_ref().map_or_else(|| "0".to_owned(), id))
        }
    };
    (mode, owner)
}
