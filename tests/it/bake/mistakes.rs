//! Every mistake says what, where, why and what to do, with its exit status, and leaves nothing behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;

use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::moto::Moto;
use crate::support::project::{Project, Ran};

const SECRETS: &str = "  json: '{\"password\": \"canary-1\", \"user\": \"canary-2\", \"none\": null, \"nul\": \"canary\\u0000\"}'\n  \
                       text: canary-3\n  blob: { base64: AAECgP8= }\n  list: '[\"canary-4\"]'\n";

/// What an interrupted run says.
pub const INTERRUPTED: &str = "error: interrupted; nothing was left half done\n  \
                               hint: run the same command again; finished images are not rewritten\n";

/// Bakes one variable into a layout, which must fail.
fn fails(entry: &str) -> Ran {
    let project = Project::with_file(SECRETS);
    let ran = project.bake(&format!(
        "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\nenv:\n  NAME:\n    secret: {entry}\n"
    ));
    assert!(!project.path("out").exists(), "a failed bake leaves a layout behind");
    assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    ran
}

fn said(entry: &str, status: i32, expected: &str) {
    let ran = fails(entry);
    assert_eq!((ran.stderr.as_str(), ran.status), (expected, Some(status)));
}

#[test]
fn an_image_needs_a_base_and_a_tag_which_a_wrong_section_may_have() {
    let project = Project::with_file(SECRETS);
    for (image, expected) in [
        (
            "{ inject: config }",
            "deploy.yaml:1:1: image.base: no base image\n  \
             hint: write `base: NAME:TAG` under `image:`, or give --base\n\
             deploy.yaml:1:1: image.tags: no tag for the baked image\n  \
             hint: write `tags: [NAME:TAG]` under `image:`, or give --tag\n\
             2 errors in 1 file\n",
        ),
        (
            "crew:1",
            "deploy.yaml:2:8: image: expected a mapping, found a single value\n  \
             hint: write `image: { base: NAME:TAG }`\n",
        ),
        (
            "{ inject: confg }",
            "deploy.yaml:2:18: image.inject: unknown value\n  hint: write one of launcher, config, file\n",
        ),
    ] {
        let ran = project.bake(&format!("version: 1\nimage: {image}\nenv: {{ A: b }}\n"));
        assert_eq!((ran.stderr.as_str(), ran.status), (expected, Some(2)));
    }
}

#[test]
fn a_key_that_is_not_there_lists_the_keys_that_are() {
    said(
        "json#pasword",
        1,
        "deploy.yaml:7:13: env.NAME: JSON key not found: \"pasword\" in json\n  \
         hint: its keys are none, nul, password, user\n",
    );
}

#[test]
fn a_secret_that_is_not_json_has_no_keys() {
    said(
        "text#password",
        1,
        "deploy.yaml:7:13: env.NAME: not a JSON object: the value of text is not JSON\n  \
         hint: write `secret: text` for the whole value, or store a JSON object\n",
    );
}

#[test]
fn a_null_is_no_value() {
    said(
        "json#none",
        1,
        "deploy.yaml:7:13: env.NAME: the JSON key \"none\" in json is null\n  \
         hint: store a value under the key; for the empty string store \"\"\n",
    );
}

#[test]
fn a_nul_character_is_no_part_of_a_variable() {
    said(
        "json#nul",
        1,
        "deploy.yaml:7:13: env.NAME: the value has a NUL character, which an environment variable cannot hold\n  \
         hint: write `encoding: base64`, or put it under `files:`\n",
    );
}

#[test]
fn a_binary_secret_is_no_variable_without_an_encoding() {
    said(
        "blob",
        1,
        "deploy.yaml:7:13: env.NAME: the secret is binary, which an environment variable cannot hold\n  \
         hint: write `encoding: base64`, or put it under `files:`\n",
    );
}

