//! Owns the removal of a baked image that lost its last tag: never one that is named or used.

use super::EngineStore;
use super::failure::Trouble;
use crate::error::Diagnostic;
use crate::image::digest::Digest;
use crate::store::StoreError;

impl EngineStore {
    /// Returns the baked images that this store's writes left without a tag; each was warned about.
    pub fn replaced(&self) -> Vec<Digest> {
        super::lock(&self.replaced).clone()
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
        match super::write::remove(self, id.as_str()).await {
            Err(Trouble::Status { code: 409, message }) => {
                let what = format!("the image {id} is still in use, so its secrets are still there");
                Err(Diagnostic::error("image-in-use", what)
                    .cause(message)
                    .hint(format!("`docker ps -a --filter ancestor={id}` shows its containers: replace them, then `docker rmi {id}`"))
                    .into())
            }
            Err(trouble) if trouble.is_status(404) => Ok(()),
            other => other.map_err(failed),
        }
    }
}
