//! `provider: command`: another secret manager's client, as stand-in scripts that look at what they are given.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use secretbake::diagnostic::Diagnostic;
use secretbake::manifest::Version;
use secretbake::manifest::reference::SecretId;
use secretbake::org::CommandSettings;
use secretbake::org::file::Variables;
use secretbake::secrets::Provider as _;
use secretbake::secrets::command::CommandProvider;

use crate::support::project::{Project, Ran};

const MANIFEST: &str = "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv:\n";

/// Returns a project whose only credential runs `client`, a script of these lines; more fields go to the org file.
fn with_client(script: &str, more: &str) -> Project {
    let project = Project::empty();
    project.program("client", script);
    project.write("secretbake.org.yaml", &org("[\"./client\", \"get\", \"{name}\"]", more));
    project
}

fn org(command: &str, more: &str) -> String {
    format!(
        "version: 1\ncredentials:\n  - name: other\n    provider: command\n    default: true\n    command: {command}\n{more}"
    )
}

/// Returns what was baked into the layout `out` as the env file, one variable a line.
fn baked_variables(project: &Project) -> Vec<String> {
    let blobs = fs::read_dir(project.path("out/blobs/sha256")).unwrap();
    let found = blobs.filter_map(|blob| {
        let mut tar = Command::new("tar");
        let output = tar.arg("-xOf").arg(blob.unwrap().path()).arg(".secretbake/env").output().unwrap();
        output.status.success().then_some(output.stdout)
    });
    let env = String::from_utf8(found.last().expect("a layer with the env file")).unwrap();
    env.split_terminator('\0').map(str::to_owned).collect()
}

fn bake(project: &Project, env: &str) -> Ran {
    project.bake(&format!("{MANIFEST}{env}"))
}

/// Returns a failed bake's errors.
fn errors(project: &Project, env: &str) -> String {
    let ran = bake(project, env);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(!project.path("out").exists(), "a failed bake leaves nothing");
    ran.stderr.replace(&format!("{}/", project.path("").display()).replace("//", "/"), "")
}

