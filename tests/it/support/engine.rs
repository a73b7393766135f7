//! A real container engine, used as a person would: through the Docker CLI.

use std::process::{Command, Output};

use serde_json::Value;

use super::image::TestImage;
use super::{unique, variable};

/// An engine of the test environment.
#[derive(Clone)]
pub struct Engine {
    pub name: &'static str,
    pub host: String,
}

/// The engines and the variables that name their sockets.
const ENGINES: [(&str, &str); 3] = [
    ("docker", "SECRETBAKE_TEST_DOCKER_HOST"),
    ("containerd", "SECRETBAKE_TEST_CONTAINERD_HOST"),
    ("podman", "SECRETBAKE_TEST_PODMAN_HOST"),
];

impl Engine {
    /// Every engine that the test environment could bring up: in CI all of them.
    pub fn all() -> Vec<Self> {
        let missing = std::env::var("SECRETBAKE_TEST_MISSING").unwrap_or_default();
        let there = ENGINES.iter().filter(|(name, _)| !missing.split_whitespace().any(|other| other == *name));
        let engines: Vec<Engine> = there.map(|(name, host)| Engine { name, host: variable(host) }).collect();
        assert!(!engines.is_empty(), "no engine is up: run the tests with scripts/test");
        engines
    }

    /// One engine, for what does not depend on which: Docker Engine with overlay2 where it is there.
    pub fn one() -> Self {
        Engine::all().swap_remove(0)
    }

    /// A Docker Engine, for what Podman does in its own way; `None` where the test environment could bring up none.
    pub fn docker() -> Option<Self> {
        Engine::all().into_iter().find(|engine| engine.name != "podman")
    }

    /// Runs the Docker CLI.
    pub fn try_cli(&self, arguments: &[&str]) -> Output {
        Command::new("docker").args(["-H", &self.host]).args(arguments).env_remove("DOCKER_CONTEXT").output().unwrap()
    }

    /// Runs the Docker CLI and returns its standard output.
    pub fn cli(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.try_cli(arguments);
        assert!(
            output.status.success(),
            "{}: docker {arguments:?}: {}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Runs the Docker CLI and returns its standard output as text, without the last newline.
    pub fn text(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.cli(arguments)).unwrap().trim_end_matches('\n').to_owned()
    }

    /// Returns what a list of the Docker CLI shows; an engine cannot always list what is being removed in that moment.
    pub fn list(&self, arguments: &[&str]) -> String {
        for _ in 0..100 {
            let output = self.try_cli(arguments);
            if output.status.success() {
                return String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned();
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        self.text(arguments)
    }

    /// Loads an image under a name of its own. It has a layer and an ID of its own too: an engine that is told to remove an image
    /// while another test loads the same one does not always get both right.
    pub fn load(&self, image: &TestImage) -> Loaded {
        let image = image.clone().file("unique", 0o644, unique("layer").as_bytes());
        let name = format!("sbtest/{}:1", unique("base"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        image.write(&name, &path);
        self.cli(&["load", "-i", path.to_str().unwrap()]);
        Loaded { engine: self.clone(), name }
    }

    /// Runs a command in a container of the image and returns what it prints.
    pub fn run(&self, arguments: &[&str]) -> Vec<u8> {
        self.cli(&[&["run", "--rm", "--network", "none"], arguments].concat())
    }

    pub fn inspect(&self, image: &str) -> Value {
        let all: Value = serde_json::from_slice(&self.cli(&["image", "inspect", image])).unwrap();
        all[0].clone()
    }

    /// Returns the image's ID; `None` if there is no such image.
    pub fn id(&self, image: &str) -> Option<String> {
        let output = self.try_cli(&["image", "inspect", "--format", "{{.Id}}", image]);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// Returns every image and container that there is, to see that nothing is left behind.
    pub fn inventory(&self) -> Vec<String> {
        let images = self.list(&["images", "-a", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
        let containers = self.list(&["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Image}}"]);
        let mut all: Vec<String> = images.lines().chain(containers.lines()).map(str::to_owned).collect();
        all.sort();
        all
    }
}

/// An image of a test, removed with what was baked from it when the test ends.
pub struct Loaded {
    engine: Engine,
    pub name: String,
}

impl Loaded {
    /// Returns the tag that this image is baked to.
    pub fn baked(&self) -> String {
        self.name.replace(":1", ":1-baked")
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let _ = self.engine.try_cli(&["rmi", "-f", &self.baked()]);
        let _ = self.engine.try_cli(&["rmi", "-f", &self.name]);
    }
}
