//! "Nothing that another program says reaches my terminal as it is": each seam is fed control characters, lines that begin a
//! workflow command, and the secrets of the run in each form in which they are repeated.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use secretbake::image::digest::Digest;
use serde_json::json;

use crate::aws::{refusal, sts_refusal};
use crate::support::canary::{TALKATIVE, is_clean};
use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply as EngineReply};
use crate::support::image::TestImage;
use crate::support::project::{EXTERNAL_ID, Project, Ran, SECRET_KEY};
use crate::support::stub::{Reply, Stub};
use crate::support::{registry_login, unique, variable};

/// The value that is baked: it has another form in percent-encoding, in JSON and in each alphabet of base64.
const VALUE: &str = "words \"canary\" <p%lue> é/+?>~ 0123";
const PASSWORD: &str = "words-canary-login-A";
const LOGIN: &str = "robot:words-canary-login-A";
const USER: &str = "robot";
/// All that is secret where a login is used for the value's image.
const VALUE_AND_LOGIN: [&str; 3] = [VALUE, PASSWORD, LOGIN];

/// Returns the forms in which others repeat a secret.
fn forms(secret: &str) -> Vec<String> {
    let percent = |lower: bool| {
        let byte = |byte: u8| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            byte if lower => format!("%{byte:02x}"),
            byte => format!("%{byte:02X}"),
        };
        secret.bytes().map(byte).collect::<String>()
    };
    let json = json!(secret).to_string().trim_matches('"').to_owned();
    let go = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let mut forms = vec![secret.to_owned(), percent(false), percent(true), json, go];
    forms.extend([STANDARD.encode(secret), URL_SAFE.encode(secret)]);
    forms
}

/// Returns what another program says at its worst: all that a terminal acts on, and secrets of the run in each form.
fn words(known: &[&str]) -> String {
    let secrets: Vec<String> = known.iter().flat_map(|secret| forms(secret)).collect();
    // the characters first, where nothing is cut off
    format!("\u{1b}[2J\u{9b}1A\u{202e}\u{2066}\u{7}\r\n::error::words\n{}", secrets.join(" "))
}

/// Fails if an output has anything of [`words`] that may not be shown.
#[track_caller]
fn is_harmless(what: &str, ran: &Ran) {
    for (stream, text) in [("standard output", &ran.stdout), ("standard error", &ran.stderr)] {
        let is_raw = |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{2069}').contains(&c));
        assert!(!text.contains(is_raw), "{what}: {stream} has a control character: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("::error::words")), "{what}: {stream} begins a line: {text}");
        for secret in VALUE_AND_LOGIN {
            for form in forms(secret) {
                assert!(!text.contains(form.trim_end_matches('=')), "{what}: {stream} shows {form}: {text}");
            }
        }
        // the end of a login in base64
        assert!(!text.contains("QQ=="), "{what}: {stream} shows the end of a login: {text}");
        is_clean(&format!("{what}: {stream}"), text.as_bytes());
    }
}

/// Runs a command as it is, with its log and as JSON; each time it must end with this status and repeat something.
#[track_caller]
fn each_output(what: &str, project: &Project, arguments: &[&str], status: i32, repeated: &str) {
    for more in [&[][..], &["--log", TALKATIVE], &["--format", "json"]] {
        let ran = project.run(&[arguments, more].concat());
        assert_eq!(ran.status, Some(status), "{what} {more:?}: {}{}", ran.stdout, ran.stderr);
        is_harmless(&format!("{what} {more:?}"), &ran);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(repeated), "{what} {more:?} repeats nothing, so the test would not see a leak: {said}");
    }
}

/// Returns a project with the value, and a manifest for it.
fn project(base: &str, tag: &str) -> Project {
    let project = Project::with_file(&format!("  token: {}\n", json!(VALUE)));
    project.write(
        "deploy.yaml",
        &format!(
            "version: 1\nimage: {{ base: \"{base}\", tags: [\"{tag}\"] }}\nenv: {{ TOKEN: {{ secret: token }} }}\n"
        ),
    );
    project
}

/// What is left of the words' first characters.
const ESCAPED: &str = r"\u{1b}[2J\u{9b}1A\u{202e}";

