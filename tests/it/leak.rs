//! "It never shows a secret." Canaries go through every command and every output; whoever adds an output adds it here.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::support::canary::{
    ACCESS_KEY_ID, EXTERNAL_ID_OF_DIGITS, KEY_LIKE_A_PATH, KEY_OF_LETTERS, PART_OF_A_KEY, REGISTRY_PASSWORD, TALKATIVE,
    is_clean, without_log,
};
use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};
use crate::support::image::TestImage;
use crate::support::moto::Moto;
use crate::support::project::{EXTERNAL_ID, Project, SECRET_KEY};
use crate::support::terminal;
use crate::support::{registry_login, unique, variable};

/// Returns every file below a folder.
pub fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

/// A client that prints its value and repeats it, and the token that it was given, on standard error.
#[test]
fn no_output_shows_what_a_command_prints() {
    let project = Project::empty().variable("CLIENT_TOKEN", "canary-registry-password");
    project.program("client", r#"printf canary-value-1; echo "canary-value-1 $CLIENT_TOKEN" >&2; [ "$1" = good ]"#);
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - name: other\n    provider: command\n    default: true\n\
         \x20   command: [./client, \"{name}\"]\n    environment: [CLIENT_TOKEN]\n",
    );
    for (name, status) in [("good", 0), ("bad", 1)] {
        let tags = format!("image: {{ base: scratch, tags: [\"oci:{name}:1\"] }}");
        project.write("deploy.yaml", &format!("version: 1\n{tags}\nenv: {{ A: {{ secret: {name} }} }}\n"));
        for arguments in [
            &["bake", "deploy.yaml", "--log", TALKATIVE][..],
            &["bake", "deploy.yaml", "--format", "json"],
            &["bake", "deploy.yaml", "--dry-run", "--online"],
            &["credential", "test", "other", "--secret", name, "--format", "json", "--log", TALKATIVE],
            &["credential", "show", "other"],
        ] {
            let ran = project.run(arguments);
            let expected = if arguments[1] == "show" { 0 } else { status };
            assert_eq!(ran.status, Some(expected), "{arguments:?}: {}", ran.stderr);
            is_clean(&format!("{arguments:?}"), ran.stdout.as_bytes());
            is_clean(&format!("{arguments:?}"), ran.stderr.as_bytes());
        }
    }
}

/// Parameters by name and below a path, read with a role that was assumed with a token whose signature is a canary.
#[test]
fn no_output_shows_a_parameter_or_a_web_identity_token() {
    let moto = Moto::new();
    moto.parameter("one", "SecureString", "canary-value-1");
    moto.parameter("json", "SecureString", r#"{"key":"canary-value-2"}"#);
    moto.parameter("path/a", "SecureString", "canary-value-1");
    moto.parameter("path/b", "String", "canary-value-2");
    moto.parameter("bad/not-a-name", "SecureString", "canary-value-1");
    // {"alg":"RS256"}, {"iss":"https://issuer.example","sub":"s","aud":"a"}
    let token = format!(
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoicyIsImF1ZCI6ImEifQ.{REGISTRY_PASSWORD}"
    );
    let project = Project::empty().variable("AWS_ENDPOINT_URL", &moto.endpoint).variable("CI_TOKEN", &token);
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - name: params\n    provider: aws-parameter-store\n    region: us-east-1\n    default: true\n\
         \x20   web_identity_token: { env: CI_TOKEN }\n    role_arn: arn:aws:iam::123456789012:role/reader\n",
    );
    let head = "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv_from:\n";
    let (path, one, json) = (moto.name("path/"), moto.name("one"), moto.name("json#key"));
    project.write(
        "right.yaml",
        &format!("{head}  - secret: /{path}\nenv:\n  ONE: {{ secret: /{one} }}\n  TWO: {{ secret: /{json} }}\n"),
    );
    project.write(
        "wrong.yaml",
        &format!(
            "{head}  - secret: /{}\n  - {{ secret: /{path}, keys: [c] }}\n  - secret: /{path}none/\n",
            moto.name("bad/")
        ),
    );
    let secret = format!("/{json}");
    for (arguments, status) in [
        (&["bake", "right.yaml", "--dry-run"][..], 0),
        (&["bake", "right.yaml", "--dry-run", "--online"], 0),
        (&["bake", "right.yaml", "--format", "json"], 0),
        (&["bake", "right.yaml"], 0),
        (&["inspect", "oci:out:1"], 0),
        (&["inspect", "oci:out:1", "--format", "json"], 0),
        (&["drift", "oci:out:1", "--format", "json"], 0),
        (&["rebake", "oci:out:1", "--dry-run"], 0),
        (&["rebake", "oci:out:1", "--all", "--format", "json"], 0),
        (&["bake", "wrong.yaml", "--dry-run", "--online"], 1),
        (&["bake", "wrong.yaml", "--format", "json"], 1),
        (&["check", "right.yaml", "--format", "json"], 0),
        (&["policy", "right.yaml", "--assume-role"], 0),
        (&["credential", "test", "params", "--secret", &secret], 0),
        (&["credential", "show", "params", "--format", "json"], 0),
        (&["secrets", "list", "--prefix", "/"], 0),
    ] {
        let arguments = [arguments, &["--log", TALKATIVE]].concat();
        let ran = project.run(&arguments);
        assert_eq!(ran.status, Some(status), "{arguments:?}: {}", ran.stderr);
        is_clean(&format!("{arguments:?}"), ran.stdout.as_bytes());
        is_clean(&format!("{arguments:?}"), ran.stderr.as_bytes());
        assert!(!ran.stderr.contains(&token) && !ran.stdout.contains(&token), "{arguments:?}");
    }
    let baked = crate::env_from::file_in_layout(&project, "/.secretbake/env").unwrap();
    assert!(
        baked.contains("a=canary-value-1\0") && baked.contains("TWO=canary-value-2"),
        "the test would not see a leak"
    );
}

#[test]
fn no_output_shows_a_value_a_key_or_a_hash_of_one_even_in_the_most_talkative_log() {
    let moto = Moto::new();
    moto.text("one", "canary-value-1");
    moto.text("json", r#"{"key":"canary-value-2"}"#);
    moto.text("bad", "canary-value-1 is not JSON");
    moto.text("bad-keys", r#"{"not-a-name":"canary-value-1","KEY":null}"#);
    let registry = variable("SECRETBAKE_TEST_REGISTRY_AUTH");
    for engine in Engine::all() {
        let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"], "User": "app" })));
        let project = Project::with_moto(&moto).on(&engine);
        // so that the wrong manifest's secrets are read in one call
        let org = fs::read_to_string(project.path("secretbake.org.yaml")).unwrap();
        project.write("secretbake.org.yaml", &org.replacen("default: true", "default: true\n    batch: auto", 1));
        let (cache, temporary) = (project.path("cache"), project.path("tmp"));
        fs::create_dir(&temporary).unwrap();
        let project = project
            .variable("XDG_CACHE_HOME", cache.to_str().unwrap())
            .variable("TMPDIR", temporary.to_str().unwrap())
            .variable("LOG_SENSITIVE_BODIES", "true")
            .variable("LOG_SIGNABLE_BODY", "true")
            .docker_config(&registry_login(&registry, "canary", REGISTRY_PASSWORD));
        let head = format!("version: 1\nimage:\n  base: {}\n  tags: [{}]\nenv:\n", base.name, base.baked());
        project.write(
            "right.yaml",
            &format!(
                "{}  ONE: {{ secret: {}, credential: role }}\n  TWO: {{ secret: {} }}\n  THREE:\n    \
                 template: \"{{{{one}}}} {{{{two | json}}}} {{{{one | url}}}} {{{{two | shell}}}} {{{{one | base64}}}}\"\n    \
                 with: {{ one: {{ secret: {} }}, two: {{ secret: {} }} }}\n",
                head.replace("env:\n", &format!("env_from: [{{ secret: {}, prefix: ALL_ }}]\nenv:\n", moto.name("json"))),
                moto.name("one"),
                moto.name("json#key"),
                moto.name("one"),
                moto.name("json#key"),
            ),
        );
        let pushed = format!("{registry}/{}", base.baked());
        let push = ["bake", "right.yaml", "--tag", &pushed, "--push", "--log", TALKATIVE];
        project.write(
            "wrong.yaml",
            &format!(
                "{}  A: {{ secret: {} }}\n  B: {{ secret: {} }}\n  C: {{ secret: {} }}\n",
                head.replace(
                    "env:\n",
                    &format!(
                        "env_from:\n  - secret: {}\n  - secret: {}\n  - {{ secret: {}, case: upper }}\nenv:\n",
                        moto.name("bad"),
                        moto.name("json"),
                        moto.name("bad-keys"),
                    )
                ),
                moto.name("bad#key"),
                moto.name("json#other"),
                moto.name("absent")
            ),
        );
        for (arguments, status) in [
            (&["bake", "right.yaml", "--dry-run"][..], 0),
            (&["bake", "right.yaml", "--dry-run", "--online", "--log", TALKATIVE], 0),
            (&["bake", "wrong.yaml", "--dry-run", "--online"], 1),
            (&["bake", "right.yaml", "--log", TALKATIVE], 0),
            (&["bake", "right.yaml", "--log", TALKATIVE, "--format", "json"], 0),
            (&push, 1),
            (&["bake", "wrong.yaml", "--log", TALKATIVE], 1),
            (&["bake", "wrong.yaml", "--format", "json"], 1),
            (&["check", "right.yaml", "--format", "json"], 0),
            (&["credential", "test", "role", "--secret", &moto.name("json#key"), "--log", TALKATIVE], 0),
            (&["credential", "test", "aws", "--secret", &moto.name("bad#key"), "--format", "json"], 1),
            (&["credential", "list", "--log", TALKATIVE], 0),
            (&["credential", "show", "role", "--format", "json"], 0),
            (&["secrets", "list", "--prefix", &moto.name(""), "--log", TALKATIVE], 0),
            (&["policy", "right.yaml", "--assume-role"], 0),
        ] {
            let ran = project.run(arguments);
            assert_eq!(ran.status, Some(status), "{arguments:?}: {}", ran.stderr);
            let talks = arguments.contains(&TALKATIVE) && arguments[..2] != ["credential", "list"];
            assert!(!talks || ran.stderr.contains("TRACE"), "{arguments:?}");
            assert!(arguments.contains(&TALKATIVE) || !ran.stderr.contains("TRACE"), "{arguments:?}");
            is_clean(&format!("{arguments:?}"), ran.stdout.as_bytes());
            is_clean(&format!("{arguments:?}"), ran.stderr.as_bytes());
        }
        engine.cli(&["rmi", "-f", &pushed]);
        is_clean("a terminal", terminal::run(project.command(&["bake", "right.yaml"])).stderr.as_bytes());
        is_clean("inspect", &engine.cli(&["image", "inspect", &base.baked()]));
        let container = engine.text(&["create", "--network", "none", "-e", "ONE=canary-value-1", &base.baked()]);
        let ran = project.run(&["inspect", "--container", &container, "--log", TALKATIVE]);
        engine.cli(&["rm", &container]);
        assert!(ran.stdout.contains("overridden by the container's environment\n  ONE\n"), "{}", ran.stdout);
        is_clean("inspect --container", format!("{}{}", ran.stdout, ran.stderr).as_bytes());
        is_clean("history", &engine.cli(&["history", "--no-trunc", &base.baked()]));
        for file in files(&cache).into_iter().chain(files(&temporary)) {
            is_clean(&file.display().to_string(), &fs::read(&file).unwrap());
        }
        assert_eq!(files(&temporary), Vec::<std::path::PathBuf>::new(), "a temporary file is left");
        let value = engine.run(&[
            &base.baked(),
            "sh",
            "-c",
            "printf '%s %s %s %s' \"$ONE\" \"$TWO\" \"$ALL_key\" \"${THREE%% *}\"",
        ]);
        assert_eq!(
            value, b"canary-value-1 canary-value-2 canary-value-2 canary-value-1",
            "the test would not see a leak of what it does not bake"
        );
    }
}

#[test]
fn a_key_that_stands_where_a_name_belongs_is_shown_by_no_command() {
    let project = Project::empty();
    project.write(
        "deploy.yaml",
        "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv:\n  A: { secret: a }\n",
    );
    let good_id = "AKIAEXAMPLEEXAMPLE00";
    let mut fields = vec![(KEY_OF_LETTERS, "secret_access_key: { env: KEY }".to_owned())];
    for key in [KEY_OF_LETTERS, KEY_LIKE_A_PATH] {
        for field in ["secret_access_key", "secret_access_key: { env: KEY }\n    session_token"] {
            for source in
                ["{ env: KEY }", "{ file: KEY }", "{ KEY: env }", "{ KEY }", "{ env: KEY, file: KEY }", "[KEY]"]
            {
                let source = source.replace("KEY", key);
                fields.push((good_id, format!("{field}: {source}")));
            }
        }
    }
    let role = "role_arn: arn:aws:iam::123456789012:role/reader";
    fields.push((
        good_id,
        format!("secret_access_key: {{ env: KEY }}\n    {role}\n    external_id: {EXTERNAL_ID_OF_DIGITS}"),
    ));
    let source = "secret_access_key: { env: KEY }\n";
    let mut misplaced = |form: &str, key: &str| fields.push((good_id, source.to_owned() + &form.replace("KEY", key)));
    for key in [KEY_OF_LETTERS, KEY_LIKE_A_PATH, PART_OF_A_KEY, EXTERNAL_ID_OF_DIGITS] {
        for form in ["    KEY: x", "    ? KEY", "    \"KEY\": x", "KEY: x", "? KEY", "KEY:\n  KEY: x"] {
            misplaced(form, key);
        }
    }
    for key in [KEY_OF_LETTERS, KEY_LIKE_A_PATH] {
        for form in ["    session_token: { KEY: 1, KEY: 2 }", "    KEY: { a: 1, a: 2 }", "KEY: 1\nKEY: 2"] {
            misplaced(form, key);
        }
    }
    for (id, rest) in fields {
        project.write(
            "secretbake.org.yaml",
            &format!(
                "version: 1\ncredentials:\n  - name: aws\n    provider: aws-secrets-manager\n    region: us-east-1\n    \
                 default: true\n    access_key_id: {id}\n    {rest}\n"
            ),
        );
        for arguments in [
            &["check", "deploy.yaml"][..],
            &["check", "deploy.yaml", "--format", "json"],
            &["bake", "deploy.yaml", "--log", TALKATIVE],
            &["credential", "list"],
            &["credential", "show", "aws", "--format", "json"],
            &["credential", "edit", "aws", "--region", "eu-west-1"],
            &["credential", "test"],
        ] {
            let ran = project.run(arguments);
            assert_eq!(ran.status, Some(2), "{arguments:?} with {rest}: {}", ran.stderr);
            is_clean(&format!("{arguments:?}"), ran.stdout.as_bytes());
            is_clean(&format!("{arguments:?}"), ran.stderr.as_bytes());
        }
    }
}

#[test]
fn no_other_command_shows_a_value_or_a_key_either() {
    let moto = Moto::new();
    moto.text("one", "canary-value-1");
    let host = variable("SECRETBAKE_TEST_REGISTRY_AUTH");
    let [user, password] = ["USER", "PASSWORD"].map(|what| variable(&format!("SECRETBAKE_TEST_REGISTRY_AUTH_{what}")));
    let login = registry_login(&host, &user, &password);
    let header = login["auths"][&host]["auth"].as_str().unwrap().to_owned();
    let project = Project::with_moto(&moto).docker_config(&login);
    let tag = format!("docker://{host}/sbtest/{}:1", unique("leak"));
    let manifest = |inject: &str, tag: &str| {
        let name = moto.name("one");
        format!(
            "version: 1\nimage: {{ base: scratch, tags: [\"{tag}\"], inject: {inject} }}\nenv:\n  ONE: {{ secret: {name} }}\n"
        )
    };
    let places = [&tag, "oci:lay:1", "docker-archive:a.tar:a:1", "oci-archive:b.tar:1"];
    let mut runs: Vec<Vec<String>> = Vec::new();
    for place in places {
        for inject in ["launcher", "config"] {
            let file = format!("{}-{inject}.yaml", runs.len());
            project.write(&file, &manifest(inject, place));
            // the second one prunes the first
            runs.push(vec!["bake".to_owned(), file, "--prune-replaced".to_owned()]);
        }
        runs.push(["rebake", place, "--dry-run", "--format", "json"].map(str::to_owned).to_vec());
        runs.push(["rebake", place, "--all"].map(str::to_owned).to_vec());
        for command in ["inspect", "drift"] {
            runs.push(vec![command.to_owned(), place.to_owned()]);
            runs.push([command, place, "--format", "json"].map(str::to_owned).to_vec());
        }
    }
    let mut removed = 0;
    for arguments in runs {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--log", TALKATIVE]).collect();
        let ran = project.run(&arguments);
        assert_eq!(ran.status, Some(0), "{arguments:?}: {}", ran.stderr);
        is_clean(&format!("{arguments:?}"), ran.stdout.as_bytes());
        is_clean(&format!("{arguments:?}"), ran.stderr.as_bytes());
        for login in [&password, &header] {
            assert!(!ran.stderr.contains(login) && !ran.stdout.contains(login), "{arguments:?} shows the login");
        }
        removed += ran.stderr.matches("removed: the previous image docker://").count();
    }
    assert_eq!(removed, 1, "the test would not see a leak of a pruning");
    let archive = fs::read(project.path("a.tar")).unwrap();
    let value = b"ONE=canary-value-1";
    assert!(archive.windows(value.len()).any(|window| window == value), "the test would not see a leak");
}

#[tokio::test]
async fn an_engine_that_repeats_the_config_is_not_repeated() {
    const QUOTED: &str = r#"{"message":"bad config: \"Env\":[\"TOKEN=canary-value-1\"]"}"#;
    let engine = Engine::one();
    let proxy =
        Proxy::start(Some(&engine.host), |asked| (asked == "POST /images/load").then_some(Reply::Say(400, QUOTED)));
    let project = Project::with_file("  token: canary-value-1\n").variable("DOCKER_HOST", &proxy.host());
    let manifest = |inject: &str| {
        let tag = unique("leak");
        format!(
            "version: 1\nimage: {{ base: scratch, tags: [\"sbtest/{tag}:1\"], inject: {inject} }}\nenv: {{ TOKEN: {{ secret: token }} }}\n"
        )
    };
    project.write("config.yaml", &manifest("config"));
    project.write("launcher.yaml", &manifest("launcher"));
    let ran =
        tokio::task::spawn_blocking(move || ["config.yaml", "launcher.yaml"].map(|file| project.run(&["bake", file])));
    let [ran, other] = ran.await.unwrap();
    is_clean("the refusal", ran.stderr.as_bytes());
    assert!(ran.stderr.contains("it answered with status 400 and no message"), "{}", ran.stderr);
    // where the config holds no value, the engine's words are the reason
    assert!(other.stderr.contains("it answered with status 400: bad config"), "{}", other.stderr);
}

#[test]
fn a_key_from_standard_input_is_shown_by_no_command() {
    let moto = Moto::new();
    let project = Project::empty().variable("AWS_ENDPOINT_URL", &moto.endpoint);
    let add = "credential add typed --region us-east-1 --access-key-id AKIAEXAMPLEEXAMPLE00 --secret-key-stdin --log trace,hyper_util=trace";
    let mut command = project.command(&add.split(' ').collect::<Vec<_>>());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{KEY_LIKE_A_PATH}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    is_clean("the output of add", &output.stdout);
    is_clean("the log of add", &output.stderr);
    for arguments in [["credential", "show", "typed"], ["credential", "test", "typed"]] {
        let ran = project.run(&[&arguments[..], &["--log", TALKATIVE]].concat());
        assert_eq!(ran.status, Some(0), "{arguments:?}: {}", ran.stderr);
        is_clean(&format!("{arguments:?}"), ran.stdout.as_bytes());
        is_clean(&format!("{arguments:?}"), ran.stderr.as_bytes());
    }
    let org = fs::read_to_string(project.path("secretbake.org.yaml")).unwrap();
    assert!(org.contains(KEY_LIKE_A_PATH), "the test would not see a leak");
}

/// The External ID of a profile is known to the AWS SDK only.
#[test]
fn a_log_shows_no_external_id_of_an_aws_profile_and_nothing_it_can_be_guessed_from() {
    let moto = Moto::new();
    moto.text("one", "canary-value-1");
    let project = Project::empty().variable("AWS_ENDPOINT_URL", &moto.endpoint);
    project.write(
        "config",
        &format!(
            "[profile base]\nregion = us-east-1\naws_access_key_id = AKIAEXAMPLEEXAMPLE00\naws_secret_access_key = {SECRET_KEY}\n\
             [profile role]\nregion = us-east-1\nrole_arn = arn:aws:iam::123456789012:role/reader\nexternal_id = {EXTERNAL_ID}\n\
             source_profile = base\n"
        ),
    );
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - name: ambient\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n",
    );
    let config = project.path("config").to_str().unwrap().to_owned();
    let project = project.variable("AWS_CONFIG_FILE", &config).variable("AWS_PROFILE", "role");
    for filter in ["info", "trace", "aws_config=info", TALKATIVE] {
        let ran = project.run(&["secrets", "list", "--prefix", &moto.name(""), "--log", filter]);
        assert_eq!(ran.status, Some(0), "{filter}: {}", ran.stderr);
        is_clean(filter, ran.stderr.as_bytes());
        let mut words = ran.stderr.split(|c: char| !c.is_ascii_alphanumeric());
        let hash = words.find(|word| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(hash, None, "{filter}: {}", ran.stderr);
        let has_library = ran.stderr.contains("hyper_util") || ran.stderr.contains("aws_");
        assert!(has_library || filter != TALKATIVE, "{filter}: {}", ran.stderr);
        assert!(!has_library || filter.contains('='), "{filter}: {}", ran.stderr);
    }
}

/// A name that would begin a line, run a command or turn text around is escaped in each form.
#[test]
fn the_name_of_a_manifest_breaks_out_of_no_output() {
    let project = Project::with_file("  token: canary-value-1\n");
    let name = "a\n::error::x\u{1b}[2J\u{9b}\u{202e}.yaml";
    project.write(name, "version: 1\nimage: { base: scratch }\nenv: { A: { secrets: token } }\n");
    let mut runs = vec![vec!["check", name, "--log", "trace"], vec!["bake", name], vec!["bake", name, "--dry-run"]];
    for format in ["json", "github", "gitlab", "sarif"] {
        runs.push(vec!["check", name, "--format", format]);
    }
    for arguments in runs {
        let ran = project.run(&arguments);
        assert_eq!(ran.status, Some(2), "{arguments:?}: {}", ran.stderr);
        for text in [&ran.stdout, &ran.stderr] {
            let is_raw = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!text.contains(is_raw), "{arguments:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("::error::x")), "{arguments:?}: {text:?}");
        }
    }
}

/// A plan shows plain values, unless one looks like a credential; an import shows those that it keeps, and says what to do next.
#[test]
fn a_plan_and_an_import_show_no_value_that_looks_like_a_credential() {
    let project = Project::with_file("  token: canary-value-1\n");
    let url = format!("postgres://app:{REGISTRY_PASSWORD}@db/app");
    project.write(
        "deploy.yaml",
        &format!(
            "version: 1\nimage: {{ base: scratch, tags: [\"oci:out:1\"] }}\nenv:\n  LEVEL: info\n  ID: {ACCESS_KEY_ID}\n  KEY: {KEY_OF_LETTERS}\n  \
             URL: \"{url}\"\n  TOKEN: {{ secret: token }}\n"
        ),
    );
    project.write(".env", &format!("LEVEL=info\nKEY={KEY_OF_LETTERS}\nURL={url}\nPASSWORD=canary-value-2\n"));
    for arguments in [
        &["bake", "deploy.yaml", "--dry-run"][..],
        &["bake", "deploy.yaml", "--dry-run", "--format", "json"],
        &["bake", "deploy.yaml", "--dry-run", "--online"],
        &["check", "deploy.yaml", "--format", "json"],
        &["import", "dotenv", ".env"],
    ] {
        let ran = project.run(&[arguments, &["--log", TALKATIVE]].concat());
        assert_eq!(ran.status, Some(0), "{arguments:?}: {}", ran.stderr);
        is_clean(&format!("{arguments:?}"), ran.stdout.as_bytes());
        is_clean(&format!("{arguments:?}"), ran.stderr.as_bytes());
        assert!(arguments[0] == "check" || ran.stdout.contains("info"), "{arguments:?}: {}", ran.stdout);
        assert!(arguments[0] != "import" || ran.stderr.contains("next: save the manifest"), "{}", ran.stderr);
    }
}

/// Every run of every test is watched in the same way, at the most talkative level.
#[test]
fn a_run_that_shows_a_secret_fails_whatever_its_test_looks_for() {
    let project = Project::with_file("  token: not-to-be-shown\n");
    project.write(
        "deploy.yaml",
        "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv: { A: not-to-be-shown }\n",
    );
    let plan = || project.run(&["bake", "deploy.yaml", "--dry-run"]);
    let failure = std::panic::catch_unwind(std::panic::AssertUnwindSafe(plan)).unwrap_err();
    let said = failure.downcast_ref::<String>().unwrap();
    assert!(
        said.starts_with("standard output of [\"bake\", \"deploy.yaml\", \"--dry-run\"] shows not-to-be-shown"),
        "{said}"
    );
    let output = project.command(&["bake", "deploy.yaml", "--log", TALKATIVE]).output().unwrap();
    let (said, log) = without_log(&String::from_utf8(output.stderr).unwrap());
    assert!(said.starts_with("baked oci:out:1") && log.contains(" INFO secretbake::"), "{said}{log}");
}

/// A run of each command that succeeds. `{one}` is the name of a secret whose value is a canary.
const EVERY_COMMAND: [(&str, &str); 20] = [
    ("bake", "deploy.yaml"),
    ("rebake", "oci:out:1 --all"),
    ("check", "deploy.yaml --format json"),
    ("inspect", "oci:out:1"),
    ("drift", "oci:out:1"),
    ("schema", "report"),
    ("import", "dotenv .env"),
    ("completions", "bash"),
    ("man", ""),
    ("org init", "--org new.yaml"),
    ("credential add", "new --region us-east-1 --access-key-id AKIAEXAMPLEEXAMPLE00 --secret-key-env TEST_SECRET_KEY"),
    ("credential edit", "new --external-id-env TEST_EXTERNAL_ID --role-arn arn:aws:iam::123456789012:role/reader"),
    ("credential list", ""),
    ("credential show", "role --format json"),
    ("credential test", "role --secret {one}"),
    ("credential default", "role"),
    ("credential remove", "new"),
    ("secrets list", ""),
    ("policy", "deploy.yaml"),
    ("__complete", "secrets c"),
];

/// Returns the commands that do something, with the words that lead to them.
fn commands(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let path = format!("{path} {}", below.get_name()).trim_start().to_owned();
        match below.has_subcommands() {
            true => commands(below, &path, found),
            false => found.push(path),
        }
    }
}

/// Whoever adds a command adds it to the table above.
#[test]
fn no_command_that_there_is_shows_a_canary_when_it_succeeds_or_fails() {
    use clap::CommandFactory as _;

    let (mut whole, mut all) = (secretbake::cli::Cli::command(), Vec::new());
    whole.build();
    commands(&whole, "", &mut all);
    let new = all.iter().filter(|path| EVERY_COMMAND.iter().all(|(known, _)| known != path));
    assert_eq!(new.collect::<Vec<_>>(), Vec::<&String>::new(), "add these commands to EVERY_COMMAND");

    let moto = Moto::new();
    moto.text("one", "canary-value-1");
    let name = moto.name("one");
    let manifest =
        format!("version: 1\nimage: {{ base: scratch, tags: [\"oci:out:1\"] }}\nenv:\n  ONE: {{ secret: {name} }}\n");
    let right = Project::with_moto(&moto).variable("TEST_EXTERNAL_ID", EXTERNAL_ID);
    right.write("deploy.yaml", &manifest);
    right.write(".env", "PASSWORD=canary-value-2\n");
    // the org file has a mistake beside its keys, and nothing else is right either
    let wrong = Project::empty().variable("TEST_EXTERNAL_ID", EXTERNAL_ID);
    wrong.write(
        "secretbake.org.yaml",
        &format!("version: 1\ncredentials:\n  - name: aws\n    secret_access_key: {SECRET_KEY}\n"),
    );
    wrong.write("deploy.yaml", "version: 1\nenv:\n  ONE: [canary-value-1]\n  canary-value-2\n");
    wrong.write(".env", "PASSWORD='canary-value-2\ncanary-value-1\n");
    for (command, arguments) in EVERY_COMMAND.iter().filter(|(path, _)| all.iter().any(|known| known == path)) {
        let arguments = arguments.replace("{one}", &name);
        let words: Vec<&str> =
            command.split(' ').chain(arguments.split_whitespace()).chain(["--log", TALKATIVE]).collect();
        for (project, is_right) in [(&right, true), (&wrong, false)] {
            let ran = project.run(&words);
            assert!(!is_right || ran.status == Some(0), "{words:?}: {}", ran.stderr);
            is_clean(&format!("{words:?}"), ran.stdout.as_bytes());
            is_clean(&format!("{words:?}"), ran.stderr.as_bytes());
        }
    }
}
