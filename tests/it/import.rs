//! "I have a .env / compose file / task definition / Deployment": what comes out passes `check` and has no secret in it.

use std::path::Path;

use snapbox::{Data, assert_data_eq};

use crate::support::project::{Project, Ran};

fn import(form: &str, file: &str, more: &[&str]) -> Ran {
    let project = Project::empty();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/import").join(file);
    project.write(file, &std::fs::read_to_string(path).unwrap());
    project.run(&[&["import", form, file], more].concat())
}

#[test]
fn each_form_becomes_a_manifest_that_passes_check_once_it_is_filled_in() {
    for (form, file, more) in [
        ("dotenv", "dotenv.env", &[][..]),
        ("compose", "compose.yaml", &["--container", "api"]),
        ("ecs", "ecs.json", &[]),
        ("k8s", "k8s.yaml", &[]),
    ] {
        let ran = import(form, file, more);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/import");
        assert_data_eq!(&ran.stdout, Data::read_from(&fixtures.join(format!("{form}.manifest.yaml")), None).raw());
        assert_data_eq!(&ran.stderr, Data::read_from(&fixtures.join(format!("{form}.stderr")), None).raw());
        let said = format!("{ran:?}");
        assert!(!said.contains("canary") && !said.contains("hunter2") && !said.contains("AKIA"), "{said}");

        let project = Project::empty();
        project.write(
            "org.yaml",
            &(std::fs::read_to_string(fixtures.join("../org/aws.yaml")).unwrap()
                + "  - { name: params, provider: aws-parameter-store, region: us-east-1, default: true }\n"),
        );
        project.write("deploy.yaml", &ran.stdout);
        let check = || project.run(&["check", "deploy.yaml", "--org", "org.yaml"]);
        let checked = check();
        let placeholders = checked.stderr.matches("deploy.yaml:").count();
        assert!(checked.stderr.contains(": still the placeholder of `secretbake import`\n"), "{}", checked.stderr);
        assert_eq!((checked.status, placeholders), (Some(2), ran.stdout.matches("# TODO").count()), "{form}");
        project.write("deploy.yaml", &ran.stdout.replace("fill-in/", ""));
        let checked = check();
        let said = "checked 1 manifest: no problems\n";
        assert_eq!((checked.status, checked.stderr.as_str()), (Some(0), said), "{form}");
    }
}

#[test]
fn the_tags_of_a_compose_file_say_nothing_of_its_values() {
    let text = "services:\n  web:\n    image: crew:1\n    ports: !reset []\n    environment: !override\n      LEVEL: !custom info\n      \
                PORT: !!str 8080\n";
    let (manifest, said) = imported("compose", text);
    assert!(manifest.ends_with("env:\n  LEVEL: \"info\"\n  PORT: \"8080\"\n"), "{manifest}");
    assert_eq!(said, "");
}

#[test]
fn a_file_with_a_key_twice_gives_no_manifest() {
    let project = Project::empty();
    project.write("compose.yaml", "services:\n  web:\n    environment:\n      A: b\n      A: c\n");
    let ran = project.run(&["import", "compose", "compose.yaml"]);
    assert_eq!(
        ran.stderr,
        "compose.yaml:5:7: services.web.environment.A: duplicate key, first on line 4\n  hint: remove one of them\n"
    );
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""));
}

#[test]
fn among_several_services_one_is_chosen() {
    let ran = import("compose", "compose.yaml", &[]);
    assert!(
        ran.stderr.contains("has 2 containers\n  hint: choose one with --container NAME: `api`, `worker`"),
        "{}",
        ran.stderr
    );
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""));
    let ran = import("compose", "compose.yaml", &["--container", "none"]);
    assert!(ran.stderr.contains("no container of that name\n  hint: it has `api`, `worker`"), "{}", ran.stderr);
    let ran = import("compose", "compose.yaml", &["--container", "worker"]);
    assert!(ran.stdout.contains("  QUEUE: \"jobs\"\n  TOKEN:\n    secret: \"fill-in/TOKEN\""), "{}", ran.stdout);
}

