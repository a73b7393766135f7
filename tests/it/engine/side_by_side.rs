//! Several runs that bake the same tag at the same time.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};
use crate::support::image::TestImage;
use crate::support::project::Project;
use crate::support::unique;

in_each_engine!(six_bakes_of_one_tag_all_succeed, a_run_warns_if_another_run_moved_its_tag);

const ROUNDS: usize = 12;

fn manifest(base: &str, tag: &str, secret: &str) -> String {
    format!("version: 1\nimage: {{ base: '{base}', tags: ['{tag}'] }}\nenv:\n  TOKEN: {{ secret: {secret} }}\n")
}

async fn six_bakes_of_one_tag_all_succeed(engine: Engine) {
    // the last two bake the same image
    let secrets = ["s0", "s1", "s2", "s3", "s4", "s4"];
    let label = unique("side");
    let config = json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "Labels": { "test": label } });
    let base = engine.load(&TestImage::busybox(config));
    let values: String = (0..5).map(|number| format!("  s{number}: canary-{number}\n")).collect();
    let project = Project::with_file(&values).on(&engine);
    let files: Vec<String> = (0..6).map(|number| format!("{number}.yaml")).collect();
    for (number, file) in files.iter().enumerate() {
        project.write(file, &manifest(&base.name, &base.baked(), secrets[number]));
    }
    let mut baked = BTreeSet::new();
    for round in 0..ROUNDS {
        let start = |file: &String| {
            let mut command = project.command(&["bake", file, "--format", "json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children: Vec<_> = files.iter().map(start).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{} in round {round}: {stderr}", engine.name);
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            baked.insert(report["images"][0]["tags"][0]["digest"].as_str().unwrap().to_owned());
            for warning in report["images"][0]["diagnostics"].as_array().unwrap() {
                assert!(["replaced-image", "tag-moved"].contains(&warning["code"].as_str().unwrap()), "{warning}");
            }
        }
        let id =
            engine.id(&base.baked()).unwrap_or_else(|| panic!("{}: the tag is gone in round {round}", engine.name));
        assert!(baked.contains(&id), "{}: {id} in round {round}", engine.name);
    }
    assert_eq!(baked.len(), 5, "{}", engine.name);
    let value = engine.shell(&base.baked(), "echo $TOKEN");
    assert!(values.contains(&value), "{}: {value}", engine.name);
    // images that lost the tag stay until they are pruned; nothing else stays
    let filter = format!("label=test={label}");
    let images = engine.list(&["images", "-q", "--no-trunc", "--filter", "dangling=true", "--filter", &filter]);
    for id in images.lines() {
        assert!(baked.contains(id), "{}: {id} was not removed", engine.name);
        engine.try_cli(&["rmi", id]);
    }
}

async fn a_run_warns_if_another_run_moved_its_tag(engine: Engine) {
    let base = engine.load(&TestImage::busybox(json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] })));
    let (project, tag) = (Project::with_file("  a: canary-a\n  b: canary-b\n").on(&engine), base.baked());
    project.write("a.yaml", &manifest(&base.name, &tag, "a"));
    project.write("b.yaml", &manifest(&base.name, &tag, "b"));
    // the first run fills the cache, so that the next ones send only one load
    project.write("cache.yaml", &manifest(&base.name, &tag, "a"));
    assert_eq!(project.run(&["bake", "cache.yaml"]).status, Some(0));
    engine.cli(&["rmi", &tag]);
    let proxy = Proxy::start(Some(&engine.host), |asked| (asked == "POST /images/load").then_some(Reply::Hold));
    let mut command = project.command(&["bake", "a.yaml"]);
    let child = command.env("DOCKER_HOST", proxy.host()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    proxy.held().await;
    let (moved, project) =
        tokio::task::spawn_blocking(move || (project.run(&["bake", "b.yaml"]), project)).await.unwrap();
    assert_eq!(moved.status, Some(0), "{}", moved.stderr);
    proxy.release();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    drop(project);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let now = engine.id(&tag).unwrap();
    let shown =
        if engine.is_podman() { engine.field(&tag, ".RepoTags")[0].as_str().unwrap().to_owned() } else { tag.clone() };
    let warning = format!(
        "another run moved {shown}: it now points to {now}, not to this image\n  \
         hint: to deploy this image, run the same command again; do not bake a tag in several runs at once\n"
    );
    assert!(stderr.contains(&warning), "{}: {stderr}", engine.name);
    assert_eq!(engine.shell(&tag, "echo $TOKEN"), "canary-b");
    let lost = stderr.split("previous baked image ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    engine.cli(&["rmi", lost]);
}
