//! Sealed files: each is written whole, with its owner and mode, before the command starts, or the command does not start.

use crate::keys::Keys;
use crate::root::{Root, Run, entries, is_root, shown};
use crate::shipped;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// Makes a root with a sealed env file and these sealed files: `MODE UID GID PATH`, and the content.
fn sealed(keys: &Keys, files: &[(&str, &[u8])]) -> Root {
    let root = Root::with_launcher(&shipped::sealing_launcher());
    root.file("/.secretbake/env", keys.seal(entries(["A=s3cret"]), &[]), 0o444);
    let index: Vec<u8> = files.iter().flat_map(|(record, _)| [record.as_bytes(), b"\0"].concat()).collect();
    root.file("/.secretbake/sealed/index", index, 0o444);
    for (position, (_, content)) in files.iter().enumerate() {
        root.file(&format!("/.secretbake/sealed/{position}"), keys.seal(content, &[]), 0o444);
    }
    root
}

fn started(root: &Root, keys: &Keys) -> Run {
    root.launch(["/bin/busybox", "true"]).env("SECRETBAKE_KEY", keys.identity())
}

fn starts(root: &Root, keys: &Keys) {
    assert_eq!(started(root, keys).ends().succeeded(), b"");
}

fn check(root: &Root, keys: &Keys) -> String {
    let run = root.launch(["--check"]).env("SECRETBAKE_KEY", keys.identity());
    let stdout = shown(&run.ends().succeeded());
    let start = "/.secretbake/env: opened with the key in SECRETBAKE_KEY\nA: baked\n";
    stdout.strip_prefix(start).unwrap_or_else(|| panic!("{stdout}")).to_owned()
}

/// Returns the names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn each_file_is_written_whole_with_its_mode_and_owner() {
    let keys = Keys::new();
    // without root, no other user is mapped
    let (uid, gid) = if is_root() { (1000, 7) } else { (0, 0) };
    let lengths = [0, 10, 64 * 1024, 64 * 1024 + 1, 1024 * 1024];
    let contents = lengths.map(|length| (0..length).map(|at| (at % 251) as u8).collect::<Vec<u8>>());
    let records = lengths.map(|length| format!("440 {uid} {gid} /app/tls/{length}"));
    let files: Vec<(&str, &[u8])> = records.iter().map(|record| &**record).zip(contents.iter().map(|c| &**c)).collect();
    let root = sealed(&keys, &files);
    starts(&root, &keys);
    for (length, content) in lengths.iter().zip(&contents) {
        let path = root.outside(&format!("/app/tls/{length}"));
        assert!(fs::read(&path).unwrap() == *content, "{length}");
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o440);
        if is_root() {
            assert_eq!((metadata.uid(), metadata.gid()), (uid, gid));
        }
    }
    assert_eq!(names(&root.outside("/app/tls")).len(), lengths.len(), "nothing else is left");
}

#[test]
fn the_command_reads_them() {
    let keys = Keys::new();
    let root = sealed(&keys, &[("400 0 0 /key", b"s3cret")]);
    let run = root.launch(["/bin/busybox", "cat", "/key"]).env("SECRETBAKE_KEY", keys.identity());
    assert_eq!(run.ends().succeeded(), b"s3cret");
}

#[test]
fn what_is_in_its_place_is_replaced_and_a_link_not_followed() {
    let keys = Keys::new();
    let root = sealed(&keys, &[("400 0 0 /app/key", b"s3cret"), ("400 0 0 /app/link", b"s3cret")]);
    root.file("/app/key", "an older value", 0o644);
    root.file("/app/target", "kept", 0o644);
    std::os::unix::fs::symlink("target", root.outside("/app/link")).unwrap();
    starts(&root, &keys);
    assert_eq!(fs::read(root.outside("/app/key")).unwrap(), b"s3cret");
    assert_eq!(fs::metadata(root.outside("/app/key")).unwrap().mode() & 0o7777, 0o400);
    assert_eq!(fs::read(root.outside("/app/link")).unwrap(), b"s3cret");
    assert_eq!(fs::read(root.outside("/app/target")).unwrap(), b"kept");
    assert_eq!(names(&root.outside("/app")), ["key", "link", "target"]);
}

