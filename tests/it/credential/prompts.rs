//! The credentials' form, as a person at a terminal fills it in.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

use crate::support::project::{EXTERNAL_ID, Project, SECRET_KEY};
use crate::support::terminal;

const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const ROLE: &str = "arn:aws:iam::123456789012:role/reader";

fn text(project: &Project) -> String {
    fs::read_to_string(project.path("secretbake.org.yaml")).unwrap()
}

/// Returns a project with a credential whose every field is set.
fn full() -> Project {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        &format!(
            "version: 1\ncredentials:\n  - name: aws-prod\n    provider: aws-secrets-manager\n    region: us-east-1\n    \
             access_key_id: {KEY_ID}\n    secret_access_key: {SECRET_KEY}\n    role_arn: {ROLE}\n    external_id: {EXTERNAL_ID}\n    \
             default: true\n"
        ),
    );
    closed(&project);
    project
}

fn closed(project: &Project) {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(project.path("secretbake.org.yaml"), permissions).unwrap();
}

/// Runs secretbake in a terminal of its own, by util-linux's `script`, with an answer to each question, of which the end is given;
/// returns what the terminal shows.
fn on_a_terminal(project: &Project, arguments: &str, answers: &[(&str, &str)]) -> String {
    let (is_done, shown) = terminal_of(project, arguments, answers);
    assert!(is_done, "{shown}");
    shown
}

/// As [`on_a_terminal`], and whether the run did what it was asked.
fn terminal_of(project: &Project, arguments: &str, answers: &[(&str, &str)]) -> (bool, String) {
    let program = env!("CARGO_BIN_EXE_secretbake");
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{program} {arguments}"), "/dev/null"]);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("SHELL", "/bin/sh")
        .current_dir(project.path(""));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let mut shown = String::new();
    for (question, answer) in answers {
        let mut byte = [0];
        let before = shown.len();
        while !shown[before..].ends_with(question) && screen.read(&mut byte).unwrap() == 1 {
            shown.push(char::from(byte[0]));
        }
        assert!(shown[before..].ends_with(question), "{question:?} is not asked: {shown}");
        keyboard.write_all(format!("{answer}\r").as_bytes()).unwrap();
    }
    screen.read_to_string(&mut shown).unwrap();
    drop(keyboard);
    // hints name the program as it was called
    let shown = shown.replace(program, "secretbake");
    assert!(!shown.contains("canary"), "{shown}");
    (child.wait().unwrap().success(), shown)
}

#[test]
fn on_a_terminal_the_fields_are_asked_for_and_the_secret_is_not_echoed() {
    let project = Project::empty();
    let answers = [
        ("Provider: aws-secrets-manager, aws-parameter-store, command or file (blank: aws-secrets-manager): ", ""),
        ("us-east-1 (blank: from the environment or the AWS profile): ", "us-east-1"),
        ("key ID (blank: from the environment or the AWS profile): ", KEY_ID),
        ("Secret access key (required): ", SECRET_KEY),
        ("Role ARN (blank: assume no role): ", ROLE),
        ("External ID (blank: none): ", EXTERNAL_ID),
        ("[y/N]: ", "y"),
    ];
    on_a_terminal(&project, "credential add aws-prod", &answers);
    let text = text(&project);
    assert!(text.contains(&format!("secret_access_key: {SECRET_KEY}\n")), "{text}");
    assert!(text.contains(&format!("external_id: {EXTERNAL_ID}\n")) && text.contains("default: true\n"), "{text}");
}

