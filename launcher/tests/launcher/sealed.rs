//! A sealed image: what opens it, what does not, and that the command never sees the key.
//!
//! `age` seals the files, and `age-keygen` makes the keys.

use crate::keys::Keys;
use crate::root::{Root, Run, entries, is_root, shown};
use crate::shipped;

const NOT_THE_IDENTITY: &str =
    "give the whole line that begins with AGE-SECRET-KEY-1, as age-keygen printed it, and not the recipient, age1…";
const NO_RECIPIENT: &str = "give the identity of one of the image's recipients, which `secretbake inspect IMAGE` lists, or bake the image for this key";

/// Makes a root whose env file is sealed.
fn sealed(keys: &Keys, content: impl AsRef<[u8]>) -> Root {
    with_env(keys.seal(content, &[]))
}

/// Makes a root with the sealing launcher and these bytes as its env file.
fn with_env(content: impl AsRef<[u8]>) -> Root {
    let root = Root::with_launcher(&shipped::sealing_launcher());
    root.file("/.secretbake/env", content, 0o440);
    root
}

/// A run that prints its environment.
fn env(root: &Root) -> Run {
    root.launch(["/bin/busybox", "env"])
}

/// Expects the container not to start for this reason, with the command and with `--check`.
fn does_not_start(root: &Root, key: &str, message: &str, hint: &str) {
    env(root).env("SECRETBAKE_KEY", key).fails(125, message, hint);
    root.launch(["--check"]).env("SECRETBAKE_KEY", key).fails(125, message, hint);
}

#[test]
fn the_identity_is_in_a_variable_that_the_command_does_not_inherit() {
    let keys = Keys::new();
    let root = sealed(&keys, entries(["A=s3cret", "B=2"]));
    for key in [keys.identity(), &keys.file, &format!("\n  {}\r\n", keys.identity())] {
        let run = env(&root).env("SECRETBAKE_KEY", key).env("C", "3");
        assert_eq!(shown(&run.ends().succeeded()), "C=3\nA=s3cret\nB=2\n");
    }
}