#[test]
fn a_file_that_is_there_already_is_left_alone() {
    let keys = Keys::new();
    let root = sealed(&keys, &[("400 0 0 /app/key", b"s3cret")]);
    starts(&root, &keys);
    let inode = || fs::metadata(root.outside("/app/key")).unwrap().ino();
    let first = inode();
    starts(&root, &keys);
    assert_eq!(inode(), first);
    fs::set_permissions(root.outside("/app/key"), Permissions::from_mode(0o644)).unwrap();
    starts(&root, &keys);
    assert_ne!(inode(), first);
}

#[test]
fn a_health_check_writes_none() {
    let keys = Keys::new();
    let root = sealed(&keys, &[("400 0 0 /app/key", b"s3cret")]);
    let run = root.launch(["--env-only", "/bin/busybox", "env"]).env("SECRETBAKE_KEY", keys.identity());
    assert_eq!(shown(&run.ends().succeeded()), "A=s3cret\n");
    assert!(!root.outside("/app").exists());
}

#[test]
fn check_tells_each_files_state() {
    let keys = Keys::new();
    let root = sealed(&keys, &[("400 0 0 /app/key", b"s3cret"), ("444 0 0 /app/other", b"s3cret")]);
    assert_eq!(check(&root, &keys), "/app/key: not written\n/app/other: not written\n");
    starts(&root, &keys);
    assert_eq!(check(&root, &keys), "/app/key: written\n/app/other: written\n");
    root.file("/app/key", "changed", 0o400);
    fs::set_permissions(root.outside("/app/other"), Permissions::from_mode(0o400)).unwrap();
    assert_eq!(
        check(&root, &keys),
        "/app/key: changed since it was written\n/app/other: its owner or mode changed since it was written\n"
    );
}

#[test]
fn nothing_is_written_unless_all_can_be_opened() {
    let (keys, other) = (Keys::new(), Keys::new());
    let root = sealed(&keys, &[("400 0 0 /app/one", b"s3cret"), ("400 0 0 /app/two", b"s3cret")]);
    let mut changed = keys.seal("s3cret", &[]);
    *changed.last_mut().unwrap() ^= 1;
    root.file("/.secretbake/sealed/1", changed, 0o444);
    let message = "/app/two is damaged: its content was changed or cut short";
    started(&root, &keys).fails(125, message, "bake the image again");
    root.file("/.secretbake/sealed/1", other.seal("s3cret", &[]), 0o444);
    started(&root, &keys).fails(
        125,
        "the key in SECRETBAKE_KEY does not open /app/two",
        "give the identity of one of the image's recipients, which `secretbake inspect IMAGE` lists, or bake the image for this key",
    );
    fs::remove_file(root.outside("/.secretbake/sealed/1")).unwrap();
    started(&root, &keys).fails(
        125,
        "cannot read what is sealed for /app/two: no such file or directory",
        "bake the image again, and mount nothing over /.secretbake",
    );
    root.file("/.secretbake/sealed/index", "400 0 0 /app/one\x00400 0 0 app/two\0", 0o444);
    let message = "/.secretbake/sealed/index is malformed: record 2";
    started(&root, &keys).fails(125, message, "bake the image again");
    assert!(!root.outside("/app").exists());
}

