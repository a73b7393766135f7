//! Owns the limits that engines have for an image, as measured: the number of layers, and a history that matches them.

use serde::Deserialize;

use super::{EngineKind, EngineStore};
use crate::diagnostic::Diagnostic;
use crate::image::Image;
use crate::image::json::RawObject;
use crate::store::StoreError;

/// The most layers that Docker Engine loads without the containerd image store (`maxLayerDepth`).
const GRAPH_DRIVER: usize = 125;
/// The most layers from which Podman before 4.4 starts a container. It loads more.
const PODMAN_BEFORE_4_4: usize = 128;
/// Linux mounts at most 500 overlay layers, and an engine adds one for the container.
const OVERLAY: usize = 499;

/// Parses `MAJOR.MINOR…`.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Returns the most layers from which the engine can start a container.
fn most_layers(kind: EngineKind, podman: Option<(u32, u32)>) -> usize {
    match kind {
        EngineKind::GraphDriver => GRAPH_DRIVER,
        EngineKind::Podman if podman.is_some_and(|version| version < (4, 4)) => PODMAN_BEFORE_4_4,
        EngineKind::Podman | EngineKind::Containerd => OVERLAY,
    }
}

/// Refuses an image with more layers than the engine supports.
pub(super) fn check_layers(store: &EngineStore, kind: EngineKind, image: &Image) -> Result<(), StoreError> {
    let (most, all, new) = (most_layers(kind, store.podman), image.diff_ids.len(), image.layers.len());
    if all <= most {
        return Ok(());
    }
    let what = format!("the image would have {all} layers, but the container engine supports at most {most}");
    let mut error = Diagnostic::error("too-many-layers", what)
        .cause(format!("the base has {}, and the bake adds {new}", all - new))
        .hint("build the base with fewer layers: combine its RUN lines, or end its Dockerfile with `FROM scratch` and `COPY --from=0 / /`");
    if most < OVERLAY {
        error = error.hint(format!(
            "or bake to a registry (docker://HOST/REPO:TAG) or an OCI layout (oci:DIR): an engine with the containerd image store runs up to {OVERLAY} layers"
        ));
    }
    Err(error.into())
}

/// Returns a hint if the base's history lists more layers than the base has: Docker Engine without the containerd image store refuses
/// such an image.
pub(super) fn uneven_history(image: &Image) -> Option<String> {
    #[derive(Deserialize)]
    struct HistoryLayer {
        #[serde(default)]
        empty_layer: bool,
    }
    let config = RawObject::parse(image.config.expose()).ok()?;
    let history = config.read::<Option<Vec<HistoryLayer>>>("history").ok()???;
    let (new, layers) = (image.layers.len(), image.diff_ids.len());
    let entries = history.iter().filter(|entry| !entry.empty_layer).count();
    (entries > layers).then(|| {
        let (entries, layers) = (entries - new, layers - new);
        format!(
            "the base's history lists {entries} layers, but the base has {layers}: build it again, for example with `docker build`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_depends_on_the_engine_and_on_the_version_of_podman() {
        assert_eq!(most_layers(EngineKind::GraphDriver, None), 125);
        assert_eq!(most_layers(EngineKind::Containerd, None), 499);
        assert_eq!(most_layers(EngineKind::Podman, version("4.3.1")), 128);
        assert_eq!(most_layers(EngineKind::Podman, version("5.8.6-dev")), 499);
        assert_eq!(most_layers(EngineKind::Podman, version("garbage")), 499);
    }
}
