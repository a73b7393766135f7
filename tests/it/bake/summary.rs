//! "What did it do, and what do I fix first?" The line that a run ends with, problems of one cause, colours, -q and -v.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;

use serde_json::{Value, json};

use crate::schema::{holds, schema};
use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::project::{Project, Ran};
use crate::support::stub::{Reply, Request, Stub};
use crate::support::terminal;

/// Returns a project with manifests `00.yaml` and so on that have a secret of their own and share one.
fn many(project: &Project, manifests: usize) -> Vec<String> {
    let names: Vec<String> = (0..manifests).map(|number| format!("{number:02}.yaml")).collect();
    for (number, name) in names.iter().enumerate() {
        let mut text = format!("version: 1\nimage: {{ base: scratch, tags: ['oci:out{number}:1'] }}\nenv:\n");
        write!(text, "  A: {{ secret: s{number} }}\n  B: {{ secret: shared }}\n").unwrap();
        project.write(name, &text);
    }
    names
}

fn bake(project: &Project, names: &[String], more: &[&str]) -> Ran {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    project.run(&[&["bake"], &names[..], more].concat())
}

fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-AbCdEf")
}

#[test]
fn one_bake_says_what_the_image_got() {
    let project = Project::with_file("  db: '{\"user\": \"canary\", \"password\": \"canary\"}'\n  tls: canary\n");
    let manifest = "version: 1\nimage: { base: scratch, tags: ['oci:out:1', 'oci:out:2'] }\nenv:\n  U: { secret: db#user }\n  \
                    P: { secret: db#password }\n  L: info\n  S: { secret: sentry, optional: true }\nfiles:\n  /tls: { secret: tls }\n";
    let ran = project.baked(manifest);
    assert_eq!(ran.stderr, "");
    let end = "oci:out:1 and 1 more tag in [TIME]: 2 variables, 1 file from 2 secrets, 1 optional one left out";
    assert_eq!(ran.closing, format!("baked {end}"));
    assert_eq!(project.baked(manifest).closing, format!("unchanged {end}"));
}

#[test]
fn many_bakes_are_counted_and_those_that_failed_are_named() {
    let project = Project::with_file("  s0: canary\n  s2: canary\n  shared: canary\n");
    let names = many(&project, 3);
    let ran = bake(&project, &names, &[]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.starts_with("01.yaml:4:16: env.A: secret not found: s1"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("\nbaked: 00.yaml\nbaked: 02.yaml\n"), "{}", ran.stderr);
    assert_eq!(ran.closing, "2 baked, 1 failed (01.yaml) in [TIME]; 3 secrets read");
    let again = bake(&project, &names, &["--format", "json"]);
    assert_eq!(again.closing, "2 unchanged, 1 failed (01.yaml) in [TIME]; 3 secrets read");
}

#[test]
fn one_denied_policy_is_one_problem_however_many_manifests_meet_it() {
    let stub = Stub::by(|_, request: &Request| {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let message = format!(
            "User: arn:aws:iam::123456789012:user/reader is not authorized to perform: secretsmanager:GetSecretValue on resource: {} \
             because no identity-based policy allows the secretsmanager:GetSecretValue action",
            arn(body["SecretId"].as_str().unwrap_or_default())
        );
        Reply::json(400, &json!({ "__type": "AccessDeniedException", "Message": message }).to_string())
    });
    let project = Project::empty().variable("TEST_KEY", "canary-key").variable("AWS_ENDPOINT_URL", &stub.url());
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - name: aws\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n    \
         access_key_id: AKIAEXAMPLEEXAMPLE00\n    secret_access_key: { env: TEST_KEY }\n    batch: never\n",
    );
    let names = many(&project, 20);
    let ran = bake(&project, &names, &["--format", "json"]);
    let mut arns: Vec<String> = (0..20).map(|number| format!("\"{}\"", arn(&format!("s{number}")))).collect();
    arns.push(format!("\"{}\"", arn("shared")));
    arns.sort();
    let (before, said) = ran.stderr.split_once("  cause: for s0: AWS says AccessDeniedException: ").unwrap();
    assert_eq!(
        before,
        "00.yaml:4:16: env.A: access denied: secretsmanager:GetSecretValue on s0 and 20 other secrets (credential `aws`, region \
         us-east-1)\n  also at 00.yaml:5:16: env.B: shared\n  also at 01.yaml:4:16: env.A: s1\n  also at 01.yaml:5:16: env.B: shared\n  \
         also at 02.yaml:4:16: env.A: s2\n  and 35 more\n"
    );
    let (_, after) = said.split_once('\n').unwrap();
    assert_eq!(
        after,
        format!(
            "  cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not cover this secret\n  \
             cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two\n  \
             hint: add to the policy of arn:aws:iam::123456789012:user/reader: {{\"Effect\":\"Allow\",\
             \"Action\":\"secretsmanager:GetSecretValue\",\"Resource\":[{}]}}\n40 errors in 20 files\n",
            arns.join(",")
        )
    );
    assert_eq!(ran.closing, "20 failed (00.yaml, 01.yaml, 02.yaml, and 17 more) in [TIME]; 0 secrets read");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let of_image = |image: &Value| image["diagnostics"].as_array().unwrap().len();
    assert_eq!(report["images"].as_array().unwrap().iter().map(of_image).collect::<Vec<_>>(), [2; 20]);
}