#[test]
fn on_a_terminal_an_edit_asks_for_every_field_and_keeps_what_is_left_blank() {
    let project = full();
    let before = text(&project);
    let blank = [
        ("us-east-1 (blank: unchanged): ", ""),
        ("key ID (blank: unchanged): ", ""),
        ("Secret access key (blank: unchanged): ", ""),
        ("Role ARN (blank: unchanged): ", ""),
        ("External ID (blank: unchanged): ", ""),
        ("Default for this provider? [Y/n]: ", ""),
    ];
    let shown = on_a_terminal(&project, "credential edit aws-prod", &blank);
    assert!(shown.ends_with("nothing to change: aws-prod\r\n"), "{shown}");
    assert_eq!(text(&project), before);
    let mut secrets = blank;
    (secrets[2].1, secrets[4].1) = ("canary-new-key", "canary-new-id");
    on_a_terminal(&project, "credential edit aws-prod", &secrets);
    let changed = before.replace(SECRET_KEY, "canary-new-key").replace(EXTERNAL_ID, "canary-new-id");
    assert_eq!(text(&project), changed);
    let mut last = blank;
    last[5].1 = "n";
    on_a_terminal(&project, "credential edit aws-prod", &last);
    assert_eq!(text(&project), changed.replace("\n    default: true", "\n    default: false"));
}

#[test]
fn on_a_terminal_an_edit_asks_for_the_session_token_of_temporary_keys() {
    let project = full();
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - name: temporary\n    provider: aws-secrets-manager\n    region: us-east-1\n    \
         access_key_id: ASIAIOSFODNN7EXAMPLE\n    secret_access_key: { env: KEY }\n    session_token: { env: TOKEN }\n",
    );
    closed(&project);
    let answers = [
        ("us-east-1 (blank: unchanged): ", ""),
        ("key ID (blank: unchanged): ", ""),
        ("Secret access key (blank: unchanged): ", "canary-new-key"),
        ("Session token (blank: unchanged): ", "canary-new-token"),
        ("Role ARN (blank: unchanged): ", ""),
        ("[y/N]: ", ""),
    ];
    on_a_terminal(&project, "credential edit temporary", &answers);
    assert!(text(&project).ends_with("secret_access_key: canary-new-key\n    session_token: canary-new-token\n"));
}

#[test]
fn an_answer_that_is_wrong_is_said_to_be_so_at_once_and_asked_for_again() {
    let project = full();
    let answers = [
        ("Name, as in aws-prod (required): ", "aws prod"),
        ("and no key or token\r\nName, as in aws-prod (required): ", "aws-prod"),
        ("another name\r\nName, as in aws-prod (required): ", "aws-test"),
        ("Provider: aws-secrets-manager, aws-parameter-store, command or file (blank: aws-secrets-manager): ", "aws"),
        (
            "hint: write one of aws-secrets-manager, aws-parameter-store, command, file\r\nProvider: aws-secrets-manager, aws-parameter-store, command or file (blank: aws-secrets-manager): ",
            "",
        ),
        ("Region, as in us-east-1 (blank: from the environment or the AWS profile): ", "Virginia"),
        (
            "error: not a region\r\n  hint: write the region's code, as in us-east-1\r\nRegion, as in us-east-1 (blank: from the environment or the AWS profile): ",
            "",
        ),
        ("key ID (blank: from the environment or the AWS profile): ", "an ID"),
        ("Security credentials\r\nAccess key ID (blank: from the environment or the AWS profile): ", KEY_ID),
        ("Region, as in us-east-1 (required): ", ""),
        ("as in us-east-1\r\nRegion, as in us-east-1 (required): ", "eu-west-1"),
        ("Secret access key (required): ", ""),
        ("--secret-key-file FILE\r\nSecret access key (required): ", "canary key"),
        ("spaces around it\r\nSecret access key (required): ", SECRET_KEY),
        ("Role ARN (blank: assume no role): ", "reader"),
        ("role/NAME\r\nRole ARN (blank: assume no role): ", ROLE),
        ("External ID (blank: none): ", "canary id"),
        ("External ID (blank: none): ", EXTERNAL_ID),
        ("[y/N]: ", "perhaps"),
        ("hint: write y or n\r\nDefault for this provider? [y/N]: ", ""),
    ];
    let shown = on_a_terminal(&project, "credential add", &answers);
    assert!(shown.contains("added: aws-test (secretbake.org.yaml)\r\ntest it with `secretbake credential test aws-test`\r\nwarning: the keys of aws-test are in secretbake.org.yaml in the clear\r\n  hint: "), "{shown}");
    // what was asked for again is no error of the run
    assert!(shown.ends_with("--secret-key-env, --secret-key-file\r\n"), "{shown}");
    assert_eq!(
        text(&project).split_once("  - name: aws-test\n").unwrap().1,
        format!(
            "    provider: aws-secrets-manager\n    region: eu-west-1\n    access_key_id: {KEY_ID}\n    \
             secret_access_key: {SECRET_KEY}\n    role_arn: {ROLE}\n    external_id: {EXTERNAL_ID}\n"
        )
    );
}

