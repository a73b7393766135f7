//! "How far is it?" Bars on a terminal, and not a byte of them anywhere else.

use serde_json::json;

use crate::support::image::TestImage;
use crate::support::project::{Project, Ran, redact_time};
use crate::support::terminal;

const ARGUMENTS: [&str; 2] = ["bake", "deploy.yaml"];

/// Returns a project whose base has layers to copy.
fn project() -> Project {
    let project = Project::with_file("  a: canary\n  b: canary\n").variable("TERM", "xterm");
    TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })).write("sbtest/base:1", &project.path("base.tar"));
    project.write(
        "deploy.yaml",
        "version: 1\nimage:\n  base: docker-archive:base.tar\n  tags: [\"oci-archive:out.tar:1\"]\nenv:\n\
         \x20 A: { secret: a }\n  B: { secret: b }\n",
    );
    project
}

/// What is left on the terminal after the bars.
const LINES: [&str; 2] = [
    "baked oci-archive:out.tar:1 in [TIME]: 2 variables from 2 secrets",
    "  see what is in it: secretbake inspect oci-archive:out.tar:1",
];

fn lines(said: &str) -> Vec<String> {
    // the next step names the program as it was called
    let said = said.replace(env!("CARGO_BIN_EXE_secretbake"), "secretbake");
    said.lines().map(|line| redact_time(line).unwrap_or_else(|| line.to_owned())).collect()
}

fn is_plain(ran: &Ran) {
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(lines(&ran.stderr), LINES);
}

#[test]
fn a_person_who_watches_sees_secrets_images_and_layers_go_by_and_then_only_the_result() {
    let ran = terminal::run(project().command(&ARGUMENTS));
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    for shown in ["reading secrets ", " 2/2 ", "baking images ", " 0/1 0s deploy.yaml", "copying layers ", "MiB"] {
        assert!(ran.stderr.contains(shown), "{shown}: {:?}", ran.stderr);
    }
    // what is left when each line that was drawn is wiped again
    let wiped = ran.stderr.rsplit_once("\x1b[2K").unwrap().1;
    assert_eq!(lines(wiped.trim_start_matches(|c: char| c.is_control())), LINES);
    // the secrets are all read before an image is begun
    let (before, _) = ran.stderr.split_once("baking images ").unwrap();
    assert!(before.contains(" 2/2 "), "{before:?}");
    assert!(ran.stdout.starts_with("oci-archive:out.tar:1@sha256:"), "{}", ran.stdout);
    assert!(!ran.stderr.contains("canary") && !ran.stdout.contains('\x1b'), "{ran:?}");
}

#[test]
fn a_failed_bake_leaves_no_bar_in_front_of_its_message() {
    let project = project();
    project.write("secrets.yaml", "version: 1\nsecrets:\n  a: canary\n");
    let ran = terminal::run(project.variable("NO_COLOR", "1").command(&ARGUMENTS));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("reading secrets "), "{:?}", ran.stderr);
    let said = ran.stderr.rsplit_once("\x1b[2K").unwrap().1.trim_start_matches(|c: char| c.is_control());
    assert!(said.starts_with("deploy.yaml:7:16: env.B: secret not found: b"), "{said:?}");
}

#[test]
fn without_a_terminal_there_is_not_a_byte_of_it() {
    let ran = project().run(&ARGUMENTS);
    assert_eq!((ran.status, ran.stderr.as_str(), ran.closing.as_str()), (Some(0), "", LINES[0]));
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_no_bars() {
    is_plain(&terminal::run(project().variable("TERM", "dumb").command(&ARGUMENTS)));
}

#[test]
fn a_log_is_not_drawn_over() {
    let ran = terminal::run(project().command(&[&ARGUMENTS[..], &["--log", "debug"]].concat()));
    assert!(ran.status == Some(0) && !ran.stderr.contains("reading secrets "), "{:?}", ran.stderr);
}
