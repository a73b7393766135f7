//! Owns the writing of an image to a repository: every blob, side by side, and only then the tags.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future};
use reqwest::{Method, StatusCode};

use super::client::{Client, Request};
use super::error::{Failure, mismatch};
use super::host::Scope;
use super::parts;
use super::upload::Target;
use crate::image::Image;
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::store::oci::parts::{Part, Parts};
use crate::store::{ImageStore, Source, StoreError, Written};

/// How many blobs are on their way at once.
const SIDE_BY_SIDE: usize = 8;

/// Writes the image under every tag of one repository.
pub async fn write<S: ImageStore>(
    client: &Client,
    image: &Image,
    tags: &[&ImageName],
    base: Option<Source<'_, S>>,
) -> Result<Written, StoreError> {
    let [first, ..] = tags else { return Ok(Written::default()) };
    let repository = parts(first)?;
    let blobs = Parts::of(image)?;
    let from = base.and_then(|base| match base.name {
        ImageName::Registry(from) if from.host() == repository.host() => Some(from),
        _ => None,
    });
    let same = from.is_some_and(|from| from.path() == repository.path());
    let mount = from.filter(|_| !same);
    let mounts = mount.filter(|_| blobs.blobs.iter().any(|blob| blob.bytes.is_none()));
    let host = client.host(repository);
    let scope = Scope::push(repository, mounts);
    let target = Target { client, host: &host, repository, scope, shown: first.to_string() };
    // the launcher's layer is the lowest of two new ones, and in every other bake to the repository
    let launcher = image.layers.first().filter(|_| image.layers.len() > 1).map(|layer| &layer.diff_id);
    let all = blobs.blobs.iter().filter(|blob| blob.digest != blobs.manifest.digest);
    let sent = all.map(|blob| put_blob(&target, blob, base, mount, same, launcher));
    futures_util::stream::iter(sent)
        .buffer_unordered(SIDE_BY_SIDE)
        .try_for_each(|()| future::ready(Ok(())))
        .await
        .map_err(|failure| failure.of(&target.shown))?;
    put_manifests(&target, image, &blobs, tags).await?;
    Ok(Written::default())
}

async fn put_blob<S: ImageStore>(
    target: &Target<'_>,
    blob: &Part<'_>,
    base: Option<Source<'_, S>>,
    mount: Option<&Repository>,
    same: bool,
    launcher: Option<&Digest>,
) -> Result<(), Failure> {
    match (blob.bytes, base) {
        (Some(_), _) if launcher == Some(&blob.digest) && target.has(&blob.digest).await? => Ok(()),
        (Some(bytes), _) => target.send(&blob.digest, bytes).await,
        (None, None) => Ok(()),
        (None, Some(_)) if same => Ok(()),
        (None, Some(base)) => target.bring(&blob.digest, blob.size, base, mount).await,
    }
}

/// Puts the manifest under its tags. With several it is put by its digest first, so that what the registry has against it is said
/// before any tag moves.
async fn put_manifests(
    target: &Target<'_>,
    image: &Image,
    blobs: &Parts<'_>,
    tags: &[&ImageName],
) -> Result<(), StoreError> {
    let body = Bytes::copy_from_slice(&image.manifest);
    let mut references = Vec::new();
    if tags.len() > 1 {
        references.push((blobs.manifest.digest.to_string(), target.shown.clone()));
    }
    for tag in tags {
        references.push((parts(tag)?.tag().unwrap_or("latest").to_owned(), tag.to_string()));
    }
    for (reference, shown) in references {
        let request = target.request(Method::PUT, &format!("manifests/{reference}"));
        let request = Request { body: Some((blobs.manifest.media_type.clone(), body.clone())), ..request };
        let response = target.client.send(target.host, &request).await.map_err(|failure| failure.of(&shown))?;
        if !matches!(response.status(), StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED) {
            return Err(Failure::refused(response).await.of(&shown));
        }
        let told = response.headers().get("docker-content-digest").and_then(|told| told.to_str().ok());
        if told.and_then(Digest::parse).is_some_and(|told| told != blobs.manifest.digest) {
            return Err(mismatch(&shown, "the manifest that the registry took"));
        }
    }
    Ok(())
}
