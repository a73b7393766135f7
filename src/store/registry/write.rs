//! Owns the order of a write to a repository: blobs, concurrently; then the manifests of an index; then the tags.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::client::Client;
use super::error::RegistryError;
use super::token::Scope;
use super::upload::TargetRepository;
use super::{CONCURRENT_TRANSFERS, repository_of, tags};
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::runtime::unfinished::Unfinished;
use crate::store::oci::parts::{BlobPart, ImageParts};
use crate::store::{BaseSource, LayerSource, StoreError};

/// Writes an image, or those of an index, under tags of one repository. `pending` holds the move of the tags.
pub(super) async fn write<S: LayerSource>(
    client: &Client,
    pending: &Unfinished,
    image: &ImageParts<'_>,
    tags: &[&ImageName],
    base: BaseSource<'_, S>,
) -> Result<(), StoreError> {
    let [first, ..] = tags else { return Ok(()) };
    let repository = repository_of(first)?;
    let from = match base.name {
        ImageName::Registry(from) if from.host() == repository.host() => Some(from),
        _ => None,
    };
    let layers = match from {
        Some(from) if from.path() == repository.path() => BaseLayers::InTarget,
        from => BaseLayers::Elsewhere(base, from),
    };
    let mounts =
        from.filter(|from| from.path() != repository.path() && image.blobs.iter().any(|blob| blob.bytes.is_none()));
    let scope = Scope::push(repository, mounts.map(Repository::path));
    let registry = client.registry(repository);
    let target = TargetRepository { client, registry: &registry, repository, scope, shown: first.to_string(), pending };
    // last: usually one HEAD, so it loses least if it has to wait for a connection
    let (launchers, others): (Vec<_>, Vec<_>) =
        image.blobs.iter().partition(|blob| image.shared.contains(&blob.digest));
    let blobs = others.into_iter().chain(launchers);
    concurrently(blobs.map(|blob| put_blob(&target, blob, &layers, &image.shared))).await?;
    concurrently(image.nested.iter().map(|manifest| target.put_untagged(manifest))).await?;
    tags::move_tags(&target, &image.root, tags).await
}

/// Where the layers of the base are.
enum BaseLayers<'a, S> {
    InTarget,
    /// In a store, and in another repository of the registry if there is one.
    Elsewhere(BaseSource<'a, S>, Option<&'a Repository>),
}

async fn concurrently(
    all: impl Iterator<Item = impl Future<Output = Result<(), StoreError>>>,
) -> Result<(), StoreError> {
    futures_util::stream::iter(all).buffer_unordered(CONCURRENT_TRANSFERS).try_collect().await
}

/// Makes sure that the repository has a blob, once in a run: some registries refuse a manifest while another upload rewrites the link
/// to one of its blobs.
async fn put_blob<S: LayerSource>(
    target: &TargetRepository<'_>,
    blob: &BlobPart<'_>,
    layers: &BaseLayers<'_, S>,
    shared: &BTreeSet<Digest>,
) -> Result<(), StoreError> {
    let put = async || match (blob.bytes, layers) {
        // an earlier bake may have written it
        (Some(_), _) if shared.contains(&blob.digest) && target.has(&blob.digest).await? => Ok(()),
        (Some(bytes), _) => target.upload(&blob.digest, bytes).await,
        (None, BaseLayers::InTarget) => Ok(()),
        (None, BaseLayers::Elsewhere(base, mount)) => {
            target.mount_or_stream(&blob.digest, blob.size, *base, *mount).await
        }
    };
    let there = target.registry.blob(target.repository, &blob.digest);
    there.get_or_try_init(put).await.map(drop).map_err(|error: RegistryError| error.diagnose(&target.shown))
}
