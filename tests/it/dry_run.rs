//! "What would it do?": the plan without the world, and with it.

use std::process::Command;

use serde_json::Value;

use crate::support::moto::Moto;
use crate::support::project::Project;
use crate::support::stub::{Reply, Stub};

const HEAD: &str = "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\nenv:\n";

#[test]
fn a_dry_run_makes_no_connection_and_reads_no_key() {
    // the org file names a key that is not there and an engine that is not there: neither is looked for
    let moto = Moto::new();
    let project =
        Project::with_moto(&moto).variable("TEST_SECRET_KEY", "").variable("DOCKER_HOST", "tcp://192.0.2.1:1");
    project.write("deploy.yaml", "version: 1\nimage:\n  base: crew:1\n  tags: [crew:2]\nenv:\n  A: { secret: a }\n");
    let traced = project.path("trace");
    for command in [&["bake", "deploy.yaml", "--dry-run"][..], &["check", "deploy.yaml"]] {
        let secretbake = project.command(command);
        let mut strace = Command::new("strace");
        strace.args(["-f", "-e", "trace=socket,connect,sendto,sendmsg", "-o"]).arg(&traced);
        strace.arg(secretbake.get_program()).args(secretbake.get_args()).env_clear();
        strace.current_dir(secretbake.get_current_dir().unwrap());
        strace.envs(secretbake.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = strace.output().expect("strace is installed by scripts/test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let calls = std::fs::read_to_string(&traced).unwrap();
        assert!(calls.contains("exited with 0"), "{calls}");
        let sockets: Vec<&str> = calls.lines().filter(|line| line.contains('(')).collect();
        assert!(sockets.is_empty(), "{sockets:#?}");
    }
}

#[test]
fn warnings_are_part_of_the_json_plan() {
    let project = Project::with_file("  a: canary\n");
    project.write("deploy.yaml", &format!("{HEAD}  KEY: AKIAIOSFODNN7EXAMPLE\n"));
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--format", "json"]);
    let plan: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(plan["warnings"][0]["code"], "credential-in-clear");
    let end = "dry run: 1 image, 0 secrets to read; nothing was read or written\n";
    assert_eq!((ran.stderr.as_str(), ran.status), (end, Some(0)));
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run"]);
    assert!(ran.stderr.contains("warning: the plain value looks like"), "{}", ran.stderr);
    // without the line, which moves when another variable comes
    let end = "\nwarnings:\n  deploy.yaml: env.KEY: the plain value looks like an AWS access key ID\n";
    assert!(ran.stdout.ends_with(end), "{}", ran.stdout);
    assert!(ran.stdout.contains("    KEY = (not shown: it looks like an AWS access key ID)\n"), "{}", ran.stdout);
    assert!(plan["images"][0]["env"][0].get("value").is_none());
}

/// Returns the lines that a change of the manifest takes out of the plan and puts in.
fn changed(project: &Project, from: &str, to: &str) -> (Vec<String>, Vec<String>) {
    let plan = |manifest: &str| -> Vec<String> {
        project.write("deploy.yaml", manifest);
        let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--org", "org.yaml"]);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        ran.stdout.lines().map(str::to_owned).collect()
    };
    let (before, after) = (plan(from), plan(to));
    let without = |lines: &[String], others: &[String]| -> Vec<String> {
        lines.iter().filter(|line| !others.contains(line)).cloned().collect()
    };
    let (gone, new) = (without(&before, &after), without(&after, &before));
    // the lines that stay are in the same order
    let kept = |lines: &[String], changed: &[String]| without(lines, changed);
    assert_eq!(kept(&before, &gone), kept(&after, &new));
    (gone, new)
}

#[test]
fn one_change_of_a_manifest_changes_only_the_lines_of_what_changed() {
    let project = Project::empty();
    let org = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/org/aws.yaml")).unwrap();
    project.write("org.yaml", &org);
    let manifest = "version: 1\nimage:\n  base: crew:1\n  tags: [crew:2]\nenv:\n  LEVEL: info\n  A: { secret: a }\n  B: { secret: b }\n\
                    files:\n  /f: { secret: f }\n";
    for (from, to, gone, new) in [
        // a name longer than every other, first of all, of a secret that has a read already
        (
            "  LEVEL: info\n",
            "  A_NAME_THAT_IS_LONGER_THAN_EVERY_OTHER: { secret: b }\n  LEVEL: info\n",
            &[][..],
            &["    A_NAME_THAT_IS_LONGER_THAN_EVERY_OTHER = secret b"][..],
        ),
        // a new secret of another credential
        (
            "  A: {",
            "  NEW: { secret: aa, credential: aws-eu }\n  A: {",
            &[],
            &[
                "    NEW = secret aa, credential aws-eu",
                "  aa, credential aws-eu",
                "  aws-eu: aws-secrets-manager in eu-central-1",
            ],
        ),
        ("LEVEL: info", "LEVEL: debug", &["    LEVEL = \"info\""], &["    LEVEL = \"debug\""]),
        (
            "{ secret: b }",
            "{ secret: b, version_stage: AWSPREVIOUS }",
            &["    B = secret b", "  b"],
            &["    B = secret b, stage AWSPREVIOUS", "  b, stage AWSPREVIOUS"],
        ),
        ("{ secret: b }", "{ secret: b, optional: true }", &["    B = secret b"], &["    B = secret b, optional"]),
        ("{ secret: f }", "{ secret: f, mode: '0400' }", &["    /f = secret f"], &["    /f = secret f, mode 0400"]),
        ("  B: { secret: b }\n", "", &["    B = secret b", "  b"], &[]),
        ("[crew:2]", "[crew:2, crew:3]", &[], &["  tag: crew:3"]),
        (
            "base: crew:1\n",
            "base: crew:1\n  inject: config\n",
            &["    A = secret a", "    B = secret b"],
            &["  inject: config", "    A = secret a, in the config", "    B = secret b, in the config"],
        ),
    ] {
        let (was, is) = changed(&project, manifest, &manifest.replace(from, to));
        assert_eq!(
            (was, is),
            (gone.iter().map(|s| (*s).to_owned()).collect(), new.iter().map(|s| (*s).to_owned()).collect())
        );
    }
}

#[test]
fn online_says_of_each_reference_whether_it_is_there_and_writes_nothing() {
    let moto = Moto::new();
    moto.text("db", "{\"password\":\"canary-1\"}");
    moto.text("whole", "canary-2");
    let second = moto.rotate("whole", "canary-3");
    let project = Project::with_moto(&moto);
    let (db, whole, none) = (moto.name("db"), moto.name("whole"), moto.name("none"));
    project.write(
        "deploy.yaml",
        &format!(
            "{HEAD}  A: {{ secret: \"{db}#password\" }}\n  B: {{ secret: \"{db}#pasword\" }}\n  C: {{ secret: {whole} }}\n  \
             D: {{ secret: {none} }}\n  E: {{ secret: {none}, optional: true }}\n  F: {{ secret: \"{whole}#key\" }}\n  \
             G: {{ secret: {whole}, version_stage: BLUE }}\n  H: {{ secret: {whole}, version_id: {second} }}\n"
        ),
    );
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    let said: Vec<&str> = ran.stdout.lines().skip_while(|line| !line.starts_with("online")).collect();
    let ends = [
        "found, key present",
        "found, key missing",
        "found",
        "not found",
        "absent, left out",
        "found, not a JSON object",
        "not found",
        "found",
    ];
    assert_eq!(said[0], "online:", "{}", ran.stdout);
    for (line, end) in said[1..].iter().zip(ends) {
        assert!(line.ends_with(&format!(": {end}")), "{line}");
    }
    for (place, what) in [
        ("deploy.yaml:7:16", "JSON key not found: \"pasword\""),
        ("deploy.yaml:9:16", "secret not found"),
        ("deploy.yaml:11:16", "not a JSON object"),
        ("deploy.yaml:12:16", "has none with the stage BLUE"),
    ] {
        assert!(ran.stderr.lines().any(|line| line.starts_with(place) && line.contains(what)), "{}", ran.stderr);
    }
    assert_eq!(ran.stderr.matches("deploy.yaml:").count(), 4, "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));
    assert!(!project.path("out").exists());

    let json = project.run(&["bake", "deploy.yaml", "--dry-run", "--online", "--format", "json"]);
    let plan: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(plan["online"]["references"][1]["status"], "key-missing");
    assert_eq!(plan["online"]["diagnostics"][0]["code"], "key-not-found");
    assert!(!format!("{ran:?}{json:?}").contains("canary"));
}

#[test]
fn online_reads_a_secret_only_where_a_key_is_wanted() {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:s-AbCdEf";
    let stub = Stub::answering([Reply::json(
        200,
        &format!(
            r#"{{"ARN":"{arn}","Name":"s","VersionId":"v1","SecretString":"{{\"k\":\"canary\"}}",
               "VersionIdsToStages":{{"v1":["AWSCURRENT"]}}}}"#
        ),
    )]);
    let moto = Moto::new();
    let project = Project::with_moto(&moto).variable("AWS_ENDPOINT_URL", &stub.url());
    project.write("deploy.yaml", &format!("{HEAD}  A: {{ secret: whole }}\n  B: {{ secret: whole }}\n"));
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(stub.operations(), ["DescribeSecret"]);
    project.write("deploy.yaml", &format!("{HEAD}  A: {{ secret: \"s#k\" }}\n  B: {{ secret: s }}\n"));
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(stub.operations()[1..], ["GetSecretValue"]);
}

#[test]
fn online_says_what_is_not_allowed_even_where_it_is_optional() {
    let denial = r#"{"__type":"AccessDeniedException","Message":"User: arn:aws:iam::123456789012:user/u is not authorized to perform: secretsmanager:DescribeSecret on resource: s because no identity-based policy allows the secretsmanager:DescribeSecret action"}"#;
    let stub = Stub::answering([Reply::json(400, denial)]);
    let moto = Moto::new();
    let project = Project::with_moto(&moto).variable("AWS_ENDPOINT_URL", &stub.url());
    project.write("deploy.yaml", &format!("{HEAD}  A: {{ secret: s, optional: true }}\n"));
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert!(ran.stdout.ends_with("\nonline:\n  s: not allowed\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("deploy.yaml:6:16: env.A: "), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn online_alone_is_no_bake() {
    let ran = Project::empty().run(&["bake", "deploy.yaml", "--online"]);
    assert!(ran.stderr.contains("--dry-run"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(2));
}

#[test]
fn the_names_of_a_secrets_keys_move_no_cursor_and_make_no_line() {
    let project = Project::with_file("  a: '{\"\\u001b[2J\\n::error::x\": \"canary\"}'\n");
    project.write("deploy.yaml", "version: 1\nenv: { A: { secret: 'a#key' } }\n");
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert!(
        ran.stderr.contains("JSON key not found: \"key\" in a\n  hint: its keys are \"\\u{1b}[2J\\n::error::x\"\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_repeated_key_is_warned_of_online_as_in_a_bake() {
    let project = Project::with_file("  json: '{\"a\": \"canary-1\", \"a\": \"canary-2\"}'\n");
    project.write(
        "deploy.yaml",
        "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv:\n  A: { secret: \"json#a\" }\n",
    );
    let warning = "deploy.yaml:4:16: env.A: warning: the JSON of json has the key \"a\" more than once; the last one counts\n  \
                   hint: store each key once: other readers may take the first\n";
    for arguments in [&["bake", "deploy.yaml", "--dry-run", "--online"][..], &["bake", "deploy.yaml"]] {
        let ran = project.run(arguments);
        assert_eq!(ran.status, Some(0), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(warning), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn online_tells_a_null_a_value_that_is_no_object_and_a_key_that_is_no_name_from_a_missing_key() {
    let project = Project::with_file(
        "  j: '{\"null\": null, \"a b\": \"canary\"}'\n  o: '{\"k\": \"canary\"}'\n  list: '[\"canary\"]'\n  text: canary\n",
    );
    project.write(
        "deploy.yaml",
        "version: 1\nenv:\n  A: { secret: \"j#null\" }\n  B: { secret: \"j#none\" }\n  C: { secret: \"text#k\" }\n  \
         D: { secret: \"list#k\" }\nenv_from:\n  - secret: j\n  - { secret: o, keys: [none] }\n  \
         - secret: list\n  - secret: text\n",
    );
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    let (_, said) = ran.stdout.split_once("\nonline:\n").unwrap();
    assert_eq!(
        said,
        "  j: found, a key gives no variable\n  o: found, key missing\n  list: found, not a JSON object\n  text: found, not a JSON object\n  \
         j#null: found, key is null\n  j#none: found, key missing\n  text#k: found, not a JSON object\n  \
         list#k: found, not a JSON object\n"
    );
    assert_eq!(ran.status, Some(1));
    let json = project.run(&["bake", "deploy.yaml", "--dry-run", "--online", "--format", "json"]);
    let plan: Value = serde_json::from_str(&json.stdout).unwrap();
    let statuses: Vec<&str> = plan["online"]["references"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reference| reference["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses[..5], ["key-unusable", "key-missing", "not-an-object", "not-an-object", "key-null"]);
    crate::schema::holds(&crate::schema::schema("plan"), &plan, "the plan");
}

#[test]
fn one_tag_for_several_manifests_is_refused() {
    let project = Project::with_file("  a: canary\n");
    for file in ["one.yaml", "two.yaml"] {
        project.write(file, "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv: { A: { secret: a } }\n");
    }
    let ran = project.run(&["bake", "one.yaml", "--tag", "oci:out:2", "--dry-run"]);
    assert!(ran.status == Some(0) && ran.stdout.contains("  tag: oci:out:2\n"), "{ran:?}");
    let ran = project.run(&["bake", "one.yaml", "two.yaml", "--tag", "oci:out:2", "--dry-run"]);
    assert_eq!(
        (ran.status, ran.stderr.as_str()),
        (
            Some(2),
            "error: --tag with more than one manifest: their images would replace each other\n  \
             hint: write the tags in the manifests, or bake one manifest at a time\n"
        )
    );
}

#[test]
fn the_plans_of_several_manifests_are_apart_and_what_they_read_is_at_the_end() {
    let project = Project::with_file("  a: canary\n  b: canary\n");
    for (file, tag, secret) in [("one.yaml", "oci:out:1", "b"), ("two.yaml", "oci:out:2", "a")] {
        let image = format!("image: {{ base: scratch, tags: ['{tag}'] }}");
        project.write(file, &format!("version: 1\n{image}\nenv: {{ TOKEN: {{ secret: {secret} }} }}\n"));
    }
    let ran = project.run(&["bake", "one.yaml", "two.yaml", "--dry-run"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let expected = [
        "one.yaml\n  base: scratch\n  tag: oci:out:1\n  env:\n    TOKEN = secret b\n",
        "two.yaml\n  base: scratch\n  tag: oci:out:2\n  env:\n    TOKEN = secret a\n",
        "secrets read:\n  a\n  b\n",
        "credentials:\n  local: file, the default\n",
    ];
    assert_eq!(ran.stdout, expected.join("\n"));
}

#[test]
fn what_has_a_secret_is_sealed() {
    let project = Project::with_file("  a: canary\n");
    let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    for (content, is_sealed) in [
        ("env: { A: { secret: a } }", true),
        ("env_from: [{ secret: a }]", true),
        ("files: { /a: { secret: a, owner: \"0:0\" } }", true),
        ("env: { A: plain }", false),
    ] {
        let image = format!("{{ base: scratch, tags: [\"oci:out:1\"], seal: {{ recipients: [{recipient}] }} }}");
        project.write("deploy.yaml", &format!("version: 1\nimage: {image}\n{content}\n"));
        let plan = project.run(&["bake", "deploy.yaml", "--dry-run"]).stdout;
        assert_eq!(plan.contains(&format!("  sealed for: {recipient}\n")), is_sealed, "{content}: {plan}");
    }
}

#[test]
fn a_provider_without_a_credential_is_to_be_added_to_the_org_file() {
    let project = Project::with_file("  a: canary\n");
    let ran = project.bake(
        "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\n\
         env: { A: { secret: /a, provider: aws-parameter-store } }\n",
    );
    assert_eq!(
        ran.stderr,
        "deploy.yaml:3:21: env.A: no credential found: no default for provider aws-parameter-store\n  \
         hint: add a credential of that provider to secretbake.org.yaml\n"
    );
}
