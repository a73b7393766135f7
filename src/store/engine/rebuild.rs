//! Owns rebuilding a base's config and manifest from the inspect response of an engine that stores no manifests.
//!
//! It is pure, and the same base always gives the same bytes: keys are sorted, and empty values are omitted because they mean nothing and
//! engine versions differ in which ones they show.

use serde_json::{Map, Value, json};

use super::inspect::{HistoryEntry, InspectedImage};
use crate::image::config::VARIABLES_STEP;
use crate::image::json::RawObject;
use crate::image::media;

/// One item of `/images/NAME/history`, which lists the top layer first.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HistoryResponseItem {
    /// Seconds since 1970.
    #[serde(default)]
    pub created: i64,
    #[serde(default)]
    pub created_by: String,
    #[serde(default)]
    pub size: i64,
    #[serde(default)]
    pub comment: String,
}

/// Rebuilds a base's manifest and config.
pub fn rebuild_documents(seen: &InspectedImage, history: Option<Vec<HistoryEntry>>) -> (Vec<u8>, Vec<u8>) {
    let mut config = Map::new();
    let mut put = |key: &str, value: Value| {
        if !is_empty(&value) {
            config.insert(key.to_owned(), value);
        }
    };
    put("architecture", json!(seen.platform.architecture));
    put("author", json!(seen.author));
    put("config", inner(&seen.config_with_healthcheck()));
    put("created", json!(seen.created));
    let history = history.filter(|steps| steps.iter().filter(|step| !step.empty_layer).count() == seen.layers.len());
    put("history", json!(history));
    put("os", json!(seen.platform.os));
    put("os.version", json!(seen.os_version));
    let diff_ids: Vec<&str> = seen.layers.iter().map(|layer| layer.as_str()).collect();
    put("rootfs", json!({ "diff_ids": diff_ids, "type": "layers" }));
    put("variant", json!(seen.platform.variant));
    let config = sorted(Value::Object(config)).to_string().into_bytes();

    let [manifest_type, config_type, layer_type] = match seen.manifest_type.as_deref() {
        Some(media::DOCKER_MANIFEST) => [media::DOCKER_MANIFEST, media::DOCKER_CONFIG, media::DOCKER_LAYER],
        _ => [media::OCI_MANIFEST, media::OCI_CONFIG, media::OCI_LAYER],
    };
    let layers = diff_ids.iter().map(|id| json!({ "digest": id, "mediaType": layer_type, "size": 0 }));
    let manifest = json!({
        "config": { "digest": seen.id.as_str(), "mediaType": config_type, "size": config.len() },
        "layers": layers.collect::<Vec<_>>(),
        "mediaType": manifest_type,
        "schemaVersion": 2,
    });
    (sorted(manifest).to_string().into_bytes(), config)
}

