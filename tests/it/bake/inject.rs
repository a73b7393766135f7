//! "I choose how the variables get in, and who may read the files."

use serde_json::{Value, json};

use crate::support::engine::{Engine, Loaded};
use crate::support::image::TestImage;
use crate::support::project::Project;

const SECRETS: &str = "  token: canary-token\n  db: '{\"password\": \"canary-it''s $1\"}'\n";

fn base(engine: &Engine, config: Value) -> Loaded {
    let image = TestImage::busybox(config)
        .directory("app", 0o700, (1000, 1000))
        .directory("data", 0o1777, (0, 0))
        .link("link", "/data");
    engine.load(&image)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_launched_image_shows_no_secret_in_inspect_or_history() {
    for engine in Engine::all() {
        let base = base(&engine, json!({ "Cmd": ["/bin/sh"], "Env": ["TOKEN=of the base", "PATH=/bin"] }));
        let manifest = format!(
            "version: 1\nimage:\n  base: {}\n  tags: [{}]\nenv:\n  PLAIN: visible\n  TOKEN:\n    secret: token\n",
            base.name,
            base.baked()
        );
        let ran = Project::with_file(SECRETS).on(&engine).baked(&manifest);
        let inspect = text(engine.cli(&["image", "inspect", &base.baked()]));
        let history = text(engine.cli(&["history", "--no-trunc", &base.baked()]));
        for shown in [&inspect, &history, &ran.stdout, &ran.stderr] {
            assert!(!shown.contains("canary"), "{}: {shown}", engine.name);
        }
        assert!(inspect.contains("PLAIN=visible") && !inspect.contains("TOKEN=of the base"));
        // the baked value wins over the base's, and the user's over both
        let print = ["sh", "-c", "printf %s \"$TOKEN\""];
        let run = |more: &[&str]| text(engine.run(&[more, &[base.baked().as_str()], &print].concat()));
        assert_eq!(run(&[]), "canary-token");
        assert_eq!(run(&["-e", "TOKEN=by hand"]), "by hand");
        assert_eq!(run(&["-e", "TOKEN="]), "");
    }
}

#[test]
fn with_inject_config_every_variable_is_in_the_config() {
    let engine = Engine::one();
    let base = base(&engine, json!({ "Cmd": ["/bin/sh"], "Env": ["TOKEN=of the base", "PATH=/bin"] }));
    let manifest = format!(
        "version: 1\nimage:\n  base: {}\n  tags: [{}]\n  inject: config\nenv:\n  PLAIN: p\n  TOKEN:\n    secret: token\n",
        base.name,
        base.baked()
    );
    Project::with_file(SECRETS).on(&engine).baked(&manifest);
    let config = engine.inspect(&base.baked());
    assert_eq!(config["Config"]["Env"], json!(["TOKEN=canary-token", "PATH=/bin", "PLAIN=p"]));
    assert_eq!(config["Config"]["Entrypoint"], Value::Null);
    assert_eq!(config["RootFS"]["Layers"].as_array().unwrap().len(), 1);
}

#[test]
fn with_inject_file_the_application_reads_a_file() {
    let engine = Engine::one();
    let base = base(&engine, json!({ "Cmd": ["/bin/sh"], "User": "app" }));
    for (format, expected) in [
        ("env0", "PLAIN=p\0PASSWORD=canary-it's $1\0"),
        ("shell", "export PLAIN='p'\nexport PASSWORD='canary-it'\\''s $1'\n"),
        ("systemd", "PLAIN=\"p\"\nPASSWORD=\"canary-it's \\$1\"\n"),
        ("json", "{\n  \"PLAIN\": \"p\",\n  \"PASSWORD\": \"canary-it's $1\"\n}\n"),
    ] {
        let manifest = format!(
            "version: 1\nimage:\n  base: {}\n  tags: [{}]\n  inject: file\n  format: {format}\n  path: /app/env\n\
             env:\n  PLAIN: p\n  PASSWORD:\n    secret: db#password\n",
            base.name,
            base.baked()
        );
        let project = Project::with_file(SECRETS).on(&engine);
        project.baked(&manifest);
        assert_eq!(text(engine.run(&[&base.baked(), "cat", "/app/env"])), expected);
        let previous = engine.id(&base.baked()).unwrap();
        engine.cli(&["rmi", "-f", &previous]);
    }
    let dotenv = format!(
        "version: 1\nimage:\n  base: {}\n  tags: [{}]\n  inject: file\n  format: dotenv\nenv:\n  PASSWORD:\n    secret: db#password\n",
        base.name,
        base.baked()
    );
    let ran = Project::with_file(SECRETS).on(&engine).bake(&dotenv);
    assert_eq!(ran.status, Some(1));
    assert_eq!(
        ran.stderr,
        "deploy.yaml:8:3: env.PASSWORD: the format cannot carry the value: dotenv readers disagree about a single quote together with its other characters\n  \
         hint: choose another `format:` (env0, shell and json carry every text), or `inject: launcher`\n"
    );
}

#[test]
fn a_file_has_its_owner_and_mode_and_its_directories_stay_as_they_are() {
    for engine in Engine::all() {
        let base = base(&engine, json!({ "Cmd": ["/bin/sh"], "User": "app:app" }));
        let manifest = format!(
            "version: 1\nimage:\n  base: {}\n  tags: [{}]\nenv:\n  TOKEN:\n    secret: token\nfiles:\n\
             \x20 /app/tls/key.pem:\n    secret: token\n    mode: \"0400\"\n    owner: \"1000:1000\"\n\
             \x20 /link/named:\n    secret: token\n    owner: app:staff\n\
             \x20 /app/default:\n    secret: token\n",
            base.name,
            base.baked()
        );
        Project::with_file(SECRETS).on(&engine).baked(&manifest);
        let baked = base.baked();
        let stat = |path: &str| {
            text(engine.run(&["--user", "0", &baked, "stat", "-c", "%a %u:%g %F", path])).trim_end().to_owned()
        };
        assert_eq!(stat("/app"), "700 1000:1000 directory", "{}", engine.name);
        assert_eq!(stat("/app/tls"), "755 0:0 directory");
        assert_eq!(stat("/app/tls/key.pem"), "400 1000:1000 regular file");
        assert_eq!(stat("/link"), "777 0:0 symbolic link");
        assert_eq!(stat("/data"), "1777 0:0 directory");
        assert_eq!(stat("/data/named"), "440 1000:50 regular file");
        assert_eq!(stat("/app/default"), "440 1000:0 regular file");
        assert_eq!(stat("/.secretbake/env"), "440 1000:0 regular file");
        assert_eq!(stat("/.secretbake/launch"), "755 0:0 regular file");
        // an arbitrary user reads the variables through group 0, and no one else does
        let print = ["sh", "-c", "printf %s \"$TOKEN\""];
        let run = |user: &str| {
            let arguments = ["run", "--rm", "--network", "none", "--user", user, &baked];
            engine.try_cli(&[&arguments[..], &print].concat())
        };
        assert_eq!(text(run("4242:0").stdout), "canary-token");
        let refused = run("4242:4242");
        assert_eq!(refused.status.code(), Some(125));
        assert!(text(refused.stderr).contains("secretbake launcher: "));
    }
}
