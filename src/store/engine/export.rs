//! Owns what of a base only Podman's exports tell: who owns a directory, since its archive endpoint gives everything to the container's user, and the
//! fields of a config that its inspection leaves out.
//!
//! An export is read as far as it must be. That may be most of the image, so what is found is cached, and nothing is exported for a bake that puts
//! files only where the base has no directory, onto a base whose history sets no such field.

use std::collections::BTreeSet;
use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::EngineStore;
use super::error::EngineError;
use super::wire::within;
use crate::image::digest::Digest;
use crate::image::layer::Ownership;
use crate::image::tree::{Entry, Tree};
use crate::runtime::bounded;

/// The most that is read of a config.
const CONFIG_LIMIT: u64 = 16 << 20;

/// Finds the directories. One that the image lacks is `Absent`: a container may have it, as the place of a volume.
pub(super) async fn directories(
    store: &EngineStore,
    container: &str,
    wanted: BTreeSet<String>,
) -> Result<Tree, EngineError> {
    let found = read(store, store.docker.export_container(container), move |tar| search(tar, wanted)).await?;
    found.ok_or(EngineError::Malformed("an export that is no tar"))
}

/// Reads the config of an image, byte for byte.
pub(super) async fn config(store: &EngineStore, id: &Digest) -> Result<Vec<u8>, EngineError> {
    let path = format!("{}.json", id.hex());
    let found = read(store, store.docker.export_image(id.hex()), move |tar| member(tar, &path)).await?;
    found
        .filter(|bytes| Digest::of(bytes) == *id)
        .ok_or(EngineError::Malformed("an export that is no tar with the config of its image"))
}

/// Reads a tar that the engine sends, as far as the search wants it; `None` if that fails.
async fn read<T: Send + 'static>(
    store: &EngineStore,
    parts: impl Stream<Item = Result<Bytes, bollard::errors::Error>>,
    search: impl FnOnce(Parts) -> io::Result<T> + Send + 'static,
) -> Result<Option<T>, EngineError> {
    let (sender, receiver) = mpsc::channel(8);
    let reader = tokio::task::spawn_blocking(move || search(Parts { receiver, part: Bytes::new() }));
    let mut parts = std::pin::pin!(parts);
    while let Some(part) = within(store.wire.limits.load, async { parts.next().await.transpose() }).await? {
        // the reader hangs up when it has all it wants
        if sender.send(part).await.is_err() {
            break;
        }
    }
    drop(sender);
    Ok(reader.await.ok().and_then(Result::ok))
}

fn member(tar: impl Read, wanted: &str) -> io::Result<Vec<u8>> {
    for member in tar::Archive::new(tar).entries()? {
        let member = member?;
        if member.path()?.to_str() == Some(wanted) {
            return bounded::read_start(member, CONFIG_LIMIT);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn search(tar: impl Read, mut wanted: BTreeSet<String>) -> io::Result<Tree> {
    let mut found = Tree::new();
    for member in tar::Archive::new(tar).entries()? {
        let member = member?;
        let path = member.path()?;
        let name = path.to_string_lossy();
        let path = format!("/{}", name.trim_start_matches("./").trim_matches('/'));
        if wanted.remove(&path) {
            let header = member.header();
            let owned = Ownership::from_header(header.uid()?, header.gid()?, header.mode()?);
            found.insert(path, Entry::Directory { owned, modified: header.mtime()? });
        }
        if wanted.is_empty() {
            return Ok(found);
        }
    }
    found.extend(wanted.into_iter().map(|path| (path, Entry::Absent)));
    Ok(found)
}

/// The parts of a stream, as something to read from.
struct Parts {
    receiver: mpsc::Receiver<Bytes>,
    part: Bytes,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.receiver.blocking_recv() {
                Some(part) => self.part = part,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.part.len());
        self.part.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_ends_with_the_last_directory() {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(9);
        header.set_size(0);
        tar.append_data(&mut header, "a/", io::empty()).unwrap();
        tar.append_data(&mut header, "a/b/", io::empty()).unwrap();
        let bytes = tar.into_inner().unwrap();
        let wanted = |path: &str| BTreeSet::from([path.to_owned()]);
        // cut after the first member: what follows is never needed
        let found = search(&bytes[..512], wanted("/a")).unwrap();
        let owned = Ownership { uid: 7, gid: 8, mode: 0o755 };
        assert_eq!(found["/a"], Entry::Directory { owned, modified: 9 });
        assert_eq!(search(&bytes[..], wanted("/c")).unwrap()["/c"], Entry::Absent);
        assert!(search(&bytes[..700], wanted("/c")).is_err(), "what breaks off tells of no absence");
    }
}