#[test]
fn what_cannot_be_read_is_said_without_a_value() {
    let project = Project::empty();
    for (form, text, what) in [
        ("dotenv", &b"A=1\nB='canary\n"[..], "in:2:1: not NAME=value"),
        ("dotenv", b"\xff", "in:1:1: not UTF-8 text"),
        ("ecs", b"{\"containerDefinitions\": \"canary\"}", "in:1:"),
        ("ecs", b"{}", "has no containers"),
        ("k8s", b"a: 1\n---\nb: [\n", "not valid YAML"),
        ("compose", b"a: 1\n", "has no containers"),
        ("compose", b"", "the file is empty"),
    ] {
        std::fs::write(project.path("in"), text).unwrap();
        let ran = project.run(&["import", form, "in"]);
        assert!(ran.stderr.contains(what), "{form}: {}", ran.stderr);
        assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""), "{form}");
    }
    let ran = project.run(&["import", "dotenv", "none"]);
    assert!(ran.stderr.contains("cannot read none"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(2));
}

#[test]
fn an_entry_that_is_no_variable_is_named_by_its_line() {
    let project = Project::empty();
    project.write("compose.yaml", "services:\n  a:\n    environment:\n      - A=1\n      - { B: canary }\n");
    let ran = project.run(&["import", "compose", "compose.yaml"]);
    assert!(
        ran.stderr.contains(
            "compose.yaml:5:9: environment: warning: left out: not NAME=VALUE\n  \
             hint: write `- NAME=VALUE`, or all of it as `NAME: VALUE`\n"
        ),
        "{}",
        ran.stderr
    );
    assert!(ran.stdout.contains("  A: \"1\"\n") && !ran.stdout.contains("canary"), "{}", ran.stdout);
}

/// Imports a text, and returns the manifest with what is said of it.
fn imported(form: &str, text: &str) -> (String, String) {
    let project = Project::empty();
    project.write("in", text);
    let ran = project.run(&["import", form, "in"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(!format!("{ran:?}").contains("canary"), "{ran:?}");
    let (said, next) = ran.stderr.rsplit_once("next: ").unwrap();
    assert!(
        next.starts_with("save the manifest as deploy.yaml, ")
            && next.ends_with("run `secretbake check deploy.yaml`\n")
    );
    // how many warnings there are comes before what to do next
    let last = said.trim_end().rfind('\n').map_or(0, |at| at + 1);
    let said = if said[last..].ends_with(" warnings in 1 file\n") { &said[..last] } else { said };
    (ran.stdout, said.to_owned())
}

#[test]
fn an_apostrophe_swallows_no_password() {
    let project = Project::empty();
    project.write(".env", "MSG='tis the season\nDB_PASSWORD=hunter2canary\nNAME='x'\n");
    let ran = project.run(&["import", "dotenv", ".env"]);
    assert_eq!(
        ran.stderr,
        ".env:1:1: the quotes include line 2, which looks like another variable\n  \
         hint: close them on this line; write a value with an apostrophe in \"\n"
    );
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""));
}

#[test]
fn a_value_in_the_place_of_a_name_is_not_shown() {
    let text = "services:\n  a:\n    environment:\n      - TOKEN:hunter2canary\n      - \"PASSWORD: hunter2canary\"\n      \
                - ghp_canarycanary\n      - ghp_canarycanarycanarycanarycanarycanary=x\n      - no_proxy\n";
    let (manifest, said) = imported("compose", text);
    let hint = "write `- NAME=VALUE`, or all of it as `NAME: VALUE`";
    let expected = format!(
        "in:4:9: environment: warning: left out: not NAME=VALUE\n  also at in:5:9: environment\n  also at in:6:9: environment\n  \
         hint: {hint}\n\
         in:7:9: warning: left out: not a variable name\n  hint: start with a letter or `_`, and use only letters, digits and `_`\n\
         in:8:9: no_proxy: warning: left to fill in: its value comes from the environment\n  \
         hint: store the value as a secret and write its name here, or write a plain value\n"
    );
    assert_eq!(said, expected);
    assert!(
        manifest.ends_with("env:\n  no_proxy:\n    secret: \"fill-in/no_proxy\"  # TODO: the secret's name\n"),
        "{manifest}"
    );
}

