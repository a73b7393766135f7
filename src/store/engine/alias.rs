//! Owns reading a blob from the containerd store. No endpoint returns a blob, so this loads a small alias image that lists it like a
//! layer, and exports that image.
//!
//! It takes three small requests (load, get, delete), on local and remote engines. The blob is checked against its digest.

use serde::de::IgnoredAny;
use serde_json::json;

use super::EngineStore;
use super::error::EngineError;
use super::inspect::BlobRef;
use super::load;
use super::run_id::unique;
use super::temp::{ALIAS_REPOSITORY, TempGuard, TempResource, sweep_images};
use crate::image::digest::Digest;
use crate::image::media;
use crate::runtime::bounded;
use crate::secret::SecretBytes;
use crate::store::StoreError;
use crate::store::oci::archive::{ArchiveFormat, ArchiveName, NewArchive, member};
use crate::store::oci::document::is_baked;
use crate::store::oci::parts::{BlobPart, ImageParts, NewDocument};

/// The size to use for a manifest or an index whose size is unknown: larger than any real one.
pub(super) const UNKNOWN_SIZE: u64 = 4 << 20;

/// Reads a blob from the cache, or else from the engine; `None` if the engine does not have it.
pub(super) async fn blob(store: &EngineStore, wanted: &BlobRef) -> Result<Option<Vec<u8>>, EngineError> {
    const WRONG: EngineError = EngineError::Malformed("a digest that is not sha256");
    let digest = Digest::parse(&wanted.digest).ok_or(WRONG)?;
    if let Some(bytes) = store.cache.blob(&digest) {
        return Ok(Some(bytes));
    }
    if !store.swept_images.swap(true, std::sync::atomic::Ordering::Relaxed) {
        sweep_images(&store.docker, store.wire.limits.answer).await;
    }
    let name = format!("{ALIAS_REPOSITORY}:{}-{}", &digest.hex()[..12], unique());
    let guard = TempGuard::new(store, TempResource::Image(name.clone()));
    let read = load_and_read(store, &name, &digest, wanted.size).await;
    guard.remove().await?;
    let bytes = read?;
    // a baked config may hold values
    if let Some(bytes) = bytes.as_ref().filter(|bytes| !is_baked(bytes)) {
        store.cache.keep_blob(&digest, bytes);
    }
    Ok(bytes)
}

async fn load_and_read(
    store: &EngineStore,
    name: &str,
    digest: &Digest,
    size: u64,
) -> Result<Option<Vec<u8>>, EngineError> {
    // cannot fail: the archive has no base to read
    let archive = archive(name, digest, size)
        .await
        .map_err(|_| EngineError::Malformed("a blob that cannot be listed in an image"))?;
    {
        // a removal that ran before the load would leave the image behind
        let _made = store.pending.hold();
        load::load(&store.wire, archive).await?;
    }
    let response = store.wire.get(&format!("/images/{name}/get")).await?;
    let status = response.status();
    let body = store.wire.collect(response.into_body()).await?;
    if !status.is_success() {
        return Err(EngineError::status(status.as_u16(), &body));
    }
    Ok(find_member(&body, &member(digest)).and_then(|bytes| trim_to_digest(bytes, digest)))
}

/// Returns the blob. If its size was unknown, the engine sends all of it followed by an error message, which is cut off.
fn trim_to_digest(mut bytes: Vec<u8>, digest: &Digest) -> Option<Vec<u8>> {
    if Digest::of(&bytes) != *digest {
        let mut values = serde_json::Deserializer::from_slice(&bytes).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let end = (values.byte_offset()..bytes.len()).find(|end| Digest::of(&bytes[..*end]) == *digest)?;
        bytes.truncate(end);
    }
    Some(bytes)
}

/// Returns the archive of an image whose only layer is the blob. The archive does not contain the blob.
async fn archive(name: &str, digest: &Digest, size: u64) -> Result<SecretBytes, StoreError> {
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        // makes the image unique, so that two runs that read the same blob do not remove each other's
        "author": name,
        "rootfs": { "type": "layers", "diff_ids": [digest.as_str()] },
    })
    .to_string();
    let config_digest = Digest::of(config.as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "config": { "mediaType": media::OCI_CONFIG, "digest": config_digest.as_str(), "size": config.len() },
        "layers": [{ "mediaType": "application/octet-stream", "digest": digest.as_str(), "size": size }],
    })
    .to_string();
    let config = BlobPart { digest: config_digest, size: config.len() as u64, bytes: Some(config.as_bytes()) };
    let parts = ImageParts::for_document(vec![config], NewDocument::new(manifest.into_bytes(), media::OCI_MANIFEST));
    let tag = name.rsplit_once(':').map(|(_, tag)| tag.to_owned());
    let names = [ArchiveName { tag, full: Some(format!("docker.io/library/{name}")) }];
    NewArchive { format: ArchiveFormat::Oci, parts: &parts, names: &names }.without_base().await
}

fn find_member(archive: &[u8], wanted: &str) -> Option<Vec<u8>> {
    for entry in tar::Archive::new(archive).entries().ok()? {
        let entry = entry.ok()?;
        if entry.path().ok()?.to_str() == Some(wanted) {
            return bounded::read_start(entry, archive.len() as u64).ok();
        }
    }
    None
}
