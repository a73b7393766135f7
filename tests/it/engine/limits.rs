//! Bases with as many layers as an engine supports, and histories that it refuses.

use serde_json::{Value, json};

use crate::support::engine::{Engine, Loaded};
use crate::support::image::TestImage;
use crate::support::oci_base::{Oci, blob, busybox_layer, oci_archive};
use crate::support::project::{Project, Ran};

in_engine!(only_overlay2, overlay2: the_limit_of_overlay2_counts_the_layers_of_the_bake, a_history_that_lists_too_many_layers_is_refused);
in_engine!(only_podman, podman: podman_before_4_4_starts_no_container_of_129_layers);

in_each_engine!(near_the_limit_the_launcher_and_the_secrets_share_a_layer);

fn busybox() -> TestImage {
    TestImage::busybox(json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] }))
}

fn bake(engine: &Engine, base: &str, tag: &str) -> Ran {
    let project = Project::with_file("  token: canary\n").on(engine);
    project.bake(&format!("version: 1\nimage:\n  base: {base}\n  tags: [{tag}]\nenv:\n  TOKEN: {{ secret: token }}\n"))
}

fn steps(engine: &Engine, tag: &str) -> Vec<String> {
    let history = engine.text(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", tag]);
    history.lines().filter(|line| line.starts_with("secretbake")).map(str::to_owned).collect()
}

async fn near_the_limit_the_launcher_and_the_secrets_share_a_layer(engine: Engine) {
    let base = engine.load(&busybox().with_layers(124));
    is_baked_to_125_layers(&engine, &base);
    assert_eq!(steps(&engine, &base.baked()), ["secretbake launcher and secrets"]);
}

fn is_baked_to_125_layers(engine: &Engine, base: &Loaded) {
    let ran = bake(engine, &base.name, &base.baked());
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), "baked: deploy.yaml\n"));
    assert_eq!(engine.shell(&base.baked(), "echo $TOKEN"), "canary");
    assert_eq!(engine.field(&base.baked(), ".RootFS.Layers").as_array().map(Vec::len), Some(125));
}

/// Returns the error for a base with as many layers as the engine supports.
fn refusal(most: usize) -> String {
    format!(
        "deploy.yaml:4:10: image.tags: the image would have {} layers, but the container engine supports at most {most}\n  \
         cause: the base has {most}, and the bake adds 1\n  \
         hint: build the base with fewer layers: combine its RUN lines, or end its Dockerfile with `FROM scratch` and `COPY --from=0 / /`\n  \
         hint: or bake to a registry (docker://HOST/REPO:TAG) or an OCI layout (oci:DIR): an engine with the containerd image store runs \
         up to 499 layers\n",
        most + 1
    )
}

async fn the_limit_of_overlay2_counts_the_layers_of_the_bake(engine: Engine) {
    let image = busybox().with_layers(123);
    let base = engine.load(&image);
    is_baked_to_125_layers(&engine, &base);
    assert_eq!(steps(&engine, &base.baked()), ["secretbake secrets", "secretbake launcher"]);
    // the engine already has most layers of this one
    let base = engine.load(&busybox().over(&busybox().over(&image)));
    let ran = bake(&engine, &base.name, &base.baked());
    assert_eq!((ran.status, ran.stderr), (Some(1), refusal(125)));
    assert_eq!(engine.id(&base.baked()), None);
}

async fn podman_before_4_4_starts_no_container_of_129_layers(engine: Engine) {
    let version = engine.text(&["version", "--format", "{{.Server.Version}}"]);
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let is_old = (numbers.next(), numbers.next()) < (Some(4), Some(4));
    let image = busybox().with_layers(127);
    let fits = engine.load(&image);
    assert_eq!(bake(&engine, &fits.name, &fits.baked()).status, Some(0));
    assert_eq!(engine.shell(&fits.baked(), "echo $TOKEN"), "canary");
    let base = engine.load(&busybox().over(&image));
    let ran = bake(&engine, &base.name, &base.baked());
    let expected = if is_old { (Some(1), refusal(128)) } else { (Some(0), "baked: deploy.yaml\n".to_owned()) };
    assert_eq!((ran.status, ran.stderr), expected);
}

async fn a_history_that_lists_too_many_layers_is_refused(engine: Engine) {
    let project = Project::with_file("  token: canary\n").on(&engine);
    let config: Value = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["sh"] },
        "history": [{ "created_by": "one" }, { "created_by": "two" }, { "created_by": "three", "empty_layer": true }],
    });
    let layers = [blob(busybox_layer(&engine), "")];
    let (archive, ..) = oci_archive("base:1", &[Oci { config, layers: &layers, manifest: json!({}) }]);
    std::fs::write(project.path("base.tar"), archive).unwrap();
    let tag = engine.name("history");
    let ran = project.bake(&format!(
        "version: 1\nimage:\n  base: oci-archive:base.tar\n  tags: [{tag}]\nenv:\n  TOKEN: {{ secret: token }}\n"
    ));
    assert_eq!(
        (ran.status, ran.stderr.as_str()),
        (
            Some(1),
            "deploy.yaml:4:10: image.tags: cannot write the image: the engine refused\n  \
             cause: it said: too many non-empty layers in History section\n  \
             hint: the base's history lists 2 layers, but the base has 1: build it again, for example with `docker build`\n"
        )
    );
    assert_eq!(engine.id(&tag), None);
}
