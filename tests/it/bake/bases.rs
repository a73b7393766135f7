//! "Whatever my base looks like": bases that came from a registry, and bases without a command.

use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::oci_base::{Oci, blob, file, oci_archive, tar_of};
use crate::support::project::Project;
use crate::support::{unique, variable};

fn project(engine: &Engine) -> Project {
    Project::with_file("  token: canary\n").on(engine)
}

fn manifest(base: &str, tag: &str) -> String {
    format!("version: 1\nimage: {{ base: '{base}', tags: ['{tag}'] }}\nenv:\n  TOKEN: {{ secret: token }}\n")
}

#[test]
fn a_base_that_was_pulled_is_baked_by_its_tag_and_by_its_digest_and_can_be_pushed() {
    for engine in Engine::all() {
        let registry = variable("SECRETBAKE_TEST_REGISTRY");
        let image = TestImage::busybox(json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] }));
        let loaded = engine.load(&image);
        let repository = format!("{registry}/{}", unique("pulled"));
        let (base, tag) = (format!("{repository}:1"), format!("{repository}:1-baked"));
        engine.cli(&["tag", &loaded.name, &base]);
        engine.cli(&["push", "-q", &base]);
        engine.cli(&["rmi", &base]);
        drop(loaded);
        engine.cli(&["pull", "-q", &base]);
        let digests = engine.inspect(&base)["RepoDigests"].clone();
        let by_digest = digests[0].as_str().unwrap();

        let project = project(&engine);
        let first = project.baked(&manifest(&base, &tag));
        // the image says what its base was called, so it is another one by digest
        let second = project.baked(&manifest(by_digest, &tag));
        assert_ne!(second.stdout, first.stdout, "{}", engine.name);
        assert_eq!(project.baked(&manifest(by_digest, &tag)).brief(), "unchanged\n", "{}", engine.name);
        engine.cli(&["push", "-q", &tag]);
        engine.cli(&["rmi", "-f", &tag, &base]);
        let value = engine.run(&[&tag, "sh", "-c", "printf %s \"$TOKEN\""]);
        assert_eq!(String::from_utf8(value).unwrap(), "canary", "{}", engine.name);
        engine.cli(&["rmi", "-f", &tag]);
    }
}

#[test]
fn a_tag_of_docker_hub_is_the_same_however_it_is_spelt() {
    for engine in Engine::all() {
        let base = engine.load(&TestImage::busybox(json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] })));
        let name = unique("hub");
        for spelt in [format!("docker.io/{name}:1"), format!("index.docker.io/library/{name}:1")] {
            project(&engine).baked(&manifest(&base.name, &spelt));
            let value = engine.run(&[&format!("{name}:1"), "sh", "-c", "printf %s \"$TOKEN\""]);
            assert_eq!(String::from_utf8(value).unwrap(), "canary", "{spelt} on {}", engine.name);
            engine.cli(&["rmi", "-f", &format!("{name}:1")]);
        }
    }
}

#[test]
fn a_base_without_a_command_gets_its_secrets_for_the_command_that_is_given() {
    for engine in Engine::all() {
        let base = engine.load(&TestImage::busybox(json!({ "Env": ["PATH=/bin"] })));
        project(&engine).baked(&manifest(&base.name, &base.baked()));
        let config = &engine.inspect(&base.baked())["Config"];
        assert_eq!(config["Entrypoint"], json!(["/.secretbake/launch"]), "{}", engine.name);
        assert!(config["Cmd"].is_null(), "{}: {config}", engine.name);
        let value = engine.run(&[&base.baked(), "sh", "-c", "printf %s \"$TOKEN\""]);
        assert_eq!(String::from_utf8(value).unwrap(), "canary", "{}", engine.name);
    }
}