#[test]
fn a_value_over_the_kernels_limit_is_refused() {
    let project = Project::with_file(&format!("  long: {}\n", "x".repeat(131_067)));
    let ran = project.bake(
        "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\nenv:\n  NAME:\n    secret: long\n  NAM:\n    secret: long\n",
    );
    assert_eq!(
        ran.stderr,
        "deploy.yaml:7:13: env.NAME: KEY=value is 131072 bytes, over 131071\n  \
         hint: the kernel refuses a longer variable; put the secret under `files:`\n"
    );
    assert_eq!(ran.status, Some(1));
}

#[test]
fn an_absent_secret_is_said_with_its_place_whatever_the_provider() {
    let ran = fails("absent");
    assert!(ran.stderr.starts_with("deploy.yaml:7:13: env.NAME: secret not found: absent"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));

    let moto = Moto::new();
    let ran = Project::with_moto(&moto).bake(&format!(
        "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\nenv:\n  NAME:\n    secret: {}\n",
        moto.name("absent")
    ));
    assert!(ran.stderr.contains(&format!("secret not found: {}", moto.name("absent"))), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn a_machine_without_ca_certificates_is_told_so() {
    let project = Project::with_moto(&Moto::new());
    project.write("none.pem", "");
    let none = project.path("none.pem");
    let project = project.variable("SSL_CERT_FILE", none.to_str().unwrap());
    let manifest = "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\nenv:\n  A:\n    secret: a\n";
    // plain HTTP needs none
    let ran = project.bake(manifest);
    assert!(ran.stderr.contains("secret not found: a"), "{}", ran.stderr);
    let ran = project.variable("AWS_ENDPOINT_URL", "https://127.0.0.1:1").bake(manifest);
    assert_eq!(
        ran.stderr,
        "deploy.yaml:7:13: env.A: no CA certificates on this machine (credential `aws`)\n  \
         cause: the system has none, like an image made from scratch, or SSL_CERT_FILE or SSL_CERT_DIR names none\n  \
         hint: install the package ca-certificates, or set AWS_CA_BUNDLE to a file of certificates\n"
    );
    assert_eq!(ran.status, Some(1));
}

#[test]
fn every_problem_is_said_in_one_run() {
    let project = Project::with_file(SECRETS);
    let ran = project.bake(
        "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\nenv:\n\
         \x20 A: { secret: absent }\n  B: { secret: absent }\n  C: { secret: json#x }\n  D: { secret: text#x }\n",
    );
    let lines: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("deploy.yaml")).collect();
    assert_eq!(lines.len(), 3, "{}", ran.stderr);
}

#[test]
fn without_an_org_file_no_credential_is_found() {
    let ran = Project::empty().bake(
        "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\nenv:\n  A:\n    secret: a\n  B:\n    secret: b\n    credential: aws\n",
    );
    assert_eq!(
        ran.stderr,
        "deploy.yaml:7:13: env.A: no credential found: no default for provider aws-secrets-manager\n  \
         cause: no org file was found\n  \
         hint: create one here with `secretbake org init`, or name one with --org or $SECRETBAKE_ORG\n\
         deploy.yaml:10:17: env.B: no credential `aws`\n  \
         cause: no org file was found\n  \
         hint: create one here with `secretbake org init`, or name one with --org or $SECRETBAKE_ORG\n\
         2 errors in 1 file\n"
    );
    assert_eq!(ran.status, Some(2));
}

#[test]
fn a_missing_base_names_the_image_and_how_to_get_it() {
    for engine in Engine::all() {
        let ran = Project::with_file(SECRETS).on(&engine).bake(
            "version: 1\nimage:\n  base: sbtest/no-such-image:1\n  tags: [sbtest/out:1]\nenv:\n  A:\n    secret: text\n",
        );
        assert!(ran.stderr.contains("image not found: sbtest/no-such-image:1\n"), "{}", ran.stderr);
        assert!(ran.stderr.contains("  hint: docker pull sbtest/no-such-image:1"), "{}", ran.stderr);
        assert_eq!(ran.status, Some(1));
    }
}

#[test]
fn a_dead_engine_and_a_closed_socket_are_two_things() {
    let manifest = "version: 1\nimage:\n  base: a:1\n  tags: [a:2]\nenv:\n  A:\n    secret: text\n";
    let project = Project::with_file(SECRETS);
    let socket = project.path("none.sock");
    let project = project.variable("DOCKER_HOST", &format!("unix://{}", socket.display()));
    let ran = project.bake(manifest);
    assert!(ran.stderr.contains("no container engine is running at"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));

    // a socket that was left by an engine that died
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let ran = project.bake(manifest);
    assert!(ran.stderr.contains("no container engine is running at"), "{}", ran.stderr);
}

#[test]
fn an_interrupted_bake_leaves_nothing_behind() {
    use std::net::TcpListener;
    use std::time::Duration;
    // a Secrets Manager that takes the request and never answers
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let moto = Moto { endpoint: format!("http://{}", listener.local_addr().unwrap()), ..Moto::new() };
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let project = Project::with_moto(&moto);
        project.write(
            "deploy.yaml",
            "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\nenv:\n  A:\n    secret: text\n",
        );
        let mut command = project.command(&["bake", "deploy.yaml"]);
        let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let _request = listener.accept().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), INTERRUPTED);
        assert!(!project.path("out").exists());
    }
}