#[test]
fn compose_merges_within_merges_are_carried_over() {
    let text = "x-base: &base { LOG: debug, BASEONLY: b }\nx-common: &common\n  <<: *base\n  RETRIES: 3\n\
                x-svc: &svc\n  image: crew:1\n  environment:\n    <<: *common\n    A: 1\n\
                x-svc2: &svc2\n  <<: *svc\n  restart: always\nservices:\n  a:\n    <<: *svc2\n";
    let (manifest, said) = imported("compose", text);
    assert_eq!(
        manifest,
        "version: 1\nimage:\n  base: \"crew:1\"\n  tags:\n    - \"fill-in/baked-image\"  # TODO: the name and tag of the baked image\nenv:\n  LOG: \"debug\"\n  BASEONLY: \"b\"\n  RETRIES: \"3\"\n  A: \"1\"\n"
    );
    assert_eq!(said, "");
}

#[test]
fn what_compose_says_more_of_a_mounted_secret_is_named() {
    let text = "services:\n  a:\n    ports: !reset []\n    environment: !override\n      A: 1\n    secrets:\n      - source: db\n        \
                target: db_password\n        uid: \"103\"\n        mode: 0440\n      - { source: ../x }\n    configs: [cfg]\n\
                secrets:\n  db: { external: true, name: prod/db/password }\n";
    let (manifest, said) = imported("compose", text);
    assert_eq!(
        manifest,
        "version: 1\nimage:\n  base: \"fill-in/image\"  # TODO: the image to bake onto\n  tags:\n    - \"fill-in/baked-image\"  # TODO: the name and tag of the baked image\nenv:\n  A: \"1\"\nfiles:\n  \
         \"/run/secrets/db_password\":\n    secret: \"fill-in/prod/db/password\"  # TODO: the secret's name\n"
    );
    assert_eq!(
        said,
        "in:7:9: secrets: warning: its uid, gid or mode is not imported\n  hint: write `owner:` and `mode:` at the file\n\
         in:11:9: secrets: warning: not imported\n  hint: write it under `files:`\n\
         in:12:14: configs: warning: not imported\n  hint: copy them into the image, or write those with a secret under `files:`\n"
    );
}

#[test]
fn a_kubernetes_list_has_its_config_maps_and_secrets() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- kind: ConfigMap\n  metadata: { name: settings }\n  data: { LOG_LEVEL: info }\n\
                - kind: Secret\n  metadata: { name: db }\n  data: { DB_PASSWORD: aHVudGVyMmNhbmFyeQ== }\n\
                - kind: Pod\n  spec:\n    containers:\n    - name: api\n      image: crew:1\n      volumeMounts: []\n      envFrom:\n      \
                - configMapRef: { name: settings }\n      - prefix: DB_\n        secretRef: { name: db, optional: true }\n      env:\n      \
                - { name: DOLLAR, value: \"ca$$h\" }\n      - { value: canary }\n      - { name: HOST, value: \"$(LOG_LEVEL)\" }\n";
    let (manifest, said) = imported("k8s", text);
    assert_eq!(
        manifest,
        "version: 1\nimage:\n  base: \"crew:1\"\n  tags:\n    - \"fill-in/baked-image\"  # TODO: the name and tag of the baked image\nenv_from:\n  - secret: \"fill-in/db\"  # TODO: the secret's name\n    \
         optional: true\n    prefix: \"DB_\"\nenv:\n  LOG_LEVEL: \"info\"\n  DOLLAR: \"ca$h\"\n  HOST:\n    \
         secret: \"fill-in/HOST\"  # TODO: the secret's name\n"
    );
    assert_eq!(
        said,
        "in:22:9: env: warning: left out: it has no name\n  hint: write `- name: NAME` and `value: VALUE`\n\
         in:23:9: HOST: warning: left to fill in: its value contains other variables\n  \
         hint: store the value as a secret and write its name here, or write a plain value\n\
         in:15:21: volumeMounts: warning: not imported\n  hint: write a secret that is mounted under `files:`\n"
    );
}

