//! Owns the looking up of paths in a base's tree: a container that is created, never started, asked and removed.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder,
};
use futures_util::StreamExt as _;

use super::error::EngineError;
use super::run_id::unique;
use super::temp::{CONTAINER, LABEL, TempGuard, TempResource, sweep_containers};
use super::wire::within;
use super::{EngineStore, Kind, export};
use crate::image::Base;
use crate::image::digest::Digest;
use crate::image::layer::Ownership;
use crate::image::platform::Platform;
use crate::image::tree::{Entry, GROUP, PASSWD, PathQuery, Tree};
use crate::runtime::bounded;

/// Bits of a Go `FileMode`, in which the engine states a file's kind.
const GO_DIRECTORY: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
/// All bits that are set for anything but a regular file.
const GO_TYPE: u32 = GO_DIRECTORY | GO_SYMLINK | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;

/// The largest file whose content is read, and the most that is read of a directory's tar.
const CONTENT_LIMIT: usize = 1 << 20;

/// Where Docker puts something of its own when it creates a container: the time there is not the base's.
const TOUCHED: [&str; 6] = ["/dev", "/dev/pts", "/dev/shm", "/etc", "/proc", "/sys"];

/// Looks the paths up, in the cache first.
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
        let asked = ask(store, &container.name, &paths.all()).await;
        container.guard.remove().await?;
        let mut tree = asked?;
        forget_times(&mut tree, &volumes(base));
        Ok(tree)
    };
    store.cache.look_up(base, paths, in_container).await
}

async fn ask(store: &EngineStore, container: &str, paths: &BTreeSet<String>) -> Result<Tree, EngineError> {
    let mut tree = Tree::new();
    let mut directories = BTreeSet::new();
    let is_podman = store.kind().await? == Kind::Podman;
    for path in paths {
        match above(&tree, path) {
            None | Some(Entry::Directory { .. }) => {}
            Some(Entry::Absent) => {
                tree.insert(path.clone(), Entry::Absent);
                continue;
            }
            // an engine follows a link on the way, and would tell of another path
            Some(_) => continue,
        }
        let entry = match stat(store, container, path).await? {
            Stat::Known(entry) => entry,
            Stat::Directory if is_podman => {
                directories.insert(path.clone());
                continue;
            }
            stat => read(store, container, path, &stat).await?,
        };
        tree.insert(path.clone(), entry);
    }
    if !directories.is_empty() {
        tree.append(&mut export::directories(store, container, directories).await?);
    }
    Ok(tree)
}

/// Returns the volumes of a base, without a slash at the end.
fn volumes(base: &Base) -> Vec<String> {
    let volumes = base.config.volumes().unwrap_or_default();
    volumes.iter().map(|volume| volume.trim_end_matches('/').to_owned()).collect()
}

/// Takes out the times at which the engine made something in the container's tree: its own, and the volumes where the base lacks their
/// directories.
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

/// Returns the nearest known entry above a path.
fn above<'t>(tree: &'t Tree, path: &str) -> Option<&'t Entry> {
    std::iter::successors(path.rsplit_once('/'), |(above, _)| above.rsplit_once('/'))
        .find_map(|(above, _)| tree.get(above))
}

/// A container that was never started.
pub(super) struct Container {
    pub name: String,
    pub guard: TempGuard,
}

/// Creates a container of an image; `platform` chooses from an index.
pub(super) async fn create(
    store: &EngineStore,
    image: &str,
    platform: Option<&Platform>,
) -> Result<Container, EngineError> {
    if !store.swept_containers.swap(true, std::sync::atomic::Ordering::Relaxed) {
        sweep_containers(store).await;
    }
    let container = format!("{CONTAINER}{}", unique());
    let limit = store.wire.limits.answer;
    let guard = TempGuard::new(store, TempResource::Container(container.clone()));
    let mut options = CreateContainerOptionsBuilder::new().name(&container);
    if let Some(platform) = platform {
        options = options.platform(&platform.to_string());
    }
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        // an image may have no command, and then a container cannot be created without one
        cmd: Some(vec!["never-started".to_owned()]),
        // Podman looks a named user up again and again, and does not always find it
        user: (store.kind.get() == Some(&Kind::Podman)).then(|| "0".to_owned()),
        // the engine would create the image's own where it does not exist
        working_dir: Some("/".to_owned()),
        labels: Some(HashMap::from([(LABEL.to_owned(), "true".to_owned())])),
        network_disabled: Some(true),
        host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    // what is removed before it is made would stay
    let _made = store.pending.hold();
    within(limit, store.docker.create_container(Some(options.build()), body)).await?;
    Ok(Container { name: container, guard })
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
            return Err(EngineError::Malformed("a passwd or group file of more than 1 MiB"));
        }
        kind if kind & GO_SYMLINK != 0 => Stat::Known(Entry::Symlink { target: stat.link_target }),
        _ => Stat::Known(Entry::Other),
    })
}

async fn read(store: &EngineStore, container: &str, path: &str, stat: &Stat) -> Result<Entry, EngineError> {
    match first(store, container, path).await? {
        Some(First { owned, modified, .. }) if matches!(stat, Stat::Directory) => {
            Ok(Entry::Directory { owned, modified })
        }
        Some(First { content, .. }) => Ok(Entry::File { content }),
        None => Err(EngineError::Malformed("an archive that is no tar")),
    }
}

/// The first member of a tar.
struct First {
    owned: Ownership,
    modified: u64,
    content: Vec<u8>,
}

/// Reads as much of a path's tar as its first member needs. A directory's is its own header; the rest, which may be
/// gigabytes, is never sent: the connection is dropped.
async fn first(store: &EngineStore, container: &str, path: &str) -> Result<Option<First>, EngineError> {
    let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
    let mut parts = std::pin::pin!(store.docker.download_from_container(container, Some(options)));
    let mut bytes = Vec::new();
    let limit = store.wire.limits.answer;
    loop {
        let part = within(limit, async { parts.next().await.transpose() }).await?;
        let ended = part.is_none();
        bytes.extend_from_slice(part.as_deref().unwrap_or_default());
        if let Some(first) = parse(&bytes) {
            return Ok(Some(first));
        }
        if ended || bytes.len() > 2 * CONTENT_LIMIT {
            return Ok(None);
        }
    }
}

/// Reads the first member, `None` if more bytes are needed.
fn parse(bytes: &[u8]) -> Option<First> {
    let mut archive = tar::Archive::new(bytes);
    let member = archive.entries().ok()?.next()?.ok()?;
    let header = member.header();
    let owned = Ownership::from_header(header.uid().ok()?, header.gid().ok()?, header.mode().ok()?);
    let modified = header.mtime().ok()?;
    let size = usize::try_from(member.size()).ok()?;
    let content = bounded::read_start(member, bytes.len() as u64).ok()?;
    (content.len() == size).then_some(First { owned, modified, content })
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
        assert!(parse(&bytes[..511]).is_none());
        let first = parse(&bytes[..512]).unwrap();
        assert_eq!((first.owned, first.modified), (Ownership { uid: 1000, gid: 5, mode: 0o1777 }, 77));
    }
}
