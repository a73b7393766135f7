//! "Nothing else on the machine gets to see a secret": what a run's memory, arguments and environment show to others.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::canary::is_clean;
use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};
use crate::support::image::TestImage;
use crate::support::moto::Moto;
use crate::support::project::{Project, SECRET_KEY};
use crate::support::{unique, variable};

/// Aborts a program that was started with leave to write all of its memory to a file. Returns whether it did, and its limit for that.
fn leaves_a_dump(program: &Command, ready: impl FnOnce(&Child)) -> (bool, String) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh"]).arg(program.get_program()).args(program.get_args());
    shell.current_dir(program.get_current_dir().unwrap()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    ready(&child);
    let limit = limit(&child);
    kill_process(Pid::from_child(&child), Signal::ABORT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()));
    (status.core_dumped(), limit)
}

fn limit(child: &Child) -> String {
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    limit.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it did not come to that in a minute");
}

#[tokio::test]
async fn a_run_that_is_killed_leaves_no_core_dump_with_the_values() {
    let engine = Engine::one();
    let proxy = Proxy::start(Some(&engine.host), |asked| asked.contains("-baked").then_some(Reply::Silence));
    let proxy = Arc::new(proxy);
    let project = Project::with_file("  token: canary-value-1\n").variable("DOCKER_HOST", &proxy.host());
    project.write(
        "deploy.yaml",
        &format!(
            "version: 1\nimage: {{ base: scratch, tags: [\"sbtest/{}:1-baked\"] }}\nenv:\n  TOKEN: {{ secret: token }}\n",
            unique("dump")
        ),
    );
    // as soon as it looks the tag up, it has read the value and composed the image
    let asked = Arc::clone(&proxy);
    let composed = move |_: &Child| wait_until(|| asked.asked().iter().any(|asked| asked.contains("-baked")));
    let bake = project.command(&["bake", "deploy.yaml"]);
    let (dumped, limit_of_bake) = tokio::task::spawn_blocking(move || leaves_a_dump(&bake, composed)).await.unwrap();
    assert_eq!((dumped, limit_of_bake.as_str()), (false, "0 0 bytes"));

    let mut other = Command::new("sleep");
    other.arg("60").current_dir(project.path(""));
    let (dumped, _) = leaves_a_dump(&other, |child| wait_until(|| limit(child).starts_with("unlimited")));
    assert!(dumped, "this machine writes no core dump, so the test would not see one");
}

#[test]
fn no_other_process_of_the_user_reads_the_memory_of_a_run() {
    let output =
        Command::new("strace").args(["-e", "trace=prctl", env!("CARGO_BIN_EXE_secretbake"), "--version"]).output();
    let said = String::from_utf8(output.expect("strace is installed by scripts/test").stderr).unwrap();
    let is_kept = |line: &str| line.starts_with("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE)") && line.ends_with("= 0");
    assert!(said.lines().any(is_kept), "{said}");
}

/// Returns every program that a bake starts: its path, and all that it is given.
fn started_by(project: &Project, arguments: &[&str]) -> Vec<(String, String)> {
    let bake = project.command(arguments);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-v", "-s", "65535", "-e", "trace=execve", "-e", "signal=none", "-o", "trace"]);
    strace.arg(bake.get_program()).args(bake.get_args()).current_dir(project.path("")).env_clear();
    strace.envs(bake.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = strace.output().expect("strace is installed by scripts/test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let trace = fs::read_to_string(project.path("trace")).unwrap();
    let calls = trace.lines().filter_map(|line| line.split_once("execve(\"")?.1.split_once('"'));
    // secretbake itself is first
    calls.skip(1).map(|(path, given)| (path.to_owned(), given.to_owned())).collect()
}

#[test]
fn the_programs_that_a_bake_starts_are_given_no_value_and_ssh_no_key() {
    let moto = Moto::new();
    moto.text("one", "canary-value-1");
    let engine = Engine::one();
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
    let [registry, user, password] =
        ["", "_USER", "_PASSWORD"].map(|what| variable(&format!("SECRETBAKE_TEST_REGISTRY_AUTH{what}")));
    let project = Project::with_moto(&moto)
        .variable("DOCKER_HOST", &engine.host.replace("unix://", "ssh://build"))
        .docker_config(&json!({ "credsStore": "test" }));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", project.path("").display());
    let project = project.variable("PATH", &path);
    // stands in for ssh, and runs the command here
    project.program("ssh", "while [ \"$1\" != -- ]; do shift; done\nshift 2\nexec \"$@\"");
    let login = json!({ "ServerURL": registry, "Username": user, "Secret": password });
    project.program("docker-credential-test", &format!("cat > /dev/null\necho '{login}'"));
    let tag = format!("docker://{registry}/sbtest/{}:1", unique("process"));
    project.write(
        "deploy.yaml",
        &format!(
            "version: 1\nimage:\n  base: {}\n  tags: [{}]\nenv:\n  ONE: {{ secret: {} }}\n",
            base.name,
            base.baked(),
            moto.name("one")
        ),
    );
    project.write(
        "other.yaml",
        &format!(
            "version: 1\nimage:\n  base: scratch\n  tags: [\"{tag}\"]\nenv:\n  ONE: {{ secret: {} }}\n",
            moto.name("one")
        ),
    );
    let started = started_by(&project, &["bake", "deploy.yaml", "other.yaml"]);
    let of = |name: &str| started.iter().filter(move |(path, _)| path.ends_with(name)).collect::<Vec<_>>();
    let (ssh, helper) = (of("/ssh"), of("/docker-credential-test"));
    assert!(!ssh.is_empty() && !helper.is_empty(), "{started:?}");
    for (path, given) in &ssh {
        is_clean(path, given.as_bytes());
    }
    for (path, given) in started.iter() {
        // a helper may need the variables of the environment: SECURITY.md says so
        let given = given.replace(&format!("TEST_SECRET_KEY={SECRET_KEY}"), "");
        is_clean(path, given.as_bytes());
    }
    assert!(helper[0].1.contains(SECRET_KEY), "the test would not see a leak into the environment");

    // the org file is read for the names of the variables alone
    for command in ["inspect", "drift"] {
        let started = started_by(&project, &[command, &base.baked()]);
        let ssh: Vec<_> = started.iter().filter(|(path, _)| path.ends_with("/ssh")).collect();
        assert!(!ssh.is_empty(), "{command}: {started:?}");
        for (path, given) in ssh {
            is_clean(&format!("{command}: {path}"), given.as_bytes());
        }
    }
}