/// Returns a config without empty values.
fn inner(config: &RawObject) -> Value {
    let entries = config.iter().filter_map(|(key, value)| {
        let value: Value = serde_json::from_str(value.get()).ok()?;
        (!is_empty(&value)).then(|| (key.to_owned(), value))
    });
    Value::Object(entries.collect())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// Sorts keys, independent of the map type that serde_json is built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Converts the engine's history to a config's history. The engine shows only the size of each step, not whether it made a layer, and a
/// layer may be empty. Returns `None` if the steps cannot be matched with the layers.
pub fn history_entries(mut lines: Vec<HistoryResponseItem>, layers: usize) -> Option<Vec<HistoryEntry>> {
    lines.reverse();
    let filled = lines.iter().filter(|line| line.size > 0).count();
    let possible = lines.iter().filter(|line| line.size > 0 || may_be_a_layer(&line.created_by)).count();
    let is_layer = |line: &HistoryResponseItem| match layers {
        _ if filled == layers => line.size > 0,
        _ => line.size > 0 || may_be_a_layer(&line.created_by),
    };
    if lines.is_empty() || (filled != layers && possible != layers) {
        return None;
    }
    Some(
        lines
            .iter()
            .map(|line| HistoryEntry {
                created: Some(crate::image::time::rfc3339(line.created)),
                created_by: line.created_by.clone(),
                comment: line.comment.clone(),
                empty_layer: !is_layer(line),
            })
            .collect(),
    )
}

/// Returns whether a step set a config field that Podman does not show.
pub fn is_hidden_by_podman(steps: &[HistoryEntry]) -> bool {
    steps.iter().any(|step| matches!(instruction(&step.created_by), "SHELL" | "ONBUILD"))
}

/// Returns the Dockerfile instruction of a step, or the first word of its command.
fn instruction(created_by: &str) -> &str {
    let step = created_by.split_once("#(nop)").map_or(created_by, |(_, step)| step);
    step.split_whitespace().next().unwrap_or_default()
}

/// Returns whether a step of size 0 may have made a layer: one that only sets a config field did not.
fn may_be_a_layer(created_by: &str) -> bool {
    const SETTERS: [&str; 14] = [
        "ARG",
        "CMD",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "FROM",
    ];
    !SETTERS.contains(&instruction(created_by)) && created_by != VARIABLES_STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(created_by: &str, size: i64) -> HistoryResponseItem {
        HistoryResponseItem { created: 1_704_067_200, created_by: created_by.into(), size, comment: String::new() }
    }

    fn empties(lines: Vec<HistoryResponseItem>, layers: usize) -> Option<Vec<bool>> {
        Some(history_entries(lines, layers)?.iter().map(|step| step.empty_layer).collect())
    }

    #[test]
    fn steps_are_matched_with_layers_or_there_are_none() {
        let lines = || vec![line("/bin/sh -c #(nop)  CMD [\"sh\"]", 0), line("WORKDIR /app", 0), line("ADD x", 9)];
        assert_eq!(empties(lines(), 1), Some(vec![false, true, true]));
        assert_eq!(empties(lines(), 2), Some(vec![false, false, true]));
        assert_eq!(empties(lines(), 3), None);
        assert_eq!(empties(vec![], 0), None);
    }

    #[test]
    fn what_podman_hides_shows_in_the_history() {
        let hidden = |created_by: &str| {
            is_hidden_by_podman(&[HistoryEntry {
                created: None,
                created_by: created_by.into(),
                comment: String::new(),
                empty_layer: true,
            }])
        };
        for step in ["/bin/sh -c #(nop)  SHELL [/bin/bash -c]", "SHELL [/bin/bash -c]", "ONBUILD RUN make"] {
            assert!(hidden(step), "{step}");
        }
        assert!(!hidden("RUN /bin/sh -c echo SHELL ONBUILD"));
    }

    #[test]
    fn a_rebuilt_config_is_sorted_and_keeps_what_is_not_empty() {
        let id = "a".repeat(64);
        let text = format!(
            r#"{{"Id":"sha256:{id}","Created":"2024-01-01T00:00:00Z","Author":"","Architecture":"amd64","Os":"linux",
            "RootFS":{{"Layers":["sha256:{id}"]}},
            "Config":{{"Hostname":"","Shell":["sh"],"Labels":{{"b":"","a":"<1>"}},"Cmd":null,"ArgsEscaped":true,"Future":{{"z":0,"y":1}},
            "StopTimeout":0,"Healthcheck":{{"Test":["CMD"],"Interval":9007199254740993}}}}}}"#
        );
        let seen = InspectedImage::parse(text.as_bytes()).unwrap();
        let (_, config) = rebuild_documents(&seen, None);
        assert_eq!(
            String::from_utf8(config).unwrap(),
            format!(
                r#"{{"architecture":"amd64","config":{{"ArgsEscaped":true,"Future":{{"y":1,"z":0}},"Healthcheck":{{"Interval":9007199254740993,"Test":["CMD"]}},"Labels":{{"a":"<1>","b":""}},"Shell":["sh"],"StopTimeout":0}},"created":"2024-01-01T00:00:00Z","os":"linux","rootfs":{{"diff_ids":["sha256:{id}"],"type":"layers"}}}}"#
            )
        );
    }
}
