//! Owns the load of an image whose base the engine does not have: one request whose archive holds every layer, those of the base
//! streamed from where they are.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::error::EngineError;
use super::load;
use super::wire::{Wire, secret_parts};
use crate::image::Image;
use crate::image::load_archive::{self, LoadName};
use crate::store::oci::parts::{Part, Parts};
use crate::store::{BaseSource, LayerSource, StoreError};

/// How many parts of layers wait for the engine.
const AHEAD: usize = 4;

/// Why the engine did not take it.
pub(super) enum LoadError {
    Engine(EngineError),
    /// The base's layers cannot be read.
    Base(StoreError),
}

/// Loads the image under the names. Returns the engine's remarks.
pub(super) async fn load<S: LayerSource>(
    wire: &Wire,
    image: &Image,
    names: &[LoadName],
    base: BaseSource<'_, S>,
) -> Result<Vec<String>, LoadError> {
    let parts = Parts::from_image(image).map_err(LoadError::Base)?;
    let last = load_archive::write(image, names).map_err(|error| LoadError::Engine(EngineError::Io(error)))?;
    let layers: Vec<&Part<'_>> = parts.blobs.iter().filter(|blob| blob.bytes.is_none()).collect();
    let size = layers.iter().map(|layer| layer.size).sum();
    let (sender, receiver) = mpsc::channel(AHEAD);
    let received = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let body = bollard::body_try_stream(received.chain(secret_parts(last)));
    let (sent, loaded) = tokio::join!(send(&layers, base, sender), load::load_stream(wire, body, size));
    match (sent, loaded) {
        (Err(error), _) => Err(LoadError::Base(error)),
        (Ok(()), loaded) => loaded.map_err(LoadError::Engine),
    }
}

/// Sends the layers of the base as members of a tar, until the engine takes no more.
async fn send<S: LayerSource>(
    layers: &[&Part<'_>],
    base: BaseSource<'_, S>,
    sender: mpsc::Sender<std::io::Result<Bytes>>,
) -> Result<(), StoreError> {
    for layer in layers {
        // an engine that has hung up says why in its answer
        let pass_on =
            async |bytes: Bytes| sender.send(Ok(bytes)).await.map_err(|_| std::io::ErrorKind::BrokenPipe.into());
        let blob = base.store.layer(base.name, &layer.digest).await?;
        if pass_on(load_archive::header(&layer.digest, layer.size)).await.is_err() {
            return Ok(());
        }
        let copied = blob.copy(&layer.digest, layer.size, async |bytes| pass_on(Bytes::copy_from_slice(bytes)).await);
        match copied.await {
            Ok(()) if pass_on(load_archive::padding(layer.size)).await.is_ok() => {}
            Ok(()) => return Ok(()),
            Err(_) if sender.is_closed() => return Ok(()),
            Err(error) => {
                // so that the engine does not take a part for the whole
                let _ = sender.send(Err(std::io::ErrorKind::UnexpectedEof.into())).await;
                return Err(error.of(&layer.digest, base.name, "the engine"));
            }
        }
    }
    Ok(())
}
