//! "Whenever I stop it, nothing is left behind, and every tag is the old image or the new one."

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::mistakes::INTERRUPTED;
use crate::engine::support::proxy::{Proxy, Reply};
use crate::support::engine::{Engine, Loaded};
use crate::support::image::TestImage;
use crate::support::project::Project;
use crate::support::unique;

const SECRETS: &str = "  token: canary\n";

/// A base that no other test has, with a named user, so that a bake looks into its tree; baked to two tags.
struct Baking {
    engine: Engine,
    base: Loaded,
    second: String,
}

impl Baking {
    fn new(engine: &Engine) -> Self {
        let config = json!({ "Cmd": ["/bin/sh"], "User": "app", "Labels": { "test": unique("base") } });
        let base = engine.load(&TestImage::busybox(config));
        let second = base.baked() + "-too";
        Baking { engine: engine.clone(), base, second }
    }

    fn tags(&self) -> [String; 2] {
        [self.base.baked(), self.second.clone()]
    }

    /// Returns a project that bakes at an address of the engine.
    fn project(&self, host: &str) -> Project {
        let project = Project::with_file(SECRETS).variable("DOCKER_HOST", host);
        let cache = project.path("cache");
        let [first, second] = self.tags();
        project.write(
            "deploy.yaml",
            &format!(
                "version: 1\nimage:\n  base: {}\n  tags: [{first}, {second}]\nenv:\n  TOKEN: {{ secret: token }}\n",
                self.base.name
            ),
        );
        project.variable("XDG_CACHE_HOME", cache.to_str().unwrap())
    }

    /// Returns what each tag stands for.
    fn standing(&self) -> [Option<String>; 2] {
        self.tags().map(|tag| self.engine.id(&tag))
    }

    /// Returns the containers that were made of the base, and the aliases of its manifest, which is named by its digest.
    fn leftovers(&self) -> Vec<String> {
        let id = self.engine.id(&self.base.name).unwrap();
        // not by the filter `ancestor`: it also finds the containers of images with the same layers, which other tests have
        let containers = self.engine.text(&["ps", "-a", "--no-trunc", "--format", "{{.Image}} {{.ID}}"]);
        let is_of_base = |line: &&str| {
            let (image, _) = line.split_once(' ').unwrap();
            image == id || image.ends_with(&self.base.name)
        };
        let aliases = self.engine.text(&["images", "--format", "{{.Repository}}:{{.Tag}}", "secretbake-alias"]);
        let is_its_alias = |alias: &&str| alias.contains(&id["sha256:".len()..][..12]);
        let containers = containers.lines().filter(is_of_base);
        containers.chain(aliases.lines().filter(is_its_alias)).map(str::to_owned).collect()
    }

    /// Fails if anything but the image is there after a bake of the same again.
    fn the_next_run_cleans_up(&self) {
        let ran = self.project(&self.engine.host).run(&["bake", "deploy.yaml"]);
        assert_eq!(ran.status, Some(0), "{}: {}", self.engine.name, ran.stderr);
        assert_eq!(self.leftovers(), Vec::<String>::new(), "{}", self.engine.name);
        let [first, second] = self.standing();
        assert!(first.is_some() && first == second, "{}", self.engine.name);
    }
}

impl Drop for Baking {
    fn drop(&mut self) {
        self.engine.try_cli(&["rmi", "-f", &self.second]);
    }
}

fn start(project: &Project) -> Child {
    spawn(project.command(&["bake", "deploy.yaml"]))
}

