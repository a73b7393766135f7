//! Owns removing baked images that lost their last tag. It must not remove an image with a tag or a container.

use std::collections::{BTreeSet, HashMap};

use bollard::query_parameters::ListImagesOptionsBuilder;

use super::error::EngineError;
use super::wire::within;
use super::write::remove;
use super::{EngineStore, containers};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::provenance::LABEL;
use crate::store::prune::as_warning;
use crate::store::{Displaced, Pruned, StoreError, TagHolder};

impl EngineStore {
    /// Removes displaced images, and every baked image without a tag that was baked from one of `bases` (digests).
    pub(in crate::store) async fn prune(&self, displaced: &[Displaced], bases: &BTreeSet<String>) -> Pruned {
        let is_here = |displaced: &&Displaced| matches!(displaced.held_by, TagHolder::Engine { .. });
        let mut ids: Vec<Digest> = displaced.iter().filter(is_here).map(|displaced| displaced.id.clone()).collect();
        let mut pruned = Pruned::default();
        match self.untagged(bases).await {
            Ok(untagged) => ids.extend(untagged),
            Err(error) => {
                pruned.kept.push((None, as_warning(self.diagnose(&error, "cannot list earlier baked images"))))
            }
        }
        let mut seen = BTreeSet::new();
        for id in ids.into_iter().filter(|id| seen.insert(id.to_string())) {
            match self.remove_untagged(&id).await {
                Ok(()) => pruned.removed.push(id.to_string()),
                Err(error) => pruned.kept.push((Some(id.to_string()), as_warning(error))),
            }
        }
        pruned
    }

    /// Removes a baked image without a tag, never by force. Succeeds if it does not exist. Fails if a tag or a container still needs it.
    pub async fn remove_untagged(&self, id: &Digest) -> Result<(), StoreError> {
        let failed = |error: EngineError| self.diagnose(&error, &format!("cannot remove the image {id}"));
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
        if matches!(&removed, Err(error) if error.is_status(409)) {
            if self.has_container_of(&seen.id).await.map_err(failed)? {
                return Err(in_use(id).into());
            }
            // an image that was pushed to two repositories cannot be removed by its ID alone
            for name in &seen.repo_digests {
                drop(remove(self, name).await);
            }
            removed = remove(self, id.as_str()).await;
        }
        match removed {
            Err(error) if !error.is_status(404) => Err(failed(error)),
            _ => Ok(()),
        }
    }

    async fn has_container_of(&self, id: &Digest) -> Result<bool, EngineError> {
        let containers = containers::list(&self.wire, containers::Listed::All).await?;
        let is_of = |image: &String| image.trim_start_matches("sha256:") == id.hex();
        Ok(containers.iter().filter_map(|container| container.image_id.as_ref()).any(is_of))
    }

    /// Finds the baked images without a tag that were baked from one of the bases.
    async fn untagged(&self, bases: &BTreeSet<String>) -> Result<Vec<Digest>, EngineError> {
        if bases.is_empty() {
            return Ok(Vec::new());
        }
        let filters = HashMap::from([("dangling", vec!["true"]), ("label", vec![LABEL])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let images = within(self.wire.limits.answer, self.docker.list_images(Some(options))).await?;
        let mut left = Vec::new();
        for image in images {
            let Some(seen) = self.inspect(&image.id).await? else { continue };
            if seen.tags.is_empty() && seen.baked_from().is_some_and(|base| bases.contains(&base)) {
                left.push(seen.id);
            }
        }
        Ok(left)
    }
}

fn in_use(id: &Digest) -> Diagnostic {
    let what = format!("the image {id} is still in use, so its secrets are still there");
    let hint = format!(
        "list its containers with `docker ps -a --filter ancestor={id}` and replace them; the next bake with --prune-replaced=base removes the image"
    );
    Diagnostic::error("image-in-use", what).cause("a container uses it").hint(hint)
}
