//! Owns the reading of ECS task definitions: a `valueFrom` becomes the reference it means.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Draft, Secret, choose};
use crate::diagnostic::Diagnostic;
use crate::manifest::VERSION_ID_BYTES;
use crate::manifest::yaml::{Position, place};

/// What `aws ecs describe-task-definition` prints, or what was registered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    task_definition: Option<Task>,
    #[serde(default, deserialize_with = "or_default")]
    container_definitions: Vec<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    #[serde(default, deserialize_with = "or_default")]
    container_definitions: Vec<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    image: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    environment: Vec<Variable>,
    #[serde(default, deserialize_with = "or_default")]
    secrets: Vec<FromSecret>,
    #[serde(default, deserialize_with = "or_default")]
    environment_files: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    value: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FromSecret {
    name: String,
    value_from: String,
}

/// Takes a null for what is not there.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads one container.
///
/// # Errors
/// What is no task definition, or which containers there are to choose from.
pub(super) fn read(file: &str, text: &[u8], container: Option<&str>, draft: &mut Draft) -> Result<(), Vec<Diagnostic>> {
    let text = super::node::text(file, text)?;
    let containers = containers(text).map_err(|error| {
        // the message itself may quote a value
        let at = Position { line: error.line().max(1), column: error.column().max(1), offset: 0 };
        let problem = Diagnostic::error("not-a-task-definition", "not the JSON of a task definition");
        vec![
            problem
                .at(place(file, at, String::new()))
                .hint("save one with `aws ecs describe-task-definition --task-definition NAME`"),
        ]
    })?;
    let containers = containers.into_iter().map(|it| (it.name.clone(), it)).collect();
    let container = choose(file, containers, container)?;
    if let Some(image) = &container.image {
        draft.image(image);
    }
    if !container.environment_files.is_empty() {
        draft.note("environmentFiles", "not followed", "import each with `secretbake import dotenv FILE`");
    }
    for Variable { name, value } in &container.environment {
        match value.as_ref().map_or(Some(String::new()), |value| text_of(value.get())) {
            Some(value) => draft.plain(name, &value),
            None => draft.left_out(name, "its value is no text"),
        }
    }
    for FromSecret { name, value_from } in &container.secrets {
        match secret(value_from) {
            Some(secret) if secret.version_id.as_ref().is_some_and(|id| !VERSION_ID_BYTES.contains(&id.len())) => {
                draft.left_out(name, "its value comes from a version whose ID is none");
            }
            Some(secret) => draft.secret(name, secret),
            None => draft.left_out(name, "its value comes from Parameter Store, which secretbake does not read"),
        }
    }
    Ok(())
}

/// Returns the containers of a task definition, or of the list of them that Terraform takes.
fn containers(text: &str) -> serde_json::Result<Vec<Container>> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text);
    }
    let document: Document = serde_json::from_str(text)?;
    Ok(document.task_definition.map_or(document.container_definitions, |task| task.container_definitions))
}

/// Returns a string's text, and a number or boolean as it is written.
fn text_of(json: &str) -> Option<String> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).ok(),
        Some(b'{' | b'[') => None,
        _ => Some(json.to_owned()),
    }
}

/// Reads `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME[:KEY:STAGE:ID]`.
fn secret(value_from: &str) -> Option<Secret> {
    let parts: Vec<&str> = value_from.split(':').collect();
    if parts.len() < 7 || parts[0] != "arn" || parts[2] != "secretsmanager" {
        return None;
    }
    let part = |index: usize| parts.get(index).copied().filter(|part| !part.is_empty());
    let key = part(7).map(|key| match key.strip_prefix('/') {
        // a key that begins like a pointer is written as one
        Some(_) => format!("#/{}", key.replace('~', "~0").replace('/', "~1")),
        None => format!("#{key}"),
    });
    let version_id = part(9).map(str::to_owned);
    let version_stage = part(8).filter(|stage| version_id.is_none() && *stage != "AWSCURRENT").map(str::to_owned);
    let reference = format!("{}{}", parts[..7].join(":"), key.unwrap_or_default());
    Some(Secret { reference, version_stage, version_id, optional: false, to_fill_in: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_from_becomes_the_reference_it_means() {
        const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf";
        let id = "01234567-89ab-cdef-0123-456789abcdef";
        for (behind, reference, stage, version) in [
            ("", "", None, None),
            (":password::", "#password", None, None),
            ("::AWSPREVIOUS:", "", Some("AWSPREVIOUS"), None),
            (":password:AWSCURRENT:", "#password", None, None),
            (":password::ID", "#password", None, Some(id)),
            (":/a~:AWSPREVIOUS:ID", "#/~1a~0", None, Some(id)),
        ] {
            let secret = secret(&format!("{ARN}{}", behind.replace("ID", id))).unwrap();
            assert_eq!(secret.reference, format!("{ARN}{reference}"));
            assert_eq!((secret.version_stage.as_deref(), secret.version_id.as_deref()), (stage, version), "{behind}");
        }
        assert_eq!(secret("arn:aws:ssm:us-east-1:123456789012:parameter/db"), None);
        assert_eq!(secret("plain-parameter"), None);
    }
}