#[test]
fn a_registry() {
    let registry = variable("SECRETBAKE_TEST_REGISTRY");
    let errors = json!({ "errors": [{ "code": "MANIFEST_INVALID", "message": words(&VALUE_AND_LOGIN) }] }).to_string();
    let refuses = Stub::before(&registry, move |_, request| {
        let login = || Reply::raw(401, "text/plain", "").header("www-authenticate", "Basic realm=\"x\"");
        let refused = || Reply::raw(400, "application/json", &errors);
        match request.header("authorization") {
            None => Some(login()),
            Some(_) => request.line.starts_with("PUT ").then(refused),
        }
    });
    let project = project("scratch", &format!("docker://{}/sbtest/{}:1", refuses.host(), unique("words")));
    let project = project.docker_config(&registry_login(&refuses.host(), USER, PASSWORD));
    each_output("a registry", &project, &["bake", "deploy.yaml"], 1, "MANIFEST_INVALID");
}

#[test]
fn a_token_service() {
    for body in [
        json!({ "errors": [{ "code": "DENIED", "message": words(&VALUE_AND_LOGIN) }] }).to_string(),
        json!({ "details": words(&VALUE_AND_LOGIN) }).to_string(),
        words(&VALUE_AND_LOGIN),
    ] {
        let tokens = Stub::answering([Reply::raw(403, "application/json", &body)]);
        let challenge = format!("Bearer realm=\"{}/token\",service=\"words\"", tokens.url());
        let guarded = Stub::by(move |_, _| Reply::raw(401, "text/plain", "").header("www-authenticate", &challenge));
        let project = project("scratch", &format!("docker://{}/x:1", guarded.host()));
        let project = project.docker_config(&registry_login(&guarded.host(), USER, PASSWORD));
        each_output("a token service", &project, &["bake", "deploy.yaml"], 1, "login");
    }
}

/// Returns a text for as long as the tests run.
fn forever(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// Runs a check of a project on another thread, so that the proxy's own can answer.
async fn beside(check: impl FnOnce() + Send + 'static) {
    tokio::task::spawn_blocking(check).await.unwrap();
}

#[tokio::test]
async fn an_engine_that_loads() {
    let engine = Engine::one();
    let message = json!({ "message": words(&[VALUE]) }).to_string();
    let detail = json!({ "errorDetail": { "message": words(&[VALUE]) }, "error": words(&[VALUE]) }).to_string() + "\n";
    for (status, body, label) in
        [(500, message, "status 500: "), (200, detail, "said: "), (500, words(&[VALUE]), "status 500: ")]
    {
        let body = forever(body);
        let proxy = Proxy::start(Some(&engine.host), move |asked| {
            (asked == "POST /images/load").then_some(EngineReply::Say(status, body))
        });
        let project = project("scratch", &format!("sbtest/{}:1", unique("words")));
        let project = project.variable("DOCKER_HOST", &proxy.host());
        let check = move || each_output("a load", &project, &["bake", "deploy.yaml"], 1, label);
        beside(check).await;
    }
}

#[tokio::test]
async fn an_engine_that_inspects() {
    let body = forever(json!({ "message": words(&[]) }).to_string());
    let proxy = Proxy::start(None, move |asked| {
        Some(if asked.ends_with("/_ping") { EngineReply::Pong("1.41") } else { EngineReply::Say(500, body) })
    });
    let project = project("crew:1", "crew:1-prod").variable("DOCKER_HOST", &proxy.host());
    beside(move || each_output("an inspect", &project, &["bake", "deploy.yaml"], 1, "status 500: ")).await;
}

#[tokio::test]
async fn an_engine_that_pushes() {
    let engine = Engine::one();
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
    let host = "words.example";
    let login = json!({ "username": USER, "password": PASSWORD, "serveraddress": host }).to_string();
    let header = URL_SAFE.encode(login);
    let line =
        json!({ "errorDetail": { "message": format!("{header} {}", words(&VALUE_AND_LOGIN)) } }).to_string() + "\n";
    for (status, body) in
        [(200, line), (500, json!({ "message": format!("{header} {}", words(&VALUE_AND_LOGIN)) }).to_string())]
    {
        let body = forever(body);
        let proxy = Proxy::start(Some(&engine.host), move |asked| {
            asked.ends_with("/push").then_some(EngineReply::Say(status, body))
        });
        let tag = format!("{host}/sbtest/{}:1", unique("words"));
        engine.remove_later(&tag);
        let project = project(&base.name, &tag).docker_config(&registry_login(host, USER, PASSWORD));
        let project = project.variable("DOCKER_HOST", &proxy.host());
        let header = header.clone();
        let check = move || {
            each_output("a push", &project, &["bake", "deploy.yaml", "--push"], 1, "is baked, but not pushed");
            let ran = project.run(&["bake", "deploy.yaml", "--push"]);
            assert!(!ran.stderr.contains(&header[..40]), "{}", ran.stderr);
        };
        beside(check).await;
    }
}

#[test]
fn ssh() {
    let project = project("crew:1", "crew:1-prod").variable("DOCKER_HOST", "ssh://build");
    let path = format!("{}:/usr/bin:/bin", project.path("").display());
    let project = project.variable("PATH", &path);
    project.write("words", &words(&[]).replace('\n', " "));
    project.program("ssh", "cat words >&2; echo >&2; exit 255");
    each_output("ssh", &project, &["bake", "deploy.yaml"], 1, "ssh said: ");
}

#[test]
fn aws() {
    let said = words(&[SECRET_KEY]);
    for answer in [refusal("AccessDeniedException", &said), refusal(&said, &said), Reply::json(400, &said)] {
        let stub = Stub::answering([answer]);
        let project = on_aws(&stub, "");
        each_output("AWS", &project, &["credential", "test", "aws", "--secret", "db"], 1, "AWS");
    }
}

#[test]
fn sts() {
    let escaped: String = words(&[SECRET_KEY, EXTERNAL_ID]).chars().filter(|c| !c.is_control()).collect();
    let escaped = escaped.replace('&', "&amp;").replace('<', "&lt;");
    let role = format!("    role_arn: arn:aws:iam::123456789012:role/reader\n    external_id: {EXTERNAL_ID}\n");
    let stub = Stub::answering([sts_refusal("AccessDenied", &format!("&#10;&#x85;\u{202e}{escaped}"))]);
    let project = on_aws(&stub, &role);
    each_output("STS", &project, &["credential", "test", "aws"], 1, "AWS says AccessDenied");
}

/// Returns a project with the credential `aws`, whose services are all at a stub.
fn on_aws(stub: &Stub, more: &str) -> Project {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        &format!(
            "version: 1\ncredentials:\n  - name: aws\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n\
             \x20   access_key_id: AKIAEXAMPLEEXAMPLE00\n    secret_access_key: {{ env: TEST_SECRET_KEY }}\n{more}"
        ),
    );
    project.variable("TEST_SECRET_KEY", SECRET_KEY).variable("AWS_ENDPOINT_URL", &stub.url())
}

