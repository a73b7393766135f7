//! "Make one value of several secrets": `template:` and `with:`, judged by the parsers of those who read the values.

use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::env_from::file_in_layout;
use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::moto::Moto;
use crate::support::project::{Project, Ran};
use crate::support::stub::{Reply, Stub};
use crate::support::variable;

const HEAD: &str = "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\n";
const SECRETS: &str = "  db: { value: '{\"user\": \"crew\", \"password\": \"canary @:/?#%\", \"host\": \"db\"}', version_id: v1 }\n  \
                       binary: { base64: AP8= }\n";

/// Returns the variables of the env file in the layout.
fn variables(project: &Project) -> Vec<(String, String)> {
    let text = file_in_layout(project, "/.secretbake/env").unwrap_or_default();
    let lines = text.split_terminator('\0').map(|line| line.split_once('=').unwrap());
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn refused(entry: &str) -> String {
    let project = Project::with_file(SECRETS);
    let ran = project.bake(&format!("{HEAD}{entry}"));
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert!(!ran.stderr.contains("canary") && !project.path("out").exists(), "{}", ran.stderr);
    ran.stderr
}

#[test]
fn a_composed_value_reaches_the_container_on_every_engine() {
    let moto = Moto::new();
    moto.text("db", r#"{"user":"crew","password":"canary @:/?#%'\"","host":"db"}"#);
    for engine in Engine::all() {
        let base = engine.load(&TestImage::busybox(json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] })));
        for inject in ["launcher", "config"] {
            let with = ["user", "password", "host"]
                .map(|name| format!("      {name}: {{ secret: \"{}\" }}\n", moto.name(&format!("db#{name}"))))
                .concat();
            let manifest = format!(
                "version: 1\nimage:\n  base: {}\n  tags: [{}]\n  inject: {inject}\nenv:\n  URL:\n    \
                 template: \"postgres://{{{{user}}}}:{{{{password | url}}}}@{{{{host}}}}/crew\"\n    with:\n{with}\
                 files:\n  /pgpass:\n    template: |\n      {{{{host}}}}:5432:crew:{{{{user}}}}:{{{{password}}}}\n    with:\n{with}",
                base.name,
                base.baked(),
            );
            Project::with_moto(&moto).on(&engine).baked(&manifest);
            let said = engine.run(&[&base.baked(), "sh", "-c", "printf '%s\\n' \"$URL\"; cat /pgpass"]);
            assert_eq!(
                String::from_utf8(said).unwrap(),
                "postgres://crew:canary%20%40%3A%2F%3F%23%25%27%22@db/crew\ndb:5432:crew:crew:canary @:/?#%'\"\n",
                "{} {inject}",
                engine.name
            );
        }
    }
}

#[test]
fn each_filter_and_the_literal_braces_do_what_they_say() {
    let project = Project::with_file(SECRETS);
    project.baked(&format!(
        "{HEAD}env:\n  A:\n    template: \"{{{{{{{{p}}}}=<{{{{p | url}}}}|{{{{ p|base64 }}}}|{{{{p | shell}}}}|{{{{b | base64 | json}}}}>\"\n    \
         with: {{ p: {{ secret: \"db#password\" }}, b: {{ secret: binary }} }}\n"
    ));
    let expected = "{{p}}=<canary%20%40%3A%2F%3F%23%25|Y2FuYXJ5IEA6Lz8jJQ==|'canary @:/?#%'|AP8=>";
    assert_eq!(variables(&project), [("A".to_owned(), expected.to_owned())]);
}

#[test]
fn with_an_absent_optional_part_the_whole_value_is_left_out() {
    let project = Project::with_file(SECRETS);
    let entry = "template: \"{{user}}{{none}}\"\n    with: { user: { secret: \"db#user\" }, none: { secret: none, optional: true } }\n";
    project.baked(&format!("{HEAD}env:\n  KEPT: kept\n  A:\n    {entry}files:\n  /f:\n    {entry}"));
    assert_eq!((variables(&project), file_in_layout(&project, "/f")), (Vec::new(), None));
    let ran = project.run(&["inspect", "oci:out:1"]);
    assert!(
        ran.stdout.ends_with(
            "env\n  A {{none}}  secret none     with local  absent, left out\n  A {{user}}  secret db#user  with local  version v1\n\
             files\n  /f {{none}}  secret none     with local  absent, left out\n  /f {{user}}  secret db#user  with local  version v1\n"
        ),
        "{}",
        ran.stdout
    );
    // the secret that was absent is drift when it is there
    project.write("secrets.yaml", &format!("version: 1\nsecrets:\n{SECRETS}  none: canary\n"));
    let ran = project.run(&["drift", "oci:out:1"]);
    assert!(
        ran.stdout.contains("  A {{none}}   secret none with local  was absent, and exists now\n"),
        "{}",
        ran.stdout
    );
    assert_eq!(ran.status, Some(3));
}