#[test]
fn every_ordinary_task_definition_is_read() {
    const NOTHING: &str = "version: 1\nimage:\n  base: \"crew:1\"\n  tags:\n    - \"fill-in/baked-image\"  # TODO: the name and tag of the baked image\nenv: {}\n";
    let container = |more: &str| format!("{{\"name\": \"api\", \"image\": \"crew:1\"{more}}}");
    let (manifest, said) = imported("ecs", &format!("[{}]", container("")));
    assert_eq!((manifest.as_str(), said.as_str()), (NOTHING, ""));
    let definition = |more: &str| format!("{{\"containerDefinitions\": [{}]}}", container(more));
    let (manifest, said) =
        imported("ecs", &definition(", \"environment\": null, \"secrets\": null, \"environmentFiles\": null"));
    assert_eq!((manifest.as_str(), said.as_str()), (NOTHING, ""));
    let (manifest, said) = imported(
        "ecs",
        &definition(
            ", \"environment\": [{\"name\": \"PORT\", \"value\": 8080}, {\"name\": \"RATIO\", \"value\": 1.10}, \
             {\"name\": \"DEBUG\", \"value\": true}, {\"name\": \"NONE\", \"value\": null}, {\"name\": \"LIST\", \"value\": [1]}]",
        ),
    );
    assert!(
        manifest.contains(
            "env:\n  PORT: \"8080\"\n  RATIO: \"1.10\"\n  DEBUG: \"true\"\n  NONE: \"\"\n  LIST:\n    secret: \"fill-in/LIST\""
        ),
        "{manifest}"
    );
    assert!(said.starts_with("in:1:212: LIST: warning: left to fill in: its value is not a text\n"), "{said}");
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf";
    let secrets = format!(", \"secrets\": [{{\"name\": \"PINNED\", \"valueFrom\": \"{arn}:::v1\"}}]");
    let (manifest, said) = imported("ecs", &definition(&secrets));
    assert!(manifest.contains("  PINNED:\n    secret: \"fill-in/PINNED\"  # TODO"), "{manifest}");
    assert!(said.starts_with("in:1:74: PINNED: warning: left to fill in: its version ID is not one\n"), "{said}");
}

#[test]
fn a_command_that_goes_around_the_launcher_is_named_with_the_line_to_write() {
    let what = "replaces the image's ENTRYPOINT, so the launcher does not run and sets no variable";
    let or = "or `inject: config` under `image:` in the manifest";
    for (form, text, field, line) in [
        (
            "k8s",
            "kind: Pod\nspec:\n  containers:\n  - { name: a, image: crew:1, command: [sh, -c, \"exec serve\"] }\n",
            "4:40: command",
            "command: [\"/.secretbake/launch\", \"sh\", \"-c\", \"exec serve\"]",
        ),
        (
            "ecs",
            "[{\"name\": \"a\", \"image\": \"crew:1\", \"entryPoint\": [\"serve\", \"--password=canary\"]}]",
            "1:49: entryPoint",
            "\"entryPoint\": [\"/.secretbake/launch\", …the command…]",
        ),
        (
            "compose",
            "services:\n  a:\n    image: crew:1\n    entrypoint: /app/run --fast\n",
            "4:17: entrypoint",
            "entrypoint: [\"/.secretbake/launch\", \"/app/run\", \"--fast\"]",
        ),
    ] {
        let (_, said) = imported(form, text);
        assert_eq!(said, format!("in:{field}: warning: {what}\n  hint: write `{line}` there, {or}\n"));
    }
    let fixed = "services:\n  a:\n    image: crew:1\n    entrypoint: [/.secretbake/launch, /app/run]\n";
    assert_eq!(imported("compose", fixed).1, "");
}

