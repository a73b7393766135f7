//! The whole help tree is one snapshot, and what is made from it works: completions, manual pages, the Docker CLI plugin.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::json;
use snapbox::{Data, assert_data_eq};

use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::project::Project;
use crate::support::secretbake;

fn stdout(arguments: &[&str]) -> String {
    let output = secretbake().args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Adds the help of a command and of those below it.
fn help(path: &[&str], tree: &mut String) {
    let text = stdout(&[path, &["--help"]].concat());
    let narrow = secretbake().args(path).arg("--help").env("COLUMNS", "80").output().unwrap().stdout;
    let lines = String::from_utf8(narrow).unwrap().lines().count();
    assert!(lines <= 45, "the help of {path:?} does not fit a terminal of 80 columns: {lines} lines");
    assert!(text.contains("Examples:\n"), "the help of {path:?} has no example");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    *tree += &format!("$ {}\n{text}\n", [&["secretbake"], path, &["--help"]].concat().join(" "));
    let commands = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for command in commands.filter_map(|line| line.split_whitespace().next()) {
        if command != "help" && text.contains(&format!("\n  {command} ")) {
            help(&[path, &[command]].concat(), tree);
        }
    }
}

#[test]
fn the_help_tree_is_as_it_was() {
    let mut tree = String::new();
    help(&[], &mut tree);
    let snapshot = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/help.txt");
    assert_data_eq!(tree, Data::read_from(&snapshot, None).raw());
}

#[test]
fn the_long_version_has_the_commit_and_the_target() {
    let version = format!("secretbake {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(stdout(&["-V"]), version);
    let long = stdout(&["--version"]);
    let lines: Vec<&str> = long.strip_prefix(&version).unwrap().lines().collect();
    let [commit, target] = lines[..] else { panic!("{long}") };
    let commit = commit.strip_prefix("commit: ").unwrap();
    assert!(commit == "unknown" || commit.chars().all(|c| c.is_ascii_hexdigit()), "{long}");
    assert!(target.starts_with("target: ") && target.contains(std::env::consts::ARCH), "{long}");
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&["completions", shell]);
        assert!(script.contains("--dry-run") && script.contains("drift"), "{shell}");
    }
    let project = Project::empty();
    project.write("script", &stdout(&["completions", "bash"]));
    let asked = "source ./script; COMP_WORDS=(secretbake dr); COMP_CWORD=1; _secretbake secretbake dr secretbake; echo ${COMPREPLY[@]}";
    let output = Command::new("bash").args(["-c", asked]).current_dir(project.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "drift\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_command_has_a_manual_page() {
    let main = stdout(&["man"]);
    assert!(main.contains(".TH secretbake 1"));
    for section in [".SH FILES", ".SH ENVIRONMENT", "/etc/secretbake/org.yaml", ".B SECRETBAKE_ORG"] {
        assert!(main.contains(section), "{section}");
    }
    let project = Project::empty();
    let ran = project.run(&["man", "--dir", "man1"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(project.path("man1/secretbake.1")).unwrap(), main);
    let bake = fs::read_to_string(project.path("man1/secretbake-bake.1")).unwrap();
    assert!(bake.contains("dry\\-run"), "{bake}");
    project.write("file", "");
    let ran = project.run(&["man", "--dir", "file"]);
    assert!(ran.stderr.contains("cannot write the manual to file"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn docker_runs_it_as_a_plugin_with_its_own_options() {
    let project = Project::with_file("  a: canary\n");
    fs::create_dir_all(project.path("docker/cli-plugins")).unwrap();
    symlink(env!("CARGO_BIN_EXE_secretbake"), project.path("docker/cli-plugins/docker-secretbake")).unwrap();
    let docker = |arguments: &[&str]| {
        let mut docker = Command::new("docker");
        docker.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", "/nonexistent");
        docker.env("DOCKER_CONFIG", project.path("docker")).current_dir(project.path("")).args(arguments);
        // the program begins anew, and must still know that it is a plugin
        docker.env("LOG_SIGNABLE_BODY", "true");
        let output = docker.output().expect("docker is installed by scripts/test");
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (_, help, _) = docker(&["--help"]);
    assert!(help.contains("secretbake*") && help.contains("Bake secrets into a new layer of an image"), "{help}");

    let engine = Engine::one();
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
    let manifest =
        format!("version: 1\nimage:\n  base: {}\n  tags: [{}]\nenv:\n  A: {{ secret: a }}\n", base.name, base.baked());
    project.write("deploy.yaml", &manifest);
    let (status, said, problems) = docker(&["-H", &engine.host, "secretbake", "bake", "deploy.yaml"]);
    assert_eq!(status, Some(0), "{problems}");
    assert!(said.starts_with(&format!("{}@sha256:", base.baked())), "{said}");

    // through a context, which is in the config directory that docker was given
    let context = ["context", "create", "secretbake", "--docker", &format!("host={}", engine.host)];
    let (status, _, problems) = docker(&context);
    assert_eq!(status, Some(0), "{problems}");
    let attached = format!("-H{}", engine.host);
    for options in [&["--context", "secretbake"][..], &["-csecretbake"], &["-Dc=secretbake"], &[&attached]] {
        let (status, said, problems) = docker(&[options, &["secretbake", "inspect", &base.baked()]].concat());
        assert_eq!(status, Some(0), "{options:?}: {problems}");
        assert!(said.contains("secret a"), "{said}");
    }

    let unverified = ["--tls", "-H", "tcp://127.0.0.1:1", "secretbake", "inspect", &base.baked()];
    let (status, _, problems) = docker(&unverified);
    assert!(problems.starts_with("error: TLS alone does not verify the engine's certificate\n"), "{problems}");
    assert_eq!(status, Some(1));

    let (status, _, problems) = docker(&["secretbake", "check"]);
    assert!(problems.contains("Usage: docker secretbake check"), "{problems}");
    assert_eq!(status, Some(2));
}

#[test]
fn what_cannot_be_printed_is_no_mistake_of_the_invocation() {
    for arguments in [&["--help"][..], &["bake", "--help"], &["--version"], &["schema", "org"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = secretbake().args(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = "error: cannot write to standard output: No space left on device (os error 28)\n  hint: let standard output be a file \
                        or pipe that takes the result, and run this again\n";
        assert_eq!((output.status.code(), said.as_str()), (Some(1), expected), "{arguments:?}");
    }
}
