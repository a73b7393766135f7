//! "Whatever I bake next, it takes away what a killed run left."

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::engine::{Engine, Loaded};
use crate::support::engine_proxy::{Proxy, Reply};
use crate::support::image::TestImage;
use crate::support::project::{Project, Ran};
use crate::support::unique;

/// Loads a base that no other test has, with a named user, so that a bake looks into its tree.
fn base(engine: &Engine) -> Loaded {
    engine
        .load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"], "User": "app", "Labels": { "test": unique("killed") } })))
}

fn manifest(base: &Loaded) -> String {
    let baked = base.baked();
    format!("version: 1\nimage: {{ base: '{}', tags: ['{baked}'] }}\nenv:\n  TOKEN: {{ secret: token }}\n", base.name)
}

/// Returns the temporary containers and images of a process, whose number their names have.
fn left_by(engine: &Engine, process: u32) -> Vec<String> {
    let containers = engine.text(&["ps", "-a", "--format", "{{.Names}}"]);
    let images = engine.text(&["images", "--format", "{{.Repository}}:{{.Tag}}", "secretbake-alias"]);
    let names = containers.lines().filter(|name| name.starts_with("secretbake-temporary-")).chain(images.lines());
    names.filter(|name| name.contains(&format!("-{process}-"))).map(str::to_owned).collect()
}

/// Kills the bake of `killed.yaml` while the engine has done what begins with `moment` and does not answer, and bakes `next.yaml`, which asks
/// for nothing that it does not have. `is_refused`: the engine does not take the load.
async fn killed_and_next(
    engine: &Engine,
    project: &Project,
    moment: &'static str,
    is_refused: bool,
    next: &[&str],
) -> String {
    let armed = Arc::new(AtomicBool::new(true));
    let is_armed = Arc::clone(&armed);
    let proxy = Proxy::start(Some(&engine.host), move |asked| {
        if !is_armed.load(Ordering::SeqCst) {
            return None;
        }
        let refused = Reply::Say(200, r#"{"errorDetail":{"message":"no such layer"}}"#);
        let hold = asked.starts_with(moment).then_some(Reply::Hold);
        hold.or((is_refused && asked == "POST /images/load").then_some(refused))
    });
    let mut command = project.command(&["bake", "killed.yaml"]);
    command.env("DOCKER_HOST", proxy.host()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    proxy.held().await;
    let process = child.id();
    let left = left_by(engine, process);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_ne!(left, Vec::<String>::new(), "{} at {moment}: nothing to remove", engine.name);
    armed.store(false, Ordering::SeqCst);
    let mut command = project.command(next);
    command.env("DOCKER_HOST", proxy.host());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let ran = Ran::from_output(output);
    assert_eq!(ran.status, Some(0), "{} at {moment}: {}", engine.name, ran.stderr);
    assert_eq!(left_by(engine, process), Vec::<String>::new(), "{} at {moment}", engine.name);
    ran.brief()
}

#[tokio::test]
async fn a_bake_of_another_base_that_asks_nothing_removes_it() {
    for engine in Engine::all() {
        let moments = ["POST /containers/create", "GET /images/secretbake-alias"];
        for moment in moments.into_iter().filter(|moment| engine.name == "containerd" || moment.starts_with("POST")) {
            let (known, new) = (base(&engine), base(&engine));
            let project = Project::with_file("  token: canary\n").on(&engine);
            project.baked(&manifest(&known));
            project.write("killed.yaml", &manifest(&new));
            let next = killed_and_next(&engine, &project, moment, false, &["bake", "deploy.yaml"]).await;
            assert_eq!(next, "unchanged\n", "{} at {moment}", engine.name);
        }
    }
}
