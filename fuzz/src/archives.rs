//! Archives, their documents and their layers. They are read on this thread: each hand-over to another would cost more than the reading.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, LazyLock};

use secretbake::image::digest::Digest;
use secretbake::image::name::ImageName;
use secretbake::image::platform::Platforms;
use secretbake::image::tree::{Entry, PathQuery, Tree};
use secretbake::image::{BaseImage, media};
use secretbake::runtime::blocking::Cancel;
use secretbake::store::archive::docker::DockerArchive;
use secretbake::store::archive::read_index;
use secretbake::store::archive::tar_index::TarIndex;
use secretbake::store::layers::overlay::TreeSearch;
use secretbake::store::layers::unknown;
use secretbake::store::oci::document::Descriptor;
use secretbake::store::oci::index::{Index, NewIndexEntry};
use secretbake::store::oci::read::Layout;
use secretbake::store::{FileRange, StoreError};
use serde_json::json;

use super::texts::printable;

/// Takes any input.
type Target = fn(&[u8]);

/// The targets of this file, by name.
pub const TARGETS: &[(&str, Target)] =
    &[("docker-archive", docker_archive), ("index", index), ("layer", layer), ("whiteouts", whiteouts)];

/// Returns a file in memory with this content, the same file each time.
fn file(content: &[u8]) -> FileRange {
    static FILE: LazyLock<Arc<File>> = LazyLock::new(|| {
        let path = format!("/dev/shm/secretbake-fuzz-{}", std::process::id());
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path).expect("a file");
        fs::remove_file(&path).expect("it is there");
        Arc::new(file)
    });
    FILE.write_all_at(content, 0).expect("there is memory");
    FILE.set_len(content.len() as u64).expect("there is memory");
    FileRange::whole(Arc::clone(&FILE)).expect("it is a file")
}

const PATHS: [&str; 3] = ["/etc/passwd", "/app/key", "/a"];

/// Looks paths up in layers, the lowest first.
fn look_up(layers: &[FileRange], paths: &[&str]) -> Result<Tree, StoreError> {
    static NAME: LazyLock<ImageName> = LazyLock::new(|| ImageName::parse("docker-archive:fuzz.tar").expect("a name"));
    let mut search = TreeSearch::new(&PathQuery::for_needed(paths.iter().copied()));
    for (number, layer) in layers.iter().enumerate().rev() {
        if search.is_over() {
            break;
        }
        let read = search.read(layer, &Cancel::default());
        read.map_err(|error| unknown(&NAME, number, layers.len(), error))?;
    }
    Ok(search.end())
}

/// What is refused has a reason that can be printed.
fn check<T>(result: Result<T, StoreError>) {
    if let Err(error) = result {
        printable(&[*error.0]);
    }
}

pub fn docker_archive(input: &[u8]) {
    let Ok(tar) = TarIndex::read(file(input), &Cancel::default()) else { return };
    let archive = DockerArchive { shown: "docker-archive:fuzz.tar", tar: &tar };
    let read = || {
        let images = archive.images()?;
        let image = archive.find(&images, None)?;
        archive.base(image, None)?;
        look_up(&archive.pieces(image)?, &PATHS)
    };
    check(read());
}

/// The index of an OCI archive. A manifest and a config are there to be named.
pub fn index(input: &[u8]) {
    static FILES: LazyLock<[(String, String); 2]> = LazyLock::new(|| {
        let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] } });
        let config = config.to_string();
        let of_config = json!({ "digest": Digest::of(config.as_bytes()).as_str(), "size": config.len() });
        let manifest = json!({ "schemaVersion": 2, "config": of_config, "layers": [] }).to_string();
        [config, manifest].map(|text| (blob(text.as_bytes()), text))
    });
    tag(input);
    let mut files = vec![("index.json".to_owned(), input)];
    files.extend(FILES.iter().map(|(path, text)| (path.clone(), text.as_bytes())));
    // an index may name what was fuzzed as one of its own
    files.push((blob(input), input));
    let tar = TarIndex::read(file(&tar_of(&files)), &Cancel::default()).expect("it is a tar");
    for platforms in [Platforms::Own, Platforms::All] {
        let read = || {
            let index = read_index(&tar, "oci-archive:fuzz.tar")?;
            let layout = Layout { shown: "oci-archive:fuzz.tar", index: &index, blobs: &tar };
            match layout.read(None, &platforms)? {
                BaseImage::One(base) => look_up(&layout.layers(&base)?, &PATHS).map(drop),
                BaseImage::Index(..) => Ok(()),
            }
        };
        check(read());
    }
}

/// Returns a blob's path in a layout.
fn blob(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", Digest::of(bytes).hex())
}

/// A new tag is found in an index, and everything else that was there.
fn tag(input: &[u8]) {
    let Ok(mut index) = Index::read(input) else { return };
    let mut kept: Vec<Descriptor> = index.descriptors().cloned().collect();
    let descriptor = Descriptor {
        media_type: media::OCI_MANIFEST.to_owned(),
        digest: Digest::of(b"new"),
        size: 3,
        platform: None,
        annotations: BTreeMap::new(),
    };
    let new = NewIndexEntry { tag: Some("new"), full_name: None, descriptor: &descriptor, platform: None };
    let replaced = index.put(&new).expect("an image with a tag can be put");
    kept.retain(|descriptor| !replaced.contains(descriptor));
    let written = Index::read(&index.to_bytes()).expect("what is written is an index");
    let found = written.find(Some("new")).expect("the tag is there");
    assert_eq!(found.iter().map(|found| &found.digest).collect::<Vec<_>>(), [&descriptor.digest]);
    let others = written.descriptors().filter(|other| *other != found[0]);
    assert!(others.eq(&kept), "another image changed");
}

