//! Owns looking up paths in a base's file tree, through a container that is created, never started, and removed.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder,
};
use futures_util::StreamExt as _;

use super::containers::TEMP_LABEL;
use super::error::EngineError;
use super::run_id::unique;
use super::temp::{CONTAINER_PREFIX, TempGuard, TempResource, sweep_containers};
use super::wire::within;
use super::{EngineKind, EngineStore, export};
use crate::image::Base;
use crate::image::digest::Digest;
use crate::image::layer::Ownership;
use crate::image::platform::Platform;
use crate::image::tree::{Entry, GROUP, PASSWD, PathQuery, Tree};
use crate::store::layers::{Forward, TarMembers};

/// File type bits of a Go `FileMode`, which the engine returns.
const GO_DIRECTORY: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
/// The bits that are all 0 for a regular file.
const GO_TYPE: u32 = GO_DIRECTORY | GO_SYMLINK | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;

/// The largest file to read, and how much of a directory's tar to read, in bytes.
const CONTENT_LIMIT: usize = 1 << 20;

/// Directories that Docker changes when it creates a container, so their times are not the base's.
const TOUCHED: [&str; 6] = ["/dev", "/dev/pts", "/dev/shm", "/etc", "/proc", "/sys"];

/// Looks up the paths, in the cache first.
pub(super) async fn look_up(
    store: &EngineStore,
    name: &str,
    base: &Base,
    paths: &PathQuery,
) -> Result<Tree, EngineError> {
    let in_container = async |paths: PathQuery| {
        let reference = base.index.as_ref().or(base.digest.as_ref()).map_or(name, Digest::as_str);
        let platform = base.index.as_ref().and_then(|_| base.config.platform().ok());
        let container = create(store, reference, platform.as_ref()).await?;
        let asked = read_entries(store, &container.name, &paths.all()).await;
        container.guard.remove().await?;
        let mut tree = asked?;
        forget_times(&mut tree, &volumes(base));
        Ok(tree)
    };
    store.cache.look_up(base, paths, in_container).await
}

async fn read_entries(store: &EngineStore, container: &str, paths: &BTreeSet<String>) -> Result<Tree, EngineError> {
    let mut tree = Tree::new();
    let mut directories = BTreeSet::new();
    let is_podman = store.kind().await? == EngineKind::Podman;
    for path in paths {
        match nearest_above(&tree, path) {
            None | Some(Entry::Directory { .. }) => {}
            Some(Entry::Absent) => {
                tree.insert(path.clone(), Entry::Absent);
                continue;
            }
            // an engine follows links in the path and would return another entry
            Some(_) => continue,
        }
        let entry = match stat(store, container, path).await? {
            Stat::Known(entry) => entry,
            Stat::Directory if is_podman => {
                directories.insert(path.clone());
                continue;
            }
            stat => read_entry(store, container, path, &stat).await?,
        };
        tree.insert(path.clone(), entry);
    }
    if !directories.is_empty() {
        tree.append(&mut export::directories(store, container, directories).await?);
    }
    Ok(tree)
}

/// Returns the volumes of a base, without trailing slashes.
fn volumes(base: &Base) -> Vec<String> {
    let volumes = base.config.volumes().unwrap_or_default();
    volumes.iter().map(|volume| volume.trim_end_matches('/').to_owned()).collect()
}

/// Clears the times of directories that the engine changes in a container: its own, and those of volumes.
fn forget_times(tree: &mut Tree, volumes: &[String]) {
    for (path, entry) in tree {
        let is_touched = TOUCHED.contains(&path.as_str())
            || volumes.iter().any(|volume| volume.strip_prefix(path.as_str()).is_some_and(is_end_of_name));
        if let Entry::Directory { modified, .. } = entry
            && is_touched
        {
            *modified = 0;
        }
    }
}

fn is_end_of_name(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

/// Returns the entry of the nearest known parent of a path.
fn nearest_above<'t>(tree: &'t Tree, path: &str) -> Option<&'t Entry> {
    std::iter::successors(path.rsplit_once('/'), |(above, _)| above.rsplit_once('/'))
        .find_map(|(above, _)| tree.get(above))
}

/// A temporary container, never started.
pub(super) struct TempContainer {
    pub name: String,
    pub guard: TempGuard,
}

/// Creates a container from an image; `platform` chooses from an index.
pub(super) async fn create(
    store: &EngineStore,
    image: &str,
    platform: Option<&Platform>,
) -> Result<TempContainer, EngineError> {
    if !store.swept_containers.swap(true, std::sync::atomic::Ordering::Relaxed) {
        sweep_containers(store).await;
    }
    let container = format!("{CONTAINER_PREFIX}{}", unique());
    let limit = store.wire.limits.answer;
    let guard = TempGuard::new(store, TempResource::Container(container.clone()));
    let mut options = CreateContainerOptionsBuilder::new().name(&container);
    if let Some(platform) = platform {
        options = options.platform(&platform.to_string());
    }
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        // an image without a command needs one to create a container
        cmd: Some(vec!["never-started".to_owned()]),
        // Podman would look up a named user, and does not always find it
        user: (store.kind.get() == Some(&EngineKind::Podman)).then(|| "0".to_owned()),
        // the engine would create the image's working directory if it does not exist
        working_dir: Some("/".to_owned()),
        labels: Some(HashMap::from([(TEMP_LABEL.to_owned(), "true".to_owned())])),
        network_disabled: Some(true),
        host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    // a removal that ran before the creation would leave the container behind
    let _made = store.pending.hold();
    within(limit, store.docker.create_container(Some(options.build()), body)).await?;
    Ok(TempContainer { name: container, guard })
}

