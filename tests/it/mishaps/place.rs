//! Owns a place that images are baked to, with a base that no other test has: what its tag stands for, and what was left there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use secretbake::image::digest::Digest;
use serde_json::json;

use crate::support::engine::{Engine, Loaded};
use crate::support::image::TestImage;
use crate::support::moto::Moto;
use crate::support::project::Project;
use crate::support::skopeo::{copy, skopeo};
use crate::support::{unique, variable};

/// The secrets of every place, by name; the value of each is `canary-` and its name.
pub const SECRETS: [&str; 5] = ["s0", "s1", "s2", "s3", "s4"];

pub struct Place {
    pub name: &'static str,
    pub project: Project,
    /// The base as a manifest names it.
    pub base: String,
    /// The tag as a manifest names it.
    pub tag: String,
    /// What is before the names of secrets.
    prefix: String,
    kind: Kind,
}

enum Kind {
    Engine { engine: Engine, base: Loaded, label: String },
    Registry,
    Layout,
    Archive,
}

impl Place {
    pub fn overlay2() -> Self {
        Place::engine(Engine::overlay2())
    }

    pub fn containerd() -> Self {
        Place::engine(Engine::containerd())
    }

    pub fn podman() -> Self {
        Place::engine(Engine::podman())
    }

    pub fn registry() -> Self {
        let repository = format!("docker://{}/sbtest/{}", variable("SECRETBAKE_TEST_REGISTRY"), unique("mishap"));
        let mut place = Place::files("registry", Kind::Registry, &format!("{repository}:baked"));
        place.base = format!("{repository}:base");
        copy(&format!("docker-archive:{}", place.project.path("base.tar").display()), &place.base);
        place
    }

    pub fn layout() -> Self {
        Place::files("layout", Kind::Layout, "oci:out/layout:baked")
    }

    pub fn docker_archive() -> Self {
        Place::files("docker archive", Kind::Archive, "docker-archive:out/image.tar:sbtest/baked:1")
    }

    pub fn oci_archive() -> Self {
        Place::files("OCI archive", Kind::Archive, "oci-archive:out/image.tar:baked")
    }

    pub fn engine(engine: Engine) -> Self {
        let label = unique("mishap");
        let base = engine.load(&TestImage::busybox(config(&label)));
        let project = project().on(&engine);
        let (name, base_name, tag) = (engine.name, base.name.clone(), base.baked());
        Place { name, project, base: base_name, tag, prefix: String::new(), kind: Kind::Engine { engine, base, label } }
    }

    /// Returns a layout whose secrets are in Secrets Manager.
    pub fn layout_from(moto: &Moto) -> Self {
        for secret in SECRETS {
            moto.text(secret, &format!("canary-{secret}"));
        }
        let mut place = Place::with(Project::with_moto(moto), "layout", Kind::Layout, "oci:out/layout:baked");
        place.prefix = moto.name("");
        place
    }

    fn files(name: &'static str, kind: Kind, tag: &str) -> Self {
        Place::with(project(), name, kind, tag)
    }

    fn with(project: Project, name: &'static str, kind: Kind, tag: &str) -> Self {
        TestImage::busybox(config("")).write("sbtest/base:1", &project.path("base.tar"));
        fs::create_dir(project.path("out")).unwrap();
        Place {
            name,
            project,
            base: "docker-archive:base.tar".to_owned(),
            tag: tag.to_owned(),
            prefix: String::new(),
            kind,
        }
    }

    /// Writes the manifest that bakes a secret to the tag; returns its file.
    pub fn manifest(&self, secret: &str) -> String {
        let file = format!("{secret}.yaml");
        let Place { base, tag, prefix, .. } = self;
        let text = format!(
            "version: 1\nimage: {{ base: '{base}', tags: ['{tag}'] }}\nenv:\n  TOKEN: {{ secret: '{prefix}{secret}' }}\n\
             files:\n  /app/key: {{ secret: '{prefix}{secret}', owner: app }}\n"
        );
        self.project.write(&file, &text);
        file
    }

    /// Returns secretbake as it bakes a manifest.
    pub fn command(&self, manifest: &str) -> Command {
        self.project.command(&["bake", manifest, "--format", "json"])
    }