/// Starts a bake at another address of the project's engine.
fn start_at(project: &Project, host: &str) -> Child {
    let mut command = project.command(&["bake", "deploy.yaml"]);
    command.env("DOCKER_HOST", host);
    spawn(command)
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

async fn end(child: Child) -> Output {
    tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap()
}

/// Returns a stub before the engine that holds the answer of each request that begins so.
fn holding(engine: &Engine, request: &'static str) -> Proxy {
    Proxy::start(Some(&engine.host), move |asked| asked.starts_with(request).then_some(Reply::Hold))
}

/// Kills a bake while the engine has done what begins so, and does not answer.
async fn killed_at(baking: &Baking, request: &'static str) {
    let proxy = holding(&baking.engine, request);
    let project = baking.project(&proxy.host());
    let mut child = start(&project);
    proxy.held().await;
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_interrupt_at_any_moment_leaves_nothing_half_done() {
    for engine in Engine::all() {
        let baking = Baking::new(&engine);
        let mut interrupted = 0;
        for step in 0..12 {
            let project = baking.project(&engine.host);
            let child = start(&project);
            std::thread::sleep(Duration::from_millis(20 + 40 * step));
            send(&child, if step % 2 == 0 { Signal::INT } else { Signal::TERM });
            let output = child.wait_with_output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            match output.status.code() {
                Some(130) => {
                    interrupted += 1;
                    assert_eq!((stderr.as_str(), output.stdout.as_slice()), (INTERRUPTED, &b""[..]));
                }
                // before it could listen to signals
                None => assert_eq!((stderr.as_str(), output.stdout.as_slice()), ("", &b""[..])),
                code => assert_eq!((code, stderr.as_str()), (Some(0), "baked: deploy.yaml\n"), "{}", engine.name),
            }
            let [first, second] = baking.standing();
            assert_eq!(first, second, "{} at step {step}: one tag without the other", engine.name);
            assert_eq!(baking.leftovers(), Vec::<String>::new(), "{} at step {step}", engine.name);
            for tag in baking.tags() {
                engine.try_cli(&["rmi", &tag]);
            }
        }
        assert!(interrupted > 0, "{}", engine.name);
    }
}

#[tokio::test]
async fn a_write_that_has_begun_is_finished_before_an_interrupt_ends_the_run() {
    for engine in Engine::all() {
        let baking = Baking::new(&engine);
        let proxy = holding(&engine, "POST /images/load");
        // the first bake keeps what it read of the base, so that only the write is a load
        let project = baking.project(&engine.host);
        assert_eq!(project.run(&["bake", "deploy.yaml"]).status, Some(0));
        let before = baking.standing();
        project.write("secrets.yaml", "version: 1\nsecrets:\n  token: canary-2\n");
        let mut child = start_at(&project, &proxy.host());
        proxy.held().await;
        send(&child, Signal::INT);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(child.try_wait().unwrap().is_none(), "{}: it does not wait for the write", engine.name);
        proxy.release();
        let output = end(child).await;
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.ends_with("baked: deploy.yaml\n"), "{}: {stderr}", engine.name);
        let [first, second] = baking.standing();
        assert!(first.is_some() && first == second && first != before[0], "{}", engine.name);
        engine.cli(&["rmi", before[0].as_ref().unwrap()]);
    }
}

#[tokio::test]
async fn an_engine_that_hangs_does_not_hold_an_interrupt_for_ever() {
    let engine = Engine::one();
    let baking = Baking::new(&engine);
    let proxy = Proxy::start(Some(&engine.host), |asked| (asked == "POST /images/load").then_some(Reply::Silence));
    let project = baking.project(&proxy.host());
    let child = start(&project);
    while !proxy.asked().iter().any(|asked| asked == "POST /images/load") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    send(&child, Signal::TERM);
    let output = end(child).await;
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(130), INTERRUPTED.to_owned()));
    assert_eq!((baking.standing(), baking.leftovers()), ([None, None], Vec::new()));
}

#[tokio::test]
async fn the_next_run_removes_what_a_killed_one_left() {
    for engine in Engine::all() {
        let mut moments = vec!["POST /containers/create"];
        if engine.name == "containerd" {
            moments.push("GET /images/secretbake-alias");
        }
        for moment in moments {
            let baking = Baking::new(&engine);
            killed_at(&baking, moment).await;
            assert_ne!(baking.leftovers(), Vec::<String>::new(), "{} at {moment}: nothing to remove", engine.name);
            baking.the_next_run_cleans_up();
        }
    }
}

#[tokio::test]
async fn the_next_run_finishes_the_write_of_a_killed_one() {
    for engine in Engine::all() {
        let baking = Baking::new(&engine);
        killed_at(&baking, "POST /images/load").await;
        baking.the_next_run_cleans_up();
    }
}
