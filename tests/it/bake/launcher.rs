//! "My application runs as before, only with its secrets."

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::engine::{Engine, Loaded};
use crate::support::image::{TestImage, busybox};
use crate::support::project::Project;
use crate::support::unique;

/// Bakes one secret onto an image with this config.
fn bake(engine: &Engine, config: Value) -> Loaded {
    let base = engine.load(&TestImage::busybox(config));
    Project::with_file("  token: canary\n").on(engine).baked(&manifest(&base));
    base
}

fn manifest(base: &Loaded) -> String {
    format!(
        "version: 1\nimage:\n  base: {}\n  tags: [{}]\nenv:\n  TOKEN:\n    secret: token\n",
        base.name,
        base.baked()
    )
}

fn run(engine: &Engine, arguments: &[&str]) -> String {
    String::from_utf8(engine.run(arguments)).unwrap()
}

#[test]
fn everything_that_is_not_baked_stays_as_it_is() {
    let config = json!({
        "User": "app",
        "ExposedPorts": { "8080/tcp": {}, "53/udp": {} },
        "Env": ["PATH=/bin", "LANG=C.UTF-8"],
        "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": ["echo \"$0 $TOKEN\"", "hello"],
        "Healthcheck": { "Test": ["CMD", "/bin/true"], "Interval": 30_000_000_000u64, "Retries": 5 },
        "Volumes": { "/data": {} },
        "WorkingDir": "/etc",
        "OnBuild": ["RUN true"],
        "Labels": { "z": "1", "a": "2" },
        "StopSignal": "SIGUSR1",
        "Shell": ["/bin/sh", "-ec"],
    });
    for engine in Engine::all() {
        let base = bake(&engine, config.clone());
        let (before, after) = (engine.inspect(&base.name), engine.inspect(&base.baked()));
        for key in ["Architecture", "Os", "Author", "Created"] {
            assert_eq!(before[key], after[key], "{key} on {}", engine.name);
        }
        for (key, value) in before["Config"].as_object().unwrap() {
            let now = &after["Config"][key];
            match key.as_str() {
                "Entrypoint" => assert_eq!(*now, json!(["/.secretbake/launch", "/bin/sh", "-c"])),
                "Healthcheck" => {
                    assert_eq!(now["Test"], json!(["CMD", "/.secretbake/launch", "/bin/true"]));
                    assert_eq!((&now["Interval"], &now["Retries"]), (&value["Interval"], &value["Retries"]));
                }
                "Labels" => {
                    let mut labels = now.clone();
                    for ours in
                        ["dev.secretbake.provenance", "dev.secretbake.rebake", "org.opencontainers.image.base.digest"]
                    {
                        assert!(labels.as_object_mut().unwrap().remove(ours).is_some(), "{ours}");
                    }
                    assert_eq!(labels, *value);
                }
                "Image" | "Hostname" => {}
                _ => assert_eq!(now, value, "{key} on {}", engine.name),
            }
        }
        assert_eq!(run(&engine, &[&base.baked()]), "hello canary\n", "{}", engine.name);
        assert_eq!(run(&engine, &[&base.baked(), "echo $0; id -u; pwd", "more"]), "more\n1000\n/etc\n");
    }
}

#[test]
fn a_health_check_in_shell_form_goes_through_the_images_shell() {
    // Podman's answer to the Docker CLI has no health check
    let engine = Engine::docker();
    let base = bake(
        &engine,
        json!({
            "Cmd": ["/bin/sleep", "60"],
            "Healthcheck": { "Test": ["CMD-SHELL", "test \"$TOKEN\" = canary"], "Interval": 1_000_000_000u64 },
        }),
    );
    let test = engine.inspect(&base.baked())["Config"]["Healthcheck"]["Test"].clone();
    assert_eq!(test, json!(["CMD", "/.secretbake/launch", "/bin/sh", "-c", "test \"$TOKEN\" = canary"]));
    let name = unique("sbtest-health");
    engine.cli(&["run", "-d", "--network", "none", "--name", &name, &base.baked()]);
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = || engine.text(&["inspect", "--format", "{{.State.Health.Status}}", &name]);
    while status() == "starting" && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(200));
    }
    let last = status();
    engine.cli(&["rm", "-f", &name]);
    assert_eq!(last, "healthy");
}