#[test]
fn a_credential_helper() {
    let guarded = Stub::answering([Reply::raw(401, "text/plain", "").header("www-authenticate", "Basic realm=\"x\"")]);
    let host = guarded.host();
    let with = |script: &str| {
        let project = project("scratch", &format!("docker://{host}/x:1"));
        let project = project.docker_config(&json!({ "credsStore": "words" }));
        let path = format!("{}:/usr/bin:/bin", project.path("").display());
        project.write("words", &words(&VALUE_AND_LOGIN));
        project.program("docker-credential-words", script);
        project.variable("PATH", &path)
    };
    for (script, what) in [
        ("cat words; cat words >&2; exit 1", "the credential helper `docker-credential-words` failed"),
        ("cat words; cat words >&2", "the answer of the credential helper `docker-credential-words` is not a login"),
        ("exec cat /dev/zero", "the answer of the credential helper `docker-credential-words` is over 1 MiB"),
    ] {
        each_output("a credential helper", &with(script), &["bake", "deploy.yaml"], 1, what);
    }
    let project = with("").docker_config(&json!({ "credsStore": words(&[]) }));
    each_output("the name of a credential helper", &project, &["bake", "deploy.yaml"], 1, "cannot find the program");
}

/// A label says what it likes of names, and knows no secret of this run.
#[test]
fn a_label() {
    let words = "\u{1b}[2J\u{9b}1A\u{202e}\u{2066}\u{7}\r\n::error::words\n";
    let origin =
        json!({ "credential": words, "secret": words, "key": words, "version_id": words, "version_stage": words });
    let label = json!({ "version": 1, "base": words, "inject": words, "seal": { "recipients": [words] }, "variables": { words: origin }, "files": { words: origin } });
    let config = json!({
        "created": words, "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] },
        "config": { "Labels": { "dev.secretbake.provenance": label.to_string() } },
    });
    let config = config.to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(),
            "digest": Digest::of(config.as_bytes()).as_str(),
        },
    });
    let manifest = manifest.to_string();
    let stub = Stub::by(move |_, request| match request.line.contains("/manifests/") {
        true => Reply::raw(200, "application/vnd.oci.image.manifest.v1+json", &manifest),
        false => Reply::raw(200, "application/octet-stream", &config),
    });
    let image = format!("docker://{}/crew:1", stub.host());
    let project = Project::with_file("  token: x\n");
    for format in ["text", "json"] {
        let ran = project.run(&["rebake", &image, "--format", format, "--log", TALKATIVE]);
        assert_eq!(ran.status, Some(1), "rebake: {}", ran.stderr);
        is_harmless("rebake", &ran);
    }
    for (command, status) in [("inspect", 0), ("drift", 1)] {
        for format in ["text", "json"] {
            let ran = project.run(&[command, &image, "--format", format, "--log", TALKATIVE]);
            assert_eq!(ran.status, Some(status), "{command}: {}", ran.stderr);
            is_harmless(command, &ran);
            let escaped = if format == "json" { "\\u001b[2J" } else { ESCAPED };
            assert!(ran.stdout.contains(escaped), "{command} shows nothing of it: {}", ran.stdout);
        }
    }
}

