//! Reads ECS task definitions: a `valueFrom` becomes a reference.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Draft, Secret, choose};
use crate::diagnostic::Diagnostic;
use crate::manifest::VERSION_ID_BYTES;
use crate::manifest::foreign_reference::from_ecs_or_parameter;
use crate::manifest::yaml::{Position, place};

/// The output of `aws ecs describe-task-definition`, or the task definition itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskDefinitionFile {
    task_definition: Option<TaskDefinition>,
    #[serde(default, deserialize_with = "or_default")]
    family: String,
    #[serde(default, deserialize_with = "or_default")]
    container_definitions: Vec<ContainerDefinition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskDefinition {
    #[serde(default, deserialize_with = "or_default")]
    family: String,
    #[serde(default, deserialize_with = "or_default")]
    container_definitions: Vec<ContainerDefinition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerDefinition {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    image: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    environment: Vec<EnvironmentEntry>,
    #[serde(default, deserialize_with = "or_default")]
    secrets: Vec<SecretEntry>,
    #[serde(default, deserialize_with = "or_default")]
    environment_files: Vec<serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "or_default")]
    entry_point: Vec<String>,
}

#[derive(Deserialize)]
struct EnvironmentEntry {
    name: String,
    value: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretEntry {
    name: String,
    value_from: String,
}

/// Treats null like a missing field.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads one container.
pub(super) fn read(file: &str, text: &[u8], container: Option<&str>, draft: &mut Draft) -> Result<(), Vec<Diagnostic>> {
    let (_, containers) = task(file, text)?;
    let containers = containers.into_iter().map(|it| (it.name.clone(), it)).collect();
    let container = choose(file, containers, container)?;
    if let Some(image) = &container.image {
        draft.image(image);
    }
    draft.own_command("entryPoint", &container.entry_point, "\"entryPoint\"");
    if !container.environment_files.is_empty() {
        draft.note("environmentFiles", "not imported", "import each with `secretbake import dotenv FILE`");
    }
    for EnvironmentEntry { name, value } in &container.environment {
        match value.as_ref().map_or(Some(String::new()), |value| text_of(value.get())) {
            Some(value) => {
                draft.plain(name, &value);
            }
            None => draft.left_out(name, "its value is not a text"),
        }
    }
    for SecretEntry { name, value_from } in &container.secrets {
        match from_ecs_or_parameter(value_from).map(Secret::from) {
            Some(secret) if secret.version_id.as_ref().is_some_and(|id| !VERSION_ID_BYTES.contains(&id.len())) => {
                draft.left_out(name, "its version ID is not one");
            }
            Some(secret) => draft.secret(name, secret),
            None => draft.left_out(name, "what it refers to is not the name or ARN of a secret or parameter"),
        }
    }
    Ok(())
}

/// Returns the image of each container, with what uses it: `FAMILY (CONTAINER)`.
pub(super) fn images(file: &str, text: &[u8]) -> Result<Vec<(String, String)>, Vec<Diagnostic>> {
    let (family, containers) = task(file, text)?;
    let family = if family.is_empty() { "task".to_owned() } else { family };
    let used = containers.into_iter().filter_map(|container| Some((container.image?, container.name)));
    Ok(used.map(|(image, name)| (image, format!("{family} ({name})"))).collect())
}

/// Returns the family and the containers of a task definition, or of Terraform's list of container definitions.
fn task(file: &str, text: &[u8]) -> Result<(String, Vec<ContainerDefinition>), Vec<Diagnostic>> {
    let text = super::node::text(file, text)?;
    let parse = || {
        if text.trim_start().starts_with('[') {
            return Ok((String::new(), serde_json::from_str(text)?));
        }
        let document: TaskDefinitionFile = serde_json::from_str(text)?;
        let whole = (document.family, document.container_definitions);
        Ok(document.task_definition.map_or(whole, |task| (task.family, task.container_definitions)))
    };
    parse().map_err(|error: serde_json::Error| {
        // serde's message may quote a value
        let at = Position { line: error.line().max(1), column: error.column().max(1), offset: 0 };
        let problem = Diagnostic::error("not-a-task-definition", "not the JSON of a task definition");
        vec![
            problem
                .at(place(file, at, String::new()))
                .hint("save one with `aws ecs describe-task-definition --task-definition NAME`"),
        ]
    })
}

/// Returns a string's text, and a number or boolean as written.
fn text_of(json: &str) -> Option<String> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).ok(),
        Some(b'{' | b'[') => None,
        _ => Some(json.to_owned()),
    }
}
