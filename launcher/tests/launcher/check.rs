//! `launch --check`: each variable's name and state, and never a value.

use crate::root::{Root, entries, is_root};

#[test]
fn each_variable_is_baked_or_overridden() {
    let root = Root::baked(entries(["TOKEN=s3cret", "LEVEL=s3cret", "SAME=s3cret"]));
    let run = root.launch(["--check"]).env("LEVEL", "debug").env("SAME", "s3cret").env("HOME", "/");
    let stdout = String::from_utf8(run.ends().succeeded()).unwrap();
    assert_eq!(stdout, "TOKEN: baked\nLEVEL: overridden by the container's environment\nSAME: baked\n");
}

#[test]
fn an_image_without_variables_says_so() {
    assert_eq!(Root::baked("").launch(["--check"]).ends().succeeded(), b"no variables in /.secretbake/env\n");
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let root = Root::without_env();
    let mode = if is_root() { 0o440 } else { 0 };
    root.file("/.secretbake/env", entries(["A=s3cret"]), mode);
    root.launch(["--check"]).by_stranger().fails(
        125,
        "cannot read /.secretbake/env: permission denied",
        "it is readable by the image's user and group 0: run the container as that user or in group 0, or set `owner:` or `mode:` in the manifest",
    );
}

#[test]
fn with_arguments_it_is_a_command_like_any_other() {
    Root::baked("").launch(["--check", "x"]).env("PATH", "/bin").fails(
        127,
        "command not found in PATH: --check",
        "put it in the image and its directory in PATH, or give its whole path",
    );
}
