//! Owns the removal of a baked image that lost its last tag: never one that is named or used.

use std::collections::HashMap;

use bollard::query_parameters::ListImagesOptionsBuilder;

use super::failure::Trouble;
use super::wire::within;
use super::write::remove;
use super::{EngineStore, containers, lock};
use crate::diagnostic::{Diagnostic, Severity};
use crate::image::digest::Digest;
use crate::image::provenance::LABEL;
use crate::store::StoreError;

/// A baked image that a write left without a tag.
pub(super) struct Replaced {
    pub id: Digest,
    /// What the user was told of it.
    pub warning: Diagnostic,
}

/// What became of a baked image without a tag.
pub struct Pruned {
    /// The warning that told of it; none of one that an earlier run left.
    pub warned: Option<Diagnostic>,
    /// Why it had to stay.
    pub kept: Option<Diagnostic>,
}

fn as_warning(error: StoreError) -> Diagnostic {
    Diagnostic { severity: Severity::Warning, ..*error.0 }
}

impl EngineStore {
    /// Returns the baked images that this store's writes left without a tag; each was warned about.
    pub fn replaced(&self) -> Vec<Digest> {
        lock(&self.replaced).iter().map(|replaced| replaced.id.clone()).collect()
    }

    /// Removes the baked images without a tag that this store's writes left, and those that earlier ones did of the same bases.
    pub async fn prune_replaced(&self) -> Vec<Pruned> {
        let mut replaced: Vec<_> =
            lock(&self.replaced).iter().map(|it| (it.id.clone(), Some(it.warning.clone()))).collect();
        let mut pruned = Vec::new();
        match self.left_before().await {
            Ok(left) => {
                let earlier = left.into_iter().filter(|id| replaced.iter().all(|(known, _)| known != id));
                let earlier: Vec<_> = earlier.map(|id| (id, None)).collect();
                replaced.extend(earlier);
            }
            Err(trouble) => {
                let kept = as_warning(self.diagnose(&trouble, "cannot look for earlier baked images"));
                pruned.push(Pruned { warned: None, kept: Some(kept) });
            }
        }
        for (id, warned) in replaced {
            let kept = self.prune(&id).await.err().map(as_warning);
            pruned.push(Pruned { warned, kept });
        }
        pruned
    }

    /// Removes a baked image that has no tag. That it is gone already is fine; nothing is forced.
    ///
    /// # Errors
    /// The diagnosis: a tag or a container still needs it, or the engine does not do as asked.
    pub async fn prune(&self, id: &Digest) -> Result<(), StoreError> {
        let failed = |trouble: Trouble| self.diagnose(&trouble, &format!("cannot remove the image {id}"));
        let Some(seen) = self.inspect(id.as_str()).await.map_err(failed)? else { return Ok(()) };
        if !seen.is_baked() {
            let what = format!("the image {id} was not baked by secretbake, so it is not removed");
            return Err(Diagnostic::error("not-baked", what).hint(format!("docker rmi {id}")).into());
        }
        if !seen.tags.is_empty() {
            let what = format!("the image {id} is still tagged: {}", seen.tags.join(", "));
            return Err(Diagnostic::error("image-in-use", what).hint("remove the tags first").into());
        }
        let mut removed = remove(self, id.as_str()).await;
        if matches!(&removed, Err(trouble) if trouble.is_status(409)) {
            if self.has_container_of(&seen.id).await.map_err(failed)? {
                return Err(in_use(id).into());
            }
            // what was pushed to two repositories is not removed by its ID alone
            for name in &seen.repo_digests {
                drop(remove(self, name).await);
            }
            removed = remove(self, id.as_str()).await;
        }
        match removed {
            Err(trouble) if !trouble.is_status(404) => Err(failed(trouble)),
            _ => Ok(()),
        }
    }

    async fn has_container_of(&self, id: &Digest) -> Result<bool, Trouble> {
        let containers = containers::list(&self.wire).await?;
        let is_of = |image: &String| image.trim_start_matches("sha256:") == id.hex();
        Ok(containers.iter().filter_map(|container| container.image_id.as_ref()).any(is_of))
    }

    /// Finds the baked images without a tag that earlier runs left of the bases that this run's tags were baked from.
    async fn left_before(&self) -> Result<Vec<Digest>, Trouble> {
        let families = lock(&self.families).clone();
        if families.is_empty() {
            return Ok(Vec::new());
        }
        let filters = HashMap::from([("dangling", vec!["true"]), ("label", vec![LABEL])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let images = within(self.wire.limits.answer, self.docker.list_images(Some(options))).await?;
        let mut left = Vec::new();
        for image in images {
            let Some(seen) = self.inspect(&image.id).await? else { continue };
            if seen.tags.is_empty() && seen.baked_from().is_some_and(|base| families.contains(&base)) {
                left.push(seen.id);
            }
        }
        Ok(left)
    }
}

fn in_use(id: &Digest) -> Diagnostic {
    let what = format!("the image {id} is still in use, so its secrets are still there");
    let hint = format!(
        "`docker ps -a --filter ancestor={id}` shows its containers: replace them, and the next bake with --prune-replaced removes it"
    );
    Diagnostic::error("image-in-use", what).cause("a container was made of it").hint(hint)
}
