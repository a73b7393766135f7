//! Owns reading what Podman shows only in exports: the owner of a directory, since its archive endpoint replaces owners with the
//! container's user, and config fields that its inspect response omits.
//!
//! It reads an export only as far as needed, but that may be most of the image. So results are cached, and a bake exports only if a file goes
//! into a directory of the base, or the base's history sets such a field.

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
use crate::store::layers::{Forward, TarMember, TarMembers};

/// The largest config to read, in bytes.
const CONFIG_LIMIT: u64 = 16 << 20;

/// Finds directories. One that the image lacks is `Absent`, even if the container has it for a volume.
pub(super) async fn directories(
    store: &EngineStore,
    container: &str,
    wanted: BTreeSet<String>,
) -> Result<Tree, EngineError> {
    let found = read(store, store.docker.export_container(container), move |tar| find_directories(tar, wanted)).await?;
    found.ok_or(EngineError::Malformed("an export that is not a tar"))
}

/// Reads the original config of an image, byte for byte.
pub(super) async fn config(store: &EngineStore, id: &Digest) -> Result<Vec<u8>, EngineError> {
    let path = format!("{}.json", id.hex());
    let found = read(store, store.docker.export_image(id.hex()), move |tar| find_config(tar, &path)).await?;
    found.filter(|bytes| Digest::of(bytes) == *id).ok_or(EngineError::Malformed("an export without the image's config"))
}

/// Runs a search on a tar from the engine, and reads only as far as it needs; `None` if the search fails.
async fn read<T: Send + 'static>(
    store: &EngineStore,
    parts: impl Stream<Item = Result<Bytes, bollard::errors::Error>>,
    search: impl FnOnce(StreamReader) -> io::Result<T> + Send + 'static,
) -> Result<Option<T>, EngineError> {
    let (sender, receiver) = mpsc::channel(8);
    let reader = tokio::task::spawn_blocking(move || search(StreamReader { receiver, part: Bytes::new() }));
    let mut parts = std::pin::pin!(parts);
    while let Some(part) = within(store.wire.limits.load, async { parts.next().await.transpose() }).await? {
        // the search has finished
        if sender.send(part).await.is_err() {
            break;
        }
    }
    drop(sender);
    Ok(reader.await.ok().and_then(Result::ok))
}

/// Finds the config at a path of an image's export.
pub fn find_config(tar: impl Read, wanted: &str) -> io::Result<Vec<u8>> {
    let mut members = TarMembers::new(Forward(tar));
    while let Some(member) = members.next()? {
        if member.path == wanted.as_bytes() {
            return members.read(&member, CONFIG_LIMIT);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// Finds directories in a container's export. One that it lacks is `Absent`.
pub fn find_directories(tar: impl Read, mut wanted: BTreeSet<String>) -> io::Result<Tree> {
    let mut found = Tree::new();
    let mut members = TarMembers::new(Forward(tar));
    while let Some(TarMember { path, uid, gid, mode, modified, .. }) = members.next()? {
        let name = String::from_utf8_lossy(&path);
        let path = format!("/{}", name.trim_start_matches("./").trim_matches('/'));
        if wanted.remove(&path) {
            found.insert(path, Entry::Directory { owned: Ownership::from_header(uid, gid, mode), modified });
        }
        if wanted.is_empty() {
            return Ok(found);
        }
    }
    found.extend(wanted.into_iter().map(|path| (path, Entry::Absent)));
    Ok(found)
}

/// Reads from the parts of a stream.
struct StreamReader {
    receiver: mpsc::Receiver<Bytes>,
    part: Bytes,
}

impl Read for StreamReader {
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
        // cut after the first member: the rest is not needed
        let found = find_directories(&bytes[..512], wanted("/a")).unwrap();
        let owned = Ownership { uid: 7, gid: 8, mode: 0o755 };
        assert_eq!(found["/a"], Entry::Directory { owned, modified: 9 });
        assert_eq!(find_directories(&bytes[..], wanted("/c")).unwrap()["/c"], Entry::Absent);
        assert!(
            find_directories(&bytes[..700], wanted("/c")).is_err(),
            "a truncated export does not prove that a path is absent"
        );
    }
}