#[test]
fn a_named_user_must_be_in_the_base() {
    let engine = Engine::one();
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"], "User": "nobody-here" })));
    let ran = Project::with_file(SECRETS).on(&engine).bake(&format!(
        "version: 1\nimage:\n  base: {}\n  tags: [{}]\nenv:\n  A:\n    secret: text\n",
        base.name,
        base.baked()
    ));
    assert_eq!(
        ran.stderr,
        format!(
            "deploy.yaml:3:9: image.base: cannot bake onto {}: the base has no user `nobody-here` in /etc/passwd\n  \
             hint: write the owner as numbers: `owner: \"UID:GID\"`, under `image:` for the env file or at the file itself\n",
            base.name
        )
    );
    assert_eq!(engine.id(&base.baked()), None);
}

#[test]
fn every_file_that_does_not_fit_the_base_is_reported_where_the_manifest_speaks_of_it() {
    let project = Project::with_file(SECRETS);
    TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })).link("sh", "bin/sh").write("x:1", &project.path("base.tar"));
    let ran = project.bake(
        "version: 1\nimage:\n  base: docker-archive:base.tar\n  tags: [oci:out:1]\n  owner: nobody-here\nenv:\n  A: { secret: text }\nfiles:\n\
        \x20 /key: { secret: text, owner: \"app:nobodies\" }\n  /bin: { secret: text }\n  /sh/key: { secret: text }\n  /right: { secret: text }\n",
    );
    let begins = "cannot bake onto docker-archive:base.tar: ";
    let numbers =
        "write the owner as numbers: `owner: \"UID:GID\"`, under `image:` for the env file or at the file itself";
    assert_eq!(
        ran.stderr,
        format!(
            "deploy.yaml:5:10: image.owner: {begins}the base has no user `nobody-here` in /etc/passwd\n  hint: {numbers}\n\
             deploy.yaml:9:32: files./key.owner: {begins}the base has no group `nobodies` in /etc/group\n  hint: {numbers}\n\
             deploy.yaml:10:3: files./bin: {begins}`/bin` is a directory in the base, and a file would hide its content\n  \
             hint: choose a path in the directory, such as /app/tls/server.pem\n\
             deploy.yaml:11:3: files./sh/key: {begins}`/bin/busybox` is not a directory in the base\n  \
             hint: choose another path for the file\n4 errors in 1 file\n"
        )
    );
    assert_eq!(ran.status, Some(1));
}

