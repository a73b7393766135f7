//! Owns the engines under test and the docker CLI as the judge of what the store did.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_util::task::TaskTracker;

use secretbake::image::name::ImageName;
use secretbake::store::engine::{Endpoint, EngineStore, Limits};

/// The image that every engine under test has.
pub const BUSYBOX: &str = "secretbake-test/busybox:1";

/// One engine under test. Images made through it are removed when it is dropped.
pub struct Engine {
    pub host: String,
    names: Vec<String>,
}

/// Returns the engine whose address stands in the variable; `None` if there is none, which the summary of scripts/test names.
pub fn engine(variable: &str) -> Option<Engine> {
    match std::env::var(variable) {
        Ok(host) if !host.is_empty() => Some(Engine { host, names: Vec::new() }),
        _ => None,
    }
}

impl Engine {
    /// Removes an image at the end that another engine's test named.
    pub fn remove_later(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    pub fn is_podman(&self) -> bool {
        let version = self.docker(&["version", "--format", "{{json .Server.Components}}"]);
        version.contains("Podman Engine")
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&self.host, None).unwrap()
    }

    pub async fn store(&self) -> EngineStore {
        EngineStore::connect(&self.endpoint(), None, Limits::default(), TaskTracker::new()).await.unwrap()
    }

    pub async fn cached(&self, cache: PathBuf) -> EngineStore {
        EngineStore::connect(&self.endpoint(), Some(cache), Limits::default(), TaskTracker::new()).await.unwrap()
    }

    /// Returns a name of this test's own; the image is removed at the end.
    pub fn name(&mut self, what: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sbengine/{what}:{}-{number}", std::process::id());
        self.names.push(name.clone());
        name
    }

    pub fn try_docker(&self, args: &[&str]) -> Output {
        Command::new("docker").env("DOCKER_HOST", &self.host).args(args).output().unwrap()
    }

    /// Runs the docker CLI and returns what it printed, which must have worked.
    #[track_caller]
    pub fn docker(&self, args: &[&str]) -> String {
        let output = self.try_docker(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Runs a shell line in the image.
    #[track_caller]
    pub fn run(&self, image: &str, script: &str) -> String {
        self.docker(&["run", "--rm", "--network", "none", image, "sh", "-c", script])
    }

    /// Returns a field of `docker inspect`, as JSON.
    #[track_caller]
    pub fn inspect(&self, image: &str, field: &str) -> serde_json::Value {
        let format = format!("{{{{json {field}}}}}");
        serde_json::from_str(&self.docker(&["image", "inspect", "--format", &format, image])).unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for name in self.names.iter().rev() {
            self.try_docker(&["rmi", name]);
        }
    }
}

pub fn image(name: &str) -> ImageName {
    ImageName::parse(name).unwrap()
}
