//! Owns the reading of a base: exact bytes where the engine keeps a manifest, else a config rebuilt from inspect and history.

use std::collections::BTreeMap;

use bollard::models::{ImageHistoryResponseItem, ImageInspect};
use serde::Serialize;
use serde_json::Value;

use super::error::engine_error;
use super::{EngineStore, alias};
use crate::error::Diagnostic;
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::image::{Base, ImageError, media};
use crate::store::StoreError;
use crate::time::rfc3339;

pub(super) async fn read(store: &EngineStore, name: &str, platform: Option<&Platform>) -> Result<Base, StoreError> {
    let Some(image) = store.inspect(name).await? else {
        return Err(Diagnostic::error("base-not-found", format!("base image not found: {name}"))
            .hint(format!("docker pull {name}, or build it"))
            .into());
    };
    if image.descriptor.is_some() {
        return alias::read(store, name, &image, platform).await;
    }
    let history = store.docker.image_history(name).await.map_err(|error| engine_error(&store.address, &error))?;
    let base = rebuild(&image, history)
        .map_err(|error| Diagnostic::error("base", format!("cannot bake onto {name}: {error}")).hint(error.hint()))?;
    if let Some(wanted) = platform {
        let is = crate::image::config::Config::parse(&base.config).and_then(|config| config.platform());
        if !is.as_ref().is_ok_and(|is| is.satisfies(wanted)) {
            return Err(Diagnostic::error("platform", format!("{name} is not for {wanted}"))
                .hint(format!("docker pull --platform {wanted} {name}"))
                .into());
        }
    }
    Ok(base)
}

#[derive(Serialize)]
struct Config {
    architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    config: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<History>>,
    os: String,
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    os_version: Option<String>,
    rootfs: RootFs,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
}

#[derive(Serialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: Vec<String>,
}

#[derive(Serialize)]
struct History {
    created: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    created_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    empty_layer: bool,
}

/// Rebuilds config and manifest of an image whose engine shows neither. The same image gives the same bytes every time.
fn rebuild(image: &ImageInspect, history: Vec<ImageHistoryResponseItem>) -> Result<Base, ImageError> {
    let malformed = |_| ImageError::Malformed("config");
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let diff_ids = image.root_fs.as_ref().and_then(|rootfs| rootfs.layers.clone()).unwrap_or_default();
    let config = Config {
        architecture: image.architecture.clone().unwrap_or_default(),
        author: filled(&image.author),
        config: container_config(image).map_err(malformed)?,
        created: filled(&image.created),
        history: pair_with_layers(history, diff_ids.len()),
        os: filled(&image.os).unwrap_or_else(|| "linux".to_owned()),
        os_version: filled(&image.os_version),
        rootfs: RootFs { kind: "layers", diff_ids: diff_ids.clone() },
        variant: filled(&image.variant),
    };
    let config = serde_json::to_vec(&config).map_err(malformed)?;
    let descriptor = |kind: &str, digest: &str, size: usize| {
        BTreeMap::from([("mediaType", Value::from(kind)), ("digest", digest.into()), ("size", size.into())])
    };
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Manifest<D> {
        schema_version: u32,
        media_type: &'static str,
        config: D,
        layers: Vec<D>,
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: media::OCI_MANIFEST,
        config: descriptor(media::OCI_CONFIG, Digest::of(&config).as_str(), config.len()),
        layers: diff_ids.iter().map(|id| descriptor(media::OCI_LAYER, id, 0)).collect(),
    };
    let manifest = serde_json::to_vec(&manifest).map_err(|_| ImageError::Malformed("manifest"))?;
    Ok(Base { digest: image.id.as_deref().and_then(Digest::parse), manifest, config })
}

/// Returns the container's part of the config with its maps in the order of their keys.
fn container_config(image: &ImageInspect) -> Result<Value, serde_json::Error> {
    let mut config = image.config.clone().unwrap_or_default();
    for list in [&mut config.exposed_ports, &mut config.volumes].into_iter().flatten() {
        list.sort();
    }
    let labels: Option<BTreeMap<String, String>> = config.labels.take().map(|labels| labels.into_iter().collect());
    let mut value = serde_json::to_value(config)?;
    if let (Some(labels), Value::Object(object)) = (labels, &mut value) {
        object.insert("Labels".to_owned(), serde_json::to_value(labels)?);
    }
    value.sort_all_objects();
    Ok(value)
}

/// Returns the history, the oldest entry first, with as many entries of layers as there are layers; `None` if it has too few.
///
/// The engine tells an entry's size, not whether it made a layer: one with a size did, and of those without one, those that
/// look like an instruction that makes layers are taken first.
fn pair_with_layers(history: Vec<ImageHistoryResponseItem>, layers: usize) -> Option<Vec<History>> {
    let oldest_first: Vec<ImageHistoryResponseItem> = history.into_iter().rev().collect();
    let mut made_layer: Vec<bool> = oldest_first.iter().map(|entry| entry.size > 0).collect();
    let makes_layers = |entry: &ImageHistoryResponseItem| {
        ["COPY", "ADD", "RUN", "WORKDIR"].iter().any(|word| entry.created_by.contains(word))
    };
    let mut missing = layers.checked_sub(made_layer.iter().filter(|made| **made).count())?;
    for likely in [true, false] {
        for (index, entry) in oldest_first.iter().enumerate() {
            if missing > 0 && !made_layer[index] && makes_layers(entry) == likely {
                made_layer[index] = true;
                missing -= 1;
            }
        }
    }
    if missing > 0 {
        return None;
    }
    let entries = oldest_first.into_iter().zip(made_layer).map(|(entry, made)| History {
        created: rfc3339(u64::try_from(entry.created).unwrap_or_default()),
        created_by: entry.created_by,
        comment: entry.comment,
        empty_layer: !made,
    });
    Some(entries.collect())
}
