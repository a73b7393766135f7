//! Owns the writing to a repository: every blob, side by side, then what an index lists, and only then the tags.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::{Method, StatusCode};

use super::client::{Client, Request};
use super::error::{Failure, mismatch};
use super::host::Scope;
use super::upload::Target;
use super::{SIDE_BY_SIDE, parts, tags};
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::runtime::unfinished::Unfinished;
use crate::store::oci::parts::{BlobPart, ImageParts, NewDocument};
use crate::store::{BaseSource, LayerSource, StoreError};

/// Writes an image, or those of an index, under every tag of one repository; `pending` has the moving of the tags, once it has begun.
pub async fn write<S: LayerSource>(
    client: &Client,
    pending: &Unfinished,
    image: &ImageParts<'_>,
    tags: &[&ImageName],
    base: BaseSource<'_, S>,
) -> Result<(), StoreError> {
    let [first, ..] = tags else { return Ok(()) };
    let repository = parts(first)?;
    let from = match base.name {
        ImageName::Registry(from) if from.host() == repository.host() => Some(from),
        _ => None,
    };
    let origin = match from {
        Some(from) if from.path() == repository.path() => Origin::There,
        from => Origin::Elsewhere(base, from),
    };
    let mounts =
        from.filter(|from| from.path() != repository.path() && image.blobs.iter().any(|blob| blob.bytes.is_none()));
    let scope = Scope::push(repository, mounts.map(Repository::path));
    let host = client.host(repository);
    let target = Target { client, host: &host, repository, scope, shown: first.to_string(), pending };
    side_by_side(image.blobs.iter().map(|blob| put_blob(&target, blob, &origin, &image.shared))).await?;
    side_by_side(image.nested.iter().map(|manifest| put_untagged(&target, manifest))).await?;
    tags::put(&target, &image.root, tags).await
}

/// Where the layers of the base are.
enum Origin<'a, S> {
    /// In the repository itself.
    There,
    /// In a store, and in another repository of the registry if there is one.
    Elsewhere(BaseSource<'a, S>, Option<&'a Repository>),
}

async fn side_by_side(
    all: impl Iterator<Item = impl Future<Output = Result<(), StoreError>>>,
) -> Result<(), StoreError> {
    futures_util::stream::iter(all).buffer_unordered(SIDE_BY_SIDE).try_collect().await
}

/// Makes the repository have a blob, once in a run: some registries read a blob's link while another upload writes it anew, and
/// then refuse a manifest that names it.
async fn put_blob<S: LayerSource>(
    target: &Target<'_>,
    blob: &BlobPart<'_>,
    origin: &Origin<'_, S>,
    shared: &BTreeSet<Digest>,
) -> Result<(), StoreError> {
    let put = async || match (blob.bytes, origin) {
        // what every other bake to the repository has too
        (Some(_), _) if shared.contains(&blob.digest) && target.has(&blob.digest).await? => Ok(()),
        (Some(bytes), _) => target.send(&blob.digest, bytes).await,
        (None, Origin::There) => Ok(()),
        (None, Origin::Elsewhere(base, mount)) => target.bring(&blob.digest, blob.size, *base, *mount).await,
    };
    let there = target.host.blob(target.repository, &blob.digest);
    there.get_or_try_init(put).await.map(drop).map_err(|failure: Failure| failure.of(&target.shown))
}

/// Puts a manifest or an index under its digest: what the registry has against it is said before any tag moves.
pub async fn put_untagged(target: &Target<'_>, document: &NewDocument<'_>) -> Result<(), StoreError> {
    put_document(target, document.descriptor.digest.as_str(), document)
        .await
        .map_err(|failure| failure.of(&target.shown))
}

/// Puts a manifest or an index under a reference, a tag or its digest.
pub async fn put_document(target: &Target<'_>, reference: &str, document: &NewDocument<'_>) -> Result<(), Failure> {
    let body = Some((document.descriptor.media_type.clone(), Bytes::copy_from_slice(&document.bytes)));
    let request = Request { body, ..target.request(Method::PUT, &format!("manifests/{reference}")) };
    let response = target.client.send(target.host, &request).await?;
    if !matches!(response.status(), StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED) {
        return Err(Failure::refused(response).await);
    }
    let told = response.headers().get("docker-content-digest").and_then(|told| told.to_str().ok());
    match told.and_then(Digest::parse).is_some_and(|told| told != document.descriptor.digest) {
        true => Err(Failure::Told(mismatch(&target.shown, "the manifest that the registry took"))),
        false => Ok(()),
    }
}
