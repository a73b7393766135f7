//! Owns the plan as `--dry-run` prints it: the same bytes every time, made for reading and for snapshot tests.

use std::fmt::Write as _;

use serde::Serialize;

use super::table::table;
use crate::manifest::{Access, Encoding, Id, Inject, Version};
use crate::org::Org;
use crate::plan::{ImagePlan, Plan, PlannedSource, Read, Use};

/// The plan as JSON, version 1.
#[derive(Serialize)]
struct PlanJson<'a> {
    version: u32,
    images: Vec<ImageJson<'a>>,
    reads: Vec<ReadJson<'a>>,
}

#[derive(Serialize)]
struct ImageJson<'a> {
    manifest: &'a str,
    base: Option<String>,
    tags: Vec<String>,
    inject: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    env_file: Option<EnvFileJson<'a>>,
    env: Vec<EntryJson<'a>>,
    files: Vec<EntryJson<'a>>,
}

#[derive(Serialize)]
struct EnvFileJson<'a> {
    path: &'a str,
    format: &'static str,
    mode: String,
    owner: String,
}

/// A variable or a file.
#[derive(Serialize)]
struct EntryJson<'a> {
    name: &'a str,
    /// Where it is in the image: `config`, `env-file` or `file`.
    place: &'static str,
    /// Absent for a plain value.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<SecretJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

#[derive(Serialize)]
struct SecretJson<'a> {
    reference: String,
    credential: &'a str,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    optional: bool,
}

#[derive(Serialize)]
struct ReadJson<'a> {
    secret: &'a str,
    credential: &'a str,
    provider: &'static str,
    region: Option<&'a str>,
    version: String,
    uses: usize,
}

/// Returns the plan as JSON.
pub(super) fn json(plan: &Plan, org: &Org) -> String {
    // plain data with string keys always serialises
    serde_json::to_string_pretty(&describe(plan, org)).unwrap_or_default() + "\n"
}

/// Returns the plan as text.
pub(super) fn text(plan: &Plan, org: &Org) -> String {
    let plan = describe(plan, org);
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = write_text(&plan, &mut out);
    out
}

fn write_text(plan: &PlanJson<'_>, out: &mut String) -> std::fmt::Result {
    for image in &plan.images {
        writeln!(out, "{}", image.manifest)?;
        writeln!(out, "  base    {}", image.base.as_deref().unwrap_or("(given by --base)"))?;
        let tags = if image.tags.is_empty() { "(given by --tag)".to_owned() } else { image.tags.join(", ") };
        writeln!(out, "  tags    {tags}")?;
        writeln!(out, "  inject  {}", image.inject)?;
        if let Some(file) = &image.env_file {
            writeln!(out, "  file    {} ({}, mode {}, owner {})", file.path, file.format, file.mode, file.owner)?;
        }
        for (title, entries) in [("env", &image.env), ("files", &image.files)] {
            if entries.is_empty() {
                continue;
            }
            writeln!(out, "  {title}")?;
            let rows: Vec<[String; 3]> = entries.iter().map(row).collect();
            table(out, "    ", &rows)?;
        }
        writeln!(out)?;
    }
    writeln!(out, "reads ({})", plan.reads.len())?;
    let rows: Vec<[String; 4]> = plan
        .reads
        .iter()
        .map(|read| {
            let region = read.region.map(|region| format!(" in {region}")).unwrap_or_default();
            [
                read.secret.to_owned(),
                read.version.clone(),
                format!("with {} ({}{region})", read.credential, read.provider),
                if read.uses == 1 { "1 use".to_owned() } else { format!("{} uses", read.uses) },
            ]
        })
        .collect();
    table(out, "  ", &rows)
}

fn row(entry: &EntryJson<'_>) -> [String; 3] {
    let source = match &entry.secret {
        None => "plain".to_owned(),
        Some(secret) => {
            let mut text = format!("secret {}", secret.reference);
            if let Some(encoding) = secret.encoding {
                let _ = write!(text, ", {encoding}");
            }
            if secret.optional {
                text.push_str(", optional");
            }
            text
        }
    };
    let place = match (entry.place, &entry.mode, &entry.owner) {
        ("file", Some(mode), Some(owner)) => format!("mode {mode}, owner {owner}"),
        (place, _, _) => format!("in {place}"),
    };
    [entry.name.to_owned(), source, place]
}

fn describe<'a>(plan: &'a Plan, org: &'a Org) -> PlanJson<'a> {
    let uses = |index: usize| {
        plan.images
            .iter()
            .flat_map(|image| {
                let of_variables = image.variables.iter().filter_map(|variable| match &variable.source {
                    PlannedSource::Secret(usage) => Some(usage),
                    PlannedSource::Plain(_) => None,
                });
                of_variables.chain(image.files.iter().map(|file| &file.source))
            })
            .filter(|usage| usage.read == index)
            .count()
    };
    PlanJson {
        version: 1,
        images: plan.images.iter().map(|image| image_json(plan, image, org)).collect(),
        reads: plan
            .reads
            .iter()
            .enumerate()
            .map(|(index, read)| {
                let credential = &org.credentials[read.credential];
                ReadJson {
                    secret: read.id.as_str(),
                    credential: &credential.name,
                    provider: credential.provider().name(),
                    region: credential.region(),
                    version: version(read),
                    uses: uses(index),
                }
            })
            .collect(),
    }
}

fn image_json<'a>(plan: &'a Plan, image: &'a ImagePlan, org: &'a Org) -> ImageJson<'a> {
    let has_secrets = image.variables.iter().any(|variable| matches!(variable.source, PlannedSource::Secret(_)));
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
        inject: image.inject.name(),
        env_file: env_file.then(|| EnvFileJson { path: &image.env_path, format: image.format.name(), mode, owner }),
        env: image
            .variables
            .iter()
            .map(|variable| {
                let usage = match &variable.source {
                    PlannedSource::Plain(_) => None,
                    PlannedSource::Secret(usage) => Some(usage),
                };
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
    SecretJson {
        reference: format!("{}{}", read.id, usage.selector),
        credential: &org.credentials[read.credential].name,
        version: version(read),
        encoding: (usage.encoding == Encoding::Base64).then_some("base64"),
        optional: usage.optional,
    }
}

fn version(read: &Read) -> String {
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
            let owner = &owner.value;
            format!("{}:{}", id(&owner.user), owner.group.as_ref().map_or_else(|| "0".to_owned(), id))
        }
    };
    (mode, owner)
}
