//! Owns what engines demand of an image, as measured: how many layers, and a history that fits them.

use serde::Deserialize;

use super::{EngineStore, Kind};
use crate::diagnostic::Diagnostic;
use crate::image::Image;
use crate::image::json::RawObject;
use crate::store::StoreError;

/// Docker Engine without the containerd image store loads no more (`maxLayerDepth`).
const GRAPH_DRIVER: usize = 125;
/// Podman loads more, but starts no container from them.
const PODMAN_BEFORE_4_4: usize = 128;
/// Linux mounts an overlay of at most 500 layers, and an engine adds one of its own to a container.
const OVERLAY: usize = 499;

/// Reads `MAJOR.MINOR…`.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Returns the most layers from which the engine can start a container.
fn most_layers(kind: Kind, podman: Option<(u32, u32)>) -> usize {
    match kind {
        Kind::GraphDriver => GRAPH_DRIVER,
        Kind::Podman if podman.is_some_and(|version| version < (4, 4)) => PODMAN_BEFORE_4_4,
        Kind::Podman | Kind::Containerd => OVERLAY,
    }
}

/// Refuses an image with more layers than the engine takes.
pub(super) fn check_layers(store: &EngineStore, kind: Kind, image: &Image) -> Result<(), StoreError> {
    let (most, all, new) = (most_layers(kind, store.podman), image.diff_ids.len(), image.layers.len());
    if all <= most {
        return Ok(());
    }
    let what = format!("the image has {all} layers, and the container engine takes at most {most}");
    let mut error = Diagnostic::error("too-many-layers", what)
        .cause(format!("the base has {}, and the bake adds {new}", all - new))
        .hint("build the base with fewer layers: join its RUN lines, or end its Dockerfile with `FROM scratch` and `COPY --from=0 / /`");
    if most < OVERLAY {
        error = error.hint(format!(
            "or tag a registry (docker://HOST/REPO:TAG) or an OCI layout (oci:DIR): an engine with the containerd image store runs up to {OVERLAY} layers"
        ));
    }
    Err(error.into())
}

/// Returns the cause of a refusal if the base's history has entries for more layers than the base has: Docker Engine without the
/// containerd image store loads no such image.
pub(super) fn uneven_history(image: &Image) -> Option<String> {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        empty_layer: bool,
    }
    let config = RawObject::parse(image.config.expose()).ok()?;
    let history = config.read::<Option<Vec<Entry>>>("history").ok()???;
    let (new, layers) = (image.layers.len(), image.diff_ids.len());
    let entries = history.iter().filter(|entry| !entry.empty_layer).count();
    (entries > layers).then(|| {
        let (entries, layers) = (entries - new, layers - new);
        format!(
            "the base's history has entries for {entries} layers, but the base has {layers}: build it again, for example with `docker build`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_depends_on_the_engine_and_on_the_version_of_podman() {
        assert_eq!(most_layers(Kind::GraphDriver, None), 125);
        assert_eq!(most_layers(Kind::Containerd, None), 499);
        assert_eq!(most_layers(Kind::Podman, version("4.3.1")), 128);
        assert_eq!(most_layers(Kind::Podman, version("5.8.6-dev")), 499);
        assert_eq!(most_layers(Kind::Podman, version("garbage")), 499);
    }
}
