//! What a shell offers after Tab: credentials and the names of secrets.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::aws::refusal;
use crate::support::project::{Project, SECRET_KEY};
use crate::support::stub::{Reply, Stub};

pub fn on_stub(stub: &Stub) -> Project {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - name: aws-prod\n    provider: aws-secrets-manager\n    region: us-east-1\n\
         \x20   access_key_id: AKIAIOSFODNN7EXAMPLE\n    secret_access_key: { env: KEY }\n  - name: aws-test\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n",
    );
    let home = project.path("cache").display().to_string();
    project.variable("KEY", SECRET_KEY).variable("AWS_ENDPOINT_URL", &stub.url()).variable("XDG_CACHE_HOME", &home)
}

fn names() -> Stub {
    Stub::answering([Reply::json(200, r#"{"SecretList":[{"Name":"db/main"},{"Name":"api"},{"Name":"db/old"}]}"#)])
}

#[test]
fn names_are_offered_and_remembered_for_a_while() {
    let stub = names();
    let project = on_stub(&stub);
    assert_eq!(project.run(&["__complete", "credentials", "aws-p"]).stdout, "aws-prod\n");
    let secrets = ["__complete", "secrets", "db/", "--credential", "aws-prod"];
    assert_eq!(project.run(&secrets).stdout, "db/main\ndb/old\n");
    assert_eq!(project.run(&secrets).stdout, "db/main\ndb/old\n");
    assert_eq!(stub.operations(), ["ListSecrets"], "asked once");
    let folder = project.path("cache/secretbake/names");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(fs::read_to_string(&files[0]).unwrap(), "api\ndb/main\ndb/old");
    assert_eq!(fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
    // what is old is asked for again
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(600);
    fs::File::options().append(true).open(&files[0]).unwrap().set_modified(old).unwrap();
    project.run(&secrets);
    assert_eq!(stub.operations().len(), 2);
}

/// Runs a shell's script with the completions in a file `script` and secretbake on its PATH; returns the words that it prints.
fn shell(project: &Project, shell: &str, arguments: &[&str]) -> String {
    project.write("script", &project.run(&["completions", shell]).stdout);
    let program = project.path("secretbake");
    if !program.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_secretbake"), program).unwrap();
    }
    let environment = project.command(&[]);
    let mut command = Command::new(shell);
    command.args(arguments).current_dir(project.path("")).env_clear();
    command.envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("HOME", project.path("")).env("PATH", format!("{}:/usr/bin:/bin", project.path("").display()));
    let output = command.output().unwrap_or_else(|error| panic!("{shell}: {error}: run the tests with scripts/test"));
    let said = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell} {arguments:?}: {said}");
    said
}

/// What is typed, and the names that are offered for its last word.
const TYPED: [(&str, &str); 4] = [
    ("secretbake credential test ", "aws-prod aws-test"),
    ("secretbake policy deploy.yaml --credential aws-t", "aws-test"),
    ("secretbake secrets list --credential aws-prod --prefix db/o", "db/old"),
    ("secretbake credential test aws-prod --secret db", "db/main db/old"),
];

#[test]
fn bash_offers_names() {
    let stub = names();
    let project = on_stub(&stub);
    for (typed, offered) in TYPED.into_iter().chain([("secretbake credential remo", "remove")]) {
        let empty = if typed.ends_with(' ') { "''" } else { "" };
        let asked = format!(
            "source ./script; COMP_WORDS=({typed}{empty}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _secretbake_names secretbake \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo ${{COMPREPLY[@]}}"
        );
        assert_eq!(shell(&project, "bash", &["-c", &asked]), offered, "{typed}");
    }
}

#[test]
fn no_shell_is_offered_a_command_that_is_not_for_people() {
    let project = Project::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = project.run(&["completions", shell]).stdout;
        let calls_only = ["secretbake __complete ", "(secretbake __complete "];
        for line in script.lines().filter(|line| line.contains("__complete")) {
            assert!(calls_only.iter().any(|call| line.contains(call)), "{shell}: {line}");
        }
        assert!(script.contains("inspect"), "{shell}");
    }
}

/// Types a line and a tab into a bash at a terminal; returns what stands there once `expected` does, or after a minute.
fn typed_into_bash(project: &Project, line: &str, expected: &str) -> String {
    project.write("script", &project.run(&["completions", "bash"]).stdout);
    let program = project.path("secretbake");
    if !program.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_secretbake"), program).unwrap();
    }
    let environment = project.command(&[]);
    let mut command = Command::new("timeout");
    command.args(["60", "script", "-qec", "bash --norc --noprofile -i", "/dev/null"]);
    command.current_dir(project.path("")).env_clear();
    command.envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("HOME", project.path("")).env("PATH", format!("{}:/usr/bin:/bin", project.path("").display()));
    command.env("SHELL", "/bin/sh").env("TERM", "dumb").env("PS1", "ready> ");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut until = |text: &str| {
        let (mut shown, mut byte) = (String::new(), [0]);
        while !shown.ends_with(text) && screen.read(&mut byte).unwrap() == 1 {
            shown.push(char::from(byte[0]));
        }
        shown
    };
    until("ready> ");
    keyboard.write_all(b"source ./script\n").unwrap();
    until("ready> ");
    keyboard.write_all(format!("{line}\t").as_bytes()).unwrap();
    let shown = until(expected);
    child.kill().unwrap();
    child.wait().unwrap();
    shown
}