#[test]
fn every_missing_part_is_reported_in_one_run() {
    let said = refused(
        "env:\n  A:\n    template: \"{{a}}{{b}}{{c}}\"\n    with:\n      a: { secret: none }\n      b: { secret: \"db#pasword\" }\n      \
         c: { secret: \"db#user\" }\n",
    );
    assert_eq!(said.matches("deploy.yaml:").count(), 2, "{said}");
    assert!(said.contains("deploy.yaml:9:20: env.A.with.a: secret not found: none"), "{said}");
    assert!(said.contains("deploy.yaml:10:20: env.A.with.b: JSON key not found: \"pasword\" in db"), "{said}");
}

#[test]
fn what_cannot_be_composed_is_refused() {
    for (template, said) in [
        (
            "{{b}}",
            "deploy.yaml:8:26: env.A.with.b: the secret is binary, which an environment variable cannot hold\n  \
             hint: write `{{b | base64}}`, or put it under `files:`\n",
        ),
        (
            "{{b | url | base64}}{{b | json}}",
            "deploy.yaml:8:26: env.A.with.b: the secret is binary, which an environment variable cannot hold\n  \
             hint: write `{{b | base64}}`, or put it under `files:`\n",
        ),
    ] {
        let entry = format!("env:\n  A:\n    template: \"{template}\"\n    with: {{ b: {{ secret: binary }} }}\n");
        assert_eq!(refused(&entry), said);
    }
    let entry = "files:\n  /f:\n    template: \"{{b | json}}\"\n    with: { b: { secret: binary } }\n";
    assert_eq!(
        refused(entry),
        "deploy.yaml:8:26: files./f.with.b: the filter `json` takes text, and the value is not UTF-8\n  \
         hint: store another value, or write `{{b | base64}}`\n"
    );
    let entry = entry.replace("json", "shell");
    assert_eq!(
        refused(&entry),
        "deploy.yaml:8:26: files./f.with.b: the value has a NUL character, which no shell can hold\n  \
         hint: store another value, or write `{{b | base64}}`\n"
    );
}

#[test]
fn parts_of_one_secret_are_one_read_and_a_rotation_is_told_of_each() {
    let secret = |version: &str| {
        Reply::json(
            200,
            &format!(
                r#"{{"ARN":"arn:aws:secretsmanager:us-east-1:123456789012:secret:s-AbCdEf","Name":"s","VersionId":"{version}",
                   "SecretString":"{{\"a\":\"canary\",\"b\":\"canary\"}}","VersionIdsToStages":{{"{version}":["AWSCURRENT"]}}}}"#
            ),
        )
    };
    let stub = Stub::answering([secret("v1")]);
    let moto = Moto::new();
    let project = Project::with_moto(&moto).variable("AWS_ENDPOINT_URL", &stub.url());
    let manifest = format!(
        "{HEAD}env:\n  A:\n    template: \"{{{{a}}}}{{{{b}}}}{{{{a}}}}\"\n    \
         with: {{ a: {{ secret: \"s#a\" }}, b: {{ secret: \"s#b\" }} }}\n"
    );
    project.baked(&manifest);
    assert_eq!(stub.operations(), ["GetSecretValue"]);
    let label: Value =
        serde_json::from_str(&project.run(&["inspect", "oci:out:1", "--format", "json"]).stdout).unwrap();
    let origin = &label["provenance"]["variables"]["A"];
    assert_eq!((&origin["template"], &origin["parts"]["b"]["key"]), (&json!("{{a}}{{b}}{{a}}"), &json!("b")));
    assert_eq!(project.run(&["drift", "oci:out:1"]).status, Some(0));
    let later = Stub::answering([secret("v2")]);
    let project = project.variable("AWS_ENDPOINT_URL", &later.url());
    let ran = project.run(&["drift", "oci:out:1"]);
    assert!(ran.stdout.contains("A {{a}}  secret s with aws  rotated: baked v1, AWSCURRENT is v2\n"), "{}", ran.stdout);
    assert_eq!((later.operations().len(), ran.status), (1, Some(3)));
}