enum Stat {
    Known(Entry),
    Directory,
    File,
}

async fn stat(store: &EngineStore, container: &str, path: &str) -> Result<Stat, EngineError> {
    let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
    let work = store.docker.get_container_archive_info(container, Some(options));
    let stat = match within(store.wire.limits.answer, work).await {
        Ok(stat) => stat,
        Err(error) if error.is_status(404) => return Ok(Stat::Known(Entry::Absent)),
        Err(error) => return Err(error),
    };
    let is_small = usize::try_from(stat.size).is_ok_and(|size| size <= CONTENT_LIMIT);
    Ok(match stat.file_mode & GO_TYPE {
        GO_DIRECTORY => Stat::Directory,
        0 if is_small => Stat::File,
        0 if path.ends_with(PASSWD) || path.ends_with(GROUP) => {
            return Err(EngineError::Malformed("a passwd or group file larger than 1 MiB"));
        }
        kind if kind & GO_SYMLINK != 0 => Stat::Known(Entry::Symlink { target: stat.link_target }),
        _ => Stat::Known(Entry::Other),
    })
}

async fn read_entry(store: &EngineStore, container: &str, path: &str, stat: &Stat) -> Result<Entry, EngineError> {
    match read_first_member(store, container, path).await? {
        Some(FirstMember { owned, modified, .. }) if matches!(stat, Stat::Directory) => {
            Ok(Entry::Directory { owned, modified })
        }
        Some(FirstMember { content, .. }) => Ok(Entry::File { content }),
        None => Err(EngineError::Malformed("an archive that is not a tar")),
    }
}

/// The first member of a tar.
pub struct FirstMember {
    pub owned: Ownership,
    pub modified: u64,
    pub content: Vec<u8>,
}

/// Reads the first member of a path's tar, which for a directory is only its header. Then drops the connection, so that the engine does
/// not send the rest, which may be gigabytes.
async fn read_first_member(
    store: &EngineStore,
    container: &str,
    path: &str,
) -> Result<Option<FirstMember>, EngineError> {
    let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
    let mut parts = std::pin::pin!(store.docker.download_from_container(container, Some(options)));
    let mut bytes = Vec::new();
    let limit = store.wire.limits.answer;
    loop {
        let part = within(limit, async { parts.next().await.transpose() }).await?;
        let ended = part.is_none();
        bytes.extend_from_slice(part.as_deref().unwrap_or_default());
        if let Some(first) = parse_first_member(&bytes) {
            return Ok(Some(first));
        }
        if ended || bytes.len() > 2 * CONTENT_LIMIT {
            return Ok(None);
        }
    }
}

/// Parses the first member; `None` if it needs more bytes.
pub fn parse_first_member(bytes: &[u8]) -> Option<FirstMember> {
    let mut members = TarMembers::new(Forward(bytes));
    let member = members.next().ok()??;
    let owned = Ownership::from_header(member.uid, member.gid, member.mode);
    let content = members.read(&member, bytes.len() as u64).ok()?;
    Some(FirstMember { owned, modified: member.modified, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_volume_and_of_what_is_above_it_is_not_the_base_s() {
        let owned = Ownership { uid: 0, gid: 0, mode: 0o755 };
        let paths = ["/etc", "/var", "/var/data", "/var/data/x", "/var/da"];
        let mut tree = Tree::from(paths.map(|path| (path.to_owned(), Entry::Directory { owned, modified: 5 })));
        forget_times(&mut tree, &["/var/data".to_owned()]);
        let of = |path: &str| matches!(tree[path], Entry::Directory { modified, .. } if modified == 0);
        assert_eq!(paths.map(of), [true, true, true, false, false]);
    }

    #[test]
    fn the_first_member_is_read_from_the_start_of_a_tar() {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o1777);
        header.set_uid(1000);
        header.set_gid(5);
        header.set_mtime(77);
        header.set_size(0);
        tar.append_data(&mut header, "d/", std::io::empty()).unwrap();
        let bytes = tar.into_inner().unwrap();
        assert!(parse_first_member(&bytes[..511]).is_none());
        let first = parse_first_member(&bytes[..512]).unwrap();
        assert_eq!((first.owned, first.modified), (Ownership { uid: 1000, gid: 5, mode: 0o1777 }, 77));
    }
}
