//! Unusual bases from other tools, from the bake to a running container: read from an archive and from the engine.

use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::oci_base::{Member, Oci, blob, busybox_layer, directory, feed, file, oci_archive, tar_of};
use crate::support::project::Project;

in_engine!(only_containerd, containerd: the_last_entry_of_a_path_counts);
in_engine!(only_overlay2, overlay2: a_base_with_a_path_twice_is_refused_as_docker_load_refuses_it);

in_each_engine!(
    a_directory_from_before_1970_keeps_its_huge_owner,
    a_config_in_lower_case_runs_its_own_command,
    the_first_line_of_a_user_counts
);

/// Go's zero time.
const ZERO_TIME: i64 = -62_135_596_800;
const HUGE: u64 = 4_000_000_000;

fn archive(engine: &Engine, name: &str, config: &Value, members: &[Member<'_>]) -> Vec<u8> {
    let layers = [blob(busybox_layer(engine), ""), blob(tar_of(members), "")];
    let config = json!({ "architecture": "amd64", "os": "linux", "config": config });
    oci_archive(name, &[Oci { config, layers: &layers, manifest: json!({}) }]).0
}

/// Bakes the base from an archive and from the engine, and returns the output of a container of each image.
fn baked(engine: &Engine, config: &Value, members: &[Member<'_>], more: &str, command: &[&str]) -> [String; 2] {
    let (name, project) = (engine.name("odd"), Project::with_file("  token: canary\n").on(engine));
    let archive = archive(engine, &name, config, members);
    std::fs::write(project.path("base.tar"), &archive).unwrap();
    feed(engine, &["load"], &archive);
    ["oci-archive:base.tar", &name].map(|base| {
        let tag = engine.name("odd-baked");
        project.baked(&format!(
            "version: 1\nimage: {{ base: '{base}', tags: ['{tag}'] }}\nenv:\n  TOKEN: {{ secret: token }}\n{more}"
        ));
        engine.text(&[&["run", "--rm", "--network", "none", &tag], command].concat())
    })
}

async fn a_directory_from_before_1970_keeps_its_huge_owner(engine: Engine) {
    let members = [directory("app/", HUGE, HUGE + 1, 0o755, ZERO_TIME)];
    let config = json!({ "Env": ["PATH=/bin"], "Cmd": ["sh"] });
    let files = "files:\n  /app/conf/token: { secret: token }\n";
    let command = ["sh", "-c", "busybox stat -c %u:%g /app; busybox cat /app/conf/token; echo \" $TOKEN\""];
    let printed = baked(&engine, &config, &members, files, &command);
    let expected = format!("{HUGE}:{}\ncanary canary", HUGE + 1);
    assert_eq!(printed, [expected.clone(), expected]);
}

async fn a_config_in_lower_case_runs_its_own_command(engine: Engine) {
    let config = json!({ "env": ["PATH=/bin", "OLD=kept"], "entrypoint": ["sh", "-c"], "cmd": ["echo $OLD $TOKEN"] });
    assert_eq!(baked(&engine, &config, &[], "", &[]), ["kept canary", "kept canary"]);
}

async fn the_first_line_of_a_user_counts(engine: Engine) {
    let passwd = "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\napp:x:1001:1001::/:/bin/sh\n";
    let members = [directory("etc/", 0, 0, 0o755, 9), file("etc/passwd", passwd)];
    let config = json!({ "Env": ["PATH=/bin"], "Cmd": ["sh"], "User": "app" });
    let command = ["sh", "-c", "echo $TOKEN $(busybox id -u)"];
    assert_eq!(baked(&engine, &config, &members, "", &command), ["canary 1000", "canary 1000"]);
}

/// Returns a layer with duplicate paths.
fn twice() -> [Member<'static>; 6] {
    let other = "root:x:0:0::/:/bin/sh\napp:x:1:1::/:/bin/sh\n";
    [
        directory("etc/", 0, 0, 0o755, 9),
        file("etc/passwd", other),
        directory("etc/", 0, 0, 0o755, 9),
        file("etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"),
        directory("app/", 0, 0, 0o755, 9),
        directory("app/", 1000, 1000, 0o700, 9),
    ]
}

fn config_of_app() -> Value {
    json!({ "Env": ["PATH=/bin"], "Cmd": ["sh"], "User": "app" })
}

async fn the_last_entry_of_a_path_counts(engine: Engine) {
    let command = ["sh", "-c", "echo $TOKEN $(busybox id -u) $(busybox stat -c %u:%a /app) $(busybox cat /app/token)"];
    let files = "files:\n  /app/token: { secret: token }\n";
    let printed = baked(&engine, &config_of_app(), &twice(), files, &command);
    assert_eq!(printed, ["canary 1000 1000:700 canary", "canary 1000 1000:700 canary"]);
}

async fn a_base_with_a_path_twice_is_refused_as_docker_load_refuses_it(engine: Engine) {
    let tag = engine.name("twice");
    let project = Project::with_file("  token: canary\n").on(&engine);
    std::fs::write(project.path("base.tar"), archive(&engine, "base:1", &config_of_app(), &twice())).unwrap();
    let loaded = engine.try_cli(&["load", "-i", project.path("base.tar").to_str().unwrap()]);
    assert!(!loaded.status.success());
    let ran = project.bake(&format!(
        "version: 1\nimage:\n  base: oci-archive:base.tar\n  tags: [{tag}]\nenv:\n  TOKEN: {{ secret: token }}\n"
    ));
    assert_eq!(
        (ran.status, ran.stderr.as_str()),
        (
            Some(1),
            "deploy.yaml:4:10: image.tags: cannot write the image: the engine refused\n  \
             cause: it said: Error processing tar file(duplicates of file paths not supported):\n  \
             hint: see the engine's log for details\n  \
             hint: the engine was sent the base's layers too: if it does not load the base either, build the base again, \
             for example with `docker build`\n"
        )
    );
    assert_eq!(engine.id(&tag), None);
}
