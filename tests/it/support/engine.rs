//! A real container engine, used as a person would: through the Docker CLI.

use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::image::TestImage;
use super::{unique, variable};

/// An engine of the test environment.
#[derive(Clone)]
pub struct Engine {
    pub name: &'static str,
    pub host: String,
    tags: Arc<Tags>,
}

/// The tags that are removed when the test ends.
struct Tags {
    host: String,
    names: Mutex<Vec<String>>,
}

/// The engines and the variables that name their sockets.
const ENGINES: [(&str, &str); 3] = [
    ("docker", "SECRETBAKE_TEST_DOCKER_HOST"),
    ("containerd", "SECRETBAKE_TEST_CONTAINERD_HOST"),
    ("podman", "SECRETBAKE_TEST_PODMAN_HOST"),
];

fn docker(host: &str, arguments: &[&str]) -> Output {
    Command::new("docker").args(["-H", host]).args(arguments).env_remove("DOCKER_CONTEXT").output().unwrap()
}

impl Engine {
    /// Returns every engine that the test environment could start: in CI all of them.
    pub fn all() -> Vec<Self> {
        let missing = std::env::var("SECRETBAKE_TEST_MISSING").unwrap_or_default();
        let there = ENGINES.iter().filter(|(name, _)| !missing.split_whitespace().any(|other| other == *name));
        let engines: Vec<Engine> = there.map(|(name, variable)| Engine::new(name, variable)).collect();
        assert!(!engines.is_empty(), "no engine is up: run the tests with scripts/test");
        engines
    }

    /// Returns one engine, for what does not depend on which: Docker Engine with overlay2 if it is up.
    pub fn one() -> Self {
        Engine::all().swap_remove(0)
    }

    /// Returns a Docker Engine, for what Podman does in its own way.
    pub fn docker() -> Self {
        Engine::all().into_iter().find(|engine| !engine.is_podman()).expect("no Docker Engine is up")
    }

    /// Returns the Docker Engine with the overlay2 image store.
    pub fn overlay2() -> Self {
        let [(name, variable), ..] = ENGINES;
        Engine::new(name, variable)
    }

    /// Returns the Docker Engine with the containerd image store.
    pub fn containerd() -> Self {
        let [_, (name, variable), _] = ENGINES;
        Engine::new(name, variable)
    }

    /// Returns the Podman that runs images of the other architecture too.
    pub fn emulated() -> Self {
        Engine::new("emulated", "SECRETBAKE_TEST_EMULATED_HOST")
    }

    pub fn podman() -> Self {
        let [.., (name, variable)] = ENGINES;
        Engine::new(name, variable)
    }

    fn new(name: &'static str, host: &str) -> Self {
        Engine::at(name, variable(host))
    }

    /// Returns the engine at a socket, which is of the kind of this name.
    pub fn at(name: &'static str, host: String) -> Self {
        Engine { name, host: host.clone(), tags: Arc::new(Tags { host, names: Mutex::default() }) }
    }

    pub fn is_podman(&self) -> bool {
        self.name == "podman"
    }

    /// Returns a tag that no other test uses. It is removed when the test ends.
    pub fn name(&self, what: &str) -> String {
        let name = format!("sbengine/{}:1", unique(what));
        self.remove_later(&name);
        name
    }

    /// Removes a tag when the test ends.
    pub fn remove_later(&self, name: &str) {
        self.tags.names.lock().unwrap().push(name.to_owned());
    }

    /// Runs the Docker CLI.
    pub fn try_cli(&self, arguments: &[&str]) -> Output {
        docker(&self.host, arguments)
    }

    /// Runs the Docker CLI and returns its standard output.
    #[track_caller]
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
    #[track_caller]
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

    /// Runs a line of shell in a container of the image.
    #[track_caller]
    pub fn shell(&self, image: &str, line: &str) -> String {
        self.text(&["run", "--rm", "--network", "none", image, "sh", "-c", line])
    }

    /// Returns one field of `docker image inspect`, by its template: `.Config.Labels`.
    #[track_caller]
    pub fn field(&self, image: &str, field: &str) -> Value {
        let format = format!("{{{{json {field}}}}}");
        serde_json::from_str(&self.text(&["image", "inspect", "--format", &format, image])).unwrap()
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

impl Drop for Tags {
    fn drop(&mut self) {
        for name in self.names.lock().unwrap().iter().rev() {
            docker(&self.host, &["rmi", name]);
        }
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
