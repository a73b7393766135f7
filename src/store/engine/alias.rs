//! Owns the exact bytes of a base's manifest and config in a containerd image store, which no endpoint shows.
//!
//! An alias image names the wanted blob as its only layer. The store has the blob already, so loading the alias moves nothing, and
//! saving it gives the blob back. Blobs are immutable, so each is kept in a cache under its digest and asked for once.

use std::io::Read as _;
use std::path::Path;

use bollard::Docker;
use bollard::models::ImageInspect;
use bollard::query_parameters::{ImportImageOptions, RemoveImageOptionsBuilder};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::json;

use super::EngineStore;
use super::error::{engine_error, is_not_found, load_failed};
use crate::error::Diagnostic;
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::image::{Base, media};
use crate::store::StoreError;

/// Manifests and configs are a few KiB; registries refuse more than 4 MiB.
const MAX_BLOB: u64 = 4 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: String,
    size: u64,
    platform: Option<PlatformOf>,
}

#[derive(Deserialize)]
struct PlatformOf {
    os: String,
    architecture: String,
    variant: Option<String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
}

pub(super) async fn read(
    store: &EngineStore,
    name: &str,
    image: &ImageInspect,
    platform: Option<&Platform>,
) -> Result<Base, StoreError> {
    let incomplete = || -> StoreError {
        Diagnostic::error("base-incomplete", format!("the engine does not have all of {name}"))
            .hint(format!("docker pull {name}"))
            .into()
    };
    let root = image.descriptor.as_ref().ok_or_else(incomplete)?;
    let mut descriptor = Descriptor {
        media_type: root.media_type.clone(),
        digest: root.digest.clone().unwrap_or_default(),
        size: u64::try_from(root.size.unwrap_or_default()).unwrap_or_default(),
        platform: None,
    };
    let mut manifest = blob(store, &descriptor).await?;
    if matches!(descriptor.media_type.as_deref(), Some(media::OCI_INDEX | media::DOCKER_LIST)) {
        let index: Index = serde_json::from_slice(&manifest).map_err(|_| incomplete())?;
        let own = Platform {
            os: image.os.clone().unwrap_or_else(|| "linux".to_owned()),
            architecture: image.architecture.clone().unwrap_or_default(),
            variant: None,
        };
        descriptor = choose(name, index, platform.unwrap_or(&own))?;
        manifest = blob(store, &descriptor).await?;
    }
    let config = serde_json::from_slice::<Manifest>(&manifest).map_err(|_| incomplete())?.config;
    let config = blob(store, &config).await?;
    if let (Some(wanted), Ok(parsed)) = (platform, crate::image::config::Config::parse(&config))
        && !parsed.platform().is_ok_and(|is| is.satisfies(wanted))
    {
        return Err(other_platform(name, wanted, &[]));
    }
    Ok(Base { digest: Digest::parse(&descriptor.digest), manifest, config })
}

fn choose(name: &str, index: Index, wanted: &Platform) -> Result<Descriptor, StoreError> {
    let mut platforms = Vec::new();
    for descriptor in index.manifests {
        let Some(platform) = &descriptor.platform else { continue };
        let is = Platform {
            os: platform.os.clone(),
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
        };
        if is.satisfies(wanted) {
            return Ok(descriptor);
        }
        if is.os != "unknown" {
            platforms.push(is.to_string());
        }
    }
    Err(other_platform(name, wanted, &platforms))
}

fn other_platform(name: &str, wanted: &Platform, platforms: &[String]) -> StoreError {
    let diagnostic = Diagnostic::error("platform", format!("{name} is not there for {wanted}"));
    match platforms {
        [] => diagnostic.hint(format!("docker pull --platform {wanted} {name}")).into(),
        platforms => {
            diagnostic.hint(format!("it is there for {}: choose with --platform", platforms.join(", "))).into()
        }
    }
}

/// Returns a blob's verified bytes, from the cache or from the engine.
async fn blob(store: &EngineStore, descriptor: &Descriptor) -> Result<Vec<u8>, StoreError> {
    let Some(digest) = Digest::parse(&descriptor.digest).filter(|_| descriptor.size <= MAX_BLOB) else {
        return Err(Diagnostic::error("engine", "the engine names a blob that is none").into());
    };
    let cached = store.cache.as_ref().map(|dir| dir.join("blobs/sha256").join(digest.hex()));
    if let Some(bytes) = cached.as_deref().and_then(|path| std::fs::read(path).ok())
        && Digest::of(&bytes) == digest
    {
        return Ok(bytes);
    }
    let (docker, address) = (store.docker.clone(), store.address.clone());
    let size = descriptor.size;
    // in a task of its own, so that an interrupt does not leave the alias behind
    let fetched = store.cleanup.spawn(async move { fetch(&docker, &address, &digest, size).await });
    let bytes = fetched.await.map_err(|_| StoreError::from(Diagnostic::error("engine", "the task ended early")))??;
    if let Some(path) = cached {
        keep(&path, &bytes);
    }
    Ok(bytes)
}