/// A layer: a tar, compressed or not.
pub fn layer(input: &[u8]) {
    check(look_up(&[file(input)], &PATHS));
}

fn tar_of(files: &[(String, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut written = BTreeSet::new();
    for (path, content) in files.iter().filter(|(path, _)| written.insert(path.clone())) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *content).expect("memory");
    }
    tar.into_inner().expect("memory")
}

/// Every path that [`whiteouts`] makes and asks for.
const NAMES: [&str; 12] = ["a", "b", "a/a", "a/b", "b/a", "b/b", "a/a/a", "a/a/b", "a/b/a", "a/b/b", "b/a/a", "b/b/b"];

/// What a path is in the model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    Directory,
    File,
    Link,
}

/// Layers of directories, files, links and whiteouts: the lookup agrees with what unpacking one layer over the other gives.
pub fn whiteouts(input: &[u8]) {
    let mut model: BTreeMap<String, Node> = BTreeMap::new();
    let mut layers = Vec::new();
    for operations in input.chunks(12).take(4) {
        let mut tar = tar::Builder::new(Vec::new());
        // what this layer hides counts for lower layers only, whatever its place in the tar
        let mut hidden = BTreeSet::new();
        let mut own: BTreeMap<String, Node> = BTreeMap::new();
        let mut implied = BTreeSet::new();
        for operation in operations {
            let path = NAMES[usize::from(operation >> 3) % NAMES.len()];
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let beside = |name: &str| if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            header.set_mode(0o755);
            let node = match operation & 7 {
                0..=2 => Some((tar::EntryType::Directory, Node::Directory)),
                3 | 4 => Some((tar::EntryType::Regular, Node::File)),
                5 => Some((tar::EntryType::Symlink, Node::Link)),
                _ => None,
            };
            let written = match node {
                Some((kind, node)) => {
                    // a layer of a builder has no entry below what is no directory in it, nor one path as two things
                    let below_file =
                        parents(path).any(|parent| own.get(parent).is_some_and(|node| *node != Node::Directory));
                    let other = own.get(path).is_some_and(|other| *other != node);
                    let has_below = node != Node::Directory && implied.contains(path);
                    if below_file || other || has_below {
                        continue;
                    }
                    header.set_entry_type(kind);
                    own.insert(path.to_owned(), node);
                    path.to_owned()
                }
                None if operation & 7 == 6 => {
                    hidden.insert(path.to_owned());
                    beside(&format!(".wh.{name}"))
                }
                None => {
                    hidden.insert(format!("{path}/"));
                    format!("{path}/.wh..wh..opq")
                }
            };
            if parents(&written).any(|parent| own.get(parent).is_some_and(|node| *node != Node::Directory)) {
                continue;
            }
            implied.extend(parents(&written).map(str::to_owned));
            match header.entry_type() {
                tar::EntryType::Symlink => tar.append_link(&mut header, &written, "target").expect("memory"),
                _ => tar.append_data(&mut header, &written, [].as_slice()).expect("memory"),
            }
        }
        layers.push(tar.into_inner().expect("memory"));
        model.retain(|path, _| {
            let is_hidden = |hidden: &String| match hidden.strip_suffix('/') {
                Some(_) => path.starts_with(hidden.as_str()),
                None => path == hidden || path.starts_with(&format!("{hidden}/")),
            };
            !hidden.iter().any(is_hidden)
        });
        // an unpacker makes the directories above every member, a whiteout included
        for parent in &implied {
            place(&mut model, parent, Node::Directory, own.contains_key(parent));
        }
        for (path, node) in &own {
            place(&mut model, path, *node, true);
        }
    }
    if layers.is_empty() {
        return;
    }
    let asked: Vec<String> = NAMES.iter().map(|name| format!("/{name}")).collect();
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    let (all, mut start) = (file(&layers.concat()), 0);
    let layers: Vec<FileRange> = layers
        .iter()
        .map(|layer| {
            let (from, size) = (start, layer.len() as u64);
            start += size;
            all.part(from, size).expect("it is a part")
        })
        .collect();
    let tree = look_up(&layers, &asked).expect("the layers are well-formed");
    for name in NAMES {
        let found = match &tree[&format!("/{name}")] {
            Entry::Absent => None,
            Entry::Directory { .. } => Some(Node::Directory),
            Entry::Symlink { .. } => Some(Node::Link),
            Entry::File { .. } | Entry::Other => Some(Node::File),
        };
        assert_eq!(found, model.get(name).copied(), "{name} of {input:?}");
    }
}

/// Puts a node where an unpacker does: a directory over a directory keeps what is in it, anything else replaces what was there.
fn place(model: &mut BTreeMap<String, Node>, path: &str, node: Node, is_own: bool) {
    let there = model.get(path).copied();
    if there == Some(Node::Directory) && (node == Node::Directory || !is_own) {
        return;
    }
    model.retain(|other, _| !other.starts_with(&format!("{path}/")));
    model.insert(path.to_owned(), node);
}

/// Returns the directories above a path, the highest first.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}