#[test]
fn a_file_does_not_hide_a_directory_of_the_base() {
    for engine in Engine::all() {
        let image = TestImage::busybox(json!({ "Cmd": ["/bin/sh"] }))
            .directory("app", 0o755, (0, 0))
            .directory("app/tls", 0o755, (0, 0))
            .file("app/tls/old.pem", 0o644, b"old");
        let loaded = engine.load(&image);
        let project = project(&engine);
        image.write("sbtest/base:1", &project.path("base.tar"));
        let (in_engine, baked) = (loaded.name.as_str(), loaded.baked());
        for (base, tag, path) in [
            (in_engine, baked.as_str(), "/etc"),
            (in_engine, &baked, "/app/tls"),
            ("docker-archive:base.tar", "oci:out:1", "/app/tls"),
        ] {
            let ran = project.bake(&format!(
                "version: 1\nimage: {{ base: '{base}', tags: ['{tag}'] }}\nfiles:\n  {path}: {{ secret: token }}\n"
            ));
            assert_eq!(
                ran.stderr,
                format!(
                    "deploy.yaml:4:3: files.{path}: cannot bake onto {base}: `{path}` is a directory in the base, and a file would hide its content\n  hint: choose a path in the directory, such as /app/tls/server.pem\n"
                ),
                "{}",
                engine.name
            );
            assert_eq!((ran.status, engine.id(&baked)), (Some(1), None));
        }
        assert!(!project.path("out").exists());
    }
}

#[test]
fn a_base_that_nothing_can_be_baked_onto_is_refused() {
    let project = Project::with_file("  token: canary\n");
    for (config, why, hint) in [
        (
            json!({ "os": "windows", "architecture": "amd64" }),
            "the image is for windows/amd64, and secretbake bakes Linux images only",
            "use a base for Linux",
        ),
        (
            json!({ "os": "linux", "architecture": "amd64", "config": { "Labels": { "dev.secretbake.provenance": "{}" } } }),
            "the base is itself a baked image, so its old secrets would stay in the new one",
            "use the image that it was baked from as the base",
        ),
        (
            json!({ "os": "linux", "architecture": "amd64", "config": { "Labels": "canary" } }),
            "the image's config is not valid JSON of its kind",
            "pull or build the base again",
        ),
    ] {
        let (base, _, _) = oci_archive("sbtest/base:1", &[Oci { config, layers: &[], manifest: json!({}) }]);
        std::fs::write(project.path("base.tar"), base).unwrap();
        let ran = project.bake(&manifest("oci-archive:base.tar", "oci:out:1"));
        assert_eq!(
            ran.stderr,
            format!("deploy.yaml:2:16: image.base: cannot bake onto oci-archive:base.tar: {why}\n  hint: {hint}\n")
        );
        assert_eq!((ran.status, project.path("out").exists()), (Some(1), false));
    }
}

