//! Owns the fallback for an engine that does not take new layers by themselves: a container of the base, the layers put into it, committed.
//!
//! It needs no shell and nothing is started. The engine merges the container's config into the one it is given, so what it made is compared
//! with what was composed.

use bollard::query_parameters::UploadToContainerOptionsBuilder;
use serde::Deserialize;

use super::entries::{self, Command};
use super::failure::Trouble;
use super::rebuild;
use super::wire::{encoded, secret_body, within};
use super::{EngineStore, KnownBase};
use crate::image::Image;
use crate::image::config::{Config, volume_of};
use crate::image::json::RawObject;
use crate::image::load_archive::LoadName;
use crate::secret::{SecretBuffer, SecretBytes};

/// Commits the image under its first name; returns its ID.
///
/// # Errors
/// The trouble. The container is removed in any case; the name may have been given.
pub(super) async fn commit(
    store: &EngineStore,
    image: &Image,
    base: KnownBase,
    name: &LoadName,
) -> Result<String, Trouble> {
    const WRONG: Trouble = Trouble::Garbled("an answer to a commit that is not the Engine API's");
    let config = RawObject::parse(image.config.expose()).and_then(|config| config.inner("config"));
    let config = config.map_err(|_| Trouble::Garbled("a config that is not an image's"))?;
    let list = |key| config.read::<Option<Vec<String>>>(key).ok().flatten().flatten().filter(|list| !list.is_empty());
    let command = Command { entrypoint: list("Entrypoint"), cmd: list("Cmd"), label: false };
    let container = entries::create(store, "", Some(base), command).await?;
    let work = async {
        for layer in &image.layers {
            let options = UploadToContainerOptionsBuilder::new().path("/").build();
            let body = secret_body(layer.tar.clone());
            let put = store.docker.upload_to_container(&container.name, Some(options), body);
            within(store.wire.limits.load, put).await?;
        }
        let mut body = SecretBuffer::with_capacity(image.config.len());
        serde_json::to_writer(&mut body, &config).map_err(|_| WRONG)?;
        let (repo, tag) = name.full.rsplit_once(':').unwrap_or((&name.full, "latest"));
        let (container, repo, tag) = (&container.name, encoded(repo), encoded(tag));
        let path = format!("/commit?container={container}&repo={repo}&tag={tag}&pause=false");
        let response = store.wire.post(&path, "application/json", body.finish()).await?;
        let status = response.status();
        let answer = store.wire.collect(response.into_body()).await?;
        if !status.is_success() {
            // the request held every variable, and an engine may repeat what it does not like
            return Err(Trouble::status(status.as_u16(), &answer).wordless());
        }
        #[derive(Deserialize)]
        struct Committed {
            #[serde(rename = "Id")]
            id: String,
        }
        serde_json::from_slice::<Committed>(&answer).map(|committed| committed.id).map_err(|_| WRONG)
    };
    let committed = work.await;
    container.guard.remove().await?;
    committed
}

/// Finds a new file that lies in a volume of the image: an engine puts it there, and commits what is not in volumes. Returns its path and the
/// volume's.
pub(super) fn in_volume(image: &Image) -> Option<(String, String)> {
    let volumes = Config::parse(image.config.expose()).and_then(|config| config.volumes()).unwrap_or_default();
    image.layers.iter().find_map(|layer| {
        let mut archive = tar::Archive::new(layer.tar.expose());
        archive.entries().ok()?.filter_map(Result::ok).filter(|member| !member.header().entry_type().is_dir()).find_map(
            |member| {
                let path = format!("/{}", String::from_utf8_lossy(&member.path_bytes()));
                let volume = volume_of(&volumes, &path)?.clone();
                Some((path, volume))
            },
        )
    })
}

/// Tells whether two configs mean the same: empty values and the root as working directory are what absence is.
pub(super) fn same(composed: &SecretBytes, committed: &RawObject) -> bool {
    let Ok(composed) = RawObject::parse(composed.expose()).and_then(|config| config.inner("config")) else {
        return false;
    };
    let meaning = |config: &RawObject| {
        let mut config = rebuild::inner(config);
        if let Some(map) = config.as_object_mut() {
            if map.get("WorkingDir").is_some_and(|directory| directory == "/") {
                map.remove("WorkingDir");
            }
            // the container's own, which no image's config means anything by
            for key in ["Hostname", "Domainname", "Image"] {
                map.remove(key);
            }
        }
        config
    };
    meaning(&composed) == meaning(committed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_came_back_is_noticed() {
        let composed = SecretBytes::from(r#"{"config":{"Env":["A=1"],"Cmd":null,"WorkingDir":"/"}}"#.to_owned());
        let committed = |text: &str| RawObject::parse(text.as_bytes()).unwrap();
        assert!(same(&composed, &committed(r#"{"Hostname":"x","Cmd":[],"Env":["A=1"]}"#)));
        assert!(!same(&composed, &committed(r#"{"Env":["A=1","OLD=2"]}"#)));
    }
}
