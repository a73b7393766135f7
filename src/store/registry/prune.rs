//! Owns the deletion of baked images that lost their last tag. It must not delete what a tag or an index of a tag names.
//!
//! A registry does not say which tags a manifest has, so every tag of the repository is asked what it points to. A manifest that the
//! registry no longer has is out of reach at once; its blobs stay in the storage until the registry's garbage collection.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::{Method, StatusCode};

use super::client::{Client, Request};
use super::error::RegistryError;
use super::read::{Head, Reader};
use super::token::Scope;
use super::{CONCURRENT_TRANSFERS, RegistryStore, tag_list};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::store::oci::document::{Document, is_baked};
use crate::store::oci::read::malformed;
use crate::store::prune::remains;
use crate::store::{Displaced, Pruned, StoreError, TagHolder};

/// A manifest, or an index and all that it lists.
struct Documents {
    /// The root first, so that no index ever lists what is gone.
    digests: Vec<Digest>,
    /// Whether every image of it was baked.
    is_baked: bool,
}

impl RegistryStore {
    /// Deletes displaced images of registries that were baked and that nothing names any more. Says nothing of any other.
    pub(in crate::store) async fn prune(&self, displaced: &[Displaced]) -> Pruned {
        let mut repositories: BTreeMap<(&str, &str), (&Repository, BTreeSet<&Digest>)> = BTreeMap::new();
        for Displaced { id, held_by } in displaced {
            let TagHolder::Registry(repository) = held_by else { continue };
            let known = repositories.entry((repository.host(), repository.path()));
            known.or_insert_with(|| (repository, BTreeSet::new())).1.insert(id);
        }
        let mut pruned = Pruned::default();
        for (repository, digests) in repositories.into_values() {
            pruned.extend(prune(&self.client, repository, &digests).await);
        }
        pruned
    }
}

/// Deletes those of the manifests of one repository that were baked and that nothing names any more.
async fn prune(client: &Client, repository: &Repository, digests: &BTreeSet<&Digest>) -> Pruned {
    let name = |digest: &Digest| ImageName::Registry(repository.with_digest(digest)).to_string();
    let mut pruned = Pruned::default();
    let mut baked = Vec::new();
    for &digest in digests {
        match documents(client, repository, digest).await {
            Ok(Some(documents)) if documents.is_baked => baked.push((digest, documents)),
            Ok(_) => {}
            Err(error) => pruned.kept.push((Some(name(digest)), still_there(&name(digest), error))),
        }
    }
    if baked.is_empty() {
        return pruned;
    }
    let named = match named(client, repository).await {
        Ok(named) => named,
        Err(error) => {
            let kept = |(digest, _)| (Some(name(digest)), still_there(&name(digest), error.clone()));
            pruned.kept.extend(baked.into_iter().map(kept));
            return pruned;
        }
    };
    for (digest, documents) in baked.into_iter().filter(|(digest, _)| !named.contains(digest)) {
        let unnamed = documents.digests.iter().filter(|digest| !named.contains(digest));
        let deleted = futures_util::stream::iter(unnamed).then(|unnamed| delete(client, repository, unnamed));
        match deleted.try_collect::<()>().await {
            Ok(()) => pruned.removed.push(name(digest)),
            Err(error) => {
                let warning = still_there(&name(digest), refused(error, repository, digest));
                pruned.kept.push((Some(name(digest)), warning));
            }
        }
    }
    pruned
}

/// Reads what is below a digest, and whether it was baked; `None` if it is gone.
async fn documents(client: &Client, repository: &Repository, digest: &Digest) -> Result<Option<Documents>, StoreError> {
    let name = ImageName::Registry(repository.with_digest(digest));
    let reader = Reader::for_pull(client, &name)?;
    if reader.head(digest.as_str()).await?.is_none() {
        return Ok(None);
    }
    let document = reader.document(digest.as_str()).await?;
    let mut found = Documents { digests: vec![digest.clone()], is_baked: true };
    let manifests = match document.read().map_err(|flaw| malformed(&name.to_string(), "the manifest", &flaw))? {
        Document::Manifest(manifest) => vec![manifest],
        Document::Index(list) => {
            let walk = reader.walk(list.entries).await?;
            // a bake writes no attestation and no index in an index
            found.is_baked = walk.others == 0 && !walk.images.is_empty();
            let mut manifests = Vec::new();
            for image in &walk.images {
                found.digests.push(image.descriptor.digest.clone());
                match reader.document(image.descriptor.digest.as_str()).await?.read() {
                    Ok(Document::Manifest(manifest)) => manifests.push(manifest),
                    _ => found.is_baked = false,
                }
            }
            manifests
        }
    };
    for manifest in &manifests {
        found.is_baked = found.is_baked && is_baked(&reader.config(manifest).await?);
    }
    Ok(Some(found))
}