#[test]
fn the_value_of_each_distinct_secret_is_read_once() {
    let project = with_client(r#"echo "$@" >> calls; printf '{"user":"app","password":"pass of %s"}' "$2""#, "");
    let env = "  A: { secret: prod/db#password }\n  B: { secret: prod/db#user }\n  C: { secret: other }\n";
    let ran = bake(&project, env);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(
        baked_variables(&project),
        ["A=pass of prod/db", "B=app", r#"C={"user":"app","password":"pass of other"}"#]
    );
    let mut calls: Vec<String> =
        fs::read_to_string(project.path("calls")).unwrap().lines().map(str::to_owned).collect();
    calls.sort();
    assert_eq!(calls, ["get other", "get prod/db"]);
    assert_eq!(bake(&project, env).brief(), "unchanged\n");
    assert_snapshot!(project.run(&["inspect", "oci:out:1"]).stdout.splitn(3, '\n').last().unwrap(), @"
    base     none
    created  1970-01-01T00:00:00Z
    inject   launcher
    env
      A  secret prod/db#password  with other  version without an ID
      B  secret prod/db#user      with other  version without an ID
      C  secret other             with other  version without an ID
    ");
    assert_snapshot!(project.run(&["drift", "oci:out:1"]).stdout, @"
    oci:out:1: unknown
      A  secret prod/db with other  cannot be told: the provider gives its versions no IDs
      B  secret prod/db with other  cannot be told: the provider gives its versions no IDs
      C  secret other with other    cannot be told: the provider gives its versions no IDs
    1 of 1 image cannot be told without reading the secrets: run secretbake rebake oci:out:1
    ");
}

#[test]
fn the_name_is_one_argument_and_never_goes_through_a_shell() {
    let project = Project::empty();
    project.program("client", r#"printf '%s|' "$#" "$@""#);
    project.write("secretbake.org.yaml", &org(r#"["./client", "x{name}y {name}", "$HOME;`id`", ""]"#, ""));
    let ran = bake(&project, "  A: { secret: a!b@c }\n");
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(baked_variables(&project), ["A=3|xa!b@cy a!b@c|$HOME;`id`||"]);
}

#[test]
fn the_client_sees_nothing_but_path_home_and_what_is_listed() {
    let project = with_client("exec /usr/bin/env", "    environment: [LISTED, UNSET]\n")
        .variable("LISTED", "listed")
        .variable("OTHER", "other")
        .variable("AWS_SECRET_ACCESS_KEY", "other");
    let ran = bake(&project, "  A: { secret: a }\n");
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let variables = baked_variables(&project).concat();
    let mut names: Vec<&str> =
        variables.strip_prefix("A=").unwrap().lines().map(|line| line.split_once('=').unwrap().0).collect();
    names.sort_unstable();
    // the shell of the stand-in adds PWD
    assert_eq!(names, ["HOME", "LISTED", "PATH", "PWD"]);
}

#[test]
fn standard_output_is_the_value_byte_for_byte_unless_a_newline_is_trimmed() {
    for (more, expected) in [("", "A= v \n\n"), ("    trim_newline: true\n", "A= v \n")] {
        let project = with_client(r"printf ' v \n\n'", more);
        assert_eq!(bake(&project, "  A: { secret: a }\n").status, Some(0));
        assert_eq!(baked_variables(&project), [expected]);
    }
    let project = with_client("exit 0", "");
    assert_eq!(bake(&project, "  A: { secret: a }\n").status, Some(0));
    assert_eq!(baked_variables(&project), ["A="], "an empty value is a value");
}

#[test]
fn a_client_that_fails_says_why_without_the_value() {
    let project = with_client(
        r#"printf 'canary-value-of-the-client'; echo "[ERROR] no item canary-value-of-the-client for $TOKEN" >&2; exit 6"#,
        "    environment: [TOKEN]\n",
    )
    .variable("TOKEN", "canary-token-0123456789");
    assert_snapshot!(errors(&project, "  A: { secret: prod/db }\n  B: { secret: prod/db, optional: true }\n"), @"
    deploy.yaml:4:16: env.A: cannot read prod/db: ./client exited with status 6 (credential `other`)
      cause: ./client says: [ERROR] no item *** for ***
      hint: run it by hand: ./client get prod/db
    ");
    let project = with_client("kill -9 $$", "");
    assert_snapshot!(errors(&project, "  A: { secret: prod/db }\n"), @"
    deploy.yaml:4:16: env.A: cannot read prod/db: ./client was ended by signal 9 (credential `other`)
      hint: run it by hand: ./client get prod/db
    ");
    // a missing key is forgiven, and no failure is
    let project = with_client("echo '{}'", "");
    assert_eq!(bake(&project, "  A: { secret: a#key, optional: true }\n").status, Some(0));
}

#[test]
fn a_client_that_is_not_there_or_is_no_program() {
    let project = Project::empty();
    project.write("secretbake.org.yaml", &org(r#"["no-such-client", "{name}"]"#, ""));
    assert_snapshot!(errors(&project, "  A: { secret: a }\n"), @"
    deploy.yaml:4:16: env.A: no program `no-such-client` in PATH (credential `other`)
      hint: install no-such-client, or write its full path in the credential's `command`
    ");
    project.write("secretbake.org.yaml", &org(r#"["./no-such-client", "{name}"]"#, ""));
    assert_snapshot!(errors(&project, "  A: { secret: a }\n"), @"
    deploy.yaml:4:16: env.A: no program at ./no-such-client (credential `other`)
      hint: a relative path in `command` starts at the org file; the file must be executable
    ");
    project.write("client.sh", "not a program");
    assert!(
        Command::new("install")
            .args(["-m", "755"])
            .arg(project.path("client.sh"))
            .arg(project.path("client"))
            .status()
            .unwrap()
            .success()
    );
    project.write("secretbake.org.yaml", &org(r#"["./client", "{name}"]"#, ""));
    assert_snapshot!(errors(&project, "  A: { secret: a }\n"), @"
    deploy.yaml:4:16: env.A: cannot read a: cannot run ./client: Exec format error (os error 8) (credential `other`)
      hint: check that the file is a program of this machine
    ");
}

/// Reads a secret by a shell script that may take `limit`.
async fn read_by(script: &str, limit: Duration) -> Result<Vec<u8>, Diagnostic> {
    let folder = tempfile::tempdir().unwrap();
    let settings = CommandSettings {
        command: ["/bin/sh", "-c", script, "sh", "{name}"].map(str::to_owned).to_vec(),
        environment: Vec::new(),
        trim_newline: false,
    };
    let lookup = |name: &str| (name == "PATH").then(|| "/usr/bin:/bin".into());
    let provider = CommandProvider::new("other", &settings, folder.path(), Variables::new(&lookup), limit);
    let answer = provider.read(&SecretId::new("a").unwrap(), &Version::Current).await;
    answer.map(|value| value.bytes.expose().to_vec()).map_err(|failure| *failure.diagnostic)
}

#[tokio::test]
async fn a_client_that_does_not_end_or_does_not_stop() {
    let error = read_by("echo waiting for you >&2; sleep 600", Duration::from_secs(1)).await.unwrap_err();
    assert_snapshot!(error, @"
    error: cannot read a: /bin/sh did not end within 1 second (credential `other`)
      cause: it waits for a server, or for an answer: it has no terminal to ask at
      cause: /bin/sh says: waiting for you
      hint: run it by hand: /bin/sh -c 'echo waiting for you >&2; sleep 600' sh a
    ");
    let error = read_by("exec yes", Duration::from_secs(60)).await.unwrap_err();
    assert_snapshot!(error, @"
    error: cannot read a: /bin/sh wrote more than 8 MiB to its standard output (credential `other`)
      hint: run it by hand: /bin/sh -c 'exec yes' sh a
    ");
    // more words than a pipe holds do not stop it
    let script = "i=0; while [ $i -lt 3000 ]; do echo a line of a hundred characters or so, as a client may write it again and again and again >&2; i=$((i+1)); done; printf v";
    assert_eq!(read_by(script, Duration::from_secs(60)).await.unwrap(), b"v");
    // what it leaves in the background is not waited for
    assert_eq!(read_by("sleep 600 & printf v", Duration::from_secs(60)).await.unwrap(), b"v");
}

#[test]
fn an_interrupt_ends_the_client_and_what_it_has_started() {
    let project = with_client("sleep 600 & echo $! > child; echo $$ > client.pid; wait", "");
    project.write("deploy.yaml", &format!("{MANIFEST}  A: {{ secret: a }}\n"));
    let mut command = project.command(&["bake", "deploy.yaml"]);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = |file: &str| fs::read_to_string(project.path(file)).ok()?.trim().parse::<i32>().ok();
    let deadline = Instant::now() + Duration::from_secs(60);
    let (child, client) = loop {
        if let (Some(child), Some(client)) = (pid("child"), pid("client.pid")) {
            break (child, client);
        }
        assert!(Instant::now() < deadline, "the client does not start");
        std::thread::sleep(Duration::from_millis(10));
    };
    let own = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(own, rustix::process::Signal::INT).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(130));
    let lives = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !status.is_empty() && !status.contains(") Z ")
    };
    while lives(child) || lives(client) {
        assert!(Instant::now() < deadline, "the client lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn clients_run_side_by_side_within_a_bound() {
    // each waits until eight run at once, and counts how many do
    let script = r#"mkdir -p run most; touch "run/$2"
        i=0; while [ "$(ls run | wc -l)" -lt 8 ] && [ ! -e full ] && [ $i -lt 2000 ]; do sleep 0.02; i=$((i+1)); done
        touch full; touch "most/$(ls run | wc -l)"; rm "run/$2"; printf v"#;
    let project = with_client(script, "");
    let env: String = (0..16).map(|number| format!("  A{number}: {{ secret: s{number} }}\n")).collect();
    let ran = bake(&project, &env);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let most = fs::read_dir(project.path("most")).unwrap();
    let most = most.map(|entry| entry.unwrap().file_name().into_string().unwrap().parse::<u32>().unwrap()).max();
    assert_eq!(most, Some(8));
}

#[test]
fn the_dry_run_runs_nothing_and_online_runs_each_once() {
    let project = with_client(
        r#"echo "$2" >> calls; [ "$2" != missing ] || { echo not there >&2; exit 1; }; echo '{"k":"v"}'"#,
        "",
    );
    project.write(
        "deploy.yaml",
        &format!("{MANIFEST}  A: {{ secret: a }}\n  B: {{ secret: b#k }}\n  C: {{ secret: missing }}\n"),
    );
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(!project.path("calls").exists());
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert_eq!(ran.status, Some(1));
    assert_snapshot!(ran.stdout, @"
    deploy.yaml
      base: scratch
      tag: oci:out:1
      env:
        A = secret a
        B = secret b#k
        C = secret missing

    secrets read:
      a
      b
      missing

    credentials:
      other: command, the default

    online:
      a: found
      b#k: found, key present
      missing: could not be asked
    ");
    assert_eq!(fs::read_to_string(project.path("calls")).unwrap().lines().count(), 3);
}

#[test]
fn a_credential_test_shows_the_program_and_reads_one_secret() {
    let project = with_client(r#"echo '{"k":"v"}'"#, "");
    let shown = |arguments: &[&str]| {
        let ran = project.run(arguments);
        (ran.status, ran.stdout.replace(project.path("client").to_str().unwrap(), "/client") + &ran.stderr)
    };
    assert_snapshot!(shown(&["credential", "test"]).1, @"
    ok       program      /client
    note     read         not run: a command reads one secret and cannot list them
               hint: name a secret with --secret to run it
    ");
    assert_snapshot!(shown(&["credential", "test", "other", "--secret", "a#k"]).1, @"
    ok       program      /client
    ok       read
    ok       key          #k
    ");
    let (status, text) = shown(&["credential", "test", "other", "--secret", "a#other"]);
    assert_eq!(status, Some(1));
    assert_snapshot!(text, @r#"
    ok       program      /client
    ok       read
    failed   key          JSON key not found: "other" in a
               hint: its keys are k
    "#);
    let (status, text) = shown(&["secrets", "list"]);
    assert_eq!(status, Some(1));
    assert_snapshot!(text, @"
    error: a command reads one secret and cannot list them (credential `other`)
      hint: list them with ./client itself
    ");
    assert_snapshot!(shown(&["credential", "list"]).1, @"
    other  command  default  command=./client get {name}
    ");
}

#[test]
fn a_credential_is_added_edited_and_shown() {
    let project = Project::empty();
    let ran = project.run(&[
        "credential",
        "add",
        "op",
        "--environment",
        "OP_SERVICE_ACCOUNT_TOKEN",
        "--environment",
        "OP_ACCOUNT",
        "--default",
        "--command",
        "op",
        "read",
        "--no-newline",
        "op://prod/{name}",
        "a \"b\"",
    ]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let text = || fs::read_to_string(project.path("secretbake.org.yaml")).unwrap();
    assert_snapshot!(text().split_once("credentials:\n").unwrap().1, @r#"
    - name: op
      provider: command
      command: [op, read, "--no-newline", "op://prod/{name}", "a \"b\""]
      environment: [OP_SERVICE_ACCOUNT_TOKEN, OP_ACCOUNT]
      default: true
    "#);
    let ran = project.run(&["credential", "edit", "op", "--trim-newline", "--command", "op", "{name}"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let ran = project.run(&["credential", "edit", "op", "--unset", "environment"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_snapshot!(project.run(&["credential", "show", "op"]).stdout, @"
    name               op
    provider           command
    default            yes
    command            op {name}
    trim_newline       yes
    ");
    let ran = project.run(&["credential", "add", "other", "--command", "op", "read"]);
    assert_eq!(ran.status, Some(2));
    assert_snapshot!(ran.stderr, @r#"
    secretbake.org.yaml:20:14: credentials[1].command: no argument has {name}: every secret would be the same
      hint: put {name} where the client takes the secret's name, as in command: ["op", "read", "--no-newline", "op://prod/{name}"]
    "#);
}

#[test]
fn every_mistake_in_the_org_file_has_its_place_and_no_value() {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        r#"version: 1
credentials:
  - { name: none, provider: command }
  - { name: empty, provider: command, command: [] }
  - { name: text, provider: command, command: "op read {name}" }
  - { name: no-name, provider: command, command: [op, read] }
  - { name: as-program, provider: command, command: ["{name}"] }
  - { name: token, provider: command, command: ["ghp_abcdefghijklmnopqrstuvwxyz0123456789"] }
  - { name: value, provider: command, command: [op, "{name}"], environment: ["TOKEN=canary", 1] }
  - { name: fields, provider: command, command: [op, "{name}"], trim_newlin: true, region: us-east-1 }
"#,
    );
    project.write("deploy.yaml", "version: 1\nenv: { A: { secret: a } }\n");
    let ran = project.run(&["check", "deploy.yaml"]);
    assert_eq!(ran.status, Some(2));
    assert!(!ran.stderr.contains("canary") && !ran.stderr.contains("abcdef"), "{}", ran.stderr);
    assert_snapshot!(ran.stderr, @r#"
    secretbake.org.yaml:3:5: credentials[0].command: missing
      hint: write the command that prints a secret, as in command: ["op", "read", "--no-newline", "op://prod/{name}"]
    secretbake.org.yaml:4:48: credentials[1].command: no program
      hint: write the program and its arguments, as in command: ["op", "read", "--no-newline", "op://prod/{name}"]
    secretbake.org.yaml:5:47: credentials[2].command: expected a list, found a single value
      hint: write a list: `command: ["op", "read", "--no-newline", "op://prod/{name}"]`
    secretbake.org.yaml:6:50: credentials[3].command: no argument has {name}: every secret would be the same
      hint: put {name} where the client takes the secret's name, as in command: ["op", "read", "--no-newline", "op://prod/{name}"]
    secretbake.org.yaml:7:53: credentials[4].command[0]: {name} in the program: a manifest would choose what runs
      hint: name the program here, and put {name} in an argument, as in command: ["op", "read", "--no-newline", "op://prod/{name}"]
    secretbake.org.yaml:8:49: credentials[5].command[0]: looks like a GitHub token
      cause: every user of the machine can see the arguments of a running program
      hint: set it in an environment variable, and list the variable in `environment:`
    secretbake.org.yaml:9:78: credentials[6].environment[0]: not a variable name
      hint: name the variable, without its value: letters, digits and `_`
    secretbake.org.yaml:9:94: credentials[6].environment[1]: a number where a string is expected
      hint: put it in quotes
    secretbake.org.yaml:10:65: credentials[7].trim_newlin: unknown field
      hint: did you mean `trim_newline`?
    secretbake.org.yaml:10:84: credentials[7].region: unknown field
      hint: known fields are name, provider, default, allow, command, environment, trim_newline
    deploy.yaml:2:21: env.A: no credential found: no default for provider command
      hint: write `default: true` at one of `none`, `empty`, `text`, `no-name`, `as-program`, `token`, `value`, `fields` in secretbake.org.yaml, or `credential: NAME` here
    11 errors in 2 files
    "#);
}

#[test]
fn every_mistake_in_a_manifest_is_found_offline() {
    let project = Project::empty();
    project.write("secretbake.org.yaml", &org(r#"["op", "{name}"]"#, ""));
    project.write(
        "deploy.yaml",
        "version: 1\nenv:\n  A: { secret: --help }\n  B: { secret: a/../b }\n  C: { secret: c, version_stage: AWSPREVIOUS }\n",
    );
    let ran = project.run(&["check", "deploy.yaml"]);
    assert_eq!(ran.status, Some(2));
    assert_snapshot!(ran.stderr, @"
    deploy.yaml:3:16: env.A: the name begins with `-`, which op takes for an option
      hint: write text in front of {name} in the `command` of `other`, such as ./{name}
    deploy.yaml:4:16: env.B: the name has a part `..`, which can leave the path that the command names
      hint: write the secret's name in full
    deploy.yaml:5:16: env.C: a version is named, and a command has none (credential `other`)
      hint: remove it: a command prints the current value
    3 errors in 1 file
    ");
}

/// The stand-in of each client in docs/command-provider.md: it takes the arguments of the real one and no others.
const CLIENTS: [(&str, &str); 7] = [
    ("op", r#"[ "$*" = "read --no-newline op://prod/db/password" ] && printf value"#),
    ("vault", r#"[ "$*" = "kv get -mount=secret -format=json -field=data db/password" ] && printf value"#),
    ("gcloud", r#"[ "$*" = "secrets versions access latest --secret=db/password" ] && printf value"#),
    (
        "az",
        r#"[ "$*" = "keyvault secret show --vault-name=prod --name=db/password --query=value --output=tsv" ] && echo value"#,
    ),
    ("bw", r#"[ "$*" = "get password db/password" ] && printf value"#),
    ("pass", r#"[ "$*" = "show prod/db/password" ] && echo value"#),
    ("sops", r#"[ "$*" = 'decrypt --extract ["db/password"] secrets.enc.yaml' ] && printf value"#),
];

#[test]
fn each_command_of_the_documentation_reads_a_secret() {
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/command-provider.md")).unwrap();
    for (client, script) in CLIENTS {
        let project = Project::empty();
        fs::create_dir(project.path("bin")).unwrap();
        project.program(&format!("bin/{client}"), script);
        let needle = format!("`command: [\"{client}\"");
        let line = docs.lines().find(|line| line.contains(&needle)).unwrap_or_else(|| panic!("no line for {client}"));
        let command = line.split('`').find_map(|part| part.strip_prefix("command: ")).unwrap();
        let trims = docs.lines().any(|other| {
            let row = line.split('|').nth(1).unwrap();
            other.starts_with(&format!("|{row}|")) && other.contains("trim_newline: true")
        });
        project.write("secretbake.org.yaml", &org(command, if trims { "    trim_newline: true\n" } else { "" }));
        let path = format!("{}:/usr/bin:/bin", project.path("bin").display());
        let project = project.variable("PATH", &path);
        let ran = bake(&project, "  A: { secret: db/password }\n");
        assert_eq!(ran.status, Some(0), "{client}: {}", ran.stderr);
        assert_eq!(baked_variables(&project), ["A=value"], "{client}");
    }
}
