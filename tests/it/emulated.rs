//! "My machine is amd64 and the deployment arm64" (or the other way round): images of the other architecture, baked here and run on an
//! engine of this machine, under qemu.

use std::fs;

use serde_json::{Value, json};

use crate::seal::{identity, key};
use crate::support::engine::{Engine, Loaded};
use crate::support::image::{TestImage, digest};
use crate::support::project::Project;
use crate::support::skopeo::{copy, skopeo};
use crate::support::{unique, variable};

/// The other architecture: what images call it, and what `uname -m` says.
const OTHER: (&str, &str) = if cfg!(target_arch = "aarch64") { ("amd64", "x86_64") } else { ("arm64", "aarch64") };
/// This machine's.
const OWN: (&str, &str) = if cfg!(target_arch = "aarch64") { ("arm64", "aarch64") } else { ("amd64", "x86_64") };

const SECRETS: &str = "  token: { value: canary, version_id: v1 }\n";
const LOOK: &str = "busybox uname -m; echo $$ $TOKEN $LEVEL; cat /app/key";

/// Returns an image of the other architecture with its busybox.
fn other() -> TestImage {
    let busybox = fs::read(variable("SECRETBAKE_TEST_EMULATED_BUSYBOX")).unwrap();
    let image = TestImage::empty(json!({ "Env": ["PATH=/bin"], "Cmd": ["sh", "-c", LOOK] })).for_architecture(OTHER.0);
    ["sh", "cat"].into_iter().fold(image.file("bin/busybox", 0o755, &busybox), |image, applet| {
        image.link(&format!("bin/{applet}"), "busybox")
    })
}

fn manifest(base: &str, target: &str, seal: &str) -> String {
    format!(
        "version: 1\nimage:\n  base: {base}\n  tags: [\"{target}\"]\n{seal}env:\n  TOKEN: {{ secret: token }}\n  LEVEL: info\n\
         files:\n  /app/key: {{ secret: token }}\n"
    )
}

/// Runs a container to its end, and returns its exit status and what it printed: Podman may lose the end of one that is attached to.
fn run(engine: &Engine, arguments: &[&str]) -> (String, String) {
    let name = unique("sbtest-emulated");
    engine.cli(&[&["run", "-d", "--network", "none", "--name", &name], arguments].concat());
    let status = engine.text(&["wait", &name]);
    let output = engine.try_cli(&["logs", &name]);
    engine.cli(&["rm", "-f", &name]);
    (status, String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[track_caller]
fn prints(engine: &Engine, arguments: &[&str], expected: &str) {
    assert_eq!(run(engine, arguments), ("0".to_owned(), expected.to_owned()));
}

/// Bakes an image of the other architecture that the engine has.
fn bake(project: &Project, engine: &Engine, seal: &str) -> Loaded {
    let base = engine.load(&other());
    let manifest = manifest(&base.name, &base.baked(), seal);
    assert_eq!(project.baked(&manifest).brief(), "baked\n");
    assert_eq!(project.baked(&manifest).brief(), "unchanged\n");
    assert_eq!(engine.inspect(&base.baked())["Architecture"], OTHER.0);
    base
}

#[test]
fn the_environment_arrives_through_the_launcher_of_the_other_architecture() {
    let engine = Engine::emulated();
    let base = bake(&Project::with_file(SECRETS).on(&engine), &engine, "");
    prints(&engine, &[&base.baked()], &format!("{}\n1 canary info\ncanary", OTHER.1));
    prints(&engine, &["-e", "TOKEN=given", &base.baked()], &format!("{}\n1 given info\ncanary", OTHER.1));
    assert_eq!(run(&engine, &[&base.baked(), "sh", "-c", "exit 7"]).0, "7");
    let (status, said) = run(&engine, &[&base.baked(), "no-such-program"]);
    assert_eq!((status.as_str(), said.contains("no-such-program")), ("127", true), "{said}");
}

#[test]
fn a_sealed_image_of_the_other_architecture_opens_with_its_key_only() {
    let engine = Engine::emulated();
    let project = Project::with_file(SECRETS).on(&engine);
    let recipient = key(&project, "key.txt");
    let base = bake(&project, &engine, &format!("  seal: {{ recipients: [{recipient}] }}\n"));
    let given = format!("SECRETBAKE_KEY={}", identity(&project.path("key.txt")));
    prints(&engine, &["-e", &given, &base.baked()], &format!("{}\n1 canary info\ncanary", OTHER.1));
    let (status, said) = run(&engine, &[&base.baked()]);
    assert_eq!((status.as_str(), said.starts_with("secretbake launcher: ")), ("125", true), "{said}");
}

#[test]
fn the_platform_that_is_asked_for_is_baked_into_the_engine_and_runs() {
    let engine = Engine::emulated();
    let project = Project::with_file(SECRETS).on(&engine);
    index(&project);
    let target = engine.name("platform");
    project.write("deploy.yaml", &manifest("oci:both:1", &target, ""));
    let ran = project.run(&["bake", "--platform", &format!("linux/{}", OTHER.0), "deploy.yaml"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    prints(&engine, &[&target], &format!("{}\n1 canary info\ncanary", OTHER.1));
}

#[test]
fn each_image_of_a_baked_index_runs() {
    let engine = Engine::emulated();
    let project = Project::with_file(SECRETS);
    index(&project);
    project.write("deploy.yaml", &manifest("oci:both:1", "oci:out:1", ""));
    let ran = project.run(&["bake", "--all-platforms", "deploy.yaml"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    for (architecture, machine) in [OTHER, OWN] {
        let tag = engine.name(architecture);
        let archive = project.path(&format!("{architecture}.tar"));
        let from = format!("oci:{}:1", project.path("out").display());
        let to = format!("docker-archive:{}:{tag}", archive.display());
        skopeo(&["--override-arch", architecture, "copy", "--quiet", &from, &to]);
        engine.cli(&["load", "-i", archive.to_str().unwrap()]);
        prints(&engine, &[&tag], &format!("{machine}\n1 canary info\ncanary"));
    }
}

/// Writes the layout `both` with an index `1` of an image of each architecture.
fn index(project: &Project) {
    let command = json!({ "Env": ["PATH=/bin"], "Cmd": ["sh", "-c", LOOK] });
    let layout = project.path("both");
    for (architecture, image) in [(OWN.0, TestImage::busybox(command)), (OTHER.0, other())] {
        let archive = project.path(architecture);
        image.write("x:1", &archive);
        copy(&format!("docker-archive:{}", archive.display()), &format!("oci:{}:{architecture}", layout.display()));
    }
    let root = layout.join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&root).unwrap()).unwrap();
    for (entry, architecture) in index["manifests"].as_array_mut().unwrap().iter_mut().zip([OWN.0, OTHER.0]) {
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
    }
    let kind = "application/vnd.oci.image.index.v1+json";
    index["mediaType"] = json!(kind);
    let index = index.to_string();
    let digest = digest(index.as_bytes());
    fs::write(layout.join("blobs").join(digest.replace(':', "/")), &index).unwrap();
    let entry = json!({ "mediaType": kind, "digest": digest, "size": index.len(),
        "annotations": { "org.opencontainers.image.ref.name": "1" } });
    fs::write(root, json!({ "schemaVersion": 2, "manifests": [entry] }).to_string()).unwrap();
}