#[test]
fn the_names_of_secrets() {
    let odd = "a\u{1b}[2J\u{9b}1A\u{202e}\r\n::error::words\n$(touch x)";
    let list = json!({ "SecretList": [{ "Name": odd }, { "Name": "api" }, { "Name": "$(touch x)" }] });
    let stub = Stub::answering([Reply::json(200, &list.to_string())]);
    let project = on_aws(&stub, "");
    each_output("a list", &project, &["secrets", "list"], 0, "[2J");
    for _ in 0..2 {
        let ran = project.run(&["__complete", "secrets", "", "--credential", "aws"]);
        assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "api\n", ""));
    }
}

/// A credential process and a metadata service are asked by the AWS SDK, which logs what they say.
#[test]
fn what_the_aws_sdk_reads() {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - name: aws\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n",
    );
    project.write("words", &words(&VALUE_AND_LOGIN));
    project.program("process", "cat words >&2; cat words; exit 1");
    project.write("config", &format!("[default]\ncredential_process = {}\n", project.path("process").display()));
    let config = project.path("config").display().to_string();
    let project = project.variable("AWS_CONFIG_FILE", &config).variable("AWS_EC2_METADATA_DISABLED", "true");
    for filter in ["info", "trace", "aws_config=trace", TALKATIVE] {
        let ran = project.run(&["credential", "test", "aws", "--log", filter]);
        assert_eq!(ran.status, Some(1), "{filter}: {}", ran.stderr);
        assert!(!format!("{ran:?}").contains("canary"), "{filter}: {}", ran.stderr);
        is_harmless(filter, &ran);
    }

    let token = "imds-canary-token-0123456789";
    let stub = Stub::by(move |_, request| {
        if request.line.starts_with("PUT ") {
            Reply::raw(200, "text/plain", token).header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
        } else if request.line.ends_with("/security-credentials/") {
            Reply::raw(200, "text/plain", "words-role")
        } else if request.line.contains("/security-credentials/") {
            let keys = json!({
                "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z",
                "AccessKeyId": "ASIAIMDSIMDSIMDS0001", "SecretAccessKey": "imds-canary-secret-key", "Token": "imds-canary-session",
            });
            Reply::raw(200, "application/json", &keys.to_string())
        } else {
            refusal("AccessDeniedException", "imds-canary-secret-key imds-canary-session")
        }
    });
    project.write("config", "[default]\nregion = us-east-1\n");
    let project = project
        .variable("AWS_EC2_METADATA_DISABLED", "false")
        .variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", &stub.url())
        .variable("AWS_ENDPOINT_URL", &stub.url());
    for filter in ["info", "trace", "aws_config=trace", TALKATIVE] {
        let ran = project.run(&["credential", "test", "aws", "--secret", "db", "--log", filter]);
        assert_eq!(ran.status, Some(1), "{filter}: {}", ran.stderr);
        let asked =
            stub.requests().iter().filter(|request| request.header("x-aws-ec2-metadata-token").is_some()).count();
        assert!(asked > 0, "the metadata service was not asked: {}", ran.stderr);
        assert!(!format!("{ran:?}").contains("imds-canary"), "{filter}: {}", ran.stderr);
    }
}

