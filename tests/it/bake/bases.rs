//! "Whatever my base looks like": bases that came from a registry, and bases without a command.

use serde_json::json;

use crate::support::engine::Engine;
use crate::support::image::TestImage;
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
        let loaded = engine.load(&TestImage::busybox(json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] })));
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
        let second = project.baked(&manifest(by_digest, &tag));
        assert_eq!((&second.stdout, second.stderr.as_str()), (&first.stdout, "unchanged: deploy.yaml\n"));
        engine.cli(&["push", "-q", &tag]);
        engine.cli(&["rmi", "-f", &tag, &base]);
        let value = engine.run(&[&tag, "sh", "-c", "printf %s \"$TOKEN\""]);
        assert_eq!(String::from_utf8(value).unwrap(), "canary", "{}", engine.name);
        engine.cli(&["rmi", "-f", &tag]);
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
