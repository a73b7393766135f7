//! Owns the looking up of directories in Podman, whose archive endpoint gives everything to the container's user: only the export of the whole tree
//! tells who owns a directory.
//!
//! The export is read until the last directory was seen. That may be most of the image, so what is found is cached, and nothing is exported for a
//! bake that puts files only where the base has no directory.

use std::collections::BTreeSet;
use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::EngineStore;
use super::failure::Trouble;
use super::wire::within;
use crate::image::layer::Owned;
use crate::image::tree::{Entry, Tree};

/// Finds the directories, which exist.
pub(super) async fn directories(
    store: &EngineStore,
    container: &str,
    wanted: BTreeSet<String>,
) -> Result<Tree, Trouble> {
    let (sender, receiver) = mpsc::channel(8);
    let reader = tokio::task::spawn_blocking(move || search(Parts { receiver, part: Bytes::new() }, wanted));
    let mut parts = std::pin::pin!(store.docker.export_container(container));
    while let Some(part) = within(store.wire.limits.answer, async { parts.next().await.transpose() }).await? {
        // the reader hangs up when it has all it wants
        if sender.send(part).await.is_err() {
            break;
        }
    }
    drop(sender);
    let found = reader.await.ok().and_then(Result::ok);
    found.ok_or(Trouble::Garbled("an export that is no tar with the directories of its image"))
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
            let id = |id: u64| u32::try_from(id).map_err(io::Error::other);
            let owned = Owned { uid: id(header.uid()?)?, gid: id(header.gid()?)?, mode: header.mode()? & 0o7777 };
            found.insert(path, Entry::Directory { owned, modified: header.mtime()? });
        }
        if wanted.is_empty() {
            return Ok(found);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
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
        let owned = Owned { uid: 7, gid: 8, mode: 0o755 };
        assert_eq!(found["/a"], Entry::Directory { owned, modified: 9 });
        assert!(search(&bytes[..], wanted("/c")).is_err());
    }
}
