//! Owns the look into a base's file tree: a container that is created, never started, read from and removed.

use std::collections::BTreeSet;
use std::io::Read as _;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptions, DownloadFromContainerOptions, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use futures_util::StreamExt as _;

use super::EngineStore;
use super::error::{engine_error, is_not_found};
use crate::error::Diagnostic;
use crate::image::layer::Owned;
use crate::image::tree::{Entry, Tree};
use crate::store::StoreError;

/// What marks a container as one that only a running bake needs.
const LABEL: &str = "dev.secretbake.temporary";
/// How old such a container is, in seconds, when the bake that made it must have been killed.
const STALE: i64 = 600;
/// The most that is read of a file; a passwd of 10,000 users fits.
const MAX_FILE: u64 = 1 << 20;

pub(super) async fn look_up(store: &EngineStore, image: &str, paths: &BTreeSet<String>) -> Result<Tree, StoreError> {
    let (docker, address) = (store.docker.clone(), store.address.clone());
    let (image, paths) = (image.to_owned(), paths.clone());
    // in a task of its own, so that an interrupt does not leave the container behind
    let task = store.cleanup.spawn(async move {
        let failed = |error| engine_error(&address, &error);
        remove_stale(&docker).await.map_err(failed)?;
        let container = create(&docker, &image).await.map_err(failed)?;
        let tree = read_all(&docker, &container, &paths).await.map_err(failed);
        remove(&docker, &container).await.map_err(failed)?;
        tree
    });
    task.await.map_err(|_| StoreError::from(Diagnostic::error("engine", "the task ended early")))?
}

async fn create(docker: &Docker, image: &str) -> Result<String, bollard::errors::Error> {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        // an imported image has none, and no container is created without one; it is never run
        cmd: Some(vec!["-".to_owned()]),
        // some engines look a named user up as they create
        user: Some("0".to_owned()),
        labels: Some([(LABEL.to_owned(), "true".to_owned())].into()),
        network_disabled: Some(true),
        host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    Ok(docker.create_container(None::<CreateContainerOptions>, body).await?.id)
}

async fn remove(docker: &Docker, container: &str) -> Result<(), bollard::errors::Error> {
    // with its volumes: the image's own VOLUMEs made some
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(container, Some(options)).await {
        Err(error) if !is_not_found(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Removes what killed runs left behind.
async fn remove_stale(docker: &Docker) -> Result<(), bollard::errors::Error> {
    let filters = std::collections::HashMap::from([("label", vec![LABEL])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or_default());
    for container in docker.list_containers(Some(options)).await? {
        if let (Some(id), Some(created)) = (container.id, container.created)
            && now - created > STALE
        {
            remove(docker, &id).await?;
        }
    }
    Ok(())
}

async fn read_all(docker: &Docker, container: &str, paths: &BTreeSet<String>) -> Result<Tree, bollard::errors::Error> {
    let mut tree = Tree::new();
    for path in paths {
        tree.insert(path.clone(), read(docker, container, path).await?);
    }
    Ok(tree)
}

/// Reads the archive of one path as far as it is needed: to the end of its first entry, or of that entry's header for a directory.
async fn read(docker: &Docker, container: &str, path: &str) -> Result<Entry, bollard::errors::Error> {
    let options = DownloadFromContainerOptions { path: path.to_owned() };
    let mut stream = docker.download_from_container(container, Some(options));
    let mut archive = Vec::new();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => archive.extend_from_slice(&chunk),
            Err(error) if is_not_found(&error) => return Ok(Entry::Absent),
            Err(error) => return Err(error),
        }
        if let Some(entry) = first_entry(&archive) {
            return Ok(entry);
        }
    }
    Ok(first_entry(&archive).unwrap_or(Entry::Other))
}

/// Returns the first entry of an archive; `None` if more of the archive is needed.
fn first_entry(archive: &[u8]) -> Option<Entry> {
    let mut archive = tar::Archive::new(archive);
    let mut entry = archive.entries().ok()?.next()?.ok()?;
    let header = entry.header();
    let number = |number: std::io::Result<u64>| number.ok().and_then(|number| u32::try_from(number).ok());
    Some(match header.entry_type() {
        tar::EntryType::Directory => Entry::Directory {
            owned: Owned { uid: number(header.uid())?, gid: number(header.gid())?, mode: header.mode().ok()? & 0o7777 },
            modified: header.mtime().unwrap_or_default(),
        },
        tar::EntryType::Symlink => {
            let target = entry.link_name_bytes()?;
            Entry::Symlink { target: String::from_utf8_lossy(&target).into_owned() }
        }
        tar::EntryType::Regular if entry.size() <= MAX_FILE => {
            let mut content = Vec::new();
            let size = entry.size();
            entry.read_to_end(&mut content).ok()?;
            // a part of the file is not the file
            (content.len() as u64 == size).then_some(Entry::File { content })?
        }
        _ => Entry::Other,
    })
}
