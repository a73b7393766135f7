//! Owns loading an image whose base the engine does not have: one request with all layers, which streams those of the base from their
//! store.

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::error::EngineError;
use super::load;
use super::wire::Wire;
use crate::store::oci::archive::{ArchiveError, NewArchive};
use crate::store::{BaseSource, LayerSource, StoreError};

/// How many pieces of the archive to buffer.
const AHEAD: usize = 4;

/// Why a load failed.
pub(super) enum LoadError {
    Engine(EngineError),
    /// The layers of the base cannot be read.
    Base(StoreError),
}

/// Loads the image with all its layers. Returns the engine's messages.
pub(super) async fn load<S: LayerSource>(
    wire: &Wire,
    archive: &NewArchive<'_>,
    base: BaseSource<'_, S>,
) -> Result<Vec<String>, LoadError> {
    let size = archive.parts.blobs.iter().filter(|blob| blob.bytes.is_none()).map(|layer| layer.size).sum();
    let (sender, receiver) = mpsc::channel(AHEAD);
    let received = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let body = bollard::body_try_stream(received);
    let (sent, loaded) = tokio::join!(send(archive, base, sender), load::load_stream(wire, body, size));
    match (sent, loaded) {
        (Err(error), _) => Err(LoadError::Base(error)),
        (Ok(()), loaded) => loaded.map_err(LoadError::Engine),
    }
}

/// Sends the archive, or stops when the engine closes the connection.
async fn send<S: LayerSource>(
    archive: &NewArchive<'_>,
    base: BaseSource<'_, S>,
    sender: mpsc::Sender<std::io::Result<Bytes>>,
) -> Result<(), StoreError> {
    let write = async |bytes: &[u8]| {
        // the new layers and the config hold secrets: wipe them after sending
        let piece = Bytes::from_owner(Zeroizing::new(bytes.to_vec()));
        sender.send(Ok(piece)).await.map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    };
    match archive.write(base, "the engine", write).await {
        Err(ArchiveError::Image(error)) if !sender.is_closed() => {
            // break off with an error, so that the engine does not treat a part like the whole archive
            let _ = sender.send(Err(std::io::ErrorKind::UnexpectedEof.into())).await;
            Err(error)
        }
        // an engine that closed the connection says why in its response
        Ok(()) | Err(ArchiveError::Write(_) | ArchiveError::Image(_)) => Ok(()),
    }
}
