//! "However I end it, it ends, and it says what it has done."

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use super::interrupt::{Baking, end, ended_by, holding, interrupted_at_the_tag, said, send, spawn};
use super::mistakes::INTERRUPTED;
use crate::schema::{holds, schema};
use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};
use crate::support::project::{Project, Ran};
use crate::support::{unique, variable};

#[tokio::test]
async fn an_interrupted_image_says_which_of_its_tags_have_it() {
    let engine = Engine::one();
    let baking = Baking::new(&engine);
    let proxy = Proxy::start(Some(&engine.host), |asked| asked.contains("-baked").then_some(Reply::Silence));
    let project = baking.project(&proxy.host());
    let tag = baking.base.baked();
    project.write(
        "deploy.yaml",
        &format!(
            "version: 1\nimage:\n  base: scratch\n  tags: [\"docker-archive:out.tar:a:1\", {tag}]\nenv:\n  \
             TOKEN: {{ secret: token }}\n"
        ),
    );
    for format in ["text", "json"] {
        let run = project.command(&["bake", "deploy.yaml", "--format", format]);
        let (status, stdout, stderr) = interrupted_at_the_tag(&proxy, run).await;
        assert_eq!(
            (status, stderr.as_str()),
            (
                Some(130),
                "error: deploy.yaml is not finished: the new image is at docker-archive:out.tar:a:1\n\
                 error: interrupted after 0 of 1 images\n  \
                 hint: run the same command again; finished images are not rewritten\n"
            )
        );
        match format {
            "text" => assert!(stdout.starts_with("docker-archive:out.tar:a:1@sha256:") && stdout.lines().count() == 1),
            _ => {
                let report: Value = serde_json::from_str(&stdout).unwrap();
                holds(&schema("report"), &report, "the report of an interrupted image");
                let image = &report["images"][0];
                assert_eq!((&image["status"], &image["tags"][1]["digest"]), (&json!("failed"), &Value::Null));
                assert!(image["tags"][0]["digest"].is_string(), "{report}");
                assert_eq!(image["diagnostics"][0]["code"], "baked-in-part");
            }
        }
    }
}

#[tokio::test]
async fn an_interrupt_lets_a_push_that_has_begun_end_and_begins_no_other() {
    let engine = Engine::one();
    let baking = Baking::new(&engine);
    let proxy = Proxy::start(Some(&engine.host), |asked| asked.ends_with("/push").then_some(Reply::Hold));
    let registry = variable("SECRETBAKE_TEST_REGISTRY");
    let tags = ["a", "b"].map(|name| format!("{registry}/sbtest/{}:{name}", unique("ended")));
    let project = baking.project(&proxy.host()).docker_config(&json!({}));
    let mut child = spawn(project.command(&["bake", "deploy.yaml", "--push", "--tag", &tags[0], "--tag", &tags[1]]));
    proxy.held().await;
    send(&child, Signal::TERM);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(child.try_wait().unwrap().is_none(), "it does not wait for the push");
    proxy.release();
    let output = end(child).await;
    for tag in &tags {
        engine.cli(&["rmi", tag]);
    }
    let expected = format!(
        "error: deploy.yaml is not finished: the new image is at {0} and {1}\npushed: {0}\n\
         error: interrupted after 0 of 1 images\n  hint: run the same command again; finished images are not rewritten\n",
        tags[0], tags[1]
    );
    assert_eq!((output.status.code(), said(&output)), (Some(130), expected));
    let pushes = proxy.asked().into_iter().filter(|asked| asked.ends_with("/push")).count();
    assert_eq!(pushes, 1);
}

#[test]
fn an_interrupt_ends_a_run_that_waits_for_a_value_in_a_pipe() {
    const MANIFEST: &str = "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv:\n  A: { secret: a }\n";
    for (pipe, arguments) in [("pipe", ["bake", "deploy.yaml"]), ("secrets.yaml", ["drift", "oci:out:1"])] {
        for signal in [Signal::INT, Signal::TERM] {
            let project = Project::with_file("  a: { value: canary, version_id: v1 }\n");
            project.baked(MANIFEST);
            project.write("secrets.yaml", "version: 1\nsecrets:\n  a: { value_file: pipe }\n");
            let _ = fs::remove_file(project.path(pipe));
            assert!(Command::new("mkfifo").arg(project.path(pipe)).status().unwrap().success());
            let child = spawn(project.command(&arguments));
            // it is opened when the run reads it
            let writer = fs::File::options().write(true).open(project.path(pipe)).unwrap();
            let output = ended_by(child, signal);
            assert_eq!((output.status.code(), said(&output)), (Some(130), INTERRUPTED.to_owned()), "{arguments:?}");
            drop(writer);
        }
    }
}

#[test]
fn what_has_no_end_is_no_archive() {
    let project = Project::with_file("  a: canary\n");
    for base in ["docker-archive:/dev/zero", "oci-archive:/dev/zero", "docker-archive:-"] {
        project.write(
            "deploy.yaml",
            &format!("version: 1\nimage: {{ base: '{base}', tags: ['oci:out:1'] }}\nenv:\n  A: {{ secret: a }}\n"),
        );
        let endless = fs::File::open("/dev/zero").unwrap();
        let ran = Ran::from_output(project.command(&["bake", "deploy.yaml"]).stdin(endless).output().unwrap());
        let expected = format!(
            "deploy.yaml:2:16: image.base: `{base}` is neither a file nor a pipe\n  \
             hint: name a file that `docker save -o FILE NAME` or `skopeo copy` wrote, or `-` and pipe one in\n"
        );
        assert_eq!((ran.status, ran.stderr), (Some(1), expected));
    }
}

#[test]
fn what_has_no_end_is_no_value() {
    let project = Project::with_file("  a: { value_file: /dev/zero }\n");
    let manifest = "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv:\n  A: { secret: a }\n";
    let ran = project.bake(manifest);
    assert_eq!(
        (ran.status, ran.stderr.as_str()),
        (
            Some(1),
            "deploy.yaml:4:16: env.A: cannot read the value of a from /dev/zero: larger than 8 MiB\n  \
             hint: name a file that holds the value alone\n"
        )
    );
    let org = fs::read_to_string(project.path("secretbake.org.yaml")).unwrap();
    project.write("secretbake.org.yaml", &org.replace("secrets.yaml", "/dev/zero"));
    let ran = project.bake(manifest);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.starts_with("/dev/zero:1:1: larger than 8 MiB"), "{}", ran.stderr);
}

#[tokio::test]
async fn an_interrupt_at_a_terminal_does_not_take_ssh_away_from_a_write() {
    let engine = Engine::one();
    let baking = Baking::new(&engine);
    let proxy = holding(&engine, "POST /images/load");
    let socket = proxy.host().replace("unix://", "ssh://build");
    let project = baking.project(&socket);
    // stands in for ssh, and runs the command here
    project.program("ssh", "while [ \"$1\" != -- ]; do shift; done\nshift 2\nexec \"$@\"");
    let mut command = project.command(&["bake", "deploy.yaml"]);
    // a group of its own, as a shell gives a job, and all of it is interrupted, as a terminal does
    command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", project.path("").display())).process_group(0);
    let mut child = spawn(command);
    proxy.held().await;
    kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(child.try_wait().unwrap().is_none(), "it does not wait for the write");
    proxy.release();
    let output = end(child).await;
    let ran = Ran::from_output(output);
    assert_eq!((ran.status, ran.brief().as_str()), (Some(0), "baked\n"));
    let [first, second] = baking.standing();
    assert!(first.is_some() && first == second);
}