#[test]
fn a_baked_image_is_no_base() {
    let engine = Engine::one();
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
    let manifest = |from: &str| {
        format!("version: 1\nimage:\n  base: {from}\n  tags: [{}]\nenv:\n  A:\n    secret: text\n", base.baked())
    };
    let project = Project::with_file(SECRETS).on(&engine);
    project.baked(&manifest(&base.name));
    let ran = project.bake(&manifest(&base.baked()));
    assert!(ran.stderr.contains("the base is itself a baked image"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn a_directory_that_cannot_be_written_is_left_as_it_is() {
    // root may write everywhere, so the refusal is a file where a directory should be
    let project = Project::with_file(SECRETS);
    project.write("file", "not a layout");
    let ran =
        project.bake("version: 1\nimage:\n  base: scratch\n  tags: [\"oci:file:1\"]\nenv:\n  A:\n    secret: text\n");
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(project.path("file")).unwrap(), "not a layout");
}

#[test]
fn an_org_file_with_a_key_that_others_may_read_is_refused() {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - name: aws\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n    \
         access_key_id: AKIAEXAMPLEEXAMPLE00\n    secret_access_key: canary-in-the-file\n",
    );
    fs::set_permissions(project.path("secretbake.org.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    let ran =
        project.bake("version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\nenv:\n  A:\n    secret: text\n");
    assert!(ran.stderr.contains("chmod o= secretbake.org.yaml"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("canary"));
    assert_eq!(ran.status, Some(2));
}

#[test]
fn an_archive_has_a_directory_and_a_pipe_has_a_reader() {
    let project = Project::with_file(SECRETS);
    let manifest = |tag: &str| format!("version: 1\nimage: {{ tags: ['{tag}'] }}\nenv: {{ A: {{ secret: text }} }}\n");
    project.write("deploy.yaml", &manifest("oci-archive:no/such/out.tar"));
    let ran = project.run(&["bake", "deploy.yaml", "--base", "scratch"]);
    assert_eq!(
        ran.stderr,
        "deploy.yaml:2:17: image.tags: cannot write to `oci-archive:no/such/out.tar`: there is no directory `no/such`\n  hint: mkdir -p no/such\n"
    );
    assert_eq!(ran.status, Some(1));

    project.write("deploy.yaml", &manifest("oci-archive:-"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = project.command(&["bake", "deploy.yaml", "--base", "scratch"]);
    let ran = Ran::from_output(command.stdout(writer).output().unwrap());
    assert_eq!(
        ran.stderr,
        "deploy.yaml:2:17: image.tags: `oci-archive:-` was cut off: its reader is gone\n  \
         hint: check why the program that reads the pipe ended, and run again\n"
    );
    assert_eq!(ran.status, Some(1));
}

#[test]
fn a_place_that_takes_no_image_is_not_said_to_be_missing() {
    let project = Project::with_file(SECRETS);
    project.write("file", "");
    let not_a_layout = "is not an OCI layout: it is not a directory\n  hint: name a directory that `skopeo copy … oci:DIR:TAG` \
                        wrote, or a new one to write to\n";
    let not_a_directory = "it or a part of its path is not a directory\n  hint: oci: takes a directory; docker-archive: and \
                           oci-archive: take a file\n";
    let manifest = |tag: &str| {
        format!("version: 1\nimage: {{ base: scratch, tags: ['{tag}'] }}\nenv: {{ A: {{ secret: text }} }}\n")
    };
    let nothing = "nothing can be made at this path\n  hint: name a path below a directory that you can write to\n";
    for (tag, why) in [
        ("oci-archive:file/out.tar", not_a_directory),
        ("oci:/proc/secretbake/lay:1", nothing),
        ("docker-archive:/proc/out.tar:a:1", nothing),
    ] {
        let ran = project.bake(&manifest(tag));
        let expected = format!("deploy.yaml:2:32: image.tags: cannot write to `{tag}`: {why}");
        assert_eq!((ran.status, ran.stderr), (Some(1), expected));
    }
    let ran = project.bake(&manifest("oci:file/lay:1"));
    let expected = format!("deploy.yaml:2:32: image.tags: `oci:file/lay:1` {not_a_layout}");
    assert_eq!((ran.status, ran.stderr), (Some(1), expected));
}

#[test]
fn an_image_that_is_not_there_is_named_alike_by_every_command() {
    let engine = Engine::one();
    let project = Project::with_file(SECRETS).on(&engine);
    let expected = "error: image not found: sbtest/no-such-image:1\n  hint: docker pull sbtest/no-such-image:1\n  \
                    hint: to read it from its registry without an engine, write docker://sbtest/no-such-image:1\n";
    for command in ["inspect", "drift"] {
        let ran = project.run(&[command, "sbtest/no-such-image:1"]);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(1), expected), "{command}");
    }
}

#[test]
fn what_one_place_refuses_the_others_have_and_it_is_said() {
    let project = Project::with_file(SECRETS);
    project.write("taken", "not a layout");
    project.write(
        "deploy.yaml",
        "version: 1\nimage: { base: scratch, tags: ['oci:taken:1', 'oci-archive:out.tar:1', 'oci:lay:1'] }\n\
         env: { A: { secret: text } }\n",
    );
    let ran = project.run(&["bake", "deploy.yaml"]);
    assert!(ran.stderr.contains("oci:taken:1"), "{}", ran.stderr);
    let written: Vec<&str> = ran.stdout.lines().map(|line| line.split('@').next().unwrap()).collect();
    assert_eq!((ran.status, &written[..]), (Some(1), &["oci-archive:out.tar:1", "oci:lay:1"][..]));
    assert!(project.path("out.tar").exists() && project.path("lay/index.json").exists());

    let ran = project.run(&["bake", "deploy.yaml", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    crate::schema::holds(&crate::schema::schema("report"), &report, "the report of a bake that failed in part");
    let image = &report["images"][0];
    assert_eq!((&image["status"], &image["tags"][0]["digest"]), (&json!("failed"), &json!(null)));
    assert!(image["tags"][1]["digest"].is_string() && image["tags"][2]["digest"].is_string(), "{image}");
}

mod as_root {
    use super::*;
    use crate::support::needs_root;

    #[test]
    fn a_socket_that_is_not_ours_to_use_names_the_group_that_may() {
        needs_root();
        let manifest = "version: 1\nimage:\n  base: a:1\n  tags: [a:2]\nenv:\n  A:\n    secret: text\n";
        let project = Project::with_file(SECRETS);
        project.write("deploy.yaml", manifest);
        let folder = project.path("");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let closed = project.path("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let sockets = [project.path("root.sock"), closed.join("root.sock")];
        let _listeners = sockets.each_ref().map(|path| std::os::unix::net::UnixListener::bind(path).unwrap());
        fs::set_permissions(&sockets[0], fs::Permissions::from_mode(0o600)).unwrap();
        // a copy, since the build's own folder may be closed to others
        let program = project.path("secretbake");
        // by another process: a program that a test's other thread has open for writing cannot be run
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_secretbake")).arg(&program).status().unwrap();
        assert!(copied.success());
        for socket in sockets {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
            command.args(["bake", "deploy.yaml"]).current_dir(&folder);
            let output = command.env("DOCKER_HOST", format!("unix://{}", socket.display())).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            let expected = format!(
                "deploy.yaml:3:9: image.base: no permission to use the container engine at unix://{}\n",
                socket.display()
            );
            assert!(said.starts_with(&expected), "{said}");
            assert!(said.contains("  hint: join its group"), "{said}");
            assert_eq!(output.status.code(), Some(1));
        }
    }

    #[test]
    fn a_folder_that_is_not_ours_to_write_to_is_said_to_be_so() {
        needs_root();
        let project = Project::with_file(SECRETS);
        let folder = project.path("");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let program = project.path("secretbake");
        assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_secretbake")).arg(&program).status().unwrap().success());
        for tag in ["oci:lay:1", "oci-archive:out.tar", "docker-archive:out.tar:a:1"] {
            let manifest =
                format!("version: 1\nimage: {{ base: scratch, tags: ['{tag}'] }}\nenv: {{ A: {{ secret: text }} }}\n");
            project.write("deploy.yaml", &manifest);
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
            let ran = Ran::from_output(command.args(["bake", "deploy.yaml"]).current_dir(&folder).output().unwrap());
            let expected = format!(
                "deploy.yaml:2:32: image.tags: no permission to write to `{tag}`\n  \
                 hint: run as another user, or change its owner or mode\n"
            );
            assert_eq!((ran.status, ran.stderr), (Some(1), expected));
        }
    }

    #[test]
    fn a_layout_that_another_user_owns_is_not_written_to() {
        needs_root();
        let manifest = "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\nenv:\n  A:\n    secret: text\n";
        let project = Project::with_file(SECRETS);
        project.baked(manifest);
        let out = fs::canonicalize(project.path("out")).unwrap();
        let victim = project.path("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("0".repeat(64)), "theirs").unwrap();
        fs::remove_dir_all(out.join("blobs/sha256")).unwrap();
        std::os::unix::fs::symlink(&victim, out.join("blobs/sha256")).unwrap();
        fs::write(out.join(".secretbake-journal"), format!("sha256:{}\n", "0".repeat(64))).unwrap();
        fs::remove_file(out.join("index.json")).unwrap();
        let owned_by = |owner: &str| {
            let given = Command::new("chown").args(["-Rh", owner]).arg(&out).status().unwrap();
            assert!(given.success());
            project.run(&["bake", "deploy.yaml"])
        };
        let said = |path: &std::path::Path, why: &str| {
            format!("deploy.yaml:4:10: image.tags: cannot write to `oci:out:1`: {} {why}\n", path.display())
        };
        for (owner, path, why) in [
            ("65534:65534", out.clone(), "belongs to another user"),
            ("0:0", out.join("blobs/sha256"), "is a symbolic link"),
        ] {
            let ran = owned_by(owner);
            assert!(ran.stderr.starts_with(&said(&path, why)), "{}", ran.stderr);
            assert_eq!((ran.status, fs::read_dir(&victim).unwrap().count()), (Some(1), 1));
        }
    }

    #[test]
    fn a_blob_of_another_user_is_written_again_and_a_directory_open_to_all_is_warned_of() {
        needs_root();
        let manifest =
            "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:open/out:1\"]\nenv:\n  A:\n    secret: text\n";
        let project = Project::with_file(SECRETS);
        let open = project.path("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let ran = project.baked(manifest);
        let shown = fs::canonicalize(&open).unwrap().display().to_string();
        assert!(
            ran.stderr.contains(&format!(
                "warning: `oci:open/out:1` is in {shown}, which everyone may write to\n  \
                 cause: another user can put a directory of theirs in the layout's place\n  \
                 hint: set the sticky bit, `chmod +t {shown}`, or write to another directory\n"
            )),
            "{}",
            ran.stderr
        );
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        for blob in fs::read_dir(open.join("out/blobs/sha256")).unwrap() {
            std::os::unix::fs::chown(blob.unwrap().path(), Some(65534), None).unwrap();
        }
        let ran = project.baked(&manifest.replace("out:1", "out:2"));
        assert!(!ran.stderr.contains("everyone"), "{}", ran.stderr);
        for blob in fs::read_dir(open.join("out/blobs/sha256")).unwrap() {
            let owner = std::os::unix::fs::MetadataExt::uid(&blob.unwrap().metadata().unwrap());
            assert_eq!(owner, 0, "a blob is still the other user's");
        }
    }

    #[test]
    fn no_space_leaves_nothing_behind() {
        needs_root();
        let project = Project::with_file(SECRETS);
        let disk = project.path("disk");
        fs::create_dir(&disk).unwrap();
        let mount = |program: &str, arguments: &[&str]| {
            assert!(Command::new(program).args(arguments).arg(&disk).status().unwrap().success());
        };
        mount("mount", &["-t", "tmpfs", "-o", "size=16k", "tmpfs"]);
        let ran = project
            .bake("version: 1\nimage:\n  base: scratch\n  tags: [\"oci:disk/out:1\"]\nenv:\n  A:\n    secret: text\n");
        let left = fs::read_dir(&disk).unwrap().count();
        mount("umount", &[]);
        assert_eq!(
            ran.stderr,
            "deploy.yaml:4:10: image.tags: no space left to write to `oci:disk/out:1`\n  \
             hint: free some space and run again; nothing of the image was left behind\n"
        );
        assert_eq!((ran.status, left), (Some(1), 0));
    }
}
