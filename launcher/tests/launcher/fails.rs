//! Each way to fail: its exact words and status, and no value in them.

use crate::root::{Root, entries, is_root, sparse};

const TOO_LONG: &str = "environment and arguments exceed the kernel's limit (128 KiB each, a quarter of the stack limit together): bake fewer or smaller variables, or use `files:`";
const NOT_IN_PATH: &str = "put it in the image and its directory in PATH, or give its whole path";
const NO_SUCH_FILE: &str = "put the file in the image; a relative path starts at the working directory";
const PERMISSION: &str =
    "the container's user needs execute permission for the file, on a file system not mounted noexec";
const FORMAT: &str =
    "it was built for another architecture, or is a script whose first line is not `#!` and an interpreter";
const INTERPRETER: &str =
    "the image needs the program after `#!` in its first line (which must not end in CR), or its dynamic loader";
const RELATIVE: &str = "give its path, as runc also demands, or take the relative directory out of PATH";
const UNREADABLE: &str = "it is readable by the image's user and group 0: run the container as that user or in group 0, or set `owner:` or `mode:` in the manifest";

#[test]
fn no_command() {
    Root::baked("").launch([]).fails(
        125,
        "no command given",
        "the image has no ENTRYPOINT or CMD of its own: give a command after the image's name",
    );
}

#[test]
fn no_env_file() {
    let hint = "bake the image again, and mount nothing over /.secretbake";
    Root::without_env().launch(["/bin/busybox", "true"]).fails(125, "/.secretbake/env is missing", hint);
}

#[test]
fn an_env_file_of_somebody_else() {
    let root = Root::without_env();
    let mode = if is_root() { 0o440 } else { 0 };
    root.file("/.secretbake/env", entries(["A=s3cret"]), mode);
    root.launch(["/bin/busybox", "true"]).by_stranger().fails(
        125,
        "cannot read /.secretbake/env: permission denied",
        UNREADABLE,
    );
}

#[test]
fn an_env_file_that_is_a_directory() {
    let root = Root::without_env();
    root.directory("/.secretbake/env");
    root.launch(["/bin/busybox", "true"]).fails(
        125,
        "cannot read /.secretbake/env: is a directory",
        "bake the image again",
    );
}

#[test]
fn an_env_file_that_is_malformed() {
    let page = vec![b'x'; 4096];
    let cases: [(&[u8], &str); 6] = [
        (b"A=s3cret", "the file must end in NUL"),
        (b"A=1\0B=s3cret\n", "the file must end in NUL"),
        (&page, "the file must end in NUL"),
        (b"A=1\0s3cret\0", "entry 2 has no `=`"),
        (b"A=1\0B=2\0\0", "entry 3 has no `=`"),
        (b"=s3cret\0", "entry 1 has no name"),
    ];
    for (content, problem) in cases {
        Root::baked(content).launch(["/bin/busybox", "true"]).fails(
            125,
            &format!("/.secretbake/env is malformed: {problem}"),
            "bake the image again",
        );
    }
}

#[test]
fn out_of_memory() {
    let root = Root::without_env();
    sparse(&root.outside("/.secretbake/env"), 1 << 30);
    let run = root.launch(["/bin/busybox", "true"]).under(["prlimit", "--as=268435456"]);
    run.fails(125, "out of memory", "raise the container's memory limit");
}

#[test]
fn a_command_that_is_nowhere() {
    let root = Root::baked(entries(["PATH=/s3cret"]));
    root.launch(["app"]).fails(127, "command not found in PATH: app", NOT_IN_PATH);
    root.launch([""]).fails(127, "command not found in PATH: ", NOT_IN_PATH);
    root.launch(["busybox"]).env("PATH", "").cwd("/bin").fails(127, "command not found in PATH: busybox", NOT_IN_PATH);
    root.launch(["/app/run"]).fails(127, "command not found: /app/run", NO_SUCH_FILE);
    root.launch(["bin/run"]).fails(127, "command not found: bin/run", NO_SUCH_FILE);
    root.launch(["/bin/busybox/run"]).fails(127, "command not found: /bin/busybox/run", NO_SUCH_FILE);
    root.launch(["a\nb"]).fails(127, "command not found in PATH: a?b", NOT_IN_PATH);
}

#[test]
fn a_command_that_may_not_be_executed() {
    let root = Root::baked(entries(["PATH=/s3cret:/bin"]));
    root.file("/s3cret/app", "#!/bin/busybox sh\n", 0o644);
    root.launch(["app"]).fails(126, "cannot execute app: permission denied", PERMISSION);
    root.launch(["/s3cret/app"]).fails(126, "cannot execute /s3cret/app: permission denied", PERMISSION);
}

#[test]
fn a_command_that_is_a_directory() {
    let root = Root::baked("");
    root.directory("/app");
    root.launch(["/app"]).fails(126, "cannot execute /app: it is a directory", "give the path of a program");
    root.launch(["app"]).env("PATH", "/").fails(127, "command not found in PATH: app", NOT_IN_PATH);
}

#[test]
fn a_command_found_relative_to_the_current_directory() {
    let root = Root::baked("");
    root.program("/srv/app", 0);
    root.program("/bin/app", 0);
    for path in [":/bin", ".:/bin", "/none:", "../srv:/bin"] {
        let run = root.launch(["app"]).cwd("/srv").env("PATH", path);
        run.fails(126, "cannot execute app: PATH finds it relative to the current directory", RELATIVE);
    }
}

#[test]
fn a_command_of_an_unknown_format() {
    let root = Root::baked("");
    root.file("/app", "echo no interpreter\n", 0o755);
    root.file("/bin/tool", "\x7fELF not really", 0o755);
    root.launch(["/app"]).fails(126, "cannot execute /app: exec format error", FORMAT);
    root.launch(["tool"]).fails(126, "cannot execute tool: exec format error", FORMAT);
}

#[test]
fn a_command_without_its_interpreter() {
    let root = Root::baked("");
    root.file("/app", "#!/bin/bash\n", 0o755);
    root.file("/bin/windows", "#!/bin/busybox\r\n", 0o755);
    root.launch(["/app"]).fails(126, "cannot execute /app: its interpreter is missing", INTERPRETER);
    root.launch(["windows"]).fails(126, "cannot execute windows: its interpreter is missing", INTERPRETER);
}

#[test]
fn more_than_the_kernel_takes() {
    let one = format!("KEY={}", "x".repeat(131_072 - "KEY=".len()));
    let many: Vec<u8> = (0..100).flat_map(|n| format!("KEY_{n}={}\0", "x".repeat(100_000)).into_bytes()).collect();
    for content in [entries([&one]), many] {
        let root = Root::baked(content);
        root.launch(["/bin/busybox", "true"]).fails(
            126,
            "cannot execute /bin/busybox: argument list too long",
            TOO_LONG,
        );
    }
}

#[test]
fn standard_error_may_be_closed() {
    let root = Root::baked("");
    let ended = root.launch(["app"]).under(["sh", "-c", r#"exec "$@" 2>&-"#, "sh"]).ends();
    assert_eq!(ended.status(), Some(127));
}