#[test]
fn the_arguments_that_clap_repeats() {
    let project = Project::empty();
    let odd = "a\u{1b}[31mb\u{9b}\u{202e}\n::error::words";
    let url = "ssh://me:words-canary@host";
    for arguments in [
        &["bake", "deploy.yaml", "-t", odd][..],
        &["bake", "deploy.yaml", odd, "--jobs", odd],
        &[odd],
        &["check", "deploy.yaml", "--format", odd],
        &["inspect", "x", odd],
        &["bake", "deploy.yaml", &format!("--{odd}")],
        &["credential", odd],
        &["inspect", url, url],
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.status, Some(2), "{arguments:?}: {}", ran.stderr);
        is_harmless(&format!("{arguments:?}"), &ran);
        assert!(!ran.stderr.contains("words-canary"), "{}", ran.stderr);
    }
    let ran = project.run(&["bake", "deploy.yaml", "--jobs", "3\u{1b}[31m\n::error::words"]);
    assert_eq!(
        ran.stderr,
        "error: invalid value '3\\u{1b}[31m\\n::error::words' for '--jobs <N>': write a number from 1 to 256\n\n\
         For more information, try '--help'.\n"
    );
}

/// Each form of a report says the same words, and none of them raw.
#[test]
fn a_report_and_an_annotation() {
    let odd = "a\u{1b}[2J\u{9b}1A\u{202e}";
    let project = Project::with_file("  token: x\n");
    project.write(
        "deploy.yaml",
        &format!("version: 1\nimage: {{ base: scratch, tags: [\"oci:out:1\"] }}\n\"{odd}\\n::error::words\": x\nenv:\n  {}: {{ secret: token }}\n", "A\u{202e}"),
    );
    for format in ["text", "json", "github", "gitlab", "sarif"] {
        let ran = project.run(&["check", "deploy.yaml", "--format", format]);
        assert_eq!(ran.status, Some(2), "{format}: {}", ran.stderr);
        is_harmless(format, &ran);
    }
}

#[test]
fn a_registry_that_refuses_a_deletion() {
    let registry = variable("SECRETBAKE_TEST_REGISTRY");
    let errors = json!({ "errors": [{ "code": "DELETE_REFUSED", "message": words(&VALUE_AND_LOGIN) }] }).to_string();
    let refuses = Stub::before(&registry, move |_, request| match request.header("authorization") {
        None => Some(Reply::raw(401, "text/plain", "").header("www-authenticate", "Basic realm=\"x\"")),
        Some(_) => request.line.starts_with("DELETE ").then(|| Reply::raw(409, "application/json", &errors)),
    });
    let tag = format!("docker://{}/sbtest/{}:1", refuses.host(), unique("words"));
    let project = project("scratch", &tag).docker_config(&registry_login(&refuses.host(), USER, PASSWORD));
    let manifest = std::fs::read_to_string(project.path("deploy.yaml")).unwrap();
    for (number, more) in [&[][..], &["--log", TALKATIVE], &["--format", "json"]].into_iter().enumerate() {
        for (step, plain) in ["old", "new"].into_iter().enumerate() {
            let plain = format!("env: {{ PLAIN: {plain}-{number}, ");
            project.write("deploy.yaml", &manifest.replace("env: { ", &plain));
            let ran = project.run(&[&["bake", "deploy.yaml", "--prune-replaced"], more].concat());
            assert_eq!(ran.status, Some(0), "{}", ran.stderr);
            is_harmless("a registry that refuses a deletion", &ran);
            assert_eq!(ran.stderr.contains("DELETE_REFUSED"), number > 0 || step == 1, "{}", ran.stderr);
        }
    }
}

#[test]
fn what_a_fleet_says_of_itself() {
    let stub = Stub::answering([Reply::raw(404, "application/json", "")]);
    let (project, odd) = (Project::with_file("  token: x\n"), words(&[]));
    let container =
        json!({ "name": odd, "image": format!("{}/crew:1", stub.host()), "env": [{ "name": "A", "value": VALUE }] });
    let pod =
        json!({ "kind": odd, "metadata": { "name": odd, "namespace": odd }, "spec": { "containers": [container] } });
    project.write("pods.json", &pod.to_string());
    project
        .write("compose.yaml", &json!({ "services": { (odd.clone()): { "image": format!("{odd}$X") } } }).to_string());
    let task = json!({ "family": odd, "containerDefinitions": [{ "name": odd, "image": odd }] });
    project.write("task.json", &task.to_string());
    each_output("the objects of a cluster", &project, &["drift", "--from", "k8s", "pods.json"], 1, "[2J");
    each_output("the services of a file", &project, &["drift", "--from", "compose", "compose.yaml"], 0, "[2J");
    each_output("the containers of a task", &project, &["drift", "--from", "ecs", "task.json"], 0, "[2J");
    let ran = project.run(&["drift", "--from", "k8s", "pods.json", "--format", "markdown"]);
    assert_eq!(ran.status, Some(1));
    is_harmless("a summary", &ran);
    assert!(ran.stdout.contains("[2J"), "{}", ran.stdout);
}