/// Returns every manifest that a tag of the repository names, directly or through an index.
async fn named(client: &Client, repository: &Repository) -> Result<BTreeSet<Digest>, StoreError> {
    let tags = tag_list::list(client, repository).await?;
    let heads = tags.into_iter().map(|tag| async move {
        let name = ImageName::Registry(tag.clone());
        Reader::for_pull(client, &name)?.head(tag.tag().unwrap_or("latest")).await
    });
    let heads: Vec<Option<Head>> =
        futures_util::stream::iter(heads).buffer_unordered(CONCURRENT_TRANSFERS).try_collect().await?;
    let indexes: BTreeSet<Digest> =
        heads.iter().flatten().filter(|head| head.may_be_index).map(|head| head.digest.clone()).collect();
    let mut named: BTreeSet<Digest> = heads.into_iter().flatten().map(|head| head.digest).collect();
    for index in indexes {
        let name = ImageName::Registry(repository.with_digest(&index));
        let reader = Reader::for_pull(client, &name)?;
        // what is not an index names nothing
        let Ok(Document::Index(list)) = reader.document(index.as_str()).await?.read() else { continue };
        named.extend(list.entries.iter().map(|entry| entry.descriptor.digest.clone()));
        let walk = reader.walk(list.entries).await?;
        named.extend(walk.visited.into_iter().chain(walk.images.into_iter().map(|image| image.descriptor.digest)));
    }
    Ok(named)
}

/// Deletes a manifest or an index by its digest; one that is gone already is fine.
async fn delete(client: &Client, repository: &Repository, digest: &Digest) -> Result<(), RegistryError> {
    let registry = client.registry(repository);
    let url = registry.host.url(repository, &format!("manifests/{digest}"));
    let response = client.send(&registry, &Request::new(Method::DELETE, url, Scope::delete(repository))).await?;
    match response.status() {
        StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(()),
        _ => Err(RegistryError::from_response(response).await),
    }
}

/// Diagnoses a refused deletion, with the way that the registry has instead.
fn refused(error: RegistryError, repository: &Repository, digest: &Digest) -> StoreError {
    let host = repository.host();
    let (what, hint) = match &error {
        RegistryError::Refused { status: StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED, .. } => {
            (format!("the registry {host} does not let its users delete images this way"), other_way(repository, digest))
        }
        RegistryError::Refused { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. } => (
            format!("the registry {host} does not let this login delete images"),
            "allow this login to delete: in Harbor a robot account needs \"delete artifact\", in GitLab the role Maintainer, \
             in ECR ecr:BatchDeleteImage"
                .to_owned(),
        ),
        _ => return error.diagnose(&ImageName::Registry(repository.with_digest(digest)).to_string()),
    };
    Diagnostic::error("registry-keeps", what).hint(hint).into()
}

/// Returns how to delete an image of a registry that refuses to delete it by its digest.
fn other_way(repository: &Repository, digest: &Digest) -> String {
    let (host, path) = (repository.host(), repository.path());
    if host.contains(".dkr.ecr.") {
        return format!("aws ecr batch-delete-image --repository-name {path} --image-ids imageDigest={digest}");
    }
    match (host, path.split_once('/')) {
        ("ghcr.io", Some((owner, name))) => {
            let versions = format!("/orgs/{owner}/packages/container/{}/versions", name.replace('/', "%2F"));
            format!(
                "gh api --method DELETE {versions}/$(gh api --paginate {versions} --jq '.[] | select(.name == \"{digest}\").id')"
            )
        }
        ("docker.io", _) => "delete it on hub.docker.com, in the repository's image management".to_owned(),
        _ => "let the registry delete images (Docker's registry: REGISTRY_STORAGE_DELETE_ENABLED=true), or delete what has no tag \
              there: Harbor and GitLab do it with their garbage collection of untagged artifacts"
            .to_owned(),
    }
}

/// Warns that a displaced image stays, and why.
fn still_there(name: &str, error: StoreError) -> Diagnostic {
    remains(format!("the previous image {name} is still in the registry, with its old secrets"), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_does_not_delete_has_another_way() {
        let digest = Digest::of(b"");
        let way = |name: &str| other_way(&Repository::parse(name).unwrap(), &digest);
        assert_eq!(
            way("123456789012.dkr.ecr.us-east-1.amazonaws.com/team/crew:1"),
            format!("aws ecr batch-delete-image --repository-name team/crew --image-ids imageDigest={digest}")
        );
        assert_eq!(
            way("ghcr.io/acme/team/crew"),
            format!(
                "gh api --method DELETE /orgs/acme/packages/container/team%2Fcrew/versions/$(gh api --paginate \
                 /orgs/acme/packages/container/team%2Fcrew/versions --jq '.[] | select(.name == \"{digest}\").id')"
            )
        );
        assert!(way("acme/crew").starts_with("delete it on hub.docker.com"));
        assert!(way("localhost:5000/crew").contains("REGISTRY_STORAGE_DELETE_ENABLED=true"));
    }
}
