//! Archives, their documents and their layers, through the store that reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use secretbake::image::BaseImage;
use secretbake::image::digest::Digest;
use secretbake::image::name::ImageName;
use secretbake::image::platform::Platforms;
use secretbake::image::tree::{Entry, PathQuery, Tree};
use secretbake::store::ImageStore as _;
use secretbake::store::archive::ArchiveStore;
use serde_json::json;
use tokio::runtime::Runtime;

/// Takes any input.
type Target = fn(&[u8]);

/// The targets of this file, by name.
pub const TARGETS: &[(&str, Target)] =
    &[("docker-archive", docker_archive), ("index", index), ("layer", layer), ("whiteouts", whiteouts)];

/// A file in memory, of this process.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| PathBuf::from(format!("/dev/shm/secretbake-fuzz-{}", std::process::id())));

/// One for all inputs: with each runtime end the threads that read files.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().expect("a runtime"));

/// Returns the tree of an archive's one image, for these paths; `None` if the archive is refused, with a word that can be printed.
fn look_up(transport: &str, archive: &[u8], paths: &[&str]) -> Option<Tree> {
    fs::write(&*FILE, archive).expect("there is memory");
    let name = ImageName::parse(&format!("{transport}:{}", FILE.display())).expect("the name is one");
    let store = ArchiveStore::default();
    let tree = RUNTIME.block_on(async {
        match store.read(&name, &Platforms::one(None)).await? {
            BaseImage::One(base) => {
                store.look_up(&name, &base, &PathQuery::for_needed(paths.iter().copied())).await.map(Some)
            }
            BaseImage::Index(..) => Ok(None),
        }
    });
    fs::remove_file(&*FILE).expect("it is there");
    match tree {
        Ok(tree) => tree,
        Err(error) => {
            let text = error.0.to_string();
            assert_eq!(text.chars().find(|c| c.is_control() && *c != '\n'), None, "in {text:?}");
            None
        }
    }
}

const PATHS: [&str; 3] = ["/etc/passwd", "/app/key", "/a"];

pub fn docker_archive(input: &[u8]) {
    look_up("docker-archive", input, &PATHS);
}

/// The index of an OCI archive. A manifest and a config are there to be named.
pub fn index(input: &[u8]) {
    let config =
        json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] } }).to_string();
    let manifest = json!({ "schemaVersion": 2, "config": { "digest": Digest::of(config.as_bytes()).as_str(), "size": config.len() }, "layers": [] });
    let manifest = manifest.to_string();
    let blob = |bytes: &str| format!("blobs/sha256/{}", Digest::of(bytes.as_bytes()).hex());
    let files = [
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.as_slice()),
        ("index.json".to_owned(), input),
        (blob(&config), config.as_bytes()),
        (blob(&manifest), manifest.as_bytes()),
        // an index may name what was fuzzed as one of its own
        (format!("blobs/sha256/{}", Digest::of(input).hex()), input),
    ];
    look_up("oci-archive", &tar_of(&files), &PATHS);
}

/// A layer: a tar, compressed or not.
pub fn layer(input: &[u8]) {
    look_up("docker-archive", &archive_of(&[input.to_vec()]), &PATHS);
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

/// Makes a docker-archive of layers, the lowest first.
fn archive_of(layers: &[Vec<u8>]) -> Vec<u8> {
    let digests: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = json!({ "os": "linux", "architecture": "amd64", "config": {}, "rootfs": { "type": "layers", "diff_ids": digests } });
    let config = config.to_string();
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": ["fuzz:1"], "Layers": names }]).to_string();
    let mut files =
        vec![("manifest.json".to_owned(), manifest.as_bytes()), ("config.json".to_owned(), config.as_bytes())];
    files.extend(names.iter().cloned().zip(layers.iter().map(Vec::as_slice)));
    tar_of(&files)
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
    let tree = look_up("docker-archive", &archive_of(&layers), &asked).expect("the layers are well-formed");
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
