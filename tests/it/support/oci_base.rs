//! Owns the making of bases with what a test is about: a tar of given files, imported or wrapped in an OCI image.

use std::io::Write as _;
use std::process::{Command, Stdio};

use secretbake::image::digest::Digest;
use secretbake::image::media;
use serde_json::{Value, json};

use crate::support::engine::Engine;

/// A member of a tar.
pub struct Member<'a> {
    pub path: &'a str,
    pub kind: tar::EntryType,
    pub uid: u64,
    pub gid: u64,
    pub mode: u32,
    /// Seconds since 1970.
    pub modified: i64,
    /// A link's target or a file's content.
    pub content: &'a str,
}

pub fn directory(path: &str, uid: u64, gid: u64, mode: u32, modified: i64) -> Member<'_> {
    Member { path, kind: tar::EntryType::Directory, uid, gid, mode, modified, content: "" }
}

pub fn file<'a>(path: &'a str, content: &'a str) -> Member<'a> {
    Member { path, kind: tar::EntryType::Regular, uid: 0, gid: 0, mode: 0o644, modified: 9, content }
}

pub fn link<'a>(path: &'a str, content: &'a str) -> Member<'a> {
    Member { path, kind: tar::EntryType::Symlink, uid: 0, gid: 0, mode: 0o777, modified: 9, content }
}

pub fn tar_of(members: &[Member<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for member in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(member.kind);
        header.set_uid(member.uid);
        header.set_gid(member.gid);
        header.set_mode(member.mode);
        set_time(&mut header, member.modified);
        header.set_size(0);
        if member.kind == tar::EntryType::Symlink {
            tar.append_link(&mut header, member.path, member.content).unwrap();
        } else {
            header.set_size(member.content.len() as u64);
            tar.append_data(&mut header, member.path, member.content.as_bytes()).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

/// Sets a time; one before 1970 is a negative number in base 256, as GNU tar writes it.
fn set_time(header: &mut tar::Header, seconds: i64) {
    match u64::try_from(seconds) {
        Ok(seconds) => header.set_mtime(seconds),
        Err(_) => {
            let field = &mut header.as_gnu_mut().unwrap().mtime;
            field[..4].fill(0xff);
            field[4..].copy_from_slice(&seconds.to_be_bytes());
        }
    }
}

/// Imports the members as an image without a command.
pub fn import(engine: &Engine, members: &[Member<'_>]) -> String {
    let name = engine.name("import");
    feed(engine, &["import", "-", &name], &tar_of(members));
    name
}

/// Runs the docker CLI with the bytes as its standard input.
#[track_caller]
pub fn feed(engine: &Engine, args: &[&str], bytes: &[u8]) {
    let mut command = Command::new("docker");
    command.env("DOCKER_HOST", &engine.host).args(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A layer as a registry would hold it.
pub struct Blob {
    pub media_type: &'static str,
    pub diff_id: Digest,
    pub bytes: Vec<u8>,
}

/// Makes a layer of the tar: `how` is gzip, zstd or nothing.
pub fn blob(tar: Vec<u8>, how: &str) -> Blob {
    let diff_id = Digest::of(&tar);
    let (media_type, bytes) = match how {
        "" => (media::OCI_LAYER, tar),
        "gzip" => ("application/vnd.oci.image.layer.v1.tar+gzip", filter(how, &tar)),
        _ => ("application/vnd.oci.image.layer.v1.tar+zstd", filter(how, &tar)),
    };
    Blob { media_type, diff_id, bytes }
}

fn filter(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}

/// One image of an OCI layout: its config (the layers are added to it) and its layers.
pub struct Oci<'a> {
    pub config: Value,
    pub layers: &'a [Blob],
    /// More members of the manifest.
    pub manifest: Value,
}

/// Writes a layout with the images under one name, as an index if there are several, in both shapes. Returns it and the first
/// image's manifest and config.
pub fn oci_archive(name: &str, images: &[Oci<'_>]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: String, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, bytes).unwrap();
    };
    let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let mut first = None;
    let mut described = Vec::new();
    let mut saved = Vec::new();
    for image in images {
        let diff_ids: Vec<_> = image.layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let mut config = image.config.clone();
        config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
        let platform = json!({ "os": config["os"], "architecture": config["architecture"] });
        let config = config.to_string().into_bytes();
        let mut layers = Vec::new();
        for layer in image.layers {
            let digest = Digest::of(&layer.bytes);
            layers.push(json!({ "mediaType": layer.media_type, "digest": digest.as_str(), "size": layer.bytes.len() }));
            add(path(&digest), &layer.bytes);
        }
        let files: Vec<_> = image.layers.iter().map(|layer| path(&Digest::of(&layer.bytes))).collect();
        let id = Digest::of(&config);
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_MANIFEST,
            "config": { "mediaType": media::OCI_CONFIG, "digest": id.as_str(), "size": config.len() },
            "layers": layers,
        });
        for (key, value) in image.manifest.as_object().unwrap() {
            manifest[key] = value.clone();
        }
        let manifest = manifest.to_string().into_bytes();
        let digest = Digest::of(&manifest);
        add(path(&id), &config);
        add(path(&digest), &manifest);
        saved.push(json!({ "Config": path(&id), "RepoTags": [name], "Layers": files }));
        described.push(json!({
            "mediaType": media::OCI_MANIFEST, "digest": digest.as_str(), "size": manifest.len(), "platform": platform,
        }));
        first.get_or_insert((manifest, config));
    }
    let mut top = described.remove(0);
    if !described.is_empty() {
        described.insert(0, top);
        let index = json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": described }).to_string();
        let digest = Digest::of(index.as_bytes());
        add(path(&digest), index.as_bytes());
        top = json!({ "mediaType": media::OCI_INDEX, "digest": digest.as_str(), "size": index.len() });
    }
    let full = format!("docker.io/{name}");
    top["annotations"] = json!({ "io.containerd.image.name": full, "org.opencontainers.image.ref.name": full });
    add("index.json".into(), json!({ "schemaVersion": 2, "manifests": [top] }).to_string().as_bytes());
    add("manifest.json".into(), json!(saved).to_string().as_bytes());
    add("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#);
    let (manifest, config) = first.unwrap();
    (tar.into_inner().unwrap(), manifest, config)
}

/// Returns the tar of the busybox base's one layer.
pub fn busybox_layer(engine: &Engine) -> Vec<u8> {
    let container = engine.text(&["create", "--network", "none", crate::engine::BUSYBOX]);
    let mut command = Command::new("docker");
    let output = command.env("DOCKER_HOST", &engine.host).args(["cp", &format!("{container}:/bin"), "-"]).output();
    engine.text(&["rm", &container]);
    output.unwrap().stdout
}