#[test]
fn on_a_terminal_what_no_option_gives_is_asked_for() {
    let project = Project::empty();
    let rest =
        [("Secret access key (required): ", SECRET_KEY), ("Role ARN (blank: assume no role): ", ""), ("[y/N]: ", "")];
    let given = format!("credential add aws-prod --region us-east-1 --access-key-id {KEY_ID}");
    let shown = on_a_terminal(&project, &given, &rest);
    assert!(shown.starts_with("Secret access key (required): \r\nRole ARN"), "{shown}");
    assert!(text(&project).ends_with(&format!("secret_access_key: {SECRET_KEY}\n")), "{}", text(&project));
    on_a_terminal(&project, "credential add local --path s.yaml", &[("[y/N]: ", "y")]);
    on_a_terminal(
        &project,
        "credential add second --default",
        &[
            (
                "Provider: aws-secrets-manager, aws-parameter-store, command or file (blank: aws-secrets-manager): ",
                "file",
            ),
            ("secrets file (required): ", ""),
            ("secrets file (required): ", "t.yaml"),
        ],
    );
    let files = "  - name: local\n    provider: file\n    path: s.yaml\n    default: false\n  \
                 - name: second\n    provider: file\n    path: t.yaml\n    default: true\n";
    assert!(text(&project).ends_with(files), "{}", text(&project));
}

#[test]
fn an_option_that_is_wrong_is_refused_before_a_secret_is_typed() {
    let (is_done, shown) = terminal_of(&Project::empty(), "credential add x --region Virginia", &[]);
    assert!(!is_done);
    assert_eq!(shown, "error: --region: not a region\r\n  hint: write the region's code, as in us-east-1\r\n");
}

#[test]
fn a_run_that_is_ended_at_a_hidden_question_leaves_the_terminal_as_it_was() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let project = Project::empty();
        let given = ["credential", "add", "x", "--region", "us-east-1", "--access-key-id", KEY_ID];
        let (mut screen, end) = terminal::open();
        let echoes = |screen: &fs::File| tcgetattr(screen).unwrap().local_modes.contains(LocalModes::ECHO);
        assert!(echoes(&screen));
        let mut command = project.command(&given);
        command.stdin(end.try_clone().unwrap()).stdout(Stdio::null()).stderr(end);
        let mut child = command.spawn().unwrap();
        drop(command);
        let (mut shown, mut byte) = (String::new(), [0]);
        while !shown.ends_with("Secret access key (required): ") && screen.read(&mut byte).unwrap() == 1 {
            shown.push(char::from(byte[0]));
        }
        assert!(!echoes(&screen), "{shown}");
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = (0..200).find_map(|_| {
            std::thread::sleep(Duration::from_millis(50));
            child.try_wait().unwrap()
        });
        if status.is_none() {
            child.kill().unwrap();
        }
        assert_eq!(status.and_then(|status| status.code()), Some(130), "{signal:?}");
        assert!(echoes(&screen), "{signal:?}");
        let mut rest = Vec::new();
        // the terminal's end is an error of the system
        let _ = screen.read_to_end(&mut rest);
        assert_eq!(
            String::from_utf8(rest).unwrap(),
            "\r\nerror: interrupted; nothing was changed\r\n  hint: run the command again\r\n"
        );
    }
}