#[test]
fn a_live_bash_offers_names_behind_an_equals_sign_too() {
    let stub = names();
    let project = on_stub(&stub);
    project.write(
        "other.yaml",
        "version: 1\ncredentials:\n  - name: elsewhere\n    provider: aws-secrets-manager\n    region: us-east-1\n",
    );
    for (line, expected) in [
        ("secretbake policy deploy.yaml --credential=aws-t", "--credential=aws-test "),
        ("secretbake policy --org=other.yaml --credential=", "--credential=elsewhere "),
        ("secretbake credential show --org=other.yaml --credential e", "--credential elsewhere "),
        ("secretbake secrets list --credential=aws-prod --prefix=db/o", "--prefix=db/old "),
    ] {
        let shown = typed_into_bash(&project, line, expected);
        assert!(shown.ends_with(expected), "{line}: {shown}");
    }
}

#[test]
fn names_of_one_account_are_not_offered_for_another() {
    let (first, second) = (names(), Stub::answering([Reply::json(200, r#"{"SecretList":[{"Name":"other"}]}"#)]));
    let project = on_stub(&first);
    let secrets = ["__complete", "secrets", "", "--credential", "aws-prod"];
    assert_eq!(project.run(&secrets).stdout, "api\ndb/main\ndb/old\n");
    let project = project.variable("AWS_ENDPOINT_URL", &second.url());
    assert_eq!(project.run(&secrets).stdout, "other\n");
}

#[test]
fn zsh_offers_names() {
    let stub = names();
    let project = on_stub(&stub);
    // what zsh has only while a person types
    let typing =
        "compdef() { : }; compadd() { print -l -- ${(P)2} }; source ./script; _secretbake_static() { print its own }";
    for (typed, offered) in TYPED.into_iter().chain([("secretbake credential remo", "its own")]) {
        let asked =
            format!("{typing}; words=(\"${{(@s: :)1}}\"); CURRENT=$#words; PREFIX=$words[CURRENT]; _secretbake");
        assert_eq!(shell(&project, "zsh", &["-f", "-c", &asked, "zsh", typed]), offered, "{typed}");
    }
    // autoloaded from a folder of fpath, its first call completes already
    let loaded = "mkdir fpath; mv script fpath/_secretbake; fpath=($PWD/fpath); compdef() { : }; compadd() { print -l -- ${(P)2} }; \
                  autoload -Uz _secretbake; words=(secretbake policy --credential ''); CURRENT=4; PREFIX=''; _secretbake";
    assert_eq!(shell(&project, "zsh", &["-f", "-c", loaded]), "aws-prod aws-test");
}

#[test]
fn fish_offers_names() {
    let stub = names();
    let project = on_stub(&stub);
    for (typed, offered) in TYPED {
        let asked = format!("source ./script; complete -C '{typed}'");
        assert_eq!(shell(&project, "fish", &["--no-config", "-c", &asked]), offered, "{typed}");
    }
    let own =
        shell(&project, "fish", &["--no-config", "-c", "source ./script; complete -C 'secretbake credential remo'"]);
    assert_eq!(own, "remove Remove a credential");
}

#[test]
fn nothing_is_kept_or_offered_where_that_is_switched_off() {
    let stub = names();
    let project = on_stub(&stub).variable("SECRETBAKE_NO_COMPLETION_CACHE", "1");
    let secrets = ["__complete", "secrets", "api", "--credential", "aws-prod"];
    assert_eq!(project.run(&secrets).stdout, "api\n");
    assert!(!project.path("cache").exists());
    let project = project.variable("SECRETBAKE_COMPLETE", "off");
    let ran = project.run(&secrets);
    assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));
    assert_eq!(stub.operations().len(), 1);
}

#[test]
fn a_shell_is_told_nothing_of_an_error() {
    let stub = Stub::answering([refusal("AccessDeniedException", "no")]);
    let project = on_stub(&stub);
    let ran = project.run(&["__complete", "secrets", "", "--credential", "aws-prod"]);
    assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));
    project.write("secretbake.org.yaml", "not: right");
    let ran = project.run(&["__complete", "credentials"]);
    assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));
}