#[test]
fn a_default_in_compose_becomes_the_plain_value_unless_it_may_be_secret() {
    let text = "services:\n  a:\n    image: crew:1\n    environment:\n      TZ: ${TZ:-UTC}\n      \
                URL: http://${HOST-localhost}:${PORT:-80}/$$x\n      API_KEY: ${API_KEY:-hunter2canary}\n      OPEN: ${A:-${B}}\n";
    let (manifest, said) = imported("compose", text);
    assert_eq!(
        manifest,
        "version: 1\nimage:\n  base: \"crew:1\"\n  tags:\n    - \"fill-in/baked-image\"  # TODO: the name and tag of the baked image\nenv:\n  TZ: \"UTC\"\n  URL: \"http://localhost:80/$x\"\n  API_KEY:\n    \
         secret: \"fill-in/API_KEY\"  # TODO: the secret's name\n  OPEN:\n    secret: \"fill-in/OPEN\"  # TODO: the secret's name\n"
    );
    assert!(
        said.starts_with(
            "in:5:7: TZ: warning: the default in the file is taken as its value\n  also at in:6:7: URL\n  hint: check that it is the one to bake\n"
        ),
        "{said}"
    );
}

#[test]
fn a_password_among_the_words_of_a_value_is_left_to_fill_in() {
    let text = "services:\n  a:\n    image: crew:1\n    environment:\n      A: Server=db;Uid=sa;Pwd = hunter2canary\n      \
                B: mysql -uroot -phunter2canary\n      C: sshpass -p hunter2canary ssh db\n      D: curl -u admin:hunter2canary http://db\n      \
                E: https://discordapp.com/api/webhooks/1/canary\n";
    let (manifest, _) = imported("compose", text);
    for name in ["A", "B", "C", "D", "E"] {
        assert!(manifest.contains(&format!("  {name}:\n    secret: \"fill-in/{name}\"")), "{manifest}");
    }
}

#[test]
fn a_default_in_a_dotenv_file_becomes_the_plain_value_as_in_compose() {
    let text = "TZ=${TZ:-UTC}\nURL=\"http://${HOST:-localhost}/x\"\nLITERAL='${TZ:-UTC}'\nAPI_KEY=${API_KEY:-hunter2canary}\n\
                PID=\"${A:-b}$$\"\nPRICE=\"\\$5 ${A:-b}\"\nHOME_DIR=$HOME\n";
    let (manifest, said) = imported("dotenv", text);
    assert!(
        manifest.contains(
            "env:\n  TZ: \"UTC\"\n  URL: \"http://localhost/x\"\n  LITERAL: \"${TZ:-UTC}\"\n  API_KEY:\n    \
             secret: \"fill-in/API_KEY\""
        ),
        "{manifest}"
    );
    assert_eq!(
        said,
        "in:1:1: TZ: warning: the default in the file is taken as its value\n  also at in:2:1: URL\n  \
         hint: check that it is the one to bake\n\
         in:4:1: API_KEY: warning: left to fill in: a variable of this name may hold a secret\n  \
         also at in:5:1: PID: its value contains other variables\n  \
         also at in:6:1: PRICE: its value contains other variables\n  \
         also at in:7:1: HOME_DIR: its value comes from the environment\n  \
         hint: store the value as a secret and write its name here, or write a plain value\n"
    );
}

#[test]
fn a_place_in_a_task_definition_counts_lines_and_characters() {
    let text = "{\n  \"family\": \"größe\",\n  \"containerDefinitions\": [{\n    \"name\": \"größe\", \"image\": \"$IMAGE\",\n    \
                \"environment\": [{ \"name\": \"A\", \"value\": [] }]\n  }]\n}\n";
    let (_, said) = imported("ecs", text);
    assert!(said.starts_with("in:4:31: image: warning: the image's name is not copied\n"), "{said}");
    assert!(said.contains("\nin:5:21: A: warning: left to fill in: its value is not a text\n"), "{said}");
}

#[test]
fn an_empty_file_of_another_tool_is_not_told_how_a_manifest_begins() {
    let project = Project::empty();
    project.write("compose.yaml", "");
    let ran = project.run(&["import", "compose", "compose.yaml"]);
    assert_eq!(ran.stderr, "compose.yaml:1:1: the file is empty\n  hint: is this the right file?\n");
    assert_eq!(ran.status, Some(2));
}