    /// Bakes a secret, expects that to work, and returns what the tag stands for then.
    #[track_caller]
    pub fn bake(&self, secret: &str) -> String {
        let output = self.command(&self.manifest(secret)).output().unwrap();
        assert!(output.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        self.standing()
    }

    /// Returns the ID of the image that the tag stands for; every byte of it was read.
    #[track_caller]
    pub fn standing(&self) -> String {
        if let Kind::Engine { engine, .. } = &self.kind {
            return engine.id(&self.tag).unwrap_or_else(|| panic!("{}: the tag is gone", self.name));
        }
        let folder = tempfile::tempdir().unwrap();
        copy(&self.judged(), &format!("dir:{}", folder.path().display()));
        let config = skopeo(&["inspect", "--config", "--raw", "--tls-verify=false", &self.judged()]);
        Digest::of(config.as_bytes()).to_string()
    }

    /// Returns the value of the image's variable, from a container where there is an engine.
    pub fn value(&self) -> Option<String> {
        let Kind::Engine { engine, .. } = &self.kind else { return None };
        Some(engine.shell(&self.tag, "echo $TOKEN"))
    }

    /// Returns the folder of a layout.
    pub fn folder(&self) -> Option<PathBuf> {
        matches!(self.kind, Kind::Layout).then(|| self.project.path("out/layout"))
    }

    /// Returns the tag for skopeo.
    fn judged(&self) -> String {
        match self.tag.split_once(':') {
            Some((transport, path)) if !matches!(self.kind, Kind::Registry) => {
                format!("{transport}:{}", self.project.path(path).display())
            }
            _ => self.tag.clone(),
        }
    }

    /// Returns what is there and is no image, nor a part of one of these: temporary things of the runs of these processes, and files.
    pub fn left(&self, processes: &[u32], images: &BTreeSet<String>) -> Vec<String> {
        let mut left = notes(&self.project.cache().join("notes"));
        match &self.kind {
            Kind::Engine { engine, label, .. } => {
                let containers = engine.list(&["ps", "-a", "--format", "{{.Names}}"]);
                let aliases = engine.list(&["images", "--format", "{{.Repository}}:{{.Tag}}", "secretbake-alias"]);
                let names = containers.lines().filter(|name| name.starts_with("secretbake-temporary-"));
                let is_theirs = |name: &&str| processes.iter().any(|process| name.contains(&format!("-{process}-")));
                left.extend(names.chain(aliases.lines()).filter(is_theirs).map(str::to_owned));
                let filter = format!("label=test={label}");
                let dangling =
                    engine.list(&["images", "-q", "--no-trunc", "--filter", "dangling=true", "--filter", &filter]);
                left.extend(dangling.lines().filter(|id| !images.contains(*id)).map(str::to_owned));
            }
            Kind::Registry => {}
            Kind::Layout => {
                let is_whole = |path: &str| {
                    let blob = path.strip_prefix("layout/blobs/sha256/");
                    blob.is_some_and(|hex| hex.len() == 64)
                        || ["layout/index.json", "layout/oci-layout"].contains(&path)
                };
                left.extend(files(&self.project.path("out")).into_iter().filter(|path| !is_whole(path)));
            }
            Kind::Archive => {
                left.extend(files(&self.project.path("out")).into_iter().filter(|path| path != "image.tar"));
            }
        }
        left
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Kind::Engine { engine, base, label } = &self.kind else { return };
        engine.try_cli(&["rmi", "-f", &base.baked()]);
        let filter = format!("label=test={label}");
        for id in engine.list(&["images", "-q", "--no-trunc", "--filter", "dangling=true", "--filter", &filter]).lines()
        {
            engine.try_cli(&["rmi", "-f", id]);
        }
    }
}

fn config(label: &str) -> serde_json::Value {
    json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "Labels": { "test": label } })
}

fn project() -> Project {
    let secrets: String = SECRETS.iter().map(|secret| format!("  {secret}: canary-{secret}\n")).collect();
    Project::with_file(&secrets)
}

/// Returns the paths of all files below a folder, from there.
fn files(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        match path.is_dir() {
            true => all.extend(files(&path).into_iter().map(|below| format!("{name}/{below}"))),
            false => all.push(name.to_owned()),
        }
    }
    all
}

/// Returns the notes of things to remove.
fn notes(folder: &Path) -> Vec<String> {
    files(folder).into_iter().map(|note| format!("note {note}")).collect()
}

/// Starts a command whose output is kept.
pub fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}
