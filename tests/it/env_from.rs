//! "Take the whole secret": `env_from:`, from the secret to the variables, and back in inspect and drift.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::moto::Moto;
use crate::support::project::{Project, Ran};
use crate::support::stub::{Reply, Stub};

const HEAD: &str = "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\n";

/// Returns a file of the image that is in the layout `out`.
pub fn file_in_layout(project: &Project, path: &str) -> Option<String> {
    let blobs = fs::read_dir(project.path("out/blobs/sha256")).unwrap();
    blobs.map(|blob| blob.unwrap().path()).find_map(|blob| {
        let tar = Command::new("tar").arg("-xOf").arg(blob).arg(path.trim_start_matches('/')).output().unwrap();
        tar.status.success().then(|| String::from_utf8(tar.stdout).unwrap())
    })
}

/// Returns the variables in the env file, in its order.
pub fn variables(project: &Project) -> Vec<(String, String)> {
    let text = file_in_layout(project, "/.secretbake/env").unwrap();
    let lines = text.split_terminator('\0').map(|line| line.split_once('=').unwrap());
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Bakes a secret `db` by the entries, and returns what is said of it.
fn refused(secret: &str, entries: &str) -> String {
    let project = Project::with_file(&format!("  db: '{secret}'\n  other: '{{\"host\": \"canary\"}}'\n"));
    let ran = project.bake(&format!("{HEAD}{entries}"));
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert!(!ran.stderr.contains("canary") && !project.path("out").exists(), "{}", ran.stderr);
    ran.stderr
}

#[test]
fn each_key_becomes_a_variable_in_the_container_on_every_engine() {
    let moto = Moto::new();
    moto.text("db", r#"{"username":"canary-user","password":"p$1 'x'","port":5432,"ssl-ca":"ca","host":""}"#);
    for engine in Engine::all() {
        let base = engine.load(&TestImage::busybox(json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] })));
        for inject in ["launcher", "config"] {
            let manifest = format!(
                "version: 1\nimage:\n  base: {}\n  tags: [{}]\n  inject: {inject}\nenv_from:\n  - secret: {}\n    prefix: DB_\n    \
                 case: upper\n    rename: {{ ssl-ca: CA }}\nenv:\n  DB_USERNAME: mine\n",
                base.name,
                base.baked(),
                moto.name("db"),
            );
            Project::with_moto(&moto).on(&engine).baked(&manifest);
            let print = "printf '%s|' \"$DB_USERNAME\" \"$DB_PASSWORD\" \"$DB_PORT\" \"$CA\" \"${DB_HOST-unset}\"";
            let said = engine.run(&[&base.baked(), "sh", "-c", print]);
            assert_eq!(String::from_utf8(said).unwrap(), "mine|p$1 'x'|5432|ca||", "{} {inject}", engine.name);
        }
    }
}

#[test]
fn the_variables_are_sorted_and_only_the_listed_keys_are_taken() {
    let project = Project::with_file("  db: '{\"z\": \"1\", \"a\": \"2\", \"not-a-name\": \"3\", \"n\": null}'\n");
    project.baked(&format!("{HEAD}env_from:\n  - {{ secret: db, keys: [z, a] }}\nenv:\n  B: {{ secret: \"db#a\" }}\n"));
    assert_eq!(variables(&project), pairs(&[("a", "2"), ("z", "1"), ("B", "2")]));
}

#[test]
fn an_object_within_the_secret_is_taken_too() {
    let project = Project::with_file("  all: '{\"prod\": {\"a\": {\"b\": 1.10}}}'\n");
    project.baked(&format!("{HEAD}env_from:\n  - secret: \"all#prod\"\n  - secret: \"all#/prod/a\"\n"));
    assert_eq!(variables(&project), pairs(&[("a", "{\"b\": 1.10}"), ("b", "1.10")]));
    let seen: Value = serde_json::from_str(&inspect(&project, "json").stdout).unwrap();
    assert_eq!(seen["provenance"]["variables"]["a"]["key"], "/prod/a");
}

