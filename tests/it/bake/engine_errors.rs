//! "When the engine fails I am told what failed, and nothing has changed."

use serde_json::json;

use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};
use crate::support::image::TestImage;
use crate::support::project::{Project, Ran};

/// Bakes onto a tag that is another image already, with the engine's answer to the load replaced, and expects that to change nothing;
/// returns standard error.
async fn fails(engine: &Engine, reply: Reply) -> String {
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
    let host = engine.host.clone();
    let proxy = Proxy::start(Some(&host), move |asked| (asked == "POST /images/load").then(|| reply.clone()));
    let project = Project::with_file("  token: canary\n");
    project.write(
        "deploy.yaml",
        &format!(
            "version: 1\nimage:\n  base: {}\n  tags: [{}]\nenv:\n  TOKEN: {{ secret: token }}\n",
            base.name,
            base.baked()
        ),
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
    let ran = Ran::from_output(output);
    assert_eq!(ran.status, Some(1), "{}: {}", engine.name, ran.stderr);
    assert_eq!(engine.id(&base.baked()), before, "{}", engine.name);
    assert!(ran.stdout.is_empty());
    ran.stderr.replace(&proxy.host(), "HOST").replace(&base.name, "BASE")
}

#[tokio::test]
async fn a_load_that_breaks_off_is_an_error() {
    let error = "deploy.yaml:4:10: image.tags: cannot write the image: the connection to HOST failed\n  \
                 cause: connection closed before message completed\n  \
                 hint: check with `docker info` that the engine works, then try again\n";
    let of_podman = "  hint: if Podman was stopped meanwhile, remove what it left in its TMPDIR (/var/tmp) as `api_load.tar*` and `storage*`: \
                     it may hold the secrets\n";
    for engine in Engine::all() {
        let more = if engine.is_podman() { of_podman } else { "" };
        let said = fails(&engine, Reply::Break(r#"{"stream":"Loaded image: x\n"}"#)).await;
        assert_eq!(said, format!("{error}{more}"), "{}", engine.name);
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
                "deploy.yaml:4:10: image.tags: cannot write the image: the engine has no space left\n  \
                 cause: write /var/lib/x: no space left on device\n  \
                 hint: free some space: see `docker system df` and `docker image prune`\n",
                "{}",
                engine.name
            );
        }
    }
}

#[tokio::test]
async fn a_refusal_names_the_engines_reason_and_the_way_around() {
    for engine in Engine::all() {
        assert_eq!(
            fails(&engine, Reply::Say(200, r#"{"errorDetail":{"message":"open layer.tar: no such file"}}"#)).await,
            "deploy.yaml:4:10: image.tags: cannot write the image: the engine refused\n  \
             cause: it said: open layer.tar: no such file\n  \
             hint: see the engine's log for details\n  \
             hint: if the engine does not accept new layers alone, send it all layers: run \
             `docker save -o base.tar BASE`, then bake with --base docker-archive:base.tar\n",
            "{}",
            engine.name
        );
    }
}