#[test]
fn a_base_with_nearly_as_many_layers_as_an_engine_takes_gets_one_layer_and_not_two() {
    let config = || json!({ "os": "linux", "architecture": "amd64" });
    let layer = |number: usize| blob(tar_of(&[file("number", &number.to_string())]), "");
    let layers: Vec<_> = (0..124).map(layer).collect();
    for layers in [&layers[..123], &layers[..]] {
        let project = Project::with_file("  token: canary\n");
        let (base, ..) = oci_archive("sbtest/base:1", &[Oci { config: config(), layers, manifest: json!({}) }]);
        std::fs::write(project.path("base.tar"), base).unwrap();
        project.baked(&manifest("oci-archive:base.tar", "oci:out:1"));
        let read = |path: &str| -> Value {
            serde_json::from_slice(&std::fs::read(project.path(&format!("out/{path}"))).unwrap()).unwrap()
        };
        let digest = read("index.json")["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
        assert_eq!(read(&format!("blobs/{digest}"))["layers"].as_array().unwrap().len(), 125);
    }
}

#[test]
fn a_file_in_a_volume_of_the_base_is_warned_of() {
    for engine in Engine::all() {
        let base =
            engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"], "Volumes": { "/data/": {}, "/da": {} } })));
        let manifest = format!(
            "version: 1\nimage: {{ base: '{}', tags: ['{}'] }}\nfiles:\n  /data/key: {{ secret: token }}\n  /database: {{ secret: token }}\n",
            base.name,
            base.baked()
        );
        let warning = "deploy.yaml:4:24: files./data/key: warning: the file is in the base's volume /data, which keeps what a container \
             first found there\n  \
             hint: choose a path outside of the volume, or a rotated secret does not take effect there\n";
        let ran = project(&engine).baked(&manifest);
        assert_eq!(ran.brief(), format!("{warning}baked\n"), "{}", engine.name);
        assert_eq!(engine.run(&[&base.baked(), "cat", "/data/key"]), b"canary", "{}", engine.name);
        // an engine makes the volume's directory in each container, later each time
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let ran = project(&engine).baked(&manifest);
        assert_eq!(ran.brief(), format!("{warning}unchanged\n"), "{}", engine.name);
    }
}

#[test]
fn a_base_for_another_platform_than_the_engine_s_is_baked_as_any() {
    let other = if cfg!(target_arch = "aarch64") { "amd64" } else { "arm64" };
    for engine in Engine::all() {
        let config = json!({ "Cmd": ["/bin/sh"], "Labels": { "test": unique("foreign") } });
        let base = engine.load(&TestImage::busybox(config).for_architecture(other));
        let in_registry = format!("{}/{}:1", variable("SECRETBAKE_TEST_REGISTRY"), unique("foreign"));
        engine.cli(&["tag", &base.name, &in_registry]);
        engine.cli(&["push", "-q", &in_registry]);
        engine.cli(&["rmi", &in_registry]);
        let project = project(&engine);
        let platform = format!("linux/{other}");
        let bake = |from: &str, tag: &str, more: &[&str]| {
            let manifest = format!(
                "version: 1\nimage: {{ base: '{from}', tags: ['{tag}'], inject: file }}\nenv:\n  TOKEN: {{ secret: token }}\n"
            );
            project.write("deploy.yaml", &manifest);
            let ran = project.run(&[&["bake", "deploy.yaml"], more].concat());
            (ran.status, ran.brief())
        };
        let done = |what: &str| (Some(0), format!("{what}\n"));
        let (local, tag) = (base.name.as_str(), base.baked());
        assert_eq!(bake(local, &tag, &[]), done("baked"), "{}", engine.name);
        assert_eq!(bake(local, &tag, &["--platform", &platform]), done("unchanged"), "{}", engine.name);
        assert_eq!(engine.inspect(&tag)["Architecture"], other, "{}", engine.name);
        engine.cli(&["rmi", &tag, local]);
        let from = format!("docker://{in_registry}");
        assert_eq!(bake(&from, &tag, &["--platform", &platform]), done("baked"), "{}", engine.name);
        assert_eq!(bake(&from, &tag, &["--platform", &platform]), done("unchanged"), "{}", engine.name);
    }
}

#[test]
fn a_variable_that_the_base_has_twice_is_set_once() {
    // Podman does not load a base with an ENTRYPOINT that is a string
    let engine = Engine::docker();
    let base = engine
        .load(&TestImage::busybox(json!({ "Env": ["A=1", "PATH=/bin", "A=2"], "Cmd": ["/bin/sh"], "Entrypoint": "" })));
    project(&engine).baked(&format!(
        "version: 1\nimage: {{ base: '{}', tags: ['{}'] }}\nenv:\n  A: new\n  TOKEN: {{ secret: token }}\n",
        base.name,
        base.baked()
    ));
    let config = &engine.inspect(&base.baked())["Config"];
    assert_eq!(config["Env"], json!(["A=new", "PATH=/bin"]));
    assert_eq!(engine.run(&[&base.baked(), "sh", "-c", "printf %s $TOKEN"]), b"canary");
}
