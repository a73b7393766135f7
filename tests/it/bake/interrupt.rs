//! "Whenever I stop it, nothing is left behind, and every tag is the old image or the new one."

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::mistakes::INTERRUPTED;
use crate::schema::{holds, schema};
use crate::support::engine::{Engine, Loaded};
use crate::support::engine_proxy::{Proxy, Reply};
use crate::support::image::TestImage;
use crate::support::project::{Project, closing};
use crate::support::unique;

const SECRETS: &str = "  token: canary\n";

/// A base that no other test has, with a named user, so that a bake looks into its tree; baked to two tags.
pub(super) struct Baking {
    engine: Engine,
    pub base: Loaded,
    second: String,
}

impl Baking {
    pub fn new(engine: &Engine) -> Self {
        let config = json!({ "Cmd": ["/bin/sh"], "User": "app", "Labels": { "test": unique("base") } });
        let base = engine.load(&TestImage::busybox(config));
        let second = base.baked() + "-too";
        Baking { engine: engine.clone(), base, second }
    }

    pub fn tags(&self) -> [String; 2] {
        [self.base.baked(), self.second.clone()]
    }

    /// Returns a project that bakes at an address of the engine.
    pub fn project(&self, host: &str) -> Project {
        let project = Project::with_file(SECRETS).variable("DOCKER_HOST", host);
        let [first, second] = self.tags();
        project.write(
            "deploy.yaml",
            &format!(
                "version: 1\nimage:\n  base: {}\n  tags: [{first}, {second}]\nenv:\n  TOKEN: {{ secret: token }}\n",
                self.base.name
            ),
        );
        project
    }

    /// Returns what each tag stands for.
    pub fn standing(&self) -> [Option<String>; 2] {
        self.tags().map(|tag| self.engine.id(&tag))
    }

    /// Returns the containers that were made of the base, and the aliases of its manifest, which is named by its digest.
    fn leftovers(&self) -> Vec<String> {
        let id = self.engine.id(&self.base.name).unwrap();
        // not by the filter `ancestor`: it also finds the containers of images with the same layers, which other tests have
        let containers = self.engine.list(&["ps", "-a", "--no-trunc", "--format", "{{.Image}} {{.ID}}"]);
        let is_of_base = |line: &&str| {
            let (image, _) = line.split_once(' ').unwrap();
            image == id || image.ends_with(&self.base.name)
        };
        let aliases = match self.engine.name {
            "containerd" => self.engine.list(&["images", "--format", "{{.Repository}}:{{.Tag}}", "secretbake-alias"]),
            _ => String::new(),
        };
        let is_its_alias = |alias: &&str| alias.contains(&id["sha256:".len()..][..12]);
        let containers = containers.lines().filter(is_of_base);
        containers.chain(aliases.lines().filter(is_its_alias)).map(str::to_owned).collect()
    }

    /// Fails if anything but the image is there after a bake of the same again.
    fn the_next_run_cleans_up(&self) {
        let ran = self.project(&self.engine.host).run(&["bake", "deploy.yaml"]);
        assert_eq!(ran.status, Some(0), "{}: {}", self.engine.name, ran.stderr);
        // what a run of another test is just removing may still be there for a moment
        let left = (0..100).map(|_| self.leftovers()).find(|left| {
            left.is_empty() || {
                std::thread::sleep(Duration::from_millis(100));
                false
            }
        });
        assert!(left.is_some(), "{}: {:?}", self.engine.name, self.leftovers());
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

pub(super) fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(super) fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// What a run says that does not end within a second.
const FINISHING: &str =
    "interrupted: finishing what has begun, for at most 15 seconds; interrupt again to stop at once\n";

/// Returns what an interrupted run said, however long it took.
pub(super) fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap().replace(FINISHING, "")
}

pub(super) async fn end(child: Child) -> Output {
    tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap()
}

/// Returns a stub before the engine that holds the answer of each request that begins so.
pub(super) fn holding(engine: &Engine, request: &'static str) -> Proxy {
    Proxy::start(Some(&engine.host), move |asked| asked.starts_with(request).then_some(Reply::Hold))
}

/// Kills a bake while the engine has done what begins so, and does not answer. Returns what it left behind, which any run of another
/// test may remove from then on.
async fn killed_at(baking: &Baking, request: &'static str) -> Vec<String> {
    let proxy = holding(&baking.engine, request);
    let project = baking.project(&proxy.host());
    let mut child = start(&project);
    proxy.held().await;
    let left = baking.leftovers();
    child.kill().unwrap();
    child.wait().unwrap();
    left
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
            let stderr = said(&output);
            match output.status.code() {
                Some(130) => {
                    interrupted += 1;
                    assert_eq!((stderr.as_str(), output.stdout.as_slice()), (INTERRUPTED, &b""[..]));
                }
                // before it could listen to signals
                None => assert_eq!((stderr.as_str(), output.stdout.as_slice()), ("", &b""[..])),
                code => assert_eq!((code, &closing(&stderr).1[..6]), (Some(0), "baked "), "{}", engine.name),
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
        let stderr = said(&output);
        assert!(closing(&stderr).1.starts_with("baked "), "{}: {stderr}", engine.name);
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
    let expected = format!(
        "{FINISHING}error: interrupted; gave up on unfinished work after 15 seconds\n  \
         hint: run the same command again; finished images are not rewritten\n"
    );
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(130), expected));
    assert_eq!((baking.standing(), baking.leftovers()), ([None, None], Vec::new()));
}

