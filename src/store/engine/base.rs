//! Owns reading a base from an engine: it resolves the name, chooses the platform, and reads the manifest and the config.

use super::error::EngineError;
use super::inspect::{BlobRef, HistoryEntry, InspectedImage};
use super::rebuild::{self, HistoryResponseItem};
use super::{EngineKind, EngineStore, alias, export};
use crate::diagnostic::Diagnostic;
use crate::image::Base;
use crate::image::digest::Digest;
use crate::image::name::Repository;
use crate::image::platform::{Platform, choose};
use crate::store::oci::document::{Document, is_baked};
use crate::store::{NOT_FOUND, StoreError, make_base};

pub(super) async fn read(
    store: &EngineStore,
    name: &Repository,
    platform: Option<&Platform>,
) -> Result<Base, StoreError> {
    let name = name.as_written();
    let failed = |error: EngineError| store.diagnose(&error, &format!("cannot read the image {name}"));
    let seen = store.inspect(name).await.map_err(failed)?.ok_or_else(|| not_found(name, platform))?;
    let kind = store.kind().await.map_err(failed)?;
    if kind == EngineKind::Containerd {
        return by_manifest(store, name, &seen, platform).await;
    }
    if let Some(wanted) = platform
        && !seen.platform.satisfies(wanted)
    {
        return Err(other_platform(name, wanted, &[seen.platform]));
    }
    let history = history(store, &seen).await.map_err(failed)?;
    let hides = kind == EngineKind::Podman && history.as_deref().is_some_and(rebuild::is_hidden_by_podman);
    let (manifest, rebuilt) = rebuild::rebuild_documents(&seen, history);
    let config = if hides { exported_config(store, &seen.id).await.map_err(failed)? } else { rebuilt };
    make_base(name, Some(seen.id), manifest, config)
}

/// Reads the base's original manifest and config from the containerd store.
async fn by_manifest(
    store: &EngineStore,
    name: &str,
    seen: &InspectedImage,
    platform: Option<&Platform>,
) -> Result<Base, StoreError> {
    let failed = |error: EngineError| store.diagnose(&error, &format!("cannot read the image {name}"));
    let (chosen, chosen_platform) = match &seen.target {
        Some(target) => choose_manifest(name, seen, target, platform)?,
        None => find_manifest(store, name, seen, platform).await?,
    };
    let get = async |descriptor: &BlobRef| {
        let bytes = alias::blob(store, descriptor).await.map_err(|error| {
            let is_refused = matches!(error, EngineError::Status { .. });
            let mut error = failed(error);
            error.0.hints.extend(is_refused.then(|| without_the_engine(name)));
            error
        })?;
        bytes.ok_or_else(|| incomplete(name, Some(&chosen_platform)))
    };
    let manifest = get(&chosen).await?;
    let Ok(Document::Manifest(references)) = Document::read(&manifest, "") else {
        return Err(failed(EngineError::Malformed("an invalid image manifest")));
    };
    let config = BlobRef { digest: references.config.digest.to_string(), size: references.config.size };
    let config = get(&config).await?;
    let digest = Digest::parse(&chosen.digest);
    let digest = digest.ok_or_else(|| failed(EngineError::Malformed("a digest that is not sha256")))?;
    let index = (digest != seen.id).then(|| seen.id.clone());
    Ok(Base { index, ..make_base(name, Some(digest), manifest, config)? })
}

/// Chooses the manifest for the requested platform, or else for the one that the engine would run.
pub fn choose_manifest(
    name: &str,
    seen: &InspectedImage,
    target: &BlobRef,
    platform: Option<&Platform>,
) -> Result<(BlobRef, Platform), StoreError> {
    let wanted = match platform {
        Some(platform) => platform,
        // the engine shows the platform of a complete manifest: an empty one means that none is complete
        None if seen.platform.os.is_empty() => return Err(incomplete(name, None)),
        None => &seen.platform,
    };
    let images = seen.manifests.iter().filter(|manifest| manifest.kind == "image");
    let images: Vec<_> = images.map(|manifest| (manifest.platform(), manifest)).collect();
    let choose = |available| {
        let images = images.iter().filter(|(_, manifest)| manifest.available == available);
        choose(images.map(|(platform, manifest)| (platform.as_ref(), *manifest)), wanted)
    };
    match (choose(true), choose(false)) {
        (Some(manifest), _) => Ok((manifest.descriptor.clone(), manifest.platform().unwrap_or_else(|| wanted.clone()))),
        (None, Some(_)) => Err(incomplete(name, Some(wanted))),
        _ if images.iter().any(|(platform, manifest)| !manifest.available && platform.is_none()) => {
            Err(incomplete(name, platform))
        }
        _ if images.is_empty() && seen.platform.satisfies(wanted) => Ok((target.clone(), wanted.clone())),
        _ => Err(other_platform(
            name,
            wanted,
            &images.into_iter().filter_map(|(platform, _)| platform).collect::<Vec<_>>(),
        )),
    }
}