/// Writes a blob to the cache whole or not at all; a cache that cannot be written is only slower.
fn keep(path: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    let Some(dir) = path.parent() else { return };
    let written = std::fs::create_dir_all(dir)
        .and_then(|()| tempfile::NamedTempFile::new_in(dir))
        .and_then(|mut file| file.write_all(bytes).map(|()| file))
        .and_then(|file| file.persist(path).map_err(|error| error.error));
    if let Err(error) = written {
        tracing::debug!(%error, "the cache of descriptors cannot be written");
    }
}

async fn fetch(docker: &Docker, address: &str, digest: &Digest, size: u64) -> Result<Vec<u8>, StoreError> {
    // the name follows from the digest, so what a killed run left behind is replaced and removed by the next
    let alias = format!("secretbake-alias:{}", &digest.hex()[..32]);
    let mut attempts = 3;
    loop {
        attempts -= 1;
        load(docker, address, &alias, digest, size).await?;
        let saved = save(docker, address, &alias, digest).await;
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        match docker.remove_image(&alias, Some(options), None).await {
            Err(error) if !is_not_found(&error) => return Err(engine_error(address, &error)),
            _ => {}
        }
        match saved {
            // another run has removed the alias in between
            Ok(None) if attempts > 0 => {}
            Ok(Some(bytes)) if Digest::of(&bytes) == *digest => return Ok(bytes),
            Ok(_) => {
                return Err(Diagnostic::error(
                    "base-incomplete",
                    format!("the engine does not give the blob {digest}"),
                )
                .hint("pull the base again")
                .into());
            }
            Err(error) => return Err(error),
        }
    }
}

async fn load(docker: &Docker, address: &str, alias: &str, digest: &Digest, size: u64) -> Result<(), StoreError> {
    let config = json!({ "architecture": "unknown", "os": "unknown", "rootfs": { "type": "layers", "diff_ids": [digest.as_str()] } });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "config": { "mediaType": media::OCI_CONFIG, "digest": Digest::of(&config).as_str(), "size": config.len() },
        "layers": [{ "mediaType": "application/octet-stream", "digest": digest.as_str(), "size": size }],
    });
    let manifest = manifest.to_string().into_bytes();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_INDEX,
        "manifests": [{
            "mediaType": media::OCI_MANIFEST,
            "digest": Digest::of(&manifest).as_str(),
            "size": manifest.len(),
            "annotations": {
                "io.containerd.image.name": format!("docker.io/library/{alias}"),
                "org.opencontainers.image.ref.name": alias.split(':').nth(1),
            },
        }],
    });
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in [
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index.to_string().into_bytes()),
        (format!("blobs/sha256/{}", Digest::of(&manifest).hex()), manifest),
        (format!("blobs/sha256/{}", Digest::of(&config).hex()), config),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_slice()).map_err(|error| load_failed(&error.to_string()))?;
    }
    let tar = tar.into_inner().map_err(|error| load_failed(&error.to_string()))?;
    let body = bollard::body_full(tar.into());
    let mut answer = docker.import_image(ImportImageOptions { quiet: true, platform: None }, body, None);
    while let Some(line) = answer.next().await {
        line.map_err(|error| engine_error(address, &error))?;
    }
    Ok(())
}

/// Saves the alias and returns the blob; `None` if there is no alias or no blob in it.
async fn save(docker: &Docker, address: &str, alias: &str, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
    let mut archive = Vec::new();
    let mut stream = docker.export_image(alias);
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => archive.extend_from_slice(&chunk),
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(error) => return Err(engine_error(address, &error)),
        }
        if archive.len() as u64 > 2 * MAX_BLOB {
            return Ok(None);
        }
    }
    let wanted = format!("blobs/sha256/{}", digest.hex());
    let found = tar::Archive::new(archive.as_slice()).entries().ok().and_then(|entries| {
        let mut entry = entries.flatten().find(|entry| entry.path().is_ok_and(|path| path == Path::new(&wanted)))?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    });
    Ok(found)
}
