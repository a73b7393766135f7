//! Every command of the README does what the README says, with the README's own files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::moto::Moto;
use crate::support::project::{Project, SECRET_KEY, closing, redact_time};
use crate::support::{secretbake, unique};

/// Returns the README's code blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let fence = format!("```{language}\n");
    readme.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Returns the README's commands without their comments, in its order.
fn commands() -> Vec<String> {
    let lines = blocks("sh").concat();
    lines
        .lines()
        .map(|line| line.split("  #").next().unwrap().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn there_is_no_command_that_no_test_runs() {
    assert_eq!(
        commands(),
        [
            // .ci/run, which builds as a new user does, and here
            "cargo run --locked -- bake fixtures/quickstart/deploy.yaml --org fixtures/quickstart/org.yaml",
            // .ci/run
            "scripts/test",
            // .ci/run
            "cargo install --locked --path .",
            // from the network; a base of the test's own stands in
            "docker pull busybox:1",
            // here
            "secretbake bake fixtures/quickstart/deploy.yaml --org fixtures/quickstart/org.yaml --base busybox:1 -t quickstart:1.0",
            "secretbake inspect quickstart:1.0",
            "docker run --rm quickstart:1.0 env",
            "secretbake check deploy.yaml",
            "secretbake bake deploy.yaml --dry-run",
            "secretbake bake deploy.yaml",
            "docker run crew-research:1.4.2-prod",
            "docker exec CONTAINER /.secretbake/launch env",
        ]
    );
}

#[test]
fn the_first_command_bakes_the_quickstart() {
    let first = commands().swap_remove(0);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(fs::read_to_string(root.join(".ci/run")).unwrap().lines().any(|line| line == first), "{first}");
    // cargo itself would rebuild the program while other tests run it
    let words: Vec<&str> = first.strip_prefix("cargo run --locked -- ").unwrap().split(' ').collect();
    let output = secretbake().args(words).current_dir(root).env("DOCKER_HOST", "unix:///nonexistent").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let (image, _digest) = printed.split_once("sha256:").unwrap();
    let (_, closing) = closing(&String::from_utf8(output.stderr).unwrap());
    let shown = blocks("console").swap_remove(0);
    let (result, last) = shown.trim_end().split_once('\n').unwrap();
    // whoever builds here twice is told that it is unchanged
    assert_eq!(
        (format!("{image}sha256:…"), closing.replace("unchanged", "baked")),
        (result.to_owned(), redact_time(last).unwrap())
    );
}

#[test]
fn the_quickstart_runs_in_an_engine_as_the_readme_says() {
    let engine = Engine::one();
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
    let project = Project::empty().on(&engine);
    symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"), project.path("fixtures")).unwrap();
    let commands = commands();
    let pull = commands.iter().position(|command| command == "docker pull busybox:1").unwrap();
    let own = |command: &str| command.replace("busybox:1", &base.name).replace("quickstart:1.0", &base.baked());
    for command in &commands[pull + 1..=pull + 2] {
        let command = own(command.strip_prefix("secretbake ").unwrap());
        let ran = project.run(&command.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.status, Some(0), "{command}: {}", ran.stderr);
        assert!(!ran.stdout.contains("quickstart-password"), "{}", ran.stdout);
    }
    let run = own(commands[pull + 3].strip_prefix("docker ").unwrap());
    let printed = engine.text(&run.split(' ').collect::<Vec<_>>());
    for line in blocks("console")[1].lines() {
        assert!(printed.lines().any(|other| other == line), "{line}: {printed}");
    }
}

#[test]
fn the_real_thing_works_with_the_readmes_own_files() {
    let (engine, moto) = (Engine::one(), Moto::new());
    let print = "echo \"$LOG_LEVEL $OPENAI_API_KEY $DB_PASSWORD\"; cat /app/tls/server.pem; echo; sleep 60";
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh", "-c", print], "User": "1000:1000" })));
    moto.text("crewai/openai-api-key", "openai");
    moto.text("database-credentials", r#"{"password":"postgres"}"#);
    moto.text("tls/server", r#"{"certificate":"pem"}"#);

    // the README's names, made this test's own
    let yaml = blocks("yaml");
    let own = |text: &str| {
        let mut text =
            text.replace("crew-research:1.4.2-prod", &base.baked()).replace("crew-research:1.4.2", &base.name);
        for secret in ["crewai/openai-api-key", "database-credentials#password", "tls/server#certificate"] {
            text = text.replace(&format!("secret: {secret}"), &format!("secret: {}", moto.name(secret)));
        }
        text
    };
    let project = Project::empty().on(&engine).variable("PROD_SECRET_KEY", SECRET_KEY);
    let project = project.variable("AWS_ENDPOINT_URL", &moto.endpoint);
    project.write("deploy.yaml", &own(&yaml[0]));
    project.write("secretbake.org.yaml", &yaml[1]);

    for command in commands().iter().filter(|command| command.contains(" deploy.yaml")) {
        let command = command.strip_prefix("secretbake ").unwrap();
        let ran = project.run(&command.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.status, Some(0), "{command}: {}", ran.stderr);
    }
    let name = unique("sbtest-readme");
    engine.cli(&["run", "-d", "--network", "none", "--name", &name, &base.baked()]);
    let printed = (0..300).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        Some(engine.text(&["logs", &name])).filter(|printed| printed.contains("pem"))
    });
    let through = engine.text(&["exec", &name, "/.secretbake/launch", "env"]);
    engine.cli(&["rm", "-f", &name]);
    assert_eq!(printed.as_deref(), Some("info openai postgres\npem"));
    assert!(through.lines().any(|line| line == "DB_PASSWORD=postgres"), "{through}");
}