/// Finds the manifest before API 1.48, where the engine lists none: the image ID is the digest of the manifest or of an index.
async fn find_manifest(
    store: &EngineStore,
    name: &str,
    seen: &InspectedImage,
    platform: Option<&Platform>,
) -> Result<(BlobRef, Platform), StoreError> {
    let failed = |error: EngineError| store.diagnose(&error, &format!("cannot read the image {name}"));
    let wanted = platform.unwrap_or(&seen.platform);
    let top = BlobRef { digest: seen.id.to_string(), size: alias::UNKNOWN_SIZE };
    let bytes = alias::blob(store, &top).await.map_err(failed)?.ok_or_else(|| too_old(name))?;
    let document = Document::read(&bytes, "");
    match document.map_err(|_| failed(EngineError::Malformed("an invalid image manifest")))? {
        Document::Manifest(_) if seen.platform.satisfies(wanted) => {
            Ok((BlobRef { size: bytes.len() as u64, ..top }, wanted.clone()))
        }
        Document::Manifest(_) => Err(other_platform(name, wanted, std::slice::from_ref(&seen.platform))),
        Document::Index(index) => {
            let images = || index.entries.iter().map(|entry| &entry.descriptor).filter(|image| image.is_image());
            let image = choose(images().map(|image| (image.platform.as_ref(), image)), wanted).ok_or_else(|| {
                other_platform(name, wanted, &images().filter_map(|image| image.platform.clone()).collect::<Vec<_>>())
            })?;
            let platform = image.platform.clone().unwrap_or_else(|| wanted.clone());
            Ok((BlobRef { digest: image.digest.to_string(), size: image.size }, platform))
        }
    }
}

fn too_old(name: &str) -> StoreError {
    let what = "this engine cannot return the manifest of a base";
    Diagnostic::error("engine-too-old", what)
        .cause("with the containerd image store, this needs Engine 28 (API 1.48) or later")
        .hint("update the engine")
        .hint(without_the_engine(name))
        .into()
}

fn without_the_engine(name: &str) -> String {
    format!("or bake in the registry, without an engine: docker://{name}")
}

fn incomplete(name: &str, platform: Option<&Platform>) -> StoreError {
    let of = platform.map(|platform| format!(" for {platform}")).unwrap_or_default();
    Diagnostic::error("base-incomplete", format!("the engine's copy of {name}{of} is incomplete"))
        .hint(pull(name, platform))
        .into()
}

fn pull(name: &str, platform: Option<&Platform>) -> String {
    let platform = platform.map(|platform| format!("--platform {platform} ")).unwrap_or_default();
    format!("docker pull {platform}{name}")
}

/// Returns the original config from the cache, or else from an export of the image.
async fn exported_config(store: &EngineStore, id: &Digest) -> Result<Vec<u8>, EngineError> {
    if let Some(config) = store.cache.blob(id) {
        return Ok(config);
    }
    let config = export::config(store, id).await?;
    // a baked config may hold values
    if !is_baked(&config) {
        store.cache.keep_blob(id, &config);
    }
    Ok(config)
}

/// Returns the history. Podman includes it in the inspect response; Docker needs another request.
async fn history(store: &EngineStore, seen: &InspectedImage) -> Result<Option<Vec<HistoryEntry>>, EngineError> {
    if seen.history.is_some() {
        return Ok(seen.history.clone());
    }
    let Some(bytes) = store.wire.get_json(&format!("/images/{}/history", seen.id)).await? else { return Ok(None) };
    let lines: Vec<HistoryResponseItem> =
        serde_json::from_slice(&bytes).map_err(|_| EngineError::Malformed("an invalid image history"))?;
    Ok(rebuild::history_entries(lines, seen.layers.len()))
}

fn not_found(name: &str, platform: Option<&Platform>) -> StoreError {
    Diagnostic::error(NOT_FOUND, format!("image not found: {name}"))
        .hint(pull(name, platform))
        .hint(format!("to read it from its registry without an engine, write docker://{name}"))
        .into()
}

fn other_platform(name: &str, wanted: &Platform, found: &[Platform]) -> StoreError {
    let list: Vec<String> = found.iter().map(Platform::to_string).collect();
    Diagnostic::error("base-platform", format!("the engine does not have {name} for {wanted}"))
        .cause(format!("available platforms: {}", if list.is_empty() { "none".to_owned() } else { list.join(", ") }))
        .hint(pull(name, Some(wanted)))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_without_a_complete_platform_is_incomplete() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let text = format!(
            r#"{{"Id":"{digest}","Descriptor":{{"digest":"{digest}","size":1}},"Manifests":[{{"Descriptor":{{"digest":"{digest}","size":1}},
            "Available":false,"EngineKind":"image","ImageData":{{"Platform":{{"architecture":"arm64","os":"linux"}}}}}}]}}"#
        );
        let seen = InspectedImage::parse(text.as_bytes()).unwrap();
        let error = choose_manifest("crew:1", &seen, seen.target.as_ref().unwrap(), None).unwrap_err();
        assert_eq!(error.0.to_string(), "error: the engine's copy of crew:1 is incomplete\n  hint: docker pull crew:1");
    }
}