#[test]
fn the_application_is_process_1_and_gets_signals_and_gives_its_exit_status() {
    for engine in Engine::all() {
        let base = bake(&engine, json!({ "Cmd": ["/bin/sh", "-c", "echo $$; exit 7"], "StopSignal": "SIGUSR1" }));
        let name = unique("sbtest-exit");
        engine.cli(&["run", "-d", "--network", "none", "--name", &name, &base.baked()]);
        let status = engine.text(&["wait", &name]);
        let printed = engine.text(&["logs", &name]);
        engine.cli(&["rm", "-f", &name]);
        assert_eq!((status.as_str(), printed.as_str()), ("7", "1"), "{}", engine.name);

        let name = unique("sbtest-signal");
        let wait = "trap 'exit 42' USR1; echo ready; while true; do sleep 0.1; done";
        engine.cli(&["run", "-d", "--network", "none", "--name", &name, &base.baked(), "sh", "-c", wait]);
        while engine.text(&["logs", &name]) != "ready" {
            std::thread::sleep(Duration::from_millis(50));
        }
        engine.cli(&["stop", "-t", "20", &name]);
        let status = engine.text(&["inspect", "--format", "{{.State.ExitCode}}", &name]);
        engine.cli(&["rm", "-f", &name]);
        assert_eq!(status, "42", "{}", engine.name);
    }
}

#[test]
fn docker_exec_goes_around_the_entrypoint_and_the_launcher_is_the_way_out() {
    let engine = Engine::one();
    let base = bake(&engine, json!({ "Cmd": ["/bin/sleep", "60"] }));
    let name = unique("sbtest-exec");
    engine.cli(&["run", "-d", "--network", "none", "--name", &name, &base.baked()]);
    let print = ["sh", "-c", "printf %s \"$TOKEN\""];
    let around = engine.text(&[&["exec", &name], &print[..]].concat());
    let through = engine.text(&[&["exec", &name, "/.secretbake/launch"], &print[..]].concat());
    engine.cli(&["rm", "-f", &name]);
    assert_eq!((around.as_str(), through.as_str()), ("", "canary"));
}

#[test]
fn an_image_without_a_shell_gets_its_secrets_too() {
    let engine = Engine::one();
    let busybox = busybox();
    let image = TestImage::empty(json!({ "Entrypoint": ["/env"] })).file("env", 0o755, &busybox);
    let base = engine.load(&image);
    Project::with_file("  token: canary\n").on(&engine).baked(&manifest(&base));
    assert!(run(&engine, &[&base.baked()]).lines().any(|line| line == "TOKEN=canary"));
}

#[test]
fn the_same_input_gives_the_same_image_id_and_what_is_right_is_left_alone() {
    for engine in Engine::all() {
        let image = TestImage::busybox(json!({ "Cmd": ["/bin/sh"] }));
        // a layer of its own: where an image shares all of them, an engine may still be removing another test's
        let base = engine.load(&image);
        let project = Project::with_file("  token: canary\n").on(&engine);
        let first = project.baked(&manifest(&base));
        let id = engine.id(&base.baked()).unwrap();
        assert_eq!(first.stdout, format!("{}@{id}\n", base.baked()), "{}", engine.name);
        assert_eq!(first.brief(), "baked\n");
        let again = project.baked(&manifest(&base));
        assert_eq!(again.brief(), "unchanged\n", "{}", engine.name);
        assert_eq!(again.stdout, first.stdout);
        engine.cli(&["rmi", "-f", &base.baked()]);
        assert_eq!(project.baked(&manifest(&base)).brief(), "baked\n");
        assert_eq!(engine.id(&base.baked()), Some(id), "{}", engine.name);
    }
}

#[test]
fn source_date_epoch_is_the_images_time() {
    let engine = Engine::one();
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
    let project = Project::with_file("  token: canary\n").on(&engine).variable("SOURCE_DATE_EPOCH", "1700000000");
    project.baked(&manifest(&base));
    assert_eq!(engine.inspect(&base.baked())["Created"], "2023-11-14T22:13:20Z");
}

#[test]
fn a_bake_leaves_nothing_but_the_baked_image() {
    for engine in Engine::all() {
        let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"], "User": "app" })));
        let mine = |lines: Vec<String>| -> Vec<String> {
            lines.into_iter().filter(|line| line.contains("secretbake-") || line.contains("<none>:<none>")).collect()
        };
        let before = mine(engine.inventory());
        Project::with_file("  token: canary\n").on(&engine).baked(&manifest(&base));
        // other tests' bakes put things down for a moment too
        let left = || mine(engine.inventory()).into_iter().filter(|line| !before.contains(line)).collect::<Vec<_>>();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut seen = left();
        while !seen.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
            let now = left();
            seen.retain(|line| now.contains(line));
        }
        assert_eq!(seen, Vec::<String>::new(), "{}", engine.name);
    }
}
