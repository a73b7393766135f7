//! Images made by the tests: a docker-archive with busybox, whatever config a test wants, and files.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::variable;

/// Returns a static busybox.
pub fn busybox() -> Vec<u8> {
    std::fs::read(variable("SECRETBAKE_TEST_BUSYBOX")).unwrap()
}

/// An image that is being made.
#[derive(Clone)]
pub struct TestImage {
    architecture: &'static str,
    config: Value,
    /// The layers below this one's.
    lower: Vec<Vec<u8>>,
    entries: Vec<Entry>,
}

#[derive(Clone)]
enum Entry {
    Directory { path: String, mode: u32, owner: (u64, u64) },
    File { path: String, mode: u32, content: Vec<u8> },
    Link { path: String, target: String },
}

impl TestImage {
    /// Returns an image with nothing in it and this `config`.
    pub fn empty(config: Value) -> Self {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        TestImage { architecture, config, lower: Vec::new(), entries: Vec::new() }
    }

    /// Returns an image with busybox, its shell, and a few users.
    pub fn busybox(config: Value) -> Self {
        let mut image = TestImage::empty(config);
        image = image.directory("bin", 0o755, (0, 0)).file("bin/busybox", 0o755, &busybox());
        for applet in ["sh", "cat", "stat", "ls", "id", "env", "sleep", "kill", "readlink", "true", "pwd", "ps"] {
            image = image.link(&format!("bin/{applet}"), "busybox");
        }
        image
            .directory("etc", 0o755, (0, 0))
            .file("etc/passwd", 0o644, b"root:x:0:0::/:/bin/sh\n\nodd\napp:x:1000:1000::/:/bin/sh\n")
            .file("etc/group", 0o644, b"root:x:0:\nstaff:x:50:app\n")
    }

    /// Says that the image is for this architecture, instead of the machine's.
    pub fn for_architecture(self, architecture: &'static str) -> Self {
        TestImage { architecture, ..self }
    }

    /// Puts the layers of another image below this one's.
    pub fn over(self, lower: &TestImage) -> Self {
        TestImage { lower: lower.layers(), ..self }
    }

    /// Puts layers of a small file each below this one, so that there are `all` in all.
    pub fn with_layers(self, all: usize) -> Self {
        let name = super::unique("layer");
        let tiny = |number: usize| {
            let path = format!("tiny/{name}-{number}");
            TestImage::empty(Value::Null).file(&path, 0o644, b"tiny").layer()
        };
        TestImage { lower: (1..all).map(tiny).collect(), ..self }
    }

    fn layers(&self) -> Vec<Vec<u8>> {
        self.lower.iter().cloned().chain([self.layer()]).collect()
    }

    pub fn directory(mut self, path: &str, mode: u32, owner: (u64, u64)) -> Self {
        self.entries.push(Entry::Directory { path: format!("{path}/"), mode, owner });
        self
    }

    pub fn file(mut self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entries.push(Entry::File { path: path.to_owned(), mode, content: content.to_vec() });
        self
    }

    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.entries.push(Entry::Link { path: path.to_owned(), target: target.to_owned() });
        self
    }

    fn layer(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for entry in &self.entries {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(1_700_000_000);
            header.set_uid(0);
            header.set_gid(0);
            match entry {
                Entry::Directory { path, mode, owner } => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(*mode);
                    header.set_uid(owner.0);
                    header.set_gid(owner.1);
                    header.set_size(0);
                    tar.append_data(&mut header, path, std::io::empty()).unwrap();
                }
                Entry::File { path, mode, content } => {
                    header.set_mode(*mode);
                    header.set_size(content.len() as u64);
                    tar.append_data(&mut header, path, content.as_slice()).unwrap();
                }
                Entry::Link { path, target } => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    header.set_size(0);
                    tar.append_link(&mut header, path, target).unwrap();
                }
            }
        }
        tar.into_inner().unwrap()
    }

    /// Writes the image as a docker-archive under a name.
    pub fn write(&self, name: &str, path: &Path) {
        let layers = self.layers();
        let mut history = vec![json!({ "created": "2024-01-02T03:04:05Z", "created_by": "a test" }); layers.len()];
        history.push(json!({ "created": "2024-01-02T03:04:05Z", "created_by": "its config", "empty_layer": true }));
        let config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "created": "2024-01-02T03:04:05Z",
            "author": "the tests",
            "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| digest(layer)).collect::<Vec<_>>() },
            "history": history,
        })
        .to_string()
        .into_bytes();
        let config_name = format!("{}.json", &digest(&config)["sha256:".len()..]);
        let names: Vec<String> = (0..layers.len()).map(|number| format!("layer{number}.tar")).collect();
        let manifest = json!([{ "Config": config_name, "RepoTags": [name], "Layers": names }]).to_string();
        let mut tar = tar::Builder::new(std::fs::File::create(path).unwrap());
        let layers = names.iter().map(String::as_str).zip(layers.iter().map(Vec::as_slice));
        let documents = [(config_name.as_str(), config.as_slice()), ("manifest.json", manifest.as_bytes())];
        for (name, content) in layers.chain(documents) {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content).unwrap();
        }
        tar.finish().unwrap();
    }
}

pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