#[test]
fn a_file_of_the_application_holds_them() {
    let project = Project::with_file("  db: '{\"a\": \"1\", \"b\": \"2\"}'\n");
    let head = HEAD.replace("  base", "  inject: file\n  format: json\n  base");
    project.baked(&format!("{head}env_from: [{{ secret: db }}]\n"));
    let text = file_in_layout(&project, "/.secretbake/env").unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({ "a": "1", "b": "2" }));
}

#[test]
fn keys_that_are_no_names_are_listed_with_the_line_to_write() {
    let said = refused(
        r#"{"ssl-ca": "canary", "user": "canary", "1st": "canary"}"#,
        "env_from:\n  - { secret: db, prefix: DB_, case: upper }\n",
    );
    assert_eq!(
        said,
        "deploy.yaml:6:15: env_from[0]: the key \"ssl-ca\" of db does not give a variable name\n  \
         hint: write `rename: { ssl-ca: DB_SSL_CA }`, or list the keys to take under `keys:`\n"
    );
    let said = refused(r#"{"ssl-ca": "canary", "1st": "canary"}"#, "env_from: [{ secret: db }]\n");
    assert_eq!(
        said,
        "deploy.yaml:5:22: env_from[0]: 2 keys of db do not give variable names: \"1st\", \"ssl-ca\"\n  \
         hint: write `rename: { 1st: _1st, ssl-ca: ssl_ca }`, or list the keys to take under `keys:`\n"
    );
}

#[test]
fn two_secrets_that_give_one_name_are_refused_unless_env_has_it() {
    let entries = "env_from:\n  - secret: db\n  - secret: other\n";
    let said = refused(r#"{"host": "canary"}"#, entries);
    assert_eq!(
        said,
        "deploy.yaml:7:13: env_from[1]: the key \"host\" gives the variable host, and so does the key \"host\" of db\n  \
         hint: write `rename: { host: OTHER_NAME }` at one of them, or set host under `env:`\n"
    );
    let project = Project::with_file("  db: '{\"host\": \"1\"}'\n  other: '{\"host\": \"2\", \"x\": \"3\"}'\n");
    project.baked(&format!("{HEAD}{entries}env:\n  host: {{ secret: \"db#host\" }}\n"));
    assert_eq!(variables(&project), pairs(&[("x", "3"), ("host", "1")]));
}

#[test]
fn what_cannot_be_taken_apart_is_refused() {
    let entry = "env_from:\n  - secret: db\n";
    for (secret, entry, said) in [
        (
            "canary",
            entry,
            "deploy.yaml:6:13: env_from[0]: not a JSON object: the value of db is not JSON\n  \
             hint: write `NAME: { secret: \"db\" }` under `env:` for the whole value, or store a JSON object\n",
        ),
        (
            "[\"canary\"]",
            entry,
            "deploy.yaml:6:13: env_from[0]: not a JSON object: the value of db is an array\n  \
             hint: write `NAME: { secret: \"db\" }` under `env:` for the whole value, or store a JSON object\n",
        ),
        (
            r#"{"a": null, "b": "canary"}"#,
            entry,
            "deploy.yaml:6:13: env_from[0].a: the JSON key \"a\" in db is null\n  \
             hint: store a value under the key; for the empty string store \"\"\n  \
             hint: or list the keys to take under `keys:`\n",
        ),
        (
            r#"{"user": "canary"}"#,
            "env_from:\n  - { secret: db, keys: [user, pasword, hots] }\n",
            "deploy.yaml:6:15: env_from[0]: JSON key not found: \"pasword\" in db\n  hint: its keys are user\n\
             deploy.yaml:6:15: env_from[0]: JSON key not found: \"hots\" in db\n  hint: its keys are user\n\
             2 errors in 1 file\n",
        ),
        (
            r#"{"user": "canary"}"#,
            "env_from:\n  - { secret: db, rename: { usr: USER } }\n",
            "deploy.yaml:6:15: env_from[0]: JSON key not found: \"usr\" in db\n  hint: its keys are user\n",
        ),
        (
            r#"{"user": "canary\u0000"}"#,
            entry,
            "deploy.yaml:6:13: env_from[0].user: the value has a NUL character, which an environment variable cannot hold\n  \
             hint: list the other keys under `keys:`, and put this one under `files:`\n",
        ),
        (
            r#"{"user": "canary"}"#,
            "env_from:\n  - secret: db#inner\n",
            "deploy.yaml:6:13: env_from[0]: JSON key not found: \"inner\" in db\n  hint: its keys are user\n",
        ),
        (
            r#"["canary"]"#,
            "env:\n  A: { secret: db#0, optional: true }\n",
            "deploy.yaml:6:16: env.A: not a JSON object: the value of db has an array where \"0\" needs an object\n  \
             hint: write `secret: db` for the whole value, or `secret: db#/0` for its first item\n",
        ),
    ] {
        assert_eq!(refused(secret, entry), said);
    }
    let project = Project::with_file("  db: '{}'\n");
    let ran = project.bake(&format!("{HEAD}env_from:\n  - secret: none\n"));
    assert!(ran.stderr.starts_with("deploy.yaml:6:13: env_from[0]: secret not found: none"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn an_optional_one_may_be_absent_and_lack_keys() {
    let project = Project::with_file("  db: '{\"a\": \"1\"}'\n");
    project.baked(&format!(
        "{HEAD}env_from:\n  - {{ secret: none, optional: true }}\n  - {{ secret: db, keys: [a, b], optional: true }}\n\
         \x20 - {{ secret: db#inner, optional: true }}\n"
    ));
    assert_eq!(variables(&project), pairs(&[("a", "1")]));
    let lines = inspect(&project, "text").stdout;
    assert!(
        lines.ends_with(
            "env from\n  every key, 0 variables       secret none      with local  absent, left out\n  \
             its listed keys, 1 variable  secret db        with local  version without an ID\n  \
             every key, 0 variables       secret db#inner  with local  absent, left out\n\
             env\n  a  secret db#a  with local  version without an ID\n"
        ),
        "{lines}"
    );
}

#[test]
fn a_name_that_engines_set_is_warned_of_when_it_is_found() {
    let project = Project::with_file("  db: '{\"PATH\": \"canary\"}'\n");
    let ran = project.baked(&format!("{HEAD}env_from: [{{ secret: db }}]\n"));
    assert_eq!(
        ran.stderr,
        "deploy.yaml:5:22: env_from[0].PATH: warning: container engines set this variable, and the launcher does not replace a variable \
         that is set\n  hint: write `inject: config` under `image:`, or give the variable another name\n"
    );
    // one that the manifest names is warned of before, once
    let ran = project.baked(&format!("{HEAD}env_from: [{{ secret: db, keys: [PATH] }}]\n"));
    assert_eq!(ran.stderr.matches("container engines set this variable").count(), 1, "{}", ran.stderr);
}

fn inspect(project: &Project, format: &str) -> Ran {
    let ran = project.run(&["inspect", "oci:out:1", "--format", format]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    ran
}

#[test]
fn one_read_gives_all_of_them() {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:s-AbCdEf";
    let members: String = (0..50).map(|index| format!(r#",\"k{index}\":\"canary\""#)).collect();
    let stub = Stub::answering([Reply::json(
        200,
        &format!(
            r#"{{"ARN":"{arn}","Name":"s","VersionId":"v1","SecretString":"{{\"k\":\"canary\"{members}}}",
               "VersionIdsToStages":{{"v1":["AWSCURRENT"]}}}}"#
        ),
    )]);
    let moto = Moto::new();
    let project = Project::with_moto(&moto).variable("AWS_ENDPOINT_URL", &stub.url());
    let manifest = format!(
        "{HEAD}env_from:\n  - secret: s\n  - {{ secret: s, prefix: B_ }}\nenv:\n  A: {{ secret: \"s#k\" }}\n  W: {{ secret: s }}\n"
    );
    project.baked(&manifest);
    assert_eq!(stub.operations(), ["GetSecretValue"]);
    assert_eq!(variables(&project).len(), 2 * 51 + 2);
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(stub.operations(), ["GetSecretValue", "GetSecretValue"]);
}

#[test]
fn online_shows_the_names_found_and_every_mistake_in_them() {
    let project =
        Project::with_file("  db: '{\"user\": \"canary\", \"host\": \"canary\"}'\n  other: '{\"host\": \"canary\"}'\n");
    let entry = "env_from:\n  - { secret: db, prefix: DB_, case: upper }\n  - secret: other\n";
    project.write("deploy.yaml", &format!("{HEAD}{entry}"));
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert!(
        ran.stdout.ends_with("\nonline:\n  db: found\n    DB_HOST\n    DB_USER\n  other: found\n    host\n"),
        "{}",
        ran.stdout
    );
    assert_eq!(
        (ran.status, ran.stderr.as_str()),
        (Some(0), "dry run: 1 image, 2 of 2 references found; nothing was written\n")
    );
    assert!(!ran.stdout.contains("canary"));
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online", "--format", "json"]);
    let plan: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(plan["online"]["references"][0]["names"], json!(["DB_HOST", "DB_USER"]));

    project.write("deploy.yaml", &format!("{HEAD}env_from:\n  - secret: db\n  - secret: other\n"));
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert!(ran.stdout.ends_with("  other: found, a key gives no variable\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("env_from[1]: the key \"host\" gives the variable host"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn drift_tells_a_rotation_of_each_variable_and_a_secret_that_appeared() {
    let project = Project::with_file("  db: { value: '{\"a\": \"1\", \"b\": \"2\"}', version_id: v1 }\n");
    let manifest = format!("{HEAD}env_from:\n  - secret: db\n  - {{ secret: late, optional: true }}\n");
    project.baked(&manifest);
    assert_eq!(project.run(&["drift", "oci:out:1"]).stdout, "oci:out:1: current\n");
    project.write(
        "secrets.yaml",
        "version: 1\nsecrets:\n  db: { value: '{\"a\": \"1\", \"c\": \"3\"}', version_id: v2 }\n  late: '{\"d\": \"4\"}'\n",
    );
    let ran = project.run(&["drift", "oci:out:1"]);
    assert_eq!(
        ran.stdout,
        "oci:out:1: drifted\n  \
         a            secret db with local    rotated: baked v1, AWSCURRENT is v2\n  \
         b            secret db with local    rotated: baked v1, AWSCURRENT is v2\n  \
         env_from[1]  secret late with local  was absent, and exists now\n\
         1 of 1 image drifted: run secretbake rebake oci:out:1\n"
    );
    assert_eq!(ran.status, Some(3));
}

#[test]
fn the_same_secret_gives_the_same_image_and_another_one_does_not() {
    let project = Project::with_file("  db: '{\"a\": \"1\", \"b\": \"2\"}'\n");
    let manifest = format!("{HEAD}env_from: [{{ secret: db }}]\n");
    let status = |ran: Ran| serde_json::from_str::<Value>(&ran.stdout).unwrap()["images"][0]["status"].clone();
    let bake = || status(project.run(&["bake", "deploy.yaml", "--format", "json"]));
    project.write("deploy.yaml", &manifest);
    assert_eq!(bake(), "baked");
    assert_eq!(bake(), "unchanged");
    // the order of its keys says nothing
    project.write("secrets.yaml", "version: 1\nsecrets:\n  db: '{\"b\": \"2\", \"a\": \"1\"}'\n");
    assert_eq!(bake(), "unchanged");
    project.write("secrets.yaml", "version: 1\nsecrets:\n  db: '{\"b\": \"2\", \"a\": \"3\"}'\n");
    assert_eq!(bake(), "baked");
}