#[tokio::test]
async fn a_second_signal_ends_a_run_at_once_and_a_hangup_is_a_signal_too() {
    let engine = Engine::one();
    for signals in [[Signal::HUP, Signal::INT], [Signal::INT, Signal::INT], [Signal::TERM, Signal::TERM]] {
        let baking = Baking::new(&engine);
        let proxy = Proxy::start(Some(&engine.host), |asked| (asked == "POST /images/load").then_some(Reply::Silence));
        let project = baking.project(&proxy.host());
        let child = start(&project);
        while !proxy.asked().iter().any(|asked| asked == "POST /images/load") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let started = std::time::Instant::now();
        for signal in signals {
            send(&child, signal);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let output = end(child).await;
        assert!(started.elapsed() < Duration::from_secs(5), "{signals:?}: {:?}", started.elapsed());
        assert_eq!(output.status.code(), Some(130), "{signals:?}");
    }
}

#[test]
fn a_second_signal_or_15_seconds_after_the_first_end_a_run_whose_main_thread_hangs() {
    for signals in [2, 1] {
        ends_though_its_main_thread_hangs(signals);
    }
}

fn ends_though_its_main_thread_hangs(signals: usize) {
    let project = Project::with_file(SECRETS);
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
    while rustix::io::write(&writer, &[b'x'; 4096]).is_ok() {}
    // the log blocks on the full pipe
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).unwrap();
    project.write(
        "deploy.yaml",
        "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv:\n  T: { secret: token }\n",
    );
    let mut command = project.command(&["bake", "deploy.yaml", "--log", "trace"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::from(writer)).spawn().unwrap();
    drop(command);
    std::thread::sleep(Duration::from_secs(2));
    for _ in 1..signals {
        send(&child, Signal::INT);
        std::thread::sleep(Duration::from_millis(200));
    }
    let output = ended_within(child, Signal::INT, Duration::from_secs(60));
    assert_eq!(output.status.code(), Some(130), "after {signals} signals");
    drop(reader);
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
            let left = killed_at(&baking, moment).await;
            assert_ne!(left, Vec::<String>::new(), "{} at {moment}: nothing to remove", engine.name);
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

/// Ends a run by a signal and returns its output; a run that does not end is killed, and fails.
pub(super) fn ended_by(child: Child, signal: Signal) -> Output {
    ended_within(child, signal, Duration::from_secs(10))
}

fn ended_within(mut child: Child, signal: Signal, patience: Duration) -> Output {
    send(&child, signal);
    for _ in 0..patience.as_millis() / 50 {
        if child.try_wait().unwrap().is_some() {
            return child.wait_with_output().unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    panic!("it ignores the signal: {:?}", child.wait_with_output().unwrap());
}

/// Fails unless a run ended as a signal ends a program that does nothing about it: for a shell, with status 128 and the signal.
fn is_ended(output: &Output, signal: Signal, what: &str) {
    assert_eq!(output.status.signal(), Some(signal.as_raw()), "{what}: {output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{what}: {output:?}");
}

#[test]
fn an_interrupt_ends_a_run_that_waits_for_a_pipe() {
    const MANIFEST: &str = "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv:\n  A: { secret: a }\n";
    for (pipe, arguments) in [
        ("deploy.yaml", &["bake", "deploy.yaml"][..]),
        ("deploy.yaml", &["bake", "deploy.yaml", "--dry-run", "--online"]),
        ("deploy.yaml", &["check", "deploy.yaml"]),
        ("secrets.yaml", &["bake", "deploy.yaml"]),
        ("secrets.yaml", &["secrets", "list"]),
        ("secrets.yaml", &["credential", "test"]),
    ] {
        for signal in [Signal::INT, Signal::TERM] {
            let project = Project::with_file(SECRETS);
            project.write("deploy.yaml", MANIFEST);
            fs::remove_file(project.path(pipe)).unwrap();
            assert!(Command::new("mkfifo").arg(project.path(pipe)).status().unwrap().success());
            let child = spawn(project.command(arguments));
            // it is opened when the run reads it
            let writer = fs::File::options().write(true).open(project.path(pipe)).unwrap();
            is_ended(&ended_by(child, signal), signal, &format!("{arguments:?}"));
            drop(writer);
        }
    }
    for arguments in [
        &["bake", "deploy.yaml", "--org", "-"][..],
        &["drift", "oci:out:1", "--org", "-"],
        &["secrets", "list", "--org", "-"],
    ] {
        let project = Project::empty();
        project.write("deploy.yaml", MANIFEST);
        let mut command = project.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let writer = child.stdin.take();
        // as long as there is anything to read, there may be more
        std::thread::sleep(Duration::from_millis(200));
        is_ended(&ended_by(child, Signal::INT), Signal::INT, &format!("{arguments:?}"));
        drop(writer);
    }
}

/// Interrupts a run as soon as a stub that is silent about baked images is asked for one; returns its status and what it printed.
pub(super) async fn interrupted_at_the_tag(proxy: &Proxy, command: Command) -> (Option<i32>, String, String) {
    let before = proxy.asked().len();
    let child = spawn(command);
    while !proxy.asked()[before..].iter().any(|asked| asked.contains("-baked")) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    send(&child, Signal::INT);
    let output = end(child).await;
    let stderr = said(&output);
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), stderr)
}

#[tokio::test]
async fn an_interrupted_run_reports_what_it_has_baked() {
    let engine = Engine::one();
    let baking = Baking::new(&engine);
    let proxy = Proxy::start(Some(&engine.host), |asked| asked.contains("-baked").then_some(Reply::Silence));
    let project = baking.project(&proxy.host());
    project.write(
        "first.yaml",
        "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv:\n  TOKEN: { secret: token }\n",
    );
    for format in ["text", "json"] {
        fs::remove_dir_all(project.path("out")).unwrap_or_default();
        let run = project.command(&["bake", "first.yaml", "deploy.yaml", "--jobs", "1", "--format", format]);
        let (status, stdout, stderr) = interrupted_at_the_tag(&proxy, run).await;
        assert_eq!(
            (status, stderr.as_str()),
            (
                Some(130),
                "baked: first.yaml\nerror: interrupted after 1 of 2 images; nothing was left half done\n  \
                 hint: run the same command again; finished images are not rewritten\n"
            )
        );
        match format {
            "text" => assert!(stdout.starts_with("oci:out:1@sha256:") && stdout.lines().count() == 1, "{stdout}"),
            _ => {
                let report: Value = serde_json::from_str(&stdout).unwrap();
                holds(&schema("report"), &report, "the report of an interrupted run");
                assert_eq!(
                    (report["images"].as_array().unwrap().len(), &report["images"][0]["status"]),
                    (1, &json!("baked"))
                );
            }
        }
    }
}

/// The system calls that give a file its name.
const RENAMES: &str = "rename,renameat,renameat2,link,linkat";

#[test]
fn the_next_run_removes_what_a_killed_one_left_in_a_layout() {
    let image = |tag: &str| format!("version: 1\nimage: {{ base: scratch, tags: ['oci:lay:{tag}'] }}\n");
    let mut finished = false;
    for number in 1..20 {
        let project = Project::with_file("  token: first\n");
        project.baked(&(image("1") + "env: { TOKEN: { secret: token } }\n"));
        project.write("secrets.yaml", "version: 1\nsecrets: { token: second }\n");
        let bake = project.command(&["bake", "deploy.yaml"]);
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={RENAMES}")]);
        strace.args(["-e", &format!("inject={RENAMES}:signal=SIGKILL:when={number}")]);
        strace.arg(bake.get_program()).args(bake.get_args()).current_dir(project.path("")).env_clear();
        strace.envs(bake.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let status = strace.output().expect("strace is installed by scripts/test").status;

        project.write("secrets.yaml", "version: 1\nsecrets: { token: third }\n");
        project.baked(&(image("1") + "env: { TOKEN: { secret: token } }\n"));
        let clean = Project::with_file("  token: third\n");
        clean.baked(&(image("1") + "env: { TOKEN: { secret: token } }\n"));
        let files = |project: &Project| {
            let blobs = project.path("lay/blobs/sha256");
            let names = [project.path("lay"), blobs].map(|folder| fs::read_dir(folder).unwrap());
            let mut names: Vec<_> = names.into_iter().flatten().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(files(&project), files(&clean), "killed at rename {number}");
        if status.success() {
            finished = true;
            break;
        }
        assert_eq!(status.signal(), Some(9), "{status:?}");
    }
    assert!(finished, "every rename was tried");
}
