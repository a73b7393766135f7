//! "When the engine fails I am told what failed, and nothing has changed."

use serde_json::json;

use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};
use crate::support::image::TestImage;
use crate::support::project::Project;

const ENV: &str = "env:\n  TOKEN: { secret: token }\n";

/// Bakes onto a tag that is another image already, with the engine's answer to the load replaced, and expects that to change nothing;
/// returns standard error.
async fn fails(engine: &Engine, reply: Reply) -> String {
    bakes(engine, reply, ENV, Some(1)).await
}

/// Does the same with other contents, and for any exit status.
async fn bakes(engine: &Engine, reply: Reply, contents: &str, status: Option<i32>) -> String {
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"], "Volumes": { "/data": {} } })));
    let host = engine.host.clone();
    let proxy = Proxy::start(Some(&host), move |asked| (asked == "POST /images/load").then(|| reply.clone()));
    let project = Project::with_file("  token: canary\n");
    project.write(
        "deploy.yaml",
        &format!("version: 1\nimage:\n  base: {}\n  tags: [{}]\n{contents}", base.name, base.baked()),
    );
    // what the cache has is not read by an alias, whose load would be answered so too
    let bake = |host: &str| project.command(&["bake", "deploy.yaml"]).env("DOCKER_HOST", host).output();
    let first = bake(&engine.host).unwrap();
    assert!(first.status.success(), "{}: {}", engine.name, String::from_utf8_lossy(&first.stderr));
    engine.cli(&["rmi", &base.baked()]);
    engine.cli(&["tag", &base.name, &base.baked()]);
    let before = engine.id(&base.baked());
    let mut command = project.command(&["bake", "deploy.yaml"]);
    command.env("DOCKER_HOST", proxy.host());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap().replace(&proxy.host(), "HOST");
    assert_eq!(output.status.code(), status, "{}: {stderr}", engine.name);
    if status == Some(1) {
        assert_eq!(engine.id(&base.baked()), before, "{}", engine.name);
        assert!(output.stdout.is_empty());
    }
    stderr
}

#[tokio::test]
async fn a_load_that_breaks_off_is_an_error() {
    for engine in Engine::all() {
        assert_eq!(
            fails(&engine, Reply::Break(r#"{"stream":"Loaded image: x\n"}"#)).await,
            "error: cannot write the image: the connection to HOST failed\n  \
             cause: connection closed before message completed\n  \
             hint: try again once the engine answers: `docker info` shows whether it does\n",
            "{}",
            engine.name
        );
    }
}

#[tokio::test]
async fn a_full_disk_is_told_as_such() {
    const IN_STREAM: &str = r#"{"errorDetail":{"message":"write /var/lib/x: no space left on device"},"error":"write /var/lib/x: no space left on device"}"#;
    const REFUSED: &str = r#"{"message":"write /var/lib/x: no space left on device"}"#;
    for engine in Engine::all() {
        for reply in [Reply::Say(200, IN_STREAM), Reply::Say(500, REFUSED)] {
            assert_eq!(
                fails(&engine, reply).await,
                "error: cannot write the image: the engine has no space left\n  \
                 cause: write /var/lib/x: no space left on device\n  \
                 hint: free some with `docker system df` and `docker image prune`\n",
                "{}",
                engine.name
            );
        }
    }
}

#[tokio::test]
async fn a_refusal_names_the_engines_reason() {
    // Podman has no other way to write an image, Docker has
    for engine in Engine::all().into_iter().filter(|engine| engine.name == "podman") {
        assert_eq!(
            fails(&engine, Reply::Say(200, r#"{"errorDetail":{"message":"open layer.tar: no such file"}}"#)).await,
            "error: cannot write the image: the engine refused\n  \
             cause: it said: open layer.tar: no such file\n  \
             hint: the engine's own log says more\n  \
             hint: or go around the engine: `docker save -o base.tar BASE`, then bake with --base docker-archive:base.tar and \
             -t docker-archive:baked.tar:NAME, and `docker load -i baked.tar`\n"
        );
    }
}

#[tokio::test]
async fn a_commit_stands_in_for_a_refused_load_and_says_so() {
    for engine in Engine::all().into_iter().filter(|engine| engine.name != "podman") {
        assert_eq!(
            bakes(&engine, Reply::Say(200, r#"{"errorDetail":{"message":"no such layer"}}"#), ENV, Some(0)).await,
            "warning: the engine did not take the new layers by themselves: the image was committed from a container, which is slow\n  \
             cause: no such layer\n  \
             hint: its ID differs in each run, so no later bake finds it unchanged\n\
             baked: deploy.yaml\n",
            "{}",
            engine.name
        );
    }
}

#[tokio::test]
async fn a_commit_does_not_lose_a_file_in_a_volume() {
    for engine in Engine::all().into_iter().filter(|engine| engine.name != "podman") {
        let refused = Reply::Say(200, r#"{"errorDetail":{"message":"no such layer"}}"#);
        let stderr = bakes(&engine, refused, "files:\n  /data/key: { secret: token }\n", Some(1)).await;
        let (_, error) = stderr.split_once("error: ").unwrap();
        assert_eq!(
            error,
            "cannot write the image: the engine refused\n  \
             cause: it said: no such layer\n  \
             cause: committing a container instead failed too: `/data/key` lies in the base's volume /data, which a commit leaves out\n  \
             hint: the engine's own log says more\n  \
             hint: or go around the engine: `docker save -o base.tar BASE`, then bake with --base docker-archive:base.tar and \
             -t docker-archive:baked.tar:NAME, and `docker load -i baked.tar`\n",
            "{}",
            engine.name
        );
    }
}
