//! "What does this container really run?": `inspect --container` on each engine.

use serde_json::{Value, json};

use crate::support::engine::{Engine, Loaded};
use crate::support::image::TestImage;
use crate::support::project::Project;
use crate::support::unique;

in_each_engine!(overrides_are_shown_without_values, a_missing_container_is_named, a_container_without_secrets_is_named);

const SECRETS: &str = "  db: { value: canary-1, version_id: v1 }\n  api: { value: canary-2, version_id: v2 }\n";

fn bake(engine: &Engine, inject: &str) -> (Project, Loaded) {
    let base = engine.load(&TestImage::busybox(json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] })));
    let project = Project::with_file(SECRETS).on(engine);
    project.baked(&format!(
        "version: 1\nimage: {{ base: '{}', tags: ['{}'], inject: {inject} }}\nenv:\n  DB: {{ secret: db }}\n  API: {{ secret: api }}\n",
        base.name,
        base.baked()
    ));
    (project, base)
}

/// A container, removed when the test ends.
struct Container<'a>(&'a Engine, String);

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.0.try_cli(&["rm", "-f", &self.1]);
    }
}

fn create<'a>(engine: &'a Engine, options: &[&str], image: &str, command: &[&str]) -> Container<'a> {
    // a name like those of Compose
    let name = unique("Web_1");
    engine.cli(&[&["create", "--network", "none", "--name", &name], options, &[image], command].concat());
    Container(engine, name)
}

fn inspect(project: &Project, container: &Container<'_>) -> (String, Value) {
    let ran = project.run(&["inspect", "--container", &container.1, "--log", "trace"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let json = project.run(&["inspect", "--container", &container.1, "--format", "json"]);
    for text in [&ran.stdout, &ran.stderr, &json.stdout, &json.stderr] {
        assert!(!text.contains("canary"), "{text}");
    }
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../../../schemas/inspect.json")).unwrap();
    assert!(jsonschema::is_valid(&schema, &document), "{document}");
    (ran.stdout, document["container"].clone())
}

async fn overrides_are_shown_without_values(engine: Engine) {
    let (project, base) = bake(&engine, "launcher");
    let tag = base.baked();
    let plain = create(&engine, &[], &tag, &[]);
    let (text, seen) = inspect(&project, &plain);
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("digest") && !line.starts_with("base")).collect();
    let image = engine.text(&["inspect", "--format", "{{.Config.Image}}", &plain.1]);
    assert_eq!(
        lines,
        [
            format!("container   {}", plain.1).as_str(),
            &format!("image       {image}"),
            "created     2024-01-02T03:04:05Z",
            "inject      launcher",
            "entrypoint  starts the launcher",
            "env",
            "  API  secret api  with local  version v2",
            "  DB   secret db   with local  version v1",
        ],
        "{}",
        engine.name
    );
    assert_eq!((&seen["entrypoint_overridden"], &seen["overridden_variables"]), (&json!(false), &json!([])));

    let other = create(
        &engine,
        &["--entrypoint", "/bin/sh", "-e", "DB=canary-3", "-e", "OTHER=canary-4"],
        &tag,
        &["-c", "true"],
    );
    let (text, seen) = inspect(&project, &other);
    let said = "entrypoint  overridden: /bin/sh starts without the launcher, so the app does not see the variables\n";
    assert!(text.contains(said), "{}: {text}", engine.name);
    assert!(text.ends_with("overridden by the container's environment\n  DB\n"), "{}: {text}", engine.name);
    assert_eq!((&seen["entrypoint_overridden"], &seen["overridden_variables"]), (&json!(true), &json!(["DB"])));
    assert_eq!(seen["name"], other.1);

    let (project, base) = bake(&engine, "config");
    let container = create(&engine, &["-e", "API=canary-5"], &base.baked(), &[]);
    let (text, seen) = inspect(&project, &container);
    assert!(!text.contains("entrypoint"), "{}: {text}", engine.name);
    assert_eq!((&seen["entrypoint_overridden"], &seen["overridden_variables"]), (&Value::Null, &json!(["API"])));
}

async fn a_container_without_secrets_is_named(engine: Engine) {
    let base = engine.load(&TestImage::busybox(json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] })));
    let container = create(&engine, &[], &base.name, &[]);
    let ran = Project::with_file(SECRETS).on(&engine).run(&["inspect", "--container", &container.1]);
    let image = engine.text(&["inspect", "--format", "{{.Config.Image}}", &container.1]);
    let said = format!(
        "error: cannot tell what was baked into {image}, the image of the container {}: it has no label \
         dev.secretbake.provenance\n  hint: name an image that secretbake baked, or one built on top of it\n",
        container.1
    );
    assert_eq!((ran.status, ran.stderr), (Some(1), said), "{}", engine.name);
}

async fn a_missing_container_is_named(engine: Engine) {
    let (project, base) = bake(&engine, "launcher");
    let container = create(&engine, &[], &base.baked(), &[]);
    for name in ["absent-container", "../images/x", ".."] {
        let ran = project.run(&["inspect", "--container", name]);
        let said = format!("error: container not found: {name}\n  hint: list containers with `docker ps -a`\n");
        assert_eq!((ran.status, ran.stderr), (Some(1), said), "{}", engine.name);
    }
    let by_id = engine.text(&["inspect", "--format", "{{.Id}}", &container.1]);
    let ran = project.run(&["inspect", &by_id[..12]]);
    let hint = format!("  hint: there is a container of this name: `secretbake inspect --container {}`\n", container.1);
    assert!(ran.status == Some(1) && ran.stderr.contains(&hint), "{}: {}", engine.name, ran.stderr);
}