#[test]
fn a_read_only_root_needs_a_tmpfs() {
    let keys = Keys::new();
    let root = sealed(&keys, &[("400 0 0 /app/tls/key", b"s3cret")]);
    let read_only = r#"mount -o remount,bind,ro "$root""#;
    let run = || started(&root, &keys);
    let message = "cannot write /app/tls/key: read-only file system";
    let hint = "the container's user must be able to write there: mount a tmpfs at /app/tls";
    run().with_mounts(read_only).fails(125, message, hint);
    root.directory("/app/tls");
    run().with_mounts(read_only).fails(125, message, hint);
    let mounted = format!(r#"mount -t tmpfs tmpfs "$root/app/tls"; {read_only}"#);
    let run = root.launch(["/bin/busybox", "cat", "/app/tls/key"]).env("SECRETBAKE_KEY", keys.identity());
    assert_eq!(run.with_mounts(&mounted).ends().succeeded(), b"s3cret");

    let root = sealed(&keys, &[("400 0 0 /key", b"s3cret")]);
    started(&root, &keys).with_mounts(read_only).fails(
        125,
        "cannot write /key: read-only file system",
        "give the file a directory of its own in the manifest, and mount a tmpfs there",
    );
}

#[test]
fn a_tmpfs_that_is_too_small_is_named_and_nothing_is_left_in_it() {
    let keys = Keys::new();
    let root = sealed(&keys, &[("400 0 0 /app/tls/key", &[b'x'; 100_000])]);
    root.directory("/app/tls");
    let small = r#"mount -t tmpfs -o size=16k tmpfs "$root/app/tls""#;
    started(&root, &keys).with_mounts(small).fails(
        125,
        "cannot write /app/tls/key: no space left on device",
        "make room, for example with a larger tmpfs at /app/tls",
    );
    let list =
        r#"mount -t tmpfs -o size=16k tmpfs "$root/app/tls"; set +e; "$@" 2>/dev/null; ls -A "$root/app/tls"; exit 0"#;
    assert_eq!(started(&root, &keys).with_mounts(list).ends().succeeded(), b"");
}

#[test]
fn a_mount_at_the_path_itself_is_in_the_way() {
    let keys = Keys::new();
    let root = sealed(&keys, &[("400 0 0 /app/key", b"s3cret")]);
    root.file("/app/key", "", 0o644);
    started(&root, &keys).with_mounts(r#"mount --bind "$root/bin/busybox" "$root/app/key""#).fails(
        125,
        "cannot write /app/key: something is mounted there",
        "mount nothing at the path itself, but a tmpfs at /app",
    );
}

#[test]
fn a_directory_at_the_path_itself_is_in_the_way() {
    let keys = Keys::new();
    let root = sealed(&keys, &[("400 0 0 /app/key", b"s3cret")]);
    root.directory("/app/key");
    let hint = "mount or create nothing at the path itself";
    started(&root, &keys).fails(125, "cannot write /app/key: is a directory", hint);
    assert_eq!(names(&root.outside("/app")), ["key"]);
}

#[test]
fn another_user_may_not_write_there() {
    let keys = Keys::new();
    let root = sealed(&keys, &[("400 0 0 /app/tls/key", b"s3cret")]);
    root.directory("/app/tls");
    let mode = if is_root() { 0o755 } else { 0o555 };
    fs::set_permissions(root.outside("/app/tls"), Permissions::from_mode(mode)).unwrap();
    started(&root, &keys).by_stranger().fails(
        125,
        "cannot write /app/tls/key: permission denied",
        "the container's user must be able to write there: make a tmpfs of its own, `docker volume create --opt type=tmpfs --opt device=tmpfs --opt o=uid=UID,mode=0700 NAME`, and mount it at /app/tls",
    );
}

#[test]
fn another_user_may_not_give_a_file_away() {
    let keys = Keys::new();
    let run = |root: &Root| {
        root.directory("/app/tls");
        fs::set_permissions(root.outside("/app/tls"), Permissions::from_mode(0o777)).unwrap();
        started(root, &keys).by_stranger()
    };
    // in a user namespace, that user does not even exist
    let (reason, own) = if is_root() { ("operation not permitted", 12345) } else { ("invalid argument", 0) };
    let root = sealed(&keys, &[("400 1000 1000 /app/tls/key", b"s3cret")]);
    run(&root).fails(
        125,
        &format!("cannot give /app/tls/key to 1000:1000: {reason}"),
        "run the container as that user, or as root with the right to change owners, or set another `owner:` for the file",
    );
    assert_eq!(names(&root.outside("/app/tls")), [""; 0]);

    let root = sealed(&keys, &[(&format!("400 {own} {own} /app/tls/key"), b"s3cret")]);
    assert_eq!(run(&root).ends().succeeded(), b"");
    assert_eq!(names(&root.outside("/app/tls")), ["key"]);
}