#[test]
fn online_proves_each_part() {
    let project = Project::with_file(SECRETS);
    project.write(
        "deploy.yaml",
        &format!(
            "{HEAD}env:\n  A:\n    template: \"{{{{a}}}}{{{{b}}}}\"\n    with: {{ a: {{ secret: \"db#user\" }}, b: {{ secret: \"db#usr\" }} }}\n"
        ),
    );
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert!(
        ran.stdout.ends_with("\nonline:\n  db#user: found, key present\n  db#usr: found, key missing\n"),
        "{}",
        ran.stdout
    );
    assert!(ran.stderr.contains("deploy.yaml:8:52: env.A.with.b: JSON key not found: \"usr\""), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn a_value_that_did_not_change_is_not_written_again() {
    let project = Project::with_file(SECRETS);
    let manifest =
        format!("{HEAD}env:\n  A:\n    template: \"<{{{{a}}}}>\"\n    with: {{ a: {{ secret: \"db#user\" }} }}\n");
    let bake = |manifest: &str| {
        project.write("deploy.yaml", manifest);
        let ran: Ran = project.run(&["bake", "deploy.yaml", "--format", "json"]);
        serde_json::from_str::<Value>(&ran.stdout).unwrap()["images"][0]["status"].clone()
    };
    assert_eq!(bake(&manifest), "baked");
    assert_eq!(bake(&manifest), "unchanged");
    assert_eq!(bake(&manifest.replace("<{{", "({{")), "baked");
}

/// Bakes every value through every filter, and returns what the container gets, in the order of the values.
fn through_filters(values: &[String]) -> Vec<[String; 3]> {
    let secrets = values.iter().enumerate();
    let secrets = secrets.map(|(index, value)| {
        let escaped: String = value.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
        format!("  s{index}: \"{escaped}\"\n")
    });
    let project = Project::with_file(&secrets.collect::<String>());
    let mut manifest = format!("{HEAD}env:\n");
    for index in 0..values.len() {
        let with = format!("    with: {{ v: {{ secret: s{index} }} }}\n");
        for (name, template) in [
            ("U", "postgres://u:{{v | url}}@host/db"),
            ("J", "{\\\"v\\\": \\\"{{v | json}}\\\"}"),
            ("S", "{{v | shell}}"),
        ] {
            manifest += &format!("  {name}{index}:\n    template: \"{template}\"\n{with}");
        }
    }
    project.baked(&manifest);
    let variables = variables(&project);
    variables.chunks(3).map(|three| [0, 1, 2].map(|index| three[index].1.clone())).collect()
}

/// Runs a program with a text on its standard input, and returns what it prints.
fn told(program: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn a_hostile_value_comes_back_from_the_parsers_of_its_readers() {
    // everything that is syntax somewhere, and whatever else there is but NUL, which no variable holds
    let hostile = "[ -~\\n\\t\\r'\"\\\\$`%@:/?#&=+{}\\[\\]é秘🔑\u{7f}\u{85}\u{2028}\u{feff}]{0,40}";
    let strategy = proptest::collection::vec(
        proptest::prop_oneof![
            proptest::string::string_regex(hostile).unwrap(),
            any::<String>().prop_map(|text| text.replace('\0', "")),
        ],
        64,
    );
    let mut runner = TestRunner::new(Config { cases: 4, failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |mut values| {
            values
                .extend(["", "'", "\\", "{{v}}", "$(id)", "%00", "\r\n", "'\\''", "a b", "-n", "é"].map(str::to_owned));
            let baked = through_filters(&values);
            assert_eq!(baked.len(), values.len());
            let urls: Vec<&str> = baked.iter().map(|[url, ..]| url.as_str()).collect();
            assert_eq!(passwords(&urls), [values.clone(), values.clone()]);
            for ([_, json, _], value) in baked.iter().zip(&values) {
                assert_eq!(serde_json::from_str::<Value>(json).unwrap(), json!({ "v": value }));
            }
            let script: String = baked.iter().map(|[.., word]| format!("printf '%s\\0' {word}\n")).collect();
            for shell in ["dash", "bash"] {
                let words = String::from_utf8(told(&mut Command::new(shell), script.as_bytes())).unwrap();
                assert_eq!(words.split_terminator('\0').collect::<Vec<_>>(), values, "{shell}");
            }
            Ok(())
        })
        .unwrap();
}

/// Returns the passwords that Python's `urllib` and SQLAlchemy find in URLs.
fn passwords(urls: &[&str]) -> [Vec<String>; 2] {
    const SCRIPT: &str = "import json, sys, urllib.parse, sqlalchemy\n\
                          urls = json.load(sys.stdin)\n\
                          parts = [urllib.parse.urlsplit(url) for url in urls]\n\
                          assert all(part.hostname == 'host' and part.path == '/db' for part in parts)\n\
                          urllib = [urllib.parse.unquote(part.password) for part in parts]\n\
                          alchemy = [sqlalchemy.make_url(url) for url in urls]\n\
                          assert all(url.host == 'host' and url.database == 'db' for url in alchemy)\n\
                          json.dump([urllib, [url.password for url in alchemy]], sys.stdout)\n";
    let mut python = Command::new(variable("SECRETBAKE_TEST_PYTHON"));
    let found = told(python.args(["-c", SCRIPT]), &serde_json::to_vec(urls).unwrap());
    serde_json::from_slice(&found).unwrap()
}
