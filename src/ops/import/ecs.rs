//! Reads ECS task definitions: a `valueFrom` becomes a reference.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Draft, Entry, Secret, choose};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::command::own;
use crate::manifest::VERSION_ID_BYTES;
use crate::manifest::foreign_reference::from_ecs_or_parameter;
use crate::manifest::yaml::{Position, place};

/// The output of `aws ecs describe-task-definition`, or the task definition itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskDefinitionFile<'t> {
    #[serde(borrow)]
    task_definition: Option<TaskDefinition<'t>>,
    #[serde(default, deserialize_with = "or_default")]
    family: String,
    #[serde(borrow, default, deserialize_with = "or_default")]
    container_definitions: Vec<ContainerDefinition<'t>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskDefinition<'t> {
    #[serde(default, deserialize_with = "or_default")]
    family: String,
    #[serde(borrow, default, deserialize_with = "or_default")]
    container_definitions: Vec<ContainerDefinition<'t>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerDefinition<'t> {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(borrow)]
    image: Option<Located<'t, String>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    environment: Vec<Located<'t, EnvironmentEntry<'t>>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    secrets: Vec<Located<'t, SecretEntry>>,
    #[serde(borrow)]
    environment_files: Option<Located<'t, Vec<serde::de::IgnoredAny>>>,
    #[serde(borrow)]
    entry_point: Option<Located<'t, Vec<String>>>,
}

#[derive(Deserialize)]
struct EnvironmentEntry<'t> {
    name: String,
    #[serde(borrow)]
    value: Option<&'t RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretEntry {
    name: String,
    value_from: String,
}

/// A value, and its JSON in the file's text, which tells its place.
struct Located<'t, T> {
    value: T,
    json: &'t str,
}

impl<'de: 't, 't, T: Deserialize<'de>> Deserialize<'de> for Located<'t, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&'de RawValue>::deserialize(deserializer)?.get();
        Ok(Located { value: serde_json::from_str(json).map_err(D::Error::custom)?, json })
    }
}

/// The file's text, and where its lines begin.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let starts = text.match_indices('\n').map(|(end, _)| end + 1);
        Lines { text, starts: std::iter::once(0).chain(starts).collect() }
    }

    /// Returns the place of a part of the text.
    fn position(&self, part: &str) -> Position {
        let offset = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let line = self.starts.partition_point(|start| *start <= offset);
        let before = self.starts.get(line.saturating_sub(1)).and_then(|start| self.text.get(*start..offset));
        Position { line, column: before.unwrap_or_default().chars().count() + 1, offset }
    }
}

/// Treats null like a missing field.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads one container.
pub(super) fn read(file: &str, text: &[u8], container: Option<&str>, draft: &mut Draft) -> Result<(), Vec<Diagnostic>> {
    let text = super::node::text(file, text)?;
    let (_, containers) = task(file, text)?;
    let containers = containers.into_iter().map(|it| (it.name.clone(), it)).collect();
    let container = choose(file, containers, container)?;
    let lines = Lines::new(text);
    if let Some(image) = &container.image {
        draft.image(&image.value, lines.position(image.json));
    }
    if let Some(Located { value: words, json }) = &container.entry_point {
        draft.own_command(Entry::new("entryPoint", lines.position(json)), words, "\"entryPoint\"");
    }
    if let Some(files) = container.environment_files.filter(|files| !files.value.is_empty()) {
        let hint = &format!("import each with `{}`", own("import dotenv FILE"));
        draft.note(Entry::new("environmentFiles", lines.position(files.json)), "not imported", hint);
    }
    for Located { value: EnvironmentEntry { name, value }, json } in &container.environment {
        let entry = Entry::new(name, lines.position(json));
        match value.map_or(Some(String::new()), |value| text_of(value.get())) {
            Some(value) => {
                draft.plain(entry, &value);
            }
            None => draft.left_out(entry, "its value is not a text"),
        }
    }
    for Located { value: SecretEntry { name, value_from }, json } in &container.secrets {
        let entry = Entry::new(name, lines.position(json));
        match from_ecs_or_parameter(value_from).map(Secret::from) {
            Some(secret) if secret.version_id.as_ref().is_some_and(|id| !VERSION_ID_BYTES.contains(&id.len())) => {
                draft.left_out(entry, "its version ID is not one");
            }
            Some(secret) => draft.secret(entry, secret),
            None => draft.left_out(entry, "what it refers to is not the name or ARN of a secret or parameter"),
        }
    }
    Ok(())
}

/// Returns the image of each container, with what uses it: `FAMILY (CONTAINER)`.
pub(super) fn images(file: &str, text: &[u8]) -> Result<Vec<(String, String)>, Vec<Diagnostic>> {
    let (family, containers) = task(file, super::node::text(file, text)?)?;
    // every task definition has one
    if containers.is_empty() {
        return Err(not_a_task(file, 1, 1));
    }
    let family = if family.is_empty() { "task".to_owned() } else { family };
    let used = containers.into_iter().filter_map(|container| Some((container.image?.value, container.name)));
    Ok(used.map(|(image, name)| (image, format!("{family} ({name})"))).collect())
}

/// Returns the family and the containers of a task definition, or of Terraform's list of container definitions.
fn task<'t>(file: &str, text: &'t str) -> Result<(String, Vec<ContainerDefinition<'t>>), Vec<Diagnostic>> {
    let parse = || {
        if text.trim_start().starts_with('[') {
            return Ok((String::new(), serde_json::from_str(text)?));
        }
        let document: TaskDefinitionFile<'_> = serde_json::from_str(text)?;
        let whole = (document.family, document.container_definitions);
        Ok(document.task_definition.map_or(whole, |task| (task.family, task.container_definitions)))
    };
    // serde's message may quote a value
    parse().map_err(|error: serde_json::Error| not_a_task(file, error.line(), error.column()))
}

fn not_a_task(file: &str, line: usize, column: usize) -> Vec<Diagnostic> {
    let at = Position { line: line.max(1), column: column.max(1), offset: 0 };
    let problem = Diagnostic::error("not-a-task-definition", "not the JSON of a task definition");
    let hint = "save one with `aws ecs describe-task-definition --task-definition NAME`";
    vec![problem.at(place(file, at, String::new())).hint(hint)]
}

/// Returns a string's text, and a number or boolean as written.
fn text_of(json: &str) -> Option<String> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).ok(),
        Some(b'{' | b'[') => None,
        _ => Some(json.to_owned()),
    }
}