#[test]
fn a_wrong_manifest_is_a_json_document_too() {
    let project = Project::with_file("  a: canary\n");
    project
        .write("good.yaml", "version: 1\nimage: { base: scratch, tags: ['oci:out:1'] }\nenv: { A: { secret: a } }\n");
    project.write("bad.yaml", "version: 1\nimage: { base: scratch }\nenv: { A: { secret: a, credential: nobody } }\n");
    let ran = project.run(&["bake", "good.yaml", "bad.yaml", "none.yaml", "--format", "json"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.ends_with("\n3 errors in 1 file\n"), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    holds(&schema("report"), &report, "the report of a wrong manifest");
    let codes = |diagnostics: &Value| {
        let diagnostics = diagnostics.as_array().unwrap().iter();
        diagnostics.map(|one| one["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let images: Vec<(&Value, Vec<String>)> =
        report["images"].as_array().unwrap().iter().map(|one| (&one["status"], codes(&one["diagnostics"]))).collect();
    let failed = json!("failed");
    assert_eq!(images[0], (&failed, vec![]));
    assert_eq!((images[1].0, images[1].1.len()), (&failed, 2), "{report:#}");
    assert_eq!(codes(&report["diagnostics"]), ["unreadable"]);
    assert!(!project.path("out").exists());

    let ran = project.run(&["check", "bad.yaml", "--org", "none.org.yaml", "--format", "json"]);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    holds(&schema("check"), &found, "what check finds without its org file");
}

#[test]
fn a_terminal_has_colours_and_the_way_to_look_at_the_image() {
    let project = Project::with_file("  a: canary\n").variable("TERM", "dumb");
    let manifest = |secret: &str| {
        format!(
            "version: 1\nimage: {{ base: scratch, tags: ['oci:out:1'] }}\nenv: {{ A: {{ secret: {secret} }}, K: '${{X}}' }}\n"
        )
    };
    project.write("deploy.yaml", &manifest("a"));
    let ran = terminal::run(project.command(&["bake", "deploy.yaml"]));
    assert!(ran.stderr.ends_with(" inspect oci:out:1\n"), "{}", ran.stderr);
    project.write("deploy.yaml", &manifest("none"));
    // clap's own rules: a terminal that can, NO_COLOR, CLICOLOR_FORCE
    for (term, name, forced) in [("xterm", "NO_COLOR", false), ("dumb", "X", false), ("dumb", "CLICOLOR_FORCE", true)] {
        let mut command = project.command(&["bake", "deploy.yaml", "--log", "error"]);
        command.env("TERM", term).env(name, "1");
        let ran = terminal::run(command);
        assert_eq!(ran.stderr.contains('\x1b'), forced, "{term} {name}: {:?}", ran.stderr);
    }
    let mut command = project.command(&["bake", "deploy.yaml", "--log", "error"]);
    command.env("TERM", "xterm");
    let ran = terminal::run(command);
    for shown in [
        "\x1b[1mdeploy.yaml:3:32: env.K:\x1b[0m \x1b[1m\x1b[33mwarning:\x1b[0m ",
        "\x1b[1m\x1b[31mdeploy.yaml:3:21: env.A:\x1b[0m secret not found: none",
        "\n  \x1b[32mhint:\x1b[0m ",
    ] {
        assert!(ran.stderr.contains(shown), "{shown:?}: {:?}", ran.stderr);
    }
    let piped = project.run(&["bake", "deploy.yaml"]);
    assert!(!piped.stderr.contains('\x1b'), "{:?}", piped.stderr);
}

/// The key of the age format's documentation.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

#[test]
fn the_next_commands_are_those_that_work_for_whoever_reads_them() {
    let project = Project::with_file("  a: canary\n");
    let manifest = |base: &str, tag: &str| {
        format!("version: 1\nimage: {{ base: '{base}', tags: ['{tag}'] }}\nenv: {{ A: {{ secret: a }} }}\n")
    };
    project.write("deploy.yaml", &manifest("scratch", "oci:out:1"));
    for (called, shown) in [
        ("secretbake", "secretbake"),
        ("target/debug/secretbake", "target/debug/secretbake"),
        ("/a b/secretbake", "'/a b/secretbake'"),
        ("/usr/libexec/docker/cli-plugins/docker-secretbake", "docker secretbake"),
    ] {
        let mut command = project.command(&["bake", "deploy.yaml"]);
        command.arg0(called);
        let ran = terminal::run(command);
        let expected = format!("\n  see what is in it: {shown} inspect oci:out:1\n");
        assert!(ran.stderr.ends_with(&expected), "{expected}: {}", ran.stderr);
    }
    for (engine, client) in [(Engine::one(), "docker"), (Engine::podman(), "podman")] {
        let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
        let baked = base.baked();
        project.write("deploy.yaml", &manifest(&base.name, &baked));
        let mut command = project.command(&["bake", "deploy.yaml"]);
        command.arg0("secretbake").env("DOCKER_HOST", &engine.host);
        let ran = terminal::run(command);
        let expected = format!(
            "\n  see what is in it: secretbake inspect {baked}\n  run it:            {client} run --rm {baked}\n"
        );
        assert!(ran.stderr.ends_with(&expected), "{expected}: {}", ran.stderr);

        // a sealed image needs its key
        let mut command = project.command(&["bake", "deploy.yaml", "--seal-to", RECIPIENT]);
        command.env("DOCKER_HOST", &engine.host);
        let ran = terminal::run(command);
        let expected = format!(
            "\n  see what is in it:   secretbake inspect {baked}\n  run it with its key: {client} run --rm \
             -v \"$PWD/key.txt:/run/secrets/secretbake-key:ro\" {baked}\n"
        );
        assert!(ran.stderr.ends_with(&expected), "{expected}: {}", ran.stderr);
    }
}

#[test]
fn quiet_leaves_errors_and_the_result_and_verbose_says_what_is_done() {
    let project = Project::with_file("  a: canary\n  b: canary\n");
    let image = "version: 1\nimage: { base: scratch, tags: ['oci:out:1'] }\n";
    project.write("deploy.yaml", &format!("{image}env: {{ A: {{ secret: a }}, K: '${{X}}' }}\n"));
    let ran = project.run(&["bake", "deploy.yaml", "-q"]);
    assert_eq!((ran.status, ran.stderr.as_str(), ran.closing.as_str()), (Some(0), "", ""));
    assert!(ran.stdout.starts_with("oci:out:1@sha256:"), "{}", ran.stdout);
    let ran = project.run(&["--quiet", "check", "deploy.yaml"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    let ran = project.run(&["bake", "deploy.yaml", "-v"]);
    assert!(ran.stderr.contains(" INFO secretbake::"), "{}", ran.stderr);
    let more = project.run(&["bake", "deploy.yaml", "-vv"]);
    assert!(more.stderr.contains("DEBUG secretbake::"), "{}", more.stderr);
    project.write("deploy.yaml", &format!("{image}env: {{ A: {{ secret: none }}, K: '${{X}}' }}\n"));
    let ran = project.run(&["bake", "deploy.yaml", "-q"]);
    assert!(ran.stderr.starts_with("deploy.yaml:3:21: env.A: secret not found: none"), "{}", ran.stderr);
    assert_eq!((ran.stderr.contains("warning"), ran.closing.as_str()), (false, ""), "{}", ran.stderr);
    assert_eq!(project.run(&["bake", "deploy.yaml", "-q", "-v"]).status, Some(2));
}