#[test]
fn the_kernel_does_not_show_the_key_of_the_command() {
    let keys = Keys::new();
    let root = sealed(&keys, entries(["A=s3cret"]));
    let mut child = root.launch(["/bin/busybox", "sleep", "60"]).env("SECRETBAKE_KEY", keys.identity()).start();
    crate::becomes::wait_for_sleep(child.id());
    let environ = std::fs::read(format!("/proc/{}/environ", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // an emulator's process keeps what it was started with, and shows that
    if shipped::emulator().is_none() {
        assert_eq!(shown(&environ), "A=s3cret\0");
    }
}

#[test]
fn the_identity_is_in_the_file_that_a_variable_names() {
    let keys = Keys::new();
    let root = sealed(&keys, entries(["A=s3cret"]));
    root.file("/keys/one", &keys.file, 0o400);
    let run = env(&root).env("SECRETBAKE_KEY_FILE", "/keys/one");
    assert_eq!(shown(&run.ends().succeeded()), "SECRETBAKE_KEY_FILE=/keys/one\nA=s3cret\n");
}

#[test]
fn the_identity_is_in_the_place_of_docker_secrets() {
    let keys = Keys::new();
    let root = sealed(&keys, entries(["A=s3cret"]));
    root.file("/run/secrets/secretbake-key", &keys.file, 0o400);
    assert_eq!(shown(&env(&root).ends().succeeded()), "A=s3cret\n");
}

#[test]
fn one_of_several_identities_opens_a_file_for_several_recipients() {
    let (old, new, other) = (Keys::new(), Keys::new(), Keys::new());
    let both = old.seal(entries(["A=s3cret"]), &[&new]);
    for keys in [&old, &new] {
        let key = format!("{}# the one in use\n\n{}", other.file, keys.file);
        let root = with_env(&both);
        let run = env(&root).env("SECRETBAKE_KEY", &key);
        assert_eq!(shown(&run.ends().succeeded()), "A=s3cret\n");
    }
}

#[test]
fn every_length_is_opened_whole() {
    let keys = Keys::new();
    let run = |content: Vec<u8>| {
        let root = sealed(&keys, content);
        root.launch(["/bin/busybox", "env", "-0"]).env("SECRETBAKE_KEY", keys.identity()).ends().succeeded()
    };
    assert_eq!(run(Vec::new()), b"");
    for length in [64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 128 * 1024, 1024 * 1024] {
        let mut content: Vec<u8> =
            (0..length / 1000).flat_map(|n| format!("N{n:04}={:0>993}\0", n).into_bytes()).collect();
        let last = format!("REST={}\0", "x".repeat(length - content.len() - "REST=\0".len()));
        content.extend(last.bytes());
        assert_eq!(content.len(), length);
        assert!(run(content.clone()) == content, "{length}");
    }
}

#[test]
fn a_variable_of_the_container_wins() {
    let keys = Keys::new();
    let root = sealed(&keys, entries(["A=s3cret", "B=s3cret"]));
    let run = env(&root).env("SECRETBAKE_KEY", keys.identity()).env("A", "");
    assert_eq!(shown(&run.ends().succeeded()), "A=\nB=s3cret\n");
}

#[test]
fn a_health_check_gets_the_variables_too() {
    let keys = Keys::new();
    let root = sealed(&keys, entries(["A=s3cret"]));
    let run = root.launch(["--env-only", "/bin/busybox", "env"]).env("SECRETBAKE_KEY", keys.identity());
    assert_eq!(shown(&run.ends().succeeded()), "A=s3cret\n");
    root.launch(["--env-only"]).fails(
        125,
        "no command given",
        "the image has no ENTRYPOINT or CMD of its own: give a command after the image's name",
    );
}

#[test]
fn check_tells_each_variables_state() {
    let keys = Keys::new();
    let root = sealed(&keys, entries(["TOKEN=s3cret", "LEVEL=s3cret"]));
    let run = root.launch(["--check"]).env("SECRETBAKE_KEY", keys.identity()).env("LEVEL", "debug");
    assert_eq!(
        shown(&run.ends().succeeded()),
        "/.secretbake/env: opened with the key in SECRETBAKE_KEY\nTOKEN: baked\nLEVEL: overridden by the container's environment\n"
    );
}

#[test]
fn without_a_key_it_does_not_start() {
    let root = sealed(&Keys::new(), entries(["A=s3cret"]));
    env(&root).fails(
        125,
        "the image is sealed and the container has no key: neither SECRETBAKE_KEY nor SECRETBAKE_KEY_FILE is set, and /run/secrets/secretbake-key does not exist",
        "give the container the age identity of one of the image's recipients; `secretbake inspect IMAGE` lists them",
    );
}

#[test]
fn with_another_key_it_does_not_start() {
    let (keys, other) = (Keys::new(), Keys::new());
    let root = sealed(&keys, entries(["A=s3cret"]));
    let message = "the key in SECRETBAKE_KEY does not open /.secretbake/env";
    does_not_start(&root, other.identity(), message, NO_RECIPIENT);
    root.file("/run/secrets/secretbake-key", &other.file, 0o400);
    let message = "the key in /run/secrets/secretbake-key does not open /.secretbake/env";
    env(&root).fails(125, message, NO_RECIPIENT);
    // the right one in another place does not count
    does_not_start(&root, "", "there is no age identity in SECRETBAKE_KEY", NOT_THE_IDENTITY);
}

#[test]
fn a_key_that_is_no_identity_is_named_by_its_line_and_never_shown() {
    let keys = Keys::new();
    let root = sealed(&keys, entries(["A=s3cret"]));
    let identity = keys.identity();
    let malformed = |line: usize| format!("line {line} of SECRETBAKE_KEY is not an age identity");
    for (key, message) in [
        ("", "there is no age identity in SECRETBAKE_KEY".to_owned()),
        ("# only a comment\n\n", "there is no age identity in SECRETBAKE_KEY".to_owned()),
        (&keys.recipient, malformed(1)),
        (&identity[..identity.len() - 1], malformed(1)),
        (&identity.to_lowercase(), malformed(1)),
        (&format!("# comment\n{identity}\n{identity}x"), malformed(3)),
        ("AGE-PLUGIN-YUBIKEY-1QGPSYQYZTHQNSQGT5X8ZA", malformed(1)),
        ("s3cret", malformed(1)),
    ] {
        does_not_start(&root, key, &message, NOT_THE_IDENTITY);
    }
}

#[test]
fn a_file_with_the_key_that_cannot_be_read_is_named_with_the_reason() {
    let keys = Keys::new();
    let root = sealed(&keys, entries(["A=s3cret"]));
    let run = || env(&root).env("SECRETBAKE_KEY_FILE", "/keys/one");
    let correct = "mount the file with the age identity there, or correct SECRETBAKE_KEY_FILE";
    run().fails(125, "cannot read the key in /keys/one: no such file or directory", correct);
    root.directory("/keys/one");
    run().fails(125, "cannot read the key in /keys/one: is a directory", correct);
    root.file("/.secretbake/env", keys.seal(entries(["A=s3cret"]), &[]), 0o444);
    let mode = if is_root() { 0o400 } else { 0 };
    root.file("/run/secrets/secretbake-key", &keys.file, mode);
    let message = "cannot read the key in /run/secrets/secretbake-key: permission denied";
    env(&root).by_stranger().fails(125, message, "let the container's user read the file");
}

#[test]
fn a_file_that_was_changed_or_cut_short_is_not_opened() {
    let keys = Keys::new();
    let content: Vec<u8> = (0..3).flat_map(|n| format!("N{n}={}\0", "x".repeat(64 * 1024 - 4)).into_bytes()).collect();
    let whole = keys.seal(&content, &[]);
    let payload = whole.windows(5).position(|window| window == b"\n--- ").unwrap() + 49;
    let chunk = 64 * 1024 + 16;
    let header = "its header is malformed or cut short";
    let end = "its content was changed or cut short";
    let changed = |at: usize| {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        changed
    };
    let mut another_mac = whole.clone();
    another_mac[payload - 22] = if whole[payload - 22] == b'A' { b'B' } else { b'A' };
    for (sealed, problem) in [
        (whole[..payload + 15].to_vec(), header),
        (whole[..payload - 20].to_vec(), header),
        (whole[..25].to_vec(), header),
        (another_mac, "its header was changed"),
        // no chunk, a part of one, all but the last one, all but the last byte, one byte more
        (whole[..payload + 16].to_vec(), end),
        (whole[..payload + 16 + 100].to_vec(), end),
        (whole[..payload + 16 + 2 * chunk].to_vec(), end),
        (whole[..whole.len() - 1].to_vec(), end),
        ([&whole[..], b"x"].concat(), end),
        (changed(payload + 3), end),
        (changed(whole.len() - 1), end),
        ([&whole[..payload + 16 + chunk], &whole[payload + 16 + 2 * chunk..]].concat(), end),
    ] {
        let message = format!("/.secretbake/env is damaged: {problem}");
        does_not_start(&with_env(sealed), keys.identity(), &message, "bake the image again");
    }
}

#[test]
fn a_file_that_is_not_sealed_is_not_taken() {
    let keys = Keys::new();
    for content in [entries(["A=1"]), Vec::new(), b"age-encryption.org".to_vec()] {
        does_not_start(
            &with_env(content),
            keys.identity(),
            "/.secretbake/env is not sealed, though the image is",
            "bake the image again, and mount nothing over /.secretbake",
        );
    }
}

#[test]
fn a_newer_version_of_the_format_is_not_opened() {
    let keys = Keys::new();
    let sealed = keys.seal(entries(["A=1"]), &[]);
    let newer = [b"age-encryption.org/v2", &sealed[b"age-encryption.org/v1".len()..]].concat();
    does_not_start(
        &with_env(newer),
        keys.identity(),
        "/.secretbake/env has a newer version of the age format than this launcher opens",
        "bake the image again with the newest secretbake",
    );
}

#[test]
fn what_is_opened_must_be_an_env_file() {
    let keys = Keys::new();
    let message = "/.secretbake/env is malformed: entry 2 has no `=`";
    does_not_start(&sealed(&keys, "A=1\0s3cret\0"), keys.identity(), message, "bake the image again");
}
