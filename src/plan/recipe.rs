//! Writes the part of a plan that a rebake needs: a manifest in JSON that gives the same image, without the names of images.
//!
//! It names each secret's credential, so another default in the org file changes nothing. It never holds a secret value.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::{Destination, ImagePlan, Plan, PlannedSecret, PlannedSource, Use};
use crate::diagnostic::lookalike::looks_like;
use crate::image::access::{Access, Id, Owner};
use crate::image::recipe::RecipeText;
use crate::image::seal::Recipient;
use crate::manifest::yaml::join;
use crate::manifest::{Case, ENV_PATH, Encoding, Inject, Version};
use crate::org::Org;

#[derive(Serialize)]
struct ManifestJson<'a> {
    version: u32,
    image: ImageJson<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env_from: Vec<EnvFromJson<'a>>,
    env: Ordered<'a, ValueJson<'a>>,
    files: Ordered<'a, FileJson<'a>>,
}

#[derive(Serialize)]
struct ImageJson<'a> {
    inject: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seal: Option<SealJson>,
    #[serde(flatten)]
    access: AccessJson,
}

#[derive(Serialize)]
#[serde(untagged)]
enum SealJson {
    For {
        recipients: Vec<String>,
    },
    /// `none`
    Off(&'static str),
}

#[derive(Serialize, Default)]
struct AccessJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

#[derive(Serialize)]
struct UseJson<'a> {
    secret: String,
    credential: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_stage: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<&'a str>,
    /// Of a parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

#[derive(Serialize)]
struct EnvFromJson<'a> {
    #[serde(flatten)]
    usage: UseJson<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    prefix: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    case: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rename: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ValueJson<'a> {
    Plain(&'a str),
    One(UseJson<'a>),
    Template { template: &'a str, with: Ordered<'a, UseJson<'a>> },
}

#[derive(Serialize)]
struct FileJson<'a> {
    #[serde(flatten)]
    source: ValueJson<'a>,
    #[serde(flatten)]
    access: AccessJson,
}

/// A JSON object in the order of the plan.
struct Ordered<'a, T>(Vec<(&'a str, T)>);

impl<T: Serialize> Serialize for Ordered<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Returns the manifest that gives an image of the plan again.
pub fn recipe(plan: &Plan, image: &ImagePlan, org: &Org) -> RecipeText {
    let mut writer = Writer { plan, org, withheld: Vec::new() };
    let env_from = image.env_from.iter().map(|entry| EnvFromJson {
        usage: writer.usage(&entry.source),
        prefix: &entry.naming.prefix,
        case: (entry.naming.case != Case::Keep).then(|| entry.naming.case.name()),
        keys: entry.naming.keys.as_ref().map(|keys| keys.iter().map(|key| key.value.as_str()).collect()),
        rename: entry.naming.rename.iter().map(|(key, name)| (key.as_str(), name.value.as_str())).collect(),
    });
    let env_from = env_from.collect();
    let mut env = Vec::new();
    for variable in &image.variables {
        let value = match &variable.source {
            // it is sealed with the secrets
            PlannedSource::Plain(_) if image.seal.is_some() && variable.destination == Destination::EnvFile => {
                writer.withheld.push(join("env", &variable.name));
                ValueJson::Plain("")
            }
            PlannedSource::Plain(text) => ValueJson::Plain(writer.plain(text, || join("env", &variable.name))),
            PlannedSource::Secret(secret) => writer.secret(secret, || join("env", &variable.name)),
        };
        env.push((variable.name.as_str(), value));
    }
    let mut files = Vec::new();
    for file in &image.files {
        let source = writer.secret(&file.source, || join("files", &file.path));
        files.push((file.path.as_str(), FileJson { source, access: access(&file.access) }));
    }
    let of_file = image.env_file.as_ref().filter(|_| image.inject == Inject::File);
    let json = ManifestJson {
        version: 1,
        image: ImageJson {
            inject: image.inject.name(),
            format: of_file.map(|file| file.format.name()),
            path: of_file.map(|file| file.path.as_str()).filter(|path| *path != ENV_PATH),
            seal: seal(image),
            access: image.env_file.as_ref().map(|file| access(&file.access)).unwrap_or_default(),
        },
        env_from,
        env: Ordered(env),
        files: Ordered(files),
    };
    // strings, lists and objects with string keys always serialise
    let manifest = serde_json::to_string(&json).unwrap_or_default();
    RecipeText { manifest, withheld: writer.withheld }
}

fn seal(image: &ImagePlan) -> Option<SealJson> {
    let recipients = |all: &Vec<Recipient>| all.iter().map(ToString::to_string).collect();
    let sealed = image.seal.as_ref().map(|all| SealJson::For { recipients: recipients(all) });
    sealed.or_else(|| image.is_seal_refused.then_some(SealJson::Off("none")))
}

struct Writer<'a> {
    plan: &'a Plan,
    org: &'a Org,
    /// The key paths whose text looks like a credential.
    withheld: Vec<String>,
}

impl<'a> Writer<'a> {
    fn plain(&mut self, text: &'a str, path: impl Fn() -> String) -> &'a str {
        if looks_like(text).is_some() {
            self.withheld.push(path());
            return "";
        }
        text
    }

    fn secret(&mut self, secret: &'a PlannedSecret, path: impl Fn() -> String) -> ValueJson<'a> {
        match secret {
            PlannedSecret::One(usage) => ValueJson::One(self.usage(usage)),
            PlannedSecret::Template(template) => ValueJson::Template {
                template: self.plain(&template.text, path),
                with: Ordered(template.parts.iter().map(|(name, usage)| (name.as_str(), self.usage(usage))).collect()),
            },
        }
    }

    fn usage(&self, usage: &'a Use) -> UseJson<'a> {
        let read = &self.plan.reads[usage.read];
        let (mut version_stage, mut version_id, mut version) = (None, None, None);
        match &read.version {
            Version::Current => {}
            Version::Stage(stage) => version_stage = Some(stage.as_str()),
            // a parameter's version is a number, and an ID is longer
            Version::Id(id) => match id.parse() {
                Ok(number) => version = Some(number),
                Err(_) => version_id = Some(id.as_str()),
            },
        }
        UseJson {
            secret: format!("{}{}", read.id, usage.selector),
            credential: &self.org.credentials[read.credential].name,
            version_stage,
            version_id,
            version,
            optional: usage.optional,
            encoding: (usage.encoding == Encoding::Base64).then_some("base64"),
        }
    }
}

fn access(access: &Access) -> AccessJson {
    let id = |id: &Id| match id {
        Id::Number(number) => number.to_string(),
        Id::Name(name) => name.clone(),
    };
    let owner = |owner: &Owner| match &owner.group {
        Some(group) => format!("{}:{}", id(&owner.user), id(group)),
        None => id(&owner.user),
    };
    AccessJson { mode: access.mode.map(|mode| format!("{mode:04o}")), owner: access.owner.as_ref().map(owner) }
}
